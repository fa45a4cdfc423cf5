// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"slices"
)

// filterSets returns the elements of FilterTable that hold a network's guests to what is theirs.
func filterSets(n Network, trunks []string) sets {
	want := sets{}
	for _, t := range trunks {
		want.add(SetTrunks, t)
	}
	for _, port := range n.Ports {
		want.add(SetMACs, port.Name+" . "+port.GuestMAC.String())
		if port.AnyAddress {
			want.add(SetAnyone, port.Name)
		}
		for _, a := range slices.Concat(port.Addresses, []netip.Addr{LinkLocal(port.GuestMAC)}) {
			want.add(byFamily(a, SetAddresses, SetAddress6), port.Name+" . "+a.String())
		}
	}
	if n.SLAAC.IsValid() {
		want.add(SetSLAAC, n.SLAAC.Masked().Addr().String())
	}
	// The last one is what the kernel gives the bridge, and advertises as the guests' router.
	own := []netip.Addr{LinkLocal(n.Bridge.MAC)}
	for _, p := range n.Bridge.Addresses {
		own = append(own, p.Addr())
	}
	for _, a := range own {
		want.add(byFamily(a, SetOwn, SetOwn6), a.String())
	}
	return want
}

func byFamily(a netip.Addr, set4, set6 string) string {
	if a.Is4() {
		return set4
	}
	return set6
}

// table plans that a table is there.
func (p *planner) table(s *space, table string) {
	if _, ok := s.tables[table]; !ok {
		p.add(TableAdd{s.name, table})
		s.tables[table] = sets{}
	}
}

// elements plans that a table has some elements instead of others. All steps on one table follow each other, so that they
// can be done in one go: there is no moment in which an address that moves is nobody's, or two guests'.
func (p *planner) elements(s *space, table string, have, want sets) {
	p.table(s, table)
	if !p.keep {
		p.delElements(s, table, have, want)
	}
	for _, set := range want.names() {
		for _, e := range want.sorted(set) {
			if !have[set][e] {
				p.add(ElementAdd{s.name, table, set, e})
				s.tables[table].add(set, e)
			}
		}
	}
}

// delElements plans the removal of elements but for those that are wanted.
func (p *planner) delElements(s *space, table string, have, want sets) {
	for _, set := range have.names() {
		for _, e := range have.sorted(set) {
			if !want[set][e] {
				p.add(ElementDel{s.name, table, set, e})
				delete(s.tables[table][set], e)
			}
		}
	}
}

// hostElements plans what one of the HostTables has about an interface of the host's.
func (p *planner) hostElements(table, link string, want sets) {
	p.elements(p.host, table, p.host.tables[table].about(link), want)
}

// dropHostElements plans that one of the HostTables has nothing about an interface of the host's.
func (p *planner) dropHostElements(table, link string) {
	p.delElements(p.host, table, p.host.tables[table].about(link), nil)
}

// dropHostTables plans the removal of those of the HostTables that nobody needs.
func (p *planner) dropHostTables() {
	for _, table := range HostTables() {
		if have, ok := p.host.tables[table]; ok && have.empty() && !p.keep {
			p.add(TableDel{Host, table})
		}
	}
}
