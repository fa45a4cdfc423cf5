// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/dnsmasq"
	"github.com/lf-edge/eve-metadata/pkg/netns"
	"github.com/lf-edge/eve-metadata/tests/netns/guestns"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

// subnet is an app network with a bridge and no manager: a dnsmasq of its own and guests that are real clients of it.
type subnet struct {
	t       *testing.T
	dir     string // of the Keeper
	at      dnsmasq.Namespace
	handle  *netlink.Handle
	keeper  *dnsmasq.Keeper
	changed chan struct{}
	network dnsmasq.Network
}

const subnetName = "blue"

func newSubnet(t *testing.T) *subnet {
	t.Helper()
	sandbox.Need(t)
	tool.Need(t, "/usr/sbin/dnsmasq", "dnsmasq-base")
	root := t.TempDir()
	// dnsmasq is another user: it must be able to get there.
	if err := os.Chmod(filepath.Dir(root), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &subnet{
		t: t, dir: filepath.Join(root, "dnsmasq"), changed: make(chan struct{}, 1),
		network: dnsmasq.Network{
			Interface: "br0", Domain: "blue.example.com", Search: []string{"example.com"}, MTU: 1400, LeaseTime: 1234 * time.Second,
			IPv4: dnsmasq.Subnet{Prefix: netip.MustParsePrefix("10.11.12.0/24"), Router: netip.MustParseAddr("10.11.12.1")},
			IPv6: dnsmasq.Subnet{Prefix: netip.MustParsePrefix("fd00:1::/64"), Router: netip.MustParseAddr("fd00:1::1")},
			DHCP: true, DNS: true, Metadata: netip.MustParseAddr("169.254.169.254"),
			NTP:    []netip.Addr{netip.MustParseAddr("192.0.2.123"), netip.MustParseAddr("2001:db8::123")},
			Routes: []dnsmasq.Route{{Dst: netip.MustParsePrefix("192.0.2.0/25"), Via: netip.MustParseAddr("10.11.12.2")}},
		},
	}
	if users, err := os.ReadFile("/proc/self/uid_map"); err == nil && strings.Contains(string(users), "4294967295") {
		s.network.User = "nobody"
	} // else this is a user namespace with nobody else in it
	s.enter(filepath.Join(root, "network"))
	s.keep()
	t.Cleanup(func() {
		s.keeper.Close()
		s.keep()
		if err := s.keeper.Forget(subnetName); err != nil {
			t.Error(err)
		}
		s.keeper.Close()
	})
	return s
}

// enter makes a namespace with a bridge, and has the network be there.
func (s *subnet) enter(path string) {
	s.t.Helper()
	if err := netns.Create(path); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = netns.Delete(path) })
	ns, err := netns.Open(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer ns.Close()
	if s.handle, err = netlink.NewHandleAt(ns.Handle(), unix.NETLINK_ROUTE); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.handle.Close)
	lo, err := s.handle.LinkByName("lo")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.handle.LinkSetUp(lo); err != nil {
		s.t.Fatal(err)
	}
	s.at = dnsmasq.Namespace{Path: path, ID: ns.ID()}
	if err := ns.Do(hasty); err != nil {
		s.t.Fatal(err)
	}
	s.bridge()
}

// hasty makes the kernel of the calling thread's namespace use addresses without asking whether others have them.
func hasty() error { return os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0) }

// bridge makes the network's bridge.
func (s *subnet) bridge() {
	s.t.Helper()
	link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	err := s.handle.LinkAdd(link)
	for _, a := range []string{"10.11.12.1/24", "169.254.169.254/32", "fd00:1::1/64"} {
		addr, parseErr := netlink.ParseAddr(a)
		if parseErr != nil {
			s.t.Fatal(parseErr)
		}
		if addr.IP.To4() == nil {
			addr.Flags = unix.IFA_F_NODAD
		}
		err = errors.Join(err, s.handle.AddrAdd(link, addr))
	}
	if err := errors.Join(err, s.handle.LinkSetUp(link)); err != nil {
		s.t.Fatal(err)
	}
}

