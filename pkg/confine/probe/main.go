// SPDX-License-Identifier: Apache-2.0

// Command probe confines itself and then tries what it should not be able to do, for the tests of package confine: each
// attempt is a line, "NAME: done" or "NAME: " and why it is not.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/pkg/confine"
)

// port is the TCP port that may be connected to where more is allowed; nobody listens there, nor on the next one.
const port = 9

// main takes a folder, in which "own", "read" and "take" are the folders of the policy, and the name of a user, which may
// be "". With -more the files "more/file", "more/folder" and "more/device" and a port are part of the policy, too.
func main() {
	more := flag.Bool("more", false, "allow more")
	root := flag.String("root", "", "make this folder the root")
	flag.Parse()
	dir, name := flag.Arg(0), flag.Arg(1)
	policy := confine.Policy{
		Own: confine.Folders(dir, "own"), Read: confine.Folders(dir, "read"), Take: confine.Folders(dir, "take"), Root: *root,
	}
	if *more {
		policy.Files = confine.Folders(dir, "more/file", "more/folder", "more/missing")
		policy.Devices, policy.Connect = confine.Folders(dir, "more/device", "more/missing"), []uint16{port}
	}
	if name != "" {
		user, err := confine.Lookup(name)
		if err != nil {
			fail(err)
		}
		policy.User, policy.Group = user, user.GID
	}
	lacking, err := policy.Apply()
	if err != nil {
		fail(err)
	}
	for _, what := range lacking {
		fmt.Fprintln(os.Stderr, "lacking:", what)
	}
	for _, a := range attempts(dir) {
		result := "done"
		if err := a.try(); err != nil {
			result = err.Error()
		}
		fmt.Printf("%s: %s\n", a.name, result)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

type attempt struct {
	name string
	try  func() error
}

// attempts are what a process may try. Those that a server has to do come first.
func attempts(dir string) []attempt {
	read := func(path string) func() error {
		return func() error {
			_, err := os.ReadFile(path)
			return err
		}
	}
	socket := func(family, kind int) func() error {
		return func() error {
			fd, err := unix.Socket(family, kind, 0)
			if err == nil {
				err = unix.Close(fd)
			}
			return err
		}
	}
	dial := func(port int) func() error {
		return func() error {
			conn, err := net.DialTCP("tcp4", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
			if err == nil {
				err = conn.Close()
			}
			return err
		}
	}
	return []attempt{
		{"write an own file", func() error { return os.WriteFile(filepath.Join(dir, "own/file"), nil, 0o600) }},
		{"rename an own file", func() error {
			return os.Rename(filepath.Join(dir, "own/file"), filepath.Join(dir, "own/other"))
		}},
		{"make an own folder", func() error { return os.Mkdir(filepath.Join(dir, "own/folder"), 0o700) }},
		{"listen on an own socket", func() error {
			l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: filepath.Join(dir, "own/socket"), Net: "unixpacket"})
			if err != nil {
				return err
			}
			return l.Close()
		}},
		{"read a topic", read(filepath.Join(dir, "read/file"))},
		{"take a file", func() error { return os.Remove(filepath.Join(dir, "take/file")) }},
		{"ask netlink", socket(unix.AF_NETLINK, unix.SOCK_RAW)},

		{"read a file", read(filepath.Join(dir, "more/file"))},
		{"read a file of a folder", read(filepath.Join(dir, "more/folder/file"))},
		{"write a device", func() error {
			f, err := os.OpenFile(filepath.Join(dir, "more/device"), os.O_RDWR, 0)
			if err == nil {
				err = f.Close()
			}
			return err
		}},
		{"connect to a port", dial(port)},

		{"see what is not for it", func() error {
			_, err := os.Stat("/etc/passwd")
			return err
		}},
		{"let others read a topic", func() error { return os.Chmod(filepath.Join(dir, "read/file"), 0o644) }},
		{"write a topic", func() error { return os.WriteFile(filepath.Join(dir, "read/new"), nil, 0o600) }},
		{"read a file of others", read("/etc/passwd")},
		{"list a folder of others", func() error {
			_, err := os.ReadDir("/")
			return err
		}},
		{"run a program", func() error { return unix.Exec("/proc/self/exe", nil, nil) }},
		{"start a process", func() error {
			_, err := syscall.ForkExec("/proc/self/exe", nil, nil)
			return err
		}},
		{"open a TCP socket", socket(unix.AF_INET, unix.SOCK_STREAM)},
		{"open a TCP socket of IPv6", socket(unix.AF_INET6, unix.SOCK_STREAM)},
		{"connect to another port", dial(port + 1)},
		{"open a UDP socket of IPv4", socket(unix.AF_INET, unix.SOCK_DGRAM)},
		{"open a raw socket of IPv4", socket(unix.AF_INET, unix.SOCK_RAW)},
		{"open a UDP socket", socket(unix.AF_INET6, unix.SOCK_DGRAM)},
		{"open a raw socket", socket(unix.AF_PACKET, unix.SOCK_RAW)},
		{"mount", func() error { return unix.Mount("none", filepath.Join(dir, "own"), "tmpfs", 0, "") }},
		{"make namespaces", func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
		{"enter namespaces", func() error { return unix.Setns(0, 0) }},
		{"trace", func() error { return unix.PtraceAttach(os.Getppid()) }},
		{"signal a thread of others", func() error { return unix.Tgkill(os.Getppid(), os.Getppid(), 0) }},
		{"signal others", func() error { return unix.Kill(os.Getppid(), 0) }},
		{"become root", func() error { return unix.Setuid(0) }},
		{"load a program into the kernel", func() error {
			_, _, errno := unix.Syscall(unix.SYS_BPF, 0, 0, 0)
			return errno
		}},
		{"use the kernel's keys", func() error {
			_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
			return err
		}},
		{"open files by handle", func() error {
			_, err := unix.OpenByHandleAt(unix.AT_FDCWD, unix.NewFileHandle(1, make([]byte, 8)), 0)
			return err
		}},
		{"make memory executable", func() error {
			_, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_EXEC|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
			return err
		}},
		{"have memory made executable", func() error {
			page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
			if err != nil {
				return err
			}
			return unix.Mprotect(page, unix.PROT_READ|unix.PROT_EXEC)
		}},
	}
}
