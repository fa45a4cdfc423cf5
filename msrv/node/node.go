// SPDX-License-Identifier: Apache-2.0

// Package node is what msrv knows of the edge node and of what runs on it, beyond the Instances: the state that EVE's agents
// publish, as it is now.
//
// Topics come in, all that a topics.Set names; the newest value of each key is what goes out, to EVE's dialect and to the
// patch envelopes. Publishers may come late, go and start again: for as long as one is away, what it said last stays. A value
// that cannot be read is logged, and the one before it stays. Nothing is joined here and nothing judged.
package node

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"sync"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/topics"
)

// Node follows the topics. Make one with New. Its methods may be called from any goroutine, at any time; what they return is
// shared and must not be changed. A second result is false for what no publisher has said yet, or has taken back.
type Node struct {
	driver  pubsub.Driver
	log     logrus.FieldLogger
	follows []func(context.Context) error
	ready   chan struct{}
	device  bool
	files   pulse // of the topics of files

	info           mirror[eve.EdgeNodeInfo]
	ports          mirror[eve.DeviceNetworkStatus]
	networkMetrics mirror[eve.NetworkMetrics]
	location       mirror[eve.WwanLocationInfo]
	modems         mirror[eve.WwanStatus]
	modemMetrics   mirror[eve.WwanMetrics]
	networks       mirror[eve.NetworkInstanceStatus]
	apps           mirror[eve.AppNetworkStatus]
	domains        mirror[eve.DomainStatus]
	patches        mirror[eve.PatchEnvelopeInfoList]
	volumes        mirror[eve.VolumeStatus]
	contents       mirror[eve.ContentTreeStatus]
}

// New makes a Node that knows nothing yet, of the topics of a set that are followed. It starts nothing.
func New(driver pubsub.Driver, set topics.Set, log logrus.FieldLogger) *Node {
	n := &Node{driver: driver, log: log, ready: make(chan struct{}), device: set.Device}
	follow(n, set.Node, &n.info)
	follow(n, set.Ports, &n.ports)
	follow(n, set.NetworkMetrics, &n.networkMetrics)
	follow(n, set.Location, &n.location)
	follow(n, set.Modems, &n.modems)
	follow(n, set.ModemMetrics, &n.modemMetrics)
	follow(n, set.NetworkStatus, &n.networks)
	follow(n, set.AppStatus, &n.apps)
	follow(n, set.Domains, &n.domains)
	follow(n, set.Patches, &n.patches)
	follow(n, set.Volumes, &n.volumes)
	follow(n, set.Contents, &n.contents)
	n.patches.changed, n.volumes.changed, n.contents.changed = &n.files, &n.files, &n.files
	return n
}

// String names the task.
func (*Node) String() string { return "msrv node" }

// Ready is closed when Run follows the topics. It does not wait for publishers: a node without a modem has none of modems.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Run follows the topics until ctx ends, and returns nil then. It is called once. An error says that a topic cannot be
// followed at all.
func (n *Node) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, f := range n.follows {
		group.Go(func() error { return f(ctx) })
	}
	close(n.ready)
	return group.Wait()
}

// Info is what the controller says about the node. Elsewhere than on an EVE device there need not be one that says anything:
// the node then has no name, which is no reason to wait for it.
func (n *Node) Info() (eve.EdgeNodeInfo, bool) {
	info, ok := n.info.get(eve.GlobalKey)
	return info, ok || !n.device
}

// Ports is the state of the node's own network ports.
func (n *Node) Ports() (eve.DeviceNetworkStatus, bool) { return n.ports.get(eve.GlobalKey) }

// NetworkMetrics counts the traffic of the node's network interfaces.
func (n *Node) NetworkMetrics() (eve.NetworkMetrics, bool) {
	return n.networkMetrics.get(eve.GlobalKey)
}

// Location is where the node is.
func (n *Node) Location() (eve.WwanLocationInfo, bool) { return n.location.get(eve.GlobalKey) }

// Modems is the state of the node's cellular modems.
func (n *Node) Modems() (eve.WwanStatus, bool) { return n.modems.get(eve.GlobalKey) }

// ModemMetrics counts the traffic of the node's cellular modems.
func (n *Node) ModemMetrics() (eve.WwanMetrics, bool) { return n.modemMetrics.get(eve.GlobalKey) }

// Network is the state of an app network, by the network instance's UUID.
func (n *Node) Network(uuid string) (eve.NetworkInstanceStatus, bool) { return n.networks.get(uuid) }

// App is the state of an app's adapters, by the app instance's UUID.
func (n *Node) App(uuid string) (eve.AppNetworkStatus, bool) { return n.apps.get(uuid) }

// Apps is that of all apps. It goes through what there is when it is called.
func (n *Node) Apps() iter.Seq2[string, eve.AppNetworkStatus] { return n.apps.all() }

// Domain is the state of what an app runs in, by the app instance's UUID.
func (n *Node) Domain(uuid string) (eve.DomainStatus, bool) { return n.domains.get(uuid) }

// Patches are all patch envelopes.
func (n *Node) Patches() (eve.PatchEnvelopeInfoList, bool) { return n.patches.get(eve.GlobalKey) }

// Volumes is the state of all volumes, by volumemgr's keys. It goes through what there is when it is called.
func (n *Node) Volumes() iter.Seq2[string, eve.VolumeStatus] { return n.volumes.all() }

// Content is the state of a content tree, by its ID.
func (n *Node) Content(id string) (eve.ContentTreeStatus, bool) { return n.contents.get(id) }

// Changed returns a channel that is closed once Patches, Volumes or Content may return something else than now.
func (n *Node) Changed() <-chan struct{} { return n.files.next() }

// mirror is a topic as it is now.
type mirror[T any] struct {
	mu      sync.RWMutex
	values  map[string]T
	changed *pulse // nil: nobody wants to know
}

// follow has Run keep a mirror of a topic, unless that has no publisher.
func follow[T any](n *Node, topic pubsub.Topic[T], m *mirror[T]) {
	if topic == (pubsub.Topic[T]{}) {
		return
	}
	m.values = make(map[string]T)
	n.follows = append(n.follows, func(ctx context.Context) error {
		err := pubsub.Subscribe(ctx, n.driver, topic, m.keep, pubsub.OnError(func(err error) {
			n.log.WithError(err).Error("topic value refused, the last good one stays")
		}))
		if err != nil {
			return fmt.Errorf("follow %s: %w", topic.Name(), err)
		}
		return nil
	})
}

// keep takes over what has changed.
func (m *mirror[T]) keep(e pubsub.Event[T]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch e.Kind {
	case pubsub.Create, pubsub.Modify:
		m.values[e.Key] = e.Value
	case pubsub.Delete:
		delete(m.values, e.Key)
	case pubsub.Synced, pubsub.Restarted: // say nothing of the values
		return
	}
	if m.changed != nil {
		m.changed.beat()
	}
}

func (m *mirror[T]) get(key string) (T, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok := m.values[key]
	return v, ok
}

// all is a copy: whoever goes through it holds up nobody.
func (m *mirror[T]) all() iter.Seq2[string, T] {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return maps.All(maps.Clone(m.values))
}

// pulse tells any number of goroutines that something has happened. The zero value is one.
type pulse struct {
	mu   sync.Mutex
	wait chan struct{} // nil: nobody waits
}

// next returns a channel that is closed at the next beat.
func (p *pulse) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wait == nil {
		p.wait = make(chan struct{})
	}
	return p.wait
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wait != nil {
		close(p.wait)
		p.wait = nil
	}
}