// keep starts a Keeper.
func (s *subnet) keep() {
	s.t.Helper()
	k, err := dnsmasq.NewKeeper(dnsmasq.Config{Dir: s.dir, Log: quiet(), Changed: func(string) {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.keeper = k
}

// want says what is wanted now. The Keeper gets a copy.
func (s *subnet) want() {
	n := s.network
	n.Guests = append([]dnsmasq.Guest(nil), n.Guests...)
	s.keeper.Want(subnetName, s.at, &n)
}

// await waits until the state suits.
func (s *subnet) await(what string, suits func(error) bool) {
	s.t.Helper()
	late := time.After(patience)
	for {
		err := s.keeper.State(subnetName)
		if suits(err) {
			return
		}
		select {
		case <-s.changed:
		case <-late:
			s.t.Fatalf("dnsmasq %s: %v", what, err)
		}
	}
}

// run has dnsmasq run as wanted.
func (s *subnet) run() {
	s.t.Helper()
	s.want()
	s.await("runs", func(err error) bool { return err == nil })
}

// pids returns the processes that have the network's configuration.
func (s *subnet) pids() []int {
	s.t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		s.t.Fatal(err)
	}
	var pids []int
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(line, []byte("--conf-file="+s.dir)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			s.t.Fatal(err)
		}
		if session, err := unix.Getsid(pid); err == nil && session == pid { // else it is there for one connection
			pids = append(pids, pid)
		}
	}
	return pids
}

// pid returns the only process.
func (s *subnet) pid() int {
	s.t.Helper()
	pids := s.pids()
	if len(pids) != 1 {
		s.t.Fatalf("%d processes run, want one", len(pids))
	}
	return pids[0]
}

// client is a guest that configures itself.
type client struct {
	*guestns.Guest
	t     *testing.T
	mac   net.HardwareAddr
	vars  string // file that the hook writes the variables to
	hook  string
	files string // prefix of dhclient's
}

// client plugs a guest in, which the network may know or not.
func (s *subnet) client(last byte) *client {
	s.t.Helper()
	dir := s.t.TempDir()
	g, err := guestns.Empty(filepath.Join(dir, "ns"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := g.Close(); err != nil {
			s.t.Error(err)
		}
	})
	c := &client{
		Guest: g, t: s.t, mac: net.HardwareAddr{0x02, 0x16, 0x3e, 0, 0, last},
		vars: filepath.Join(dir, "vars"), hook: filepath.Join(dir, "hook"), files: filepath.Join(dir, "dhclient"),
	}
	script := fmt.Sprintf("#!/bin/sh\nenv >%q.new\ncase $1$reason in bound|renew|BOUND*|REBOOT|RE*6) mv %q.new %q ;; esac\n", c.vars, c.vars, c.vars)
	if err := os.WriteFile(c.hook, []byte(script), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := c.Do(hasty); err != nil {
		s.t.Fatal(err)
	}
	s.plug(c)
	return c
}

// plug connects a guest to the bridge.
func (s *subnet) plug(c *client) {
	s.t.Helper()
	bridge, err := s.handle.LinkByName("br0")
	if err != nil {
		s.t.Fatal(err)
	}
	ns, err := netns.Open(c.Path())
	if err != nil {
		s.t.Fatal(err)
	}
	defer ns.Close()
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("p%d", c.mac[5]), MasterIndex: bridge.Attrs().Index},
		PeerName:  "eth0", PeerHardwareAddr: c.mac, PeerNamespace: netlink.NsFd(ns.Handle()),
	}
	if err := errors.Join(s.handle.LinkAdd(veth), s.handle.LinkSetUp(veth)); err != nil {
		s.t.Fatal(err)
	}
	c.with(func(h *netlink.Handle, eth0 netlink.Link) error { return h.LinkSetUp(eth0) })
}

