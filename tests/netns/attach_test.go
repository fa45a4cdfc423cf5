// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/netns"
	"github.com/lf-edge/eve-metadata/tests/netns/guestns"
)

// Tests on the host's own namespace, which is that of the whole test binary here, do not run beside others.

func prefixes() cmp.Option { return cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }) }

// detach takes away what a network was given, and everything is gone then.
func detach(t *testing.T, k *kernel.Kernel, n plan.Network) {
	t.Helper()
	s := open(t, k, n)
	apply(t, s, plan.Detach(n, observe(t, s))...)
	s = open(t, k, n)
	if again := plan.Detach(n, observe(t, s)); len(again) > 0 {
		t.Errorf("left to take away: %v", again)
	}
}

// An uplink is in two namespaces; it comes, is put right when it is broken at either side, and goes without a trace, while
// another network's stays.
func TestUplinkSettles(t *testing.T) {
	k := newKernel(t)
	one, other := oneNetwork(1), oneNetwork(2)
	one.Uplink = plan.NewUplink(networkID(1), 1, "", true)
	other.Uplink = plan.NewUplink(networkID(2), 2, "lo", false)
	settle(t, k, one)
	settle(t, k, other)
	for _, n := range []plan.Network{one, other} {
		if again := settle(t, k, n); len(again) > 0 {
			t.Fatalf("left to do after a plan: %v", again)
		}
	}
	for _, broken := range []plan.Step{
		plan.LinkDel{Link: one.Uplink.Port},
		plan.LinkDel{Netns: one.Namespace, Link: plan.UplinkEnd},
		plan.AddrDel{Link: one.Uplink.Port, Prefix: one.Uplink.Host6},
		plan.AddrDel{Netns: one.Namespace, Link: plan.UplinkEnd, Prefix: one.Uplink.Inner},
		plan.ElementDel{Table: plan.HostTable, Set: plan.SetUplinks, Element: one.Uplink.Port},
		plan.TableDel{Netns: one.Namespace, Table: plan.UplinkTable},
		plan.SysctlSet{Name: "net.ipv4.ip_forward", Value: "0"},
		plan.NetnsDel{Netns: one.Namespace},
	} {
		apply(t, open(t, k, one), broken)
		if steps := settle(t, k, one); len(steps) == 0 {
			t.Errorf("no steps after %s", broken)
		}
		if again := settle(t, k, one); len(again) > 0 {
			t.Errorf("left to do after what came after %s: %v", broken, again)
		}
	}
	one.Uplink = nil
	settle(t, k, one)
	if again := settle(t, k, one); len(again) > 0 {
		t.Errorf("left to do without the uplink: %v", again)
	}
	if again := settle(t, k, other); len(again) > 0 {
		t.Errorf("the other network is disturbed: %v", again)
	}
	detach(t, k, other)
	host := open(t, k, plan.Network{Attach: plan.OnBridge, Bridge: plan.Bridge{Name: other.Uplink.Port}})
	if seen := observe(t, host)[plan.Host]; len(seen.Links) > 0 || len(seen.Tables) > 0 {
		t.Errorf("left in the host's own namespace: %v", seen)
	}
}

