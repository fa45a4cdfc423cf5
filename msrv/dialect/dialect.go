// SPDX-License-Identifier: Apache-2.0

// Package dialect says what a dialect is: how one cloud words an Instance.
//
// Each dialect is a folder of its own below this one. It renders, purely and without I/O, an
// instance.Instance into document trees, and may have a guard, which answers the few requests that a
// tree cannot: those that a guest writes with, and those that want a proof. The carriers (httpd, drive)
// deliver what a dialect says and know none. The commands hold the list of all dialects; adding one is
// a folder and a line there.
package dialect

import (
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// Dialect is one cloud's way to word an instance. A missing ability is a nil field.
type Dialect struct {
	// Name is the dialect's name on the command line and in messages: "openstack", "ec2", "nocloud".
	Name string
	// HTTP is what the dialect serves over HTTP, at most once per site.
	HTTP []Service
	// Drive describes the dialect's part of a drive; nil for a dialect without one.
	Drive *Drive
	// Firmware is what a virtual machine's firmware has to say for a guest to choose this dialect over
	// HTTP; nil where nothing in the firmware makes it.
	Firmware func(*instance.Instance) Firmware
}

// At is what the dialect serves at a site; the zero Service when nothing.
func (d Dialect) At(site Site) Service {
	for _, s := range d.HTTP {
		if s.Site == site {
			return s
		}
	}
	return Service{}
}

// Site is a place where guests ask over HTTP. Which one a request came to is told by the socket, so that
// two clouds which word one path in two ways can both be served.
type Site int

// The sites.
const (
	// Metadata is the metadata address, 169.254.169.254, on port 80.
	Metadata Site = iota
	// Router is the address of the guest's default router, on port 80, where CloudStack's guests ask.
	Router
	// RouterPassword is the same address on port 8080, CloudStack's password server.
	RouterPassword
)

// String names the site, as logs have it.
func (s Site) String() string {
	return [...]string{Metadata: "metadata", Router: "router", RouterPassword: "router-password"}[s]
}

// Service is what a dialect serves at one site.
type Service struct {
	Site Site
	// Render makes what the guest reads there, from the root "/" on; nil where the guard answers alone. The
	// trees of all dialects are laid over one another, so no two may answer the same path of a site. The
	// result depends on the instance alone: same instance, same bytes. An error says what in the instance
	// cannot be worded.
	Render func(*instance.Instance) (*document.Node, error)
	// Guard is asked before the tree is; nil for none.
	Guard Guard
	// Always says that the guard answers instances too that are not to read their metadata over HTTP.
	Always bool
}

// Drive is a dialect's part of a disc. All dialects that have a part of one kind of drive are on it
// together; their labels are the same.
type Drive struct {
	// Label is the volume label by which guests find the drive.
	Label string
	// Kinds are the drives that the dialect has a part of.
	Kinds []instance.DriveKind
	// Render makes the files of the drive; listings in the tree are not written.
	Render func(*instance.Instance) (*document.Node, error)
}

// ConfigDriveLabel is the volume label of a config drive. Lower case: some guests look for no other.
const ConfigDriveLabel = "config-2"

// Firmware is what a virtual machine's SMBIOS tables say. What is "" is left to the hypervisor.
type Firmware struct {
	UUID     string // of the system (type 1); "" for the instance's own
	Product  string // name of the system's product (type 1)
	Serial   string // of the system (type 1)
	AssetTag string // of the chassis (type 3)
}

// IsZero tells whether there is nothing to say.
func (f Firmware) IsZero() bool { return f == Firmware{} }
