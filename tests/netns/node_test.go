// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/netns"
	"github.com/lf-edge/eve-metadata/tests/netns/guestns"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
)

// node is a network namespace of a test, and the interfaces in it.
type node struct {
	t      testing.TB
	path   string
	ns     *netns.Namespace
	handle *netlink.Handle
	// sockets are packet sockets by interface. They are kept: to close one takes the kernel a while.
	sockets map[string]*sniffer
}

// newNode makes a namespace. Addresses can be used in it at once, without duplicate address detection.
func newNode(t testing.TB, path string) *node {
	t.Helper()
	sandbox.Need(t)
	n := &node{t: t, path: path, sockets: map[string]*sniffer{}}
	must(t, netns.Create(path))
	var err error
	if n.ns, err = netns.Open(path); err != nil {
		t.Fatal(err)
	}
	if n.handle, err = netlink.NewHandleAt(n.ns.Handle(), unix.NETLINK_ROUTE); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range n.sockets {
			must(t, unix.Close(s.fd))
		}
		n.handle.Close()
		must(t, errors.Join(n.ns.Close(), netns.Delete(path)))
	})
	n.sysctl("net/ipv6/conf/default/dad_transmits", "0")
	n.sysctl("net/ipv6/conf/default/accept_dad", "0")
	n.up("lo")
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (n *node) sysctl(name, value string) {
	n.t.Helper()
	must(n.t, n.ns.Do(func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0) }))
}

func (n *node) link(name string) netlink.Link {
	n.t.Helper()
	l, err := n.handle.LinkByName(name)
	if err != nil {
		n.t.Fatalf("find %s: %v", name, err)
	}
	return l
}

func (n *node) up(name string) {
	n.t.Helper()
	must(n.t, n.handle.LinkSetUp(n.link(name)))
}

func (n *node) address(link string, addrs ...string) {
	n.t.Helper()
	for _, a := range addrs {
		p := netip.MustParsePrefix(a)
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if p.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := n.handle.AddrAdd(n.link(link), addr); err != nil {
			n.t.Fatalf("add %s: %v", a, err)
		}
		n.usable(link, p.Addr())
	}
}

// usable waits until an address of a link can be used.
func (n *node) usable(link string, a netip.Addr) {
	n.t.Helper()
	must(n.t, guestns.AwaitAddress(n.handle, n.link(link), a))
}

func (n *node) route(dst, via string) {
	n.t.Helper()
	must(n.t, n.handle.RouteAdd(route(dst, via)))
}

func route(dst, via string) *netlink.Route {
	p := netip.MustParsePrefix(dst)
	return &netlink.Route{
		Dst: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())},
		Gw:  netip.MustParseAddr(via).AsSlice(),
	}
}

// wire joins two nodes.
func (n *node) wire(name string, to *node, peer string, mac plan.MAC) {
	n.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	must(n.t, n.handle.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: peer, PeerHardwareAddr: mac.HardwareAddr(), PeerNamespace: netlink.NsFd(to.ns.Handle()),
	}))
	n.up(name)
	to.up(peer)
}

// listen accepts TCP connections and answers each with a text and the address that it came from.
func (n *node) listen(address, text string) {
	n.t.Helper()
	var l net.Listener
	must(n.t, n.ns.Do(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			from, _ := netip.ParseAddrPort(c.RemoteAddr().String())
			_, _ = fmt.Fprintf(c, "%s to %s", text, from.Addr())
			_ = c.Close()
		}
	}()
	n.t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
}

// ruled is a namespace with tables of ours.
type ruled struct {
	*node
	name    string
	session *kernel.Session
}

// newRuled makes a namespace in which steps can be done, by the number of its network.
func newRuled(t testing.TB, k *kernel.Kernel, n int) *ruled {
	t.Helper()
	r := &ruled{name: plan.NamespaceName(networkID(n))}
	r.node = newNode(t, k.Path(r.name))
	r.sysctl("net/ipv4/ip_forward", "1")
	r.sysctl("net/ipv6/conf/all/forwarding", "1")
	var err error
	if r.session, err = k.Open(plan.Network{Namespace: r.name}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, r.session.Close()) })
	return r
}

func (r *ruled) apply(steps ...plan.Step) {
	r.t.Helper()
	must(r.t, errors.Join(r.session.Apply(steps)...))
}

