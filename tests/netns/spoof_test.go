// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
)

// segment is a network with three guests, and the filter on its bridge. Mallory does what she should not.
type segment struct {
	*ruled
	mallory, bob, carol *station
}

// station is one of them: what belongs to it, and its port.
type station struct {
	*node
	port     string
	mac      plan.MAC
	ip4, ip6 netip.Addr
	local    netip.Addr // link-local address that is given to it
}

// The network's own addresses.
var (
	bridgeMAC = plan.MAC{6, 0x16, 0x3e, 0, 0, 0xfe}
	gateway   = netip.MustParseAddr("10.0.0.254")
	metadata  = netip.MustParseAddr("169.254.169.254")
	metadata6 = netip.MustParseAddr("fe80::a9fe:a9fe")
	gateway6  = netip.MustParseAddr("2001:db8::254")
)

// newSegment makes a network, with the filter.
func newSegment(t testing.TB) *segment {
	t.Helper()
	sandbox.Need(t)
	root := t.TempDir()
	l := &segment{ruled: newRuled(t, kernel.New(root), 1)}
	l.bridge("br0", bridgeMAC, "10.0.0.254/24", "169.254.169.254/32", "fe80::a9fe:a9fe/64", "2001:db8::254/64")
	l.mallory, l.bob, l.carol = l.guest(root, 1), l.guest(root, 2), l.guest(root, 3)
	l.filter()
	return l
}

func (l *segment) guest(root string, n byte) *station {
	l.t.Helper()
	g := &station{
		port: fmt.Sprintf("nb%d", n), mac: plan.MAC{2, 0x16, 0x3e, 0, 0, n},
		ip4: netip.AddrFrom4([4]byte{10, 0, 0, n}), ip6: netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", n)),
		local: netip.MustParseAddr(fmt.Sprintf("fe80::16:3eff:fe00:%d", n)),
	}
	g.node = newNode(l.t, filepath.Join(root, fmt.Sprint("guest", n)))
	l.wire(g.port, g.node, "eth0", g.mac)
	must(l.t, l.handle.LinkSetMaster(l.link(g.port), l.link("br0")))
	g.address("eth0", netip.PrefixFrom(g.ip4, 24).String(), netip.PrefixFrom(g.ip6, 64).String())
	g.usable("eth0", g.local)
	return g
}

// filter makes the filter as plans do.
func (l *segment) filter() {
	l.t.Helper()
	steps := []plan.Step{plan.TableAdd{Netns: l.name, Table: plan.FilterTable}}
	for _, a := range []netip.Addr{gateway, metadata} {
		steps = append(steps, l.element(plan.SetOwn, a.String()))
	}
	for _, a := range []netip.Addr{gateway6, metadata6} {
		steps = append(steps, l.element(plan.SetOwn6, a.String()))
	}
	for _, g := range []*station{l.mallory, l.bob, l.carol} {
		steps = append(steps,
			l.element(plan.SetMACs, g.port+" . "+g.mac.String()), l.element(plan.SetAddresses, g.port+" . "+g.ip4.String()),
			l.element(plan.SetAddress6, g.port+" . "+g.ip6.String()), l.element(plan.SetAddress6, g.port+" . "+g.local.String()))
	}
	l.apply(steps...)
}

func (l *segment) element(set, element string) plan.ElementAdd {
	return plan.ElementAdd{Netns: l.name, Table: plan.FilterTable, Set: set, Element: element}
}

func (l *segment) unfilter() { l.apply(plan.TableDel{Netns: l.name, Table: plan.FilterTable}) }

// passes tells whether a frame that a guest sends gets to another one's interface, or to that of the bridge. A frame that
// everybody may send, sent after it, shows when it would have been there.
func (l *segment) passes(from *station, frame []byte, to *node, link string) bool {
	l.t.Helper()
	s := to.sniff(link)
	frame, mark := marked(frame)
	end := nonce()
	from.send("eth0", frame, slices.Concat(etherFrame(broadcast, from.mac, etherTest), end))
	return s.until(end, mark)
}

