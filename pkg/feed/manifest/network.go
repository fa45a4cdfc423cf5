// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/feed"
)

// networkDoc is one network manifest: where it stands, and what it means.
type networkDoc struct {
	*document
	id     uuid.UUID
	config eve.NetworkInstanceConfig
	meta   eve.NetworkMetadata
}

// readNetwork checks a decoded manifest and says what it means to EVE.
func (doc *document) readNetwork(n *Network) networkDoc {
	id := doc.identity(kindNetwork, n.Name, n.UUID, n.Version)
	c := eve.NetworkInstanceConfig{
		UUIDandVersion: eve.UUIDandVersion{UUID: id, Version: strconv.FormatUint(uint64(n.Version), 10)},
		DisplayName:    n.Name,
		Activate:       true,
		PortLabel:      n.Port,
		DomainName:     n.Domain,
		MTU:            n.MTU,
	}
	c.Type = choose(doc, "type", n.Type, []choice[eve.NetworkInstanceType]{
		{networkLocal, eve.NetworkInstanceTypeLocal}, {networkSwitch, eve.NetworkInstanceTypeSwitch},
	})
	if c.Type == eve.NetworkInstanceTypeSwitch {
		for _, field := range []string{"subnet", "gateway", "dhcpRange", "hosts"} {
			if doc.has(field) {
				doc.problem(field, "a switch leaves addresses to others")
			}
		}
	} else {
		doc.addressing(n, &c)
	}
	doc.mtu("mtu", n.MTU)
	if doc.has("domain") {
		doc.check("domain", checkDomain(n.Domain))
	}
	c.DnsServers = doc.addresses("dns", n.DNS)
	for i, s := range n.NTP {
		if _, err := parseAddr(s); err != nil && checkDomain(s) != nil {
			doc.problem(fmt.Sprintf("ntp[%d]", i), "%q is neither an address nor a domain name", shortened(s))
		}
		c.NtpServers = append(c.NtpServers, eve.HostnameOrIP(s))
	}
	for _, r := range doc.routes("routes", n.Routes) {
		c.StaticRoutes = append(c.StaticRoutes, eve.IPRouteConfig{DstNetwork: ipNet(r.to), Gateway: r.via.AsSlice()})
	}
	for _, name := range slices.Sorted(maps.Keys(n.Hosts)) {
		doc.check("hosts."+name, checkDomain(name))
		c.DnsNameToIPList = append(c.DnsNameToIPList,
			eve.DNSNameToIP{HostName: name, IPs: doc.addresses("hosts."+name, n.Hosts[name])})
	}
	return networkDoc{document: doc, id: id, config: c, meta: doc.networkMetadata(n, id)}
}

// networkMetadata is what EVE's own configuration has no place for.
func (doc *document) networkMetadata(n *Network, id uuid.UUID) eve.NetworkMetadata {
	if doc.has("hopLimit") && (n.HopLimit < 1 || n.HopLimit > maxHopLimit) {
		doc.problem("hopLimit", "%d is not from 1 to %d", n.HopLimit, maxHopLimit)
	}
	return eve.NetworkMetadata{
		NetworkUUID: id,
		Tokens:      choose(doc, "tokens", n.Tokens, words(eve.TokensOptional, eve.TokensRequired, eve.TokensOff)),
		HopLimit:    n.HopLimit,
	}
}

// addressing reads what a local network must have.
func (doc *document) addressing(n *Network, c *eve.NetworkInstanceConfig) {
	if !doc.required("subnet", n.Subnet) {
		return
	}
	prefix, err := parseSubnet(n.Subnet)
	if err != nil {
		doc.check("subnet", err)
		return
	}
	s := feed.Subnet{Prefix: prefix}
	ok := true
	for _, f := range []struct {
		at, text string
		addr     *netip.Addr
	}{
		{"gateway", n.Gateway, &s.Gateway},
		{"dhcpRange.start", n.DHCPRange.Start, &s.Start},
		{"dhcpRange.end", n.DHCPRange.End, &s.End},
	} {
		if !doc.has(f.at) {
			continue
		}
		if *f.addr, err = parseAddr(f.text); err != nil {
			doc.check(f.at, err)
			ok = false
		}
	}
	if !ok {
		return
	}
	s, err = s.Complete()
	if err != nil {
		doc.check("subnet", err)
		return
	}
	c.IpType = eve.AddressTypeIPV6
	if prefix.Addr().Is4() {
		c.IpType = eve.AddressTypeIPV4
	}
	c.Subnet = ipNet(s.Prefix)
	c.Gateway = s.Gateway.AsSlice()
	c.DhcpRange = eve.IPRange{Start: s.Start.AsSlice(), End: s.End.AsSlice()}
}
