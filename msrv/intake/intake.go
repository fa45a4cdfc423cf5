// SPDX-License-Identifier: Apache-2.0

// Package intake turns topics into Instances.
//
// What comes in: the configs of app instances and what our own topics add to them and to their networks,
// from a feed or from EVE's agents; the state of app networks and of the apps' adapters in them, from the manager of the
// networks; certificates, that user data is decrypted with. What comes out: one neutral Instance per app, handed to
// whoever keeps and renders them, once per change and for the changed apps only; and which apps are gone for good. Topics
// may arrive in any order and lack any part for a while.
package intake

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/topics"
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
	Topics topics.Set
	// Certs are kept as the topics have them, before UserData is called for an app.
	Certs *Certs
	// UserData opens the encrypted user data of an app. It returns base64, as controllers send all user data; "" for
	// none. It is called outside of any lock, once per change of the app or of the certificates and again, after
	// openRetry, for as long as it fails: what it needs of the device may be missing for a while. nil: there is no key.
	UserData func(*eve.AppInstanceConfig) (string, error)
	// Secret and Architecture are the device's (see Facts).
	Secret       []byte
	Architecture string
	Sink         Sink
	Log          logrus.FieldLogger
}

const (
	// certPatience is how long the first encrypted user data waits, at the start, for the topics that have certificates.
	// A guest that asked earlier would be told of an error that is none.
	certPatience = 10 * time.Second
	// openRetry is how long after a failure user data is tried to be opened again.
	openRetry = time.Minute
)

// Intake follows the topics. Make one with New.
type Intake struct {
	cfg  Config
	wake chan struct{} // holds a token while there is something to do

	mu              sync.Mutex
	apps            map[string]eve.AppInstanceConfig
	appNetworks     map[string]eve.AppNetworkConfig
	metadata        map[string]eve.InstanceMetadata
	status          map[string]eve.AppNetworkStatus
	networks        map[uuid.UUID]eve.NetworkInstanceStatus
	networkMetadata map[uuid.UUID]eve.NetworkMetadata
	multipart       bool            // the node's setting for all drives
	dirty           map[string]bool // apps to be joined again
	closed          map[string]bool // those of them whose user data is to be opened again
	unsynced        int             // topics of which the first state is not complete yet
	uncertified     int             // likewise, of those with certificates
	restarted       int             // EVE pubsub's restart counter of the topic of apps
	gone            bool            // an app may have gone since the sink was told last
}

// New makes an Intake that has seen nothing yet. It starts nothing.
func New(cfg Config) *Intake {
	if cfg.Certs == nil {
		cfg.Certs = new(Certs)
	}
	return &Intake{
		cfg:             cfg,
		wake:            make(chan struct{}, 1),
		apps:            make(map[string]eve.AppInstanceConfig),
		appNetworks:     make(map[string]eve.AppNetworkConfig),
		metadata:        make(map[string]eve.InstanceMetadata),
		status:          make(map[string]eve.AppNetworkStatus),
		networks:        make(map[uuid.UUID]eve.NetworkInstanceStatus),
		networkMetadata: make(map[uuid.UUID]eve.NetworkMetadata),
		dirty:           make(map[string]bool),
		closed:          make(map[string]bool),
		gone:            true, // while the service was not there
	}
}

// String names the task.
func (*Intake) String() string { return "msrv intake" }

// Run follows the topics until ctx ends, and returns nil then.
func (in *Intake) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	t := &in.cfg.Topics
	// What everybody's metadata needs is waited for; on a device the service's own additions have no publisher, as a rule.
	needed, ours, none := &in.unsynced, &in.unsynced, new(int)
	if t.Device {
		ours = none
	}
	follow(ctx, group, in, t.Apps, needed, in.onApp)
	follow(ctx, group, in, t.AppNetworks, none, in.onAppNetwork)
	follow(ctx, group, in, t.Metadata, ours, func(e pubsub.Event[eve.InstanceMetadata]) { byApp(in, in.metadata, e) })
	follow(ctx, group, in, t.AppStatus, needed, func(e pubsub.Event[eve.AppNetworkStatus]) { byApp(in, in.status, e) })
	follow(ctx, group, in, t.NetworkMetadata, ours, func(e pubsub.Event[eve.NetworkMetadata]) { byNetwork(in, in.networkMetadata, e) })
	follow(ctx, group, in, t.NetworkStatus, needed, func(e pubsub.Event[eve.NetworkInstanceStatus]) { byNetwork(in, in.networks, e) })
	follow(ctx, group, in, t.ControllerCerts, &in.uncertified, in.onControllerCert)
	follow(ctx, group, in, t.DeviceCerts, &in.uncertified, in.onDeviceCert)
	follow(ctx, group, in, t.Settings, none, in.onSettings)
	group.Go(func() error {
		in.deliver(ctx)
		return nil
	})
	return group.Wait()
}

