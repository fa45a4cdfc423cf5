// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// Publisher makes the topics of the feed be a Set. It starts with what an earlier run left behind, which stays
// until a Publish changes or prunes it. It is used from one goroutine.
type Publisher struct {
	apps            table[eve.AppInstanceConfig]
	metadata        table[eve.InstanceMetadata]
	networks        table[eve.NetworkInstanceConfig]
	networkMetadata table[eve.NetworkMetadata]
	appNetworks     table[eve.AppNetworkConfig]
	node            table[eve.EdgeNodeInfo]
	cipherContexts  table[eve.CipherContext]
	controllerCerts table[eve.ControllerCert]
	deviceCerts     table[eve.EdgeNodeCert]
	restarted       bool
}

// NewPublisher opens the topics. The error wraps pubsub.ErrInUse when another feed has one of them.
func NewPublisher(d pubsub.Driver) (*Publisher, error) {
	p := &Publisher{}
	all := p.topics()
	for i, t := range all {
		if err := t.open(d); err != nil {
			return nil, errors.Join(err, each(all[:i], topic.Detach))
		}
	}
	return p, nil
}

// topic is what the tables of a Publisher have in common.
type topic interface {
	open(pubsub.Driver) error
	Skipped() []error
	SignalRestarted() error
	Close() error
	Detach() error
}

// topics are all tables: what others refer to comes first.
func (p *Publisher) topics() []topic {
	return []topic{
		&p.node, &p.deviceCerts, &p.controllerCerts, &p.cipherContexts,
		&p.networkMetadata, &p.networks, &p.metadata, &p.apps, &p.appNetworks,
	}
}

// each calls f for each of the topics and joins the errors.
func each(topics []topic, f func(topic) error) error {
	errs := make([]error, len(topics))
	for i, t := range topics {
		errs[i] = f(t)
	}
	return errors.Join(errs...)
}

// Publish makes the topics be s: it sets what differs and, when prune is set, deletes what s does not have. Publishing
// the same Set again does nothing.
//
// What an app refers to is published before the app and deleted after it, what its user data is decrypted with too, and
// metadata before what it is about and deleted after it. The first Publish, once done, signals on all topics that they are complete (EVE pubsub's restart
// counter): what an earlier run left counts as part of them when prune is not set.
//
// The error joins one error per value that could not be published; all others are in force. An app that is larger than
// pubsub carries is published without its user data and access lists and with the reason in its Errors, as EVE's
// zedagent does; then an error that wraps pubsub.ErrTooLarge is part of the result as well.
func (p *Publisher) Publish(s Set, prune bool) error {
	errs := slices.Concat(
		p.node.set(s.Node, nil),
		p.deviceCerts.set(s.DeviceCerts, nil),
		p.controllerCerts.set(s.ControllerCerts, nil),
		p.cipherContexts.set(s.CipherContexts, nil),
		p.networkMetadata.set(s.NetworkMetadata, nil),
		p.networks.set(s.Networks, nil),
		p.publishApps(s),
	)
	if prune {
		errs = append(errs, p.prune(s)...)
	}
	if !p.restarted {
		p.restarted = true
		errs = append(errs, each(p.topics(), topic.SignalRestarted))
	}
	return errors.Join(errs...)
}

// prune deletes what s does not have, in the reverse of the order in which Publish sets.
func (p *Publisher) prune(s Set) []error {
	return slices.Concat(
		p.appNetworks.prune(s.AppNetworks),
		p.apps.prune(s.Apps),
		p.metadata.prune(s.Metadata),
		p.networks.prune(s.Networks),
		p.networkMetadata.prune(s.NetworkMetadata),
		p.cipherContexts.prune(s.CipherContexts),
		p.controllerCerts.prune(s.ControllerCerts),
		p.deviceCerts.prune(s.DeviceCerts),
		p.node.prune(s.Node),
	)
}

