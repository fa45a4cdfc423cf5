// SPDX-License-Identifier: Apache-2.0

package pubsub

import "reflect"

// Topic is a table whose values have the type T.
type Topic[T any] struct{ Table }

// TopicOption changes a topic's table.
type TopicOption func(*Table)

// Persistent makes a table outlive a reboot.
func Persistent() TopicOption { return func(t *Table) { t.Persistent = true } }

// Scope puts a table under a scope of its agent.
func Scope(s string) TopicOption { return func(t *Table) { t.Scope = s } }

// TopicOf returns the table in which an agent publishes values of type T. Its
// topic is the bare name of the type (EVE pubsub), so T is a named type. The
// topic of a type without a name is empty: publishing or subscribing to it is
// refused with ErrBadTable.
func TopicOf[T any](agent string, opts ...TopicOption) Topic[T] {
	t := Table{Agent: agent, Topic: reflect.TypeFor[T]().Name()}
	for _, o := range opts {
		o(&t)
	}
	return Topic[T]{Table: t}
}
