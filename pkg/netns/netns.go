// SPDX-License-Identifier: Apache-2.0

// Package netns keeps named network namespaces: files in a directory, each with a namespace mounted on it, as ip-netns(8)
// has them under /run/netns.
//
// In come paths and functions to run; out come namespaces, and what the functions did in them. The manager of the app
// networks (nim) calls it, and tests that play guests.
//
// The kernel ties a network namespace to a thread, not to a process. Everything that enters a namespace here does so on
// a thread of its own, which ends afterwards and is never given back to other goroutines. A goroutine that is started in
// such a function is in the process's own namespace again; a socket that is opened in it stays in the namespace for life.
//
// It needs CAP_SYS_ADMIN, either the real one or, in a mount namespace of its own, that of a user namespace.
package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ErrNotNamespace says that a path is there, yet no network namespace is mounted on it.
var ErrNotNamespace = errors.New("not a network namespace")

// dirMode is what ip-netns(8) gives its directory: anyone may see the names, the files themselves are unreadable.
const dirMode = 0o755

// Namespace is an open network namespace. It stays open, and the namespace alive, until Close.
type Namespace struct {
	path string
	fd   int
	id   uint64

	mu     sync.Mutex
	closed bool
}

// Open opens the network namespace that is mounted at path, or that path in /proc names. The error is fs.ErrNotExist
// when there is no such file, and ErrNotNamespace when it is anything else than a network namespace.
func Open(path string) (*Namespace, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open namespace %q: %w", path, err)
	}
	id, err := identify(fd)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("open namespace %q: %w", path, err)
	}
	return &Namespace{path: path, fd: fd, id: id}, nil
}

// identify returns the inode of the network namespace that fd is.
func identify(fd int) (uint64, error) {
	var sfs unix.Statfs_t
	if err := unix.Fstatfs(fd, &sfs); err != nil {
		return 0, fmt.Errorf("statfs: %w", err)
	}
	if int64(sfs.Type) != unix.NSFS_MAGIC { //nolint:unconvert // other architectures have other types
		return 0, ErrNotNamespace
	}
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil {
		return 0, fmt.Errorf("ask for the kind of namespace: %w", err)
	}
	if kind != unix.CLONE_NEWNET {
		return 0, ErrNotNamespace
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("stat: %w", err)
	}
	return st.Ino, nil
}

// Path returns what the namespace was opened as.
func (n *Namespace) Path() string { return n.path }

// ID returns the namespace's inode, which no other living network namespace has. A path that was deleted and created
// again has another one.
func (n *Namespace) ID() uint64 { return n.id }

// Handle returns the open namespace as github.com/vishvananda/netlink wants it. It is good until Close.
func (n *Namespace) Handle() netns.NsHandle { return netns.NsHandle(n.fd) }

// Do runs f on a thread that is in the namespace, and returns f's error. See the package comment on what f may start.
func (n *Namespace) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter namespace %q: %w", n.path, err)
		}
		return f()
	})
}

// Close closes it. What is mounted stays mounted.
func (n *Namespace) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	if err := unix.Close(n.fd); err != nil {
		return fmt.Errorf("close namespace %q: %w", n.path, err)
	}
	return nil
}

// Do runs f in the namespace at path and returns f's error; see Namespace.Do and Open.
func Do(path string, f func() error) error {
	n, err := Open(path)
	if err != nil {
		return err
	}
	if err := n.Do(f); err != nil {
		return errors.Join(err, n.Close())
	}
	return n.Close()
}

// ID returns the inode of the namespace at path; see Namespace.ID and Open.
func ID(path string) (uint64, error) {
	n, err := Open(path)
	if err != nil {
		return 0, err
	}
	return n.ID(), n.Close()
}

// Create makes a new network namespace and mounts it at path, whose directory is made when it is missing. The error is
// fs.ErrExist when a namespace is there already. A plain empty file, which is what a reboot or a crash in the middle of
// Create leaves, is used again; any other file is an error.
func Create(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return fmt.Errorf("create namespace %q: %w", path, err)
	}
	switch _, err := ID(path); {
	case err == nil:
		return fmt.Errorf("create namespace %q: %w", path, fs.ErrExist)
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrNotNamespace):
		return fmt.Errorf("create namespace: %w", err)
	}
	if err := touch(path); err != nil {
		return fmt.Errorf("create namespace %q: %w", path, err)
	}
	if err := onThread(func() error { return mountNew(path) }); err != nil {
		return errors.Join(fmt.Errorf("create namespace %q: %w", path, err), os.Remove(path))
	}
	return nil
}

// touch makes the file that a namespace is mounted on, or finds that a plain and empty one is there.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if !st.Mode().IsRegular() || st.Size() != 0 {
		return fmt.Errorf("another file is in the way: %w", ErrNotNamespace)
	}
	return nil
}

// mountNew gives the calling thread a namespace of its own and mounts that.
func mountNew(path string) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	// By thread id rather than /proc/thread-self, which is younger than some of the kernels that containers meet.
	self := "/proc/self/task/" + strconv.Itoa(unix.Gettid()) + "/ns/net"
	if err := unix.Mount(self, path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", self, err)
	}
	return nil
}

// Delete unmounts the namespace at path and removes the file. The namespace itself lives on as long as a process, a
// socket or an open file is in it. Nothing at path is no error; a file that Create would not have made is one.
func Delete(path string) error {
	switch _, err := ID(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, ErrNotNamespace):
		if err := touch(path); err != nil {
			return fmt.Errorf("delete namespace %q: %w", path, err)
		}
	case err != nil:
		return fmt.Errorf("delete namespace: %w", err)
	default:
		if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("delete namespace %q: unmount: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete namespace %q: %w", path, err)
	}
	return nil
}

// List returns the names, sorted, of the network namespaces in dir. A directory that is missing has none.
func List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !mountable(e.Type()) {
			continue
		}
		switch _, err := ID(filepath.Join(dir, e.Name())); {
		case err == nil:
			names = append(names, e.Name())
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, ErrNotNamespace), errors.Is(err, fs.ErrPermission):
			// Gone meanwhile, or not one of ours: another program's file may be anything.
		default:
			return nil, fmt.Errorf("list namespaces: %w", err)
		}
	}
	return names, nil
}

// mountable tells whether a file of that type can be a namespace. The directory shows the type of the file below the
// mount or that of the namespace, which is a plain file or unknown; opening anything else could have an effect.
func mountable(t fs.FileMode) bool { return t&^fs.ModeIrregular == 0 }
