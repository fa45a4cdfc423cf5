// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Errors of a Lease.
var (
	ErrTaken     = errors.New("taken")                   // another adapter or the network itself has it
	ErrOutside   = errors.New("not for guests to have")  // outside of the subnet, or its gateway, network or broadcast address
	ErrExhausted = errors.New("no free address is left") // the range is used up
)

// maxAttempts limits the search for a free name or MAC address. Names and addresses are spread evenly: even with every
// second one of them taken, that many attempts do not all fail.
const maxAttempts = 1 << 10

// Claim is what an adapter in a network asks for. Adapters are told apart by App and Adapter.
type Claim struct {
	App     string // UUID
	Adapter string // name
	// MAC, IPv4 and IPv6 are wanted by configuration; zero means that any will do.
	MAC        MAC
	IPv4, IPv6 netip.Addr
	// NoIPv4 and NoIPv6 say that the adapter is to have no address of the family.
	NoIPv4, NoIPv6 bool
	// Held is what the adapter had before; zero where it had nothing.
	Held Lease
	// Passive keeps what the adapter holds from being given to others, and gives it nothing else. It is for adapters of
	// which it is not known yet whether they still exist.
	Passive bool
}

// Lease is what an adapter gets: the same for as long as it exists.
type Lease struct {
	MAC        MAC    // of the guest
	HostMAC    MAC    // of the host's side
	Port       string // name of the host's side
	IPv4, IPv6 netip.Addr
	// Err says what the adapter did not get and why. Others are not touched by that.
	Err error
}

// Subnet is where a network's addresses come from. The zero Subnet gives out none; wanted addresses are granted then
// without regard to any subnet.
type Subnet struct {
	Prefix      netip.Prefix // masked; either family
	First, Last netip.Addr   // the range out of which addresses are given to those who want no particular one
	Reserved    []netip.Addr // for nobody: the gateway, the metadata address
}

// Subnets are where the addresses of one network come from, by family.
type Subnets struct {
	IPv4, IPv6 Subnet
	// SLAAC says that guests make their IPv6 addresses out of the prefix and their MAC addresses (RFC 4862): who wants no
	// particular one gets that, not one of the range.
	SLAAC bool
}

// Allocate gives every claim of one network its addresses and names, in the order of the claims. Bridge is the address
// of the network's bridge.
//
// Whoever holds something keeps it, unless its configuration says otherwise now; then come those whose configuration
// names an address, then the rest. Among equals the order is by App and Adapter. The result depends on nothing but the
// arguments, and, for who holds nothing, on little but App and Adapter: their hash says where the search begins.
func Allocate(subnets Subnets, bridge MAC, claims []Claim) []Lease {
	a := allocation{
		claims: claims,
		leases: make([]Lease, len(claims)),
		order:  make([]int, len(claims)),
		macs:   map[MAC]*Claim{bridge: nil},
		addrs:  make(map[netip.Addr]*Claim, len(claims)),
	}
	for i := range claims {
		a.order[i] = i
	}
	slices.SortStableFunc(a.order, func(i, j int) int {
		return cmp.Or(cmp.Compare(claims[i].App, claims[j].App), cmp.Compare(claims[i].Adapter, claims[j].Adapter))
	})
	for _, r := range slices.Concat(subnets.IPv4.Reserved, subnets.IPv6.Reserved) {
		a.addrs[r] = nil
	}
	a.allocMACs()
	a.allocHostMACs()
	a.allocPorts()
	for _, f := range families(subnets) {
		a.allocAddrs(f)
	}
	return a.leases
}

// allocation is the state of one Allocate.
type allocation struct {
	claims []Claim
	leases []Lease
	order  []int                 // of claims
	macs   map[MAC]*Claim        // who has it; nil: the network itself
	addrs  map[netip.Addr]*Claim // likewise
}

// each calls f for every claim, in order.
func (a *allocation) each(f func(c *Claim, l *Lease)) {
	for _, i := range a.order {
		f(&a.claims[i], &a.leases[i])
	}
}

// String names the claim's adapter, and for nil the network itself.
func (c *Claim) String() string {
	if c == nil {
		return "the network itself"
	}
	return fmt.Sprintf("adapter %q of %s", c.Adapter, c.App)
}

func (l *Lease) fail(err error) { l.Err = errors.Join(l.Err, err) }

// take gives v to a claim unless it is taken already.
func take[T comparable](taken map[T]*Claim, v T, c *Claim, dst *T) bool {
	if _, ok := taken[v]; ok {
		return false
	}
	taken[v] = c
	*dst = v
	return true
}

func (a *allocation) allocMACs() {
	none := MAC{}
	a.each(func(c *Claim, l *Lease) {
		if c.Held.MAC != none && (c.MAC == none || c.MAC == c.Held.MAC) {
			take(a.macs, c.Held.MAC, c, &l.MAC)
		}
	})
	a.each(func(c *Claim, l *Lease) {
		if c.Passive || l.MAC != none || c.MAC == none {
			return
		}
		if !take(a.macs, c.MAC, c, &l.MAC) {
			l.fail(fmt.Errorf("use MAC address %s: %w by %s", c.MAC, ErrTaken, a.macs[c.MAC]))
		}
	})
	a.each(func(c *Claim, l *Lease) {
		if c.Passive || l.MAC != none || c.MAC != none {
			return
		}
		if !makeUp(a.macs, guestMAC, c, &l.MAC) {
			l.fail(fmt.Errorf("make a MAC address: %w", ErrExhausted))
		}
	})
}

