// SPDX-License-Identifier: Apache-2.0

// Package msrv is the metadata server: topics and endpoints come in, and what guests read goes out,
// over HTTP and on drives. It needs no privilege beyond reading its topics and writing its folders.
//
// What it opens, for whoever confines it; paths are below the root. New opens
//
//   - persist/mdsrv/secret, which it reads; where it is missing, it makes it and its folder;
//   - a netlink socket, which it keeps, to ask bridges for their ports.
//
// Run opens, for as long as it runs, because publishers come and go and guests ask and report:
//
//   - of the topics that it follows (pkg/topics): var/run/<agent>/<topic>.sock, to connect to; the
//     folder var/run/<agent>/<topic>, or persist/status/<agent>/<topic> of persistent ones, to read and watch,
//     and those above it, to watch, until it is there;
//   - of those that it publishes, as mdsrv: the same sockets, to make and bind, and the folders var/run/mdsrv and
//     persist/status/mdsrv, to read and write;
//   - persist/pubsub-large, where large values are: to read and remove those of the agents that it follows, and to write
//     those of mdsrv;
//   - run/mdsrv/drives, to make, read, write, rename and remove in; and EVEDrives likewise;
//   - what Opener and the dialects open: the node's keys, and the files that EVE's topics offer to guests.
//
// It makes sockets of the families unix (its topics') and inotify watches, and none of a network but a dialect's: it
// accepts on those that come with the endpoints, and reads and sets options of what it accepts. Beside that Go itself reads
// /proc/sys/net/core/somaxconn when a topic's socket is bound, and /etc/localtime for the log; it does without them.
package msrv

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/drive"
	"github.com/lf-edge/eve-metadata/msrv/httpd"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/intake"
	"github.com/lf-edge/eve-metadata/msrv/launch"
	"github.com/lf-edge/eve-metadata/msrv/report"
	"github.com/lf-edge/eve-metadata/msrv/store"
	"github.com/lf-edge/eve-metadata/pkg/cipher"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/neigh"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/task"
	"github.com/lf-edge/eve-metadata/pkg/topics"
)

// Config is what a Service needs.
type Config struct {
	Driver pubsub.Driver
	Board  *endpoint.Board
	// Root prefixes every path of the state.
	Root string
	// Topics are those that it follows.
	Topics topics.Set
	// Opener decrypts user data, with Certs, which the service keeps as the topics have them. It has Counters, which are
	// published.
	Opener   *cipher.Opener
	Certs    *intake.Certs
	Dialects []dialect.Dialect
	// Pruners keep something of apps that is to go when these are gone for good.
	Pruners []Pruner
	// EVEDrives is the folder where EVE has the drives of virtual machines, in which the service is to put them as well;
	// "" for nowhere.
	EVEDrives string
	// Metrics is where counters are registered; nil for nowhere.
	Metrics prometheus.Registerer
	Log     logrus.FieldLogger
}

// Pruner keeps something of apps.
type Pruner interface {
	// Prune forgets what it keeps of apps that do not exist any more.
	Prune(exists func(uuid string) bool) error
}

// Drives is the folder of the images under a root: one "<app UUID>.iso" per instance that wants one.
func Drives(root string) string { return filepath.Join(root, "/run/mdsrv/drives") }

// Service is the metadata server. Make one with New.
type Service struct {
	cfg    Config
	store  *store.Store
	drives *drive.Keeper // in a folder of its own
	eve    *drive.Keeper // in EVE's; nil for none
	intake *intake.Intake
	httpd  *httpd.Server
	ports  *neigh.Table
	data   task.Ready // all that was known at the start is in the store and on the drives
	// All are there while it runs.
	book   *report.Book
	launch *launch.Publisher
	vault  *vault
}

// New makes a Service, which Run has to run for its sockets to be closed. It reads the device's secret, or
// makes one, and starts nothing. It is called in the network namespace that the endpoints' bridges are in;
// where these cannot be asked for their ports, guests whose ports are known are nobody there.
func New(cfg Config) (*Service, error) {
	secret, err := Secret(cfg.Root)
	if err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, store: store.New(), drives: drive.NewKeeper(Drives(cfg.Root), drive.Extension, cfg.Log)}
	if cfg.EVEDrives != "" {
		s.eve = drive.NewKeeper(cfg.EVEDrives, drive.ExtensionEVE, cfg.Log)
	}
	s.intake = intake.New(intake.Config{
		Driver: cfg.Driver, Topics: cfg.Topics, Certs: cfg.Certs, Secret: secret, Architecture: runtime.GOARCH,
		UserData: func(app *eve.AppInstanceConfig) (string, error) { return s.vault.userData(app) },
		Sink:     (*sink)(s), Log: cfg.Log,
	})
	s.httpd = &httpd.Server{
		Board: cfg.Board, Store: s.store, Data: s.data.Done(), Dialects: cfg.Dialects,
		Reports: func(i *instance.Instance) dialect.Reports { return s.book.Of(i) }, Log: cfg.Log,
	}
	if cfg.Metrics != nil {
		if s.httpd.Metrics, err = httpd.NewMetrics(cfg.Metrics); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	if s.ports, err = neigh.Open(); err != nil {
		cfg.Log.WithError(err).Warn("bridges cannot be asked on which port a guest is")
	}
	s.httpd.Bridges = s.ports
	return s, nil
}

