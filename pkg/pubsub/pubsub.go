// SPDX-License-Identifier: Apache-2.0

// Package pubsub is the bus on which the parts of the service, and the agents
// of EVE, meet: tables of JSON values, each table written by exactly one
// publisher and read by any number of subscribers.
//
// What comes in: values of a Go type, through a Publication. What goes out: the
// same values, as events, at every Subscribe of that table. Feeds publish; the
// intakes of nim and msrv subscribe; only the command picks a Driver.
//
// A Driver moves bytes: package memory inside one process, package socket
// between processes, with the sockets and the files that EVE's agents use. What
// every driver promises is written at Driver and held by package drivertest.
//
// A subscriber is promised the latest state of a table, not every step towards
// it: values that follow each other faster than a subscriber takes them are
// merged. This is EVE's rule, and it is what lets a publisher never wait.
package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Limits of EVE's pubsub. They hold for every driver, so that what works in a
// test over package memory works on a device.
const (
	// MaxDatagram is the size, in bytes, that a message on the wire stays
	// below. EVE's publisher stops its process at this size; its subscriber
	// reads into a buffer one byte larger. Base64 costs a third, so the JSON of
	// one value, without its large fields, has room for a little under 49 kB.
	MaxDatagram = 65535
	// MaxLargeFile is the size, in bytes, that the file of one large field
	// stays below (EVE pubsub).
	MaxLargeFile = 1 << 20
	// MaxKey is the longest key, in bytes: a key is stored in a file
	// "<key>.json", whose name Linux limits to 255 bytes.
	MaxKey = 255 - len(".json")
	// MaxName is the longest agent, scope or topic, in bytes. A topic stands in
	// the address of a socket, which is 107 bytes long, and in a `request`, of
	// which EVE's publisher reads 255 bytes.
	MaxName = 80
)

// LargePrefix begins the name of a JSON field that is too large for a message:
// a driver carries it outside of the message (EVE pubsub).
const LargePrefix = "pubsub-large-"

// FilePrefix begins the name that EVE's wire gives to such a field while its
// value is in a file. A published value has no field of such a name.
const FilePrefix = "pubsub-file-"

// Errors that callers may test for.
var (
	// ErrInUse says that a table has a publisher already, here or in another process.
	ErrInUse = errors.New("table is already published")
	// ErrTooLarge says that a value is over MaxDatagram or MaxLargeFile.
	ErrTooLarge = errors.New("value is too large")
	// ErrBadKey says that a key is empty, too long, or no name of a file.
	ErrBadKey = errors.New("key is not usable")
	// ErrBadValue says that a value is empty or no JSON object.
	ErrBadValue = errors.New("value is not usable")
	// ErrBadTable says that a table's names cannot be carried.
	ErrBadTable = errors.New("table is not usable")
	// ErrClosed says that a publisher was used after its Close or Detach.
	ErrClosed = errors.New("publisher is closed")
)

// Table names one table of EVE's pubsub. The three names make up the path of its
// socket and of its files. Persistent says whether the values outlive a reboot;
// publisher and subscribers of a table must agree on it.
type Table struct {
	Agent, Scope, Topic string
	Persistent          bool
}

// Name is "<agent>/<topic>", or "<agent>/<scope>/<topic>" when there is a scope.
func (t Table) Name() string {
	if t.Scope == "" {
		return t.Agent + "/" + t.Topic
	}
	return t.Agent + "/" + t.Scope + "/" + t.Topic
}

// Validate returns an error that wraps ErrBadTable unless every driver can carry
// the table. An empty agent is EVE's "global" one: it has files only, and none
// of them outlives a reboot.
func (t Table) Validate() error {
	switch {
	case t.Topic == "":
		return fmt.Errorf("check table %q: no topic: %w", t.Name(), ErrBadTable)
	case t.Agent == "" && t.Persistent:
		return fmt.Errorf("check table %q: the global agent keeps nothing: %w", t.Name(), ErrBadTable)
	}
	for _, n := range []string{t.Agent, t.Scope, t.Topic} {
		if err := checkName(n); err != nil {
			return fmt.Errorf("check table %q: %w", t.Name(), err)
		}
	}
	return nil
}

// checkName refuses what would leave the table's folder or break a message's words.
func checkName(n string) error {
	if len(n) > MaxName {
		return fmt.Errorf("name of %d bytes: %w", len(n), ErrBadTable)
	}
	if n == "." || n == ".." || strings.ContainsFunc(n, badInName) {
		return fmt.Errorf("name %q: %w", n, ErrBadTable)
	}
	return nil
}

func badInName(r rune) bool { return r <= ' ' || r == '/' || r == 0x7f }

// Driver carries tables whose values are JSON objects.
//
// Publish opens a table for writing. The publisher starts with what an earlier
// one left behind. The error wraps ErrInUse while the table has a publisher, and
// ErrBadTable when its names cannot be carried.
//
// Subscribe calls handle, always from one goroutine, for everything that happens
// to a table, until ctx ends; then it returns nil. It waits for a publisher that
// is not there yet, and for the next one when a publisher goes. Other errors
// mean that the subscription cannot work at all.
type Driver interface {
	Publish(t Table) (RawPublisher, error)
	Subscribe(ctx context.Context, t Table, handle func(RawEvent)) error
}

// RawPublisher writes one table. All methods may be called from any goroutine.
// None waits for a subscriber, except that Close and Detach give subscribers a
// short, bounded time to take what was not sent yet.
type RawPublisher interface {
	// Set makes value, a JSON object, the table's value of key. A value equal
	// to the present one is not sent. The error wraps ErrBadKey, ErrBadValue,
	// ErrTooLarge or ErrClosed, or is that of the disk; then nothing changed.
	Set(key string, value []byte) error
	// Delete removes a key. That it was absent is no error.
	Delete(key string) error
	// Values returns a copy of the table. Right after Publish it is what an
	// earlier publisher left behind.
	Values() map[string][]byte
	// SetRestarted sets the restart counter, which tells subscribers that the
	// table is complete for the n-th time; 0 clears it.
	SetRestarted(n int) error
	// Restarted returns the restart counter.
	Restarted() int
	// Close withdraws the table: the restart counter is cleared and, unless the
	// table is persistent, every key deleted. A second call does nothing.
	Close() error
	// Detach stops publishing and leaves all behind, as a crash would, for the
	// next publisher to start from. A second call does nothing.
	Detach() error
}

// EventKind says what happened.
type EventKind int

// Kinds of events. One subscription sees Synced once: when it has seen all that
// the table held at first. Restarted comes when the restart counter moved; it may
// be 0 for the moment in which the next publisher, or the same again, is found.
const (
	Create EventKind = iota + 1
	Modify
	Delete
	Synced
	Restarted
)

// String returns the kind's name.
func (k EventKind) String() string {
	switch k {
	case Create:
		return "create"
	case Modify:
		return "modify"
	case Delete:
		return "delete"
	case Synced:
		return "synced"
	case Restarted:
		return "restarted"
	}
	return fmt.Sprintf("EventKind(%d)", int(k))
}

// RawEvent is one thing that happened to a table. Key is set for Create, Modify
// and Delete, Value for Create and Modify, Restarted for Restarted. Value is
// shared: a handler must not change its bytes.
type RawEvent struct {
	Kind      EventKind
	Key       string
	Value     []byte
	Restarted int
}
