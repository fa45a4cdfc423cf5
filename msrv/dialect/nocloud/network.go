// SPDX-License-Identifier: Apache-2.0

package nocloud

import (
	"fmt"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// networkConfig makes network-config in version 2; nil when there is no card to speak of: cloud-init then
// asks DHCP on the first card, where a configuration without cards would leave it without any.
func networkConfig(nics []instance.Adapter) (*document.Document, error) {
	if len(nics) == 0 {
		return nil, nil
	}
	out := networkConfigFile{Version: 2, Ethernets: make(map[string]ethernet, len(nics))}
	for i, a := range nics {
		out.Ethernets[fmt.Sprintf("nic%d", i)] = ethernetOf(a)
	}
	return yaml(out)
}

// ethernetOf configures a card. It is never renamed: cloud-init ends its boot stage when a card that
// shall be renamed is not there, and tolerates the absence of others.
func ethernetOf(a instance.Adapter) ethernet {
	slaac, dhcp6 := a.IPv6.Method == instance.SLAAC, a.IPv6.Method == instance.DHCP
	e := ethernet{
		Match:    match{MACAddress: a.MAC.String()},
		MTU:      a.MTU,
		DHCP4:    a.IPv4.Method == instance.DHCP,
		DHCP6:    dhcp6,
		AcceptRA: slaac || dhcp6, // DHCPv6 gives no router
	}
	if a.IPv4.Method == instance.Static {
		e.addStatic4(a.IPv4)
	}
	if a.IPv6.Method == instance.Static {
		e.addStatic6(a.IPv6)
	}
	if len(e.Addresses) > 0 || slaac {
		e.Nameservers = nameserversOf(a)
	}
	return e
}

// addStatic4 adds an IPv4 address with its routes. The default route is spelled 0.0.0.0/0, which
// netplan takes too: Debian 12's cloud-init fails on the word "default" wherever it renders itself.
func (e *ethernet) addStatic4(in instance.Addressing) {
	e.Addresses = append(e.Addresses, in.Address.String())
	if r, ok := dialect.DefaultRoute(in); ok {
		e.addRoutes(r)
	}
	e.addRoutes(in.Routes...)
}

// addStatic6 does the same for IPv6, but for the default route: before version 23.1 cloud-init makes a
// route to ::/0 one to ::/64 wherever it renders itself. gateway6 is understood by all, although netplan
// and newer versions of cloud-init call it outdated.
func (e *ethernet) addStatic6(in instance.Addressing) {
	e.Addresses = append(e.Addresses, in.Address.String())
	if in.Gateway.IsValid() {
		e.Gateway6 = in.Gateway.String()
	}
	e.addRoutes(in.Routes...)
}

func (e *ethernet) addRoutes(routes ...instance.Route) {
	for _, r := range routes {
		e.Routes = append(e.Routes, route{To: r.Dst.String(), Via: r.Via.String()})
	}
}

// nameserversOf are the name servers of a card; nil for none. Cards with nothing but DHCP learn them
// there.
func nameserversOf(a instance.Adapter) *nameservers {
	if len(a.Nameservers) == 0 && len(a.Search) == 0 {
		return nil
	}
	n := &nameservers{Search: a.Search}
	for _, addr := range a.Nameservers {
		n.Addresses = append(n.Addresses, addr.String())
	}
	return n
}
