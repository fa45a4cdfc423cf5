// SPDX-License-Identifier: Apache-2.0

// Package plan says what must be done so that the kernel has the app networks that are wanted.
//
// In come the networks as they should be (Wanted) and as the kernel has them (Seen); out come the steps that make the
// second like the first, in order, each readable as a line for ip(8). Everything is a pure function: nothing here knows
// netlink, topics or the rest of the project. Package nim/intake makes Wanted out of topics, package nim/kernel reports
// Seen and carries the steps out, and package nim runs the three.
//
// What is there and right is kept, what is missing is made, what is wrong is corrected. What is no longer wanted is
// removed if it is ours: namespaces by their name (see NamespaceName), interfaces by theirs (see PortName, UplinkName,
// OverflowName), addresses by the interface that they are on, default routes by being in a namespace of ours, tables of
// nftables by their name. Whatever else someone put into our namespaces is left alone, and so is everything in others'
// but the metadata addresses. Names are the mark of interfaces because the kernel sets a name in the same call that makes
// the interface: a process that is killed between two calls never leaves one behind whose owner is unknown, as it could
// with an alias.
package plan

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// Wanted is the app networks that there should be.
type Wanted struct {
	Networks []Network
	// Keep leaves things in place that are ours and no longer wanted. It is for the time in which not all that is wanted
	// is known yet.
	Keep bool
	// Retry gives addresses that somebody else on the link was found to have another try. Each takes the kernel a second
	// and ends, at worst, as the one before: so it is for attempts that are made at growing intervals.
	Retry bool
}

// Attach is how a network comes by its namespace.
type Attach int

// The ways. A managed network is made: a namespace, a bridge in it, a port for every guest's adapter. The others are there
// already and are somebody else's: all that is done to them is that an interface gets the metadata addresses, and, in the
// host's own namespace, that what guests ask there gets past those who would redirect it.
const (
	Managed  Attach = iota
	Existing        // a namespace that one guest is in; Bridge is its loopback interface
	OnBridge        // the host's own namespace; Bridge is a bridge of another program's
)

// Host names the namespace that the planning process is in.
const Host = ""

// Network is an app network.
type Network struct {
	// Namespace is its name if it is managed (see NamespaceName), the path of an existing one, or Host.
	Namespace string
	Attach    Attach
	Bridge    Bridge
	Ports     []Port // of managed networks
	// SLAAC is the subnet of 64 bits in which guests of a managed network make their IPv6 addresses themselves; not valid
	// where they do not. As with link-local ones, an address there that was given to nobody is the guest's who has it first.
	SLAAC  netip.Prefix
	Uplink *Uplink // of managed networks; nil: guests reach each other and the metadata service, and nothing else
	// Guarded says that the metadata addresses of a network OnBridge are there for its guests alone. Whoever is behind
	// another port of the bridge, as a whole LAN may be, neither sees them nor can claim them. What guests send there to
	// a router of that LAN is answered here all the same.
	Guarded bool
	// Guests are who is behind ports of a bridge that is Guarded, one behind each.
	Guests []Guest
}

// Bridge is a network's bridge, or the interface that stands for it. Of those that others made, only the name and the
// addresses count.
type Bridge struct {
	Name string
	MAC  MAC
	MTU  int // bytes
	// Addresses are those that it is to have. On a managed network's bridge they are all there may be, but for the
	// link-local ones that the kernel gives it. On others only the metadata addresses are ours to give and to take.
	Addresses []netip.Prefix
}

// Uplink is a managed network's way to the outside: a veth pair between its namespace and the host's own, over which
// guests' packets leave with addresses of the pair (in the network's namespace) and then of the host (on the host).
type Uplink struct {
	Port  string       // name of the host's end, see UplinkName
	Host  netip.Prefix // address of the host's end
	Inner netip.Prefix // address of the other end, in the same subnet
	// Host6 and Inner6 are the same for IPv6; not valid where the network has no such subnet.
	Host6, Inner6 netip.Prefix
	Via           string // interface of the host that packets may leave by; "": any
}

// PortKind is how a guest is attached to its port.
type PortKind string

