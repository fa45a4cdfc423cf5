// SPDX-License-Identifier: Apache-2.0

// Package plan says what must be done so that the kernel has the app networks that are wanted.
//
// In come the networks as they should be (Wanted) and as the kernel has them (Seen); out come the steps that make the
// second like the first, in order, each readable as a line for ip(8). Everything is a pure function: nothing here knows
// netlink, topics or the rest of the project. Package nim/intake makes Wanted out of topics, package nim/kernel reports
// Seen and carries the steps out, and package nim runs the three.
//
// What is there and right is kept, what is missing is made, what is wrong is corrected. What is no longer wanted is
// removed if it is ours: namespaces by their name (see NamespaceName), ports by theirs (see PortName), addresses by a
// mark that nim/kernel gives them. Whatever else someone put into our namespaces is left alone, as are namespaces of
// others. Names are the mark of ports because the kernel sets a name in the same call that makes the interface: a process
// that is killed between two calls never leaves an interface behind whose owner is unknown, as it could with an alias.
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
}

// Network is an app network: a network namespace, a bridge in it, and a port on the bridge for every guest's adapter.
type Network struct {
	Namespace string // see NamespaceName
	Bridge    Bridge
	Ports     []Port
}

// Bridge is a network's bridge.
type Bridge struct {
	Name      string
	MAC       MAC
	MTU       int // bytes
	Addresses []netip.Prefix
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
	GuestMAC MAC    // of a veth's guest end
	MTU      int    // bytes, of both sides
}

// Seen is what the kernel has: namespaces by name. Those that are neither here nor wanted are not looked at.
type Seen map[string]Namespace

// Namespace is the interfaces of one network namespace.
type Namespace struct {
	Links []Link
}

// Link is an interface.
type Link struct {
	Name      string
	Kind      string // "bridge", "veth", "tap", or what else the kernel calls it; "" for lo and hardware
	Index     int
	Peer      int // index of a veth's other end when that is in the same namespace, otherwise 0
	MAC       MAC
	MTU       int // bytes
	Up        bool
	Master    string // name of the bridge that it is a port of
	Addresses []Address
}

// Address is an address of an interface.
type Address struct {
	Prefix netip.Prefix
	Ours   bool // it bears our mark
}

// kindBridge is a Link's Kind.
const kindBridge = "bridge"

// loopback is the interface that each namespace is born with, down.
const loopback = "lo"

// Plan returns the steps that lead from seen to wanted, in an order in which each of them can be done; none when
// everything is as it should be. Networks that wanted does not have and seen does are removed when they are ours.
func Plan(wanted Wanted, seen Seen) []Step {
	var steps []Step
	networks := make(map[string]Network, len(wanted.Networks))
	for _, n := range wanted.Networks {
		networks[n.Namespace] = n
	}
	if !wanted.Keep {
		for _, name := range slices.Sorted(maps.Keys(seen)) {
			if _, ok := networks[name]; !ok && IsNamespace(name) {
				steps = append(steps, NetnsDel{name})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(networks)) {
		ns, there := seen[name]
		if !there {
			steps = append(steps, NetnsAdd{name})
			ns.Links = []Link{{Name: loopback}}
		}
		p := newPlanner(networks[name], ns, wanted.Keep)
		p.plan()
		steps = append(steps, p.steps...)
	}
	return steps
}

// planner plans one network.
type planner struct {
	network Network
	keep    bool
	links   map[string]Link
	names   map[int]string // of links, by index
	steps   []Step
}

func newPlanner(n Network, ns Namespace, keep bool) *planner {
	p := &planner{network: n, keep: keep, links: make(map[string]Link, len(ns.Links)), names: make(map[int]string, len(ns.Links))}
	for _, l := range ns.Links {
		p.links[l.Name] = l
		p.names[l.Index] = l.Name
	}
	return p
}

func (p *planner) add(s Step) { p.steps = append(p.steps, s) }

// del plans the removal of an interface, and forgets it together with what goes with it.
func (p *planner) del(l Link) {
	p.add(LinkDel{p.network.Namespace, l.Name})
	delete(p.links, l.Name)
	if l.Kind == string(Veth) && l.Peer != 0 {
		delete(p.links, p.names[l.Peer])
	}
}

func (p *planner) plan() {
	if lo, ok := p.links[loopback]; ok && !lo.Up {
		p.add(LinkSet{Netns: p.network.Namespace, Link: loopback, Up: true})
	}
	p.removePorts()
	p.bridge()
	for _, port := range slices.SortedFunc(slices.Values(p.network.Ports), comparePorts) {
		p.port(port)
	}
}

func comparePorts(a, b Port) int { return cmp.Compare(a.Name, b.Name) }

// removePorts removes the ports that are not wanted, and the ends of veths that do not belong to a wanted port.
func (p *planner) removePorts() {
	wanted := make(map[string]PortKind, 2*len(p.network.Ports))
	for _, port := range p.network.Ports {
		wanted[port.Name] = port.Kind
		if port.Kind == Veth {
			wanted[GuestEnd(port.Name)] = Veth
		}
	}
	// Host ends sort behind guest ends; taken first, they take their guest ends along.
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(p.links))) {
		l, there := p.links[name]
		if !there || !IsPort(name) && !IsGuestEnd(name) {
			continue
		}
		switch kind, ok := wanted[name]; {
		case !ok && !p.keep, ok && string(kind) != l.Kind, ok && p.strayEnd(l):
			p.del(l)
		}
	}
}

