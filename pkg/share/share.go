// SPDX-License-Identifier: Apache-2.0

// Package share makes the folders in which the service's processes meet: each of them is for its owner, and for the one
// group whose members are let in, or for everybody.
//
// In come a path and who is let in; out comes the folder, the way to it open for everybody. Whoever makes sockets and
// files that another process of the service reads calls it.
package share

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// modes of what is made.
const (
	private = 0o700
	shared  = 0o750
	passage = 0o755 // of the folders on the way: their names are no secret
)

// Folder makes a folder, and what is missing on the way to it. The folder is for its owner alone and, if group is not 0, for
// that group's members to read; it is so afterwards also if it was there before. Folders on the way are left as they are
// unless they are missing.
//
// To give a folder to a group, the caller has to own it, and to be in the group or to have CAP_CHOWN.
func Folder(path string, group int) error {
	if err := Passage(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, private); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if group == 0 {
		return os.Chmod(path, private)
	}
	return With(path, group, shared)
}

// With gives a file, a socket or a folder to a group, and sets its mode. The mode is last, so that nobody but the group is
// let in on the way there.
func With(path string, group int, mode os.FileMode) error {
	if err := os.Lchown(path, -1, group); err != nil {
		return fmt.Errorf("give %q to group %d: %w", path, group, err)
	}
	return os.Chmod(path, mode)
}

// Passage makes a folder and those above it, open for everybody to pass and to look, whatever the umask is. What is there is
// left as it is.
func Passage(path string) error {
	info, err := os.Stat(path)
	if err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%q is no folder", path)
		}
		return nil
	}
	if err := Passage(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, passage); err != nil {
		if errors.Is(err, os.ErrExist) {
			return nil // another process was quicker
		}
		return err
	}
	return os.Chmod(path, passage)
}