// attempt is something that a guest sends, and whether it may.
type attempt struct {
	name  string
	frame []byte
	may   bool
}

// attempts are what Mallory, with Bob and Carol beside her, may and may not send.
func (l *segment) attempts() []attempt {
	m, b := l.mallory, l.bob
	const icmpNext, udpNext, hopByHop, destination, fragmentNext = unix.IPPROTO_ICMPV6, unix.IPPROTO_UDP, 0, 60, 44
	unspecified, stray := netip.IPv6Unspecified(), netip.MustParseAddr("2001:db8::77")
	frame4 := func(p []byte) []byte { return slices.Concat(etherFrame(broadcast, m.mac, unix.ETH_P_IP), p) }
	frame6 := func(p []byte) []byte { return slices.Concat(etherFrame(broadcast, m.mac, unix.ETH_P_IPV6), p) }
	plain6 := func(src netip.Addr, message []byte) []byte { return frame6(ip6(src, icmpNext, message)) }
	mld := func(kind uint8) []byte {
		return frame6(ip6(unspecified, hopByHop, append(extension(icmpNext), icmp6(unspecified, kind, make([]byte, 20)...)...)))
	}
	stolen := neighbour(m.ip6, 136, b.ip6, m.mac)
	stolenARP := arp(2, m.mac, b.ip4, b.ip4)
	long := bytes.Repeat([]byte{0}, 16)
	none, nonceOption := netip.IPv4Unspecified(), []byte{14, 1, 0, 0, 0, 0, 0, 0}
	request, stolenRequest := dhcp(m.mac, none), dhcp(b.mac, none)
	solicit := func(options ...[]byte) []byte {
		return plain6(m.ip6, icmp6(m.ip6, 135, slices.Concat(append([][]byte{{0, 0, 0, 0}, b.ip6.AsSlice()}, options...)...)...))
	}
	advertise := func(options ...[]byte) []byte {
		return plain6(m.ip6, icmp6(m.ip6, 136, slices.Concat(append([][]byte{{0x20, 0, 0, 0}, m.ip6.AsSlice()}, options...)...)...))
	}
	seekRouter := func(options ...[]byte) []byte {
		return plain6(m.local, icmp6(m.local, 133, slices.Concat(append([][]byte{{0, 0, 0, 0}}, options...)...)...))
	}
	return []attempt{
		{"ARP request", arpFrame(m.mac, 1, m.mac, m.ip4, b.ip4), true},
		{"ARP announcement", arpFrame(m.mac, 2, m.mac, m.ip4, m.ip4), true},
		{"ARP probe", arpFrame(m.mac, 1, m.mac, netip.IPv4Unspecified(), m.ip4), true},
		{"ARP for Bob", arpFrame(m.mac, 2, m.mac, b.ip4, b.ip4), false},
		{"ARP for the gateway", arpFrame(m.mac, 2, m.mac, gateway, gateway), false},
		{"ARP for the metadata address", arpFrame(m.mac, 1, m.mac, metadata, b.ip4), false},
		{"ARP with Bob's MAC address within", arpFrame(m.mac, 2, b.mac, m.ip4, m.ip4), false},
		{"ARP probe that makes Bob give his address up", arpFrame(m.mac, 1, m.mac, netip.IPv4Unspecified(), b.ip4), false},
		{"ARP from Bob's MAC address", arpFrame(b.mac, 1, b.mac, m.ip4, b.ip4), false},
		{"ARP that is no Ethernet's", slices.Concat(etherFrame(broadcast, m.mac, unix.ETH_P_ARP), be16(6), stolenARP[2:]), false},

		{"IPv4", frame4(ip4(m.ip4, 0, udp(1, 2))), true},
		{"IPv4 fragment", frame4(ip4(m.ip4, 0x2000, udp(1, 2))), true},
		{"IPv4 next fragment", frame4(ip4(m.ip4, 2, udp(1, 2))), true},
		{"IPv4 next fragment that begins as DHCP answers do", frame4(ip4(m.ip4, 2, udp(67, 68))), true},
		{"DHCP request", frame4(ip4(none, 0, datagram(68, 67, request))), true},
		{"DHCP request of one with an address", frame4(ip4(m.ip4, 0, datagram(68, 67, request))), true},
		{"DHCP request for Bob", frame4(ip4(none, 0, datagram(68, 67, stolenRequest))), false},
		{"DHCP request for Bob of one with an address", frame4(ip4(m.ip4, 0, datagram(68, 67, stolenRequest))), false},
		{"DHCP request as by a relay", frame4(ip4(m.ip4, 0, datagram(68, 67, dhcp(m.mac, m.ip4)))), false},
		{"DHCP request, first fragment", frame4(ip4(m.ip4, 0x2000, datagram(68, 67, request))), false},
		{"DHCP request that ends before the client", frame4(ip4(none, 0, datagram(68, 67, request[:28]))), false},
		{"IPv4 of Bob", frame4(ip4(b.ip4, 0, udp(1, 2))), false},
		{"IPv4 of Bob, fragment", frame4(ip4(b.ip4, 2, udp(1, 2))), false},
		{"IPv4 of the gateway", frame4(ip4(gateway, 0, udp(1, 2))), false},
		{"IPv4 of the metadata address", frame4(ip4(metadata, 0, udp(1, 2))), false},
		{"IPv4 of nobody", frame4(ip4(netip.IPv4Unspecified(), 0, udp(1, 2))), false},
		{"DHCP answer", frame4(ip4(m.ip4, 0, udp(67, 68))), false},
		{"DHCP answer of the gateway", frame4(ip4(gateway, 0, udp(67, 68))), false},
		{"DHCP answer, first fragment", frame4(ip4(m.ip4, 0x2000, udp(67, 68))), false},

		{"IPv6", frame6(ip6(m.ip6, udpNext, udp(1, 2))), true},
		{"IPv6 of the link-local address", frame6(ip6(m.local, udpNext, udp(1, 2))), true},
		{"IPv6 behind options", frame6(ip6(m.ip6, destination, append(extension(udpNext), udp(1, 2)...))), true},
		{"IPv6 fragment", frame6(ip6(m.ip6, fragmentNext, append(fragment(udpNext, 0, true), udp(1, 2)...))), true},
		{"IPv6 next fragment", frame6(ip6(m.ip6, fragmentNext, append(fragment(udpNext, 16, false), udp(1, 2)...))), true},
		{"ICMPv6 echo", plain6(m.ip6, icmp6(m.ip6, 128, 0, 0, 0, 0)), true},
		{"ICMPv6 echo, fragment", frame6(ip6(m.ip6, fragmentNext, append(fragment(icmpNext, 0, true), icmp6(m.ip6, 128, long...)...))), true},
		{"ICMPv6 echo, next fragment", frame6(ip6(m.ip6, fragmentNext, append(fragment(icmpNext, 24, false), long...))), true},
		{"MLD report", mld(131), true},
		{"MLD done", mld(132), true},
		{"MLD report of version 2", mld(143), true},
		{"router solicitation", plain6(m.local, icmp6(m.local, 133, 0, 0, 0, 0)), true},
		{"router solicitation with the own MAC address", seekRouter(linkOption(1, m.mac)), true},
		{"router solicitation with Bob's MAC address", seekRouter(linkOption(1, b.mac)), false},
		{"neighbour solicitation without a MAC address", solicit(), true},
		{"neighbour solicitation with Bob's MAC address", solicit(linkOption(1, b.mac)), false},
		{"neighbour solicitation with Bob's MAC address behind its own", solicit(linkOption(1, m.mac), linkOption(1, b.mac)), false},
		{"neighbour solicitation with Bob's MAC address behind something", solicit(nonceOption, linkOption(1, b.mac)), false},
		{"neighbour advertisement without a MAC address", advertise(), true},
		{"neighbour advertisement with Bob's MAC address", advertise(linkOption(2, b.mac)), false},
		{"neighbour advertisement with Bob's MAC address behind its own", advertise(linkOption(2, m.mac), linkOption(2, b.mac)), false},
		{"DHCPv6 request", frame6(ip6(m.local, udpNext, datagram(546, 547, []byte{1, 0, 0, 1}))), true},
		{"DHCPv6 request as by a relay", frame6(ip6(m.local, udpNext, datagram(546, 547, []byte{12, 0, 0, 1}))), false},
		{"DHCPv6 request behind options", frame6(ip6(m.local, destination, append(extension(udpNext), datagram(546, 547, []byte{1, 0, 0, 1})...))), false},
		{"DHCPv6 request, first fragment", frame6(ip6(m.local, fragmentNext, append(fragment(udpNext, 0, true), udp(546, 547)...))), false},
		{"router solicitation without an address", plain6(unspecified, icmp6(unspecified, 133, 0, 0, 0, 0)), true},
		{"neighbour solicitation of Bob", plain6(m.ip6, neighbour(m.ip6, 135, b.ip6, m.mac)), true},
		{"neighbour advertisement", plain6(m.ip6, neighbour(m.ip6, 136, m.local, m.mac)), true},
		{"duplicate address detection", plain6(unspecified, neighbour(unspecified, 135, m.ip6, m.mac)), true},
		{"IPv6 of Bob", frame6(ip6(b.ip6, udpNext, udp(1, 2))), false},
		{"IPv6 of Bob's link-local address", frame6(ip6(b.local, udpNext, udp(1, 2))), false},
		{"IPv6 of an address of nobody's", frame6(ip6(stray, udpNext, udp(1, 2))), false},
		{"neighbour advertisement for an address of nobody's", plain6(m.ip6, neighbour(m.ip6, 136, stray, m.mac)), false},
		{"IPv6 of the gateway", frame6(ip6(gateway6, udpNext, udp(1, 2))), false},
		{"IPv6 of the metadata address", frame6(ip6(metadata6, udpNext, udp(1, 2))), false},
		{"IPv6 of nobody", frame6(ip6(unspecified, udpNext, udp(1, 2))), false},
		{"echo of nobody", plain6(unspecified, icmp6(unspecified, 128, 0, 0, 0, 0)), false},
		{"neighbour advertisement for Bob", plain6(m.ip6, stolen), false},
		{"neighbour advertisement for Bob's link-local address", plain6(m.local, neighbour(m.local, 136, b.local, m.mac)), false},
		{"neighbour advertisement for the metadata address", plain6(m.local, neighbour(m.local, 136, metadata6, m.mac)), false},
		{"neighbour advertisement for the gateway", plain6(m.ip6, neighbour(m.ip6, 136, gateway6, m.mac)), false},
		{"duplicate of Bob's address", plain6(unspecified, neighbour(unspecified, 135, b.ip6, m.mac)), false},
		{"duplicate of the metadata address", plain6(unspecified, neighbour(unspecified, 135, metadata6, m.mac)), false},
		{"router advertisement", plain6(m.local, icmp6(m.local, 134, long...)), false},
		{"redirect", plain6(m.local, icmp6(m.local, 137, append(long, long...)...)), false},
		{"DHCPv6 answer", frame6(ip6(m.local, udpNext, udp(547, 546))), false},
		{"DHCPv6 answer behind options", frame6(ip6(m.local, destination, append(extension(udpNext), udp(547, 546)...))), false},
		{"advertisement behind hop-by-hop options", frame6(ip6(m.ip6, hopByHop, append(extension(icmpNext), stolen...))), false},
		{"duplicate address detection behind options", frame6(ip6(unspecified, hopByHop,
			append(extension(icmpNext), neighbour(unspecified, 135, m.ip6, m.mac)...))), false},
		{"advertisement behind destination options", frame6(ip6(m.ip6, destination, append(extension(icmpNext), stolen...))), false},
		{"advertisement in a fragment", frame6(ip6(m.ip6, fragmentNext, append(fragment(icmpNext, 0, true), stolen...))), false},
		{"advertisement in a fragment after options", frame6(ip6(m.ip6, fragmentNext,
			slices.Concat(fragment(destination, 0, false), extension(icmpNext), stolen))), false},
		{"headers that end before the message", frame6(ip6(m.ip6, fragmentNext,
			slices.Concat(fragment(destination, 0, true), []byte{icmpNext, 20, 1, 4, 0, 0, 0, 0}))), false},
		{"the message of those headers", frame6(ip6(m.ip6, fragmentNext, append(fragment(destination, 8, false), stolen...))), false},
		{"nothing but a fragment's header", frame6(ip6(m.ip6, fragmentNext, fragment(icmpNext, 0, true))), false},

		{"VLAN", slices.Concat(etherFrame(broadcast, m.mac, unix.ETH_P_8021Q, 5, unix.ETH_P_ARP), stolenARP), true},
		{"VLAN in a VLAN", slices.Concat(etherFrame(broadcast, m.mac, unix.ETH_P_8021AD, 7, unix.ETH_P_8021Q, 5, unix.ETH_P_ARP), stolenARP), true},
		{"VLAN of Bob's MAC address", slices.Concat(etherFrame(broadcast, b.mac, unix.ETH_P_8021Q, 5, unix.ETH_P_ARP), stolenARP), false},
		{"priority tag", slices.Concat(etherFrame(broadcast, m.mac, unix.ETH_P_8021Q, 0xe000, unix.ETH_P_ARP), stolenARP), false},
		{"priority tag of a provider", slices.Concat(etherFrame(broadcast, m.mac, unix.ETH_P_8021AD, 0, unix.ETH_P_ARP), stolenARP), false},
		{"priority tag in a priority tag", slices.Concat(etherFrame(broadcast, m.mac, unix.ETH_P_8021AD, 0, unix.ETH_P_8021Q, 0, unix.ETH_P_ARP), stolenARP), false},
		{"another protocol", etherFrame(broadcast, m.mac, etherTest), true},
		{"a frame of IEEE 802.2", slices.Concat(etherFrame(broadcast, m.mac, 40), []byte{0xfe, 0xfe, 3}, long, long), true},
		{"ARP in a frame of IEEE 802.2", slices.Concat(etherFrame(broadcast, m.mac, 40), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 6}, stolenARP), false},
		{"another protocol of Bob's MAC address", etherFrame(broadcast, b.mac, etherTest), false},
		{"another protocol of the bridge's MAC address", etherFrame(broadcast, bridgeMAC, etherTest), false},
	}
}

