// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/lf-edge/eve-metadata/msrv"
	dialect "github.com/lf-edge/eve-metadata/msrv/dialect/eve"
	"github.com/lf-edge/eve-metadata/msrv/intake"
	"github.com/lf-edge/eve-metadata/msrv/node"
	"github.com/lf-edge/eve-metadata/msrv/patch"
	"github.com/lf-edge/eve-metadata/pkg/cipher"
	"github.com/lf-edge/eve-metadata/pkg/confine"
	"github.com/lf-edge/eve-metadata/pkg/devicekey"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/task"
	"github.com/lf-edge/eve-metadata/pkg/topics"
)

// server is how the server of metadata runs as a process of its own.
type server struct {
	user       string
	unconfined bool
	metrics    string
	eveDrives  bool
	diagnosis  string // see dialect.Config
}

func (s *server) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.user, "user", "", "user, by name or number, that the server of metadata becomes (default: it stays who it is)")
	cmd.Flags().BoolVar(&s.unconfined, "no-confine", false, "leave the server of metadata its privileges, to look for what it lacks")
	cmd.Flags().StringVar(&s.metrics, "metrics", "",
		"serve counters in Prometheus' format on this host:port or, if it begins with a slash, unix socket (default: nowhere)")
	cmd.Flags().BoolVar(&s.eveDrives, "eve-drives", false,
		"put the drives of virtual machines into run/domainmgr/cloudinit as well, where EVE has its own")
}

// msrvOptions are the flags of `msrv`.
type msrvOptions struct {
	process
	origin
	server
}

func newMsrvCommand() *cobra.Command {
	var o msrvOptions
	cmd := &cobra.Command{
		Use:   "msrv",
		Short: "Run the metadata server alone, without privileges",
		Long: `msrv serves the guests on the sockets that nim hands it, and writes their drives, until it gets SIGINT or
SIGTERM. While nim or the feed are away it serves what it knows.

It gives up what it does not need before it serves anybody: it becomes --user, has no capability and can get
none, opens no files but those of its topics and its own folders (Landlock), and makes no system calls but
those of a server (seccomp). What the kernel does not have is logged. Root, without --user, stays user 0
without a capability: that is for topics of agents whose sockets are root's.

Folders below --root: run/mdsrv, var/run/mdsrv, persist/status/mdsrv, persist/mdsrv and
persist/pubsub-large/mdsrv are its own, and are given to --user.`,
		Example: `  sudo eve-metadata msrv --user eve-metadata
  sudo eve-metadata msrv --root /tmp/md --user nobody --metrics /run/eve-metadata-metrics.sock`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.ErrOrStderr()) },
	}
	o.process.flags(cmd)
	o.origin.flags(cmd)
	o.server.flags(cmd)
	return cmd
}

func (o *msrvOptions) run(ctx context.Context, stderr io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	log, err := o.start(stderr)
	if err != nil {
		return err
	}
	var counters *metrics
	if o.metrics != "" {
		counters = newMetrics(o.metrics)
		if err := counters.open(ctx); err != nil {
			return err
		}
	}
	if err := o.confine(log); err != nil {
		return err
	}
	board := endpoint.NewBoard()
	o.diagnosis = diagnosisCopy
	tasks, err := newServer(o.process, o.topics(), o.server, newDriver(o.root, 0, log), board, counters, log)
	if err != nil {
		return err
	}
	tasks = append(tasks, &endpoint.Receiver{Board: board, Path: endpoint.SocketPath(o.root), Log: log})
	if counters != nil {
		tasks = append(tasks, counters)
	}
	return o.serve(ctx, task.NewGroup("eve-metadata msrv", tasks...), log)
}

