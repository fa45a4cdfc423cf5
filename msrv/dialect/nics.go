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
//   - A card without an Ethernet address is left out, and so is a second one with the same address:
//     guests find their cards by MAC, and cloud-init ends its boot stage at one that it cannot find.
//   - A bond has cards that are there and in no other bond, a mode that the kernel knows, and an address,
//     which is its first card's where it has none. Its cards have no addressing of their own.
//   - A VLAN is on a card or a bond that is there, has a number from 1 to 4094 that no other has there,
//     and an address, that of what it is on where it has none.
//   - What is made of cards tells them by name: the first that has it is meant, and no bond or VLAN has
//     the name of what is before it.
//   - A static family without an address of that family counts as not in use: renderers in guests fail
//     on the whole configuration otherwise.
//   - Gateways, routes and name servers are of the right family and complete. A default route among the
//     routes is the gateway where there is none, and left out where there is one.
//   - An MTU beyond MinMTU and MaxMTU counts as not known.
func NICs(in *instance.Instance) []instance.Adapter {
	b := nics{macs: make(map[string]bool), vlans: make(map[vlanID]bool)}
	for _, a := range in.Adapters {
		if (a.Kind != instance.Card && Named(b.list, a.Name) >= 0) || !b.fits(&a) {
			continue
		}
		if a.MTU < MinMTU || a.MTU > MaxMTU {
			a.MTU = 0
		}
		a.IPv4 = family(a.IPv4, netip.Addr.Is4)
		a.IPv6 = family(a.IPv6, is6)
		a.Nameservers = nameservers(a.Nameservers)
		a.Search = names(a.Search)
		b.list = append(b.list, a)
	}
	return b.list
}

// Named is the index in NICs of the adapter that a name in Adapter.Over means, the first that has it; -1 for
// none.
func Named(nics []instance.Adapter, name string) int {
	return slices.IndexFunc(nics, func(a instance.Adapter) bool { return a.Name == name })
}

// BondModes are the modes of a bond, as the kernel and Nova's network_data.json name them.
func BondModes() []string {
	return []string{"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"}
}

// BondMonitor is how often, in milliseconds, a bond looks whether its cards have a link: the value that the
// kernel's documentation starts from. Without one the kernel never looks, and a bond keeps to a dead card.
const BondMonitor = 100

// MaxVLAN is the highest number of a VLAN (IEEE 802.1Q).
const MaxVLAN = 4094

// nics is a list of adapters in the making.
type nics struct {
	list  []instance.Adapter
	macs  map[string]bool // of cards
	vlans map[vlanID]bool
}

// vlanID tells VLANs apart.
type vlanID struct {
	on     string
	number int
}

// fits tells whether an adapter can be told of beside those before it, and completes it.
func (b *nics) fits(a *instance.Adapter) bool {
	switch a.Kind {
	case instance.Card:
		if len(a.MAC) != macLen || b.macs[a.MAC.String()] {
			return false
		}
		b.macs[a.MAC.String()] = true
		return true
	case instance.Bond:
		return b.fitsBond(a)
	case instance.VLAN:
		return b.fitsVLAN(a)
	}
	return false
}

func (b *nics) fitsBond(a *instance.Adapter) bool {
	var cards []string
	for _, name := range a.Over {
		i := Named(b.list, name)
		if i >= 0 && b.list[i].Kind == instance.Card && !b.bonded(name) && !slices.Contains(cards, name) {
			cards = append(cards, name)
		}
	}
	if len(cards) == 0 || !slices.Contains(BondModes(), a.BondMode) {
		return false
	}
	a.Over = cards
	if len(a.MAC) != macLen {
		a.MAC = b.list[Named(b.list, cards[0])].MAC
	}
	for _, name := range cards {
		card := &b.list[Named(b.list, name)]
		card.IPv4, card.IPv6 = instance.Addressing{}, instance.Addressing{}
		card.Nameservers, card.Search = nil, nil
	}
	return true
}

// bonded tells whether a card is part of a bond already.
func (b *nics) bonded(card string) bool {
	return slices.ContainsFunc(b.list, func(a instance.Adapter) bool {
		return a.Kind == instance.Bond && slices.Contains(a.Over, card)
	})
}

func (b *nics) fitsVLAN(a *instance.Adapter) bool {
	if len(a.Over) != 1 || a.VLAN < 1 || a.VLAN > MaxVLAN {
		return false
	}
	i := Named(b.list, a.Over[0])
	id := vlanID{a.Over[0], a.VLAN}
	if i < 0 || b.list[i].Kind == instance.VLAN || b.vlans[id] {
		return false
	}
	b.vlans[id] = true
	if len(a.MAC) != macLen {
		a.MAC = b.list[i].MAC
	}
	return true
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

// FirstIPv4 is the first known IPv4 address of an instance, whichever adapter has it; "" for none.
func FirstIPv4(in *instance.Instance) string {
	return first(in, func(a instance.Adapter) netip.Addr { return a.IPv4.Address.Addr() }, netip.Addr.Is4)
}

// FirstIPv6 is the same for IPv6.
func FirstIPv6(in *instance.Instance) string {
	return first(in, func(a instance.Adapter) netip.Addr { return a.IPv6.Address.Addr() }, is6)
}

func first(in *instance.Instance, of func(instance.Adapter) netip.Addr, is func(netip.Addr) bool) string {
	for _, a := range in.Adapters {
		if addr := of(a); is(addr) {
			return addr.String()
		}
	}
	return ""
}

// DefaultRoute is the route to everywhere of an addressing. ok is false for one without a gateway.
func DefaultRoute(a instance.Addressing) (r instance.Route, ok bool) {
	if !a.Gateway.IsValid() {
		return instance.Route{}, false
	}
	return instance.Route{Dst: netip.PrefixFrom(a.Gateway, 0).Masked(), Via: a.Gateway}, true
}