// Guests send what is theirs, and what is not theirs gets neither to the other guests nor to the bridge. Without the
// filter all of it does.
func TestSpoofedFrames(t *testing.T) {
	t.Parallel()
	l := newSegment(t)
	for _, a := range l.attempts() {
		for where, to := range map[string]*node{"eth0": l.bob.node, "br0": l.node} {
			if got := l.passes(l.mallory, a.frame, to, where); got != a.may {
				t.Errorf("%s: got to %s: %t, want %t", a.name, where, got, a.may)
			}
		}
	}
	l.unfilter()
	for _, a := range l.attempts() {
		if !l.passes(l.mallory, a.frame, l.carol.node, "eth0") {
			t.Errorf("%s: does not get through without the filter either", a.name)
		}
	}
}

// What the bridge knows of Bob stays so, whatever Mallory tells.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	l := newSegment(t)
	m, b := l.mallory, l.bob
	b.listen("[::]:80", "Bob")
	attacks := map[netip.Addr][]byte{
		b.ip4: slices.Concat(etherFrame(bridgeMAC, m.mac, unix.ETH_P_ARP), arp(2, m.mac, b.ip4, gateway)),
		b.ip6: slices.Concat(etherFrame(bridgeMAC, m.mac, unix.ETH_P_IPV6), ip6(m.ip6, unix.IPPROTO_ICMPV6, neighbour(m.ip6, 136, b.ip6, m.mac))),
	}
	for _, filtered := range []bool{true, false} {
		if !filtered {
			l.unfilter()
		}
		for a, frame := range attacks {
			if got := l.dial(netip.AddrPortFrom(a, 80).String(), patience); got == "" {
				t.Fatalf("Bob does not answer at %s", a)
			}
			if got := l.neighbour("br0", a); got != b.mac.String() {
				t.Fatalf("%s is at %s before the attack", a, got)
			}
			if got := l.passes(m, frame, l.node, "br0"); got == filtered {
				t.Errorf("attack on %s got through: %t", a, got)
			}
			// What is new is not believed in the same tick of the kernel's clock as what was told before.
			for end := time.Now().Add(patience); !filtered && l.neighbour("br0", a) != m.mac.String() && time.Now().Before(end); {
				l.passes(m, frame, l.node, "br0")
			}
			want := map[bool]plan.MAC{true: b.mac, false: m.mac}[filtered]
			if got := l.neighbour("br0", a); got != want.String() {
				t.Errorf("with the filter %t, %s is at %s, want %s", filtered, a, got, want)
			}
		}
	}
}

