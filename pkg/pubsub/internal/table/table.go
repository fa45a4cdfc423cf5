// SPDX-License-Identifier: Apache-2.0

// Package table holds the present state of one published table and tells each of
// its readers what changed since the reader last asked. A reader that does not
// ask costs nothing: changes that follow each other merge.
//
// The publishers of packages memory and socket write it; memory's subscriptions
// and socket's connections read it.
package table

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"github.com/lf-edge/eve-metadata/pkg/pubsub/internal/wire"
)

// Table is the state of one table. Its zero value is an empty table without a
// publisher. All methods may be called from any goroutine.
type Table struct {
	mu        sync.Mutex
	values    map[string]*wire.Value
	restarted int
	published bool
	readers   map[*Reader]struct{}
}

// Get returns a key's value, nil if there is none.
func (t *Table) Get(key string) *wire.Value {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.values[key]
}

// Set sets a key's value; nil deletes it.
func (t *Table) Set(key string, v *wire.Value) {
	t.change(func() {
		if v == nil {
			delete(t.values, key)
			return
		}
		if t.values == nil {
			t.values = map[string]*wire.Value{}
		}
		t.values[key] = v
	})
}

// SetRestarted sets the restart counter.
func (t *Table) SetRestarted(n int) { t.change(func() { t.restarted = n }) }

// SetPublished says whether the table has a publisher.
func (t *Table) SetPublished(yes bool) { t.change(func() { t.published = yes }) }

// Withdraw deletes all keys if clear is set, and the restart counter.
func (t *Table) Withdraw(clearKeys bool) {
	t.change(func() {
		if clearKeys {
			t.values = nil
		}
		t.restarted = 0
	})
}

func (t *Table) change(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
	for r := range t.readers {
		select {
		case r.wake <- struct{}{}:
		default: // it has not taken the last wake-up yet and will see this change too
		}
	}
}

// Published says whether the table has a publisher.
func (t *Table) Published() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.published
}

// Restarted returns the restart counter.
func (t *Table) Restarted() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.restarted
}

// Values returns a copy of the table: the values as they were set.
func (t *Table) Values() map[string][]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[string][]byte, len(t.values))
	for k, v := range t.values {
		all[k] = bytes.Clone(v.JSON)
	}
	return all
}

// Reader follows a table. Its methods are for one goroutine.
type Reader struct {
	table *Table
	wake  chan struct{}
	seen  map[string]*wire.Value
}

// NewReader returns a reader that has seen nothing yet and is to be woken.
// Its user closes it.
func (t *Table) NewReader() *Reader {
	r := &Reader{table: t, wake: make(chan struct{}, 1), seen: map[string]*wire.Value{}}
	r.wake <- struct{}{}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.readers == nil {
		t.readers = map[*Reader]struct{}{}
	}
	t.readers[r] = struct{}{}
	return r
}

// Close ends the reader.
func (r *Reader) Close() {
	r.table.mu.Lock()
	defer r.table.mu.Unlock()
	delete(r.table.readers, r)
}

// Wake receives when there may be something new for Next.
func (r *Reader) Wake() <-chan struct{} { return r.wake }

// Change is one key that differs from what a reader saw. Old is nil for a key
// that is new to the reader.
type Change struct {
	Key      string
	Old, New *wire.Value
}

// Changes is what lies between two looks at a table: keys that went, keys that
// came or differ, both sorted. Restarted and Published are the table's present ones.
type Changes struct {
	Deleted   []string
	Updated   []Change
	Restarted int
	Published bool
}

// Next returns what changed since the last call.
func (r *Reader) Next() Changes {
	t := r.table
	t.mu.Lock()
	defer t.mu.Unlock()
	c := Changes{Restarted: t.restarted, Published: t.published}
	for key := range r.seen {
		if t.values[key] == nil {
			c.Deleted = append(c.Deleted, key)
			delete(r.seen, key)
		}
	}
	slices.Sort(c.Deleted)
	for key, now := range t.values {
		// A value that changed and changed back has another address, equal bytes.
		old := r.seen[key]
		if old == now || old != nil && bytes.Equal(old.JSON, now.JSON) {
			continue
		}
		r.seen[key] = now
		c.Updated = append(c.Updated, Change{Key: key, Old: old, New: now})
	}
	slices.SortFunc(c.Updated, func(a, b Change) int { return strings.Compare(a.Key, b.Key) })
	return c
}
