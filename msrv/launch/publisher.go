// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"maps"
	"slices"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// Topic is where instances' launches are published, by app UUID.
func Topic() pubsub.Topic[eve.InstanceLaunch] {
	return pubsub.TopicOf[eve.InstanceLaunch](eve.AgentServe)
}

// Publisher publishes how instances are to be launched. It starts with what an earlier run left behind,
// which stays until Prune. It is used from one goroutine.
type Publisher struct {
	dialects []dialect.Dialect
	pub      *pubsub.Publication[eve.InstanceLaunch]
	stale    map[string]bool // keys of an earlier run that nobody has put yet
}

// NewPublisher opens the topic. The error wraps pubsub.ErrInUse when another publisher has it.
func NewPublisher(d pubsub.Driver, dialects []dialect.Dialect) (*Publisher, error) {
	pub, err := pubsub.NewPublication(d, Topic())
	if err != nil {
		return nil, err
	}
	if err := pub.ClearRestarted(); err != nil {
		return nil, errors.Join(err, pub.Detach())
	}
	p := &Publisher{dialects: dialects, pub: pub, stale: make(map[string]bool)}
	for key := range pub.Table() {
		p.stale[key] = true
	}
	for _, err := range pub.Skipped() {
		if ve, ok := errors.AsType[*pubsub.ValueError](err); ok {
			p.stale[ve.Key] = true // not readable, but there
		}
	}
	return p, nil
}

// Put publishes how to launch an instance; path is where the image of its drive is, "" for none. One with
// so many cards that pubsub cannot carry it is published without QEMU's arguments and libvirt's elements,
// and the error says so, wrapping pubsub.ErrTooLarge.
func (p *Publisher) Put(in *instance.Instance, path string) error {
	delete(p.stale, in.UUID)
	l := Of(p.dialects, in, path)
	err := p.pub.Set(in.UUID, l)
	if errors.Is(err, pubsub.ErrTooLarge) {
		l.QEMU, l.Libvirt = nil, ""
		err = errors.Join(err, p.pub.Set(in.UUID, l))
	}
	return err
}

// Remove withdraws an instance; that there is none is no error.
func (p *Publisher) Remove(uuid string) error {
	delete(p.stale, uuid)
	return p.pub.Delete(uuid)
}

// Prune says that all instances that there are have been put: those of an earlier run that have not are
// withdrawn, and subscribers are told that the topic is complete (EVE pubsub's restart counter).
func (p *Publisher) Prune() error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(p.stale)) {
		errs = append(errs, p.Remove(key))
	}
	return errors.Join(append(errs, p.pub.SignalRestarted())...)
}

// Close stops publishing and leaves all behind for the next run to start from.
func (p *Publisher) Close() error { return p.pub.Detach() }
