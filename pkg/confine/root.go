// SPDX-License-Identifier: Apache-2.0

package confine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// enterRoot makes Root a file system of nothing but what the policy names, each under its own path and writable only where
// the process may write, and the process's root. What is mounted below those paths later, as a vault that is opened, comes
// along.
func (p Policy) enterRoot() (lack string, err error) {
	if p.Root == "" {
		return "", nil
	}
	for _, step := range []func() error{
		// Mounts come from outside, and go nowhere.
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "") },
		func() error {
			return unix.Mount("tmpfs", p.Root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755")
		},
		p.bindAll,
		func() error { return readOnly(p.Root, 0) },
		func() error { return unix.Chroot(p.Root) },
		func() error { return os.Chdir("/") },
	} {
		if err := step(); err != nil {
			return fmt.Sprintf("a file system of its own: %v", err), nil
		}
	}
	return "", nil
}

// part is a path that the process sees.
type part struct {
	path     string
	writable bool
}

// parts are all paths of the policy, those above others first.
func (p Policy) parts() []part {
	var all []part
	for _, of := range []struct {
		paths    []string
		writable bool
	}{{p.Read, false}, {p.Files, false}, {p.Own, true}, {p.Take, true}, {p.Devices, true}} {
		for _, path := range of.paths {
			all = append(all, part{filepath.Clean(path), of.writable})
		}
	}
	slices.SortStableFunc(all, func(a, b part) int { return strings.Compare(a.path, b.path) })
	return all
}

// bindAll puts the parts into place. Those that are not there are left out.
func (p Policy) bindAll() error {
	for _, part := range p.parts() {
		if err := part.bind(p.Root); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%q: %w", part.path, err)
		}
	}
	return nil
}

func (p part) bind(root string) error {
	info, err := os.Stat(p.path)
	if err != nil {
		return err
	}
	target := filepath.Join(root, p.path)
	if err := place(target, info.IsDir()); err != nil {
		return err
	}
	if err := unix.Mount(p.path, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if p.writable {
		return nil
	}
	return readOnly(target, unix.AT_RECURSIVE)
}

// place makes what a part is mounted on, unless a part above it has it.
func place(target string, folder bool) error {
	if folder {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if _, err := os.Lstat(target); err == nil {
		return nil
	}
	return os.WriteFile(target, nil, 0o600)
}

// readOnly makes a mount one that is only read from, and with AT_RECURSIVE those below it.
func readOnly(target string, flags uint) error {
	err := unix.MountSetattr(unix.AT_FDCWD, target, flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if err != nil {
		return fmt.Errorf("make it one to be read: %w", err)
	}
	return nil
}
