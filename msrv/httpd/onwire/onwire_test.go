// SPDX-License-Identifier: Apache-2.0

// Package onwire_test asks the server from real guests: network namespaces of their own on the ports of a bridge, in both
// IP versions. It shows what only frames can: by which MAC address and on which port a caller is known, and how far an
// answer reaches.
package onwire_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/httpd"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/store"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/neigh"
	"github.com/lf-edge/eve-metadata/pkg/netns"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

// Where guests ask. The link-local address has the interface that is asked on as its zone.
const (
	metadata4     = "169.254.169.254"
	metadata6     = "fd00:ec2::254"
	metadataLocal = "fe80::a9fe:a9fe%eth0"
)

// patience is how long an answer may take before a test gives up.
const patience = 10 * time.Second

// network is a bridge in a namespace, with guests on its ports and the server on its addresses.
type network struct {
	t      *testing.T
	ns     *netns.Namespace
	store  *store.Store
	board  *endpoint.Board
	bridge *netlink.Bridge
}

// newNetwork makes a network that has the metadata addresses. Ports is as in endpoint.Endpoint.
func newNetwork(t *testing.T, ports string) *network {
	t.Helper()
	sandbox.Need(t)
	n := &network{t: t, ns: namespace(t), store: store.New(), board: endpoint.NewBoard()}
	h := handle(t, n.ns)
	n.bridge = &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	must(t, h.LinkAdd(n.bridge))
	must(t, h.LinkSetUp(n.bridge))
	addresses(t, n.ns, "br0", "10.0.0.254/24", "169.254.169.254/32", "fd00::254/64", "fd00:ec2::254/128", "fe80::a9fe:a9fe/64")
	var posted []endpoint.Endpoint
	for _, address := range []string{metadata4, metadata6, "fe80::a9fe:a9fe%br0"} {
		posted = append(posted, n.listen(address, ports))
	}
	n.board.Post(posted)
	n.serve()
	return n
}

// listen opens a socket as the manager of the networks does.
func (n *network) listen(address, ports string) endpoint.Endpoint {
	n.t.Helper()
	at := netip.AddrPortFrom(netip.MustParseAddr(address), 80)
	var l net.Listener
	must(n.t, n.ns.Do(func() (err error) {
		saving := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
			var failed error
			err := raw.Control(func(fd uintptr) {
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_SAVE_SYN, 2)
			})
			return errors.Join(err, failed)
		}}
		l, err = saving.Listen(n.t.Context(), "tcp", at.String())
		return err
	}))
	n.t.Cleanup(func() { l.Close() })
	return endpoint.Endpoint{Network: "blue", Address: at, Ports: ports, Listener: l}
}

// serve runs the server until the test ends.
func (n *network) serve() {
	n.t.Helper()
	var bridges *neigh.Table
	must(n.t, n.ns.Do(func() (err error) {
		bridges, err = neigh.Open()
		return err
	}))
	log, _ := logtest.NewNullLogger()
	known := make(chan struct{})
	close(known)
	server := &httpd.Server{
		Board: n.board, Store: n.store, Data: known, Bridges: bridges, Log: log,
		Dialects: []dialect.Dialect{{HTTP: []dialect.Service{{Guard: whose}}}},
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	n.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			n.t.Error(err)
		}
		bridges.Close()
	})
	<-server.Ready()
}

// whose is a guard that says who asks, in an answer that reaches as far as the path says. It leaves "tree" to the tree.
func whose(r *dialect.Request) *dialect.Answer {
	if r.Path == "tree" {
		return nil
	}
	adapter := "no adapter"
	if r.Adapter != nil {
		adapter = r.Adapter.Name
	}
	return &dialect.Answer{Status: http.StatusOK, Body: []byte(r.Instance.UUID + " on " + adapter), HopLimit: hops(r.Path)}
}

// hops is the limit that a path asks for: a single digit.
func hops(path string) int {
	if len(path) != 1 {
		return 0
	}
	return int(path[0] - '0')
}

// guest is a guest on a port of a network.
type guest struct {
	t    *testing.T
	ns   *netns.Namespace
	name string
	link netlink.Link
}

