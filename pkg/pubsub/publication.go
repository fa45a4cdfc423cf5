// SPDX-License-Identifier: Apache-2.0

package pubsub

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Publication is the writing side of a topic. All methods may be called from
// any goroutine.
type Publication[T any] struct {
	raw     RawPublisher
	table   Table
	skipped []error

	mu     sync.Mutex
	values map[string][]byte // JSON of every value that decodes into T
}

// ValueError says that the value of one key does not decode into its topic's type.
type ValueError struct {
	Table Table
	Key   string
	Err   error
}

// Error names the table and the key.
func (e *ValueError) Error() string {
	return fmt.Sprintf("decode %s key %q: %v", e.Table.Name(), e.Key, e.Err)
}

// Unwrap returns the decoder's error.
func (e *ValueError) Unwrap() error { return e.Err }

// NewPublication opens a topic for writing. The publication starts with what an
// earlier run left behind (see Table), of which the owner deletes what is stale.
// Errors are those of Driver.Publish.
func NewPublication[T any](d Driver, t Topic[T]) (*Publication[T], error) {
	raw, err := d.Publish(t.Table)
	if err != nil {
		return nil, fmt.Errorf("publish %s: %w", t.Name(), err)
	}
	p := &Publication[T]{raw: raw, table: t.Table, values: raw.Values()}
	for _, key := range slices.Sorted(maps.Keys(p.values)) {
		if _, err := decode[T](p.values[key]); err != nil {
			p.skipped = append(p.skipped, &ValueError{Table: t.Table, Key: key, Err: err})
			delete(p.values, key)
		}
	}
	return p, nil
}

// Skipped returns one *ValueError for each value that an earlier run left behind
// and that does not decode into T. Such a value is in neither Get nor Table; it
// stays published until its key is set or deleted.
func (p *Publication[T]) Skipped() []error { return slices.Clone(p.skipped) }

// Set publishes v under key. Errors are those of RawPublisher.Set; then nothing
// changed. The publication keeps no reference to v.
func (p *Publication[T]) Set(key string, v T) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s key %q: %w", p.table.Name(), key, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.raw.Set(key, value); err != nil {
		return fmt.Errorf("set %s key %q: %w", p.table.Name(), key, err)
	}
	p.values[key] = value
	return nil
}

// Delete removes a key; that it was absent is no error.
func (p *Publication[T]) Delete(key string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.raw.Delete(key); err != nil {
		return fmt.Errorf("delete %s key %q: %w", p.table.Name(), key, err)
	}
	delete(p.values, key)
	return nil
}

// Get returns a copy of one value, and whether there is one.
func (p *Publication[T]) Get(key string) (T, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	value, ok := p.values[key]
	if !ok {
		var none T
		return none, false
	}
	v, err := decode[T](value)
	return v, err == nil
}

// Table returns a copy of all values by key.
func (p *Publication[T]) Table() map[string]T {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[string]T, len(p.values))
	for key, value := range p.values {
		if v, err := decode[T](value); err == nil {
			all[key] = v
		}
	}
	return all
}

// SignalRestarted adds one to the restart counter: all that the owner had to
// publish at its start is published.
func (p *Publication[T]) SignalRestarted() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.raw.SetRestarted(p.raw.Restarted() + 1); err != nil {
		return fmt.Errorf("signal restart of %s: %w", p.table.Name(), err)
	}
	return nil
}

// ClearRestarted sets the restart counter to 0. Owners of a table do so right
// after they opened it.
func (p *Publication[T]) ClearRestarted() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.raw.SetRestarted(0); err != nil {
		return fmt.Errorf("clear restart of %s: %w", p.table.Name(), err)
	}
	return nil
}

// Close withdraws the table, see RawPublisher.Close.
func (p *Publication[T]) Close() error { return p.raw.Close() }

// Detach stops publishing and leaves the table behind, see RawPublisher.Detach.
func (p *Publication[T]) Detach() error { return p.raw.Detach() }
