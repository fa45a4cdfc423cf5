// SPDX-License-Identifier: Apache-2.0

// Package report keeps what guests say: values that they post, by subject, one topic for all of them.
//
// Dialects' guards put and get values through dialect.Reports; every value is published as an
// eve.InstanceReport and kept over reboots, so that others can act on it and the guest finds it again.
// What was said counts for the instance that said it: a new version of an app starts anew. msrv opens the
// book, has it forget the apps that are gone, and closes it.
package report

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// Topic is where reports are published, keyed by the app instance's UUID, a dot, and the subject.
func Topic() pubsub.Topic[eve.InstanceReport] {
	return pubsub.TopicOf[eve.InstanceReport](eve.AgentServe, pubsub.Persistent())
}

// Book holds what all guests have said. Make one with Open; it is used by any number of goroutines.
type Book struct {
	now func() time.Time

	mu  sync.Mutex // makes PutFirst one step
	pub *pubsub.Publication[eve.InstanceReport]
}

// Open opens the book where an earlier run left it. The error wraps pubsub.ErrInUse when another service
// has it open.
func Open(d pubsub.Driver) (*Book, error) {
	pub, err := pubsub.NewPublication(d, Topic())
	if err != nil {
		return nil, err
	}
	return &Book{now: time.Now, pub: pub}, nil
}

// Skipped returns one error for each report of an earlier run that cannot be read.
func (b *Book) Skipped() []error { return b.pub.Skipped() }

// Close leaves all reports behind, for the next run.
func (b *Book) Close() error { return b.pub.Detach() }

// Of returns the reports of one instance.
func (b *Book) Of(inst *instance.Instance) dialect.Reports { return page{book: b, inst: inst} }

// Prune forgets what was said by apps that do not exist any more.
func (b *Book) Prune(exists func(appUUID string) bool) error {
	var errs []error
	for key := range b.pub.Table() {
		if app, _, _ := strings.Cut(key, "."); !exists(app) {
			errs = append(errs, b.pub.Delete(key))
		}
	}
	return errors.Join(errs...)
}

// page is what one instance has said.
type page struct {
	book *Book
	inst *instance.Instance
}

func (p page) key(subject string) string { return p.inst.UUID + "." + subject }

// Get returns what was said last; nil for nothing.
func (p page) Get(subject string) []byte {
	r, ok := p.book.pub.Get(p.key(subject))
	if !ok || r.InstanceID != p.inst.ID() {
		return nil
	}
	return r.Value
}

// Put keeps a value and publishes it. One that was said before is no news.
func (p page) Put(subject string, value []byte) error {
	p.book.mu.Lock()
	defer p.book.mu.Unlock()
	return p.put(subject, value)
}

// PutFirst is Put where there is no value yet.
func (p page) PutFirst(subject string, value []byte) error {
	p.book.mu.Lock()
	defer p.book.mu.Unlock()
	if p.Get(subject) != nil {
		return dialect.ErrReported
	}
	return p.put(subject, value)
}

func (p page) put(subject string, value []byte) error {
	if old := p.Get(subject); old != nil && bytes.Equal(old, value) {
		return nil
	}
	app, err := uuid.Parse(p.inst.UUID)
	if err != nil {
		return fmt.Errorf("keep report %q: %w", subject, err)
	}
	err = p.book.pub.Set(p.key(subject), eve.InstanceReport{
		AppUUID: app, Subject: subject, InstanceID: p.inst.ID(), Value: value, Time: p.book.now().UTC(),
	})
	if err != nil {
		return fmt.Errorf("keep report %q: %w", subject, err)
	}
	return nil
}