// Kinds of ports. A veth's guest end is made in the network's namespace and taken from there by whoever starts the guest:
// once it is gone the port is still right. A tap is opened where it is; it outlives the process that made it.
const (
	Veth PortKind = "veth"
	Tap  PortKind = "tap"
)

// Port is the host's side of one guest's adapter.
type Port struct {
	Kind     PortKind
	Name     string // see PortName
	MAC      MAC    // of the host's side; never the guest's, which the bridge would then keep for itself
	GuestMAC MAC    // of the guest; that of a veth's guest end
	MTU      int    // bytes, of both sides
	// Addresses are what the guest may send from, beside link-local ones of IPv6, and those of SLAAC, that no other guest
	// has claimed first.
	// AnyAddress lifts that limit: addresses are somebody else's business there. The metadata addresses and the bridge's
	// own are nobody's in any case.
	Addresses  []netip.Addr
	AnyAddress bool
}

// Seen is what the kernel has: namespaces by name. Those that are neither here nor wanted are not looked at.
type Seen map[string]Namespace

// Namespace is what there is in one network namespace.
type Namespace struct {
	Links   []Link
	Routes  []Route           // of the main table, that are neither the kernel's own nor a routing protocol's
	Sysctls map[string]string // those of Sysctls that are there, by name
	Tables  map[string]Table  // of nftables, by family and name: those of Tables that are there and whole
}

// Route is a route.
type Route struct {
	Dst  netip.Prefix
	Via  netip.Addr // not valid: on-link, or unreachable
	Link string     // "": the destination is unreachable (RFC 792, RFC 4443), and whoever asks is told so
}

// Table is a table of nftables. Its chains and rules are fixed and belong to package nim/kernel; what varies are elements
// of its sets.
type Table struct {
	Sets map[string][]string // elements by set, each as nft(8) writes it: "nbx . 02:16:3e:00:00:01"
}

// Link is an interface.
type Link struct {
	Name      string
	Kind      string // "bridge", "veth", "tap", or what else the kernel calls it; "" for lo and hardware
	Index     int
	Peer      int // index of a veth's other end when that is in the same namespace, otherwise 0
	Far       int // index of a veth's other end when that is in another namespace, otherwise 0
	MAC       MAC
	MTU       int // bytes
	Up        bool
	Master    string // name of the bridge that it is a port of
	Addresses []Address
}

// Address is an address of an interface.
type Address struct {
	Prefix netip.Prefix
	// Tentative: it is not known yet whether somebody else on the link has it (RFC 4862); nobody can use it until then.
	// Duplicate: somebody has, and it stays unusable.
	Tentative, Duplicate bool
}

// KindBridge is a Link's Kind.
const KindBridge = "bridge"

// loopback is the interface that each namespace is born with, down.
const loopback = "lo"

// Plan returns the steps that lead from seen to wanted, in an order in which each of them can be done; none when
// everything is as it should be. Networks that wanted does not have and seen does are removed when they are ours.
//
// Of the host's own namespace, seen has to have what the wanted networks are about: their uplinks' ends and bridges, its
// parameters, and the HostTables whole, for these are not removed while others have something in them. Of a namespace that others
// made, the interface will do.
func Plan(wanted Wanted, seen Seen) []Step {
	p := newPlanner(wanted, seen)
	networks := make(map[string]bool, len(wanted.Networks))
	for _, n := range wanted.Networks {
		networks[n.Namespace] = true
	}
	if !wanted.Keep {
		for _, name := range slices.Sorted(maps.Keys(seen)) {
			if !networks[name] && IsNamespace(name) {
				p.detach(Network{Namespace: name})
			}
		}
	}
	for _, n := range slices.SortedFunc(slices.Values(wanted.Networks), compareNetworks) {
		p.attach(n)
	}
	p.dropHostTables()
	return p.steps
}

// Detach returns the steps that take away what plans have given a network. Of a managed one nothing is left; a namespace
// or a bridge of others loses the metadata addresses, and what was done for it in the host's own namespace is undone.
func Detach(n Network, seen Seen) []Step {
	p := newPlanner(Wanted{}, seen)
	p.detach(n)
	p.dropHostTables()
	return p.steps
}

func compareNetworks(a, b Network) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Bridge.Name, b.Bridge.Name))
}
