// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/lf-edge/eve-metadata/nim"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
	"github.com/lf-edge/eve-metadata/pkg/task"
)

// runOptions are the flags of `run`.
type runOptions struct {
	origin
	source
	controller controllerOptions
	process
	server
	ephemeral bool
	split     bool
}

func newRunCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the service: feed, app networks, metadata server and drives",
		Long: `run publishes what the manifests describe, makes the app networks and serves their guests until it
gets SIGINT or SIGTERM. With --source controller an EVE controller takes the place of the manifests; with --source eve it
follows the topics of an EVE device's own agents, and joins the networks that they make. Networks, addresses and drives stay as they are when it ends, so that guests
keep running and the next run goes on; --ephemeral takes everything away.

All of it is in one process. With --split it runs feed, nim and msrv as processes of their own, and starts
again the one that ends: msrv, with which guests talk, then has no privilege, and the files and system calls
that it needs alone (see eve-metadata msrv --help).

It needs root, or to be root of a user namespace with a network and a mount namespace of its own:

  unshare --user --map-root-user --net --mount eve-metadata run --root "$HOME/md"

State, below --root: sockets and files of the topics in var/run/ and persist/, namespaces in run/netns,
drives in run/mdsrv/drives, the device's secret in persist/mdsrv. Ready is told to $NOTIFY_SOCKET.`,
		Example: `  sudo eve-metadata run
  sudo eve-metadata run --manifests /etc/eve-metadata
  sudo eve-metadata run --root /tmp/md --ephemeral --log-level debug
  eve-metadata run --source eve --split
  sudo eve-metadata run --source controller --server controller.example.com --device-cert device.pem --device-key device-key.pem --root-ca root.pem
  sudo eve-metadata run --split --user eve-metadata`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), o, cmd.ErrOrStderr())
		},
	}
	o.origin.flags(cmd)
	o.source.flags(cmd)
	o.controller.flags(cmd)
	o.process.flags(cmd)
	o.server.flags(cmd)
	cmd.Flags().BoolVar(&o.ephemeral, "ephemeral", false, "leave nothing behind: no networks, no drives, no state")
	cmd.Flags().BoolVar(&o.split, "split", false, "run feed, nim and msrv as processes of their own")
	return cmd
}

// check tells which flags do not go together.
func (o *runOptions) check() error {
	switch {
	case !o.split && (o.user != "" || o.unconfined):
		return usageError{errors.New("--user and --no-confine go with --split")}
	case o.from == fromEVE && o.user != "":
		return usageError{errors.New("--user does not go with --source eve: the sockets of EVE's agents are root's")}
	case o.from != fromManifests && o.manifests != "":
		return usageError{errors.New("--manifests goes with --source manifests")}
	case o.from != fromController && o.controller.isSet():
		return usageError{errors.New("the flags of a controller go with --source controller")}
	}
	return o.origin.check()
}

// run is the whole service, until ctx ends.
func run(ctx context.Context, o runOptions, stderr io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	log, err := o.start(stderr)
	if err != nil {
		return err
	}
	if err := needRoot(); err != nil {
		return err
	}
	driver := newDriver(o.root, 0, log)
	newTasks := newParts
	if o.split {
		newTasks = func(o runOptions, _ *socket.Driver, log *logrus.Logger) (*task.Group, error) {
			return newChildren(o, stderr, log)
		}
	}
	tasks, err := newTasks(o, driver, log)
	if err != nil {
		return err
	}
	err = o.serve(ctx, tasks, log)
	if o.ephemeral && !errors.Is(err, errRunning) {
		networks := nim.Config{Driver: driver, Root: o.root, Topics: o.topics(), Board: endpoint.NewBoard(), Log: log}
		err = errors.Join(err, nim.Remove(context.WithoutCancel(ctx), networks), sweep(o.root))
	}
	return err
}

// newParts makes the parts of the service. They meet at topics and endpoints only.
func newParts(o runOptions, driver *socket.Driver, log *logrus.Logger) (*task.Group, error) {
	board := endpoint.NewBoard()
	tasks, err := newFeeds(o, driver, log)
	if err != nil {
		return nil, err
	}
	networks, err := newManager(o.process, o.topics(), driver, board, log)
	if err != nil {
		return nil, err
	}
	tasks = append(tasks, networks)
	var counters *metrics
	if o.metrics != "" {
		counters = newMetrics(o.metrics)
		tasks = append(tasks, counters)
	}
	service, err := newServer(o.process, o.topics(), o.server, driver, board, counters, log)
	if err != nil {
		return nil, err
	}
	return task.NewGroup("eve-metadata", append(tasks, service...)...), nil
}

// newFeeds makes the feed of the source; an EVE device has its own.
func newFeeds(o runOptions, driver *socket.Driver, log *logrus.Logger) ([]task.Task, error) {
	switch o.from {
	case fromEVE:
		return nil, nil
	case fromController:
		feed, err := o.controller.newFeed(o.root, 0, driver, log)
		return []task.Task{feed}, err
	}
	manifests, err := newFeed(o.source, driver, log)
	return []task.Task{manifests}, err
}

// sweep removes the service's folders: all that is called after its own agents, and nobody else's.
func sweep(root string) error {
	errs := []error{os.RemoveAll(nim.ServersDir(root))}
	for _, agent := range []string{eve.AgentFeed, eve.AgentNim, eve.AgentServe} {
		for _, parent := range []string{"/run", "/var/run", "/persist", "/persist/status", "/persist/pubsub-large"} {
			errs = append(errs, os.RemoveAll(filepath.Join(root, parent, agent)))
		}
	}
	return errors.Join(errs...)
}
