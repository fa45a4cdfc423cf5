// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/feed"
)

// catalogue remembers, for every file, what it last said that was good. It is the memory between two readings of a
// directory; everything else is made anew each time.
type catalogue struct {
	good map[string]accepted // by name of file
}

// accepted is what a file said that was good: its part of the set, and the names and UUIDs in it.
type accepted struct {
	set    feed.Set
	claims []claim
}

// reading is what one reading of a directory came to.
type reading struct {
	set      feed.Set
	errs     []error  // what is wrong, by file and line; Error, all of them
	complete bool     // no file is bad: nothing that is not in the set was meant to be
	dirs     []string // folders of the files that manifests refer to
}

// read reads a directory and brings the catalogue up to date. The error says that the directory could not be read; then
// nothing changed.
func (c *catalogue) read(fsys fs.FS, dir string) (reading, error) {
	names, err := list(fsys)
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err // the path in it is ".", whatever the folder is called
		}
		return reading{}, fmt.Errorf("read folder %q: %w", dir, err)
	}
	units := make(map[string]*unit, len(names))
	for _, name := range names {
		units[name] = readUnit(&reader{fsys: fsys, dir: dir}, name)
	}
	maps.DeleteFunc(c.good, func(name string, _ accepted) bool { return units[name] == nil })
	return c.resolve(names, units), nil
}

// resolve chooses for every file between what it says now and what it last said that was good, so that what was chosen
// goes together. Each round either finds nothing wrong or gives up one file's present content, and so it ends.
func (c *catalogue) resolve(names []string, units map[string]*unit) reading {
	r := newRound()
	for !c.attempt(r, names, units) {
		r = newRound()
	}
	out := reading{set: newSet(), complete: true}
	for _, name := range names {
		if units[name].bad() {
			r.offer(units[name]) // for the messages: what it lacks is not what it has itself
		}
	}
	dirs := map[string]bool{}
	for _, name := range names {
		u := units[name]
		for _, ref := range u.refs {
			dirs[path.Dir(ref)] = true
		}
		if u.bad() {
			out.complete = false
			u.report(append(r.conflicts(u), r.link(u)...)) // all that is wrong with a file at once
		} else {
			c.good[name] = accepted{set: r.linked[u], claims: u.claims()}
			r.kept[name] = true
		}
		out.errs = append(append(out.errs, u.sorted()...), u.warnings...)
		if r.kept[name] {
			set := c.good[name].set
			maps.Copy(out.set.Apps, set.Apps)
			maps.Copy(out.set.Networks, set.Networks)
			maps.Copy(out.set.Metadata, set.Metadata)
			maps.Copy(out.set.NetworkMetadata, set.NetworkMetadata)
		}
	}
	out.dirs = slices.AppendSeq([]string{}, maps.Keys(dirs)) // not nil: it is known which
	return out
}

// attempt plays one round and says whether nothing was wrong in it.
func (c *catalogue) attempt(r *round, names []string, units map[string]*unit) bool {
	ok := true
	for _, name := range names {
		u := units[name]
		if !u.bad() {
			ok = u.report(r.take(u)) && ok
		}
		if old, has := c.good[name]; has && u.bad() {
			r.keep(name, u.file, old)
		}
	}
	for _, name := range names {
		if u := units[name]; !u.bad() {
			ok = u.report(r.link(u)) && ok
		}
	}
	return ok
}

func newSet() feed.Set {
	return feed.Set{
		Apps:            map[string]eve.AppInstanceConfig{},
		Networks:        map[string]eve.NetworkInstanceConfig{},
		Metadata:        map[string]eve.InstanceMetadata{},
		NetworkMetadata: map[string]eve.NetworkMetadata{},
	}
}

// report adds problems to those of the file and says whether there were none.
func (u *unit) report(errs []error) bool {
	for _, err := range errs {
		if len(u.errs) < maxProblems {
			u.errs = append(u.errs, err)
		}
	}
	return len(errs) == 0
}
