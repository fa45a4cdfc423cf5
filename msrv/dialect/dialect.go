// SPDX-License-Identifier: Apache-2.0

// Package dialect says what a dialect is: how one cloud words an Instance.
//
// Each dialect is a folder of its own below this one. It renders, purely and without I/O, an
// instance.Instance into a document tree; the carriers (httpd, drive) deliver the tree and know no
// dialect. The commands hold the list of all dialects; adding one is a folder and a line there.
package dialect

import (
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// Dialect is one cloud's way to word an instance. A missing ability is a nil field.
type Dialect struct {
	// Name is the dialect's name on the command line and in messages: "openstack", "ec2", "nocloud".
	Name string
	// HTTP renders what the guest reads at the metadata address, from the root "/" on. The trees of all
	// dialects are laid over one another, so no two may answer the same path. The result depends on the
	// instance alone: same instance, same bytes. An error says what in the instance cannot be worded.
	HTTP func(*instance.Instance) (*document.Node, error)
	// Drive describes the dialect's drive; nil for a dialect without one.
	Drive *Drive
}

// Drive is a dialect's form on a disc.
type Drive struct {
	// Label is the volume label by which guests find the drive.
	Label string
	// Kinds are the drives of this dialect that an instance can ask for.
	Kinds []instance.DriveKind
	// Render makes the files of the drive; listings in the tree are not written.
	Render func(*instance.Instance) (*document.Node, error)
}
