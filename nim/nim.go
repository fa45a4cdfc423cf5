// SPDX-License-Identifier: Apache-2.0

// Package nim manages the app networks that are ours to make: for each network instance a network namespace with a
// bridge in it, which has the gateway's address and the metadata address, and a port on the bridge for every guest's
// adapter. (EVE has an agent of the same name that manages the device's own ports. That is another matter.)
//
// Networks that others made get the metadata address alone. On a device those are all that there are: EVE's zedrouter makes
// the networks, and its NetworkInstanceStatus and AppNetworkStatus are followed instead of the topics below.
//
// In come topics of a feed: NetworkInstanceConfig, NetworkMetadata, AppInstanceConfig and InstanceMetadata. Out come changes
// of the kernel's state, DHCP and DNS servers, the topics NetworkInstanceStatus, AppNetworkStatus and NetworkAttachment, and
// the listening sockets of each network on an endpoint.Board. The command that runs the service calls it.
//
// The topics have no AppNetworkStatus of ours on a device, where zedrouter tells of the guests' adapters.
//
// The packages below share the work: nim/intake knows topics and no kernel, nim/plan knows neither, nim/kernel knows the
// kernel and no topics, nim/dnsmasq its files and processes. This package runs them, one network at a time and whenever
// something that concerns it has changed: read what is wanted, observe what there is, plan, carry out, tell. What others
// change in a network, the kernel tells of; it is put right in the same way.
//
// What has been made outlives the process. When it starts again it finds the namespaces as they are, and the addresses of
// the guests in AppNetworkStatus, which is kept over reboots. Nothing is removed before the feed has told everything
// once (see feed.complete): a restart in which topics arrive one by one tears nothing down.
package nim

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/lf-edge/eve-metadata/nim/dnsmasq"
	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/task"
	"github.com/lf-edge/eve-metadata/pkg/topics"
)

// Config is what a Manager needs.
type Config struct {
	// Driver carries the topics, both ways.
	Driver pubsub.Driver
	// Root is a directory under which run/netns is; "" for the device's own /run/netns.
	Root string
	// Topics say what is wanted; the zero value means topics.Own(). On a device (topics.Device()) EVE's agents make the
	// networks, and we join them.
	Topics topics.Set
	// Board is where the listening sockets are posted.
	Board *endpoint.Board
	// Log is told of what goes wrong and of what goes well again, once each.
	Log *logrus.Logger
	// DryRun has the manager plan and tell, and touch nothing: topics say what would be, and no socket is posted. It
	// needs no privileges.
	DryRun bool
}

// Manager makes the app networks be as the topics want them. It is a task.Task.
type Manager struct {
	cfg     Config
	kernel  host
	servers servers
	ready   task.Ready
	now     func() time.Time
	wake    chan struct{} // holds a token while there may be something to do
	// serverUser is who the networks' servers run as; "": who started them.
	serverUser string

	mu      sync.Mutex      // guards what others than Run's own goroutine write
	feed    feed            // by the subscriptions
	noticed map[string]bool // networks that somebody else has changed, by UUID
	state   state           // of Run's own goroutine
}

// state is what a running Manager knows.
type state struct {
	networks      map[string]*network // by UUID
	networkStatus *pubsub.Publication[eve.NetworkInstanceStatus]
	appStatus     *pubsub.Publication[eve.AppNetworkStatus]
	attachments   *pubsub.Publication[eve.NetworkAttachment]
	running       context.Context //nolint:containedctx // ends with Run, and with it what watches for networks that come and go
	watchers      sync.WaitGroup
	unpublished   unpublished
	posted        *[]endpoint.Endpoint // what the board was told last; nil: nothing yet
	complete      bool                 // what the feed does not have is to be removed
}

// New returns a manager. It starts nothing and changes nothing.
func New(cfg Config) (*Manager, error) {
	if cfg.Topics == (topics.Set{}) {
		cfg.Topics = topics.Own()
	}
	if cfg.Driver == nil || cfg.Board == nil || cfg.Log == nil {
		return nil, errors.New("make network manager: Driver, Board and Log are needed")
	}
	m := &Manager{
		cfg:     cfg,
		kernel:  dryHost{},
		servers: noServers{},
		now:     time.Now,
		wake:    make(chan struct{}, 1),
		feed:    newFeed(cfg.Topics),
		noticed: map[string]bool{},
		state:   state{networks: map[string]*network{}, unpublished: unpublished{reasons: map[string]string{}}},
	}
	if cfg.DryRun {
		return m, nil
	}
	dir := ServersDir(cfg.Root)
	keeper, err := dnsmasq.NewKeeper(dnsmasq.Config{Dir: dir, Log: cfg.Log, Changed: m.notice})
	if err != nil {
		return nil, err
	}
	m.kernel, m.servers, m.serverUser = netlinkHost{kernel.New(cfg.Root)}, keeper, serverUser(dir)
	return m, nil
}

