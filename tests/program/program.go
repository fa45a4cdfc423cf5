// SPDX-License-Identifier: Apache-2.0

// Package program runs the built eve-metadata as its users do: as a process, told to stop by signals,
// and ready when it says so to $NOTIFY_SOCKET. Whole-program tests and the demonstration call it.
package program

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
	"strings"
	"syscall"
	"time"
)

// StartLimit is how long the service may take until it is ready.
const StartLimit = time.Minute

// Service is a running eve-metadata.
type Service struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // of the process, once ended is closed
}

// Start runs `binary run --root root` with further arguments and returns when the service is ready, or
// an error when it ends before, or does not get ready in StartLimit. What it logs goes to stderr. The
// end of ctx ends the waiting, not the service: that is for Stop and Kill.
func Start(ctx context.Context, stderr io.Writer, binary, root string, args ...string) (*Service, error) {
	path := filepath.Join(root, "notify")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("start service: %w", err)
	}
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("start service: %w", err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), binary, append([]string{"run", "--root", root}, args...)...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+path)
	cmd.Stderr = stderr
	// A Ctrl-C is for the program that started the service, which then stops it. Should that program be
	// killed, the service ends too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	s := &Service{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel takes the end of the thread that started the process for the parent's.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(s.ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			err = cmd.Wait()
		}
		s.err = errors.Join(err, socket.Close())
	}()
	if err := <-started; err != nil {
		<-s.ended
		return nil, fmt.Errorf("start service: %w", s.err)
	}
	if err := s.awaitReady(ctx, socket); err != nil {
		return nil, errors.Join(fmt.Errorf("start service: %w", err), s.Stop())
	}
	return s, nil
}

func (s *Service) awaitReady(ctx context.Context, socket net.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, StartLimit)
	defer cancel()
	told := make(chan error, 1)
	go func() { told <- readReady(socket) }()
	select {
	case err := <-told:
		return err
	case <-s.ended:
		return fmt.Errorf("it ended by itself: %w", s.err)
	case <-ctx.Done():
		return fmt.Errorf("wait until it is ready: %w", ctx.Err())
	}
}

// readReady returns when READY=1 was said (sd_notify(3)), or the socket is closed.
func readReady(socket net.Conn) error {
	buf := make([]byte, 4096)
	for {
		n, err := socket.Read(buf)
		if err != nil {
			return err
		}
		if slices.Contains(strings.Split(string(buf[:n]), "\n"), "READY=1") {
			return nil
		}
	}
}

// Ended is closed when the service has ended, for whatever reason.
func (s *Service) Ended() <-chan struct{} { return s.ended }

// PID is the number of the service's process.
func (s *Service) PID() int { return s.cmd.Process.Pid }

// Stop asks the service to end and waits for it. The error is that of its exit.
func (s *Service) Stop() error { return s.signal(syscall.SIGTERM) }

// Kill ends the service as a crash would, and waits until it is gone.
func (s *Service) Kill() error {
	err := s.signal(syscall.SIGKILL)
	if _, killed := errors.AsType[*exec.ExitError](err); killed {
		return nil
	}
	return err
}

func (s *Service) signal(sig syscall.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end service: %w", err)
	}
	<-s.ended
	return s.err
}
