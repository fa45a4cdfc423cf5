// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// links checks what a guest makes of its adapters, against these and each other: bonds first, then VLANs, which may be
// on either.
type links struct {
	*document
	adapters []Adapter
	names    map[string]string // of adapters, bonds and VLANs, to the path of what has it
	bonded   map[string]string // names of adapters, to the path of the bond that each is part of
	vlans    map[vlanKey]string
}

// vlanKey is what no two VLANs of an app have both.
type vlanKey struct {
	on string
	id uint16
}

// readLinks reads the bonds and the VLANs of an app, and sees to it that their names and those of the adapters differ.
func (doc *document) readLinks(a *App) (bonds []eve.BondMetadata, vlans []eve.VLANMetadata) {
	l := links{
		document: doc, adapters: a.Adapters,
		names: map[string]string{}, bonded: map[string]string{}, vlans: map[vlanKey]string{},
	}
	for i, adapter := range a.Adapters {
		l.name(fmt.Sprintf("adapters[%d]", i), adapter.Name)
	}
	for i, b := range a.Bonds {
		bonds = append(bonds, l.bond(fmt.Sprintf("bonds[%d]", i), b))
	}
	for i, v := range a.VLANs {
		vlans = append(vlans, l.vlan(fmt.Sprintf("vlans[%d]", i), v))
	}
	for i, v := range vlans { // when all are read: none may be on another
		l.name(fmt.Sprintf("vlans[%d]", i), v.Name)
	}
	return bonds, vlans
}

// name gives a name to what is at a path, unless something else has it.
func (l *links) name(at, name string) {
	if name == "" {
		return // noted already
	}
	if other, taken := l.names[name]; taken {
		l.problem(at+".name", "%q is taken by %s", shortened(name), other)
		return
	}
	l.names[name] = at
}

func (l *links) bond(at string, b Bond) eve.BondMetadata {
	if l.required(at+".name", b.Name) {
		l.name(at, b.Name)
	}
	if l.required(at+".mode", b.Mode) {
		// As the kernel names them.
		choose(l.document, at+".mode", b.Mode, words("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad",
			"balance-tlb", "balance-alb"))
	}
	l.mtu(at+".mtu", b.MTU)
	l.given(at+".adapters", len(b.Adapters) > 0)
	for i, name := range b.Adapters {
		l.join(at, i, name)
	}
	return eve.BondMetadata{Name: b.Name, Mode: b.Mode, Adapters: b.Adapters, MTU: b.MTU}
}

// join makes an adapter the n-th of a bond.
func (l *links) join(bond string, n int, name string) {
	at := fmt.Sprintf("%s.adapters[%d]", bond, n)
	i := slices.IndexFunc(l.adapters, func(a Adapter) bool { return a.Name == name })
	if i < 0 {
		l.problem(at, "there is no adapter %q", shortened(name))
		return
	}
	if other, taken := l.bonded[name]; taken {
		l.problem(at, "%q is part of %s already", shortened(name), other)
		return
	}
	l.bonded[name] = bond
	if n == 0 {
		return
	}
	l.idle(fmt.Sprintf("adapters[%d].ipv4", i), l.adapters[i].IPv4, bond)
	l.idle(fmt.Sprintf("adapters[%d].ipv6", i), l.adapters[i].IPv6, bond)
}

// idle notes a fixed address of an adapter that is not the first of its bond: no guest would have it.
func (l *links) idle(at, address, bond string) {
	if _, err := parseAddr(address); err == nil {
		l.problem(at, "%s has no effect: %s has the addresses of its first adapter", address, bond)
	}
}