// publishApps publishes metadata, apps and what of them concerns the network. Where the metadata is too large, its app is told so as well: an app whose
// guest would miss files or keys must not look well.
func (p *Publisher) publishApps(s Set) []error {
	reasons := map[string]string{}
	errs := p.metadata.set(s.Metadata, func(key string, m eve.InstanceMetadata) eve.InstanceMetadata {
		reasons[key] = "metadata is too large: vendor data and files are left out"
		m.VendorData, m.VendorData2, m.Files = nil, nil, nil
		return m
	})
	apps := s.Apps
	if len(reasons) > 0 {
		apps = maps.Clone(s.Apps)
		for key, reason := range reasons {
			if app, ok := apps[key]; ok {
				apps[key] = withError(app, reason)
			}
		}
	}
	errs = append(errs, p.apps.set(apps, func(_ string, a eve.AppInstanceConfig) eve.AppInstanceConfig {
		return shrunk(a)
	})...)
	return append(errs, p.appNetworks.set(s.AppNetworks, func(_ string, a eve.AppNetworkConfig) eve.AppNetworkConfig {
		a.AppNetAdapterList, _ = withoutACLs(a.AppNetAdapterList)
		a.CloudInitUserData = nil
		a.CipherBlockStatus = eve.CipherBlockStatus{CipherBlockID: a.CipherBlockStatus.CipherBlockID}
		return a
	})...)
}

// shrunk returns an app without what may be of any size, and with the reason.
func shrunk(a eve.AppInstanceConfig) eve.AppInstanceConfig {
	size := len(a.CipherData)
	if a.CloudInitUserData != nil {
		size += len(*a.CloudInitUserData)
	}
	adapters, acls := withoutACLs(a.AppNetAdapterList)
	a = withError(a, fmt.Sprintf("configuration is too large: %d bytes of user data and %d access rules are left out", size, acls))
	a.AppNetAdapterList = adapters
	a.CloudInitUserData = nil
	a.CipherBlockStatus = eve.CipherBlockStatus{CipherBlockID: a.CipherBlockID}
	return a
}

// withoutACLs returns adapters without their access rules, and how many of those there were.
func withoutACLs(list []eve.AppNetAdapterConfig) (adapters []eve.AppNetAdapterConfig, acls int) {
	adapters = slices.Clone(list)
	for i := range adapters {
		acls += len(adapters[i].ACLs)
		adapters[i].ACLs = nil
	}
	return adapters, acls
}

func withError(a eve.AppInstanceConfig, reason string) eve.AppInstanceConfig {
	a.Errors = append(slices.Clone(a.Errors), reason)
	return a
}

// Skipped returns what an earlier run left behind and this one cannot read: one *pubsub.ValueError each.
func (p *Publisher) Skipped() []error {
	var errs []error
	for _, t := range p.topics() {
		errs = append(errs, t.Skipped()...)
	}
	return errs
}

// Close withdraws all that is published: the apps are gone for every subscriber.
func (p *Publisher) Close() error {
	topics := p.topics()
	slices.Reverse(topics)
	return each(topics, topic.Close)
}

// Detach stops publishing and leaves all behind for the next run to start from.
func (p *Publisher) Detach() error { return each(p.topics(), topic.Detach) }

// table is one topic, with the keys that are published in it.
type table[T any] struct {
	*pubsub.Publication[T]
	keys map[string]bool
}

func (t *table[T]) open(d pubsub.Driver) error {
	pub, err := pubsub.NewPublication(d, pubsub.TopicOf[T](eve.AgentFeed))
	if err != nil {
		return err
	}
	if err := pub.ClearRestarted(); err != nil {
		return errors.Join(err, pub.Detach())
	}
	keys := map[string]bool{}
	for key := range pub.Table() {
		keys[key] = true
	}
	for _, err := range pub.Skipped() {
		if ve, ok := errors.AsType[*pubsub.ValueError](err); ok {
			keys[ve.Key] = true // not readable, but there: to be pruned like the others
		}
	}
	*t = table[T]{Publication: pub, keys: keys}
	return nil
}

// set publishes all values, in the order of their keys. A value that is too large is given to shrink, when there is
// one, and what that returns is published instead.
func (t *table[T]) set(values map[string]T, shrink func(key string, v T) T) []error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(values)) {
		err := t.Set(key, values[key])
		if shrink != nil && errors.Is(err, pubsub.ErrTooLarge) {
			errs = append(errs, err)
			err = t.Set(key, shrink(key, values[key]))
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t.keys[key] = true
	}
	return errs
}

// prune deletes what is published and not among the values.
func (t *table[T]) prune(values map[string]T) []error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(t.keys)) {
		if _, wanted := values[key]; wanted {
			continue
		}
		if err := t.Delete(key); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(t.keys, key)
	}
	return errs
}
