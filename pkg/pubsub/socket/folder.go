// SPDX-License-Identifier: Apache-2.0

package socket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/internal/wire"
)

// folder follows a table through its checkpoint files. It runs in the goroutine
// of Driver.Subscribe alone.
type folder struct {
	driver *Driver
	table  pubsub.Table
	dir    string
	state  *tracker
	bad    map[string]string // by file: what was reported last; also "watch" and "folder"
}

// run reads the folder whenever something in it moves, until ctx ends.
func (f *folder) run(ctx context.Context) error {
	alert := f.driver.watcher.open()
	defer alert.close()
	for ctx.Err() == nil {
		// Watched before it is read: what changes in between is read again.
		f.check("watch", alert.point(filepath.Join(f.dir, restartedFile)))
		f.scan()
		wait(ctx, alert, f.driver.times.maxRedial())
	}
	return nil
}

// scan tells of all that differs from the last scan.
func (f *folder) scan() {
	// The counter goes last to subscribers. Read first, it is not ahead of files
	// that were written before it.
	restarted := readRestarted(f.dir)
	f.state.begin()
	err := f.load()
	gone := errors.Is(err, fs.ErrNotExist)
	if err != nil && !gone || gone && !f.state.synced {
		f.state.abandon() // it cannot be read, or no publisher has been there yet
		return
	}
	f.state.complete()
	f.state.restart(restarted)
}

// load tells of the files of the folder. A file that cannot be used leaves the
// value before in force and is reported, once per state of the file.
func (f *folder) load() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			f.check("folder", err)
		}
		return err
	}
	f.check("folder", nil)
	for _, e := range entries {
		key, ok := strings.CutSuffix(e.Name(), valueSuffix)
		if !ok {
			continue
		}
		f.check(e.Name(), f.file(key, filepath.Join(f.dir, e.Name())))
	}
	return nil
}

func (f *folder) file(key, name string) error {
	if err := wire.CheckKey(key); err != nil {
		return err
	}
	value, err := readFile(name, maxCheckpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed since the folder was read
	}
	f.state.keep(key)
	if err != nil {
		return err
	}
	if len(value) == 0 {
		return nil // left by a crash, or about to be written
	}
	if !json.Valid(value) {
		return fmt.Errorf("read %q: no JSON: %w", name, pubsub.ErrBadValue)
	}
	return f.state.update(key, value)
}

// check reports an error of a file unless it is the one reported last.
func (f *folder) check(file string, err error) {
	if err == nil {
		delete(f.bad, file)
		return
	}
	if f.bad[file] == err.Error() {
		return
	}
	if f.bad == nil {
		f.bad = map[string]string{}
	}
	f.bad[file] = err.Error()
	f.driver.report(f.table, fmt.Errorf("follow %q: %w", f.dir, err))
}