// The bridge learns where a MAC address is from frames to its own group addresses too, which it takes by another way.
func TestForwardingTable(t *testing.T) {
	t.Parallel()
	l := newSegment(t)
	m, b := l.mallory, l.bob
	for _, filtered := range []bool{true, false} {
		if !filtered {
			l.unfilter()
		}
		for _, group := range []byte{0, 2, 3, 0xe} { // spanning tree, slow protocols, port authentication, LLDP
			b.send("eth0", etherFrame(broadcast, b.mac, etherTest, 0))
			frame := etherFrame(plan.MAC{1, 0x80, 0xc2, 0, 0, group}, b.mac, etherTest, 0)
			if got := l.passes(m, frame, l.node, m.port); !got {
				t.Error("the frame was not even sent")
			}
			want := map[bool]string{true: b.port, false: m.port}[filtered]
			if got := l.portOf(b.mac); got != want {
				t.Errorf("with the filter %t, after a frame to group %x Bob's address is at port %s, want %s", filtered, group, got, want)
			}
		}
	}
}

// portOf returns the port that the bridge knows a MAC address on.
func (l *segment) portOf(mac plan.MAC) string {
	l.t.Helper()
	all, err := l.handle.NeighList(0, unix.AF_BRIDGE)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, n := range all {
		if n.HardwareAddr.String() == mac.String() && n.MasterIndex != 0 {
			for _, port := range []string{l.mallory.port, l.bob.port, l.carol.port} {
				if l.link(port).Attrs().Index == n.LinkIndex {
					return port
				}
			}
		}
	}
	return ""
}