// String names the task.
func (m *Manager) String() string { return "nim" }

// Ready is closed when everything that the feed wants has been tried once, that is after the feed has told all of it.
func (m *Manager) Ready() <-chan struct{} { return m.ready.Done() }

// Run keeps the networks as they are wanted until ctx ends, and returns nil then. All networks stay; the listening sockets
// are closed, and the topics are left as they are for the next run. An error says that a topic can not be published or
// followed: pubsub.ErrInUse when another manager runs.
func (m *Manager) Run(ctx context.Context) (err error) {
	if err := m.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	m.recallPlaces()
	m.recall()
	eg, ctx := errgroup.WithContext(ctx)
	m.state.running = ctx
	for _, t := range m.feed.topics {
		eg.Go(func() error { return t.run(ctx, m) })
	}
	eg.Go(func() error { return m.kernel.WatchNames(ctx, func(name string) { m.notice(plan.NetworkOf(name)) }) })
	eg.Go(func() error { return m.kernel.WatchHost(ctx, func() { m.notice(everyOnHost) }) })
	eg.Go(func() error {
		m.loop(ctx)
		return nil
	})
	return eg.Wait()
}

// open opens what is published.
func (m *Manager) open() (err error) {
	s := &m.state
	if s.networkStatus, err = pubsub.NewPublication(m.cfg.Driver, topics.Own().NetworkStatus); err != nil {
		return err
	}
	if s.appStatus, err = pubsub.NewPublication(m.cfg.Driver, topics.Own().AppStatus); err != nil {
		return errors.Join(err, s.networkStatus.Detach())
	}
	if s.attachments, err = pubsub.NewPublication(m.cfg.Driver, AttachmentTopic()); err != nil {
		return errors.Join(err, s.networkStatus.Detach(), s.appStatus.Detach())
	}
	for _, err := range append(s.networkStatus.Skipped(), s.appStatus.Skipped()...) {
		m.cfg.Log.WithError(err).Warn("a status of an earlier run is left out")
	}
	err = errors.Join(s.networkStatus.ClearRestarted(), s.appStatus.ClearRestarted())
	if err != nil {
		return errors.Join(err, m.close())
	}
	return nil
}

// close lets go of all that a run has, and leaves behind what the next one starts from.
func (m *Manager) close() error {
	var errs []error
	m.cfg.Board.Post(nil)
	for _, n := range m.state.networks {
		errs = append(errs, closeAll(n.sockets))
		n.sockets, n.namespace = nil, 0
		n.unwatch()
	}
	m.state.watchers.Wait()
	m.servers.Close()
	return errors.Join(append(errs, m.state.networkStatus.Detach(), m.state.appStatus.Detach(), m.state.attachments.Detach())...)
}

// ServersDir is where the files of the networks' DHCP and DNS servers are. It is not in the manager's own folder, in which
// sockets are and not everybody is let in.
func ServersDir(root string) string { return filepath.Join("/", root, "run/mdnim-dnsmasq") }

// AttachmentTopic is where it is published which place of others an app network is in, keyed by the network instance's
// UUID.
func AttachmentTopic() pubsub.Topic[eve.NetworkAttachment] {
	return pubsub.TopicOf[eve.NetworkAttachment](eve.AgentNim)
}

// NamespacePath returns the path of the network namespace of an app network, given its network instance's UUID as text.
func NamespacePath(root, network string) string {
	return kernel.New(root).NetworkPath(network)
}

// Remove removes every app network of ours, as if there never had been one. No manager may be running.
func Remove(ctx context.Context, cfg Config) error {
	m, err := New(cfg)
	if err != nil {
		return err
	}
	if err := m.open(); err != nil {
		return fmt.Errorf("remove app networks: %w", err)
	}
	m.recallPlaces()
	m.state.complete = true
	var errs []error
	all := m.everythingElse().Networks
	m.stopServers(all)
	for id := range all {
		if ctx.Err() != nil {
			break
		}
		errs = append(errs, m.removeNetwork(m.network(id)).all(), m.state.networkStatus.Delete(id))
	}
	if err := errors.Join(append(errs, ctx.Err(), m.close())...); err != nil {
		return fmt.Errorf("remove app networks: %w", err)
	}
	return nil
}