// String names the task.
func (*Service) String() string { return "msrv" }

// Ready is closed when drives are written and the first endpoints are served.
func (s *Service) Ready() <-chan struct{} { return s.httpd.Ready() }

// Run serves until ctx ends, and returns nil then. It is called once. An error says that a topic cannot be
// followed or published: pubsub.ErrInUse when another service runs.
func (s *Service) Run(ctx context.Context) (err error) {
	defer s.ports.Close()
	if s.book, err = report.Open(s.cfg.Driver); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.book.Close()) }()
	if s.launch, err = launch.NewPublisher(s.cfg.Driver, s.cfg.Dialects); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.launch.Close()) }()
	if s.vault, err = openVault(s.cfg.Driver, s.cfg.Opener, s.cfg.Log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.vault.Close()) }()
	for _, err := range s.book.Skipped() {
		s.cfg.Log.WithError(err).Warn("what a guest reported to an earlier run cannot be read")
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.intake.Run(ctx) })
	group.Go(func() error { return s.httpd.Run(ctx) })
	group.Go(func() error { return s.drives.Run(ctx) })
	if s.eve != nil {
		group.Go(func() error { return s.eve.Run(ctx) })
	}
	return group.Wait()
}

// sink renders what the intake brings and hands it to the carriers.
type sink Service

// Put renders an instance for every carrier that it wants.
func (s *sink) Put(inst *instance.Instance) {
	log := s.cfg.Log.WithFields(logrus.Fields{"instance": inst.UUID, "name": inst.Name})
	if inst.UserDataFault != "" {
		log.WithField("reason", inst.UserDataFault).Error("user data cannot be served")
	}
	trees, err := RenderHTTP(s.cfg.Dialects, inst)
	if err != nil {
		log.WithError(err).Error("metadata not rendered in full")
	}
	for _, k := range s.store.Put(&store.Entry{Instance: inst, HTTP: trees, Keys: intake.Keys(inst)}) {
		log.WithField("key", k.String()).Error("address claimed by two instances, served to neither")
	}
	image, err := s.drive(inst)
	if err != nil {
		log.WithError(err).Error("drive not written")
	}
	if err := s.launch.Put(inst, image); err != nil {
		log.WithError(err).Error("what to start it with not published")
	}
	log.Info("instance known")
}

// drive writes the drive that an instance wants, or takes away the one that it does not want or that
// cannot be made: it would tell what is no longer so. It returns where the image is, or will be once there
// is room for it; "" for none.
func (s *sink) drive(inst *instance.Instance) (path string, err error) {
	image, err := s.image(inst)
	if image == nil {
		return "", errors.Join(err, s.removeDrive(inst.UUID))
	}
	err = s.drives.Put(inst.UUID, image)
	if s.eve != nil {
		err = errors.Join(err, s.eve.Put(inst.UUID, image))
	}
	return drive.Path(Drives(s.cfg.Root), inst.UUID), err
}

// removeDrive takes an instance's images away.
func (s *sink) removeDrive(uuid string) error {
	err := s.drives.Remove(uuid)
	if s.eve != nil {
		err = errors.Join(err, s.eve.Remove(uuid))
	}
	return err
}

// image makes the image of an instance's drive; nil when it has none.
func (s *sink) image(inst *instance.Instance) ([]byte, error) {
	label, tree, err := RenderDrive(s.cfg.Dialects, inst)
	if tree == nil {
		return nil, err
	}
	return drive.Build(label, tree)
}

// Remove forgets an instance, but not what it reported: it may only be switched off.
func (s *sink) Remove(uuid string) {
	s.store.Remove(uuid)
	if err := errors.Join(s.removeDrive(uuid), s.launch.Remove(uuid), s.vault.forget(uuid)); err != nil {
		s.cfg.Log.WithError(err).WithField("instance", uuid).Error("instance not removed in full")
	}
}

// Complete forgets what was reported by apps that are gone for good.
func (s *sink) Complete(exists func(uuid string) bool) {
	for _, p := range append([]Pruner{s.book, s.vault}, s.cfg.Pruners...) {
		if err := p.Prune(exists); err != nil {
			s.cfg.Log.WithError(err).Error("what there was of apps that are gone not removed in full")
		}
	}
}

// Synced lets the guests in.
func (s *sink) Synced() {
	if err := errors.Join(s.drives.Prune(), s.launch.Prune()); err != nil {
		s.cfg.Log.WithError(err).Error("what an earlier run left behind not removed in full")
	}
	s.data.Set()
}