// A guest that asks who listens to which groups, as multicast routers do, keeps no group from the others. A bridge that
// listens to what is asked and answered would take its word for that nobody wants the rest.
func TestMulticastQuerier(t *testing.T) {
	t.Parallel()
	l := newSegment(t)
	m, b := l.mallory, l.bob
	question := slices.Concat([]byte{0, 1, 0, 0}, make([]byte, 16)) // answers within a millisecond, all groups
	query := slices.Concat(etherFrame(plan.MAC{0x33, 0x33, 0, 0, 0, 1}, m.mac, unix.ETH_P_IPV6),
		ip6(m.local, 0, append(extension(unix.IPPROTO_ICMPV6), icmp6(m.local, 130, question...)...)))
	group := slices.Concat(etherFrame(plan.MAC{0x33, 0x33, 0xff, 0, 0, 0x77}, b.mac, unix.ETH_P_IPV6), ip6(b.ip6, unix.IPPROTO_UDP, udp(1, 2)))
	copy(group[14+24:], netip.MustParseAddr("ff02::1:ff00:77").AsSlice())
	ask := func() {
		t.Helper()
		if !l.passes(m, query, l.carol.node, "eth0") {
			t.Error("Mallory can not ask")
		}
	}
	ask()
	if !l.passes(b, group, l.carol.node, "eth0") {
		t.Error("what Bob sends to a group does not get to Carol after Mallory's query")
	}
	listening := true
	must(t, l.handle.LinkModify(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}, MulticastSnooping: &listening}))
	for end := time.Now().Add(patience); l.passes(b, group, l.carol.node, "eth0"); ask() {
		if time.Now().After(end) {
			t.Fatal("a bridge that listens is not misled either")
		}
	}
}

