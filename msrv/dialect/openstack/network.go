// SPDX-License-Identifier: Apache-2.0

package openstack

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// networkData makes network_data.json, valid by the schema that Nova publishes
// (doc/api_schemas/network_data.json) but for the netmask of a single IPv4 host, which its pattern forgot; nil when there is no card to speak of. A document without links
// would be worse than none: cloud-init then configures no card at all, where a 404 makes it ask DHCP.
func networkData(nics []instance.Adapter) (*document.Node, error) {
	if len(nics) == 0 {
		return nil, nil
	}
	out := networkDocument{Links: links(nics), Networks: []network{}, Services: []service{}}
	for i, a := range nics {
		for _, n := range networks(a) {
			n.ID = fmt.Sprintf("network%d", len(out.Networks)) // counted over all links
			n.Link = out.Links[i].ID
			n.NetworkID = a.Network
			out.Networks = append(out.Networks, n)
		}
		for _, s := range services(a.Nameservers) {
			if !slices.Contains(out.Services, s) {
				out.Services = append(out.Services, s)
			}
		}
	}
	doc, err := document.JSON(out)
	if err != nil {
		return nil, err
	}
	return document.File(doc), nil
}

// links are the adapters, each under an id of its own: interface0, interface1 and so on for cards; bond0
// and so on for bonds, which is what cloud-init calls them in the guest; and for a VLAN the id of what it
// is on, a dot and its number. None gets a name in the guest (cloud-init has a field for that, Nova has
// none): cards keep the kernel's, and an adapter's name, told in vif_id, is free text.
func links(nics []instance.Adapter) []link {
	out := make([]link, len(nics))
	count := make(map[instance.AdapterKind]int)
	for i, a := range nics {
		l := link{VIFID: a.Name, MTU: a.MTU}
		switch a.Kind {
		case instance.Card:
			l.ID, l.Type, l.MAC = fmt.Sprintf("interface%d", count[a.Kind]), "phy", a.MAC.String()
		case instance.Bond:
			l.ID, l.Type, l.MAC = fmt.Sprintf("bond%d", count[a.Kind]), "bond", a.MAC.String()
			l.BondMode, l.BondMIIMon = a.BondMode, dialect.BondMonitor
			for _, name := range a.Over {
				l.BondLinks = append(l.BondLinks, out[dialect.Named(nics, name)].ID)
			}
		case instance.VLAN:
			l.VLANLink = out[dialect.Named(nics, a.Over[0])].ID
			l.ID, l.Type, l.VLANMAC, l.VLANID = fmt.Sprintf("%s.%d", l.VLANLink, a.VLAN), "vlan", a.MAC.String(), a.VLAN
		}
		count[a.Kind]++
		out[i] = l
	}
	return out
}

// networks are how a link is addressed: IPv4, then IPv6, as far as they are in use.
func networks(a instance.Adapter) []network {
	var out []network
	search := a.Search
	switch a.IPv4.Method {
	case instance.DHCP:
		out = append(out, network{Type: "ipv4_dhcp"})
	case instance.Static:
		out = append(out, static("ipv4", a.IPv4, a.Nameservers, search))
		search = nil // once per link is enough
	}
	switch a.IPv6.Method {
	case instance.DHCP:
		out = append(out, network{Type: "ipv6_dhcp"})
	case instance.SLAAC:
		out = append(out, network{Type: "ipv6_slaac"})
	case instance.Static:
		out = append(out, static("ipv6", a.IPv6, a.Nameservers, search))
	}
	return out
}

// static is a network with a fixed address: the default route comes first, and the name servers are
// those of its family.
func static(kind string, in instance.Addressing, dns []netip.Addr, search []string) network {
	n := network{
		Type:      kind,
		IPAddress: in.Address.Addr().String(),
		Netmask:   netmask(in.Address),
		Routes:    []route{},
		Services:  services(sameFamily(dns, in.Address.Addr())),
		DNSSearch: search,
	}
	for _, s := range n.Services {
		n.DNSNameservers = append(n.DNSNameservers, s.Address)
	}
	if r, ok := dialect.DefaultRoute(in); ok {
		n.Routes = append(n.Routes, routeOf(r))
	}
	for _, r := range in.Routes {
		n.Routes = append(n.Routes, routeOf(r))
	}
	return n
}

func routeOf(r instance.Route) route {
	return route{Network: r.Dst.Addr().String(), Netmask: netmask(r.Dst), Gateway: r.Via.String()}
}

func sameFamily(addrs []netip.Addr, as netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range addrs {
		if a.Is4() == as.Is4() {
			out = append(out, a)
		}
	}
	return out
}

// netmask is the mask of a prefix as an address: dotted for IPv4, and the same notation for IPv6, where
// Nova's schema takes nothing else.
func netmask(p netip.Prefix) string {
	mask, _ := netip.AddrFromSlice(net.CIDRMask(p.Bits(), p.Addr().BitLen()))
	return mask.String()
}

func services(addrs []netip.Addr) []service {
	out := []service{}
	for _, a := range addrs {
		out = append(out, service{Type: "dns", Address: a.String()})
	}
	return out
}