// A namespace that others made gets the addresses on its loopback interface, serves there, and is as before afterwards.
func TestExisting(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	path := filepath.Join(t.TempDir(), "run", "netns", "blue")
	inside := newNode(t, path)
	n := plan.Network{Namespace: path, Attach: plan.Existing, Bridge: plan.Bridge{Name: "lo", Addresses: plan.MetadataPrefixes()}}
	s := open(t, k, n)
	before := observe(t, s)
	settle(t, k, n)
	if again := settle(t, k, n); len(again) > 0 {
		t.Fatalf("left to do after a plan: %v", again)
	}
	for _, p := range plan.MetadataPrefixes() {
		addr := p.Addr()
		inside.usable("lo", addr)
		if addr.Is6() && addr.IsLinkLocalUnicast() {
			addr = addr.WithZone("lo")
		}
		serves(t, s, "", netip.AddrPortFrom(addr, 80), path)
	}
	detach(t, k, n)
	if diff := cmp.Diff(before, observe(t, s), prefixes(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("namespace of others (-before +after):\n%s", diff)
	}
	// One that is missing is not made.
	n.Namespace = filepath.Join(t.TempDir(), "missing")
	s = open(t, k, n)
	errs := s.Apply(plan.Plan(plan.Wanted{Networks: []plan.Network{n}}, observe(t, s)))
	if len(errs) != 1 || !errors.Is(errs[0], fs.ErrNotExist) || s.ID() != 0 {
		t.Errorf("in a namespace that is missing: %v", errs)
	}
}

// Two bridges of another program's in the host's own namespace have the same addresses; a socket is one bridge's.
func TestOnBridge(t *testing.T) {
	k := newKernel(t)
	var networks []plan.Network
	var sessions []*kernel.Session
	for _, name := range []string{"bn1", "bn2"} {
		n := plan.Network{Attach: plan.OnBridge, Bridge: plan.Bridge{Name: name, Addresses: plan.MetadataPrefixes()}}
		s := open(t, k, n)
		apply(t, s, plan.LinkAdd{Link: name, Kind: "bridge"}, plan.LinkSet{Link: name, Up: true},
			plan.AddrAdd{Link: name, Prefix: netip.MustParsePrefix("10.11.12.1/24")})
		networks, sessions = append(networks, n), append(sessions, s)
	}
	before := observe(t, sessions[0])
	for i, n := range networks {
		settle(t, k, n)
		l, err := sessions[i].Listen(n.Bridge.Name, netip.MustParseAddrPort("169.254.169.254:80"), netip.MustParseAddrPort("[fd00:ec2::254]:80"))
		if err != nil {
			t.Fatal(err)
		}
		defer closeAll(t, l)
	}
	for _, n := range networks {
		if again := settle(t, k, n); len(again) > 0 {
			t.Errorf("left to do after a plan: %v", again)
		}
	}
	detach(t, k, networks[0])
	if again := settle(t, k, networks[1]); len(again) > 0 {
		t.Errorf("the other bridge is disturbed: %v", again)
	}
	detach(t, k, networks[1])
	after := observe(t, sessions[0])
	before[plan.Host].Sysctls["net.ipv4.tcp_migrate_req"] = "1" // stays
	if diff := cmp.Diff(before, after, prefixes(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the host's own namespace (-before +after):\n%s", diff)
	}
	for i, n := range networks {
		apply(t, sessions[i], plan.LinkDel{Link: n.Bridge.Name})
	}
}

func closeAll(t *testing.T, listeners []net.Listener) {
	t.Helper()
	for _, l := range listeners {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// serves opens a socket, and whoever is in the namespace at path reaches it.
func serves(t *testing.T, s *kernel.Session, device string, at netip.AddrPort, path string) {
	t.Helper()
	open, err := s.Listen(device, at)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, open)
	if err := netns.Do(path, func() error {
		fd, err := connect(at, s.Index(at.Addr().Zone()))
		return errors.Join(err, unix.Close(fd))
	}); err != nil {
		t.Fatalf("connect to %s: %v", at, err)
	}
	c, err := open[0].Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// connect connects from the calling thread's namespace. Package net would take zones for those of the process's own.
func connect(to netip.AddrPort, zone int) (fd int, err error) {
	var sa unix.Sockaddr
	family := unix.AF_INET
	if to.Addr().Is6() {
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16(), ZoneId: uint32(zone)}
	} else {
		sa = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	if fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, err
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 10}); err != nil {
		return fd, err
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); { // the runtime's signals come here too
		err = unix.Connect(fd, sa)
	}
	if errors.Is(err, unix.EISCONN) { // meanwhile
		err = nil
	}
	return fd, err
}

// A guest's connection tells its MAC address, and the next manager's socket is open before the last one's is closed. The
// link-local address can be listened on before it is known whether somebody else has it.
func TestListen(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	n := oneNetwork(1)
	settle(t, k, n)
	s := open(t, k, n)
	observe(t, s)
	at := []netip.AddrPort{
		netip.MustParseAddrPort("169.254.169.254:80"), netip.MustParseAddrPort("[fe80::a9fe:a9fe%br0]:80"),
		netip.MustParseAddrPort("[fd00:ec2::254]:80"),
	}
	old, err := s.Listen("", at...)
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.Listen("", at...)
	if err != nil {
		t.Fatal(err)
	}
	closeAll(t, old)
	defer closeAll(t, next)
	g := guestOf(t, k, n, n.Ports[0])
	if err := g.Do(func() error {
		fd, err := connect(at[0], 0)
		return errors.Join(err, unix.Close(fd))
	}); err != nil {
		t.Fatal(err)
	}
	c, err := next[0].Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if mac := macOf(t, c); mac != n.Ports[0].GuestMAC {
		t.Errorf("the SYN came from %s, want %s", mac, n.Ports[0].GuestMAC)
	}
	// What cannot be opened is said of the one that cannot.
	got, err := s.Listen("", netip.MustParseAddrPort("192.0.2.1:80"), netip.MustParseAddrPort("10.11.0.1:80"), netip.MustParseAddrPort("[fe80::1%br7]:80"))
	if got[0] != nil || got[1] == nil || got[2] != nil || !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Fatalf("sockets %v, error %v", got, err)
	}
	closeAll(t, got[1:2])
}

// macOf returns the address that a connection's first frame came from.
func macOf(t *testing.T, c net.Conn) (mac plan.MAC) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var syn [128]byte
	size := uint32(len(syn))
	var failed unix.Errno
	if err := raw.Control(func(fd uintptr) {
		_, _, failed = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_TCP, unix.TCP_SAVED_SYN,
			uintptr(unsafe.Pointer(&syn[0])), uintptr(unsafe.Pointer(&size)), 0)
	}); err != nil {
		t.Fatal(err)
	}
	if failed != 0 || size < 14 {
		t.Fatalf("saved SYN of %d bytes, error %v", size, failed)
	}
	copy(mac[:], syn[6:12])
	return mac
}

