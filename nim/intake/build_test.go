// SPDX-License-Identifier: Apache-2.0

package intake_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lf-edge/eve-metadata/nim/dnsmasq"
	"github.com/lf-edge/eve-metadata/nim/intake"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// build builds network blue with one app instance, web, on it.
func build(t *testing.T, n eve.NetworkInstanceConfig, m eve.NetworkMetadata, adapters ...eve.AppNetAdapterConfig) intake.Result {
	t.Helper()
	table := intake.NewTable()
	web := app("web", adapters...)
	web.DisplayName = "web"
	if err := errors.Join(table.SetNetwork(key("blue"), n), table.SetApp(key("web"), web)); err != nil {
		t.Fatal(err)
	}
	table.SetNetworkMetadata(key("blue"), m)
	return intake.Build(table.Network(key("blue")), nil, false)
}

func subnet6(text string) *net.IPNet {
	p := netip.MustParsePrefix(text)
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 128)}
}

// prefixes returns addresses as text.
func prefixes(all []netip.Prefix) (texts []string) {
	for _, p := range all {
		texts = append(texts, p.String())
	}
	return texts
}

// Where a network is, and which addresses the interface there is to have.
func TestPlaces(t *testing.T) {
	t.Parallel()
	metadata := prefixes(plan.MetadataPrefixes())
	tests := []struct {
		name      string
		about     eve.NetworkMetadata
		want      plan.Network // but for the bridge's addresses, MAC address and MTU
		addresses []string
		err       error
	}{
		{"managed", eve.NetworkMetadata{},
			plan.Network{Namespace: plan.NamespaceName(key("blue")), Bridge: plan.Bridge{Name: "br0"}}, append([]string{"10.11.12.1/24"}, metadata...), nil},
		{"dual stack", eve.NetworkMetadata{Subnet6: subnet6("fd00:1::/64")},
			plan.Network{Namespace: plan.NamespaceName(key("blue")), Bridge: plan.Bridge{Name: "br0"}},
			append([]string{"10.11.12.1/24", "fd00:1::1/64"}, metadata...), nil},
		{"namespace", eve.NetworkMetadata{Namespace: "/run/netns/pod"},
			plan.Network{Namespace: "/run/netns/pod", Attach: plan.Existing, Bridge: plan.Bridge{Name: "lo"}}, metadata, nil},
		{"bridge", eve.NetworkMetadata{Bridge: "bn1"},
			plan.Network{Attach: plan.OnBridge, Bridge: plan.Bridge{Name: "bn1"}}, metadata, nil},
		{"two places", eve.NetworkMetadata{Bridge: "bn1", Namespace: "/run/netns/pod"}, plan.Network{}, nil, intake.ErrInvalid},
		{"namespace without a path", eve.NetworkMetadata{Namespace: "pod"}, plan.Network{}, nil, intake.ErrInvalid},
		{"bridge of no name", eve.NetworkMetadata{Bridge: "../bn1"}, plan.Network{}, nil, intake.ErrInvalid},
		{"bridge of a long name", eve.NetworkMetadata{Bridge: "bn34567890123456"}, plan.Network{}, nil, intake.ErrInvalid},
		{"second subnet of IPv4", eve.NetworkMetadata{Subnet6: &net.IPNet{IP: ip("10.1.0.0").To4(), Mask: net.CIDRMask(16, 32)}}, plan.Network{}, nil, intake.ErrInvalid},
		{"gateway outside of the second subnet", eve.NetworkMetadata{Subnet6: subnet6("fd00:1::/64"), Gateway6: ip("fd00:2::1")}, plan.Network{}, nil, plan.ErrOutside},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := build(t, local("blue"), tt.about)
			if !errors.Is(r.Err, tt.err) || (r.Err == nil) != (tt.err == nil) {
				t.Fatalf("error %v, want %v", r.Err, tt.err)
			}
			if tt.err != nil {
				return
			}
			if diff := cmp.Diff(tt.want, r.Network, cmpopts.IgnoreFields(plan.Bridge{}, "Addresses", "MAC", "MTU"),
				cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Errorf("network (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.addresses, prefixes(r.Network.Bridge.Addresses)); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		})
	}
}

// What guests have in each kind of network, and what they may send from.
func TestGuestAddresses(t *testing.T) {
	t.Parallel()
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	adapter := on("blue", "eth0")
	adapter.AppMacAddr, adapter.AppIPAddr = mac, ip("10.11.12.5")
	free := on("blue", "eth0")
	free.AppMacAddr = mac
	ipv6 := local("blue", func(n *eve.NetworkInstanceConfig) {
		n.Subnet, n.Gateway, n.DhcpRange = subnet6("fd00:1::/64"), nil, eve.IPRange{Start: ip("fd00:1::5"), End: ip("fd00:1::5")}
	})
	router := local("blue", func(n *eve.NetworkInstanceConfig) {
		n.StaticRoutes = []eve.IPRouteConfig{{DstNetwork: subnet6("::/0"), Gateway: ip("10.11.12.5")}}
	})
	tests := []struct {
		name    string
		network eve.NetworkInstanceConfig
		about   eve.NetworkMetadata
		adapter eve.AppNetAdapterConfig
		want    []string
		any     bool
	}{
		{"IPv4", local("blue"), eve.NetworkMetadata{}, adapter, []string{"10.11.12.5"}, false},
		{"dual stack, DHCPv6", local("blue"), eve.NetworkMetadata{Subnet6: subnet6("fd00:1::/64"), DhcpRange6: eve.IPRange{Start: ip("fd00:1::7"), End: ip("fd00:1::7")}},
			adapter, []string{"10.11.12.5", "fd00:1::7"}, false},
		{"dual stack, SLAAC", local("blue"), eve.NetworkMetadata{Subnet6: subnet6("fd00:1::/64"), SLAAC: true},
			adapter, []string{"10.11.12.5", "fd00:1::ff:fe00:1"}, false},
		{"IPv6 only", ipv6, eve.NetworkMetadata{}, free, []string{"fd00:1::5"}, false},
		{"IPv6 only, SLAAC", ipv6, eve.NetworkMetadata{SLAAC: true}, free, []string{"fd00:1::ff:fe00:1"}, false},
		{"a router for others", router, eve.NetworkMetadata{}, adapter, []string{"10.11.12.5"}, true},
		{"switch", local("blue", func(n *eve.NetworkInstanceConfig) { n.Type, n.Subnet = eve.NetworkInstanceTypeSwitch, nil }), eve.NetworkMetadata{}, free, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := build(t, tt.network, tt.about, tt.adapter)
			if err := errors.Join(r.Err, r.Leases[0].Err); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range r.Network.Ports[0].Addresses {
				got = append(got, a.String())
			}
			if made := r.Network.SLAAC; made.IsValid() != tt.about.SLAAC || made.IsValid() && made != netip.MustParsePrefix("fd00:1::/64") {
				t.Errorf("guests make addresses in %v", made)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || r.Network.Ports[0].AnyAddress != tt.any {
				t.Errorf("any address %t, want %t; addresses (-want +got):\n%s", r.Network.Ports[0].AnyAddress, tt.any, diff)
			}
		})
	}
}

// In a place of others nothing is given out: an adapter has what its config says.
func TestNothingGivenOut(t *testing.T) {
	t.Parallel()
	for _, about := range []eve.NetworkMetadata{{Bridge: "bn1"}, {Namespace: "/run/netns/pod"}} {
		fixed := on("blue", "eth0")
		fixed.AppIPAddr = ip("10.11.12.5")
		r := build(t, local("blue"), about, fixed, on("blue", "eth1"))
		if got := [2]string{r.Leases[0].IPv4.String(), r.Leases[1].IPv4.String()}; got != [2]string{"10.11.12.5", "invalid IP"} {
			t.Errorf("in %+v adapters have %v", about, got)
		}
		if len(r.Network.Ports) != 0 || r.Leases[0].Port != "" || errors.Join(r.Err, r.Leases[0].Err, r.Leases[1].Err) != nil {
			t.Errorf("in %+v: ports %v, leases %+v, %v", about, r.Network.Ports, r.Leases, r.Err)
		}
	}
}

// A network that wants a way out has an uplink of its own number.
func TestUplink(t *testing.T) {
	t.Parallel()
	for label, want := range map[string]*plan.Uplink{
		"":       nil,
		"uplink": plan.NewUplink(key("blue"), 7, "", false),
		"eth0":   plan.NewUplink(key("blue"), 7, "eth0", false),
	} {
		n := local("blue", func(n *eve.NetworkInstanceConfig) { n.PortLabel = label })
		r := intake.Build(intake.Input{Network: key("blue"), Config: &n, Transit: 7}, nil, false)
		if diff := cmp.Diff(want, r.Network.Uplink, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" || r.Err != nil {
			t.Errorf("uplink by %q: %v (-want +got):\n%s", label, r.Err, diff)
		}
	}
}

// What the server of a network is told, and which networks have one.
func TestServer(t *testing.T) {
	t.Parallel()
	adapter := on("blue", "eth0")
	adapter.AppMacAddr, adapter.AppIPAddr = net.HardwareAddr{2, 0, 0, 0, 0, 1}, ip("10.11.12.5")
	n := local("blue", func(n *eve.NetworkInstanceConfig) {
		n.DomainName, n.DnsServers, n.NtpServers = "Blue.Example.com.", []net.IP{ip("10.11.12.1"), ip("192.0.2.53")}, []eve.HostnameOrIP{"192.0.2.123", "ntp.example.com"}
		n.DnsNameToIPList = []eve.DNSNameToIP{{HostName: "nas", IPs: []net.IP{ip("10.11.12.200")}}}
		n.StaticRoutes = []eve.IPRouteConfig{{DstNetwork: &net.IPNet{IP: ip("10.1.0.0").To4(), Mask: net.CIDRMask(16, 32)}, Gateway: ip("10.11.12.7")}}
	})
	about := eve.NetworkMetadata{
		Subnet6: subnet6("fd00:1::/64"), SLAAC: true, LeaseTime: 60, SearchDomains: []string{"example.net"},
		NamePrefix: "vm-", NameOrder: []string{eve.NameBase, eve.NameDomain},
	}
	r := build(t, n, about, adapter)
	want := &dnsmasq.Network{
		Interface: "br0", Domain: "blue.example.com", Search: []string{"example.net"}, MTU: 1500, LeaseTime: 2 * time.Minute,
		IPv4:  dnsmasq.Subnet{Prefix: netip.MustParsePrefix("10.11.12.0/24"), Router: netip.MustParseAddr("10.11.12.1")},
		IPv6:  dnsmasq.Subnet{Prefix: netip.MustParsePrefix("fd00:1::/64"), Router: netip.MustParseAddr("fd00:1::1")},
		SLAAC: true, DHCP: true, DNS: true,
		Upstream: []netip.Addr{netip.MustParseAddr("192.0.2.53")},
		NTP:      []netip.Addr{netip.MustParseAddr("192.0.2.123")},
		Routes:   []dnsmasq.Route{{Dst: netip.MustParsePrefix("10.1.0.0/16"), Via: netip.MustParseAddr("10.11.12.7")}},
		Metadata: netip.MustParseAddr("169.254.169.254"),
		Records:  []dnsmasq.Record{{Name: "nas", Addrs: []netip.Addr{netip.MustParseAddr("10.11.12.200")}}},
		Guests: []dnsmasq.Guest{{
			App: key("web"), Adapter: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, MTU: 1500,
			IPv4: netip.MustParseAddr("10.11.12.5"), IPv6: netip.MustParseAddr("fd00:1::ff:fe00:1"),
			Names: dnsmasq.Names("web", "vm-", "blue.example.com", []string{"base", "domain"}),
		}},
	}
	if diff := cmp.Diff(want, r.Server, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" || r.Err != nil {
		t.Errorf("server: %v (-want +got):\n%s", r.Err, diff)
	}

	for name, about := range map[string]eve.NetworkMetadata{
		"served by nobody":     {NoDHCP: true, NoDNS: true},
		"bridge of others":     {Bridge: "bn1"},
		"namespace of another": {Namespace: "/run/netns/pod"},
	} {
		if r := build(t, n, about, adapter); r.Server != nil || r.Err != nil {
			t.Errorf("%s: a server %+v, error %v", name, r.Server, r.Err)
		}
	}
	if r := build(t, n, eve.NetworkMetadata{NoDNS: true}, adapter); r.Server == nil || r.Server.DNS || len(r.Server.Nameservers) != 2 || len(r.Server.Upstream) != 0 {
		t.Errorf("without DNS, guests are told of others' servers: %+v", r.Server)
	}
}
