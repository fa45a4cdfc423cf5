// SPDX-License-Identifier: Apache-2.0

package socket

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// pointTries bounds the steps from an existing folder down to one that is being
// made at the same time. Each step but the last is one new folder.
const pointTries = 16

// watcher is the one inotify instance of a driver: a user has 128 of them. It
// exists while an alert is open. Its zero value is ready to use.
type watcher struct {
	ops    sync.Mutex // held over changes of what is watched; never by loop
	notify *fsnotify.Watcher
	done   chan struct{}

	mu     sync.Mutex // held by loop; never over calls of notify
	alerts map[*alert]struct{}
}

// alert says that something moved in the folder that it points at. Its owner
// closes it.
type alert struct {
	watcher *watcher
	c       chan struct{}
	dir     string // written under both locks
}

// open returns an alert that points nowhere yet.
func (w *watcher) open() *alert {
	w.ops.Lock()
	defer w.ops.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	a := &alert{watcher: w, c: make(chan struct{}, 1)}
	if w.alerts == nil {
		w.alerts = map[*alert]struct{}{}
	}
	w.alerts[a] = struct{}{}
	return a
}

// close ends the alert, and the watcher with the last one.
func (a *alert) close() {
	w := a.watcher
	w.ops.Lock()
	defer w.ops.Unlock()
	w.mu.Lock()
	delete(w.alerts, a)
	last := len(w.alerts) == 0
	w.mu.Unlock()
	if w.notify == nil {
		return
	}
	if !last {
		w.forget(a.dir)
		return
	}
	_ = w.notify.Close() // releases a file descriptor, nothing is lost
	<-w.done
	w.notify = nil
}

// point makes the alert watch the folder in which file is or, while that does not
// exist, the nearest one above it. On error the alert stays silent.
func (a *alert) point(file string) error {
	w := a.watcher
	w.ops.Lock()
	defer w.ops.Unlock()
	if err := w.start(); err != nil {
		return err
	}
	want := filepath.Dir(file)
	for range pointTries {
		dir := nearest(want)
		err := w.notify.Add(dir) // again even if it is watched: it may be a new folder of that name
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		w.move(a, dir)
		if nearest(want) == dir {
			return nil
		}
	}
	return nil
}

// move makes dir the folder of an alert.
func (w *watcher) move(a *alert, dir string) {
	w.mu.Lock()
	old := a.dir
	a.dir = dir
	w.mu.Unlock()
	if old != dir {
		w.forget(old)
	}
}

// forget stops watching a folder that no alert points at.
func (w *watcher) forget(dir string) {
	w.mu.Lock()
	used := dir == ""
	for a := range w.alerts {
		used = used || a.dir == dir
	}
	w.mu.Unlock()
	if !used {
		_ = w.notify.Remove(dir) // fails if the folder is gone, and the watch with it
	}
}

// nearest returns dir or the first folder above it that exists.
func nearest(dir string) string {
	for {
		info, err := os.Stat(dir)
		if parent := filepath.Dir(dir); (err != nil || !info.IsDir()) && parent != dir {
			dir = parent
			continue
		}
		return dir
	}
}

func (w *watcher) start() error {
	if w.notify != nil {
		return nil
	}
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	w.notify, w.done = n, make(chan struct{})
	go w.loop(n, w.done)
	return nil
}

// loop alerts until the watcher is closed. It calls nothing that could wait for it.
func (w *watcher) loop(n *fsnotify.Watcher, done chan<- struct{}) {
	defer close(done)
	for {
		select {
		case e, ok := <-n.Events:
			if !ok {
				return
			}
			w.alert(func(dir string) bool { return dir == e.Name || dir == filepath.Dir(e.Name) })
		case _, ok := <-n.Errors:
			if !ok {
				return
			}
			w.alert(func(string) bool { return true }) // events were lost
		}
	}
}

func (w *watcher) alert(concerns func(dir string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for a := range w.alerts {
		if !concerns(a.dir) {
			continue
		}
		select {
		case a.c <- struct{}{}:
		default: // alerted already
		}
	}
}
