// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"net"
	"net/netip"
)

// Addr returns an address of a topic as the rest of the program has addresses: unmapped. It is the zero
// Addr for none, and for what has the length of no address.
func Addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// Prefix returns a subnet of a topic with its address as it was given. It is the zero Prefix for none, and
// for one whose mask has holes or is of another family than its address. (An IPv4 subnet that was read from
// JSON has an address of 16 bytes and a mask of 4.)
func Prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a := Addr(n.IP)
	ones, bits := n.Mask.Size()
	if !a.IsValid() || bits != a.BitLen() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, ones)
}
