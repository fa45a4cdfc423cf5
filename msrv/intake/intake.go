// SPDX-License-Identifier: Apache-2.0

// Package intake turns topics into Instances.
//
// What comes in: the configs of app instances and what our own topics add to them and to their networks,
// from a feed; the state of app networks and of the apps' adapters in them, from the manager of the
// networks. What comes out: one neutral Instance per app, handed to whoever keeps and renders them, once
// per change and for the changed apps only; and which apps are gone for good. Topics may arrive in any
// order and lack any part for a while.
package intake

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/google/uuid"
	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// Sink takes the instances. Its methods are called from one goroutine, one at a time.
type Sink interface {
	// Put adds an instance or replaces what was known of it.
	Put(*instance.Instance)
	// Remove forgets an instance by its UUID. Its app may be gone, or only be switched off or not whole.
	Remove(uuid string)
	// Complete says that an app without a config is gone for good: the feed has told of all that there are.
	// It comes again when a config has been deleted. Exists tells whether there is a config now.
	Complete(exists func(uuid string) bool)
	// Synced says, once, that all that was known at the start has been put.
	Synced()
}

// Config is what an Intake needs.
type Config struct {
	Driver pubsub.Driver
	// Feed and Nim are the agents that publish the configs and the state of the networks.
	Feed, Nim string
	// Secret and Architecture are the device's (see Facts).
	Secret       []byte
	Architecture string
	Sink         Sink
	Log          logrus.FieldLogger
}

// Intake follows the topics. Make one with New.
type Intake struct {
	cfg  Config
	wake chan struct{} // holds a token while there is something to do

	mu              sync.Mutex
	apps            map[string]eve.AppInstanceConfig
	metadata        map[string]eve.InstanceMetadata
	status          map[string]eve.AppNetworkStatus
	networks        map[uuid.UUID]eve.NetworkInstanceStatus
	networkMetadata map[uuid.UUID]eve.NetworkMetadata
	dirty           map[string]bool // apps to be joined again
	unsynced        int             // topics of which the first state is not complete yet
	restarted       map[string]int  // EVE pubsub's restart counters, by topic
	gone            bool            // an app may have gone since the sink was told last
}

// topics is how many topics an Intake follows.
const topics = 5

// New makes an Intake that has seen nothing yet. It starts nothing.
func New(cfg Config) *Intake {
	return &Intake{
		cfg:             cfg,
		wake:            make(chan struct{}, 1),
		apps:            make(map[string]eve.AppInstanceConfig),
		metadata:        make(map[string]eve.InstanceMetadata),
		status:          make(map[string]eve.AppNetworkStatus),
		networks:        make(map[uuid.UUID]eve.NetworkInstanceStatus),
		networkMetadata: make(map[uuid.UUID]eve.NetworkMetadata),
		dirty:           make(map[string]bool),
		unsynced:        topics,
		restarted:       make(map[string]int),
		gone:            true, // while the service was not there
	}
}

// String names the task.
func (*Intake) String() string { return "msrv intake" }

// Run follows the topics until ctx ends, and returns nil then.
func (in *Intake) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	follow(ctx, group, in, in.cfg.Feed, in.onApp)
	follow(ctx, group, in, in.cfg.Feed, func(e pubsub.Event[eve.InstanceMetadata]) { byApp(in, in.metadata, e) })
	follow(ctx, group, in, in.cfg.Nim, func(e pubsub.Event[eve.AppNetworkStatus]) { byApp(in, in.status, e) },
		pubsub.Persistent())
	follow(ctx, group, in, in.cfg.Feed, func(e pubsub.Event[eve.NetworkMetadata]) { byNetwork(in, in.networkMetadata, e) })
	follow(ctx, group, in, in.cfg.Nim, func(e pubsub.Event[eve.NetworkInstanceStatus]) { byNetwork(in, in.networks, e) })
	group.Go(func() error {
		in.deliver(ctx)
		return nil
	})
	return group.Wait()
}

// follow subscribes to one topic; handle runs with the lock held, for changes only.
func follow[T any](ctx context.Context, group *errgroup.Group, in *Intake, agent string, handle func(pubsub.Event[T]), opts ...pubsub.TopicOption) {
	topic := pubsub.TopicOf[T](agent, opts...)
	group.Go(func() error {
		err := pubsub.Subscribe(ctx, in.cfg.Driver, topic, func(e pubsub.Event[T]) {
			in.mu.Lock()
			defer in.mu.Unlock()
			switch e.Kind {
			case pubsub.Create, pubsub.Modify, pubsub.Delete:
				handle(e)
			case pubsub.Synced:
				in.unsynced--
			case pubsub.Restarted:
				in.restarted[topic.Name()] = e.Restarted
			}
			in.poke()
		}, pubsub.OnError(func(err error) {
			in.cfg.Log.WithError(err).Error("topic value refused, the last good one stays")
		}))
		if err != nil {
			return fmt.Errorf("follow %s: %w", topic.Name(), err)
		}
		return nil
	})
}

