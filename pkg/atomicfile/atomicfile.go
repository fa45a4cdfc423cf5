// SPDX-License-Identifier: Apache-2.0

// Package atomicfile puts files in place whole or not at all.
//
// In come a path and content; what is at the path afterwards, also after a loss of power at the worst
// moment, is the old file or all of the new one. The pubsub driver keeps its checkpoints with it, the
// metadata server its drives and its secret.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Group may read a file, beside its owner; 0 is for none. The owner has to be in the group, or to have CAP_CHOWN.
type Group int

// Replace puts content at a path, in place of a file that may be there. The file has mode 0600, or 0640 and a
// group that may read it, of which there is at most one. Until it is whole it has another name in the same folder, which begins with temporary and then has digits only;
// a crash can leave such a file behind. The error names no file: the same trouble has the same text at
// every attempt, and the caller knows which file it is about.
//
// It has synced the file, not the folder: SyncFolder does that, once for as many files as there are.
func Replace(path, temporary string, content []byte, readers ...Group) error {
	name, err := write(path, temporary, content, readers...)
	if err == nil {
		if err = os.Rename(name, path); err != nil {
			_ = os.Remove(name) // the first error says more
		}
	}
	return WithoutPath(err)
}

// Create is Replace, but where a file is already at the path it leaves that alone, and the error is
// fs.ErrExist: of two that create a file at the same time, one does.
func Create(path, temporary string, content []byte) error {
	name, err := write(path, temporary, content)
	if err == nil {
		err = os.Link(name, path)
		_ = os.Remove(name) // a name more or less: the file is there, or another one is
	}
	return WithoutPath(err)
}

// write makes a synced file under a temporary name, which it returns. On error there is none.
func write(path, temporary string, content []byte, readers ...Group) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), temporary)
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	for _, g := range readers {
		if err == nil && g != 0 {
			err = errors.Join(f.Chown(-1, int(g)), f.Chmod(0o640))
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error says more
	}
	return f.Name(), err
}

// SyncFolder makes what was put into a folder, and removed from it, outlive a loss of power.
func SyncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}

// WithoutPath returns what the kernel said in an error of package os, without the names of the files.
func WithoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}
