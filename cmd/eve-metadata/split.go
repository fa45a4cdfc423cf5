// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/pkg/confine"
	"github.com/lf-edge/eve-metadata/pkg/task"
)

const (
	// minRestart and maxRestart bound the wait before a process that ended is started again. It doubles for as long as
	// none gets ready.
	minRestart = 50 * time.Millisecond
	maxRestart = 10 * time.Second
	// stopLimit is how long a process may take to end when it is told to.
	stopLimit = 10 * time.Second
)

// parentVar is the environment variable that tells a process with which one it is to end.
const parentVar = "EVE_METADATA_PARENT"

// rootVar is the environment variable that names the folder that a process may make its root (see confine.Policy).
const rootVar = "EVE_METADATA_ROOT"

// newChildren makes the parts of the service as processes of their own.
func newChildren(o runOptions, stderr io.Writer, log *logrus.Logger) (*task.Group, error) {
	common := []string{"--root", o.root, "--log-level", o.logLevel, "--log-format", o.logFormat}
	publish, follow := common, []string{"--source", o.from}
	serve := append(slices.Clone(common), "--metrics", o.metrics, "--user", o.user,
		"--no-confine="+strconv.FormatBool(o.unconfined), "--eve-drives="+strconv.FormatBool(o.eveDrives))
	if o.user != "" {
		user, err := confine.Lookup(o.user)
		if err != nil {
			return nil, fmt.Errorf("--user: %w", err)
		}
		if user.Here() { // otherwise the server stays who it is
			publish = append(slices.Clone(common), "--group", strconv.Itoa(user.GID))
		}
	}
	part := func(name string, args ...[]string) *child {
		return &child{name: name, args: append([]string{name}, slices.Concat(args...)...), stderr: stderr, log: log}
	}
	server := part("msrv", serve, follow)
	server.confined = !o.unconfined
	parts := []task.Task{part("nim", publish, follow), server}
	switch o.from {
	case fromManifests:
		parts = append(parts, part("feed", publish, []string{"--manifests", o.manifests}))
	case fromController:
		parts = append(parts, part("feed", []string{"controller"}, publish, o.controller.args()))
	}
	return task.NewGroup("eve-metadata", parts...), nil
}

// child is a part of the service that runs as another process of this program. It is a task.Task.
type child struct {
	name     string
	args     []string
	confined bool // it has a mount namespace of its own
	stderr   io.Writer
	log      *logrus.Logger
	ready    task.Ready
}

// String names the task.
func (c *child) String() string { return c.name }

// Ready is closed when the process was ready for the first time.
func (c *child) Ready() <-chan struct{} { return c.ready.Done() }

// Run keeps a process running until ctx ends, and returns nil then. One that ends before it was ever ready will not get
// ready the next time either: that is an error.
func (c *child) Run(ctx context.Context) error {
	// The kernel takes the end of the thread that started a process for the parent's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	delay := minRestart
	for {
		wasReady, err := c.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if !c.ready.IsSet() {
			return fmt.Errorf("it ended: %w", err)
		}
		if wasReady {
			delay = minRestart
		}
		c.log.WithError(err).WithField("process", c.name).Error("ended by itself, is started again")
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		delay = min(2*delay, maxRestart)
	}
}

// once runs the process once, and returns whether it was ready and why it ended. When ctx ends it is told to end, and
// killed if it does not.
func (c *child) once(ctx context.Context) (wasReady bool, err error) {
	dir, err := os.MkdirTemp("", "eve-metadata-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a socket in the folder of temporary files
	path := filepath.Join(dir, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return false, err
	}
	listened := make(chan bool)
	go func() { listened <- c.listen(socket) }()
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return false, errors.Join(err, socket.Close())
	}
	err = c.command(ctx, path, root).Run()
	_ = socket.Close() // nobody writes to it any more
	return <-listened, err
}

// command is the process, which tells on a socket how it is.
func (c *child) command(ctx context.Context, notify, root string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", c.args...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify, parentVar+"="+strconv.Itoa(os.Getpid()))
	cmd.Stderr = c.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopLimit
	// A Ctrl-C is for this process, which then ends the others. Should this one be killed, they end too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if c.confined {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
		cmd.Env = append(cmd.Env, rootVar+"="+root)
	}
	return cmd
}

// listen reads what a process tells until the socket is closed, and returns whether it was ready.
func (c *child) listen(socket net.Conn) (ready bool) {
	buf := make([]byte, 4096)
	for {
		n, err := socket.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return ready
		}
		if slices.Contains(strings.Split(string(buf[:n]), "\n"), "READY=1") {
			ready = true
			c.ready.Set()
		}
	}
}