// In a network without a way out guests are told so at once, in both families, each time.
func TestIsolated(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	n := oneNetwork(1)
	settle(t, k, n)
	g := guestOf(t, k, n, n.Ports[0])
	for range 3 {
		if err := g.Do(func() error {
			fd, err := connect(netip.MustParseAddrPort("198.51.100.1:80"), 0)
			return errors.Join(err, unix.Close(fd))
		}); !errors.Is(err, unix.EHOSTUNREACH) && !errors.Is(err, unix.ENETUNREACH) {
			t.Errorf("connect to the outside: %v, want to be told that it can not be reached", err)
		}
	}
}

// A network that has more ports than a bridge takes: guests on different bridges reach the service and each other, and
// only the first bridge answers for its addresses.
func TestManyPorts(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it makes a thousand interfaces")
	}
	k := newKernel(t)
	n := networkOf(1, plan.MaxBridgePorts+1)
	settle(t, k, n)
	s := open(t, k, n)
	seen := observe(t, s)
	if again := plan.Plan(plan.Wanted{Networks: []plan.Network{n}}, seen); len(again) > 0 {
		t.Fatalf("left to do after a plan: %v", again)
	}
	masters := map[string]string{}
	for _, l := range seen[n.Namespace].Links {
		masters[l.Name] = l.Master
	}
	var far, near plan.Port
	for _, p := range n.Ports {
		if masters[p.Name] == "br0" {
			near = p
		} else {
			far = p
		}
	}
	if masters[far.Name] != plan.OverflowName(1) {
		t.Fatalf("ports are on %v", masters)
	}
	open, err := s.Listen("", netip.MustParseAddrPort("10.11.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, open)
	for _, p := range []plan.Port{far, near} {
		g := guestOf(t, k, n, p)
		if err := g.Do(func() error {
			fd, err := connect(netip.MustParseAddrPort("10.11.0.1:80"), 0)
			return errors.Join(err, unix.Close(fd))
		}); err != nil {
			t.Errorf("guest on %s: %v", masters[p.Name], err)
		}
		router, err := neighbourOf(g, "10.11.0.1")
		if err != nil || router != n.Bridge.MAC {
			t.Errorf("guest on %s takes %s for its router, want %s, error %v", masters[p.Name], router, n.Bridge.MAC, err)
		}
	}
}

// neighbourOf returns the MAC address that a guest takes an address for.
func neighbourOf(g *guestns.Guest, addr string) (mac plan.MAC, err error) {
	err = g.Do(func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		all, err := h.NeighList(0, netlink.FAMILY_V4)
		for _, n := range all {
			if n.IP.String() == addr && len(n.HardwareAddr) == len(mac) {
				mac = plan.MAC(n.HardwareAddr)
			}
		}
		return err
	})
	return mac, err
}

// watching runs a watch until the test ends, and returns a channel that tells of changes.
func watching(t *testing.T, watch func(ctx context.Context, changed func()) error) <-chan struct{} {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	changes, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- watch(ctx, func() {
			select {
			case changes <- struct{}{}:
			default:
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("watch: %v", err)
		}
	})
	return changes
}

