// SPDX-License-Identifier: Apache-2.0

package nocloud

import (
	"strconv"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// networkConfig makes network-config in version 2; nil when there is no card to speak of: cloud-init then
// asks DHCP on the first card, where a configuration without cards would leave it without any.
func networkConfig(links []link) (*document.Document, error) {
	if len(links) == 0 {
		return nil, nil
	}
	out := networkConfigFile{
		Version:   2,
		Ethernets: make(map[string]ethernet),
		Bonds:     make(map[string]bond),
		VLANs:     make(map[string]vlan),
	}
	for _, l := range links {
		switch l.Kind {
		case instance.Card:
			out.Ethernets[l.name] = ethernet{Match: match{MACAddress: l.address}, settings: settingsOf(l.Adapter)}
		case instance.Bond:
			out.Bonds[l.name] = bond{
				Interfaces: l.over,
				Parameters: bondParameters{Mode: l.BondMode, MIIMonitorInterval: strconv.Itoa(dialect.BondMonitor)},
				MACAddress: l.address,
				settings:   settingsOf(l.Adapter),
			}
		case instance.VLAN:
			out.VLANs[l.name] = vlan{ID: l.VLAN, Link: l.over[0], MACAddress: l.address, settings: settingsOf(l.Adapter)}
		}
	}
	return yaml(out)
}

// settingsOf configures an adapter. A card is never renamed: cloud-init ends its boot stage when one that
// shall be renamed is not there, and tolerates the absence of others.
func settingsOf(a instance.Adapter) settings {
	slaac, dhcp6 := a.IPv6.Method == instance.SLAAC, a.IPv6.Method == instance.DHCP
	s := settings{
		MTU:      a.MTU,
		DHCP4:    a.IPv4.Method == instance.DHCP,
		DHCP6:    dhcp6,
		AcceptRA: slaac || dhcp6, // DHCPv6 gives no router
	}
	if a.IPv4.Method == instance.Static {
		s.addStatic4(a.IPv4)
	}
	if a.IPv6.Method == instance.Static {
		s.addStatic6(a.IPv6)
	}
	if len(s.Addresses) > 0 || slaac {
		s.Nameservers = nameserversOf(a)
	}
	return s
}

// addStatic4 adds an IPv4 address with its routes. The default route is spelled 0.0.0.0/0, which
// netplan takes too: Debian 12's cloud-init fails on the word "default" wherever it renders itself.
func (s *settings) addStatic4(in instance.Addressing) {
	s.Addresses = append(s.Addresses, in.Address.String())
	if r, ok := dialect.DefaultRoute(in); ok {
		s.addRoutes(r)
	}
	s.addRoutes(in.Routes...)
}

// addStatic6 does the same for IPv6, but for the default route: before version 23.1 cloud-init makes a
// route to ::/0 one to ::/64 wherever it renders itself. gateway6 is understood by all, although netplan
// and newer versions of cloud-init call it outdated.
func (s *settings) addStatic6(in instance.Addressing) {
	s.Addresses = append(s.Addresses, in.Address.String())
	if in.Gateway.IsValid() {
		s.Gateway6 = in.Gateway.String()
	}
	s.addRoutes(in.Routes...)
}

func (s *settings) addRoutes(routes ...instance.Route) {
	for _, r := range routes {
		s.Routes = append(s.Routes, route{To: r.Dst.String(), Via: r.Via.String()})
	}
}

// nameserversOf are the name servers of an adapter; nil for none: for search domains alone cloud-init
// drops the name servers of all adapters after it, wherever it renders itself. Adapters with nothing but
// DHCP learn them there.
func nameserversOf(a instance.Adapter) *nameservers {
	if len(a.Nameservers) == 0 {
		return nil
	}
	return &nameservers{Addresses: addresses(a), Search: a.Search}
}

// addresses are an adapter's name servers as texts.
func addresses(a instance.Adapter) []string {
	var out []string
	for _, addr := range a.Nameservers {
		out = append(out, addr.String())
	}
	return out
}
