// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

func (r *ruled) element(set string, parts ...string) plan.ElementAdd {
	return plan.ElementAdd{Netns: r.name, Table: plan.HostTable, Set: set, Element: strings.Join(parts, " . ")}
}

// outside is a host with two ways out, on each of which somebody listens, and two networks that have it for their uplink.
type outside struct {
	host     *ruled
	east     *node // 192.0.2.2, 2001:db8:2::2
	west     *node // 198.51.100.2
	networks [2]*ruled
	guests   [2]*node
	ports    [2]string // the host's ends of the uplinks
	transit  [2]*plan.Uplink
}

func newOutside(t testing.TB) *outside {
	t.Helper()
	sandbox.Need(t)
	root := t.TempDir()
	k := kernel.New(root)
	o := &outside{host: newRuled(t, k, 100)}
	o.east, o.west = newNode(t, filepath.Join(root, "east")), newNode(t, filepath.Join(root, "west"))
	o.host.wire("east", o.east, "eth0", plan.MAC{2, 0, 0, 0, 1, 1})
	o.host.address("east", "192.0.2.1/24", "2001:db8:2::1/64")
	o.east.address("eth0", "192.0.2.2/24", "2001:db8:2::2/64")
	o.host.wire("west", o.west, "eth0", plan.MAC{2, 0, 0, 0, 1, 2})
	o.host.address("west", "198.51.100.1/24")
	o.west.address("eth0", "198.51.100.2/24")
	o.host.apply(plan.TableAdd{Netns: o.host.name, Table: plan.HostTable})
	for i := range o.networks {
		o.network(t, root, k, i)
	}
	for _, n := range []*node{o.host.node, o.east, o.west} {
		n.listen("[::]:80", "outside")
	}
	return o
}

// network makes a network with a guest, 10.0.0.1 in both, and its uplink.
func (o *outside) network(t testing.TB, root string, k *kernel.Kernel, i int) {
	t.Helper()
	n := newRuled(t, k, i)
	g := newNode(t, filepath.Join(root, fmt.Sprint("inside", i)))
	n.bridge("br0", bridgeMAC, "10.0.0.254/24", "2001:db8:1::254/64")
	n.wire("nb1", g, "eth0", plan.MAC{2, 0, 0, 0, 0, 1})
	must(t, n.handle.LinkSetMaster(n.link("nb1"), n.link("br0")))
	g.address("eth0", "10.0.0.1/24", "2001:db8:1::1/64")
	g.route("0.0.0.0/0", "10.0.0.254")
	g.route("::/0", "2001:db8:1::254")
	g.listen("[::]:80", "guest")
	n.listen("[::]:80", "network")
	u := plan.NewUplink(networkID(i), i, "", true)
	o.host.wire(u.Port, n.node, plan.UplinkEnd, plan.MAC{2, 0, 0, 0, 2, byte(i)})
	o.host.address(u.Port, u.Host.String(), u.Host6.String())
	n.address(plan.UplinkEnd, u.Inner.String(), u.Inner6.String())
	n.route("0.0.0.0/0", u.Host.Addr().String())
	n.route("::/0", u.Host6.Addr().String())
	n.apply(plan.TableAdd{Netns: n.name, Table: plan.RouterTable}, plan.TableAdd{Netns: n.name, Table: plan.UplinkTable})
	o.networks[i], o.guests[i], o.ports[i], o.transit[i] = n, g, u.Port, u
}

