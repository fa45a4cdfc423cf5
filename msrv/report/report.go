// SPDX-License-Identifier: Apache-2.0

// Package report keeps what guests say: values that they post, by subject, in one topic for all of them, but for those that
// are for EVE's controller, which are in another.
//
// Dialects' guards put and get values through dialect.Reports; every value is published, as an eve.InstanceReport or as an
// eve.AppInstMetaData, and kept over reboots, so that others can act on it and the guest finds it again. What was said counts
// for the instance that said it: a new version of an app starts anew. Only what is for the controller is the app's, whatever
// its version: EVE has no version there, and the controller goes by what it was told last. msrv opens the book, has it forget
// the apps that are gone, and closes it.
package report

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	evedialect "github.com/lf-edge/eve-metadata/msrv/dialect/eve"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// Topic is where reports are published, keyed by the app instance's UUID, a dot, and the subject.
func Topic() pubsub.Topic[eve.InstanceReport] {
	return pubsub.TopicOf[eve.InstanceReport](eve.AgentServe, pubsub.Persistent())
}

// ControllerTopic is where reports are published that are for EVE's controller, as EVE's own metadata server publishes them:
// keyed by the app instance's UUID, a dash, and the type.
func ControllerTopic() pubsub.Topic[eve.AppInstMetaData] {
	return pubsub.TopicOf[eve.AppInstMetaData](eve.AgentServe, pubsub.Persistent())
}

// Book holds what all guests have said. Make one with Open; it is used by any number of goroutines.
type Book struct {
	now func() time.Time

	mu         sync.Mutex // makes PutFirst one step
	reports    *pubsub.Publication[eve.InstanceReport]
	controller *pubsub.Publication[eve.AppInstMetaData]
}

// Open opens the book where an earlier run left it. The error wraps pubsub.ErrInUse when another service
// has it open.
func Open(d pubsub.Driver) (*Book, error) {
	reports, err := pubsub.NewPublication(d, Topic())
	if err != nil {
		return nil, err
	}
	controller, err := pubsub.NewPublication(d, ControllerTopic())
	if err != nil {
		return nil, errors.Join(err, reports.Detach())
	}
	return &Book{now: time.Now, reports: reports, controller: controller}, nil
}

// Skipped returns one error for each report of an earlier run that cannot be read.
func (b *Book) Skipped() []error { return slices.Concat(b.reports.Skipped(), b.controller.Skipped()) }

// Close leaves all reports behind, for the next run.
func (b *Book) Close() error { return errors.Join(b.reports.Detach(), b.controller.Detach()) }

// Of returns the reports of one instance.
func (b *Book) Of(inst *instance.Instance) dialect.Reports { return page{book: b, inst: inst} }

// Prune forgets what was said by apps that do not exist any more.
func (b *Book) Prune(exists func(appUUID string) bool) error {
	return errors.Join(prune(b.reports, exists), prune(b.controller, exists))
}

// uuidLen is how many bytes of a key are the app instance's UUID.
const uuidLen = 36

func prune[T any](pub *pubsub.Publication[T], exists func(appUUID string) bool) error {
	var errs []error
	for key := range pub.Table() {
		if !exists(key[:min(len(key), uuidLen)]) {
			errs = append(errs, pub.Delete(key))
		}
	}
	return errors.Join(errs...)
}

// forController tells whether a subject is for EVE's controller, and as what.
func forController(subject string) (eve.AppInstMetaDataType, bool) {
	switch subject {
	case evedialect.SubjectKubeconfig:
		return eve.AppInstMetaDataTypeKubeConfig, true
	case evedialect.SubjectCustomStatus:
		return eve.AppInstMetaDataCustomStatus, true
	}
	return eve.AppInstMetaDataTypeNone, false
}

// page is what one instance has said.
type page struct {
	book *Book
	inst *instance.Instance
}

func (p page) key(subject string) string { return p.inst.UUID + "." + subject }

func (p page) controllerKey(kind eve.AppInstMetaDataType) string {
	return fmt.Sprintf("%s-%d", p.inst.UUID, uint8(kind))
}

// Get returns what was said last; nil for nothing.
func (p page) Get(subject string) []byte {
	if kind, ok := forController(subject); ok {
		said, _ := p.book.controller.Get(p.controllerKey(kind))
		return said.Data
	}
	r, ok := p.book.reports.Get(p.key(subject))
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
	if err := p.publish(subject, value); err != nil {
		return fmt.Errorf("keep report %q: %w", subject, err)
	}
	return nil
}

func (p page) publish(subject string, value []byte) error {
	app, err := uuid.Parse(p.inst.UUID)
	if err != nil {
		return err
	}
	if kind, ok := forController(subject); ok {
		return p.book.controller.Set(p.controllerKey(kind), eve.AppInstMetaData{AppInstUUID: app, Data: value, Type: kind})
	}
	return p.book.reports.Set(p.key(subject), eve.InstanceReport{
		AppUUID: app, Subject: subject, InstanceID: p.inst.ID(), Value: value, Time: p.book.now().UTC(),
	})
}