// guest attaches the i-th guest, on port "nb<i>".
func (n *network) guest(i byte) *guest {
	n.t.Helper()
	g := &guest{t: n.t, ns: namespace(n.t), name: fmt.Sprint("u-", i)}
	h, port := handle(n.t, n.ns), fmt.Sprint("nb", i)
	must(n.t, h.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: port, MasterIndex: n.bridge.Index},
		PeerName:  "eth0", PeerHardwareAddr: mac(i), PeerNamespace: netlink.NsFd(g.ns.Handle()),
	}))
	link, err := h.LinkByName(port)
	must(n.t, err)
	must(n.t, h.LinkSetUp(link))
	inside := handle(n.t, g.ns)
	g.link, err = inside.LinkByName("eth0")
	must(n.t, err)
	g.up()
	addresses(n.t, g.ns, "eth0", fmt.Sprintf("10.0.0.%d/24", i), fmt.Sprintf("fd00::%d/64", i), fmt.Sprintf("fe80::%d/64", i))
	return g
}

// up sets the guest's interface up, with the routes to where it asks.
func (g *guest) up() {
	g.t.Helper()
	h := handle(g.t, g.ns)
	must(g.t, h.LinkSetUp(g.link))
	for _, dst := range []string{metadata4 + "/32", metadata6 + "/128"} {
		to, err := netlink.ParseIPNet(dst)
		must(g.t, err)
		must(g.t, h.RouteReplace(&netlink.Route{LinkIndex: g.link.Attrs().Index, Dst: to, Scope: netlink.SCOPE_LINK}))
	}
}

// down takes the guest off the network.
func (g *guest) down() {
	g.t.Helper()
	must(g.t, handle(g.t, g.ns).LinkSetDown(g.link))
}

// become gives the guest a MAC address.
func (g *guest) become(hardware net.HardwareAddr) {
	g.t.Helper()
	must(g.t, handle(g.t, g.ns).LinkSetHardwareAddr(g.link, hardware))
}

// client is the guest's, and keeps its connection. From is the address that it asks from; "": the kernel's choice.
func (g *guest) client(from string) *http.Client {
	d := net.Dialer{Timeout: patience}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	return g.clientWith(d)
}

// clientWith is a client that connects in its own way.
func (g *guest) clientWith(d net.Dialer) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, address string) (conn net.Conn, err error) {
		return conn, g.ns.Do(func() error {
			conn, err = d.DialContext(ctx, "tcp", address)
			return err
		})
	}}
	g.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// ask asks over a connection of its own.
func (g *guest) ask(from, at string) string {
	g.t.Helper()
	c := g.client(from)
	defer c.CloseIdleConnections()
	return ask(g.t, c, at, "")
}

// request is one at a metadata address.
func request(t *testing.T, at, path string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://metadata/"+path, nil)
	must(t, err)
	req.URL.Host = netip.AddrPortFrom(netip.MustParseAddr(at), 80).String()
	return req
}

// ask asks at a metadata address and returns the answer.
func ask(t *testing.T, c *http.Client, at, path string) string {
	t.Helper()
	res, err := c.Do(request(t, at, path))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	if res.StatusCode == http.StatusNotFound {
		return "nobody"
	}
	return string(body)
}

// knows puts the i-th guest into the store, as it is attached.
func (n *network) knows(i byte) {
	a := instance.Adapter{
		Name: "eth0", Network: "blue", MAC: mac(i), Port: fmt.Sprint("nb", i),
		IPv4: instance.Addressing{Address: netip.MustParsePrefix(fmt.Sprintf("10.0.0.%d/24", i))},
		IPv6: instance.Addressing{Address: netip.MustParsePrefix(fmt.Sprintf("fd00::%d/64", i))},
	}
	n.store.Put(&store.Entry{
		Instance: &instance.Instance{UUID: fmt.Sprint("u-", i), Adapters: []instance.Adapter{a}},
		HTTP: map[dialect.Site]*document.Node{dialect.Metadata: document.Directory(nil,
			document.Entry{Name: "tree", Node: document.File(document.Text(fmt.Sprint("of u-", i)))})},
		Keys: []store.Key{
			{Network: "blue"}, {Network: "blue", MAC: store.MAC(a.MAC)},
			{Network: "blue", Address: a.IPv4.Address.Addr()}, {Network: "blue", Address: a.IPv6.Address.Addr()},
		},
	})
}

