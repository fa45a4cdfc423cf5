// SPDX-License-Identifier: Apache-2.0

package dnsmasq

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// process is a running dnsmasq, a child of ours or one that an earlier Keeper left. It is held by a pidfd: a signal never
// reaches another process that has got its number. The nil process does not run.
//
// It forks for every TCP connection. Such a child, which a guest can keep for minutes, has its parent's sockets and
// arguments, and is told from it by not being the leader of its session.
type process struct {
	pidfd     *os.File
	pid       int
	session   int
	namespace uint64    // inode of the network namespace that it is in
	since     time.Time // it was started, or found
	exited    chan struct{}
	ready     chan struct{} // closed when it says that it has started
	log       *os.File      // nil: one that was found
	lastLine  string        // of the log; read it after release
	killed    bool          // by a signal, as far as is known; read it when exited is closed
	readers   sync.WaitGroup
}

// confArgument precedes the path of the configuration. It is the only argument, and what a process is known by.
const confArgument = "--conf-file="

// startProcess starts dnsmasq in a namespace. The process does not end with ours: it has a session of its own, and once
// nobody reads its log any more it turns to syslog (it ignores SIGPIPE).
func startProcess(binary, conf string, ns Namespace, log logrus.FieldLogger) (*process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	pidfd := -1
	cmd := &exec.Cmd{
		Path: binary, Args: []string{filepath.Base(binary), confArgument + conf},
		Env: []string{"LC_ALL=C"}, Dir: "/", Stdout: w, Stderr: w,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	}
	pid, err := startIn(ns, cmd)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	p, err := watch(pidfd, pid, pid, ns.ID)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	p.log = r
	p.readers.Go(func() { p.read(log) })
	return p, nil
}

// startIn starts a command in a namespace, if that still is the one that was meant.
func startIn(ns Namespace, cmd *exec.Cmd) (pid int, err error) {
	if err := ns.do(cmd.Start); err != nil {
		return 0, err
	}
	pid = cmd.Process.Pid
	return pid, cmd.Process.Release() // it is waited for by its pidfd; the number is lost there
}

// watch holds a process by a pidfd, which it owns from now on.
func watch(pidfd, pid, session int, namespace uint64) (*process, error) {
	if err := unix.SetNonblock(pidfd, true); err != nil { // for Go's poller to wait for it
		return nil, errors.Join(fmt.Errorf("watch process: %w", err), unix.Close(pidfd))
	}
	p := &process{
		pidfd: os.NewFile(uintptr(pidfd), "pidfd"), pid: pid, session: session, namespace: namespace, since: time.Now(),
		exited: make(chan struct{}), ready: make(chan struct{}),
	}
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch process: %w", err), p.pidfd.Close())
	}
	p.readers.Go(func() {
		if conn.Read(p.hasExited) == nil {
			close(p.exited)
		} // else it was released
	})
	return p, nil
}

// codeExited is CLD_EXITED of sigaction(2): the process ended by itself.
const codeExited = 1

// hasExited tells whether the process has ended, which makes its pidfd readable. Then its children end too, lest they keep
// the sockets from its successor, and a child of ours is reaped.
func (p *process) hasExited(pidfd uintptr) bool {
	fd := int(pidfd)
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	if err != nil || n == 0 {
		return false
	}
	if p.leads() {
		p.killGroup(fd)
	}
	var info unix.Siginfo
	err = unix.Waitid(unix.P_PIDFD, fd, &info, unix.WEXITED|unix.WNOHANG, nil) // no child of ours: nothing to reap
	p.killed = err == nil && info.Code != codeExited
	return true
}

// leads tells the process that was started from its children.
func (p *process) leads() bool { return p.session == p.pid }

