// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"net/netip"
	"slices"

	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// Limits of what a network configuration may say.
const (
	// MinMTU is the smallest MTU that IPv4 works with (RFC 791).
	MinMTU = 68
	// MaxMTU is the largest that fits an IP packet's length, and Nova's network_data.json.
	MaxMTU = 65535

	macLen = 6 // Ethernet: guests look their cards up by it, textually
)

// NICs are the adapters that a network configuration can speak of, with only what it can say:
//
//   - An adapter without an Ethernet address is left out, and so is a second one with the same address:
//     guests find their cards by MAC, and cloud-init ends its boot stage at one that it cannot find.
//   - A static family without an address of that family counts as not in use: renderers in guests fail
//     on the whole configuration otherwise.
//   - Gateways, routes and name servers are of the right family and complete. A default route among the
//     routes is the gateway where there is none, and left out where there is one.
//   - An MTU beyond MinMTU and MaxMTU counts as not known.
func NICs(in *instance.Instance) []instance.Adapter {
	var nics []instance.Adapter
	seen := make(map[string]bool)
	for _, a := range in.Adapters {
		mac := a.MAC.String()
		if len(a.MAC) != macLen || seen[mac] {
			continue
		}
		seen[mac] = true
		if a.MTU < MinMTU || a.MTU > MaxMTU {
			a.MTU = 0
		}
		a.IPv4 = family(a.IPv4, netip.Addr.Is4)
		a.IPv6 = family(a.IPv6, is6)
		a.Nameservers = nameservers(a.Nameservers)
		a.Search = names(a.Search)
		nics = append(nics, a)
	}
	return nics
}

func is6(a netip.Addr) bool { return a.Is6() && !a.Is4In6() && a.Zone() == "" }

func family(in instance.Addressing, is func(netip.Addr) bool) instance.Addressing {
	out := instance.Addressing{Method: in.Method}
	if in.Address.IsValid() && is(in.Address.Addr()) {
		out.Address = in.Address
	}
	if out.Method == instance.Static && !out.Address.IsValid() {
		return instance.Addressing{}
	}
	if is(in.Gateway) {
		out.Gateway = in.Gateway
	}
	for _, r := range in.Routes {
		switch {
		case !r.Dst.IsValid() || !is(r.Dst.Addr()) || !is(r.Via):
		case r.Dst.Bits() > 0:
			out.Routes = append(out.Routes, instance.Route{Dst: r.Dst.Masked(), Via: r.Via})
		case !out.Gateway.IsValid():
			out.Gateway = r.Via
		}
	}
	return out
}

func nameservers(in []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range in {
		if a = a.Unmap().WithZone(""); a.IsValid() && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

func names(in []string) []string {
	var out []string
	for _, name := range in {
		if name = OneLine(name); name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// DefaultRoute is the route to everywhere of an addressing. ok is false for one without a gateway.
func DefaultRoute(a instance.Addressing) (r instance.Route, ok bool) {
	if !a.Gateway.IsValid() {
		return instance.Route{}, false
	}
	return instance.Route{Dst: netip.PrefixFrom(a.Gateway, 0).Masked(), Via: a.Gateway}, true
}
