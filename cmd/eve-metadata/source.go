// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lf-edge/eve-metadata/examples"
	"github.com/lf-edge/eve-metadata/pkg/feed"
	"github.com/lf-edge/eve-metadata/pkg/feed/manifest"
	"github.com/lf-edge/eve-metadata/pkg/topics"
)

// Where the topics that the service follows come from.
const (
	fromManifests  = "manifests"  // our own feed of manifests
	fromController = "controller" // our own feed of an EVE controller
	fromEVE        = "eve"        // EVE's agents
)

// origin is which topics the service follows.
type origin struct{ from string }

func (o *origin) flags(cmd *cobra.Command) {
	all := []string{fromManifests, fromController, fromEVE}
	cmd.Flags().StringVar(&o.from, "source", fromManifests, "where configs come from: "+strings.Join(all, ", ")+
		" (eve: the agents of an EVE device, whose networks are then joined and not made)")
	completeFlag(cmd, "source", all)
}

// check tells what is wrong with the flag.
func (o *origin) check() error {
	switch o.from {
	case fromManifests, fromController, fromEVE:
		return nil
	}
	return usageError{fmt.Errorf("--source %q: not %s, %s or %s", o.from, fromManifests, fromController, fromEVE)}
}

// topics are those that are followed.
func (o *origin) topics() topics.Set {
	if o.from == fromEVE {
		return topics.Device()
	}
	return topics.Own()
}

// source is where manifests are.
type source struct{ manifests string }

func (s *source) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.manifests, "manifests", "m", "",
		"folder of manifests (YAML) and device configs (protojson or binary) (default: the embedded example)")
	// Neither names a flag that is not there, so there is nothing to go wrong.
	_ = cmd.MarkFlagDirname("manifests")
}

// fallback is what stands in for a folder: the embedded example, when none was named.
func (s *source) fallback() fs.FS {
	if s.manifests == "" {
		return examples.FS
	}
	return nil
}

// load reads the source once. All that is wrong with it is one error.
func (s *source) load() (feed.Set, error) {
	var set feed.Set
	var errs []error
	if s.manifests == "" {
		set, errs = manifest.LoadFS(examples.FS)
	} else {
		set, errs = manifest.Load(s.manifests)
	}
	if len(errs) > 0 {
		return feed.Set{}, fmt.Errorf("read manifests:\n%w", errors.Join(errs...))
	}
	return set, nil
}
