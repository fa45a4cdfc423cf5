// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"net"
	"testing"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

func TestServes(t *testing.T) {
	t.Parallel()
	four := &net.IPNet{IP: net.IPv4(10, 0, 0, 0), Mask: net.CIDRMask(24, 32)}
	six := &net.IPNet{IP: net.ParseIP("fd00::"), Mask: net.CIDRMask(64, 128)}
	const local, bridge = eve.NetworkInstanceTypeLocal, eve.NetworkInstanceTypeSwitch
	for _, tt := range []struct {
		name      string
		kind      eve.NetworkInstanceType
		subnet    *net.IPNet
		said      eve.NetworkMetadata
		dhcp, dns bool
	}{
		{"local", local, four, eve.NetworkMetadata{}, true, true},
		{"local, of IPv6", local, six, eve.NetworkMetadata{}, true, true},
		{"local, of IPv6 beside nothing", local, nil, eve.NetworkMetadata{Subnet6: six}, true, true},
		{"local, without a subnet", local, nil, eve.NetworkMetadata{}, false, false},
		{"no DHCP", local, four, eve.NetworkMetadata{NoDHCP: true}, false, true},
		{"no DNS", local, four, eve.NetworkMetadata{NoDNS: true}, true, false},
		{"a switch", bridge, four, eve.NetworkMetadata{}, false, false},
		{"in a namespace of others", local, four, eve.NetworkMetadata{Namespace: "/run/netns/pod"}, false, false},
		{"on a bridge of others", local, four, eve.NetworkMetadata{Bridge: "bn1"}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := &eve.NetworkInstanceConfig{Type: tt.kind, Subnet: tt.subnet}
			if dhcp, dns := eve.ServesDHCP(c, &tt.said), eve.ServesDNS(c, &tt.said); dhcp != tt.dhcp || dns != tt.dns {
				t.Errorf("DHCP %t, DNS %t; want %t, %t", dhcp, dns, tt.dhcp, tt.dns)
			}
		})
	}
}
