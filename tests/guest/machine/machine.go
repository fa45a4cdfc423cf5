// SPDX-License-Identifier: Apache-2.0

// Package machine boots guests in QEMU.
//
// In come an image, a folder for what the guest keeps, and the arguments that concern its metadata, as eve-metadata's
// topic InstanceLaunch has them; out come what it writes to its console, how far it has got, and what it reports of itself
// (see package report). Tests that boot guests call it. QEMU emulates the processor (TCG), unless the machine has a KVM on
// which the image's kernel starts.
package machine

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

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
	// Files are open in QEMU, from descriptor 3 on.
	Files []*os.File
	// Stage is told each new stage of the boot, with a name for people.
	Stage func(stage string)
}

// Machine is a guest that was booted.
type Machine struct {
	cmd     *exec.Cmd
	dir     string
	console *console
	port    net.Listener // at which the report comes
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
	socket := filepath.Join(c.Dir, "report.sock")
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, console.close())
	}
	port, err := net.Listen("unix", socket)
	if err != nil {
		return nil, errors.Join(err, console.close())
	}
	m := &Machine{dir: c.Dir, console: console, port: port, ended: make(chan struct{})}
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
		return nil, errors.Join(err, port.Close(), console.close())
	}
	return m, nil
}

// arguments are all of QEMU's. Where there is no disk yet, it makes one, on top of the image's.
func (c *Config) arguments(ctx context.Context) ([]string, error) {
	args := []string{
		"-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-m", strconv.Itoa(Memory), "-smp", "1",
		"-kernel", c.Image.Kernel, "-initrd", c.Image.Initrd, "-append", c.Image.Append,
		"-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
		"-chardev", "socket,id=report,path=" + filepath.Join(c.Dir, "report.sock"),
		"-device", "virtserialport,chardev=report,name=report",
	}
	args = append(args, accelerator(ctx, c.Image)...)
	if c.Image.Disk != "" {
		disk, err := Disk(ctx, c.Image, c.Dir)
		if err != nil {
			return nil, err
		}
		args = append(args, "-drive", "if=none,id=root,format=qcow2,file="+disk, "-device", "virtio-blk-pci,drive=root")
	}
	return append(args, c.Args...), nil
}

// Disk returns the path of the disk of the guest in a folder. If there is none yet it is made, with the image's content,
// and without changing that.
func Disk(ctx context.Context, i *image.Image, dir string) (string, error) {
	disk := filepath.Join(dir, "disk.qcow2")
	if _, err := os.Stat(disk); err == nil {
		return disk, nil
	}
	base, err := filepath.Abs(i.Disk)
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", disk).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make disk: %w: %s", err, out)
	}
	return disk, nil
}

// accelerator are the arguments for the fastest way to run the image's kernel here.
func accelerator(ctx context.Context, i *image.Image) []string {
	switch {
	case i.Arch == "aarch64":
		return []string{"-machine", "virt", "-cpu", "cortex-a72", "-accel", "tcg"}
	case kvm(ctx, i):
		return []string{"-accel", "kvm", "-cpu", "host"}
	}
	return []string{"-accel", "tcg,thread=multi"}
}

// kvmStarts is how long a kernel may take under KVM until it says that it is there, which it does at once where it works.
const kvmStarts = 5 * time.Second

var (
	kvmOnce  sync.Once
	kvmWorks bool
)

// kvm tells whether the image's kernel starts under this machine's KVM: one that is there need not run every kernel.
func kvm(ctx context.Context, i *image.Image) bool {
	kvmOnce.Do(func() {
		if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil || f.Close() != nil {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, kvmStarts)
		defer cancel()
		cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-nodefaults", "-display", "none",
			"-no-reboot", "-serial", "stdio", "-m", "256", "-kernel", i.Kernel, "-append", "console=ttyS0 panic=-1")
		cmd.WaitDelay = time.Second
		out, _ := cmd.Output() // it is stopped, or has no root filesystem
		kvmWorks = strings.Contains(string(out), "Linux version")
	})
	return kvmWorks
}

// Accelerator says how the image's guests run here: KVM or TCG.
func Accelerator(ctx context.Context, i *image.Image) string {
	if i.Arch == "x86_64" && kvm(ctx, i) {
		return "KVM"
	}
	return "TCG"
}

// ErrEnded is that a guest ended before it did what was waited for.
var ErrEnded = errors.New("the guest ended")

// AwaitConsole returns when the guest has written a text to its console.
func (m *Machine) AwaitConsole(ctx context.Context, text string) error {
	seen := m.console.await(text)
	select {
	case <-seen:
		return nil
	case <-m.ended:
		return fmt.Errorf("wait for %q on the console: %w: %w\n%s", text, ErrEnded, m.err, m.Tail())
	case <-ctx.Done():
		return fmt.Errorf("wait for %q on the console: %w\n%s", text, context.Cause(ctx), m.Tail())
	}
}

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

func (m *Machine) receive() (dir string, err error) {
	conn, err := m.port.Accept()
	if err != nil {
		return "", err
	}
	defer conn.Close()
	dir = filepath.Join(m.dir, "report")
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := extract(conn, dir); err != nil {
		return "", fmt.Errorf("read report: %w", err)
	}
	return dir, nil
}

// extract writes the files and links of an archive below a folder; what would lead out of that is refused.
func extract(r io.Reader, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for archive := tar.NewReader(bufio.NewReader(r)); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Clean(strings.TrimPrefix(h.Name, "/"))
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeReg:
			err = write(root, name, archive)
		case tar.TypeSymlink:
			err = link(root, name, h.Linkname)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

func write(root *os.Root, name string, from io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

// link makes a link as it is in the guest, where / is the guest's.
func link(root *os.Root, name, to string) error {
	if filepath.IsAbs(to) {
		rel, err := filepath.Rel(filepath.Dir("/"+name), to)
		if err != nil {
			return err
		}
		to = rel
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return root.Symlink(to, name)
}

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
	if closing := m.port.Close(); !errors.Is(closing, net.ErrClosed) {
		err = errors.Join(err, closing)
	}
	m.wait.Wait()
	return errors.Join(err, m.console.close())
}