// noticed returns when a state is reached. It looks again after each change that is told, and never otherwise.
func noticed(t *testing.T, changes <-chan struct{}, what string, reached func() bool) {
	t.Helper()
	late := time.After(patience)
	for !reached() {
		select {
		case <-changes:
		case <-late:
			t.Fatalf("%s is not noticed", what)
		}
	}
}

// told repeats something until a change is told of: the watch may have begun only after the first time.
func told(t *testing.T, changes <-chan struct{}, do func()) {
	t.Helper()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for late := time.After(patience); ; {
		do()
		select {
		case <-changes:
			return
		case <-again.C:
		case <-late:
			t.Fatal("it is not noticed")
		}
	}
}

// Changes of each kind are noticed, in a namespace in which nothing else happens.
func TestWatch(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	for i, tt := range []struct {
		what string
		do   func(ns string) []plan.Step // and undone
	}{
		{"interface", func(ns string) []plan.Step {
			return []plan.Step{plan.LinkAdd{Netns: ns, Link: "x", Kind: "bridge"}, plan.LinkDel{Netns: ns, Link: "x"}}
		}},
		{"address", func(ns string) []plan.Step {
			a := netip.MustParsePrefix("192.0.2.1/32")
			return []plan.Step{plan.AddrAdd{Netns: ns, Link: "lo", Prefix: a}, plan.AddrDel{Netns: ns, Link: "lo", Prefix: a}}
		}},
		{"route", func(ns string) []plan.Step {
			r := plan.Route{Dst: netip.MustParsePrefix("192.0.2.0/24")}
			return []plan.Step{plan.RouteAdd{Netns: ns, Route: r}, plan.RouteDel{Netns: ns, Route: r}}
		}},
		{"route of IPv6", func(ns string) []plan.Step {
			r := plan.Route{Dst: netip.MustParsePrefix("2001:db8::/32")}
			return []plan.Step{plan.RouteAdd{Netns: ns, Route: r}, plan.RouteDel{Netns: ns, Route: r}}
		}},
		{"forwarding", func(ns string) []plan.Step {
			const forward = "net.ipv4.ip_forward"
			return []plan.Step{plan.SysctlSet{Netns: ns, Name: forward, Value: "0"}, plan.SysctlSet{Netns: ns, Name: forward, Value: "1"}}
		}},
		{"table", func(ns string) []plan.Step {
			return []plan.Step{plan.TableDel{Netns: ns, Table: plan.FilterTable}, plan.TableAdd{Netns: ns, Table: plan.FilterTable}}
		}},
		{"element", func(ns string) []plan.Step {
			e := plan.ElementAdd{Netns: ns, Table: plan.FilterTable, Set: plan.SetAnyone, Element: "x"}
			return []plan.Step{e, plan.ElementDel(e)}
		}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			n := networkOf(i, 0)
			settle(t, k, n)
			s := open(t, k, n)
			changes := watching(t, func(ctx context.Context, changed func()) error { return k.Watch(ctx, n, changed) })
			told(t, changes, func() { apply(t, s, tt.do(n.Namespace)...) })
		})
	}
}

// It is noticed when it has become clear that nobody else has the link-local address, with the first guest's coming.
func TestWatchTentative(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	n := oneNetwork(1)
	settle(t, k, n)
	s := open(t, k, n)
	changes := watching(t, func(ctx context.Context, changed func()) error { return k.Watch(ctx, n, changed) })
	if !linkLocal(observe(t, s)[n.Namespace]).Tentative {
		t.Error("the address is not tentative before there is anybody to be asked")
	}
	told(t, changes, func() {
		apply(t, s, plan.LinkAdd{Netns: n.Namespace, Link: "x", Kind: "bridge"}, plan.LinkDel{Netns: n.Namespace, Link: "x"})
	})
	guestOf(t, k, n, n.Ports[0])
	noticed(t, changes, "the end of the search", func() bool {
		a := linkLocal(observe(t, s)[n.Namespace])
		return !a.Tentative && !a.Duplicate
	})
}

// linkLocal returns the metadata address that is link-local, as the bridge has it.
func linkLocal(ns plan.Namespace) plan.Address {
	for _, l := range ns.Links {
		for _, a := range l.Addresses {
			if a.Prefix == plan.MetadataPrefixes()[1] && (l.Name == "br0" || l.Name == "bn1") {
				return a
			}
		}
	}
	return plan.Address{Tentative: true}
}

