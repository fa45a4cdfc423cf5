// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/binary"
	"net/netip"
)

// MaxTransits is how many uplinks a host can have.
const MaxTransits = 1 << 14

// TransitPrefix and TransitPrefix6 are where the addresses of uplinks come from: the end of the space that RFC 6598 keeps
// for what lies between a network and its way out, and a unique local prefix (RFC 4193). They are seen on this host only.
func TransitPrefix() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 127, 128, 0}), 17)
}

// TransitPrefix6 is TransitPrefix for IPv6.
func TransitPrefix6() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 0x65, 0x76, 0x65, 0x2d, 0x6d}), 48)
}

// NewUplink returns the uplink of an app network, given its network instance's UUID as text and its number among the
// host's uplinks, 0 to MaxTransits-1, that it shares with no other. Its addresses are a subnet of two (RFC 3021, RFC 6164).
func NewUplink(network string, number int, via string, ipv6 bool) *Uplink {
	host := advance(TransitPrefix().Addr(), uint64(2*number))
	u := &Uplink{
		Port: UplinkName(network),
		Host: netip.PrefixFrom(host, 31), Inner: netip.PrefixFrom(host.Next(), 31),
		Via: via,
	}
	if ipv6 {
		host := advance(TransitPrefix6().Addr(), uint64(2*number))
		u.Host6, u.Inner6 = netip.PrefixFrom(host, 127), netip.PrefixFrom(host.Next(), 127)
	}
	return u
}

// TransitOf returns where the search for an app network's number among the host's uplinks begins.
func TransitOf(network string) int {
	sum := digest("uplink", network, "", 0)
	return int(binary.BigEndian.Uint16(sum[:]) % MaxTransits)
}
