// SPDX-License-Identifier: Apache-2.0

package plantest

import (
	"io/fs"
	"net/netip"
	"slices"

	"github.com/lf-edge/eve-metadata/nim/plan"
)

func findAddr(l plan.Link, p netip.Prefix) int {
	return slices.IndexFunc(l.Addresses, func(a plan.Address) bool { return a.Prefix == p })
}

func addAddr(links []plan.Link, s plan.AddrAdd) error {
	i := findLink(links, s.Link)
	if i < 0 {
		return fs.ErrNotExist
	}
	if findAddr(links[i], s.Prefix) < 0 {
		links[i].Addresses = append(links[i].Addresses, plan.Address{Prefix: s.Prefix})
	}
	return nil
}

// delAddr removes an address. As Linux does by default (net.ipv4.conf.*.promote_secondaries), the first IPv4 address of a
// subnet takes the later ones along.
func delAddr(links []plan.Link, s plan.AddrDel) error {
	i := findLink(links, s.Link)
	if i < 0 || findAddr(links[i], s.Prefix) < 0 {
		return fs.ErrNotExist
	}
	at, addrs := findAddr(links[i], s.Prefix), links[i].Addresses
	sameSubnet := func(a plan.Address) bool { return a.Prefix.Masked() == s.Prefix.Masked() }
	if first := slices.IndexFunc(addrs, sameSubnet); !s.Prefix.Addr().Is4() || first != at {
		links[i].Addresses = slices.Delete(addrs, at, at+1)
		return nil
	}
	links[i].Addresses = slices.DeleteFunc(addrs, sameSubnet)
	return nil
}

// addRoute adds a route. There is one to each destination.
func addRoute(ns *plan.Namespace, r plan.Route) error {
	if slices.ContainsFunc(ns.Routes, func(have plan.Route) bool { return have.Dst == r.Dst }) {
		return fs.ErrExist
	}
	if r.Link != "" && findLink(ns.Links, r.Link) < 0 {
		return fs.ErrNotExist
	}
	ns.Routes = append(ns.Routes, r)
	return nil
}

func delRoute(ns *plan.Namespace, r plan.Route) error {
	i := slices.Index(ns.Routes, r)
	if i < 0 {
		return fs.ErrNotExist
	}
	ns.Routes = slices.Delete(ns.Routes, i, i+1)
	return nil
}
