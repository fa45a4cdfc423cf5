// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// MaxBridgePorts is how many guests' ports a bridge gets. Linux has 1023 (BR_MAX_PORTS); the rest is for trunks and for what
// others put there. A network with more of them has further bridges, each joined to the first one by a veth, the trunk.
const MaxBridgePorts = 1000

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
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(p.here.links))) {
		l, there := p.here.links[name]
		if !there || !IsPort(name) && !IsGuestEnd(name) {
			continue
		}
		switch kind, ok := wanted[name]; {
		case !ok && !p.keep, ok && string(kind) != l.Kind, ok && p.strayEnd(l):
			p.del(p.here, l)
		}
	}
}

// strayEnd tells whether l bears the name of a guest end without being the other end of that port.
func (p *planner) strayEnd(l Link) bool {
	if !IsGuestEnd(l.Name) {
		return false
	}
	host, ok := p.here.links[HostEnd(l.Name)]
	return !ok || host.Peer != l.Index
}

// isBridge tells whether a name is that of one of the network's bridges.
func (p *planner) isBridge(name string) bool {
	return name == p.network.Bridge.Name || overflowNumber(name) > 0
}

// removeOthers removes what has a bridge's name and is none.
func (p *planner) removeOthers() {
	for _, name := range slices.Sorted(maps.Keys(p.here.links)) {
		if l, there := p.here.links[name]; there && p.isBridge(name) && l.Kind != KindBridge {
			p.del(p.here, l)
		}
	}
}

// placePorts returns the bridge of each port, by its name, and which further bridges there have to be. A port that is on a
// bridge stays there.
func (p *planner) placePorts() (masters map[string]string, overflow []string) {
	used := map[string]int{} // ports by bridge
	for name, l := range p.here.links {
		switch {
		case IsPort(name) && p.isBridge(l.Master):
			used[l.Master]++
		case p.keep && overflowNumber(name) > 0:
			used[name] += 0
		}
	}
	masters = make(map[string]string, len(p.network.Ports))
	bridge, number := p.network.Bridge.Name, 0 // the first one with room
	for _, port := range slices.SortedFunc(slices.Values(p.network.Ports), comparePorts) {
		masters[port.Name] = p.here.links[port.Name].Master
		if p.isBridge(masters[port.Name]) {
			continue
		}
		for used[bridge] >= MaxBridgePorts {
			number++
			bridge = OverflowName(number)
		}
		used[bridge]++
		masters[port.Name] = bridge
	}
	delete(used, p.network.Bridge.Name)
	return masters, slices.Sorted(maps.Keys(used))
}

// trunks returns the names of all ends of trunks.
func trunks(bridge string, overflow []string) []string {
	var ends []string
	for _, name := range overflow {
		here, there := trunkEnds(bridge, name)
		ends = append(ends, here, there)
	}
	return ends
}

// removeBridges removes the further bridges that there need not be, with their trunks.
func (p *planner) removeBridges(overflow []string) {
	if p.keep {
		return
	}
	wanted := append(trunks(p.network.Bridge.Name, overflow), overflow...)
	for _, name := range slices.Sorted(maps.Keys(p.here.links)) {
		l, there := p.here.links[name]
		if there && !slices.Contains(wanted, name) && (overflowNumber(name) > 0 || p.isTrunk(name)) {
			p.del(p.here, l)
		}
	}
}

// isTrunk tells whether a name is that of an end of a trunk.
func (p *planner) isTrunk(name string) bool {
	a, b, _ := strings.Cut(name, "-")
	first := p.network.Bridge.Name
	return a == first && overflowNumber(b) > 0 || b == first && overflowNumber(a) > 0
}

// bridge plans the bridge and its addresses.
func (p *planner) bridge() {
	want := p.network.Bridge
	have, ok := p.here.links[want.Name]
	if !ok {
		p.add(LinkAdd{Netns: p.here.name, Link: want.Name, Kind: KindBridge, MAC: want.MAC})
		// The MTU is left to be set: a bridge follows the smallest MTU of its ports until someone has set its own.
		have = Link{MAC: want.MAC}
	}
	p.sysctls(p.here, !ok, ofLink(want.Name))
	p.set(p.here, have, LinkSet{Link: want.Name, MAC: want.MAC, MTU: want.MTU, Up: true})
	p.addresses(p.here, want.Name, have.Addresses, want.Addresses, notKernels)
}

// overflow plans a further bridge and its trunk.
func (p *planner) overflow(name string) {
	ns, first, mtu := p.here.name, p.network.Bridge.Name, p.network.Bridge.MTU
	want := LinkSet{Link: name, MAC: BridgeMAC(ns + " " + name), MTU: mtu, Up: true}
	bridge, ok := p.here.links[name]
	if !ok {
		p.add(LinkAdd{Netns: ns, Link: name, Kind: KindBridge, MAC: want.MAC})
		bridge = Link{MAC: want.MAC}
	}
	p.set(p.here, bridge, want)
	here, there := trunkEnds(first, name)
	a, b := p.here.links[here], p.here.links[there]
	if a.Kind != string(Veth) || b.Name == "" || a.Peer != b.Index {
		p.remake(p.here, LinkAdd{Netns: ns, Link: here, Kind: string(Veth), MTU: mtu, Peer: there}, p.here)
		a, b = Link{MTU: mtu}, Link{MTU: mtu}
	}
	p.set(p.here, a, LinkSet{Link: here, MTU: mtu, Master: first, Up: true})
	p.set(p.here, b, LinkSet{Link: there, MTU: mtu, Master: name, Up: true})
}

// remake plans a veth in the place of what there is by the names of its ends.
func (p *planner) remake(s *space, veth LinkAdd, peer *space) {
	if l, ok := s.links[veth.Link]; ok {
		p.del(s, l)
	}
	if l, ok := peer.links[veth.Peer]; ok {
		p.del(peer, l)
	}
	p.add(veth)
}

// port plans one port. A missing guest end of a veth that is there has been taken into the guest.
func (p *planner) port(want Port, master string) {
	have, ok := p.here.links[want.Name]
	if !ok {
		add := LinkAdd{Netns: p.here.name, Link: want.Name, Kind: string(want.Kind)}
		if want.Kind == Veth {
			add.MAC, add.MTU, add.Peer, add.PeerMAC = want.MAC, want.MTU, GuestEnd(want.Name), want.GuestMAC
			have = Link{MAC: want.MAC, MTU: want.MTU}
		}
		p.add(add)
	}
	if end, ok := p.here.links[GuestEnd(want.Name)]; ok && want.Kind == Veth {
		p.set(p.here, end, LinkSet{Link: end.Name, MAC: want.GuestMAC, MTU: want.MTU})
	}
	p.set(p.here, have, LinkSet{Link: want.Name, MAC: want.MAC, MTU: want.MTU, Master: master, Up: true})
}
