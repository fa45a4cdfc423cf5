// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"context"
	"maps"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/lf-edge/eve-metadata/nim/intake"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// feed is what has come from the feed so far.
type feed struct {
	table    *intake.Table
	apps     progress
	networks progress
	metadata progress
	about    progress // NetworkMetadata
}

// progress is how far a topic has come.
type progress struct {
	synced    bool // what was published before we asked has arrived
	restarted int  // EVE pubsub's restart counter: from 1 on the publisher has said all that there is, once
}

// synced tells whether there is enough to begin with. InstanceMetadata and NetworkMetadata are waited for where they are
// sure to come, that is from our own feeds, so that an adapter does not start with one MTU and go on with another, and no
// network in a place that is not its own.
func (f *feed) synced(own bool) bool {
	return f.apps.synced && f.networks.synced && (f.metadata.synced && f.about.synced || !own)
}

// complete tells whether what the feed does not have is not wanted: the publisher has read its whole configuration.
func (f *feed) complete(own bool) bool {
	return f.synced(own) && f.apps.restarted > 0 && f.networks.restarted > 0
}

// follow starts the subscriptions.
func (m *Manager) follow(ctx context.Context, eg *errgroup.Group) {
	table := m.feed.table
	subscribe(ctx, eg, m, &m.feed.networks, table.SetNetwork, table.DeleteNetwork)
	subscribe(ctx, eg, m, &m.feed.metadata, func(key string, v eve.InstanceMetadata) error {
		table.SetMetadata(key, v)
		return nil
	}, table.DeleteMetadata)
	subscribe(ctx, eg, m, &m.feed.about, func(key string, v eve.NetworkMetadata) error {
		table.SetNetworkMetadata(key, v)
		return nil
	}, table.DeleteNetworkMetadata)
	subscribe(ctx, eg, m, &m.feed.apps, table.SetApp, table.DeleteApp)
}

// subscribe follows one topic of the feed and keeps the table and the progress up to date.
func subscribe[T any](ctx context.Context, eg *errgroup.Group, m *Manager, p *progress, set func(string, T) error, del func(string)) {
	topic := pubsub.TopicOf[T](m.cfg.Feed)
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
	eg.Go(func() error {
		return pubsub.Subscribe(ctx, m.cfg.Driver, topic, handle, pubsub.OnError(func(err error) {
			m.cfg.Log.WithField("topic", topic.Name()).WithError(err).Error("config can not be read")
		}))
	})
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
	own := m.cfg.Feed == eve.AgentFeed
	if !m.feed.synced(own) {
		return work{}, false
	}
	table := m.feed.table
	w.complete = m.feed.complete(own)
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