// allocHostMACs comes after all guests have theirs, of which it must differ.
func (a *allocation) allocHostMACs() {
	a.each(func(c *Claim, l *Lease) {
		if !c.Passive && !makeUp(a.macs, hostMAC, c, &l.HostMAC) {
			l.fail(fmt.Errorf("make the host side's MAC address: %w", ErrExhausted))
		}
	})
}

func (a *allocation) allocPorts() {
	names := make(map[string]*Claim, len(a.claims))
	a.each(func(c *Claim, l *Lease) {
		if !c.Passive && !makeUp(names, PortName, c, &l.Port) {
			l.fail(fmt.Errorf("make the port's name: %w", ErrExhausted))
		}
	})
}

// makeUp gives a claim the first value of its own that is free.
func makeUp[T comparable](taken map[T]*Claim, value func(app, adapter string, attempt int) T, c *Claim, dst *T) bool {
	for attempt := range maxAttempts {
		if take(taken, value(c.App, c.Adapter, attempt), c, dst) {
			return true
		}
	}
	return false
}

// family is an address family: its subnet, and how its part of claims and leases is reached.
type family struct {
	subnet Subnet
	slaac  bool
	wanted func(*Claim) netip.Addr
	none   func(*Claim) bool
	lease  func(*Lease) *netip.Addr
}

func families(s Subnets) [2]family {
	return [2]family{
		{
			s.IPv4, false, func(c *Claim) netip.Addr { return c.IPv4 }, func(c *Claim) bool { return c.NoIPv4 },
			func(l *Lease) *netip.Addr { return &l.IPv4 },
		},
		{
			s.IPv6, s.SLAAC, func(c *Claim) netip.Addr { return c.IPv6 }, func(c *Claim) bool { return c.NoIPv6 },
			func(l *Lease) *netip.Addr { return &l.IPv6 },
		},
	}
}

// given tells whether addresses of the family are given to those who want no particular one.
func (f *family) given() bool { return f.subnet.Prefix.IsValid() }

// keeps tells whether a claim goes on with the address that it holds, if nobody else has it.
func (f *family) keeps(c *Claim, l *Lease) bool {
	held, wanted := *f.lease(&c.Held), f.wanted(c)
	switch {
	case !held.IsValid() || f.none(c) || f.given() && !f.subnet.Usable(held):
		return false
	case wanted.IsValid():
		return wanted == held
	case c.Passive:
		return true
	case f.slaac:
		return held == EUI64(f.subnet.Prefix, l.MAC)
	}
	return f.given()
}

func (a *allocation) allocAddrs(f family) {
	a.each(func(c *Claim, l *Lease) {
		if f.keeps(c, l) {
			take(a.addrs, *f.lease(&c.Held), c, f.lease(l))
		}
	})
	a.each(func(c *Claim, l *Lease) {
		if wanted := f.wanted(c); wanted.IsValid() && !c.Passive && !f.none(c) && !f.lease(l).IsValid() {
			a.fixed(f, wanted, c, l)
		}
	})
	a.each(func(c *Claim, l *Lease) {
		switch {
		case !f.given() || c.Passive || f.none(c) || f.wanted(c).IsValid() || f.lease(l).IsValid():
		case !f.slaac:
			a.probe(f.subnet, c, l, f.lease(l))
		case l.MAC != MAC{}: // without one the lease has its error already
			a.fixed(f, EUI64(f.subnet.Prefix, l.MAC), c, l)
		}
	})
}

// fixed gives a claim the one address that is right for it.
func (a *allocation) fixed(f family, addr netip.Addr, c *Claim, l *Lease) {
	switch {
	case f.given() && !f.subnet.Usable(addr):
		l.fail(fmt.Errorf("use address %s in %s: %w", addr, f.subnet.Prefix, ErrOutside))
	case !take(a.addrs, addr, c, f.lease(l)):
		l.fail(fmt.Errorf("use address %s: %w by %s", addr, ErrTaken, a.addrs[addr]))
	}
}

// probe gives a claim the first free address of the range, from a place that its hash says, around the end to the
// beginning. One address more than are taken is always enough.
func (a *allocation) probe(s Subnet, c *Claim, l *Lease, dst *netip.Addr) {
	size := distance(s.First, s.Last)
	sum := digest("address", c.App, c.Adapter, 0)
	offset := binary.BigEndian.Uint64(sum[:])
	if size != ^uint64(0) {
		offset %= size + 1
	}
	for range len(a.addrs) + 1 {
		if take(a.addrs, advance(s.First, offset), c, dst) {
			return
		}
		if offset++; offset > size {
			offset = 0
		}
	}
	l.fail(fmt.Errorf("get an address from %s to %s: %w", s.First, s.Last, ErrExhausted))
}
