// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// EVE's rules for the subnet of a local network instance (EVE, zedagent).
const (
	// minSubnet is the number of addresses that a subnet must exceed: a /28 is the smallest.
	minSubnet = 8
	// maxRange is by how much the last address of a DHCP range may exceed the first: EVE counts dynamic addresses in
	// a map of 256 bits.
	maxRange = 255
	// maxCount stands for the number of addresses of a subnet where that does not matter any more; no IPv4 subnet
	// reaches it.
	maxCount = 1 << 32
)

// Subnet is the addressing of one local network: the gateway is the service's own address, and the range, both ends
// included, is what guests without a fixed address get theirs from. A zero Addr means "not said".
type Subnet struct {
	Prefix     netip.Prefix
	Gateway    netip.Addr
	Start, End netip.Addr
}

// Complete returns the subnet with everything that was not said filled in, as EVE's zedagent does: the gateway is the
// first host, the range is the upper half of the subnet (the lower one being for fixed addresses), or begins with the
// second host when only its end is said. An address of the subnet's own or of its broadcast at an end of the range is
// stepped over, and so is the gateway at its start. Zedagent then calls what is here Limited.
//
// It is an error when the subnet has 8 addresses or fewer, when an address is not in it, when the range is upside down,
// or when the gateway is inside the range. What could be completed is returned even then.
func (s Subnet) Complete() (Subnet, error) {
	if !s.Prefix.IsValid() {
		return s, errors.New("no subnet")
	}
	s.Prefix = s.Prefix.Masked()
	count := countOf(s.Prefix)
	if count <= minSubnet {
		return s, fmt.Errorf("subnet %v has %d addresses: more than %d are needed", s.Prefix, count, minSubnet)
	}
	first := s.Prefix.Addr()
	if !s.Gateway.IsValid() {
		s.Gateway = Step(first, 1)
	}
	start := uint64(2)
	if !s.End.IsValid() {
		start = count / 2
		s.End = Step(first, count-2)
	}
	if !s.Start.IsValid() {
		s.Start = Step(first, start)
	}
	s = s.stepOver(Step(first, count-1))
	return s, s.check()
}

// Routed returns the subnet of a network in which others hand out addresses: the gateway is filled in, as by Complete, and
// there is no range. It is an error when the gateway is not the address of one host in the subnet.
func (s Subnet) Routed() (Subnet, error) {
	if !s.Prefix.IsValid() {
		return s, errors.New("no subnet")
	}
	s.Prefix = s.Prefix.Masked()
	if !s.Gateway.IsValid() {
		s.Gateway = Step(s.Prefix.Addr(), 1)
	}
	s.Start, s.End = netip.Addr{}, netip.Addr{}
	return s, s.checkGateway()
}

// Limited returns a completed subnet with a range of at most 256 addresses, as EVE's zedagent makes it of what a
// controller says. A range that a person wrote down is meant: nobody would look for the reason of its end elsewhere.
func (s Subnet) Limited() Subnet {
	if limit := Step(s.Start, maxRange); limit.IsValid() && limit.Less(s.End) {
		s.End = limit
	}
	return s
}

// stepOver moves the ends of the range off addresses that no guest may have.
func (s Subnet) stepOver(last netip.Addr) Subnet {
	if s.Start == s.Prefix.Addr() {
		s.Start = s.Start.Next()
	}
	if s.Start == s.Gateway {
		s.Start = s.Start.Next()
	}
	if s.End == last && s.Prefix.Addr().Is4() {
		s.End = s.End.Prev()
	}
	return s
}

func (s Subnet) check() error {
	if err := s.checkGateway(); err != nil {
		return err
	}
	if err := s.contains("start of the DHCP range", s.Start); err != nil {
		return err
	}
	if err := s.contains("end of the DHCP range", s.End); err != nil {
		return err
	}
	if s.End.Less(s.Start) {
		return fmt.Errorf("DHCP range ends with %v before it starts with %v", s.End, s.Start)
	}
	if !s.Gateway.Less(s.Start) && !s.End.Less(s.Gateway) {
		return fmt.Errorf("gateway %v is inside the DHCP range %v - %v", s.Gateway, s.Start, s.End)
	}
	return nil
}

func (s Subnet) checkGateway() error {
	if err := s.contains("gateway", s.Gateway); err != nil {
		return err
	}
	if s.Gateway == s.Prefix.Addr() || s.Gateway.Is4() && !s.Prefix.Contains(s.Gateway.Next()) {
		return fmt.Errorf("gateway %v is not the address of one host in %v", s.Gateway, s.Prefix)
	}
	return nil
}

func (s Subnet) contains(what string, a netip.Addr) error {
	if !s.Prefix.Contains(a) {
		return fmt.Errorf("%s %v is not in %v", what, a, s.Prefix)
	}
	return nil
}

// countOf returns how many addresses a prefix has, at most maxCount.
func countOf(p netip.Prefix) uint64 {
	bits := p.Addr().BitLen() - p.Bits()
	if bits > 32 {
		return maxCount
	}
	return 1 << bits
}

// Step returns the address that is n after a. It is the zero Addr where the address family ends before that or, in IPv6,
// where the upper 64 bits, which name a subnet and not a host (RFC 4291), would have to change.
func Step(a netip.Addr, n uint64) netip.Addr {
	b := a.As16()
	low := binary.BigEndian.Uint64(b[8:]) + n
	if low < n {
		return netip.Addr{}
	}
	binary.BigEndian.PutUint64(b[8:], low)
	r := netip.AddrFrom16(b)
	if !a.Is4() {
		return r
	}
	if !r.Is4In6() {
		return netip.Addr{}
	}
	return r.Unmap()
}
