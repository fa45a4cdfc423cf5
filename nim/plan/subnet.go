// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// NewSubnet returns the subnet of prefix, out of which first to last, both included, may be given away. An end of the
// range that is not valid means the first or the last address that a guest can have. Reserved addresses go to nobody.
//
// It is an error when the range leaves the subnet or is the wrong way round, and when the subnet has no address that a
// guest can have. The subnet's own and its broadcast address never are such (RFC 1122, 3.2.1.3; RFC 3021 excepts
// subnets of two), nor is IPv6's subnet-router anycast address (RFC 4291, 2.6.1); ranges are cut back to what is left.
func NewSubnet(prefix netip.Prefix, first, last netip.Addr, reserved ...netip.Addr) (Subnet, error) {
	s := Subnet{Prefix: prefix.Masked(), Reserved: reserved}
	lowest, highest := hosts(s.Prefix)
	for _, end := range []netip.Addr{first, last} {
		if end.IsValid() && !s.Prefix.Contains(end) {
			return Subnet{}, fmt.Errorf("use a range with %s in subnet %s: %w", end, s.Prefix, ErrOutside)
		}
	}
	s.First, s.Last = lowest, highest
	if first.IsValid() && lowest.Less(first) {
		s.First = first
	}
	if last.IsValid() && last.Less(highest) {
		s.Last = last
	}
	if s.Last.Less(s.First) {
		return Subnet{}, fmt.Errorf("use the range %s to %s of subnet %s: %w", s.First, s.Last, s.Prefix, ErrExhausted)
	}
	return s, nil
}

// hosts returns the first and the last address that a host can have.
func hosts(p netip.Prefix) (first, last netip.Addr) {
	first = p.Addr()
	last = advanceBits(first, p.Bits())
	switch room := first.BitLen() - p.Bits(); {
	case room < 2: // point-to-point, or a single address
	case first.Is4():
		first, last = first.Next(), last.Prev()
	default:
		first = first.Next()
	}
	return first, last
}

// advanceBits returns the last address of the prefix with that many bits.
func advanceBits(a netip.Addr, bits int) netip.Addr {
	b := a.AsSlice()
	for i := bits; i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// Usable tells whether a guest in the subnet may have an address when nobody else does.
func (s Subnet) Usable(a netip.Addr) bool {
	first, last := hosts(s.Prefix)
	return a.BitLen() == first.BitLen() && !a.Less(first) && !last.Less(a) && !slices.Contains(s.Reserved, a)
}

// distance returns how many addresses last is behind first, or the greatest number there is.
func distance(first, last netip.Addr) uint64 {
	fh, fl := halves(first)
	lh, ll := halves(last)
	diff := ll - fl
	if lh -= fh; ll < fl {
		lh--
	}
	if lh != 0 {
		return ^uint64(0)
	}
	return diff
}

// advance returns the address that is n behind a.
func advance(a netip.Addr, n uint64) netip.Addr {
	hi, lo := halves(a)
	sum := lo + n
	if sum < lo {
		hi++
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], hi)
	binary.BigEndian.PutUint64(b[8:], sum)
	next := netip.AddrFrom16(b)
	if a.Is4() {
		return next.Unmap()
	}
	return next
}

func halves(a netip.Addr) (hi, lo uint64) {
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}