// Guests are known at every metadata address, from every address that they have.
func TestGuestsAreKnown(t *testing.T) {
	t.Parallel()
	for _, ports := range []string{"", "br0"} {
		t.Run("ports="+ports, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, ports)
			for i := range byte(2) {
				n.knows(i + 1)
				g := n.guest(i + 1)
				for _, at := range []string{metadata4, metadata6, metadataLocal} {
					if got, want := g.ask("", at), g.name+" on eth0"; got != want {
						t.Errorf("%s at %s is %q, want %q", g.name, at, got, want)
					}
					if got, want := ask(t, g.client(""), at, "tree"), "of "+g.name; got != want {
						t.Errorf("%s at %s reads %q, want %q", g.name, at, got, want)
					}
				}
			}
			stranger := n.guest(9)
			for _, at := range []string{metadata4, metadata6, metadataLocal} {
				if got := stranger.ask("", at); got != "nobody" {
					t.Errorf("a stranger at %s is %q", at, got)
				}
			}
		})
	}
}

// While the kernel answers with SYN cookies, guests are known by their addresses. Who can not be known by that is not told
// that it is nobody: its connection ends, and it may try again.
func TestFlooded(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, "")
	n.knows(1)
	g := n.guest(1)
	n.cookies("2") // always
	for _, at := range []string{metadata4, metadata6} {
		if got := g.ask("", at); got != "u-1 on eth0" {
			t.Errorf("at %s it is %q", at, got)
		}
	}
	if res, err := g.client("").Do(request(t, metadataLocal, "")); err == nil {
		res.Body.Close()
		t.Errorf("at %s it is told %s", metadataLocal, res.Status)
	}
	n.cookies("1") // when there are too many
	if got := g.ask("", metadataLocal); got != "u-1 on eth0" {
		t.Errorf("at %s it is %q afterwards", metadataLocal, got)
	}
}

// cookies says when the network's kernel is to answer with SYN cookies; see tcp(7).
func (n *network) cookies(when string) {
	n.t.Helper()
	must(n.t, n.ns.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/tcp_syncookies", []byte(when), 0) }))
}

// Who takes the address of a guest that is away is not that guest, in either IP version.
func TestBorrowedAddress(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, "")
	n.knows(1)
	n.knows(2)
	victim, thief := n.guest(1), n.guest(2)
	for _, at := range []string{metadata4, metadata6} {
		if got := victim.ask("", at); got != "u-1 on eth0" {
			t.Fatalf("the guest itself at %s is %q", at, got)
		}
	}
	victim.down()
	addresses(t, thief.ns, "eth0", "10.0.0.1/24", "fd00::1/64")
	n.forgetNeighbours()
	for from, at := range map[string]string{"10.0.0.1": metadata4, "fd00::1": metadata6} {
		if got := thief.ask(from, at); got != "nobody" {
			t.Errorf("who took %s is %q", from, got)
		}
	}
	if got := thief.ask("10.0.0.2", metadata4); got != "u-2 on eth0" {
		t.Errorf("from its own address it is %q", got)
	}
}

// forgetNeighbours has the network ask anew who has which address, as it does after a while.
func (n *network) forgetNeighbours() {
	n.t.Helper()
	h := handle(n.t, n.ns)
	all, err := h.NeighList(n.bridge.Index, netlink.FAMILY_ALL)
	must(n.t, err)
	for i := range all {
		if err := h.NeighDel(&all[i]); err != nil && !errors.Is(err, unix.ENOENT) {
			n.t.Fatal(err)
		}
	}
}

// Where the bridge is asked for the port, not even the MAC address of a guest that is away makes another that guest.
func TestBorrowedMAC(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, "br0")
	n.knows(1)
	n.knows(2)
	victim, thief := n.guest(1), n.guest(2)
	if got := victim.ask("", metadata4); got != "u-1 on eth0" {
		t.Fatalf("the guest itself is %q", got)
	}
	victim.down()
	thief.become(mac(1))
	addresses(t, thief.ns, "eth0", "10.0.0.1/24", "fd00::1/64")
	for from, at := range map[string]string{"10.0.0.1": metadata4, "fd00::1": metadata6, "10.0.0.2": metadata4} {
		if got := thief.ask(from, at); got != "nobody" {
			t.Errorf("with the other's MAC address, from %s, it is %q", from, got)
		}
	}
	if got := thief.ask("", metadataLocal); got != "nobody" {
		t.Errorf("with the other's MAC address, at the link-local address, it is %q", got)
	}
}

// A guest that puts a lot in front of TCP does not hide its MAC address.
func TestLongSYN(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, "")
	n.knows(1)
	g := n.guest(1)
	c := g.clientWith(net.Dialer{Timeout: patience, Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = unix.SetsockoptString(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DSTOPTS, destinationOptions())
		})
		return errors.Join(err, failed)
	}})
	if got := ask(t, c, metadataLocal, ""); got != "u-1 on eth0" {
		t.Errorf("the guest is %q", got)
	}
}

