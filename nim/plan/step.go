// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"net/netip"
	"strings"
)

// Step is one change of the kernel's state.
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

// LinkAdd makes an interface: a bridge, a tap, or both ends of a veth. MAC, MTU and what concerns the Peer may be zero: the
// kernel makes up addresses then, and the Peer is in the same namespace.
type LinkAdd struct {
	Netns   string
	Link    string
	Kind    string // "bridge", "veth" or "tap"
	MAC     MAC
	MTU     int // bytes
	Peer    string
	PeerMAC MAC
	// PeerNetns is the namespace that the Peer is made in, which is not the host's own.
	PeerNetns string
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

// AddrAdd gives an interface an address. One that is passive is what others ask at, and never what the host speaks from of
// its own accord (RFC 6724, 5, rule 3).
type AddrAdd struct {
	Netns, Link string
	Prefix      netip.Prefix
	Passive     bool
}

// AddrDel takes an address from an interface.
type AddrDel struct {
	Netns, Link string
	Prefix      netip.Prefix
}

// RouteAdd adds a route. RouteDel removes it.
type RouteAdd struct {
	Netns string
	Route Route
}

// RouteDel removes a route.
type RouteDel struct {
	Netns string
	Route Route
}

// SysctlSet sets a parameter of a namespace (sysctl(8)), such as net.ipv4.ip_forward.
type SysctlSet struct{ Netns, Name, Value string }

// TableAdd makes a table of nftables as it should be, without elements. What there is by its name goes.
type TableAdd struct{ Netns, Table string }

// TableDel removes a table of nftables.
type TableDel struct{ Netns, Table string }

// ElementAdd adds an element to a set of a table.
type ElementAdd struct{ Netns, Table, Set, Element string }

// ElementDel removes an element of a set.
type ElementDel struct{ Netns, Table, Set, Element string }

// On implements Step.
func (s RouteAdd) On() (netns, link string) { return s.Netns, s.Route.Link }

// On implements Step.
func (s RouteDel) On() (netns, link string) { return s.Netns, s.Route.Link }

// On implements Step.
func (s SysctlSet) On() (netns, link string) { return s.Netns, "" }

// On implements Step.
func (s TableAdd) On() (netns, link string) { return s.Netns, "" }

// On implements Step.
func (s TableDel) On() (netns, link string) { return s.Netns, "" }

// On implements Step.
func (s ElementAdd) On() (netns, link string) { return s.Netns, firstField(s.Element) }

// On implements Step.
func (s ElementDel) On() (netns, link string) { return s.Netns, firstField(s.Element) }

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
		return fmt.Sprintf("%stuntap add dev %s mode tap", in(s.Netns), s.Link)
	}
	line := fmt.Sprintf("%slink add %s%s type %s", in(s.Netns), s.Link, birth(s.MAC, s.MTU), s.Kind)
	if s.Peer != "" {
		line += fmt.Sprintf(" peer name %s%s", s.Peer, birth(s.PeerMAC, s.MTU))
	}
	if s.PeerNetns != "" {
		line += " netns " + s.PeerNetns
	}
	return line
}

// birth is what an interface is born with.
func birth(mac MAC, mtu int) string {
	var b strings.Builder
	if mac != (MAC{}) {
		fmt.Fprintf(&b, " address %s", mac)
	}
	if mtu != 0 {
		fmt.Fprintf(&b, " mtu %d", mtu)
	}
	return b.String()
}

func (s LinkDel) String() string { return fmt.Sprintf("%slink del %s", in(s.Netns), s.Link) }

func (s LinkSet) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%slink set %s%s", in(s.Netns), s.Link, birth(s.MAC, s.MTU))
	if s.Master != "" {
		fmt.Fprintf(&b, " master %s", s.Master)
	}
	if s.Up {
		b.WriteString(" up")
	}
	return b.String()
}

func (s AddrAdd) String() string {
	line := fmt.Sprintf("%saddr add %s dev %s", in(s.Netns), s.Prefix, s.Link)
	if s.Passive {
		line += " preferred_lft 0"
	}
	return line
}

func (s AddrDel) String() string {
	return fmt.Sprintf("%saddr del %s dev %s", in(s.Netns), s.Prefix, s.Link)
}

func (s RouteAdd) String() string { return fmt.Sprintf("%sroute add %s", in(s.Netns), s.Route) }

func (s RouteDel) String() string { return fmt.Sprintf("%sroute del %s", in(s.Netns), s.Route) }

// String returns the route as ip-route(8) would be told it.
func (r Route) String() string {
	switch {
	case r.Link == "":
		return fmt.Sprintf("unreachable %s", r.Dst)
	case r.Via.IsValid():
		return fmt.Sprintf("%s via %s dev %s", r.Dst, r.Via, r.Link)
	}
	return fmt.Sprintf("%s dev %s", r.Dst, r.Link)
}

func (s SysctlSet) String() string {
	return fmt.Sprintf("%ssysctl %s=%s", in(s.Netns), s.Name, s.Value)
}

func (s TableAdd) String() string { return fmt.Sprintf("%snft add table %s", in(s.Netns), s.Table) }

func (s TableDel) String() string { return fmt.Sprintf("%snft delete table %s", in(s.Netns), s.Table) }

func (s ElementAdd) String() string {
	return fmt.Sprintf("%snft add element %s %s { %s }", in(s.Netns), s.Table, s.Set, s.Element)
}

func (s ElementDel) String() string {
	return fmt.Sprintf("%snft delete element %s %s { %s }", in(s.Netns), s.Table, s.Set, s.Element)
}

// in says, as ip(8) is told it, in which namespace something is done.
func in(netns string) string {
	if netns == Host {
		return ""
	}
	return "-n " + netns + " "
}
