// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"slices"
)

// uplink plans the network's way to the outside, or that there is none.
func (p *planner) uplink() {
	u := p.network.Uplink
	if u == nil {
		p.dropUplink()
		return
	}
	p.sysctls(p.host, false, ofHost(u))
	// What leaves is held to its rules from the first packet on.
	p.hostElements(HostTable, u.Port, uplinkSets(u))
	p.table(p.here, UplinkTable)
	mtu := p.network.Bridge.MTU
	outer, inner := p.host.links[u.Port], p.here.links[UplinkEnd]
	whole := outer.Kind == string(Veth) && inner.Name != "" && outer.Far == inner.Index && inner.Far == outer.Index
	if !whole {
		p.remake(p.host, LinkAdd{Link: u.Port, Kind: string(Veth), MTU: mtu, Peer: UplinkEnd, PeerNetns: p.here.name}, p.here)
		outer, inner = Link{MTU: mtu}, Link{MTU: mtu}
	}
	p.sysctls(p.here, !whole, ofLink(UplinkEnd))
	p.set(p.host, outer, LinkSet{Link: u.Port, MTU: mtu, Up: true})
	p.addresses(p.host, u.Port, outer.Addresses, valid(u.Host, u.Host6), notKernels)
	p.set(p.here, inner, LinkSet{Link: UplinkEnd, MTU: mtu, Up: true})
	p.addresses(p.here, UplinkEnd, inner.Addresses, valid(u.Inner, u.Inner6), notKernels)
}

func uplinkSets(u *Uplink) sets {
	if u.Via == "" {
		return sets{SetUplinks: {u.Port: true}}
	}
	return sets{SetUplinkBy: {u.Port + " . " + u.Via: true}}
}

func valid(prefixes ...netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(prefixes, func(p netip.Prefix) bool { return !p.IsValid() })
}

// dropUplink plans that there is no uplink.
func (p *planner) dropUplink() {
	if p.keep {
		return
	}
	p.dropUplinkPort(UplinkName(NetworkOf(p.here.name)))
	if inner, ok := p.here.links[UplinkEnd]; ok {
		p.del(p.here, inner)
	}
	if _, ok := p.here.tables[UplinkTable]; ok {
		p.add(TableDel{p.here.name, UplinkTable})
	}
}

// dropUplinkPort plans that there is nothing of an uplink in the host's own namespace. The other end goes along.
func (p *planner) dropUplinkPort(port string) {
	if outer, ok := p.host.links[port]; ok {
		p.del(p.host, outer)
		if inner := p.here.links[UplinkEnd]; inner.Far == outer.Index {
			p.here.without(inner)
		}
	}
	p.dropHostElements(HostTable, port)
}

// routes plans where packets for anywhere else go: out by the uplink, or nowhere, and whoever sent them is told so.
func (p *planner) routes() {
	want := p.wantedRoutes()
	kept := map[netip.Prefix]bool{}
	for _, r := range p.here.routes {
		switch {
		case r.Dst.Bits() != 0: // somebody else's
		case !p.keep && !slices.Contains(want, r):
			p.add(RouteDel{p.here.name, r})
		default:
			kept[r.Dst] = true
		}
	}
	for _, r := range want {
		if !kept[r.Dst] {
			p.add(RouteAdd{p.here.name, r})
		}
	}
}

func (p *planner) wantedRoutes() []Route {
	want := []Route{{Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}}
	if p.here.hasIPv6() {
		want = append(want, Route{Dst: netip.PrefixFrom(netip.IPv6Unspecified(), 0)})
	}
	if p.network.Uplink == nil {
		return want
	}
	hosts := []netip.Prefix{p.network.Uplink.Host, p.network.Uplink.Host6}
	for i := range want {
		if hosts[i].IsValid() {
			want[i].Via, want[i].Link = hosts[i].Addr(), UplinkEnd
		}
	}
	return want
}