// strayEnd tells whether l bears the name of a guest end without being the other end of that port.
func (p *planner) strayEnd(l Link) bool {
	if !IsGuestEnd(l.Name) {
		return false
	}
	host, ok := p.links[HostEnd(l.Name)]
	return !ok || host.Peer != l.Index
}

// bridge plans the bridge and its addresses.
func (p *planner) bridge() {
	ns, want := p.network.Namespace, p.network.Bridge
	have, ok := p.links[want.Name]
	if ok && have.Kind != kindBridge {
		p.del(have)
		ok = false
	}
	if !ok {
		p.add(LinkAdd{Netns: ns, Link: want.Name, Kind: kindBridge, MAC: want.MAC})
		// The MTU is left to be set: a bridge follows the smallest MTU of its ports until someone has set its own.
		have = Link{MAC: want.MAC}
	}
	p.set(have, LinkSet{Netns: ns, Link: want.Name, MAC: want.MAC, MTU: want.MTU, Up: true})
	p.addresses(want, have.Addresses)
}

// addresses plans the removal of our addresses that are not wanted and the addition of those that are missing.
func (p *planner) addresses(want Bridge, have []Address) {
	gone := map[netip.Prefix]bool{} // subnets that an address was removed from
	present := map[netip.Prefix]bool{}
	// Last first: with the first address of a subnet the kernel removes the later ones of that subnet too.
	for _, a := range slices.Backward(have) {
		if a.Ours && !p.keep && !slices.Contains(want.Addresses, a.Prefix) {
			p.add(AddrDel{p.network.Namespace, want.Name, a.Prefix})
			gone[a.Prefix.Masked()] = true
			continue
		}
		present[a.Prefix] = true
	}
	for _, a := range want.Addresses {
		if !present[a] || gone[a.Masked()] {
			p.add(AddrAdd{p.network.Namespace, want.Name, a})
		}
	}
}

// port plans one port. A missing guest end of a veth that is there has been taken into the guest.
func (p *planner) port(want Port) {
	ns := p.network.Namespace
	have, ok := p.links[want.Name]
	if !ok {
		add := LinkAdd{Netns: ns, Link: want.Name, Kind: string(want.Kind)}
		if want.Kind == Veth {
			add.MAC, add.MTU, add.Peer, add.PeerMAC = want.MAC, want.MTU, GuestEnd(want.Name), want.GuestMAC
			have = Link{MAC: want.MAC, MTU: want.MTU}
		}
		p.add(add)
	}
	if end, ok := p.links[GuestEnd(want.Name)]; ok && want.Kind == Veth {
		p.set(end, LinkSet{Netns: ns, Link: end.Name, MAC: want.GuestMAC, MTU: want.MTU})
	}
	p.set(have, LinkSet{Netns: ns, Link: want.Name, MAC: want.MAC, MTU: want.MTU, Master: p.network.Bridge.Name, Up: true})
}

// set plans what of want have does not have yet.
func (p *planner) set(have Link, want LinkSet) {
	if have.MAC == want.MAC {
		want.MAC = MAC{}
	}
	if have.MTU == want.MTU {
		want.MTU = 0
	}
	if have.Master == want.Master {
		want.Master = ""
	}
	want.Up = want.Up && !have.Up
	if want != (LinkSet{Netns: want.Netns, Link: want.Link}) {
		p.add(want)
	}
}
