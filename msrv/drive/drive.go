// SPDX-License-Identifier: Apache-2.0

// Package drive is the carrier that puts a tree on a disc image, for guests that read their metadata
// from a drive: one ISO 9660 image per instance, in a folder of its own.
//
// Images come out byte for byte the same for the same tree, are replaced atomically when the tree
// changes and left untouched when it does not, and never exist in part under their final name. They
// hold user data in clear: the folder is for root alone and belongs on a tmpfs.
package drive

import (
	"fmt"

	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/drive/iso9660"
)

// MaxImage is the largest image, in bytes: the limit of CloudStack, and the size of OpenStack's config drives
// that are no ISO 9660. Equal files count once, as they are stored.
const MaxImage = 64 << 20

// Build makes the image of a tree, with a volume label. Listings are not written: a drive has real
// directories. The error names the file that cannot be written and why, of which a faulty document is one,
// or the size of an image that would be too large.
func Build(label string, tree *document.Node) ([]byte, error) {
	image := iso9660.Image{VolumeID: label, Limit: MaxImage}
	err := tree.Walk(func(path string, n *document.Node) error {
		if n.IsDirectory() {
			return nil
		}
		d := n.Document()
		if fault := d.Fault(); fault != "" {
			return fmt.Errorf("write file %q: %s", path, fault)
		}
		image.Files = append(image.Files, iso9660.File{Path: path, Data: d.Body()})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("build drive %q: %w", label, err)
	}
	data, err := image.Build()
	if err != nil {
		return nil, fmt.Errorf("build drive %q: %w", label, err)
	}
	return data, nil
}