// with does something with a guest's interface.
func (c *client) with(f func(*netlink.Handle, netlink.Link) error) {
	c.t.Helper()
	err := c.Do(func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		eth0, err := h.LinkByName("eth0")
		if err != nil {
			return err
		}
		return f(h, eth0)
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// give gives a guest an address.
func (c *client) give(prefix string) {
	c.t.Helper()
	addr, err := netlink.ParseAddr(prefix)
	if err != nil {
		c.t.Fatal(err)
	}
	c.with(func(h *netlink.Handle, eth0 netlink.Link) error { return h.AddrReplace(eth0, addr) })
}

// udhcpc asks once for all that the network tells, and returns what was told; nil when nobody answered.
func (c *client) udhcpc(args ...string) map[string]string {
	c.t.Helper()
	tool.Need(c.t, "busybox", "busybox")
	all := []string{"udhcpc", "-i", "eth0", "-n", "-q", "-f", "-s", c.hook, "-t", "3", "-T", "1"}
	for _, o := range []string{"staticroutes", "msstaticroutes", "mtu", "search", "ntpsrv", "domain", "hostname"} {
		all = append(all, "-O", o)
	}
	return c.ask("busybox", append(all, args...)...)
}

// dhclient does the same with dhclient, of IPv4 or IPv6, and asks for some options.
func (c *client) dhclient(family, options string) map[string]string {
	c.t.Helper()
	if err := os.WriteFile(c.files+".conf", []byte("also request "+options+";\n"), 0o644); err != nil {
		c.t.Fatal(err)
	}
	tool.Need(c.t, "/usr/sbin/dhclient", "isc-dhcp-client")
	if err := os.Remove(c.files + ".leases"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.t.Fatal(err)
	}
	all := []string{family, "-1", "-d", "-cf", c.files + ".conf", "-lf", c.files + ".leases", "-pf", c.files + ".pid", "-sf", c.hook}
	return c.ask("/usr/sbin/dhclient", append(all, "eth0")...)
}

// ask runs a client until it is told something or gives up.
func (c *client) ask(name string, args ...string) map[string]string {
	c.t.Helper()
	if err := os.Remove(c.vars); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	cmd := c.Command(ctx, name, args...)
	out, err := os.Create(filepath.Join(filepath.Dir(c.vars), "out"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	told := fileAppears(ctx, c.t, c.vars)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-told:
		_ = cmd.Process.Kill() // dhclient stays, to renew
		<-ended
	case <-ended:
	}
	content, err := os.ReadFile(c.vars)
	if err != nil {
		said, _ := os.ReadFile(out.Name())
		c.t.Logf("%s is told nothing: %s", name, said)
		return nil
	}
	vars := map[string]string{}
	for line := range strings.Lines(string(content)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			vars[key] = value
		}
	}
	return vars
}

// fileAppears returns what is closed when a file has been put in place.
func fileAppears(ctx context.Context, t *testing.T, path string) <-chan struct{} {
	t.Helper()
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	if err := watcher.Add(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	appeared := make(chan struct{})
	go func() {
		defer watcher.Close()
		for {
			if _, err := os.Stat(path); err == nil {
				close(appeared)
				return
			}
			select {
			case <-watcher.Events:
			case <-ctx.Done():
				return
			}
		}
	}()
	return appeared
}

// pick returns some of the variables.
func pick(vars map[string]string, keys ...string) map[string]string {
	some := map[string]string{}
	for _, k := range keys {
		some[k] = vars[k]
	}
	return some
}

func guest(app string, last byte, names ...string) dnsmasq.Guest {
	return dnsmasq.Guest{
		App: app, Adapter: "eth0", MAC: net.HardwareAddr{0x02, 0x16, 0x3e, 0, 0, last},
		IPv4: netip.AddrFrom4([4]byte{10, 11, 12, last}), IPv6: netip.MustParseAddr(fmt.Sprintf("fd00:1::%x", last)), Names: names,
	}
}

// Two clients are told all that there is to tell.
func TestDHCP(t *testing.T) {
	t.Parallel()
	s := newSubnet(t)
	s.network.Guests = []dnsmasq.Guest{guest("a", 5, "web.blue.example.com", "web"), guest("b", 6, "db")}
	s.network.Guests[1].MTU = 9000
	s.run()
	c, other := s.client(5), s.client(6)

	want := map[string]string{
		"ip": "10.11.12.5", "mask": "24", "router": "10.11.12.1", "serverid": "10.11.12.1", "dns": "10.11.12.1",
		"domain": "blue.example.com", "search": "blue.example.com example.com", "hostname": "web", "ntpsrv": "192.0.2.123",
		"mtu": "1400", "lease": "1234",
		"staticroutes": "169.254.169.254/32 10.11.12.1 0.0.0.0/0 10.11.12.1 192.0.2.0/25 10.11.12.2",
	}
	want["msstaticroutes"] = want["staticroutes"]
	var keys []string
	for k := range want {
		keys = append(keys, k)
	}
	if diff := cmp.Diff(want, pick(c.udhcpc(), keys...)); diff != "" {
		t.Errorf("udhcpc is told (-want +got):\n%s", diff)
	}
	// Firmware, initrd and system: each has another client identifier.
	for _, id := range []string{"0x3d:ff00000001", "0x3d:0102163e000005", "0x3d:ff00000002"} {
		if got := c.udhcpc("-x", id)["ip"]; got != want["ip"] {
			t.Errorf("as client %s: address %q, want %s", id, got, want["ip"])
		}
	}
	got := other.dhclient("-4", "interface-mtu")
	wantOther := map[string]string{
		"new_ip_address": "10.11.12.6", "new_interface_mtu": "9000", "new_dhcp_lease_time": "1234", "new_host_name": "db",
		"new_routers": "10.11.12.1",
	}
	if diff := cmp.Diff(wantOther, pick(got, "new_ip_address", "new_interface_mtu", "new_dhcp_lease_time", "new_host_name", "new_routers")); diff != "" {
		t.Errorf("dhclient is told (-want +got):\n%s", diff)
	}
	if got := s.client(7).udhcpc("-t", "2"); got != nil {
		t.Errorf("a guest that nobody knows is told %v", got)
	}
}

// A guest asks DHCPv6 when the router's advertisement says so.
func TestDHCPv6(t *testing.T) {
	t.Parallel()
	s := newSubnet(t)
	s.network.IPv4 = dnsmasq.Subnet{}
	s.network.Guests = []dnsmasq.Guest{guest("a", 5, "web.blue.example.com")}
	s.run()
	want := map[string]string{
		"new_ip6_address": "fd00:1::5", "new_dhcp6_name_servers": "fd00:1::1", "new_max_life": "1234",
		"new_dhcp6_domain_search": "blue.example.com. example.com.", "new_dhcp6_sntp_servers": "2001:db8::123",
	}
	got := s.client(5).dhclient("-6", "dhcp6.sntp-servers")
	if diff := cmp.Diff(want, pick(got, "new_ip6_address", "new_dhcp6_name_servers", "new_max_life", "new_dhcp6_domain_search", "new_dhcp6_sntp_servers")); diff != "" {
		t.Errorf("dhclient is told (-want +got):\n%s", diff)
	}

	// The address goes to another guest, who gets it although its lease has not run out.
	s.network.Guests[0].MAC = net.HardwareAddr{0x02, 0x16, 0x3e, 0, 0, 6}
	s.want()
	if got := s.client(6).dhclient("-6", "dhcp6.sntp-servers")["new_ip6_address"]; got != "fd00:1::5" {
		t.Errorf("new owner gets %q", got)
	}
}

// The kernel of a guest makes its address out of the router's advertisement.
func TestSLAAC(t *testing.T) {
	t.Parallel()
	s := newSubnet(t)
	s.network.SLAAC = true
	s.run()
	c := s.client(5)
	updates, done := make(chan netlink.AddrUpdate), make(chan struct{})
	if err := c.Do(func() error {
		return netlink.AddrSubscribeWithOptions(updates, done, netlink.AddrSubscribeOptions{ListExisting: true})
	}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		close(done)
		for range updates { // until whoever sends has noticed
		}
	}()
	want := netip.MustParseAddr("fd00:1::16:3eff:fe00:5")
	for late := time.After(patience); ; {
		select {
		case u := <-updates:
			if a, ok := netip.AddrFromSlice(u.LinkAddress.IP); !ok || a.Unmap() != want {
				continue
			}
		case <-late:
			t.Fatalf("guest has not made %s", want)
		}
		break
	}
	c.with(func(h *netlink.Handle, eth0 netlink.Link) error {
		routes, err := h.RouteList(eth0, netlink.FAMILY_V6)
		for _, r := range routes {
			if r.Dst == nil || r.Dst.IP.IsUnspecified() {
				return err
			}
		}
		return errors.Join(err, fmt.Errorf("no default route in %v", routes))
	})
}

// Names are answered forward and reverse, and what is not known does not exist.
func TestDNS(t *testing.T) {
	t.Parallel()
	s := newSubnet(t)
	s.network.Guests = []dnsmasq.Guest{guest("a", 5, "web.blue.example.com", "web"), guest("b", 6, "web", "db"), guest("c", 7)}
	s.network.Records = []dnsmasq.Record{{Name: "printer.example.com", Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.9")}}}
	s.run()
	c := s.client(5)
	c.give("10.11.12.5/24")
	for _, r := range []struct {
		kind, question string
		want           []string
	}{
		{"host", "web.blue.example.com.", []string{"10.11.12.5", "fd00:1::5"}},
		{"host", "web.", []string{"10.11.12.5", "fd00:1::5"}},
		{"host", "db.", []string{"10.11.12.6", "fd00:1::6"}},
		{"host", "data-server.", []string{"10.11.12.1", "fd00:1::1"}},
		{"host", "router.blue.example.com.", []string{"10.11.12.1", "fd00:1::1"}},
		{"host", "printer.example.com.", []string{"192.0.2.9"}},
		{"host", "localhost.example.com.", nil},
		{"host", "example.org.", nil},
		{"addr", "10.11.12.5", []string{"web.blue.example.com."}},
		{"addr", "fd00:1::6", []string{"db."}},
		{"addr", "10.11.12.1", []string{"router.blue.example.com."}},
		{"addr", "10.11.12.9", nil},
		{"addr", "192.0.2.1", nil},
	} {
		if diff := cmp.Diff(r.want, c.resolve(r.kind, r.question)); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", r.kind, r.question, diff)
		}
	}
	// A client does not name itself.
	if got := s.client(7).udhcpc("-x", "hostname:bank")["ip"]; got != "10.11.12.7" {
		t.Errorf("guest without a name gets %q", got)
	}
	if got := c.resolve("host", "bank."); got != nil {
		t.Errorf("a name that a guest has given itself is known: %v", got)
	}
}

// Names that are not the network's own are asked of the server that was named; its own are not.
func TestDNSForwards(t *testing.T) {
	t.Parallel()
	s := newSubnet(t)
	upstream := netip.MustParseAddr("127.0.0.1") // in the network's namespace
	s.answerAll(upstream)
	s.network.Upstream = []netip.Addr{upstream}
	s.run()
	c := s.client(5)
	c.give("10.11.12.5/24")
	if diff := cmp.Diff([]string{"192.0.2.77"}, c.resolve("host", "example.org.")); diff != "" {
		t.Errorf("example.org (-want +got):\n%s", diff)
	}
	for _, name := range []string{"nobody.blue.example.com.", "nobody."} {
		if got := c.resolve("host", name); got != nil {
			t.Errorf("%s is %v", name, got)
		}
	}
	if got := c.resolve("addr", "10.11.12.9"); got != nil {
		t.Errorf("a free address is called %v", got)
	}
}

// answerAll answers whatever it is asked for with an address of IPv4.
func (s *subnet) answerAll(at netip.Addr) {
	s.t.Helper()
	var conn net.PacketConn
	if err := netns.Do(s.at.Path, func() (err error) {
		conn, err = net.ListenPacket("udp", netip.AddrPortFrom(at, 53).String())
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for query := make([]byte, 1500); ; {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(answerTo(query[:n]), from)
		}
	}()
	s.t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
}

// answerTo makes a DNS message out of the query, with its question: that the name has the address 192.0.2.77, if it was
// asked for an address of IPv4.
func answerTo(query []byte) []byte {
	const header, afterName = 12, 5
	end := header + bytes.IndexByte(query[header:], 0) + afterName
	answer := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[header:end]...)
	if isA := query[end-3] == 1; isA {
		answer[7] = 1
		answer = append(answer, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 77)
	}
	return answer
}

// occupy has the server wait for a second question over TCP, which takes a process of its own.
func (c *client) occupy() net.Conn {
	c.t.Helper()
	conn, err := c.DialContext(c.t.Context(), "tcp", "10.11.12.1:53")
	if err != nil {
		c.t.Fatal(err)
	}
	// For "router", an address of IPv4; before it its length.
	question := []byte("\x00\x18\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06router\x00\x00\x01\x00\x01")
	_, err = conn.Write(question)
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return conn
}

// resolve asks the network's server; nil: there is no such name, of which it must tell at once.
func (c *client) resolve(kind, question string) []string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return c.DialContext(ctx, network, "10.11.12.1:53")
	}}
	ask := resolver.LookupHost
	if kind == "addr" {
		ask = resolver.LookupAddr
	}
	answers, err := ask(ctx, question)
	var dns *net.DNSError
	if err != nil && (!errors.As(err, &dns) || !dns.IsNotFound) {
		c.t.Errorf("%s %s: %v", kind, question, err)
	}
	slices.Sort(answers)
	return answers
}

// A change of the guests reaches the process that runs, and takes nothing from others.
func TestReload(t *testing.T) {
	t.Parallel()
	s := newSubnet(t)
	s.network.Guests = []dnsmasq.Guest{guest("a", 5, "web")}
	s.run()
	pid := s.pid()
	first, second, third := s.client(5), s.client(6), s.client(7)
	if got := first.udhcpc()["ip"]; got != "10.11.12.5" {
		t.Fatalf("first guest gets %q", got)
	}
	s.network.Guests = append(s.network.Guests, guest("b", 6, "db"))
	s.want()
	if got := second.udhcpc()["ip"]; got != "10.11.12.6" {
		t.Errorf("guest that was added gets %q", got)
	}
	// The second's address is another's at once, who is not told that it is taken.
	reused := guest("c", 7, "cache")
	reused.IPv4 = s.network.Guests[1].IPv4
	s.network.Guests[1] = reused
	s.want()
	start := time.Now()
	if got := third.udhcpc()["ip"]; got != "10.11.12.6" {
		t.Errorf("new owner of an address gets %q", got)
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("new owner of an address waits %v for it", d)
	}
	if got := second.udhcpc("-t", "1"); got != nil {
		t.Errorf("guest that was removed is told %v", got)
	}
	if got := s.pid(); got != pid {
		t.Errorf("process %d was replaced by %d", pid, got)
	}
	leases, err := os.ReadFile(filepath.Join(s.dir, subnetName, "leases"))
	if err != nil || !bytes.Contains(leases, []byte("02:16:3e:00:00:05 10.11.12.5")) {
		t.Errorf("the first guest's lease is lost: %v, %s", err, leases)
	}
}

// Whatever becomes of the process or the bridge, guests get their addresses again.
func TestDNSMasqHeals(t *testing.T) {
	t.Parallel()
	s := newSubnet(t)
	s.network.Guests = []dnsmasq.Guest{guest("a", 5, "web")}
	s.run()
	c := s.client(5)
	if got := c.udhcpc()["ip"]; got != "10.11.12.5" {
		t.Fatalf("guest gets %q", got)
	}
	c.give("10.11.12.5/24")
	defer c.occupy().Close()
	pid := s.pid()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	s.await("is missed", func(err error) bool { return err != nil && err.Error() == "dnsmasq was killed" })
	s.await("runs again", func(err error) bool { return err == nil })
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("it ran again after %v", d)
	}
	if got := s.pid(); got == pid {
		t.Errorf("process %d is still there", pid)
	}
	if got := c.udhcpc("-r", "10.11.12.5")["ip"]; got != "10.11.12.5" {
		t.Errorf("after a restart guest gets %q", got)
	}

	pid = s.pid()
	if err := s.handle.LinkDel(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}); err != nil {
		t.Fatal(err)
	}
	s.bridge()
	bridge, err := s.handle.LinkByName("br0")
	if err != nil {
		t.Fatal(err)
	}
	port, err := s.handle.LinkByName("p5")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.handle.LinkSetMaster(port, bridge); err != nil {
		t.Fatal(err)
	}
	if got := c.udhcpc("-t", "10")["ip"]; got != "10.11.12.5" {
		t.Errorf("on another bridge guest gets %q", got)
	}
	if got := s.pid(); got != pid {
		t.Errorf("process %d was replaced by %d", pid, got)
	}
}

