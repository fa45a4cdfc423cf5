// SPDX-License-Identifier: Apache-2.0

package pubsub

import (
	"context"
	"fmt"
	"reflect"
)

// Event is one thing that happened to a topic. Key is set for Create, Modify and
// Delete; Value for Create and Modify; Old for Modify and Delete; Restarted for
// Restarted. Value and Old are shared with the subscription: a handler must not
// change what they refer to.
type Event[T any] struct {
	Kind       EventKind
	Key        string
	Value, Old T
	Restarted  int
}

// SubscribeOption changes a subscription.
type SubscribeOption func(*subscribeOptions)

type subscribeOptions struct{ onError func(error) }

// OnError has f called, from the handler's goroutine, with a *ValueError for
// each received value that does not decode into the topic's type. Without this
// option such values are passed over in silence.
func OnError(f func(error)) SubscribeOption {
	return func(o *subscribeOptions) { o.onError = f }
}

// Subscribe calls handle for everything that happens to a topic, always from one
// goroutine, until ctx ends; then it returns nil. A value that does not decode
// leaves the value before it in force. Modify comes only for a value that
// differs once decoded, so fields that T does not have cause no events.
func Subscribe[T any](ctx context.Context, d Driver, t Topic[T], handle func(Event[T]), opts ...SubscribeOption) error {
	s := subscription[T]{table: t.Table, handle: handle, values: map[string]T{}}
	for _, o := range opts {
		o(&s.opts)
	}
	if err := d.Subscribe(ctx, t.Table, s.event); err != nil {
		return fmt.Errorf("subscribe to %s: %w", t.Name(), err)
	}
	return nil
}

type subscription[T any] struct {
	table  Table
	opts   subscribeOptions
	handle func(Event[T])
	values map[string]T
}

func (s *subscription[T]) event(e RawEvent) {
	switch e.Kind {
	case Create, Modify:
		s.update(e.Key, e.Value)
	case Delete:
		if old, ok := s.values[e.Key]; ok {
			delete(s.values, e.Key)
			s.handle(Event[T]{Kind: Delete, Key: e.Key, Old: old})
		}
	default:
		s.handle(Event[T]{Kind: e.Kind, Restarted: e.Restarted})
	}
}

func (s *subscription[T]) update(key string, value []byte) {
	v, err := decode[T](value)
	if err != nil {
		if s.opts.onError != nil {
			s.opts.onError(&ValueError{Table: s.table, Key: key, Err: err})
		}
		return
	}
	old, known := s.values[key]
	if known && reflect.DeepEqual(old, v) {
		return
	}
	s.values[key] = v
	if known {
		s.handle(Event[T]{Kind: Modify, Key: key, Value: v, Old: old})
		return
	}
	s.handle(Event[T]{Kind: Create, Key: key, Value: v})
}
