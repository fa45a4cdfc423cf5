// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/lf-edge/eve-metadata/nim/dnsmasq"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// addServer says what the network's DHCP and DNS server is told, if it is to have one.
func (r *Result) addServer(in Input) {
	c, m := in.Config, &in.Metadata
	dhcp, dns := eve.ServesDHCP(c, m), eve.ServesDNS(c, m)
	if !dhcp && !dns {
		return
	}
	lease := max(cmp.Or(m.LeaseTime, eve.DefaultLeaseTime), eve.MinLeaseTime)
	s := &dnsmasq.Network{
		Interface: r.Network.Bridge.Name,
		Domain:    eve.Domain(c.DomainName),
		MTU:       r.Network.Bridge.MTU,
		LeaseTime: time.Duration(lease) * time.Second,
		IPv4:      dnsmasq.Subnet{Prefix: r.subnets.IPv4.Prefix, Router: r.Gateway},
		IPv6:      dnsmasq.Subnet{Prefix: r.subnets.IPv6.Prefix, Router: r.Gateway6},
		SLAAC:     m.SLAAC,
		DHCP:      dhcp,
		DNS:       dns,
		Metadata:  plan.MetadataPrefixes()[0].Addr(),
	}
	for _, text := range m.SearchDomains {
		if d := eve.Domain(text); d != "" {
			s.Search = append(s.Search, d)
		}
	}
	servers := addrsOf(c.DnsServers)
	if dns {
		// Where EVE's config names the network's own router, it means the server that is made here.
		s.Upstream = slices.DeleteFunc(servers, func(a netip.Addr) bool { return a == r.Gateway || a == r.Gateway6 })
	} else {
		s.Nameservers = servers
	}
	for _, ntp := range c.NtpServers {
		if a, err := netip.ParseAddr(string(ntp)); err == nil { // DHCP has addresses only
			s.NTP = append(s.NTP, a)
		}
	}
	for _, route := range c.StaticRoutes {
		if dst, via := eve.Prefix(route.DstNetwork), eve.Addr(route.Gateway); dst.IsValid() && via.IsValid() {
			s.Routes = append(s.Routes, dnsmasq.Route{Dst: dst.Masked(), Via: via})
		}
	}
	for _, record := range c.DnsNameToIPList {
		s.Records = append(s.Records, dnsmasq.Record{Name: record.HostName, Addrs: addrsOf(record.IPs)})
	}
	s.Guests = r.guests(in, s.Domain)
	r.Server = s
}

// guests returns the adapters that the server knows: those that are attached.
func (r *Result) guests(in Input, domain string) []dnsmasq.Guest {
	guests := make([]dnsmasq.Guest, 0, len(in.Adapters))
	for i, a := range in.Adapters {
		if !r.attached(in, i) {
			continue
		}
		l := r.Leases[i]
		guests = append(guests, dnsmasq.Guest{
			App: a.App, Adapter: a.Adapter, MAC: l.MAC.HardwareAddr(), IPv4: l.IPv4, IPv6: l.IPv6, MTU: r.MTU[i],
			Names: dnsmasq.Names(a.Hostname, in.Metadata.NamePrefix, domain, in.Metadata.NameOrder),
		})
	}
	return guests
}
