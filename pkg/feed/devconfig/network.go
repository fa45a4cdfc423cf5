// SPDX-License-Identifier: Apache-2.0

package devconfig

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-api/go/evecommon"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/feed"
)

// network reads one network instance. A switch has no addressing of its own, whatever the message says.
func (p *parser) network(what string, id uuid.UUID, c *config.NetworkInstanceConfig) eve.NetworkInstanceConfig {
	n := eve.NetworkInstanceConfig{
		UUIDandVersion:      eve.UUIDandVersion{UUID: id, Version: c.GetUuidandversion().GetVersion()},
		DisplayName:         c.GetDisplayname(),
		Type:                eve.NetworkInstanceType(c.GetInstType()),
		Activate:            c.GetActivate(),
		PortLabel:           c.GetPort().GetName(),
		IpType:              eve.AddressType(c.GetIpType()),
		PropagateConnRoutes: c.GetPropagateConnectedRoutes(),
		EnableFlowlog:       !c.GetDisableFlowlog(),
		STPConfig:           eve.STPConfig{PortsWithBpduGuard: c.GetStp().GetPortsWithBpduGuard()},
		ForwardLLDP:         c.GetForwardLldp(),
	}
	var errs []error
	if c.GetMtu() > math.MaxUint16 {
		errs = append(errs, fmt.Errorf("%d is not an MTU", c.GetMtu()))
	} else {
		n.MTU = uint16(c.GetMtu())
	}
	for _, v := range c.GetVlanAccessPorts() {
		const vlanBits = 0xfff
		n.VlanAccessPorts = append(n.VlanAccessPorts, eve.VlanAccessPort{VlanID: uint16(v.GetVlanId() & vlanBits), PortLabel: v.GetAccessPort()})
	}
	routes, routeErrs := staticRoutes(c.GetStaticRoutes())
	n.StaticRoutes = routes
	errs = append(errs, routeErrs...)
	if n.Type == eve.NetworkInstanceTypeSwitch {
		n.IpType = eve.AddressTypeNone
	}
	if n.IpType != eve.AddressTypeNone {
		errs = append(errs, addressing(c.GetIp(), &n)...)
		records, recordErrs := dnsRecords(c.GetDns())
		n.DnsNameToIPList = records
		for _, err := range recordErrs {
			p.note("%s: %w", what, err) // zedagent goes on without the address
		}
	} else if n.Type == eve.NetworkInstanceTypeLocal {
		errs = append(errs, errors.New("a local network instance needs an address type"))
	}
	if err := errors.Join(errs...); err != nil {
		n.Error = err.Error()
		n.ErrorTime = p.now
		n.ErrorSeverity = eve.ErrorSeverityError
	}
	for _, err := range errs {
		p.note("%s: %w", what, err)
	}
	return n
}

// addressing reads the addresses of a network, and completes them where the message leaves it to EVE.
func addressing(ip *evecommon.Ipspec, n *eve.NetworkInstanceConfig) []error {
	var errs []error
	n.DomainName = ip.GetDomain()
	for _, s := range append([]string{ip.GetNtp()}, ip.GetMoreNtp()...) {
		if s != "" {
			n.NtpServers = append(n.NtpServers, eve.HostnameOrIP(s))
		}
	}
	for _, s := range ip.GetDns() {
		a := net.ParseIP(s)
		if a == nil {
			errs = append(errs, fmt.Errorf("DNS server %q is not an IP address", s))
			continue
		}
		n.DnsServers = append(n.DnsServers, a)
	}
	prefix, err := netip.ParsePrefix(ip.GetSubnet())
	if err != nil {
		return append(errs, fmt.Errorf("subnet %q is not in CIDR notation", ip.GetSubnet()))
	}
	s := feed.Subnet{Prefix: prefix.Masked()}
	n.Subnet = &net.IPNet{IP: s.Prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
	for _, f := range []struct {
		what, text string
		addr       *netip.Addr
	}{
		{"gateway", ip.GetGateway(), &s.Gateway},
		{"start of the DHCP range", ip.GetDhcpRange().GetStart(), &s.Start},
		{"end of the DHCP range", ip.GetDhcpRange().GetEnd(), &s.End},
	} {
		if f.text == "" {
			continue
		}
		if *f.addr, err = netip.ParseAddr(f.text); err != nil || f.addr.Zone() != "" {
			*f.addr = netip.Addr{}
			errs = append(errs, fmt.Errorf("%s %q is not an IP address", f.what, f.text))
		}
	}
	if len(errs) == 0 {
		if s, err = s.Complete(); err != nil {
			errs = append(errs, err)
		} else {
			s = s.Limited()
		}
	}
	n.Gateway = s.Gateway.AsSlice()
	n.DhcpRange = eve.IPRange{Start: s.Start.AsSlice(), End: s.End.AsSlice()}
	return errs
}

// dnsRecords reads static records. An address that is none is left out, and its record stays.
func dnsRecords(list []*evecommon.ZnetStaticDNSEntry) ([]eve.DNSNameToIP, []error) {
	var errs []error
	records := make([]eve.DNSNameToIP, len(list))
	for i, c := range list {
		records[i] = eve.DNSNameToIP{HostName: c.GetHostName(), IPs: []net.IP{}}
		for _, s := range c.GetAddress() {
			a := net.ParseIP(s)
			if a == nil {
				errs = append(errs, fmt.Errorf("address %q of %q is not an IP address", s, c.GetHostName()))
				continue
			}
			records[i].IPs = append(records[i].IPs, a)
		}
	}
	return records, errs
}

func staticRoutes(list []*config.IPRoute) ([]eve.IPRouteConfig, []error) {
	var (
		routes []eve.IPRouteConfig
		errs   []error
	)
	for _, c := range list {
		_, dst, err := net.ParseCIDR(c.GetDestinationNetwork())
		if err != nil {
			errs = append(errs, fmt.Errorf("destination %q of a route is not in CIDR notation", c.GetDestinationNetwork()))
			continue
		}
		gateway := net.ParseIP(c.GetGateway())
		if gateway == nil && c.GetGateway() != "" {
			errs = append(errs, fmt.Errorf("gateway %q of the route to %v is not an IP address", c.GetGateway(), dst))
			continue
		}
		probe := c.GetProbe()
		routes = append(routes, eve.IPRouteConfig{
			DstNetwork:      dst,
			Gateway:         gateway,
			OutputPortLabel: c.GetPort(),
			PortProbe: eve.NIPortProbe{
				EnabledGwPing: probe.GetEnableGwPing(),
				GwPingMaxCost: clamp(int64(probe.GetGwPingMaxCost())),
				UserDefinedProbe: eve.ConnectivityProbe{
					Method:    eve.ConnectivityProbeMethod(clamp(int64(probe.GetCustomProbe().GetProbeMethod()))),
					ProbeHost: probe.GetCustomProbe().GetProbeEndpoint().GetHost(),
					ProbePort: uint16(probe.GetCustomProbe().GetProbeEndpoint().GetPort()),
				},
			},
			PreferLowerCost:          c.GetPreferLowerCost(),
			PreferStrongerWwanSignal: c.GetPreferStrongerWwanSignal(),
		})
	}
	return routes, errs
}