// A link-local address belongs to who uses it first, be it that he sends from it or asks whether it is free.
func TestLinkLocalClaims(t *testing.T) {
	t.Parallel()
	l := newSegment(t)
	use := func(g *station, a string) bool {
		src := netip.MustParseAddr(a)
		return l.passes(g, slices.Concat(etherFrame(broadcast, g.mac, unix.ETH_P_IPV6), ip6(src, unix.IPPROTO_UDP, udp(1, 2))), l.node, "br0")
	}
	ask := func(g *station, a string) bool {
		none := netip.IPv6Unspecified()
		m := neighbour(none, 135, netip.MustParseAddr(a), g.mac)
		return l.passes(g, slices.Concat(etherFrame(broadcast, g.mac, unix.ETH_P_IPV6), ip6(none, unix.IPPROTO_ICMPV6, m)), l.node, "br0")
	}
	if !use(l.bob, "fe80::b") || !ask(l.bob, "fe80::b0b") || !use(l.bob, "fe80::b0b") || !ask(l.bob, "fe80::b") {
		t.Error("Bob can not use what he has claimed")
	}
	for _, a := range []string{"fe80::b", "fe80::b0b", l.bob.local.String(), metadata6.String()} {
		if use(l.mallory, a) || ask(l.mallory, a) {
			t.Errorf("Mallory can use %s", a)
		}
	}
	used, asked := 0, 0
	for i := range 50 {
		if use(l.mallory, fmt.Sprintf("fe80::bad:%x", i)) {
			used++
		}
		if ask(l.mallory, fmt.Sprintf("fe80::bad:a:%x", i)) {
			asked++
		}
	}
	if used == 0 || asked == 0 || used+asked > 20 {
		t.Errorf("Mallory can claim %d addresses at once by using them, and %d by asking", used, asked)
	}
	if !use(l.carol, "fe80::ca") || !use(l.bob, "fe80::b") {
		t.Error("Mallory's claims are in others' way")
	}
	l.unfilter()
	if !use(l.mallory, "fe80::b") || !ask(l.mallory, "fe80::b") {
		t.Error("Mallory's frames do not get through without the filter either")
	}
}