func (l *links) vlan(at string, v VLAN) eve.VLANMetadata {
	m := eve.VLANMetadata{
		Name: v.Name, On: v.On, ID: v.ID, MTU: v.MTU,
		IPv4: l.vlanAddress(at, v, true), IPv6: l.vlanAddress(at, v, false),
		Routes: l.toldRoutes(at+".routes", v.Routes), DNSServers: l.addresses(at+".dns", v.DNS), SearchDomains: v.Search,
	}
	if l.has(at + ".name") {
		l.required(at+".name", v.Name)
	} else {
		m.Name = fmt.Sprintf("%s.%d", v.On, v.ID)
	}
	if l.required(at+".on", v.On) {
		l.lies(at+".on", v.On)
	}
	if l.given(at+".id", l.has(at+".id")) {
		l.number(at, vlanKey{v.On, v.ID})
	}
	if l.has(at + ".mac") {
		mac, err := parseMAC(v.MAC)
		l.check(at+".mac", err)
		m.MAC = mac
	}
	l.mtu(at+".mtu", v.MTU)
	l.domains(at+".search", v.Search)
	return m
}

// lies checks what a VLAN is on.
func (l *links) lies(at, on string) {
	if bond, bonded := l.bonded[on]; bonded {
		l.problem(at, "%q is part of %s: put the VLAN on that", shortened(on), bond)
	} else if _, known := l.names[on]; !known {
		l.problem(at, "there is no adapter or bond %q", shortened(on))
	}
}

// number gives a VLAN its number, unless another has it there.
func (l *links) number(at string, key vlanKey) {
	if key.id < 1 || key.id > maxVLAN {
		l.problem(at+".id", "%d is not from 1 to %d", key.id, maxVLAN)
		return
	}
	if other, taken := l.vlans[key]; taken {
		l.problem(at+".id", "%d on %q is taken by %s", key.id, shortened(key.on), other)
		return
	}
	l.vlans[key] = at
}

// vlanAddress reads how a VLAN gets its address of one family.
func (l *links) vlanAddress(at string, v VLAN, v4 bool) eve.VLANAddress {
	field, text, gatewayField, gateway := at+".ipv6", v.IPv6, at+".gateway6", v.Gateway6
	if v4 {
		field, text, gatewayField, gateway = at+".ipv4", v.IPv4, at+".gateway4", v.Gateway4
	}
	a, ok := l.vlanMethod(field, text, v4)
	if ok && l.has(gatewayField) {
		a.Gateway = l.vlanGateway(gatewayField, gateway, eve.Prefix(a.Address))
	}
	return a
}

// vlanMethod reads "dhcp", "slaac", "none" or a fixed address. It is false for anything else.
func (l *links) vlanMethod(at, s string, v4 bool) (eve.VLANAddress, bool) {
	switch {
	case !l.has(at) || s == addressNone:
		return eve.VLANAddress{}, true
	case s == addressDHCP:
		return eve.VLANAddress{Method: eve.MethodDHCP}, true
	case s == addressSLAAC && !v4:
		return eve.VLANAddress{Method: eve.MethodSLAAC}, true
	}
	p, err := parseHostPrefix(s)
	switch {
	case err == nil && p.Addr().Is4() == v4:
		return eve.VLANAddress{Method: eve.MethodStatic, Address: ipNet(p)}, true
	case err != nil && strings.Contains(s, "/"):
		l.check(at, err)
	case v4:
		l.problem(at, "%q is not dhcp, none, or an IPv4 address with its prefix length, such as 10.42.0.9/24", shortened(s))
	default:
		l.problem(at, "%q is not dhcp, slaac, none, or an IPv6 address with its prefix length, such as fd00:42::9/64", shortened(s))
	}
	return eve.VLANAddress{}, false
}

// vlanGateway reads the default router of a fixed address. One of IPv6 may have a link-local address, as most have.
func (l *links) vlanGateway(at, s string, own netip.Prefix) net.IP {
	gateway, err := parseAddr(s)
	switch {
	case err != nil:
		l.check(at, err)
	case !own.IsValid():
		l.problem(at, "%v goes with a fixed address only", gateway)
	case gateway == own.Addr():
		l.problem(at, "%v is the address of the VLAN itself", gateway)
	case !own.Contains(gateway) && !(own.Addr().Is6() && gateway.Is6() && gateway.IsLinkLocalUnicast()):
		l.problem(at, "%v is not in %v, the subnet of the VLAN", gateway, own.Masked())
	}
	return gateway.AsSlice()
}
