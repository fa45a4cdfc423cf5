// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

// switched is a host with a bridge as EVE makes one for a switch: two guests behind ports of it, and behind another one a
// LAN, on which there is a router. The bridge has no address but those of the metadata service.
type switched struct {
	*ruled
	anna, bert *station
	router     *station // 10.0.0.254, 2001:db8::254
}

// bn1 is the bridge, and trunkPort the port that the LAN is behind.
const (
	bn1       = "bn1"
	trunkPort = "keth1"
)

// onEC2 is the third metadata address.
var onEC2 = netip.MustParseAddr("fd00:ec2::254")

func newSwitched(t testing.TB) *switched {
	t.Helper()
	sandbox.Need(t)
	root := t.TempDir()
	s := &switched{ruled: newRuled(t, kernel.New(root), 1)}
	s.bridge(bn1, bridgeMAC)
	s.anna, s.bert = s.station(root, "nbu1x1", 1), s.station(root, "nbu1x2", 2)
	s.router = s.station(root, trunkPort, 254)
	s.guard(s.anna, s.bert)
	return s
}

func (s *switched) station(root, port string, n byte) *station {
	s.t.Helper()
	g := &station{port: port, mac: plan.MAC{2, 0x16, 0x3e, 0, 0, n}, ip4: netip.AddrFrom4([4]byte{10, 0, 0, n})}
	g.ip6 = netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", n))
	g.local = plan.LinkLocal(g.mac)
	g.node = newNode(s.t, filepath.Join(root, port))
	s.wire(port, g.node, "eth0", g.mac)
	must(s.t, s.handle.LinkSetMaster(s.link(port), s.link(bn1)))
	g.address("eth0", netip.PrefixFrom(g.ip4, 24).String(), netip.PrefixFrom(g.ip6, 64).String())
	g.usable("eth0", g.local)
	return g
}

// guard gives the bridge the addresses, and guards them, as plans do.
func (s *switched) guard(guests ...*station) {
	s.t.Helper()
	steps := []plan.Step{plan.TableAdd{Netns: s.name, Table: plan.GuardTable}, s.guest(plan.SetBridges, bn1)}
	for _, g := range guests {
		steps = append(steps, s.guest(plan.SetGuests, g.element()))
	}
	for _, p := range plan.MetadataPrefixes() {
		steps = append(steps, plan.AddrAdd{Netns: s.name, Link: bn1, Prefix: p, Passive: p.Addr().Is6()})
	}
	s.apply(append(steps, plan.TableAdd{Netns: s.name, Table: plan.HostTable}, s.element(plan.SetBridges, bn1))...)
	for _, p := range plan.MetadataPrefixes() {
		s.usable(bn1, p.Addr())
	}
}

// element is what a guest is known by.
func (g *station) element() string {
	return strings.Join([]string{bn1, g.port, g.mac.String(), bridgeMAC.String()}, " . ")
}

func (s *switched) guest(set, element string) plan.ElementAdd {
	return plan.ElementAdd{Netns: s.name, Table: plan.GuardTable, Set: set, Element: element}
}

// serve opens the sockets as the manager does, and answers on them.
func (s *switched) serve() {
	s.t.Helper()
	s.session.Index(bn1)
	open, err := s.session.Listen(bn1, netip.AddrPortFrom(metadata, 80), netip.AddrPortFrom(metadata6.WithZone(bn1), 80), netip.AddrPortFrom(onEC2, 80))
	must(s.t, err)
	for _, l := range open {
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				from, _ := netip.ParseAddrPort(c.RemoteAddr().String())
				_, _ = fmt.Fprintf(c, "us to %s", from.Addr().WithZone(""))
				_ = c.Close()
			}
		}()
	}
	s.t.Cleanup(func() {
		for _, l := range open {
			_ = l.Close()
		}
	})
}

// ask connects from a node, over an interface where that matters, and returns what it is told.
func (n *node) ask(link string, to netip.Addr) (answer string) {
	n.t.Helper()
	zone := 0
	if to.IsLinkLocalUnicast() && to.Is6() {
		zone = n.link(link).Attrs().Index
	}
	must(n.t, n.ns.Do(func() error {
		fd, err := connect(netip.AddrPortFrom(to, 80), zone)
		if err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		text := make([]byte, 100)
		size, err := unix.Read(fd, text)
		answer = string(text[:max(size, 0)])
		return errors.Join(err, unix.Close(fd))
	}))
	return answer
}

