// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/pkg/confine"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/task"
)

// server is how the server of metadata runs as a process of its own.
type server struct {
	user       string
	unconfined bool
	metrics    string
}

func (s *server) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.user, "user", "", "user, by name or number, that the server of metadata becomes (default: it stays who it is)")
	cmd.Flags().BoolVar(&s.unconfined, "no-confine", false, "leave the server of metadata its privileges, to look for what it lacks")
	cmd.Flags().StringVar(&s.metrics, "metrics", "",
		"serve counters in Prometheus' format on this host:port or, if it begins with a slash, unix socket (default: nowhere)")
}

// msrvOptions are the flags of `msrv`.
type msrvOptions struct {
	process
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
	o.server.flags(cmd)
	return cmd
}

func (o *msrvOptions) run(ctx context.Context, stderr io.Writer) error {
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
	service, err := newServer(o.process, newDriver(o.root, 0, log), board, counters, log)
	if err != nil {
		return err
	}
	tasks := []task.Task{&endpoint.Receiver{Board: board, Path: endpoint.SocketPath(o.root), Log: log}, service}
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
	policy := confine.Policy{
		Own: confine.Folders(o.root, "run/mdsrv", "var/run/mdsrv", "persist/status/mdsrv", "persist/mdsrv", "persist/pubsub-large/mdsrv"),
		Read: confine.Folders(o.root, "run/mdnim", "var/run/mdnim", "persist/status/mdnim", "var/run/mdfeed",
			"persist/pubsub-large"),
		Take: confine.Folders(o.root, "persist/pubsub-large/mdfeed", "persist/pubsub-large/mdnim"),
	}
	policy.Parent, _ = strconv.Atoi(os.Getenv(parentVar)) // not said: 0
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
		log.WithField("user", o.user).Info("confined")
	}
	return err
}

// newServer makes the server of metadata; counters may be nil.
func newServer(p process, driver pubsub.Driver, board *endpoint.Board, counters *metrics, log *logrus.Logger) (*msrv.Service, error) {
	config := msrv.Config{
		Driver: driver, Board: board, Root: p.root, Feed: eve.AgentFeed, Nim: eve.AgentNim,
		Dialects: dialects(), Log: log,
	}
	if counters != nil {
		config.Metrics = counters.registry
	}
	return msrv.New(config)
}
