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

// RenderHTTP makes the tree that an instance reads at the metadata address: what all dialects have to
// say, laid over one another. It is nil for an instance that is not to ask. A dialect that cannot word
// the instance is left out and is part of the error; the others are in the tree.
func RenderHTTP(dialects []dialect.Dialect, inst *instance.Instance) (*document.Node, error) {
	if !inst.HTTP {
		return nil, nil
	}
	var trees []*document.Node
	var errs []error
	for _, d := range dialects {
		if d.HTTP == nil {
			continue
		}
		t, err := d.HTTP(inst)
		if err != nil {
			errs = append(errs, fmt.Errorf("render %s: %w", d.Name, err))
			continue
		}
		trees = append(trees, t)
	}
	tree, err := document.Overlay(trees...)
	return tree, errors.Join(append(errs, err)...)
}

// RenderDrive makes the tree of the drive that an instance wants, with the volume label under which
// guests look for it; nil for an instance without one.
func RenderDrive(dialects []dialect.Dialect, inst *instance.Instance) (label string, tree *document.Node, err error) {
	if inst.Drive == instance.DriveNone {
		return "", nil, nil
	}
	for _, d := range dialects {
		if d.Drive == nil || !slices.Contains(d.Drive.Kinds, inst.Drive) {
			continue
		}
		if tree, err = d.Drive.Render(inst); err != nil {
			return "", nil, fmt.Errorf("render %s drive: %w", d.Name, err)
		}
		return d.Drive.Label, tree, nil
	}
	return "", nil, fmt.Errorf("render drive: no dialect has a drive of kind %q", inst.Drive)
}