// That somebody else has the link-local address is noticed and seen; it is given another try when that is asked for.
func TestDuplicate(t *testing.T) {
	k := newKernel(t)
	n := plan.Network{Attach: plan.OnBridge, Bridge: plan.Bridge{Name: "bn1", Addresses: plan.MetadataPrefixes()}}
	ours := plan.MetadataPrefixes()[1]
	other := open(t, k, plan.Network{Attach: plan.OnBridge, Bridge: plan.Bridge{Name: "other"}})
	s := open(t, k, n)
	apply(t, s, plan.LinkAdd{Link: "bn1", Kind: "bridge"}, plan.LinkAdd{Link: "port", Kind: "veth", Peer: "other"},
		plan.LinkSet{Link: "port", Master: "bn1", Up: true}, plan.LinkSet{Link: "other", Up: true})
	changes := watching(t, func(ctx context.Context, changed func()) error {
		return k.Watch(ctx, plan.Network{Attach: plan.OnBridge, Bridge: plan.Bridge{Name: "other"}}, changed)
	})
	onBridge := watching(t, func(ctx context.Context, changed func()) error { return k.Watch(ctx, n, changed) })
	told(t, changes, func() {
		apply(t, s, plan.AddrDel{Link: "other", Prefix: ours}, plan.AddrAdd{Link: "other", Prefix: ours})
	})
	told(t, onBridge, func() {
		a := netip.MustParsePrefix("192.0.2.1/32")
		apply(t, s, plan.AddrAdd{Link: "bn1", Prefix: a}, plan.AddrDel{Link: "bn1", Prefix: a})
	})
	noticed(t, changes, "the address of the other", func() bool {
		for _, l := range observe(t, other)[plan.Host].Links {
			for _, a := range l.Addresses {
				if a.Prefix == ours {
					return !a.Tentative
				}
			}
		}
		return false
	})
	apply(t, s, plan.LinkSet{Link: "bn1", Up: true})
	settle(t, k, n)
	noticed(t, onBridge, "the duplicate", func() bool { return linkLocal(observe(t, s)[plan.Host]).Duplicate })
	if again := settle(t, k, n); len(again) > 0 {
		t.Errorf("left to do: %v", again)
	}
	apply(t, s, plan.AddrDel{Link: "other", Prefix: ours})
	apply(t, s, plan.Plan(plan.Wanted{Networks: []plan.Network{n}, Retry: true}, observe(t, s))...)
	noticed(t, onBridge, "that nobody else has it", func() bool {
		a := linkLocal(observe(t, s)[plan.Host])
		return !a.Tentative && !a.Duplicate
	})
	detach(t, k, n)
	apply(t, s, plan.LinkDel{Link: "port"}, plan.LinkDel{Link: "bn1"})
}

// The loss of the table in the host's own namespace is noticed, and what networks do with its elements is not.
func TestWatchHost(t *testing.T) {
	k := newKernel(t)
	s := open(t, k, plan.Network{Attach: plan.OnBridge, Bridge: plan.Bridge{Name: "lo"}})
	apply(t, s, plan.TableAdd{Table: plan.HostTable})
	changes := watching(t, k.WatchHost)
	told(t, changes, func() { apply(t, s, plan.TableDel{Table: plan.HostTable}, plan.TableAdd{Table: plan.HostTable}) })
	apply(t, s, plan.TableDel{Table: plan.HostTable})
}

// Namespaces that come and go are noticed by name, and the end of one that others made.
func TestWatchNames(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	ctx, cancel := context.WithCancel(context.Background())
	names, ended := make(chan string, 100), make(chan error, 1)
	go func() { ended <- k.WatchNames(ctx, func(name string) { names <- name }) }()
	ours := plan.NamespaceName(networkID(1))
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for late, told := time.After(patience), false; !told; {
		if err := errors.Join(netns.Create(filepath.Join(k.Dir(), "blue")), netns.Create(k.Path(ours)), netns.Delete(k.Path(ours)), netns.Delete(k.Path("blue"))); err != nil {
			t.Fatal(err)
		}
		select {
		case name := <-names:
			if told = true; name != ours {
				t.Errorf("told of %q", name)
			}
		case <-again.C:
		case <-late:
			t.Fatal("it is not noticed")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
