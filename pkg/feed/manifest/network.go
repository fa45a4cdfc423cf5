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

// network is what the topics say of one app network.
type network struct {
	config eve.NetworkInstanceConfig
	meta   eve.NetworkMetadata
}

// place names where a network is that others made; "" for one that is made.
func (n network) place() string {
	switch {
	case n.meta.Namespace != "":
		return fmt.Sprintf("namespace %q", n.meta.Namespace)
	case n.meta.Bridge != "":
		return fmt.Sprintf("bridge %q", n.meta.Bridge)
	}
	return ""
}

// networkDoc is one network manifest: where it stands, and what it means.
type networkDoc struct {
	*document
	network
	id uuid.UUID
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
	if n.Port != "" {
		doc.check("port", checkInterface(n.Port))
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
	r := networkDoc{document: doc, network: network{config: c, meta: doc.networkMetadata(n, id)}, id: id}
	doc.idleFields(n)
	if c.Type != eve.NetworkInstanceTypeSwitch {
		r.addressing(n)
	}
	return r
}

// networkMetadata is what EVE's own configuration has no place for, but for subnets.
func (doc *document) networkMetadata(n *Network, id uuid.UUID) eve.NetworkMetadata {
	if doc.has("hopLimit") && (n.HopLimit < 1 || n.HopLimit > maxHopLimit) {
		doc.problem("hopLimit", "%d is not from 1 to %d", n.HopLimit, maxHopLimit)
	}
	m := eve.NetworkMetadata{
		NetworkUUID:   id,
		Tokens:        choose(doc, "tokens", n.Tokens, words(eve.TokensOptional, eve.TokensRequired, eve.TokensOff)),
		HopLimit:      n.HopLimit,
		SLAAC:         n.SLAAC,
		NoDHCP:        !choose(doc, "dhcp", n.DHCP, servers()),
		NoDNS:         !choose(doc, "dnsServer", n.DNSServer, servers()),
		SearchDomains: n.Search,
		NamePrefix:    n.Names.Prefix,
		NameOrder:     n.Names.Order,
	}
	doc.attachment(n.Attach, &m)
	if doc.has("leaseTime") {
		seconds, err := parseLeaseTime(n.LeaseTime)
		doc.check("leaseTime", err)
		m.LeaseTime = seconds
	}
	doc.domains("search", n.Search)
	doc.checkNames(n)
	return m
}

// servers are what can be said of a server of the network's: whether there is one.
func servers() []choice[bool] { return []choice[bool]{{serverOurs, true}, {serverNone, false}} }

// attachment reads where a network is that others made.
func (doc *document) attachment(a Attach, m *eve.NetworkMetadata) {
	if !doc.has("attach") {
		return
	}
	switch namespace, bridge := doc.has("attach.namespace"), doc.has("attach.bridge"); {
	case namespace && bridge:
		doc.problem("attach.bridge", "is given beside attach.namespace: only one of the two can be")
	case namespace && !absolute(a.Namespace):
		doc.problem("attach.namespace", "%q is not an absolute path without . and ..", shortened(a.Namespace))
	case bridge:
		doc.check("attach.bridge", checkInterface(a.Bridge))
	case !namespace:
		doc.problem("attach", "has no place: give one of namespace and bridge")
	}
	m.Namespace, m.Bridge = a.Namespace, a.Bridge
}

// checkNames checks how guests are called.
func (doc *document) checkNames(n *Network) {
	if doc.has("names.prefix") {
		doc.check("names.prefix", checkPrefix(n.Names.Prefix))
	}
	if doc.has("names.order") {
		doc.given("names.order", len(n.Names.Order) > 0)
	}
	needs := map[string]string{eve.NamePrefix: "names.prefix", eve.NameDomain: "domain"}
	for i, word := range n.Names.Order {
		at := fmt.Sprintf("names.order[%d]", i)
		choose(doc, at, word, words(eve.NameBase, eve.NamePrefix, eve.NameDomain))
		if slices.Contains(n.Names.Order[:i], word) {
			doc.problem(at, "%q is given twice", shortened(word))
		} else if field := needs[word]; field != "" && !doc.has(field) {
			doc.problem(at, "%q needs %s beside it", word, field)
		}
	}
}

// idleFields notes fields that have no effect in such a network: nobody would look for the reason there.
func (doc *document) idleFields(n *Network) {
	noted := map[string]bool{}
	for _, rule := range []struct {
		holds  bool
		reason string
		fields []string
	}{
		{n.Type == networkSwitch, "a switch leaves addresses to others", []string{
			"subnet", "gateway", "dhcpRange", "subnet6", "gateway6", "dhcpRange6", "slaac", "dhcp", "leaseTime", "dnsServer",
			"names", "hosts",
		}},
		{doc.has("attach"), "is for those to say who made the network", []string{
			"dhcpRange", "dhcpRange6", "dhcp", "leaseTime", "dnsServer", "names", "hosts", "port",
		}},
		{n.DHCP == serverNone, "has no effect: dhcp is none", []string{"dhcpRange", "dhcpRange6", "leaseTime"}},
		{n.DNSServer == serverNone, "has no effect: dnsServer is none", []string{"names", "hosts"}},
	} {
		for _, field := range rule.fields {
			if rule.holds && doc.has(field) && !noted[field] {
				doc.problem(field, "%s", rule.reason)
				noted[field] = true
			}
		}
	}
}

// subnetFields are what a manifest says of one subnet, and the names of the fields.
type subnetFields struct {
	at, gatewayAt, spanAt string
	prefix, gateway       string
	span                  DHCPRange
}

// addressing reads the subnets of a local network. It must have one, unless others made it.
func (doc *networkDoc) addressing(n *Network) {
	first := subnetFields{"subnet", "gateway", "dhcpRange", n.Subnet, n.Gateway, n.DHCPRange}
	second := subnetFields{"subnet6", "gateway6", "dhcpRange6", n.Subnet6, n.Gateway6, n.DHCPRange6}
	s, ok := doc.subnet(first, !doc.has("attach"))
	s6, ok6 := doc.subnet(second, false)
	if !ok || !ok6 {
		return
	}
	c, m := &doc.config, &doc.meta
	if s.Prefix.IsValid() {
		c.IpType = eve.AddressTypeIPV6
		if s.Prefix.Addr().Is4() {
			c.IpType = eve.AddressTypeIPV4
		}
		c.Subnet, c.Gateway, c.DhcpRange = ipNet(s.Prefix), s.Gateway.AsSlice(), span(s)
	}
	if s6.Prefix.IsValid() {
		if s6.Prefix.Addr().Is4() || !s.Prefix.Addr().Is4() {
			doc.problem("subnet6", "is for an IPv6 subnet beside an IPv4 one: any other is given as subnet")
		}
		m.Subnet6, m.Gateway6, m.DhcpRange6 = ipNet(s6.Prefix), s6.Gateway.AsSlice(), span(s6)
	}
	for i, server := range c.DnsServers {
		if a := eve.Addr(server); eve.ServesDNS(c, m) && (a == s.Gateway || a == s6.Gateway) {
			doc.problem(fmt.Sprintf("dns[%d]", i), "%v is the network's own server: give those that it is to ask", a)
		}
	}
	if n.SLAAC && s.Prefix.Addr().Is6() {
		doc.slaac(first, s.Prefix)
	} else if n.SLAAC {
		doc.slaac(second, s6.Prefix)
	}
}

// span is the range of a subnet as EVE's types have it.
func span(s feed.Subnet) eve.IPRange {
	return eve.IPRange{Start: s.Start.AsSlice(), End: s.End.AsSlice()}
}

// slaac checks that guests can make their addresses in a subnet.
func (doc *document) slaac(f subnetFields, prefix netip.Prefix) {
	switch {
	case !prefix.IsValid():
		doc.problem("slaac", "there is no IPv6 subnet for guests to make their addresses in")
	case prefix.Bits() != slaacBits:
		doc.problem("slaac", "guests make their addresses in a /%d, and %s is %v", slaacBits, f.at, prefix)
	case doc.has(f.spanAt):
		doc.problem(f.spanAt, "has no effect: with slaac, guests make their addresses themselves")
	}
}

// subnet reads one subnet; the zero value is none. It is false when something is wrong with it, which was noted.
func (doc *networkDoc) subnet(f subnetFields, required bool) (feed.Subnet, bool) {
	if !doc.has(f.at) && !required {
		if doc.has(f.gatewayAt) {
			doc.problem(f.gatewayAt, "needs %s beside it", f.at)
		}
		if doc.has(f.spanAt) {
			doc.problem(f.spanAt, "needs %s beside it", f.at)
		}
		return feed.Subnet{}, true
	}
	if !doc.required(f.at, f.prefix) {
		return feed.Subnet{}, false
	}
	prefix, err := parseSubnet(f.prefix)
	if err != nil {
		doc.check(f.at, err)
		return feed.Subnet{}, false
	}
	s := feed.Subnet{Prefix: prefix}
	ok := true
	for _, a := range []struct {
		at, text string
		addr     *netip.Addr
	}{
		{f.gatewayAt, f.gateway, &s.Gateway},
		{f.spanAt + ".start", f.span.Start, &s.Start},
		{f.spanAt + ".end", f.span.End, &s.End},
	} {
		if !doc.has(a.at) {
			continue
		}
		if *a.addr, err = parseAddr(a.text); err != nil {
			doc.check(a.at, err)
			ok = false
		}
	}
	if !ok {
		return feed.Subnet{}, false
	}
	complete := feed.Subnet.Complete
	if doc.place() != "" {
		complete = feed.Subnet.Routed
	}
	s, err = complete(s)
	doc.check(f.at, err)
	return s, err == nil
}
