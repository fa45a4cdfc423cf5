// SPDX-License-Identifier: Apache-2.0

package nocloud

import (
	"net/netip"
	"slices"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// networkConfigV1 makes network-config in version 1, and nil when networkConfig does. In it a card has no
// name but the one that the guest is to give it.
func networkConfigV1(links []link) (*document.Document, error) {
	if len(links) == 0 {
		return nil, nil
	}
	out := networkConfigV1File{Version: 1}
	for _, l := range links {
		d := deviceV1{Name: l.name, MACAddress: l.address, MTU: l.MTU, Subnets: subnets(l.Adapter)}
		switch l.Kind {
		case instance.Card:
			d.Type = "physical"
		case instance.Bond:
			d.Type = "bond"
			d.BondInterfaces = l.over
			d.Params = &bondParams{Mode: l.BondMode, MIIMonitor: dialect.BondMonitor}
		case instance.VLAN:
			d.Type = "vlan"
			d.VLANLink, d.VLANID = l.over[0], l.VLAN
		}
		out.Config = append(out.Config, d)
	}
	return yaml(out)
}

// subnets are how an adapter is addressed: IPv4, then IPv6, as far as they are in use. Name servers are told
// where they are not learned from DHCP: all of them with a fixed IPv4 address, those of IPv6 with IPv6's own
// ways otherwise.
func subnets(a instance.Adapter) []subnet {
	var out []subnet
	switch a.IPv4.Method {
	case instance.DHCP:
		out = append(out, subnet{Type: "dhcp4"})
	case instance.Static:
		out = append(out, staticSubnet("static", a.IPv4))
	}
	switch a.IPv6.Method {
	case instance.DHCP:
		out = append(out, subnet{Type: "dhcp6"})
	case instance.SLAAC:
		out = append(out, subnet{Type: "ipv6_slaac"})
	case instance.Static:
		out = append(out, staticSubnet("static6", a.IPv6))
	}
	i := slices.IndexFunc(out, func(s subnet) bool { return s.Type != "dhcp4" && s.Type != "dhcp6" })
	if i < 0 {
		return out
	}
	if out[i].Type != "static" {
		a.Nameservers = slices.DeleteFunc(slices.Clone(a.Nameservers), netip.Addr.Is4)
	}
	out[i].Nameservers, out[i].Search = addresses(a), a.Search
	return out
}

// staticSubnet is a fixed address with its routes.
func staticSubnet(kind string, in instance.Addressing) subnet {
	s := subnet{Type: kind, Address: in.Address.String()}
	if in.Gateway.IsValid() {
		s.Gateway = in.Gateway.String()
	}
	for _, r := range in.Routes {
		s.Routes = append(s.Routes, routeV1{Destination: r.Dst.String(), Gateway: r.Via.String()})
	}
	return s
}
