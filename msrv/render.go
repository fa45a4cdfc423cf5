// SPDX-License-Identifier: Apache-2.0

package msrv

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// RenderHTTP makes the trees that an instance reads over HTTP, by site: at each what all dialects have
// to say there, laid over one another. It is nil for an instance that is not to ask. A dialect that
// cannot word the instance is left out and is part of the error; the others are in the trees.
func RenderHTTP(dialects []dialect.Dialect, inst *instance.Instance) (map[dialect.Site]*document.Node, error) {
	if !inst.HTTP {
		return nil, nil
	}
	parts := make(map[dialect.Site][]*document.Node)
	var errs []error
	for _, d := range dialects {
		for _, s := range d.HTTP {
			if s.Render == nil {
				continue
			}
			t, err := s.Render(inst)
			if err != nil {
				errs = append(errs, fmt.Errorf("render %s: %w", d.Name, err))
				continue
			}
			parts[s.Site] = append(parts[s.Site], t)
		}
	}
	trees := make(map[dialect.Site]*document.Node, len(parts))
	for site, p := range parts {
		t, err := document.Overlay(p...)
		if err != nil {
			errs = append(errs, fmt.Errorf("render %s: %w", site, err))
			continue
		}
		trees[site] = t
	}
	return trees, errors.Join(errs...)
}

// RenderDrive makes the tree of the drive that an instance wants, out of the parts of all dialects that
// have one, with the volume label under which guests look for it; nil for an instance without a drive.
func RenderDrive(dialects []dialect.Dialect, inst *instance.Instance) (label string, tree *document.Node, err error) {
	if inst.Drive == instance.DriveNone {
		return "", nil, nil
	}
	var parts []*document.Node
	for _, d := range dialects {
		if d.Drive == nil || !slices.Contains(d.Drive.Kinds, inst.Drive) {
			continue
		}
		part, err := d.Drive.Render(inst)
		if err != nil {
			return "", nil, fmt.Errorf("render %s drive: %w", d.Name, err)
		}
		if label != "" && label != d.Drive.Label {
			return "", nil, fmt.Errorf("render %s drive: labels %q and %q for one drive", d.Name, label, d.Drive.Label)
		}
		label, parts = d.Drive.Label, append(parts, part)
	}
	if parts == nil {
		return "", nil, fmt.Errorf("render drive: no dialect has a drive of kind %q", inst.Drive)
	}
	tree, err = document.Overlay(parts...)
	if err != nil {
		return "", nil, fmt.Errorf("render drive of kind %q: %w", inst.Drive, err)
	}
	return label, tree, nil
}
