// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/nim"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/feed/manifest"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
	"github.com/lf-edge/eve-metadata/pkg/task"
)

// runOptions are the flags of `run`.
type runOptions struct {
	source
	root      string
	ephemeral bool
	metrics   string
	logLevel  string
	logFormat string
}

func newRunCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the service: feed, app networks, metadata server and drives in one process",
		Long: `run publishes what the manifests describe, makes the app networks and serves their guests until it
gets SIGINT or SIGTERM. Networks, addresses and drives stay as they are when it ends, so that guests
keep running and the next run goes on; --ephemeral takes everything away.

It needs root, or to be root of a user namespace with a network and a mount namespace of its own:

  unshare --user --map-root-user --net --mount eve-metadata run --root "$HOME/md"

State, below --root: sockets and files of the topics in var/run/ and persist/, namespaces in run/netns,
drives in run/mdsrv/drives, the device's secret in persist/mdsrv. Ready is told to $NOTIFY_SOCKET.`,
		Example: `  sudo eve-metadata run
  sudo eve-metadata run --manifests /etc/eve-metadata
  sudo eve-metadata run --root /tmp/md --ephemeral --log-level debug`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), o, cmd.ErrOrStderr())
		},
	}
	o.source.flags(cmd)
	cmd.Flags().StringVar(&o.root, "root", "", "prefix of every path of the state (default: the paths of an EVE device)")
	cmd.Flags().BoolVar(&o.ephemeral, "ephemeral", false, "leave nothing behind: no networks, no drives, no state")
	cmd.Flags().StringVar(&o.metrics, "metrics", "",
		"serve counters in Prometheus' format on this host:port or, if it begins with a slash, unix socket (default: nowhere)")
	cmd.Flags().StringVar(&o.logLevel, "log-level", "info", "least level to log: error, warn, info or debug")
	cmd.Flags().StringVar(&o.logFormat, "log-format", "text", "how to log, to standard error: text or json")
	return cmd
}

// run is the whole service in one process, until ctx ends.
func run(ctx context.Context, o runOptions, stderr io.Writer) error {
	log, err := newLogger(o.logLevel, o.logFormat, stderr)
	if err != nil {
		return usageError{err}
	}
	if o.root != "" {
		if o.root, err = filepath.Abs(o.root); err != nil {
			return fmt.Errorf("--root: %w", err)
		}
	}
	if os.Geteuid() != 0 {
		return errors.New("making network namespaces needs root: use sudo, or a user namespace as `eve-metadata run --help` shows")
	}
	driver := &socket.Driver{Root: o.root, Report: func(t pubsub.Table, err error) {
		log.WithError(err).WithField("table", t.Name()).Warn("trouble with a topic")
	}}
	tasks, err := newTasks(o, driver, log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go announce(ctx, tasks.Ready(), log)
	log.WithFields(logrus.Fields{"version": version, "root": o.root}).Info("starting")
	err = tasks.Run(ctx)
	notify("STOPPING=1", log)
	if errors.Is(err, pubsub.ErrInUse) {
		// What is here is the other's: there is nothing to take away.
		return fmt.Errorf("another eve-metadata is running here, stop it or choose another --root: %w", err)
	}
	if o.ephemeral {
		networks := nim.Config{Driver: driver, Root: o.root, Board: endpoint.NewBoard(), Log: log}
		err = errors.Join(err, nim.Remove(context.WithoutCancel(ctx), networks), sweep(o.root))
	}
	log.Info("stopped")
	return err
}

// newTasks makes the parts of the service. They meet at topics and endpoints only.
func newTasks(o runOptions, driver *socket.Driver, log *logrus.Logger) (*task.Group, error) {
	board := endpoint.NewBoard()
	manifests, err := manifest.New(manifest.Config{Dir: o.manifests, FS: o.source.fallback(), Driver: driver, Log: log})
	if err != nil {
		return nil, err
	}
	networks, err := nim.New(nim.Config{Driver: driver, Root: o.root, Feed: eve.AgentFeed, Board: board, Log: log})
	if err != nil {
		return nil, err
	}
	config := msrv.Config{
		Driver: driver, Board: board, Root: o.root, Feed: eve.AgentFeed, Nim: eve.AgentNim,
		Dialects: dialects(), Log: log,
	}
	tasks := []task.Task{manifests, networks}
	if o.metrics != "" {
		m := newMetrics(o.metrics)
		config.Metrics = m.registry
		tasks = append(tasks, m)
	}
	server, err := msrv.New(config)
	if err != nil {
		return nil, err
	}
	return task.NewGroup("eve-metadata", append(tasks, server)...), nil
}

// sweep removes the service's folders: all that is called after its own agents, and nobody else's.
func sweep(root string) error {
	var errs []error
	for _, agent := range []string{eve.AgentFeed, eve.AgentNim, eve.AgentServe} {
		for _, parent := range []string{"/run", "/var/run", "/persist", "/persist/status", "/persist/pubsub-large"} {
			errs = append(errs, os.RemoveAll(filepath.Join(root, parent, agent)))
		}
	}
	return errors.Join(errs...)
}

// newLogger makes the one logger of the process.
func newLogger(level, format string, out io.Writer) (*logrus.Logger, error) {
	log := logrus.New()
	log.SetOutput(out)
	l, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("--log-level %q: not error, warn, info or debug", level)
	}
	log.SetLevel(l)
	switch format {
	case "text":
	case "json":
		log.SetFormatter(&logrus.JSONFormatter{})
	default:
		return nil, fmt.Errorf("--log-format %q: not text or json", format)
	}
	return log, nil
}

// announce says that the service is ready, once it is.
func announce(ctx context.Context, ready <-chan struct{}, log *logrus.Logger) {
	select {
	case <-ready:
		log.Info("ready")
		notify("READY=1", log)
	case <-ctx.Done():
	}
}

// notify tells the service manager how things are, where there is one (sd_notify(3)): a datagram to
// the socket that $NOTIFY_SOCKET names.
func notify(state string, log *logrus.Logger) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte(state))
		err = errors.Join(err, conn.Close())
	}
	if err != nil {
		log.WithError(err).Warn("service manager not told")
	}
}