// Where addresses are somebody else's business, a guest has any but those of the network itself.
func TestAnyAddress(t *testing.T) {
	t.Parallel()
	l := newSegment(t)
	l.apply(l.element(plan.SetAnyone, l.mallory.port))
	still := []string{
		"ARP for the gateway", "ARP for the metadata address", "ARP with Bob's MAC address within", "ARP from Bob's MAC address",
		"ARP that is no Ethernet's", "IPv4 of the gateway", "IPv4 of the metadata address", "DHCP answer of the gateway",
		"IPv6 of the gateway", "IPv6 of the metadata address",
		"neighbour advertisement for the metadata address", "neighbour advertisement for the gateway", "duplicate of the metadata address",
		"duplicate address detection behind options", "advertisement behind hop-by-hop options", "advertisement behind destination options", "advertisement in a fragment",
		"advertisement in a fragment after options", "headers that end before the message", "the message of those headers",
		"nothing but a fragment's header",
		"VLAN of Bob's MAC address", "priority tag", "priority tag of a provider", "priority tag in a priority tag",
		"ARP in a frame of IEEE 802.2", "another protocol of Bob's MAC address", "another protocol of the bridge's MAC address",
	}
	for _, a := range l.attempts() {
		want := !slices.Contains(still, a.name)
		if got := l.passes(l.mallory, a.frame, l.bob.node, "eth0"); got != want {
			t.Errorf("%s: got through: %t, want %t", a.name, got, want)
		}
	}
}

// A port that nobody has said anything about sends nothing, and one between the network's bridges everything.
func TestUnknownPort(t *testing.T) {
	t.Parallel()
	l := newSegment(t)
	frame := etherFrame(broadcast, l.mallory.mac, etherTest)
	s := l.sniff("br0")
	l.apply(plan.ElementDel(l.element(plan.SetMACs, l.mallory.port+" . "+l.mallory.mac.String())))
	lost, trunk, end := nonce(), nonce(), nonce()
	l.mallory.send("eth0", slices.Concat(frame, lost))
	l.bob.send("eth0", slices.Concat(etherFrame(broadcast, l.bob.mac, etherTest), end))
	if s.until(end, lost) {
		t.Error("a frame got through from a port that is in no set")
	}
	l.apply(l.element(plan.SetTrunks, l.mallory.port))
	l.mallory.send("eth0", slices.Concat(etherFrame(broadcast, l.bob.mac, etherTest), trunk))
	s.until(trunk, trunk)
}

