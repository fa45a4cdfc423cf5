// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"net/netip"
	"strings"
)

// Step is one change of the kernel's state: NetnsAdd, NetnsDel, LinkAdd, LinkDel, LinkSet, AddrAdd or AddrDel.
type Step interface {
	// On returns the namespace and the interface that the step changes; no interface for a step on a namespace.
	On() (netns, link string)
	// String returns the step as ip(8) would be told it.
	String() string
}

// NetnsAdd makes a named network namespace.
type NetnsAdd struct{ Netns string }

// NetnsDel removes a named network namespace, and with it all that is in it.
type NetnsDel struct{ Netns string }

// LinkAdd makes an interface: a bridge, a tap, or both ends of a veth. MAC, MTU and what concerns the Peer may be zero.
type LinkAdd struct {
	Netns   string
	Link    string
	Kind    string // "bridge", "veth" or "tap"
	MAC     MAC
	MTU     int // bytes
	Peer    string
	PeerMAC MAC
}

// LinkDel removes an interface, and with one end of a veth the other one.
type LinkDel struct{ Netns, Link string }

// LinkSet changes an interface. What is zero stays as it is.
type LinkSet struct {
	Netns  string
	Link   string
	MAC    MAC
	MTU    int    // bytes
	Master string // bridge
	Up     bool
}

// AddrAdd gives an interface an address.
type AddrAdd struct {
	Netns, Link string
	Prefix      netip.Prefix
}

// AddrDel takes an address from an interface.
type AddrDel struct {
	Netns, Link string
	Prefix      netip.Prefix
}

// On implements Step.
func (s NetnsAdd) On() (netns, link string) { return s.Netns, "" }

// On implements Step.
func (s NetnsDel) On() (netns, link string) { return s.Netns, "" }

// On implements Step.
func (s LinkAdd) On() (netns, link string) { return s.Netns, s.Link }

// On implements Step.
func (s LinkDel) On() (netns, link string) { return s.Netns, s.Link }

// On implements Step.
func (s LinkSet) On() (netns, link string) { return s.Netns, s.Link }

// On implements Step.
func (s AddrAdd) On() (netns, link string) { return s.Netns, s.Link }

// On implements Step.
func (s AddrDel) On() (netns, link string) { return s.Netns, s.Link }

func (s NetnsAdd) String() string { return "netns add " + s.Netns }

func (s NetnsDel) String() string { return "netns del " + s.Netns }

func (s LinkAdd) String() string {
	if s.Kind == string(Tap) {
		return fmt.Sprintf("-n %s tuntap add dev %s mode tap", s.Netns, s.Link)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "-n %s link add %s", s.Netns, s.Link)
	if s.MAC != (MAC{}) {
		fmt.Fprintf(&b, " address %s", s.MAC)
	}
	if s.MTU != 0 {
		fmt.Fprintf(&b, " mtu %d", s.MTU)
	}
	fmt.Fprintf(&b, " type %s", s.Kind)
	if s.Peer != "" {
		fmt.Fprintf(&b, " peer name %s address %s", s.Peer, s.PeerMAC)
		if s.MTU != 0 {
			fmt.Fprintf(&b, " mtu %d", s.MTU)
		}
	}
	return b.String()
}

func (s LinkDel) String() string { return fmt.Sprintf("-n %s link del %s", s.Netns, s.Link) }

func (s LinkSet) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "-n %s link set %s", s.Netns, s.Link)
	if s.MAC != (MAC{}) {
		fmt.Fprintf(&b, " address %s", s.MAC)
	}
	if s.MTU != 0 {
		fmt.Fprintf(&b, " mtu %d", s.MTU)
	}
	if s.Master != "" {
		fmt.Fprintf(&b, " master %s", s.Master)
	}
	if s.Up {
		b.WriteString(" up")
	}
	return b.String()
}

func (s AddrAdd) String() string {
	return fmt.Sprintf("-n %s addr add %s dev %s", s.Netns, s.Prefix, s.Link)
}

func (s AddrDel) String() string {
	return fmt.Sprintf("-n %s addr del %s dev %s", s.Netns, s.Prefix, s.Link)
}
