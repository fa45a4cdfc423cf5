// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/feed"
)

// claim is something that only one file may have: a name, a UUID.
type claim struct {
	what    string
	at      position
	field   string
	derived bool // from the claim before it: where that is in conflict, this one needs no mention
}

// setClaims are the claims of an EdgeDevConfig. Its names are display names: they need not differ.
func setClaims(s feed.Set) []claim {
	var cs []claim
	for _, id := range slices.Sorted(maps.Keys(s.Networks)) {
		cs = append(cs, claim{what: "network UUID " + id})
	}
	for _, id := range slices.Sorted(maps.Keys(s.Apps)) {
		cs = append(cs, claim{what: "app UUID " + id})
	}
	return cs
}

// round is one attempt to make the files go together. Files come in the order of their names; who comes later yields.
type round struct {
	claimed  map[string]string // claim to file
	networks map[string]network
	byName   map[string][]string // display name to UUIDs
	places   map[string]network  // what others made to the network that is there
	taken    map[hostKey]string  // address or MAC in a network to the adapter that has it
	linked   map[*unit]feed.Set
	kept     map[string]bool // files whose former content stays in force
}

// hostKey is what two hosts of a network may not both have.
type hostKey struct {
	network uuid.UUID
	name    string // address or MAC as text
}

func newRound() *round {
	return &round{
		claimed:  map[string]string{},
		networks: map[string]network{},
		byName:   map[string][]string{},
		places:   map[string]network{},
		taken:    map[hostKey]string{},
		linked:   map[*unit]feed.Set{},
		kept:     map[string]bool{},
	}
}

// conflicts says which claims of a unit another file has, or which it makes twice.
func (r *round) conflicts(u *unit) []error {
	p := problems{file: u.file}
	own := map[string]bool{}
	before := 0 // problems before the last claim that stands for itself
	for _, c := range u.claims() {
		if c.derived && len(p.errs) > before {
			continue
		}
		before = len(p.errs)
		prefix := ""
		if c.field != "" {
			prefix = c.field + ": "
		}
		if own[c.what] {
			p.add(c.at, "%s%s is given twice in this file", prefix, c.what)
		} else if file, taken := r.claimed[c.what]; taken && file != u.file {
			p.add(c.at, "%s%s is taken by %s", prefix, c.what, file)
		}
		own[c.what] = true
	}
	return p.errs
}

// take lets a unit have its claims, unless there are conflicts.
func (r *round) take(u *unit) []error {
	if errs := r.conflicts(u); len(errs) > 0 {
		return errs
	}
	for _, c := range u.claims() {
		r.claimed[c.what] = u.file
	}
	r.offer(u)
	return nil
}

// offer makes the unit's networks known.
func (r *round) offer(u *unit) {
	for _, n := range u.networks {
		r.addNetwork(n.network)
	}
	r.offerSet(u.set)
}

// offerSet makes the networks of a set known, where they are, and the addresses that its apps have in any.
func (r *round) offerSet(s feed.Set) {
	for _, id := range slices.Sorted(maps.Keys(s.Networks)) {
		n := network{s.Networks[id], s.NetworkMetadata[id]}
		r.addNetwork(n)
		r.places[n.place()] = n
	}
	for _, id := range slices.Sorted(maps.Keys(s.Apps)) {
		app := s.Apps[id]
		for _, a := range app.AppNetAdapterList {
			for _, host := range hosts(a, adapterMetadata(s.Metadata[id], a.Name)) {
				r.taken[hostKey{a.Network, host.name}] = owner(app, a)
			}
		}
	}
}

func (r *round) addNetwork(n network) {
	id := n.config.UUID.String()
	if _, known := r.networks[id]; !known {
		r.networks[id] = n
		r.byName[n.config.DisplayName] = append(r.byName[n.config.DisplayName], id)
	}
}