// destinationOptions is an extension header of IPv6 (RFC 8200, 4.6) of 520 bytes, with options that nobody knows and that
// are to be skipped.
func destinationOptions() string {
	option := append([]byte{0x1e, 254}, make([]byte, 254)...) // for experiments (RFC 4727)
	padding := []byte{1, 4, 0, 0, 0, 0}
	return string(slices.Concat([]byte{0, 520/8 - 1}, option, option, padding))
}

// A connection that stays open gives its guest nothing any more once the address is another's.
func TestOpenConnection(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, "")
	n.knows(1)
	g := n.guest(1)
	c := g.client("")
	if got := ask(t, c, metadata4, ""); got != "u-1 on eth0" {
		t.Fatalf("the guest is %q", got)
	}
	n.store.Remove("u-1")
	n.store.Put(&store.Entry{
		Instance: &instance.Instance{UUID: "u-3", Adapters: []instance.Adapter{{
			Network: "blue", MAC: mac(3), IPv4: instance.Addressing{Address: netip.MustParsePrefix("10.0.0.1/24")},
		}}},
		Keys: []store.Key{{Network: "blue", Address: netip.MustParseAddr("10.0.0.1")}},
	})
	if got := ask(t, c, metadata4, ""); got != "nobody" {
		t.Errorf("over the open connection the old owner is %q", got)
	}
}

// A limit of hops is in the packets that carry the answer.
func TestHopLimit(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, "")
	n.knows(1)
	g := n.guest(1)
	for at, in := range map[string]struct{ kind, place int }{
		metadata4:     {unix.ETH_P_IP, 8},
		metadata6:     {unix.ETH_P_IPV6, 7},
		metadataLocal: {unix.ETH_P_IPV6, 7},
	} {
		packets := g.listen(in.kind)
		c := g.client("")
		if got := ask(t, c, at, "3"); got != "u-1 on eth0" {
			t.Errorf("at %s the guest is %q", at, got)
		}
		if got := packets.with("u-1 on eth0")[in.place]; got != 3 {
			t.Errorf("the answer at %s reaches %d hops, want 3", at, got)
		}
		packets.close()
	}
}

// packets are those that a guest receives.
type packets struct {
	t  *testing.T
	fd int
}

// listen takes the guest's packets of a kind from now on.
func (g *guest) listen(kind int) packets {
	g.t.Helper()
	p := packets{t: g.t}
	network := uint16(kind)<<8 | uint16(kind)>>8
	must(g.t, g.ns.Do(func() (err error) {
		p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(network))
		return err
	}))
	must(g.t, unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(patience / time.Second)}))
	return p
}

// with returns the next packet that has a text in it.
func (p packets) with(text string) []byte {
	p.t.Helper()
	buffer := make([]byte, 64<<10)
	for {
		size, _, err := unix.Recvfrom(p.fd, buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		must(p.t, err)
		if bytes.Contains(buffer[:size], []byte(text)) {
			return buffer[:size]
		}
	}
}

func (p packets) close() { must(p.t, unix.Close(p.fd)) }

// mac is the i-th guest's.
func mac(i byte) net.HardwareAddr { return net.HardwareAddr{2, 0x16, 0x3e, 0, 0, i} }

// namespace makes a network namespace for as long as the test runs.
func namespace(t *testing.T) *netns.Namespace {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ns")
	must(t, netns.Create(path))
	t.Cleanup(func() { must(t, netns.Delete(path)) })
	ns, err := netns.Open(path)
	must(t, err)
	t.Cleanup(func() { ns.Close() })
	return ns
}

// addresses gives an interface addresses that can be used at once.
func addresses(t *testing.T, ns *netns.Namespace, link string, prefixes ...string) {
	t.Helper()
	h := handle(t, ns)
	l, err := h.LinkByName(link)
	must(t, err)
	for _, text := range prefixes {
		a, err := netlink.ParseAddr(text)
		must(t, err)
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD
		}
		must(t, h.AddrAdd(l, a))
	}
}

func handle(t *testing.T, ns *netns.Namespace) *netlink.Handle {
	t.Helper()
	h, err := netlink.NewHandleAt(ns.Handle(), unix.NETLINK_ROUTE)
	must(t, err)
	t.Cleanup(h.Close)
	return h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