// bridge makes a bridge as those of managed networks are made. It believes ARP at once.
func (r *ruled) bridge(name string, mac plan.MAC, addrs ...string) {
	r.t.Helper()
	r.apply(plan.LinkAdd{Netns: r.name, Link: name, Kind: "bridge", MAC: mac})
	r.sysctl("net/ipv4/neigh/"+name+"/locktime", "0")
	r.up(name)
	r.address(name, addrs...)
}

// hurry is how long is waited for an answer that must not come.
const hurry = 200 * time.Millisecond

// dial asks a listener and returns what it says; "" when it does not within the time.
func (n *node) dial(address string, within time.Duration) string {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	var conn net.Conn
	err := n.ns.Do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", address)
		return err
	})
	if err != nil {
		return ""
	}
	defer conn.Close()
	var b bytes.Buffer
	must(n.t, conn.SetDeadline(time.Now().Add(patience)))
	if _, err := b.ReadFrom(conn); err != nil {
		n.t.Fatal(err)
	}
	return b.String()
}

// ping tells whether an address answers to an echo request.
func (n *node) ping(to netip.Addr) bool {
	n.t.Helper()
	network, request, reply := "ip4:icmp", byte(8), byte(0)
	if to.Is6() {
		network, request, reply = "ip6:ipv6-icmp", 128, 129
	}
	var conn *net.IPConn
	must(n.t, n.ns.Do(func() (err error) {
		conn, err = net.DialIP(network, nil, &net.IPAddr{IP: to.AsSlice()})
		return err
	}))
	defer conn.Close()
	must(n.t, conn.SetDeadline(time.Now().Add(patience)))
	m := []byte{request, 0, 0, 0, 0, 1, 0, 1}
	binary.BigEndian.PutUint16(m[2:], checksum(m))
	if _, err := conn.Write(m); err != nil {
		return false
	}
	for buf := make([]byte, 1500); ; {
		if _, _, err := conn.ReadFromIP(buf); err != nil {
			return false
		}
		if buf[0] == reply {
			return true
		}
	}
}

// neighbour returns the MAC address that the namespace has for an address on a link; "" for none.
func (n *node) neighbour(link string, a netip.Addr) string {
	n.t.Helper()
	all, err := n.handle.NeighList(n.link(link).Attrs().Index, netlink.FAMILY_ALL)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, e := range all {
		if ip, ok := netip.AddrFromSlice(e.IP); ok && ip.Unmap() == a {
			return e.HardwareAddr.String()
		}
	}
	return ""
}

// sniffer is a packet socket on an interface.
type sniffer struct {
	t  testing.TB
	fd int
}

// sniff returns the packet socket on an interface. What it has heard until now is forgotten.
func (n *node) sniff(link string) *sniffer {
	n.t.Helper()
	if s := n.sockets[link]; s != nil {
		s.forget()
		return s
	}
	s := &sniffer{t: n.t}
	must(n.t, n.ns.Do(func() (err error) {
		if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL))); err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(patience.Seconds())}),
			unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: n.link(link).Attrs().Index}),
		)
	}))
	n.sockets[link] = s
	return s
}

func (s *sniffer) forget() {
	for {
		if _, _, err := unix.Recvfrom(s.fd, nil, unix.MSG_DONTWAIT|unix.MSG_TRUNC); err != nil {
			return
		}
	}
}

func htons(v uint16) uint16 { return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)) }

// until reads until a frame has end in it, and tells whether one with sought was among those before.
func (s *sniffer) until(end, sought []byte) (found bool) {
	s.t.Helper()
	buf := make([]byte, 1<<16)
	for {
		n, err := unix.Read(s.fd, buf)
		if err != nil {
			s.t.Fatalf("read frames: %v", err)
		}
		if bytes.Contains(buf[:n], end) {
			return found
		}
		found = found || bytes.Contains(buf[:n], sought)
	}
}

// send sends frames, all on one CPU: so they stay in order.
func (n *node) send(link string, frames ...[]byte) {
	n.t.Helper()
	s := n.sniff(link)
	must(n.t, n.ns.Do(func() error {
		var cpus unix.CPUSet
		if err := unix.SchedGetaffinity(0, &cpus); err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(0, firstOf(cpus)); err != nil {
			return err
		}
		for _, f := range frames {
			if _, err := unix.Write(s.fd, f); err != nil {
				return err
			}
		}
		return nil
	}))
}

func firstOf(cpus unix.CPUSet) *unix.CPUSet {
	var first unix.CPUSet
	for cpu := 0; first.Count() == 0; cpu++ {
		if cpus.IsSet(cpu) {
			first.Set(cpu)
		}
	}
	return &first
}

// serial makes frames different.
var serial atomic.Uint64

