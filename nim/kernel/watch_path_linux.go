// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/plan"
)

// WatchNames calls changed with the name of each namespace of ours that comes or goes, until ctx ends. One that has just
// come may take a moment until it can be opened. The directory is made when it is missing.
func (k *Kernel) WatchNames(ctx context.Context, changed func(name string)) error {
	if err := os.MkdirAll(k.dir, dirMode); err != nil {
		return fmt.Errorf("watch namespaces: %w", err)
	}
	all := func() error {
		names, err := k.Names()
		for _, name := range names {
			changed(name)
		}
		return err
	}
	return watchDir(ctx, k.dir, all, func(name string) {
		if plan.IsNamespace(name) {
			changed(name)
		}
	})
}

// watchDir calls changed with the name of each file that comes or goes, until ctx ends, and all when some were missed.
func watchDir(ctx context.Context, dir string, all func() error, changed func(name string)) (err error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch directory: %w", err)
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := w.Add(dir); err != nil {
		return fmt.Errorf("watch directory %q: %w", dir, err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-w.Events:
			if event.Has(fsnotify.Create) || event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename) {
				changed(filepath.Base(event.Name))
			}
		case err := <-w.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch directory %q: %w", dir, err)
			}
			if err := all(); err != nil {
				return err
			}
		}
	}
}

// watchPath calls changed when the namespace at a path that others made comes to its end: with the file, or, below /proc,
// with the process. It returns when ctx ends, and after the end of the process.
func watchPath(ctx context.Context, path string, changed func()) error {
	if process, ok := strings.CutPrefix(path, "/proc/"); ok {
		id, _, _ := strings.Cut(process, "/")
		if pid, err := strconv.Atoi(id); err == nil {
			return watchProcess(ctx, pid, changed)
		}
	}
	return watchDir(ctx, filepath.Dir(path), func() error { changed(); return nil }, func(name string) {
		if name == filepath.Base(path) {
			changed()
		}
	})
}

// watchProcess calls changed when a process has ended.
func watchProcess(ctx context.Context, pid int, changed func()) error {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch process %d: %w", pid, err)
	}
	process := os.NewFile(uintptr(fd), "process")
	defer process.Close()
	stop := context.AfterFunc(ctx, func() { _ = process.Close() })
	defer stop()
	conn, err := process.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch process %d: %w", pid, err)
	}
	err = conn.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 && err == nil
	})
	switch {
	case err == nil:
		changed()
	case ctx.Err() == nil:
		return fmt.Errorf("watch process %d: %w", pid, err)
	}
	return nil
}
