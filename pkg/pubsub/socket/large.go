// SPDX-License-Identifier: Apache-2.0

package socket

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lf-edge/eve-metadata/pkg/atomicfile"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/internal/wire"
	"github.com/lf-edge/eve-metadata/pkg/share"
)

// writeLarge writes the large fields of one value for one send to one
// subscriber, which removes the files, and returns their paths. Unless it is 0,
// subscribers are of the group. On error none remains.
func writeLarge(dir string, fields []wire.Large, group int) ([]string, error) {
	if len(fields) == 0 {
		return nil, nil
	}
	if err := makeLargeFolder(dir, group); err != nil {
		return nil, fmt.Errorf("make folder of large fields: %w", err)
	}
	names := make([]string, 0, len(fields))
	for _, l := range fields {
		name, err := writeNew(dir, l, group)
		if err != nil {
			removeAll(names)
			return nil, fmt.Errorf("write large field into %q: %w", dir, atomicfile.WithoutPath(err))
		}
		names = append(names, name)
	}
	return names, nil
}

// makeLargeFolder makes a folder out of which subscribers remove files.
func makeLargeFolder(dir string, group int) error {
	if group == 0 {
		return os.MkdirAll(dir, 0o755)
	}
	if err := share.Folder(filepath.Dir(dir), group); err != nil {
		return err
	}
	if err := share.Folder(dir, group); err != nil {
		return err
	}
	return os.Chmod(dir, 0o770)
}

// writeNew writes a file with a random end to its name, for the owner to read
// and, unless it is 0, for a group.
func writeNew(dir string, l wire.Large, group int) (string, error) {
	f, err := os.CreateTemp(dir, l.Base)
	if err != nil {
		return "", err
	}
	_, err = f.Write(l.Content)
	if err == nil && group != 0 {
		// By the descriptor: in this folder the group may have put something else in the place of the name.
		err = errors.Join(f.Chown(-1, group), f.Chmod(0o640))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		removeAll([]string{f.Name()})
		return "", err
	}
	return f.Name(), nil
}

// removeAll removes files that nobody was told of. What it leaves, removeStaleLarge takes.
func removeAll(names []string) {
	for _, n := range names {
		_ = os.Remove(n)
	}
}

// inLargeRoot calls f with the folder of a table's large fields and a path below
// it. Nothing outside of that folder is touched, whatever a publisher's message
// says: neither files of others nor what another subscriber is to take.
func inLargeRoot(root, path string, f func(r *os.Root, below string) error) error {
	below, ok := strings.CutPrefix(filepath.Clean(path), filepath.Clean(root)+"/")
	if !ok {
		return fmt.Errorf("path %q is not below %q: %w", path, root, wire.ErrMalformed)
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	return errors.Join(f(r, below), r.Close())
}

// readLarge reads the file of a large field.
func readLarge(root, path string) (content []byte, err error) {
	err = inLargeRoot(root, path, func(r *os.Root, below string) error {
		info, err := r.Lstat(below)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("file %q is not regular: %w", path, wire.ErrMalformed)
		}
		f, err := r.Open(below)
		if err != nil {
			return err
		}
		defer f.Close()
		content, err = readLimited(f, pubsub.MaxLargeFile)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read large field: %w", err)
	}
	return content, nil
}

// removeLarge removes the file of a large field, but no folder.
func removeLarge(root, path string) error {
	err := inLargeRoot(root, path, func(r *os.Root, below string) error {
		info, err := r.Lstat(below)
		if err != nil || info.IsDir() {
			return err
		}
		return r.Remove(below)
	})
	if err != nil {
		return fmt.Errorf("remove large field: %w", err)
	}
	return nil
}

// removeStaleLarge removes files of a table that are so old that no subscriber
// will take them any more, and returns whether there are younger ones.
func removeStaleLarge(dir string, age time.Duration) (younger bool) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false // most tables have no large fields, hence no folder
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasPrefix(e.Name(), pubsub.FilePrefix) {
			continue
		}
		if time.Since(info.ModTime()) < age {
			younger = true
			continue
		}
		removeAll([]string{filepath.Join(dir, e.Name())})
	}
	return younger
}

// sweep waits until the files that a crash has left are old enough to be removed.
func (p *publisher) sweep() {
	timer := time.NewTimer(p.driver.times.staleLarge())
	defer timer.Stop()
	select {
	case <-p.stop:
	case <-timer.C:
		removeStaleLarge(p.paths.large, p.driver.times.staleLarge())
	}
}
