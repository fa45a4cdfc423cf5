// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"slices"
)

// planner makes a plan, one network after the other. The host's own namespace is that of all of them.
type planner struct {
	keep, retry bool // see Wanted
	seen        Seen
	host        *space
	steps       []Step

	network Network // the one that is being planned
	here    *space  // its namespace
}

func newPlanner(wanted Wanted, seen Seen) *planner {
	return &planner{keep: wanted.Keep, retry: wanted.Retry, seen: seen, host: newSpace(Host, seen[Host])}
}

// enter begins with a network. It returns whether its namespace is there.
func (p *planner) enter(n Network) (there bool) {
	p.network = n
	if n.Namespace == Host {
		p.here = p.host
		return true
	}
	ns, there := p.seen[n.Namespace]
	p.here = newSpace(n.Namespace, ns)
	return there
}

// attach plans a network that is wanted.
func (p *planner) attach(n Network) {
	there := p.enter(n)
	if n.Attach == Managed {
		p.manage(there)
		return
	}
	have := p.here.links[n.Bridge.Name]
	if n.Attach == Existing && there && n.Bridge.Name == loopback {
		p.set(p.here, have, LinkSet{Link: loopback, Up: true})
	}
	if n.Attach == OnBridge {
		p.sysctls(p.here, false, ofSockets())
		p.guard(have) // before anybody can see the addresses
	}
	p.addresses(p.here, n.Bridge.Name, have.Addresses, p.possible(n), isMetadata)
	if n.Attach == OnBridge {
		p.hostElements(HostTable, n.Bridge.Name, sets{SetBridges: {n.Bridge.Name: true}})
	}
}

// detach plans the removal of all that attach gives a network.
func (p *planner) detach(n Network) {
	there := p.enter(n)
	switch n.Attach {
	case Managed:
		p.dropUplinkPort(UplinkName(NetworkOf(n.Namespace)))
		if there {
			p.add(NetnsDel{n.Namespace})
		}
		return
	case OnBridge:
		p.dropHostElements(HostTable, n.Bridge.Name)
	case Existing:
	}
	p.addresses(p.here, n.Bridge.Name, p.here.links[n.Bridge.Name].Addresses, nil, isMetadata)
	if n.Attach == OnBridge {
		p.dropHostElements(GuardTable, n.Bridge.Name) // when nobody can see them any more
	}
}

// possible returns those of the addresses of others' interface that it can have: whoever made a bridge may have left IPv6 out.
func (p *planner) possible(n Network) []netip.Prefix {
	if p.here.sysctls[disableIPv6(n.Bridge.Name)] != "1" {
		return n.Bridge.Addresses
	}
	return slices.DeleteFunc(slices.Clone(n.Bridge.Addresses), func(a netip.Prefix) bool { return a.Addr().Is6() })
}

// manage plans a network in a namespace of ours.
func (p *planner) manage(there bool) {
	if !there {
		p.add(NetnsAdd{p.network.Namespace})
		p.here = newSpace(p.network.Namespace, Namespace{Links: []Link{{Name: loopback}}})
	}
	p.sysctls(p.here, !there, ofNamespace())
	if lo, ok := p.here.links[loopback]; ok {
		p.set(p.here, lo, LinkSet{Link: loopback, Up: true})
	}
	p.removePorts()
	p.removeOthers()
	masters, overflow := p.placePorts()
	p.removeBridges(overflow)
	// Whoever gets a port is held to what is his from the first packet on.
	p.elements(p.here, FilterTable, p.here.tables[FilterTable], filterSets(p.network, trunks(p.network.Bridge.Name, overflow)))
	p.table(p.here, RouterTable)
	p.bridge()
	for _, name := range overflow {
		p.overflow(name)
	}
	for _, port := range slices.SortedFunc(slices.Values(p.network.Ports), comparePorts) {
		p.port(port, masters[port.Name])
	}
	p.uplink()
	p.routes()
}

func (p *planner) add(s Step) { p.steps = append(p.steps, s) }

// del plans the removal of an interface.
func (p *planner) del(s *space, l Link) {
	p.add(LinkDel{s.name, l.Name})
	s.without(l)
}

// set plans what of want have does not have yet.
func (p *planner) set(s *space, have Link, want LinkSet) {
	want.Netns = s.name
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

// addresses plans the removal of those of an interface's addresses that are ours and not wanted, and the addition of those
// that are missing.
func (p *planner) addresses(s *space, link string, have []Address, want []netip.Prefix, ours func(netip.Prefix) bool) {
	gone := map[netip.Prefix]bool{} // subnets that an address was removed from
	present := map[netip.Prefix]bool{}
	// Last first: with the first address of a subnet the kernel removes the later ones of that subnet too.
	for _, a := range slices.Backward(have) {
		wanted := slices.Contains(want, a.Prefix)
		if !wanted && !p.keep && ours(a.Prefix) || wanted && a.Duplicate && p.retry {
			p.add(AddrDel{s.name, link, a.Prefix})
			gone[a.Prefix.Masked()] = true
			continue
		}
		present[a.Prefix] = true
	}
	for _, a := range want {
		if (!present[a] || gone[a.Masked()]) && (a.Addr().Is4() || s.hasIPv6()) {
			p.add(AddrAdd{s.name, link, a, s.name == Host && a.Addr().Is6() && isMetadata(a)})
		}
	}
}
