// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/lf-edge/eve-metadata/pkg/feed/manifest"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// feedOptions are the flags of `feed`.
type feedOptions struct {
	source
	process
	readers
}

func newFeedCommand() *cobra.Command {
	var o feedOptions
	cmd := &cobra.Command{
		Use:   "feed",
		Short: "Run a feed alone: what manifests describe, or a controller says, becomes topics",
		Long: `feed publishes what the manifests describe as topics, for nim and msrv, until it gets SIGINT or SIGTERM.
Topics stay as they are when it ends, and the next feed goes on. It needs no privilege but to read the
manifests and to write below --root: var/run/mdfeed, persist/pubsub-large/mdfeed. Its sub-command is the feed of an
EVE controller.`,
		Example: `  sudo eve-metadata feed --manifests /etc/eve-metadata --group eve-metadata
  eve-metadata feed --root /tmp/md`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.ErrOrStderr()) },
	}
	o.source.flags(cmd)
	o.process.flags(cmd)
	o.readers.flags(cmd)
	cmd.AddCommand(newControllerFeedCommand())
	return cmd
}

func (o *feedOptions) run(ctx context.Context, stderr io.Writer) error {
	log, err := o.start(stderr)
	if err != nil {
		return err
	}
	group, err := o.lookup()
	if err != nil {
		return err
	}
	manifests, err := newFeed(o.source, newDriver(o.root, group, log), log)
	if err != nil {
		return err
	}
	return o.serve(ctx, manifests, log)
}

// newFeed makes the feed of manifests.
func newFeed(s source, driver pubsub.Driver, log *logrus.Logger) (*manifest.Feed, error) {
	return manifest.New(manifest.Config{Dir: s.manifests, FS: s.fallback(), Driver: driver, Log: log})
}
