// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"path/filepath"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	dialect "github.com/lf-edge/eve-metadata/msrv/dialect/eve"
	"github.com/lf-edge/eve-metadata/nim"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/mirror"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/task"
	"github.com/lf-edge/eve-metadata/pkg/topics"
)

// nimOptions are the flags of `nim`.
type nimOptions struct {
	process
	origin
	readers
}

func newNimCommand() *cobra.Command {
	var o nimOptions
	cmd := &cobra.Command{
		Use:   "nim",
		Short: "Run the manager of the app networks alone",
		Long: `nim makes the app networks that the feed's topics want, until it gets SIGINT or SIGTERM, and hands their
listening sockets to msrv, over run/mdnim/endpoints.sock below --root. Networks stay when it ends; msrv keeps
serving them, and goes on with the next nim's sockets without a guest noticing. It needs root, or to be root of
a user namespace, as run does.`,
		Example: `  sudo eve-metadata nim --group eve-metadata
  sudo eve-metadata nim --root /tmp/md --log-level debug`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.ErrOrStderr()) },
	}
	o.process.flags(cmd)
	o.origin.flags(cmd)
	o.readers.flags(cmd)
	return cmd
}

func (o *nimOptions) run(ctx context.Context, stderr io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	log, err := o.start(stderr)
	if err != nil {
		return err
	}
	group, err := o.lookup()
	if err != nil {
		return err
	}
	if err := needRoot(); err != nil {
		return err
	}
	board := endpoint.NewBoard()
	networks, err := newManager(o.process, o.topics(), newDriver(o.root, group, log), board, log)
	if err != nil {
		return err
	}
	sender := &endpoint.Sender{
		Board: board, Known: networks.Ready(), Path: endpoint.SocketPath(o.root), Group: group, Log: log,
	}
	tasks := []task.Task{networks, sender}
	if o.from == fromEVE {
		tasks = append(tasks, &mirror.File{
			From: filepath.Join("/", o.root, dialect.DiagnosisPath), To: filepath.Join("/", o.root, diagnosisCopy), Log: log,
		})
	}
	return o.serve(ctx, task.NewGroup("eve-metadata nim", tasks...), log)
}

// newManager makes the manager of the app networks.
func newManager(p process, follow topics.Set, driver pubsub.Driver, board *endpoint.Board, log *logrus.Logger) (*nim.Manager, error) {
	return nim.New(nim.Config{Driver: driver, Root: p.root, Topics: follow, Board: board, Log: log})
}
