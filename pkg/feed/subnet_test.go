// SPDX-License-Identifier: Apache-2.0

package feed_test

import (
	"net/netip"
	"testing"

	"github.com/lf-edge/eve-metadata/pkg/feed"
)

func TestSubnetComplete(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, prefix, gateway, start, end         string
		wantGateway, wantStart, wantEnd, wantFail string
	}{
		{name: "defaults", prefix: "10.11.12.0/24", wantGateway: "10.11.12.1", wantStart: "10.11.12.128", wantEnd: "10.11.12.254"},
		{name: "all said", prefix: "10.11.12.0/24", gateway: "10.11.12.7", start: "10.11.12.20", end: "10.11.12.30",
			wantGateway: "10.11.12.7", wantStart: "10.11.12.20", wantEnd: "10.11.12.30"},
		{name: "only the end", prefix: "10.11.12.0/24", end: "10.11.12.30", wantGateway: "10.11.12.1", wantStart: "10.11.12.2", wantEnd: "10.11.12.30"},
		{name: "smallest", prefix: "10.11.12.0/28", wantGateway: "10.11.12.1", wantStart: "10.11.12.8", wantEnd: "10.11.12.14"},
		{name: "too small", prefix: "10.11.12.0/29", wantFail: "subnet 10.11.12.0/29 has 8 addresses: more than 8 are needed"},
		{name: "large", prefix: "10.1.0.0/16", wantGateway: "10.1.0.1", wantStart: "10.1.128.0", wantEnd: "10.1.255.254"},
		{name: "largest", prefix: "0.0.0.0/0", wantGateway: "0.0.0.1", wantStart: "128.0.0.0", wantEnd: "255.255.255.254"},
		{name: "host bits", prefix: "10.11.12.13/24", wantGateway: "10.11.12.1", wantStart: "10.11.12.128", wantEnd: "10.11.12.254"},
		{name: "IPv6", prefix: "fd00::/64", wantGateway: "fd00::1", wantStart: "fd00::8000:0", wantEnd: "fd00::ffff:fffe"},
		{name: "ends nobody may have", prefix: "10.11.12.0/24", start: "10.11.12.0", end: "10.11.12.255",
			wantGateway: "10.11.12.1", wantStart: "10.11.12.2", wantEnd: "10.11.12.254"},
		{name: "gateway in the range", prefix: "10.11.12.0/24", gateway: "10.11.12.200", wantFail: "gateway 10.11.12.200 is inside the DHCP range 10.11.12.128 - 10.11.12.254"},
		{name: "gateway outside", prefix: "10.11.12.0/24", gateway: "10.11.13.1", wantFail: "gateway 10.11.13.1 is not in 10.11.12.0/24"},
		{name: "gateway is the network", prefix: "10.11.12.0/24", gateway: "10.11.12.0", wantFail: "gateway 10.11.12.0 is not the address of one host in 10.11.12.0/24"},
		{name: "gateway is the broadcast", prefix: "10.11.12.0/24", gateway: "10.11.12.255", wantFail: "gateway 10.11.12.255 is not the address of one host in 10.11.12.0/24"},
		{name: "other family", prefix: "10.11.12.0/24", start: "fd00::1", wantFail: "start of the DHCP range fd00::1 is not in 10.11.12.0/24"},
		{name: "upside down", prefix: "10.11.12.0/24", start: "10.11.12.9", end: "10.11.12.3", wantFail: "DHCP range ends with 10.11.12.3 before it starts with 10.11.12.9"},
		{name: "no subnet", wantFail: "no subnet"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := feed.Subnet{Gateway: addr(t, tt.gateway), Start: addr(t, tt.start), End: addr(t, tt.end)}
			if tt.prefix != "" {
				s.Prefix = netip.MustParsePrefix(tt.prefix)
			}
			got, err := s.Complete()
			if tt.wantFail != "" {
				if err == nil || err.Error() != tt.wantFail {
					t.Errorf("got error %v, want %s", err, tt.wantFail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Gateway != addr(t, tt.wantGateway) || got.Start != addr(t, tt.wantStart) || got.End != addr(t, tt.wantEnd) {
				t.Errorf("got %v, %v - %v, want %s, %s - %s", got.Gateway, got.Start, got.End, tt.wantGateway, tt.wantStart, tt.wantEnd)
			}
			if again, err := got.Complete(); err != nil || again != got {
				t.Errorf("completed twice: got %v, %v, want %v", again, err, got)
			}
		})
	}
}

func TestSubnetRouted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, prefix, gateway, wantGateway, wantFail string }{
		{name: "default", prefix: "10.11.12.0/24", wantGateway: "10.11.12.1"},
		{name: "where a range would be", prefix: "10.11.12.0/24", gateway: "10.11.12.254", wantGateway: "10.11.12.254"},
		{name: "for two hosts", prefix: "10.11.12.4/30", wantGateway: "10.11.12.5"},
		{name: "IPv6", prefix: "fd00::/64", wantGateway: "fd00::1"},
		{name: "for one host", prefix: "10.11.12.4/32", wantFail: "gateway 10.11.12.5 is not in 10.11.12.4/32"},
		{name: "gateway outside", prefix: "10.11.12.0/24", gateway: "10.11.13.1", wantFail: "gateway 10.11.13.1 is not in 10.11.12.0/24"},
		{name: "gateway is the broadcast", prefix: "10.11.12.0/24", gateway: "10.11.12.255", wantFail: "gateway 10.11.12.255 is not the address of one host in 10.11.12.0/24"},
		{name: "no subnet", wantFail: "no subnet"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := feed.Subnet{Gateway: addr(t, tt.gateway), Start: addr(t, "10.11.12.9"), End: addr(t, "10.11.12.10")}
			if tt.prefix != "" {
				s.Prefix = netip.MustParsePrefix(tt.prefix)
			}
			got, err := s.Routed()
			if tt.wantFail != "" {
				if err == nil || err.Error() != tt.wantFail {
					t.Errorf("got error %v, want %s", err, tt.wantFail)
				}
				return
			}
			want := feed.Subnet{Prefix: s.Prefix, Gateway: addr(t, tt.wantGateway)}
			if err != nil || got != want {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
		})
	}
}

