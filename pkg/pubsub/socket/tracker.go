// SPDX-License-Identifier: Apache-2.0

package socket

import (
	"fmt"
	"maps"
	"slices"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/internal/wire"
)

// tracker knows what a subscriber was told of a table and tells it the rest. A
// full dump lies between begin and complete: keys not seen in it are gone.
type tracker struct {
	handle    func(pubsub.RawEvent)
	values    map[string][]byte
	seen      map[string]struct{} // nil outside of a dump
	synced    bool
	restarted int
}

func newTracker(handle func(pubsub.RawEvent)) *tracker {
	return &tracker{handle: handle, values: map[string][]byte{}}
}

// begin starts a dump.
func (t *tracker) begin() { t.seen = map[string]struct{}{} }

// update tells of a value unless it is the known one. EVE's publisher sends
// every value again whenever one changes. The error says that there are too many.
func (t *tracker) update(key string, value []byte) error {
	t.keep(key)
	old, known := t.values[key]
	if known && wire.Equal(old, value) {
		return nil
	}
	if !known && len(t.values) >= maxKeys {
		return fmt.Errorf("take key %q: over %d keys: %w", key, maxKeys, pubsub.ErrTooLarge)
	}
	t.values[key] = value
	kind := pubsub.Create
	if known {
		kind = pubsub.Modify
	}
	t.handle(pubsub.RawEvent{Kind: kind, Key: key, Value: value})
	return nil
}

// keep says that a key is there, with a value that is not known.
func (t *tracker) keep(key string) {
	if t.seen != nil {
		t.seen[key] = struct{}{}
	}
}

func (t *tracker) delete(key string) {
	delete(t.seen, key)
	if _, known := t.values[key]; !known {
		return
	}
	delete(t.values, key)
	t.handle(pubsub.RawEvent{Kind: pubsub.Delete, Key: key})
}

// complete ends a dump; without one it does nothing.
func (t *tracker) complete() {
	if t.seen == nil {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if _, ok := t.seen[key]; !ok {
			t.delete(key)
		}
	}
	t.seen = nil
	if !t.synced {
		t.synced = true
		t.handle(pubsub.RawEvent{Kind: pubsub.Synced})
	}
}

// abandon ends a dump that cannot be completed.
func (t *tracker) abandon() { t.seen = nil }

func (t *tracker) restart(n int) {
	if n == t.restarted {
		return
	}
	t.restarted = n
	t.handle(pubsub.RawEvent{Kind: pubsub.Restarted, Restarted: n})
}