func nonce() []byte { return binary.BigEndian.AppendUint64([]byte("nonce"), serial.Add(1)) }

// marked returns a frame and what it is known by: something at its end, or, since a bridge may cut off what is behind an
// IP packet, that packet.
func marked(frame []byte) (whole, mark []byte) {
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IP, unix.ETH_P_IPV6:
		return frame, frame[14:]
	}
	mark = nonce()
	return slices.Concat(frame, mark), mark
}

// Frames.

const etherTest = 0x88b5 // IEEE 802: for experiments

var broadcast = plan.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func be16(v ...uint16) (b []byte) {
	for _, x := range v {
		b = binary.BigEndian.AppendUint16(b, x)
	}
	return b
}

func etherFrame(dst, src plan.MAC, etherType ...uint16) []byte {
	return slices.Concat(dst[:], src[:], be16(etherType...))
}

func arpFrame(from plan.MAC, op uint16, senderMAC plan.MAC, sender, target netip.Addr) []byte {
	return slices.Concat(etherFrame(broadcast, from, unix.ETH_P_ARP), arp(op, senderMAC, sender, target))
}

func arp(op uint16, senderMAC plan.MAC, sender, target netip.Addr) []byte {
	return slices.Concat(be16(1, unix.ETH_P_IP), []byte{6, 4}, be16(op), senderMAC[:], sender.AsSlice(), make([]byte, 6), target.AsSlice())
}

func udp(sport, dport uint16) []byte {
	return slices.Concat(be16(sport, dport, 8+4, 0), []byte("data"))
}

// datagram is one of UDP with content.
func datagram(sport, dport uint16, content []byte) []byte {
	return slices.Concat(be16(sport, dport, uint16(8+len(content)), 0), content)
}

// dhcp is what begins a DHCP message, up to the MAC address of the client, from a relay unless that is 0.0.0.0.
func dhcp(client plan.MAC, relay netip.Addr) []byte {
	return slices.Concat([]byte{1, 1, 6, 0}, make([]byte, 20), relay.AsSlice(), client[:], make([]byte, 10))
}

func ip4(src netip.Addr, flags uint16, content []byte) []byte {
	head := slices.Concat([]byte{0x45, 0}, be16(uint16(20+len(content)), 1, flags), []byte{64, unix.IPPROTO_UDP, 0, 0},
		src.AsSlice(), []byte{255, 255, 255, 255})
	binary.BigEndian.PutUint16(head[10:], checksum(head))
	return append(head, content...)
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// ip6 is a packet to all nodes; next is the first header after IPv6's.
func ip6(src netip.Addr, next uint8, content []byte) []byte {
	dst := netip.MustParseAddr("ff02::1")
	return slices.Concat([]byte{0x60, 0, 0, 0}, be16(uint16(len(content))), []byte{next, 255}, src.AsSlice(), dst.AsSlice(), content)
}

// icmp6 is a message of ICMPv6 from src to all nodes.
func icmp6(src netip.Addr, kind uint8, body ...byte) []byte {
	dst := netip.MustParseAddr("ff02::1")
	m := slices.Concat([]byte{kind, 0, 0, 0}, body)
	pseudo := slices.Concat(src.AsSlice(), dst.AsSlice(), []byte{0, 0, 0, byte(len(m)), 0, 0, 0, unix.IPPROTO_ICMPV6}, m)
	binary.BigEndian.PutUint16(m[2:], checksum(pseudo))
	return m
}

// neighbour is a solicitation (135) or advertisement (136) of target, whose link-layer address is said to be mac's.
func neighbour(src netip.Addr, kind uint8, target netip.Addr, mac plan.MAC) []byte {
	head := []byte{0, 0, 0, 0}
	option := linkOption(1, mac)
	if kind == 136 {
		head[0], option[0] = 0x20, 2 // override
	}
	if src.IsUnspecified() {
		option = nil
	}
	return icmp6(src, kind, slices.Concat(head, target.AsSlice(), option)...)
}

// linkOption is an option with a link-layer address: the source's (1) or the target's (2).
func linkOption(kind byte, mac plan.MAC) []byte { return slices.Concat([]byte{kind, 1}, mac[:]) }

// extension is a header of options that say nothing, hop-by-hop or for the destination.
func extension(next uint8) []byte { return []byte{next, 0, 1, 4, 0, 0, 0, 0} }

func fragment(next uint8, offset uint16, more bool) []byte {
	if more {
		offset |= 1
	}
	return slices.Concat([]byte{next, 0}, be16(offset, 0, 1))
}