// A guest gets out through its network and the host with an address of the host's, both families; the other way nobody
// gets in, and neither to the host nor to another network. What has nothing to do with uplinks goes its way.
func TestUplinkWays(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	guest := o.guests[0]
	// The outside knows the way to the networks.
	o.east.route(plan.TransitPrefix().String(), "192.0.2.1")
	o.east.route(plan.TransitPrefix6().String(), "2001:db8:2::1")
	if got := guest.dial("192.0.2.2:80", hurry); got != "" {
		t.Errorf("without an element: %q", got)
	}
	o.host.apply(o.host.element(plan.SetUplinks, o.ports[0]), o.host.element(plan.SetUplinks, o.ports[1]))
	o.east.route("198.51.100.0/24", "192.0.2.1")
	o.west.route("192.0.2.0/24", "198.51.100.1")
	for what, w := range map[string]struct {
		from     *node
		to, want string
	}{
		"out":                       {guest, "192.0.2.2:80", "outside to 192.0.2.1"},
		"out, IPv6":                 {guest, "[2001:db8:2::2]:80", "outside to 2001:db8:2::1"},
		"out by another interface":  {guest, "198.51.100.2:80", "outside to 198.51.100.1"},
		"network itself":            {o.networks[0].node, "192.0.2.2:80", "outside to 192.0.2.1"},
		"network itself, IPv6":      {o.networks[0].node, "[2001:db8:2::2]:80", "outside to 2001:db8:2::1"},
		"guest's own network":       {guest, "10.0.0.254:80", "network to 10.0.0.1"},
		"guest's own network, IPv6": {guest, "[2001:db8:1::254]:80", "network to 2001:db8:1::1"},
		"others to the host":        {o.east, "192.0.2.1:80", "outside to 192.0.2.2"},
		"others through the host":   {o.east, "198.51.100.2:80", "outside to 192.0.2.2"},
	} {
		if got := w.from.dial(w.to, patience); strings.ReplaceAll(got, "::ffff:", "") != w.want {
			t.Errorf("%s: %s says %q, want %q", what, w.to, got, w.want)
		}
	}
	for _, a := range []netip.Addr{o.transit[0].Host.Addr(), o.transit[0].Host6.Addr()} {
		if !o.networks[0].ping(a) {
			t.Errorf("%s does not answer to echo requests", a)
		}
	}
	inner, inner6 := o.transit[1].Inner.Addr(), o.transit[1].Inner6.Addr() // of the other network
	forbidden := map[string]struct {
		from *node
		to   netip.Addr
	}{
		"host":                     {guest, netip.MustParseAddr("192.0.2.1")},
		"host, IPv6":               {guest, netip.MustParseAddr("2001:db8:2::1")},
		"host's end of the uplink": {guest, o.transit[0].Host.Addr()},
		"other network":            {guest, inner},
		"other network, IPv6":      {guest, inner6},
		"from outside":             {o.east, inner},
		"from outside, IPv6":       {o.east, inner6},
		"from the host":            {o.host.node, inner},
		"from the host, IPv6":      {o.host.node, inner6},
	}
	check := func(when string) {
		t.Helper()
		for what, f := range forbidden {
			if got := f.from.dial(netip.AddrPortFrom(f.to, 80).String(), hurry); got != "" {
				t.Errorf("%s, %s: %s can be reached: %q", when, what, f.to, got)
			}
		}
	}
	check("with both tables")
	if mac := o.networks[1].link(plan.UplinkEnd).Attrs().HardwareAddr.String(); o.host.neighbour(o.ports[1], inner6) != mac {
		t.Error("the host has not got to know its neighbour")
	}
	for _, n := range o.networks {
		n.apply(plan.TableDel{Netns: n.name, Table: plan.UplinkTable})
	}
	check("with the host's table")
	o.host.apply(plan.TableDel{Netns: o.host.name, Table: plan.HostTable})
	// Without the tables there is no address to answer to; the way is open for the networks themselves.
	for what, f := range forbidden {
		if f.from == guest {
			f.from = o.networks[0].node
		}
		if got := f.from.dial(netip.AddrPortFrom(f.to, 80).String(), patience); got == "" {
			t.Errorf("%s: %s can not be reached without the tables either", what, f.to)
		}
	}
	n := o.networks[1]
	n.apply(plan.TableAdd{Netns: n.name, Table: plan.UplinkTable})
	for _, from := range []*node{o.east, o.host.node} {
		for _, to := range []netip.Addr{inner, inner6} {
			if got := from.dial(netip.AddrPortFrom(to, 80).String(), hurry); got != "" {
				t.Errorf("with the network's table: %s can be reached: %q", to, got)
			}
		}
	}
}

