// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"slices"
)

// MetadataPrefixes are the addresses at which guests ask for metadata, as an interface has them: a link-local one of IPv4
// (RFC 3927, RFC 6890) by every cloud's custom, its counterpart of IPv6 as OpenStack has it, and EC2's of IPv6.
func MetadataPrefixes() []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254, 169, 254}), 32),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 12: 0xa9, 13: 0xfe, 14: 0xa9, 15: 0xfe}), 64),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 2: 0x0e, 3: 0xc2, 14: 0x02, 15: 0x54}), 128),
	}
}

// isMetadata tells whether an address is one that guests ask at, whatever prefix it was given with.
func isMetadata(p netip.Prefix) bool {
	return slices.ContainsFunc(MetadataPrefixes(), func(m netip.Prefix) bool { return m.Addr() == p.Addr() })
}

// notKernels tells whether an address is none of those that the kernel gives each interface by itself.
func notKernels(p netip.Prefix) bool { return p.Addr().Is4() || !p.Addr().IsLinkLocalUnicast() }