// An address that is given to another guest is not the old one's any more: from that moment its packets are not taken, nor
// on a connection that was open before.
func TestAddressMoves(t *testing.T) {
	t.Parallel()
	l := newSegment(t)
	m, c := l.mallory, l.carol
	var listener net.Listener
	must(t, l.ns.Do(func() (err error) {
		listener, err = net.Listen("tcp", "169.254.169.254:80")
		return err
	}))
	defer listener.Close()
	m.route("169.254.169.254/32", gateway.String())
	var client net.Conn
	must(t, m.ns.Do(func() (err error) {
		client, err = net.Dial("tcp", "169.254.169.254:80")
		return err
	}))
	defer client.Close()
	server, err := listener.Accept()
	must(t, err)
	defer server.Close()
	buf := make([]byte, 64)
	_, err = client.Write([]byte("before"))
	must(t, err)
	if n, err := server.Read(buf); string(buf[:n]) != "before" {
		t.Fatalf("read %q, error %v", buf[:n], err)
	}

	old := l.element(plan.SetAddresses, m.port+" . "+m.ip4.String())
	l.apply(l.element(plan.SetAddresses, c.port+" . "+m.ip4.String()), plan.ElementDel(old))

	_, err = client.Write([]byte("after"))
	must(t, err)
	datagram := func(g *station) []byte {
		return slices.Concat(etherFrame(broadcast, g.mac, unix.ETH_P_IP), ip4(m.ip4, 0, udp(1, 2)))
	}
	if l.passes(m, datagram(m), l.node, "br0") {
		t.Error("the old owner still has the address")
	}
	must(t, server.SetReadDeadline(time.Now()))
	if n, err := server.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %q from the old owner, error %v", buf[:n], err)
	}
	if !l.passes(c, datagram(c), l.node, "br0") {
		t.Error("the new owner does not have the address")
	}
}

// A guest that has its router send packets for addresses of its own subnet does not make it look for neighbours: of these
// the kernel knows no more than a number for all networks together. Guests reach each other all the same.
func TestNoNeighboursForStrangers(t *testing.T) {
	t.Parallel()
	l := newSegment(t)
	router := plan.TableAdd{Netns: l.name, Table: plan.RouterTable}
	l.apply(router)
	ask := func(address, via string) bool {
		t.Helper()
		a := netip.MustParseAddr(address)
		l.mallory.route(netip.PrefixFrom(a, a.BitLen()).String(), via)
		l.mallory.dial(netip.AddrPortFrom(a, 80).String(), hurry)
		all, err := l.handle.NeighList(l.link("br0").Attrs().Index, netlink.FAMILY_ALL)
		must(t, err)
		// Before it redirects a guest, once a second, the kernel makes an entry in which it looks for nobody.
		return slices.ContainsFunc(all, func(e netlink.Neigh) bool { return e.IP.String() == address && e.State != netlink.NUD_NONE })
	}
	if ask("10.0.0.77", gateway.String()) || ask("2001:db8::77", gateway6.String()) {
		t.Error("the router looks for a neighbour")
	}
	l.bob.listen("[::]:80", "Bob")
	for _, a := range []netip.Addr{l.bob.ip4, l.bob.ip6} {
		if got := l.mallory.dial(netip.AddrPortFrom(a, 80).String(), patience); got == "" {
			t.Errorf("Bob does not answer at %s", a)
		}
	}
	l.apply(plan.TableDel(router))
	if !ask("10.0.0.78", gateway.String()) || !ask("2001:db8::78", gateway6.String()) {
		t.Error("without the table it does not look for one either")
	}
}