// onApp keeps the configs of apps. The key is what an instance is known by ever after, so one that
// contradicts its value is refused.
func (in *Intake) onApp(e pubsub.Event[eve.AppInstanceConfig]) {
	in.gone = in.gone || e.Kind == pubsub.Delete
	if id := e.Value.UUIDandVersion.UUID.String(); e.Kind != pubsub.Delete && id != e.Key {
		in.cfg.Log.WithFields(logrus.Fields{"key": e.Key, "uuid": id}).Error("app refused: its key is not its UUID")
		e.Kind = pubsub.Delete
	}
	byApp(in, in.apps, e)
}

// byApp keeps a topic whose key is the app's UUID.
func byApp[T any](in *Intake, table map[string]T, e pubsub.Event[T]) {
	if e.Kind == pubsub.Delete {
		delete(table, e.Key)
	} else {
		table[e.Key] = e.Value
	}
	in.dirty[e.Key] = true
}

// byNetwork keeps a topic whose key is the network's UUID; a change touches the apps that have an adapter
// there.
func byNetwork[T any](in *Intake, table map[uuid.UUID]T, e pubsub.Event[T]) {
	id, err := uuid.Parse(e.Key)
	if err != nil {
		in.cfg.Log.WithField("key", e.Key).Error("network refused: its key is not a UUID")
		return
	}
	if e.Kind == pubsub.Delete {
		delete(table, id)
	} else {
		table[id] = e.Value
	}
	for key, s := range in.status {
		if slices.ContainsFunc(s.AppNetAdapterList, func(a eve.AppNetAdapterStatus) bool { return a.Network == id }) {
			in.dirty[key] = true
		}
	}
}

// poke wakes deliver up. It never blocks.
func (in *Intake) poke() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// deliver hands changed apps to the sink, outside of the lock, until ctx ends. An app is not put again as
// long as its Instance stays the same: a network's state changes with each of its other guests.
func (in *Intake) deliver(ctx context.Context) {
	told := false
	put := make(map[string]*instance.Instance)
	for {
		select {
		case <-ctx.Done():
			return
		case <-in.wake:
		}
		n, ok := in.take()
		if !ok {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(n.changed)) {
			f := n.changed[key]
			if f == nil {
				delete(put, key)
				in.cfg.Sink.Remove(key)
				continue
			}
			if inst := Join(*f); !reflect.DeepEqual(put[key], inst) {
				put[key] = inst
				in.cfg.Sink.Put(inst)
			}
		}
		if n.gone {
			in.cfg.Sink.Complete(in.exists)
		}
		if !told {
			told = true
			in.cfg.Sink.Synced()
		}
	}
}

// news is what there is to tell the sink.
type news struct {
	changed map[string]*Facts // by app; nil for those that are gone or not to be served
	gone    bool              // apps without a config may have gone, and are gone for good
}

// take returns the news. It is false until all topics have told their first state: an app whose status is not
// told yet looks like one that is gone, and would lose its drive to a restart of the service.
func (in *Intake) take() (n news, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.unsynced > 0 {
		return news{}, false
	}
	n.changed = make(map[string]*Facts, len(in.dirty))
	for key := range in.dirty {
		n.changed[key] = in.facts(key)
	}
	clear(in.dirty)
	// From 1 on the publisher has said all that there is, once.
	if in.restarted[pubsub.TopicOf[eve.AppInstanceConfig](in.cfg.Feed).Name()] > 0 {
		n.gone, in.gone = in.gone, false
	}
	return n, true
}

// exists tells whether there is a config of an app, active or not.
func (in *Intake) exists(uuid string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	_, ok := in.apps[uuid]
	return ok
}

// facts collects what is known of an app. It is nil for one that is not known or not active, and for
// one whose adapters or their networks are not known yet: a guest must not see half of itself.
func (in *Intake) facts(key string) *Facts {
	app, ok := in.apps[key]
	if !ok || !app.Activate {
		return nil
	}
	status, ok := in.status[key]
	if !ok && len(app.AppNetAdapterList) > 0 {
		return nil
	}
	f := &Facts{
		App: app, Metadata: in.metadata[key], Status: status,
		Networks:        make(map[uuid.UUID]eve.NetworkInstanceStatus),
		NetworkMetadata: make(map[uuid.UUID]eve.NetworkMetadata),
		Secret:          in.cfg.Secret, Architecture: in.cfg.Architecture,
	}
	for i := range status.AppNetAdapterList {
		a := &status.AppNetAdapterList[i]
		n, ok := in.networks[a.Network]
		said := in.networkMetadata[a.Network]
		if !ok && there(a, &said) {
			return nil
		}
		f.Networks[a.Network], f.NetworkMetadata[a.Network] = n, said
	}
	return f
}
