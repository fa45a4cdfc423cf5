// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/nim/intake"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/topics"
)

// feed is what has come from the topics so far.
type feed struct {
	table  table
	topics []*followed
}

// table is where values go; see intake.Table, and intake.Device for a device.
type table interface {
	Network(key string) intake.Input
	App(key string) (eve.AppInstanceConfig, bool)
	Everything() intake.Changes
	Touch(c intake.Changes)
	Take() intake.Changes
}

// followed is a topic that is followed, and how far it has come.
type followed struct {
	// signals says that its publisher tells when it has said everything.
	signals   bool
	synced    bool // what was published before we asked has arrived
	restarted int  // EVE pubsub's restart counter: from 1 on the publisher has said all that there is, once
	run       func(ctx context.Context, m *Manager) error
}

// newFeed returns the feed of a set of topics. On a device zedrouter tells of its networks, and signals with its app
// instances' status that it has told everything.
func newFeed(set topics.Set) feed {
	if set.Device {
		t := intake.NewDevice()
		f := feed{table: t}
		follow(&f, set.NetworkStatus, false, t.SetNetwork, t.DeleteNetwork)
		follow(&f, set.AppStatus, true, t.SetApp, t.DeleteApp)
		return f
	}
	t := intake.NewTable()
	f := feed{table: t}
	follow(&f, set.Networks, true, t.SetNetwork, t.DeleteNetwork)
	follow(&f, set.Metadata, false, func(key string, v eve.InstanceMetadata) error {
		t.SetMetadata(key, v)
		return nil
	}, t.DeleteMetadata)
	follow(&f, set.NetworkMetadata, false, func(key string, v eve.NetworkMetadata) error {
		t.SetNetworkMetadata(key, v)
		return nil
	}, t.DeleteNetworkMetadata)
	follow(&f, set.Apps, true, t.SetApp, t.DeleteApp)
	return f
}

// synced tells whether there is enough to begin with: something of each topic, so that an adapter does not start with one
// MTU and go on with another, and no network in a place that is not its own.
func (f *feed) synced() bool {
	return !slices.ContainsFunc(f.topics, func(t *followed) bool { return !t.synced })
}

// complete tells whether what the feed does not have is not wanted: the publishers have told everything.
func (f *feed) complete() bool {
	return f.synced() && !slices.ContainsFunc(f.topics, func(t *followed) bool { return t.signals && t.restarted == 0 })
}

// follow adds a topic to the feed, unless it has no publisher.
func follow[T any](f *feed, topic pubsub.Topic[T], signals bool, set func(string, T) error, del func(string)) {
	if topic == (pubsub.Topic[T]{}) {
		return
	}
	t := &followed{signals: signals}
	t.run = func(ctx context.Context, m *Manager) error { return subscribe(ctx, m, topic, t, set, del) }
	f.topics = append(f.topics, t)
}

// subscribe follows a topic and keeps the table and the progress up to date.
func subscribe[T any](
	ctx context.Context, m *Manager, topic pubsub.Topic[T], p *followed, set func(string, T) error, del func(string),
) error {
	handle := func(e pubsub.Event[T]) {
		m.mu.Lock()
		defer m.mu.Unlock()
		switch e.Kind {
		case pubsub.Create, pubsub.Modify:
			if err := set(e.Key, e.Value); err != nil {
				m.cfg.Log.WithField("topic", topic.Name()).WithError(err).Error("config is refused")
			}
		case pubsub.Delete:
			del(e.Key)
		case pubsub.Synced:
			p.synced = true
		case pubsub.Restarted:
			p.restarted = e.Restarted
		}
		m.poke()
	}
	return pubsub.Subscribe(ctx, m.cfg.Driver, topic, handle, pubsub.OnError(func(err error) {
		m.cfg.Log.WithField("topic", topic.Name()).WithError(err).Error("config can not be read")
	}))
}

// poke wakes the loop up.
func (m *Manager) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// work is what is to be done in one round.
type work struct {
	inputs   map[string]intake.Input // networks to be converged
	apps     map[string]bool         // app instances to be told of, whatever becomes of their networks
	complete bool
}

// take returns what there is to do now, with nothing in it when there is too little to begin with. Due is what
// it is time to try again.
func (m *Manager) take(due intake.Changes) (w work, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.feed.synced() {
		return work{}, false
	}
	table := m.feed.table
	w.complete = m.feed.complete()
	if w.complete && !m.state.complete {
		// What was kept so far in case that it is still wanted is looked at again.
		table.Touch(table.Everything())
		table.Touch(m.everythingElse())
	}
	table.Touch(due)
	table.Touch(m.takeNoticed())
	changes := table.Take()
	w.apps = changes.Apps
	w.inputs = make(map[string]intake.Input, len(changes.Networks))
	for id := range changes.Networks {
		w.inputs[id] = table.Network(id)
	}
	return w, true
}

// takeNoticed returns the networks that somebody else has changed and that it is time to look at.
func (m *Manager) takeNoticed() intake.Changes {
	due := intake.Changes{Networks: map[string]bool{}}
	if m.noticed[everyOnHost] {
		delete(m.noticed, everyOnHost)
		for id, n := range m.state.networks {
			if n.place.Attach == plan.OnBridge || n.place.Uplink != nil {
				m.noticed[id] = true
			}
		}
	}
	for id := range m.noticed {
		if n := m.state.networks[id]; n == nil || !n.calm.until.After(m.now()) {
			due.Networks[id] = true
			delete(m.noticed, id)
		}
	}
	return due
}

// everythingElse names the networks and app instances that the feed may not know any more.
func (m *Manager) everythingElse() intake.Changes {
	c := intake.Changes{Networks: map[string]bool{}, Apps: map[string]bool{}}
	for id := range m.state.networks {
		c.Networks[id] = true
	}
	for id := range m.state.networkStatus.Table() {
		c.Networks[id] = true
	}
	for id := range m.state.appStatus.Table() {
		c.Apps[id] = true
	}
	for id := range m.state.attachments.Table() {
		c.Networks[id] = true
	}
	served, err := m.servers.Networks()
	if err != nil {
		m.cfg.Log.WithError(err).Error("servers of an earlier run stay")
	}
	for _, id := range served {
		c.Networks[id] = true
	}
	names, err := m.kernel.Names()
	if err != nil {
		m.cfg.Log.WithError(err).Error("namespaces of an earlier run stay")
	}
	maps.Copy(c.Networks, networksOf(names))
	return c
}

// isWanted tells whether the topics have a network.
func (m *Manager) isWanted(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.feed.table.Network(id).Config != nil
}

// app returns the config of an app instance.
func (m *Manager) app(key string) (eve.AppInstanceConfig, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.feed.table.App(key)
}

// loop works whenever there is something to do, until ctx ends.
func (m *Manager) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		case <-timer.C:
		}
		if w, ok := m.take(m.due()); ok {
			m.converge(ctx, w)
		}
		if wait, ok := m.nextRetry(); ok {
			timer.Reset(wait)
		}
	}
}

// entry is the log for one network.
func (m *Manager) entry(network string) *logrus.Entry { return m.cfg.Log.WithField("network", network) }