// Guests are answered at each address, on a bridge that has no other, whether they take the address for a neighbour's or
// send to their router. The host knows the way to the outside, as EVE's does, and none to the guests; it takes packets only
// from whom it knows some way to (RFC 3704, 2.4).
func TestGuestsOfSwitch(t *testing.T) {
	t.Parallel()
	s := newSwitched(t)
	s.serve()
	s.sysctl("net/ipv4/conf/all/rp_filter", "2")
	s.bridge("uplink", plan.MAC{6, 0x16, 0x3e, 0, 0, 1}, "192.0.2.1/24")
	s.route("0.0.0.0/0", "192.0.2.254")
	s.router.address("lo", "169.254.169.254/32", "fd00:ec2::254/128")
	s.router.listen("[::]:80", "router")
	s.anna.route("169.254.169.254/32", "10.0.0.254")
	must(t, s.bert.ns.Do(func() error { return run("ip", "route", "add", "169.254.169.254/32", "dev", "eth0") }))
	for _, g := range []*station{s.anna, s.bert} {
		must(t, g.ns.Do(func() error {
			return run("ip", "-6", "route", "add", "fd00:ec2::254", "dev", "eth0", "src", g.local.String())
		}))
		if got, want := g.ask("eth0", metadata), "us to "+g.ip4.String(); got != want {
			t.Errorf("%s at %s: %q, want %q", g.port, metadata, got, want)
		}
		for _, a := range []netip.Addr{metadata6, onEC2} {
			if got := g.ask("eth0", a); !strings.HasPrefix(got, "us to fe80::") {
				t.Errorf("%s at %s: %q", g.port, a, got)
			}
		}
	}
	// The rest of the LAN is theirs as before.
	if got, want := s.anna.dial("10.0.0.254:80", patience), "router to ::ffff:10.0.0.1"; strings.ReplaceAll(got, "router to 10", "router to ::ffff:10") != want {
		t.Errorf("the router says %q, want %q", got, want)
	}
	// Who is no guest any more is answered by the router.
	s.apply(plan.ElementDel(s.guest(plan.SetGuests, s.anna.element())))
	if got := s.anna.dial("169.254.169.254:80", patience); !strings.HasPrefix(got, "router to") {
		t.Errorf("who is no guest any more is told %q", got)
	}
}

// A guest that bears another's MAC address is not heard at the metadata addresses, in whichever packets it does: it is by that
// address that the service knows who asks. Without the guests' addresses in the table it would be heard.
func TestGuestsBearTheirOwn(t *testing.T) {
	t.Parallel()
	s := newSwitched(t)
	s.serve()
	must(t, s.anna.ns.Do(func() error { return run("ip", "route", "add", "169.254.169.254/32", "dev", "eth0") }))
	heard := func(mac plan.MAC, want string) {
		t.Helper()
		must(t, s.anna.handle.LinkSetHardwareAddr(s.anna.link("eth0"), mac.HardwareAddr()))
		must(t, s.ns.Do(func() error { return run("ip", "neigh", "flush", "dev", bn1) }))
		limit := patience
		if want == "" {
			limit = hurry
		}
		if got := s.anna.dial("169.254.169.254:80", limit); got != want {
			t.Errorf("as %s: %q, want %q", mac, got, want)
		}
	}
	own := "us to " + s.anna.ip4.String()
	heard(s.anna.mac, own)
	heard(s.bert.mac, "")
	heard(plan.MAC{2, 0x16, 0x3e, 0, 0, 99}, "")
	heard(s.anna.mac, own)
	s.apply(plan.ElementDel(s.guest(plan.SetGuests, s.anna.element())), s.guest(plan.SetGuests, (&station{port: s.anna.port, mac: s.bert.mac}).element()))
	heard(s.anna.mac, "")
	heard(s.bert.mac, own)
}

// The host speaks from its own link-local address, though the service's is more like the guest's.
func TestPassiveAddress(t *testing.T) {
	t.Parallel()
	s := newSwitched(t)
	s.anna.listen("[::]:80", "guest")
	if got, want := s.ask(bn1, s.anna.local), "guest to "+plan.LinkLocal(bridgeMAC).String()+"%"; !strings.HasPrefix(got, want) {
		t.Errorf("a guest says %q, want %q and its interface", got, want)
	}
}