// The process outlives the Keeper. The next one takes it over if it is the right one, and replaces it otherwise.
func TestDNSMasqIsTakenOver(t *testing.T) {
	t.Parallel()
	s := newSubnet(t)
	s.network.Guests = []dnsmasq.Guest{guest("a", 5, "web")}
	s.run()
	pid := s.pid()
	again := func() {
		t.Helper()
		s.keeper.Close()
		s.keep()
	}
	again()
	if got := s.pid(); got != pid {
		t.Fatalf("process %d did not stay; %d", pid, got)
	}
	c := s.client(5)
	c.give("10.11.12.5/24")
	defer c.occupy().Close()
	s.network.Guests = append(s.network.Guests, guest("b", 6, "db"))
	s.run()
	if got := s.pid(); got != pid {
		t.Errorf("process %d was replaced by %d", pid, got)
	}
	if got := s.client(6).udhcpc()["ip"]; got != "10.11.12.6" {
		t.Errorf("guest that was added gets %q", got)
	}

	again()
	s.network.LeaseTime *= 2
	s.run()
	other := s.pid()
	if other == pid {
		t.Errorf("process %d runs with another configuration", pid)
	}

	again()
	s.enter(s.at.Path + "2")
	s.run()
	if got := s.pid(); got == other {
		t.Errorf("process %d runs in another namespace", got)
	}

	again()
	if networks, err := s.keeper.Networks(); err != nil || !cmp.Equal(networks, []string{subnetName}) {
		t.Errorf("left by an earlier run: %v, %v", networks, err)
	}
	if err := s.keeper.Forget(subnetName); err != nil {
		t.Error(err)
	}
	if got := s.pids(); got != nil {
		t.Errorf("forgotten, yet runs as %v", got)
	}
	if networks, err := s.keeper.Networks(); err != nil || networks != nil {
		t.Errorf("forgotten, yet has files: %v, %v", networks, err)
	}
}

// What keeps dnsmasq from running is said, and it is tried again.
func TestDNSMasqFails(t *testing.T) {
	t.Parallel()
	s := newSubnet(t)
	var socket net.PacketConn
	if err := netns.Do(s.at.Path, func() (err error) {
		socket, err = net.ListenPacket("udp", "10.11.12.1:53")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s.want()
	s.await("says what is in its way", func(err error) bool { return err != nil && strings.Contains(err.Error(), "Address already in use") })
	if err := socket.Close(); err != nil {
		t.Fatal(err)
	}
	s.await("runs", func(err error) bool { return err == nil })

	k, err := dnsmasq.NewKeeper(dnsmasq.Config{Dir: t.TempDir(), Binary: "not-dnsmasq", Log: quiet(), Changed: func(string) { s.changed <- struct{}{} }})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	k.Want(subnetName, s.at, &dnsmasq.Network{Interface: "br0"})
	<-s.changed
	if err := k.State(subnetName); err == nil || !strings.Contains(err.Error(), "not installed") {
		t.Errorf("without the program: %v", err)
	}
	if err := k.Forget(subnetName); err != nil {
		t.Error(err)
	}
}
