// SPDX-License-Identifier: Apache-2.0

// Command demo shows the service at work: it runs the service on its embedded example, plays every
// guest in it, and prints side by side what they see.
//
// usage: demo [-once] PATH-OF-EVE-METADATA
//
// It needs root, or a kernel that lets an ordinary user make user namespaces. All it makes is below a
// temporary folder and goes at the end, which comes with Ctrl-C, or at once with -once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/lf-edge/eve-metadata/tests/program"
)

func main() {
	once := flag.Bool("once", false, "end when everything has been shown")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: demo [-once] PATH-OF-EVE-METADATA")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE) // whoever stops reading what is printed: there is still to clean up
	err := run(ctx, flag.Arg(0), *once)
	stop()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && os.Geteuid() != 0 {
		os.Exit(exit.ExitCode()) // this program as root of a namespace, which has said why
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string, once bool) error {
	if os.Geteuid() != 0 {
		return asRootOfNamespace()
	}
	root, err := os.MkdirTemp("", "eve-metadata-")
	if err != nil {
		return err
	}
	err = show(ctx, binary, root, once)
	return errors.Join(err, os.RemoveAll(root))
}

// asRootOfNamespace runs this program again as root of a user namespace with a network of its own.
func asRootOfNamespace() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// Ctrl-C reaches the child too, and is its to act on. The child dies with this thread.
	signal.Ignore(os.Interrupt)
	runtime.LockOSThread()
	cmd := exec.CommandContext(context.Background(), self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWUSER,
		Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings:  []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings:  []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:    syscall.SIGTERM,
	}
	err = cmd.Run()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("this kernel lets ordinary users make no user namespaces, please run as root: %w", err)
	}
	return err
}

// show runs the service, plays the guests and prints what they see.
func show(ctx context.Context, binary, root string, once bool) (err error) {
	fmt.Printf("Starting %s with all its state in %s\n", filepath.Base(binary), root)
	service, err := program.Start(ctx, os.Stderr, binary, root, "--ephemeral", "--log-level", "warn")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, service.Stop()) }()
	guests, err := attachAll(ctx, root)
	defer func() { err = errors.Join(err, closeAll(guests)) }()
	if err != nil {
		return err
	}
	if err := printLeases(ctx, os.Stdout, guests, root); err != nil {
		return err
	}
	if err := printGuests(ctx, os.Stdout, guests); err != nil {
		return err
	}
	if err := printDrives(ctx, os.Stdout, binary, root); err != nil {
		return err
	}
	if once {
		return nil
	}
	fmt.Printf("\nStill serving. Ask as %s yourself:\n\n  %s\n\nCtrl-C ends it and takes everything away.\n",
		guests[0].name, askLine(guests[0].Path()))
	select {
	case <-ctx.Done():
		fmt.Println("\nStopping")
		return nil
	case <-service.Ended():
		return errors.New("the service ended by itself")
	}
}

// askLine is a command line by which another shell becomes a guest.
func askLine(path string) string {
	const ask = "curl -s http://169.254.169.254/openstack/latest/meta_data.json"
	if os.Getenv("SUDO_USER") == "" && inUserNamespace() {
		return fmt.Sprintf("nsenter -t %d -U -m --preserve-credentials nsenter --net=%s %s", os.Getpid(), path, ask)
	}
	return fmt.Sprintf("sudo nsenter --net=%s %s", path, ask)
}

// inUserNamespace tells whether this root is an ordinary user outside: the real root may be anybody.
func inUserNamespace() bool {
	ids, err := os.ReadFile("/proc/self/uid_map")
	var inside, outside, size uint64
	if err == nil {
		_, err = fmt.Sscan(string(ids), &inside, &outside, &size)
	}
	return err == nil && size == 1
}

// printDrives prints which drives there are and what is on them.
func printDrives(ctx context.Context, w io.Writer, binary, root string) error {
	fmt.Fprintln(w, "\nDrives")
	drives, err := filepath.Glob(filepath.Join(root, "run/mdsrv/drives/*.iso"))
	if err != nil {
		return err
	}
	for _, d := range drives {
		info, err := os.Stat(d)
		if err != nil {
			return err
		}
		uuid := filepath.Base(d[:len(d)-len(filepath.Ext(d))])
		fmt.Fprintf(w, "  %s, %d bytes, with\n", d, info.Size())
		files, err := exec.CommandContext(ctx, binary, "render", uuid, "--drive").Output()
		if err != nil {
			return fmt.Errorf("list files of drive %s: %w", uuid, err)
		}
		for line := range lines(string(files)) {
			fmt.Fprintf(w, "    %s\n", line)
		}
	}
	return nil
}