// run runs a command in the calling thread's namespace.
func run(name string, args ...string) error {
	if out, err := exec.CommandContext(context.Background(), name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// What guests ask for is answered here also where zedrouter has rules of iptables(8) for it, that send it elsewhere and drop
// what its access lists do not name.
func TestGuestsOfSwitchBesideZedrouter(t *testing.T) {
	t.Parallel()
	tool.Need(t, "/usr/sbin/iptables", "iptables")
	s := newSwitched(t)
	s.serve()
	s.address(bn1, "10.0.0.9/24")
	s.listen("10.0.0.9:80", "zedrouter")
	for _, rule := range []string{
		"-t nat -A PREROUTING -i bn1 -p tcp -d 169.254.169.254/32 --dport 80 -j DNAT --to-destination 10.0.0.9:80",
		"-t raw -A PREROUTING -i bn1 -m physdev --physdev-in nbu1x1 -d 169.254.169.254/32 -p tcp --dport 80 -j ACCEPT",
		"-t raw -A PREROUTING -i bn1 -m physdev --physdev-in nbu1x1 -j DROP",
	} {
		err := s.ns.Do(func() error { return run("/usr/sbin/iptables", append([]string{"-w"}, strings.Fields(rule)...)...) })
		if err != nil {
			t.Skipf("the kernel has nothing for iptables: %v", err)
		}
	}
	s.anna.route("169.254.169.254/32", "10.0.0.254")
	if got, want := s.anna.ask("eth0", metadata), "us to "+s.anna.ip4.String(); got != want {
		t.Errorf("at %s: %q, want %q", metadata, got, want)
	}
}

// Nobody on the LAN is answered, however the frames get to the host, and no other port of the host's is there for a guest.
func TestNobodyElse(t *testing.T) {
	t.Parallel()
	s := newSwitched(t)
	s.serve()
	s.address(bn1, "10.0.0.9/24")
	s.listen("[::]:81", "host")
	must(t, s.anna.ns.Do(func() error { return run("ip", "route", "add", "169.254.169.254/32", "dev", "eth0") }))
	if got := s.anna.dial("169.254.169.254:81", hurry); got != "" {
		t.Errorf("another port of the host's is there for a guest: %q", got)
	}
	if !s.anna.ping(metadata) {
		t.Error("the address does not answer to a guest's echo request")
	}
	lan := s.router
	must(t, lan.ns.Do(func() error { return run("ip", "route", "add", "169.254.169.254/32", "dev", "eth0") }))
	if got := lan.dial("169.254.169.254:80", hurry); got != "" || lan.neighbour("eth0", metadata) != "" {
		t.Errorf("somebody on the LAN is told %q, and knows %q", got, lan.neighbour("eth0", metadata))
	}
	for _, mac := range []string{bridgeMAC.String(), s.link(trunkPort).Attrs().HardwareAddr.String()} {
		must(t, lan.ns.Do(func() error {
			return run("ip", "neigh", "replace", "169.254.169.254", "lladdr", mac, "dev", "eth0")
		}))
		if got := lan.dial("169.254.169.254:80", hurry); got != "" {
			t.Errorf("somebody on the LAN who sends to %s is told %q", mac, got)
		}
	}
	s.apply(plan.TableDel{Netns: s.name, Table: plan.GuardTable})
	for from, port := range map[*station]string{s.anna: "81", lan: "80"} {
		if got := from.dial("169.254.169.254:"+port, patience); got == "" {
			t.Errorf("%s at port %s is not answered without the table either", from.port, port)
		}
	}
}

// way is what is sent from somewhere, and whether it is heard elsewhere.
type way struct {
	name  string
	from  *node
	link  string // that it leaves by
	frame []byte
	to    *node
	heard string // the interface that it may be heard on
	may   bool
}

// tcpTo is a packet that begins a connection.
func tcpTo(src, dst netip.Addr, port uint16) []byte {
	segment := slices.Concat(be16(1024, port), make([]byte, 8), []byte{5 << 4, 2}, be16(1024, 0, 0))
	return packet(src, dst, unix.IPPROTO_TCP, segment)
}

// packet is one of either family.
func packet(src, dst netip.Addr, next byte, content []byte) []byte {
	if src.Is6() {
		return slices.Concat([]byte{0x60, 0, 0, 0}, be16(uint16(len(content))), []byte{next, 255}, src.AsSlice(), dst.AsSlice(), content)
	}
	head := slices.Concat([]byte{0x45, 0}, be16(uint16(20+len(content)), 1, 0), []byte{64, next, 0, 0}, src.AsSlice(), dst.AsSlice())
	binary.BigEndian.PutUint16(head[10:], checksum(head))
	return append(head, content...)
}

// ways are what is kept from whom.
func (s *switched) ways() []way {
	anna, lan, none := s.anna, s.router, netip.IPv6Unspecified()
	lanTo := func(name string, frame []byte, to *node, heard string, may bool) way {
		return way{"LAN: " + name, lan.node, "eth0", frame, to, heard, may}
	}
	annaTo := func(name string, frame []byte, to *node, heard string, may bool) way {
		return way{"guest: " + name, anna.node, "eth0", frame, to, heard, may}
	}
	hostTo := func(name string, frame []byte, to *node, may bool) way {
		return way{"host: " + name, s.node, bn1, frame, to, "eth0", may}
	}
	ip := func(dst plan.MAC, from *station, p []byte) []byte {
		kind := uint16(unix.ETH_P_IP)
		if p[0]>>4 == 6 {
			kind = unix.ETH_P_IPV6
		}
		return slices.Concat(etherFrame(dst, from.mac, kind), p)
	}
	ns := func(from *station, src, target netip.Addr) []byte {
		return ip(broadcast, from, ip6(src, unix.IPPROTO_ICMPV6, neighbour(src, 135, target, from.mac)))
	}
	na := func(from *station, target netip.Addr) []byte {
		return ip(broadcast, from, ip6(from.local, unix.IPPROTO_ICMPV6, neighbour(from.local, 136, target, from.mac)))
	}
	us := &station{mac: bridgeMAC, local: plan.LinkLocal(bridgeMAC)}
	claim := func(from *station) []byte { return arpFrame(from.mac, 2, from.mac, metadata, metadata) }
	tagged := func(from *station, content []byte, tags ...uint16) []byte {
		return slices.Concat(etherFrame(broadcast, from.mac, tags...), content)
	}
	seek := arp(1, lan.mac, lan.ip4, metadata)
	ways := []way{
		lanTo("seeks its neighbour", arpFrame(lan.mac, 1, lan.mac, lan.ip4, anna.ip4), anna.node, "eth0", true),
		lanTo("seeks the host", arpFrame(lan.mac, 1, lan.mac, lan.ip4, gateway), s.node, bn1, true),
		lanTo("seeks the service", arpFrame(lan.mac, 1, lan.mac, lan.ip4, metadata), s.node, bn1, false),
		lanTo("seeks it among guests", arpFrame(lan.mac, 1, lan.mac, lan.ip4, metadata), anna.node, "eth0", false),
		lanTo("seeks it with priority", tagged(lan, seek, unix.ETH_P_8021Q, 0, unix.ETH_P_ARP), s.node, bn1, false),
		lanTo("seeks it with two priorities", tagged(lan, seek, unix.ETH_P_8021AD, 0, unix.ETH_P_8021Q, 0, unix.ETH_P_ARP), s.node, bn1, false),
		lanTo("seeks it in a VLAN", tagged(lan, seek, unix.ETH_P_8021Q, 7, unix.ETH_P_ARP), anna.node, "eth0", true),
		lanTo("passes for it", claim(lan), anna.node, "eth0", false),
		lanTo("sends from its address", ip(anna.mac, lan, packet(metadata, anna.ip4, unix.IPPROTO_UDP, udp(53, 53))), anna.node, "eth0", false),
		lanTo("connects", ip(bridgeMAC, lan, tcpTo(lan.ip4, metadata, 80)), s.node, bn1, false),
		lanTo("connects, IPv6", ip(bridgeMAC, lan, tcpTo(lan.ip6, onEC2, 80)), s.node, bn1, false),
		annaTo("seeks the service", arpFrame(anna.mac, 1, anna.mac, anna.ip4, metadata), s.node, bn1, true),
		annaTo("seeks it on the LAN", arpFrame(anna.mac, 1, anna.mac, anna.ip4, metadata), lan.node, "eth0", false),
		annaTo("seeks her neighbour", arpFrame(anna.mac, 1, anna.mac, anna.ip4, lan.ip4), lan.node, "eth0", true),
		annaTo("passes for it to a guest", claim(anna), s.bert.node, "eth0", false),
		annaTo("passes for it to the LAN", claim(anna), lan.node, "eth0", false),
		annaTo("connects by the router", ip(lan.mac, anna, tcpTo(anna.ip4, metadata, 80)), lan.node, "eth0", false),
		annaTo("connects by the router, IPv6", ip(lan.mac, anna, tcpTo(anna.ip6, onEC2, 80)), lan.node, "eth0", false),
		annaTo("connects to another port of the router's", ip(lan.mac, anna, tcpTo(anna.ip4, metadata, 53)), lan.node, "eth0", true),
		annaTo("connects to another port", ip(bridgeMAC, anna, tcpTo(anna.ip4, metadata, 22)), s.node, bn1, false),
		annaTo("connects to another port, IPv6", ip(bridgeMAC, anna, tcpTo(anna.ip6, metadata6, 22)), s.node, bn1, false),
		annaTo("connects to another host", ip(lan.mac, anna, tcpTo(anna.ip4, lan.ip4, 80)), lan.node, "eth0", true),
		hostTo("answers a guest", arpFrame(us.mac, 2, us.mac, metadata, anna.ip4), anna.node, true),
		hostTo("answers the LAN", arpFrame(us.mac, 2, us.mac, metadata, lan.ip4), lan.node, false),
		hostTo("seeks on the LAN", arpFrame(us.mac, 1, us.mac, gateway, lan.ip4), lan.node, true),
		hostTo("sends from the address to the LAN", ip(broadcast, us, packet(metadata, lan.ip4, unix.IPPROTO_UDP, udp(80, 80))), lan.node, false),
	}
	for _, a := range []netip.Addr{metadata6, onEC2} {
		name := " " + a.String()
		ways = append(ways,
			lanTo("seeks"+name, ns(lan, lan.local, a), s.node, bn1, false),
			lanTo("wants"+name, ns(lan, none, a), s.node, bn1, false),
			lanTo("wants it from a guest:"+name, ns(lan, none, a), anna.node, "eth0", false),
			lanTo("passes for"+name, na(lan, a), anna.node, "eth0", false),
			lanTo("denies us"+name, na(lan, a), s.node, bn1, false),
			annaTo("seeks"+name, ns(anna, anna.local, a), s.node, bn1, true),
			annaTo("seeks on the LAN"+name, ns(anna, anna.local, a), lan.node, "eth0", false),
			annaTo("wants"+name, ns(anna, none, a), s.node, bn1, false),
			annaTo("passes for"+name, na(anna, a), s.bert.node, "eth0", false),
			hostTo("asks whether somebody on the LAN has"+name, ns(us, none, a), lan.node, false),
			hostTo("tells the LAN of"+name, na(us, a), lan.node, false),
			hostTo("tells a guest of"+name, na(us, a), anna.node, true),
		)
	}
	return append(ways, lanTo("seeks its neighbour, IPv6", ns(lan, lan.local, anna.ip6), anna.node, "eth0", true))
}

// goes tells whether a frame is heard. One that everybody may send, sent after it, shows when it would have been.
func (w way) goes() bool {
	w.from.t.Helper()
	s := w.to.sniff(w.heard)
	frame, mark := marked(w.frame)
	end := nonce()
	w.from.send(w.link, frame, slices.Concat(etherFrame(broadcast, plan.MAC(frame[6:12]), etherTest), end))
	return s.until(end, mark)
}

// Each frame goes where it may, and without the table all of them go everywhere.
func TestGuard(t *testing.T) {
	t.Parallel()
	s := newSwitched(t)
	for _, w := range s.ways() {
		if got := w.goes(); got != w.may {
			t.Errorf("%s: goes %t, want %t", w.name, got, w.may)
		}
	}
	s.apply(plan.TableDel{Netns: s.name, Table: plan.GuardTable})
	for _, w := range s.ways() {
		if got := w.goes(); !got {
			t.Errorf("%s: does not go without the table either", w.name)
		}
	}
}

// Two edge nodes on one LAN have the same addresses, and neither gives its own up.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	sandbox.Need(t)
	k := kernel.New(t.TempDir())
	var nodes [2]*switched
	for i := range nodes {
		s := &switched{ruled: newRuled(t, k, i)}
		s.bridge(bn1, plan.MAC{6, 0x16, 0x3e, 0, 1, byte(i)})
		s.sysctl("net/ipv6/conf/bn1/accept_dad", "1")
		s.sysctl("net/ipv6/conf/bn1/dad_transmits", "2")
		nodes[i] = s
	}
	nodes[0].wire(trunkPort, nodes[1].node, trunkPort, plan.MAC{2, 0, 0, 0, 0, 9})
	for _, s := range nodes {
		must(t, s.handle.LinkSetMaster(s.link(trunkPort), s.link(bn1)))
	}
	for _, s := range nodes {
		s.guard()
	}
	for _, s := range nodes {
		changes := watching(t, func(ctx context.Context, changed func()) error {
			return k.Watch(ctx, plan.Network{Namespace: s.name, Bridge: plan.Bridge{Name: bn1}}, changed)
		})
		var a plan.Address
		noticed(t, changes, "the end of the search", func() bool {
			a = linkLocal(observe(t, s.session)[s.name])
			return !a.Tentative
		})
		if a.Duplicate {
			t.Error("a node has given the address up")
		}
	}
}
