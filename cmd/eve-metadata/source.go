// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/lf-edge/eve-metadata/examples"
	"github.com/lf-edge/eve-metadata/pkg/feed"
	"github.com/lf-edge/eve-metadata/pkg/feed/manifest"
)

// source is where app configs come from.
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