// keep lets what a file said before stay in force, unless another file has taken its place.
func (r *round) keep(name, file string, old accepted) {
	for _, c := range old.claims {
		if _, taken := r.claimed[c.what]; taken {
			return
		}
	}
	for _, c := range old.claims {
		r.claimed[c.what] = file
	}
	r.kept[name] = true
	r.offerSet(old.set)
}

// link checks what the unit's networks are attached to and finds the networks of its apps. Without errors, the round has
// the unit's part of the set.
func (r *round) link(u *unit) []error {
	set := newSet()
	p := problems{file: u.file}
	for _, n := range u.networks {
		if reason := r.attach(n.network); reason != "" {
			p.add(n.document.at("attach"), "attach: %s", reason)
		}
		set.Networks[n.id.String()] = n.config
		set.NetworkMetadata[n.id.String()] = n.meta
	}
	for _, a := range u.apps {
		set.Apps[a.id.String()] = r.linkApp(&p, a)
		set.Metadata[a.id.String()] = a.meta
	}
	r.linked[u] = set.Merge(u.set)
	return p.errs
}

// attach lets a network be where others made it, or says why not.
func (r *round) attach(n network) string {
	place := n.place()
	if other, taken := r.places[place]; taken && place != "" && other.config.UUID != n.config.UUID {
		return fmt.Sprintf("%s cannot have network %q: it has network %q", place, n.config.DisplayName, other.config.DisplayName)
	}
	r.places[place] = n
	return ""
}

// linkApp returns the app with its adapters in their networks.
func (r *round) linkApp(p *problems, a appDoc) eve.AppInstanceConfig {
	app := a.config
	app.AppNetAdapterList = slices.Clone(app.AppNetAdapterList)
	seen := map[uuid.UUID]uint32{}
	for i := range app.AppNetAdapterList {
		adapter := &app.AppNetAdapterList[i]
		at := "adapters[" + strconv.Itoa(i) + "]"
		n, ok := r.find(p, a, at+".network", a.app.Adapters[i].Network)
		if !ok {
			continue
		}
		id := n.config.UUID
		adapter.Network = id
		adapter.IfIdx = seen[id]
		seen[id]++
		if n.meta.Bridge != "" && !a.has(at+".mac") {
			p.add(a.document.at(at), "%s.mac: is missing: on a bridge of others, a guest is known by the one that it has there", at)
		}
		if n.meta.Bridge == "" && a.has(at+".port") {
			p.add(a.document.at(at+".port"), "%s.port: has no effect: network %q is not on a bridge of others", at, shortened(n.config.DisplayName))
		}
		for _, h := range hosts(*adapter, a.meta.Adapters[i]) {
			if reason := r.settle(h, n, owner(app, *adapter)); reason != "" {
				p.add(a.document.at(at+h.field), "%s%s: %s", at, h.field, reason)
			}
		}
	}
	return app
}

// find returns the network that a name or a UUID means.
func (r *round) find(p *problems, a appDoc, at, name string) (network, bool) {
	if name == "" {
		return network{}, false // noted when the file was read
	}
	if id, err := uuid.Parse(name); err == nil {
		if n, ok := r.networks[id.String()]; ok {
			return n, true
		}
	}
	switch ids := r.byName[name]; len(ids) {
	case 1:
		return r.networks[ids[0]], true
	case 0:
		p.add(a.document.at(at), "%s: there is no network %q", at, shortened(name))
	default:
		p.add(a.document.at(at), "%s: %d networks are called %q: give the UUID", at, len(ids), shortened(name))
	}
	return network{}, false
}

// settle lets a host into a network, or says why not.
func (r *round) settle(h host, n network, owner string) string {
	if h.addr.IsValid() {
		if reason := unusable(h.addr, n); reason != "" {
			return reason
		}
	}
	key := hostKey{n.config.UUID, h.name}
	if other, taken := r.taken[key]; taken && other != owner {
		return h.name + " is taken by " + other
	}
	r.taken[key] = owner
	return ""
}