// follow subscribes to one topic, if there is such a topic; handle runs with the lock held, for changes only. The topic
// counts among those that are waited for until its first state is complete.
func follow[T any](ctx context.Context, group *errgroup.Group, in *Intake, topic pubsub.Topic[T], waited *int, handle func(pubsub.Event[T])) {
	if topic.Topic == "" {
		return
	}
	in.mu.Lock()
	*waited++
	in.mu.Unlock()
	group.Go(func() error {
		err := pubsub.Subscribe(ctx, in.cfg.Driver, topic, func(e pubsub.Event[T]) {
			in.mu.Lock()
			defer in.mu.Unlock()
			switch e.Kind {
			case pubsub.Create, pubsub.Modify, pubsub.Delete:
				handle(e)
			case pubsub.Synced:
				*waited--
			case pubsub.Restarted:
				if topic.Table == in.cfg.Topics.Apps.Table {
					in.restarted = e.Restarted
				}
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

// onApp keeps the configs of apps.
func (in *Intake) onApp(e pubsub.Event[eve.AppInstanceConfig]) {
	in.onConfig(&e.Kind, e.Key, e.Value.UUIDandVersion.UUID)
	byApp(in, in.apps, e)
}

// onAppNetwork keeps what stands in for them.
func (in *Intake) onAppNetwork(e pubsub.Event[eve.AppNetworkConfig]) {
	in.onConfig(&e.Kind, e.Key, e.Value.UUIDandVersion.UUID)
	byApp(in, in.appNetworks, e)
}

// onConfig notes that an app is another or gone. The key is what an instance is known by ever after, so a config that
// contradicts it is refused: it counts as deleted.
func (in *Intake) onConfig(kind *pubsub.EventKind, key string, id uuid.UUID) {
	in.gone = in.gone || *kind == pubsub.Delete
	in.closed[key] = true
	if *kind != pubsub.Delete && id.String() != key {
		in.cfg.Log.WithFields(logrus.Fields{"key": key, "uuid": id}).Error("app refused: its key is not its UUID")
		*kind = pubsub.Delete
	}
}

func (in *Intake) onControllerCert(e pubsub.Event[eve.ControllerCert]) {
	in.cfg.Certs.setController(e.Key, e.Value, e.Kind != pubsub.Delete)
	in.closeAll()
}

func (in *Intake) onDeviceCert(e pubsub.Event[eve.EdgeNodeCert]) {
	in.cfg.Certs.setDevice(e.Key, e.Value, e.Kind != pubsub.Delete)
	in.closeAll()
}

// closeAll has all encrypted user data opened again: with other certificates it may be another or none.
func (in *Intake) closeAll() {
	for key := range in.status {
		if app, ok := in.config(key); ok && app.IsCipher {
			in.closed[key], in.dirty[key] = true, true
		}
	}
}

// settingMultipart is the setting that has every drive be made of the parts of the user data (EVE, CONFIG-PROPERTIES.md).
const settingMultipart = "process.cloud-init.multipart"

// onSettings takes out of the node's settings what metadata depends on.
func (in *Intake) onSettings(e pubsub.Event[eve.ConfigItemValueMap]) {
	if e.Key != eve.GlobalKey {
		return
	}
	multipart := e.Kind != pubsub.Delete && e.Value.GlobalSettings[settingMultipart].BoolValue
	if multipart == in.multipart {
		return
	}
	in.multipart = multipart
	for key := range in.status {
		in.dirty[key] = true
	}
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
	opened := make(map[string]*Opened)
	impatient := time.After(certPatience)
	patient := true
	again := time.NewTimer(openRetry)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-in.wake:
		case <-impatient:
			patient = false
		case <-again.C:
			in.reopen(opened)
		}
		n, ok := in.take(patient)
		if !ok {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(n.changed)) {
			f := n.changed[key]
			if f == nil {
				delete(put, key)
				delete(opened, key)
				in.cfg.Sink.Remove(key)
				continue
			}
			if f.Opened = in.open(&f.App, opened[key], n.closed[key]); f.Opened.failed() {
				again.Reset(openRetry)
			}
			opened[key] = f.Opened
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

// open opens the user data of an app, unless it is not encrypted or was opened before. It is nil where there is nothing to
// open, or nothing to open it with.
func (in *Intake) open(app *eve.AppInstanceConfig, before *Opened, closed bool) *Opened {
	switch {
	case !app.IsCipher || in.cfg.UserData == nil:
		return nil
	case before != nil && !closed:
		return before
	}
	text, err := in.cfg.UserData(app)
	return &Opened{text, err}
}

// reopen has what failed to open be tried again.
func (in *Intake) reopen(opened map[string]*Opened) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for key, o := range opened {
		if o.failed() {
			in.closed[key], in.dirty[key] = true, true
		}
	}
}

// news is what there is to tell the sink.
type news struct {
	changed map[string]*Facts // by app; nil for those that are gone or not to be served
	closed  map[string]bool   // apps whose user data is to be opened again
	gone    bool              // apps without a config may have gone, and are gone for good
}

// take returns the news. It is false until all topics have told their first state: an app whose status is not
// told yet looks like one that is gone, and would lose its drive to a restart of the service.
func (in *Intake) take(patient bool) (n news, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.unsynced > 0 || patient && in.uncertified > 0 && in.anyEncrypted() {
		return news{}, false
	}
	n.changed = make(map[string]*Facts, len(in.dirty))
	n.closed = make(map[string]bool)
	for key := range in.dirty {
		n.changed[key] = in.facts(key)
		if n.changed[key] != nil && in.closed[key] {
			n.closed[key] = true
			delete(in.closed, key)
		}
	}
	clear(in.dirty)
	// From 1 on the publisher has said all that there is, once.
	if in.restarted > 0 {
		n.gone, in.gone = in.gone, false
	}
	return n, true
}

// anyEncrypted tells whether there is an app whose user data has to be decrypted.
func (in *Intake) anyEncrypted() bool {
	for key := range in.status {
		if app, ok := in.config(key); ok && app.IsCipher {
			return true
		}
	}
	return false
}

// exists tells whether there is a config of an app, active or not.
func (in *Intake) exists(uuid string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	_, ok := in.config(uuid)
	return ok
}

// config is the config of an app, or what stands in for it: that which the app's networks are made by has what a guest
// is told, too, but for its resources and its CloudInitVersion.
func (in *Intake) config(key string) (eve.AppInstanceConfig, bool) {
	if app, ok := in.apps[key]; ok {
		return app, true
	}
	n, ok := in.appNetworks[key]
	if !ok {
		return eve.AppInstanceConfig{}, false
	}
	return eve.AppInstanceConfig{
		UUIDandVersion: n.UUIDandVersion, DisplayName: n.DisplayName, Activate: n.Activate,
		AppNetAdapterList: n.AppNetAdapterList, CloudInitUserData: n.CloudInitUserData,
		CipherBlockStatus: n.CipherBlockStatus, MetaDataType: n.MetaDataType, DeploymentType: n.DeploymentType,
	}, true
}

// facts collects what is known of an app. It is nil for one that is not known or not active, and for
// one whose adapters or their networks are not known yet: a guest must not see half of itself.
func (in *Intake) facts(key string) *Facts {
	app, ok := in.config(key)
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
		Device:          in.cfg.Topics.Device, Multipart: in.multipart,
		Secret: in.cfg.Secret, Architecture: in.cfg.Architecture,
	}
	for i := range status.AppNetAdapterList {
		a := &status.AppNetAdapterList[i]
		n, ok := in.networks[a.Network]
		said := in.networkMetadata[a.Network]
		if !ok && f.there(a, &said) {
			return nil
		}
		f.Networks[a.Network], f.NetworkMetadata[a.Network] = n, said
	}
	return f
}
