// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watcher watches the directory of the manifests and the folders of the files that they refer to. It watches folders
// only: editors save by renaming, and a watch on a file would stay with the old one.
type watcher struct {
	dir  string
	fs   *fsnotify.Watcher
	seen map[string]os.FileInfo // what is watched, as it was then
}

func newWatcher(dir string) (*watcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch %q: %w", dir, err)
	}
	return &watcher{dir: filepath.Clean(dir), fs: w, seen: map[string]os.FileInfo{}}, nil
}

func (w *watcher) close() { _ = w.fs.Close() } // it only returns what the kernel gave; there is nobody to tell

// watched is what an attempt to watch came to.
type watched int

const (
	watchedSame watched = iota // as before
	watchedMore                // something is watched that was not: it may have changed before
	watchedLess                // something is not there, or cannot be watched
)

// watch makes the watched folders be the directory and, below it, dirs. With nil, folders that were watched before
// stay so. A folder that was replaced by another one of its name is watched anew.
func (w *watcher) watch(dirs []string) watched {
	wanted := []string{w.dir}
	for _, d := range dirs {
		wanted = append(wanted, filepath.Join(w.dir, filepath.FromSlash(d)))
	}
	if dirs != nil {
		for path := range w.seen {
			if !slices.Contains(wanted, path) {
				w.drop(path)
			}
		}
	}
	result := watchedSame
	for _, path := range wanted {
		result = max(result, w.add(path))
	}
	return result
}

func (w *watcher) add(path string) watched {
	info, err := os.Stat(path)
	if err != nil {
		w.drop(path)
		return watchedLess
	}
	if old := w.seen[path]; old != nil && os.SameFile(old, info) && slices.Contains(w.fs.WatchList(), path) {
		return watchedSame
	}
	w.drop(path)
	if err := w.fs.Add(path); err != nil {
		return watchedLess
	}
	w.seen[path] = info
	return watchedMore
}

func (w *watcher) drop(path string) {
	delete(w.seen, path)
	_ = w.fs.Remove(path) // that it is not watched any more is what is wanted
}

// wait returns true when something changed and it has been quiet for a moment since, or when limit, unless it is 0, is
// over; and false when ctx ended.
func (w *watcher) wait(ctx context.Context, limit time.Duration) bool {
	var over <-chan time.Time
	if limit > 0 {
		over = time.After(limit)
	}
	var quiet, enough <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return false
		case <-over:
			return true
		case <-quiet:
			return true
		case <-enough: // somebody writes without pause
			return true
		case <-w.fs.Events:
		case <-w.fs.Errors: //nolint:errcheck // events were lost, and so it is time to look
		}
		quiet = time.After(settle)
		if enough == nil {
			enough = time.After(maxSettle)
		}
	}
}