// killGroup kills what is left of an ended process's group. Kernels before 6.9 know no way to do so by pidfd; there it is
// done by number while the number is sure not to be another's, because the process has not been reaped yet.
func (p *process) killGroup(pidfd int) {
	err := unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	if !errors.Is(err, unix.EINVAL) {
		return // done, or nothing is left
	}
	if unix.Waitid(unix.P_PIDFD, pidfd, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == nil {
		_ = unix.Kill(-p.pid, unix.SIGKILL) // nothing may be left
	}
}

// failedLine follows the reason why dnsmasq does not start.
const failedLine = "FAILED to start up"

// read passes the log on until its end.
func (p *process) read(log logrus.FieldLogger) {
	started := false
	for lines := bufio.NewScanner(p.log); lines.Scan(); {
		_, message, ok := strings.Cut(lines.Text(), ": ") // behind the program's name and number
		if !ok {
			continue
		}
		log.Debug("dnsmasq: " + message)
		if message != failedLine {
			p.lastLine = message
		}
		if !started && strings.HasPrefix(message, "started, ") {
			started = true
			close(p.ready)
		}
	}
}

// ended returns what is closed when the process has ended; nil, which never is, without a process.
func (p *process) ended() <-chan struct{} {
	if p == nil {
		return nil
	}
	return p.exited
}

// errKilled says that a process did not end by itself. Its log has no reason then.
var errKilled = errors.New("dnsmasq was killed")

// failure says why a process has ended, as far as it said so itself. It releases the process.
func (p *process) failure() error {
	p.readers.Wait() // the end of the log comes with that of the process
	p.release()
	if p.killed {
		return errKilled
	}
	return fmt.Errorf("dnsmasq ended: %s", cmp.Or(p.lastLine, "it did not say why"))
}

// release ends all that we do about a process, and leaves the process alone.
func (p *process) release() {
	if p == nil {
		return
	}
	_ = p.pidfd.Close()
	if p.log != nil {
		_ = p.log.Close()
	}
	p.readers.Wait()
}

// signal sends a signal. A process that has ended is no error.
func (p *process) signal(sig unix.Signal) error {
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	if errors.Is(sent, unix.ESRCH) {
		sent = nil
	}
	return errors.Join(err, sent)
}

// stopPatience is how long a process may take to end by itself, and then by the kernel.
const stopPatience = 2 * time.Second

// stop ends a process, and releases it.
func (p *process) stop() {
	if p == nil {
		return
	}
	defer p.release()
	signals := []unix.Signal{unix.SIGTERM, unix.SIGKILL}
	if !p.leads() {
		signals = signals[1:] // it takes no notice of the first
	}
	for _, sig := range signals {
		_ = p.signal(sig) // who can not be told does not end
		select {
		case <-p.exited:
			return
		case <-time.After(stopPatience):
		}
	}
}

// findProcesses returns the processes that run with a configuration in a folder of dir, by that folder's name.
func findProcesses(dir string) (map[string][]*process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("look for processes: %w", err)
	}
	found := map[string][]*process{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		network := networkOf(pid, dir)
		if network == "" {
			continue
		}
		p, err := find(pid, network, dir)
		if err != nil {
			return nil, fmt.Errorf("look at process %d: %w", pid, err)
		}
		if p != nil {
			found[network] = append(found[network], p)
		}
	}
	return found, nil
}

// networkOf returns the name of the folder in dir that a process has its configuration in; "": it is none of ours.
func networkOf(pid int, dir string) string {
	line, err := os.ReadFile(procPath(pid, "cmdline"))
	if err != nil {
		return "" // it has ended
	}
	args := bytes.Split(line, []byte{0})
	if len(args) != 3 { // the last is empty
		return ""
	}
	conf, ok := strings.CutPrefix(string(args[1]), confArgument)
	if folder := filepath.Dir(conf); ok && confOf(folder) == conf && filepath.Dir(folder) == filepath.Clean(dir) {
		return filepath.Base(folder)
	}
	return ""
}

// find returns a network's process; nil when it has ended meanwhile.
func find(pid int, network, dir string) (*process, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	// Only now is the number sure to stay the process's own.
	if networkOf(pid, dir) != network {
		return nil, unix.Close(pidfd)
	}
	session, err := unix.Getsid(pid)
	if err != nil {
		return nil, unix.Close(pidfd) // it has ended after all
	}
	p, err := watch(pidfd, pid, session, namespaceOf(pid))
	if err != nil {
		return nil, err
	}
	close(p.ready)
	return p, nil
}

// namespaceOf returns the inode of the network namespace that a process is in; 0 when that can not be told.
func namespaceOf(pid int) uint64 {
	info, err := os.Stat(procPath(pid, "ns/net"))
	if err != nil {
		return 0
	}
	return inode(info)
}

func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

func procPath(pid int, file string) string { return filepath.Join("/proc", strconv.Itoa(pid), file) }
