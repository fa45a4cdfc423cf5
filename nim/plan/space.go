// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"slices"
	"strings"
)

// space is one namespace as it is at a point of the plan.
type space struct {
	name    string
	links   map[string]Link
	names   map[int]string // of links, by index
	routes  []Route
	sysctls map[string]string
	tables  map[string]sets
}

// sets are the elements of a table, by set.
type sets map[string]map[string]bool

func newSpace(name string, ns Namespace) *space {
	s := &space{
		name: name, links: make(map[string]Link, len(ns.Links)), names: make(map[int]string, len(ns.Links)),
		routes: slices.Clone(ns.Routes), sysctls: ns.Sysctls, tables: make(map[string]sets, len(ns.Tables)),
	}
	for _, l := range ns.Links {
		s.links[l.Name] = l
		s.names[l.Index] = l.Name
	}
	for name, t := range ns.Tables {
		s.tables[name] = make(sets, len(t.Sets))
		for set, elements := range t.Sets {
			for _, e := range elements {
				s.tables[name].add(set, e)
			}
		}
	}
	return s
}

func (s sets) add(set, element string) {
	if s[set] == nil {
		s[set] = map[string]bool{}
	}
	s[set][element] = true
}

// empty tells whether no set has an element.
func (s sets) empty() bool {
	for _, elements := range s {
		if len(elements) > 0 {
			return false
		}
	}
	return true
}

// about returns the elements of all sets that are about an interface.
func (s sets) about(link string) sets {
	about := sets{}
	for set, elements := range s {
		for e := range elements {
			if firstField(e) == link {
				about.add(set, e)
			}
		}
	}
	return about
}

// sorted returns the elements of a set.
func (s sets) sorted(set string) []string { return slices.Sorted(maps.Keys(s[set])) }

// names returns the names of the sets.
func (s sets) names() []string { return slices.Sorted(maps.Keys(s)) }

// without forgets an interface together with what goes with it: a veth's other end, routes, and being somebody's master.
func (s *space) without(l Link) {
	delete(s.links, l.Name)
	s.routes = slices.DeleteFunc(s.routes, func(r Route) bool { return r.Link == l.Name })
	if peer, ok := s.links[s.names[l.Peer]]; ok && l.Peer != 0 {
		delete(s.links, peer.Name)
	}
	if l.Kind != KindBridge {
		return
	}
	for name, port := range s.links {
		if port.Master == l.Name {
			port.Master = ""
			s.links[name] = port
		}
	}
}

// hasIPv6 tells whether the kernel has IPv6, as far as is known.
func (s *space) hasIPv6() bool {
	_, ok := s.sysctls[sysctlForward6]
	return ok || len(s.sysctls) == 0
}

// firstField is the interface that an element of a set is about.
func firstField(element string) string {
	link, _, _ := strings.Cut(element, " ")
	return link
}
