// SPDX-License-Identifier: Apache-2.0

// Package mirror keeps a copy of a file that others write anew now and then, for a process that is not to see the folder
// in which they do.
//
// In comes the path of the file, out goes the copy, which is whole at any time and gone when the file is. The commands run
// it in a process that may read both.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/pkg/atomicfile"
	"github.com/lf-edge/eve-metadata/pkg/share"
	"github.com/lf-edge/eve-metadata/pkg/task"
)

// MaxFile is how much of a file is copied, in bytes; one that is larger is cut off.
const MaxFile = 1 << 20

// File is a file and its copy. It is a task.Task.
type File struct {
	// From is the file; its folder has to be there. To is the copy, for its owner alone, in a folder that is made.
	From, To string
	// Log takes what goes wrong.
	Log logrus.FieldLogger

	ready task.Ready
}

// String names the task.
func (f *File) String() string { return "copy of " + f.From }

// Ready is closed when the copy is the file, or is known not to be possible.
func (f *File) Ready() <-chan struct{} { return f.ready.Done() }

// Run keeps the copy until ctx ends, and returns nil then; the copy stays. An error says that the folder cannot be watched.
func (f *File) Run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %q: %w", f.From, err)
	}
	defer watcher.Close() //nolint:errcheck // it was only read from
	if err := watcher.Add(filepath.Dir(f.From)); err != nil {
		return fmt.Errorf("watch %q: %w", f.From, err)
	}
	for {
		if err := f.copy(); err != nil {
			f.Log.WithError(err).WithField("file", f.From).Warn("file not copied")
		}
		f.ready.Set()
		if !f.await(ctx, watcher) {
			return nil
		}
	}
}

// await waits until the file may be another. It returns false when ctx ends.
func (f *File) await(ctx context.Context, watcher *fsnotify.Watcher) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case e := <-watcher.Events:
			if e.Name == filepath.Clean(f.From) {
				return true
			}
		case err := <-watcher.Errors: // some events were too many
			f.Log.WithError(err).WithField("file", f.From).Warn("file looked at again")
			return true
		}
	}
}

func (f *File) copy() error {
	file, err := os.Open(f.From)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Remove(f.To); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, errors.New("it is no regular file"))
	}
	content, err := io.ReadAll(io.LimitReader(file, MaxFile))
	if err != nil {
		return err
	}
	if err := share.Passage(filepath.Dir(f.To)); err != nil {
		return err
	}
	return atomicfile.Replace(f.To, ".mirror-", content)
}
