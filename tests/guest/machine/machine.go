// SPDX-License-Identifier: Apache-2.0

// Package machine boots guests in QEMU.
//
// In come an image, a folder for what the guest keeps, and the arguments that concern its metadata, as eve-metadata's
// topic InstanceLaunch has them; out come what it writes to its console, how far it has got, and what it reports of itself
// (see package report). Tests that boot guests call it. QEMU emulates the processor (TCG), unless the machine has a KVM on
// which the image's kernel starts.
package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"github.com/lf-edge/eve-metadata/tests/guest/image"
)

// Memory is what a guest has, in MiB, and Overhead what QEMU needs for itself.
const (
	Memory   = 640
	Overhead = 384
)

// Config is how to boot a guest.
type Config struct {
	Image *image.Image
	// Dir is the guest's own folder: its disk, which stays from boot to boot, and of the last boot console.log and what was
	// reported. It is made if it is not there.
	Dir string
	// Args are further arguments of QEMU's.
	Args []string
	// Command makes the command that runs a program where the guest's taps are; nil for here.
	Command func(ctx context.Context, name string, args ...string) *exec.Cmd
	// Changed are files of the root filesystem that are other than the image's from the first boot on: content by path.
	Changed map[string]string
	// Files are open in QEMU, from descriptor 3 on.
	Files []*os.File
	// Silent is that the guest is not to report: that takes it some seconds of the processor.
	Silent bool
	// Stage is told each new stage of the boot, with a name for people.
	Stage func(stage string)
}

// Machine is a guest that was booted.
type Machine struct {
	cmd     *exec.Cmd
	dir     string
	console *console
	port    net.Listener // at which the report comes; nil where none does
	ended   chan struct{}
	err     error // of QEMU, once ended is closed
	wait    sync.WaitGroup
}

// Start boots a guest. It runs until Stop, or until it ends by itself.
func Start(ctx context.Context, c Config) (*Machine, error) {
	m, err := start(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("boot %s: %w", c.Image.Name, err)
	}
	return m, nil
}

func start(ctx context.Context, c Config) (*Machine, error) {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, err
	}
	args, err := c.arguments(ctx)
	if err != nil {
		return nil, err
	}
	console, err := newConsole(filepath.Join(c.Dir, "console.log"), c.Stage)
	if err != nil {
		return nil, err
	}
	m := &Machine{dir: c.Dir, console: console, ended: make(chan struct{})}
	if !c.Silent {
		if m.port, err = listen(c.Dir); err != nil {
			return nil, errors.Join(err, console.close())
		}
	}
	command := c.Command
	if command == nil {
		command = exec.CommandContext
	}
	// QEMU is to end with Stop, not with whoever has started it.
	m.cmd = command(context.WithoutCancel(ctx), "qemu-system-"+c.Image.Arch, args...)
	m.cmd.ExtraFiles = c.Files
	m.cmd.Stdout, m.cmd.Stderr = console, console
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	m.wait.Go(func() {
		// The kernel takes the end of the thread that started a process for its parent's.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := m.cmd.Start()
		started <- err
		if err == nil {
			m.err = m.cmd.Wait()
		}
		close(m.ended)
	})
	if err := <-started; err != nil {
		m.wait.Wait()
		return nil, errors.Join(err, m.closePort(), console.close())
	}
	return m, nil
}

// arguments are all of QEMU's. Where there is no disk yet, it makes one, on top of the image's.
func (c *Config) arguments(ctx context.Context) ([]string, error) {
	args := []string{
		"-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-m", strconv.Itoa(Memory), "-smp", "1",
		"-kernel", c.Image.Kernel, "-initrd", c.Image.Initrd, "-append", c.Image.Append,
		"-device", "virtio-rng-pci",
		"-qmp", "unix:" + filepath.Join(c.Dir, monitor) + ",server=on,wait=off",
	}
	if !c.Silent {
		args = append(args, "-device", "virtio-serial-pci", "-chardev", "socket,id=report,path="+filepath.Join(c.Dir, reports),
			"-device", "virtserialport,chardev=report,name=report")
	}
	args = append(args, accelerator(ctx, c.Image)...)
	if c.Image.Disk != "" {
		disk, err := c.disk(ctx)
		if err != nil {
			return nil, err
		}
		args = append(args, "-drive", "if=none,id=root,format=qcow2,file="+disk, "-device", "virtio-blk-pci,drive=root")
	}
	return append(args, c.Args...), nil
}

// ErrEnded is that a guest ended before it did what was waited for.
var ErrEnded = errors.New("the guest ended")

// Report returns the folder in which what the guest has reported in this boot is, as soon as it has.
func (m *Machine) Report(ctx context.Context) (dir string, err error) {
	type result struct {
		dir string
		err error
	}
	done := make(chan result, 1)
	m.wait.Go(func() {
		dir, err := m.receive()
		done <- result{dir, err}
	})
	select {
	case r := <-done:
		return r.dir, r.err
	case <-m.ended:
		err = fmt.Errorf("wait for report: %w: %w\n%s", ErrEnded, m.err, m.Tail())
	case <-ctx.Done():
		err = fmt.Errorf("wait for report: %w\n%s", context.Cause(ctx), m.Tail())
	}
	return "", errors.Join(err, m.Stop()) // which ends who receives
}

// Pause stops the guest where it is, and Resume lets it go on, for which a moment has passed.
func (m *Machine) Pause() error { return m.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a guest go on that was paused.
func (m *Machine) Resume() error { return m.cmd.Process.Signal(syscall.SIGCONT) }

// Ended is closed when the guest has ended, for whatever reason.
func (m *Machine) Ended() <-chan struct{} { return m.ended }

// Tail is what the guest has written to its console last.
func (m *Machine) Tail() string { return m.console.tail() }

// Stop ends the guest as a cut of its power does, if it has not ended already. What it has synced is on its disk.
func (m *Machine) Stop() error {
	err := m.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-m.ended
	err = errors.Join(err, m.closePort())
	m.wait.Wait()
	return errors.Join(err, m.console.close())
}