// confine gives up what the server does not need. What it needs is in the comment of package msrv.
func (o *msrvOptions) confine(log *logrus.Logger) error {
	if o.unconfined {
		log.Warn("not confined")
		return nil
	}
	policy := o.policy()
	policy.Parent, _ = strconv.Atoi(os.Getenv(parentVar)) // not said: 0
	policy.Root = os.Getenv(rootVar)
	if o.user != "" {
		user, err := confine.Lookup(o.user)
		if err != nil {
			return fmt.Errorf("--user: %w", err)
		}
		policy.User = user
		if user.Here() {
			policy.Group = user.GID
		}
	}
	lacking, err := policy.Apply()
	for _, what := range lacking {
		log.WithField("what", what).Warn("cannot be confined further")
	}
	if err == nil {
		log.WithField("user", cmp.Or(o.user, "as before")).Info("confined")
	}
	return err
}

// policy is what the server needs, wherever it is: what is in the comment of package msrv.
func (o *msrvOptions) policy() confine.Policy {
	policy := confine.Policy{
		Own:  confine.Folders(o.root, "run/mdsrv", "var/run/mdsrv", "persist/status/mdsrv", "persist/mdsrv", "persist/pubsub-large/mdsrv"),
		Read: confine.Folders(o.root, "run/mdnim", "persist/status/mdnim", "persist/pubsub-large"),
	}
	for _, agent := range o.topics().Agents() {
		policy.Read = append(policy.Read, confine.Folders(o.root, "var/run/"+agent)...)
		policy.Take = append(policy.Take, confine.Folders(o.root, "persist/pubsub-large/"+agent)...)
	}
	if o.from != fromEVE {
		// A feed makes the key of the node's certificate there, and may do so later: the folder has to be there before.
		policy.Read = append(policy.Read, confine.Folders(o.root, "persist/certs")...)
		return policy
	}
	if o.eveDrives {
		policy.Own = append(policy.Own, eveDrives(o.root))
	}
	// Files that topics name are in volumes, and those in a vault that may be opened later.
	policy.Read = append(policy.Read, confine.Folders(o.root, "persist")...)
	policy.Files = confine.Folders(o.root, "config")
	policy.Devices = confine.Folders(o.root, "dev/tpmrm0")
	policy.Connect = []uint16{netip.MustParseAddrPort(dialect.ExporterAddress).Port()}
	return policy
}

// diagnosisCopy is where nim puts a device's diagnosis for a server that cannot see the folder that it is in: it is a new file
// each time that EVE writes it.
const diagnosisCopy = "/run/mdnim/diag.out"

// eveDrives is the folder where EVE has the drives of virtual machines (EVE, domainmgr).
func eveDrives(root string) string { return filepath.Join("/", root, "run/domainmgr/cloudinit") }

// newServer makes the server of metadata and what it knows of the node; counters may be nil.
func newServer(p process, follow topics.Set, s server, driver pubsub.Driver, board *endpoint.Board, counters *metrics, log *logrus.Logger) ([]task.Task, error) {
	keys, certs := devicekey.Open(p.root), new(intake.Certs)
	opener := &cipher.Opener{
		ControllerCert: certs.Controller, DeviceCert: certs.Device, ECDH: keys.ECDH,
		Counters: cipher.NewCounters(eve.AgentServe, time.Now),
	}
	about := node.New(driver, follow, log)
	words := dialect.Config{Node: about, Root: p.root, Diagnosis: s.diagnosis, Elsewhere: !follow.Device}
	tasks, pruners := []task.Task{about}, []msrv.Pruner{}
	if follow.Device { // elsewhere there is nobody who offers files, nor asks for a proof of the node
		patches := patch.New(patch.Config{Driver: driver, Source: about, Opener: opener, Root: p.root, Log: log})
		words.Patches, words.Keys, words.Exporter = patches, keys, dialect.NewExporter(dialect.ExporterAddress)
		tasks, pruners = append(tasks, patches), append(pruners, patches)
	}
	config := msrv.Config{
		Driver: driver, Board: board, Root: p.root, Topics: follow, Certs: certs, Opener: opener,
		Dialects: served(words, follow.Device), Pruners: pruners, Log: log,
	}
	if s.eveDrives {
		config.EVEDrives = eveDrives(p.root)
	}
	if counters != nil {
		config.Metrics = counters.registry
	}
	service, err := msrv.New(config)
	return append(tasks, service), err
}