func TestSubnetLimited(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, prefix, start, end, want string }{
		{"larger", "10.1.0.0/16", "10.1.0.2", "10.1.255.254", "10.1.1.1"},
		{"as large", "10.1.0.0/16", "10.1.0.2", "10.1.1.1", "10.1.1.1"},
		{"smaller", "10.1.0.0/16", "10.1.0.2", "10.1.0.3", "10.1.0.3"},
		{"at the end of all addresses", "255.255.0.0/16", "255.255.255.128", "255.255.255.254", "255.255.255.254"},
		{"IPv6", "fd00::/64", "fd00::10", "fd00::ffff", "fd00::10f"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := feed.Subnet{Prefix: netip.MustParsePrefix(tt.prefix), Start: addr(t, tt.start), End: addr(t, tt.end)}
			want := s
			if want.End = addr(t, tt.want); s.Limited() != want {
				t.Errorf("got %v, want %v", s.Limited(), want)
			}
		})
	}
}

func addr(t *testing.T, s string) netip.Addr {
	t.Helper()
	if s == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestStep(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, from string
		n          uint64
		want       string
	}{
		{"zero", "10.0.0.1", 0, "10.0.0.1"},
		{"carry", "10.0.0.255", 2, "10.0.1.1"},
		{"past the last IPv4", "255.255.255.255", 1, ""},
		{"IPv6", "fd00::ffff", 1, "fd00::1:0"},
		{"half of IPv6 is over", "fd00::ffff:ffff:ffff:ffff", 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := feed.Step(addr(t, tt.from), tt.n); got != addr(t, tt.want) {
				t.Errorf("got %v, want %s", got, tt.want)
			}
		})
	}
}
