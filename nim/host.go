// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"context"
	"net"
	"net/netip"

	"github.com/lf-edge/eve-metadata/nim/dnsmasq"
	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
)

// host is what a Manager needs of the kernel.
type host interface {
	// Names returns the names of the namespaces that are ours.
	Names() ([]string, error)
	// Open begins work on a network, given where it is; a namespace of ours may be missing.
	Open(place plan.Network) (session, error)
	// Watch calls changed whenever something in the network's namespace has changed, until ctx ends.
	Watch(ctx context.Context, place plan.Network, changed func()) error
	// WatchHost calls changed when something that networks share in the host's own namespace has gone, until ctx ends.
	WatchHost(ctx context.Context, changed func()) error
	// WatchNames calls changed with the name of each namespace of ours that comes or goes, until ctx ends.
	WatchNames(ctx context.Context, changed func(name string)) error
}

// session is work on one network; see kernel.Session.
type session interface {
	Observe() (plan.Seen, error)
	ObserveOutside() (plan.Seen, error)
	Apply([]plan.Step) []error
	Listen(device string, addrs ...netip.AddrPort) ([]net.Listener, error)
	Path() string
	ID() uint64
	Absence() error
	Index(link string) int
	Close() error
}

// servers runs the networks' DHCP and DNS servers; see dnsmasq.Keeper.
type servers interface {
	Networks() ([]string, error)
	Want(network string, ns dnsmasq.Namespace, n *dnsmasq.Network)
	Forget(network string) error
	State(network string) error
	Close()
}

// netlinkHost is the real one.
type netlinkHost struct{ *kernel.Kernel }

func (h netlinkHost) Open(place plan.Network) (session, error) { return h.Kernel.Open(place) }