// An uplink that may leave by one interface does not leave by another.
func TestUplinkBy(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	by := o.host.element(plan.SetUplinkBy, o.ports[0], "east")
	o.host.apply(by)
	if got := o.guests[0].dial("192.0.2.2:80", patience); !strings.HasSuffix(got, "192.0.2.1") {
		t.Errorf("by the interface that it may leave by: %q", got)
	}
	if got := o.guests[0].dial("198.51.100.2:80", hurry); got != "" {
		t.Errorf("by another interface: %q", got)
	}
	o.host.apply(o.host.element(plan.SetUplinkBy, o.ports[0], "west"), plan.ElementDel(by))
	if got := o.guests[0].dial("198.51.100.2:80", patience); !strings.HasSuffix(got, "198.51.100.1") {
		t.Errorf("by the interface that it may leave by now: %q", got)
	}
	if got := o.guests[0].dial("192.0.2.2:80", hurry); got != "" {
		t.Errorf("by the interface that it may not leave by any more: %q", got)
	}
}

// What guests ask for on a bridge of EVE's comes to the metadata address while the bridge is in the table, and to where
// zedrouter sends it before and after. Only that is touched.
func TestBridgeBeforeZedrouter(t *testing.T) {
	t.Parallel()
	sandbox.Need(t)
	tool.Need(t, "nft", "nftables")
	root := t.TempDir()
	host := newRuled(t, kernel.New(root), 1)
	for i, subnet := range []string{"10.1.0", "10.2.0"} {
		host.bridge(fmt.Sprint("bn", i+1), plan.MAC{2, 0, 0, 0, 3, byte(i)}, subnet+".1/24")
		host.listen(subnet+".1:80", "zedrouter")
	}
	host.address("bn1", "169.254.169.254/32")
	host.listen("169.254.169.254:80", "us")
	guest := newNode(t, filepath.Join(root, "guest"))
	for i, subnet := range []string{"10.1.0", "10.2.0"} {
		port, link := fmt.Sprint("nbu1x", i+1), fmt.Sprint("eth", i)
		host.wire(port, guest, link, plan.MAC{2, 0, 0, 0, 4, byte(i)})
		must(t, host.handle.LinkSetMaster(host.link(port), host.link(fmt.Sprint("bn", i+1))))
		guest.address(link, subnet+".5/24")
	}
	zedrouter := exec.CommandContext(t.Context(), "nft", "-f", "-")
	zedrouter.Stdin = strings.NewReader(`table ip nat { chain PREROUTING { type nat hook prerouting priority dstnat;
		iifname bn1 ip daddr 169.254.169.254 tcp dport 80 dnat to 10.1.0.1:80
		iifname bn2 ip daddr 169.254.169.254 tcp dport 80 dnat to 10.2.0.1:80
		iifname bn1 ip daddr 169.254.169.254 tcp dport 81 dnat to 10.1.0.1:80
	}
	}`)
	must(t, host.ns.Do(func() error {
		out, err := zedrouter.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}))
	ask := func(by, address string) string {
		t.Helper()
		must(t, guest.handle.RouteReplace(route("169.254.169.254/32", by)))
		name, _, _ := strings.Cut(guest.dial(address, patience), " ")
		return name
	}
	const metadata = "169.254.169.254:80"
	if got := ask("10.1.0.1", metadata); got != "zedrouter" {
		t.Errorf("before: %q answers", got)
	}
	host.apply(plan.TableAdd{Netns: host.name, Table: plan.HostTable}, host.element(plan.SetBridges, "bn1"))
	if got := ask("10.1.0.1", metadata); got != "us" {
		t.Errorf("with the bridge in the table: %q answers", got)
	}
	if got := ask("10.2.0.1", metadata); got != "zedrouter" {
		t.Errorf("on a bridge that is not in the table: %q answers", got)
	}
	if got := ask("10.1.0.1", "169.254.169.254:81"); got != "zedrouter" {
		t.Errorf("at another port: %q answers", got)
	}
	host.apply(plan.ElementDel(host.element(plan.SetBridges, "bn1")))
	if got := ask("10.1.0.1", metadata); got != "zedrouter" {
		t.Errorf("with the bridge out of the table again: %q answers", got)
	}
	host.apply(host.element(plan.SetBridges, "bn1"), plan.TableDel{Netns: host.name, Table: plan.HostTable})
	if got := ask("10.1.0.1", metadata); got != "zedrouter" {
		t.Errorf("without the table: %q answers", got)
	}
}
