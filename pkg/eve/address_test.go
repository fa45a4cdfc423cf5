// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"encoding/json"
	"net"
	"net/netip"
	"testing"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

func TestAddr(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		ip   net.IP
		want netip.Addr
	}{
		{"none", nil, netip.Addr{}},
		{"IPv4", net.IPv4(10, 0, 0, 1), netip.MustParseAddr("10.0.0.1")},
		{"IPv4 in four bytes", net.IPv4(10, 0, 0, 1).To4(), netip.MustParseAddr("10.0.0.1")},
		{"IPv6", net.ParseIP("fd00::1"), netip.MustParseAddr("fd00::1")},
		{"no address", net.IP{1, 2, 3}, netip.Addr{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := eve.Addr(test.ip); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestPrefix(t *testing.T) {
	t.Parallel()
	var read *net.IPNet
	if err := json.Unmarshal([]byte(`{"IP":"10.11.12.0","Mask":"////AA=="}`), &read); err != nil {
		t.Fatal(err)
	}
	ip4, ip6 := net.IPv4(10, 1, 2, 3), net.ParseIP("fd00::1")
	for _, test := range []struct {
		name string
		net  *net.IPNet
		want netip.Prefix
	}{
		{"none", nil, netip.Prefix{}},
		{"from JSON", read, netip.MustParsePrefix("10.11.12.0/24")},
		{"with the address of a host", &net.IPNet{IP: ip4, Mask: net.CIDRMask(16, 32)}, netip.MustParsePrefix("10.1.2.3/16")},
		{"IPv6", &net.IPNet{IP: ip6, Mask: net.CIDRMask(64, 128)}, netip.MustParsePrefix("fd00::1/64")},
		{"mask with holes", &net.IPNet{IP: ip4, Mask: net.IPv4Mask(255, 0, 255, 0)}, netip.Prefix{}},
		{"mask of the other family", &net.IPNet{IP: ip4, Mask: net.CIDRMask(64, 128)}, netip.Prefix{}},
		{"no mask", &net.IPNet{IP: ip4}, netip.Prefix{}},
		{"no address", &net.IPNet{Mask: net.CIDRMask(8, 32)}, netip.Prefix{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := eve.Prefix(test.net); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
