// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"net"
	"net/netip"

	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
)

// host is what a Manager needs of the kernel.
type host interface {
	// Names returns the names of the namespaces that are ours.
	Names() ([]string, error)
	// Open begins work on one namespace, which may be missing.
	Open(name string) (session, error)
}

// session is work on one namespace; see kernel.Session.
type session interface {
	Observe() (plan.Seen, error)
	Apply([]plan.Step) []error
	Listen(...netip.AddrPort) ([]net.Listener, error)
	ID() uint64
	Index(link string) int
	Close() error
}

// netlinkHost is the real one.
type netlinkHost struct{ *kernel.Kernel }

func (h netlinkHost) Open(name string) (session, error) { return h.Kernel.Open(name) }
