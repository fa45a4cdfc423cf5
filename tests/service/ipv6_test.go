// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/pkg/netns"
	"github.com/lf-edge/eve-metadata/tests/evedevice/edge"
	"github.com/lf-edge/eve-metadata/tests/netns/guestns"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// The addresses of IPv6 that guests ask at: OpenStack's, which is on every link, and EC2's, which is behind the router.
const (
	linkServer = "fe80::a9fe:a9fe"
	ec2Server  = "[fd00:ec2::254]:80"
)

// overIPv6: guests ask over IPv6 as over IPv4, from whatever address they have, and are known by it.
//
// Network: four has IPv4 only, both has IPv4 and IPv6, six has IPv6 only, and so has slaac, where guests make their addresses
// themselves. Each has two guests.
//
// Phases: ask at the address on the link and, where there is a router, at EC2's: from link-local addresses, from the one
// that is assigned or made, and from one that a guest made up so that nobody knows it again; ask from what the other guest
// has made up.
func overIPv6(t *testing.T, binary string) {
	const more = "subnet6: fd00:11:2::/64\n"
	files := map[string]string{
		"four.yaml": world.NetYAML("four", "10.11.12.0/24"), "both.yaml": world.NetYAML("both", "10.11.12.0/24") + more,
		"six.yaml": world.NetYAML("six", "fd00:11:3::/64"), "slaac.yaml": world.NetYAML("slaac", "fd00:11:4::/64") + "slaac: true\n",
	}
	networks := []string{"four", "both", "six", "slaac"}
	for _, network := range networks {
		for _, app := range []string{network + "-a", network + "-b"} {
			files[app+".yaml"] = world.AppYAML(app, network, "", "adapters: [{name: eth0, network: "+network+"}]")
		}
	}
	w := newScene(t, binary, files)
	w.Start()
	asks := map[string]*guest{}
	for _, network := range networks {
		for i, app := range []string{network + "-a", network + "-b"} {
			g := w.ipv6Guest(app, network)
			onLink, onEC2 := g.at(fmt.Sprintf("[%s%%%d]:80", linkServer, g.index(t))), g.at(ec2Server)
			own := world.Addresses(g.port)[len(world.Addresses(g.port))-1]
			asks[app+" asks from its own link-local address"] = onLink.asking(g.linkLocal(t))
			asks[app+" asks from a made up link-local address"] = onLink.asking(g.pretend(t, fmt.Sprintf("fe80::d15c:%d", i), 0))
			if network != "four" {
				asks[app+" asks from its address"] = onEC2.asking(own)
				asks[app+" asks on the link from its address"] = onLink.asking(own)
			}
			if network == "slaac" {
				asks[app+" asks from a made up address"] = onEC2.asking(g.pretend(t, fmt.Sprintf("fd00:11:4::d15c:%d", i), 0))
			}
		}
	}
	for what, g := range asks {
		w.Await(what, func() error { return g.expect("/latest/user-data", http.StatusOK, "I am "+g.app) })
	}
	// The other one has gone silent, so that nothing but the network itself could know better.
	const stolen = "fd00:11:4::d15c:0"
	silent, thief := asks["slaac-a asks from its address"], asks["slaac-b asks from its address"]
	silent.eth0(t, func(h *netlink.Handle, link netlink.Link) error { return h.LinkSetDown(link) })
	forget(t, w.NamespaceOf(silent.port), stolen)
	thief = thief.asking(thief.pretend(t, stolen, unix.IFA_F_NODAD))
	if a, err := thief.brief().ask("/latest/user-data"); err == nil {
		t.Errorf("slaac-b asks from an address that is slaac-a's: %d %q", a.Status, a.Body)
	}
}

// duplicate: an address that somebody else on the link has is not used, and is when they are gone.
//
// Network: EVE's bn1, with web, and with another machine that has OpenStack's metadata address of IPv6.
//
// Phases: start, and read over IPv4; take the other machine away, and read over IPv6.
func duplicate(t *testing.T, binary string) {
	const mac = "00:16:3e:00:01:01"
	device := eveDevice{edge.NewDevice(t, "iptables-nft")}
	device.Network(1, mac+",id:*,10.1.0.5,"+world.UUIDOf("web"))
	web, other := device.guest("web", 1, 1, mac), world.NewMachine(t)
	device.Sh(`
		ip link add other type veth peer name eth0 netns %s
		ip link set other master bn1 up`, other.Path())
	other.Sh("ip link set eth0 up; ip addr add %s/64 dev eth0 nodad", linkServer)

	w := newScene(t, device.Program(binary), map[string]string{
		"bn1.yaml": attachedYAML("one", "bridge: bn1"),
		"web.yaml": world.AppYAML("web", "one", "", fmt.Sprintf("adapters: [{name: eth0, network: one, mac: %q}]", mac)),
	})
	w.Start()
	w.Await("error of network", func() error { return w.NetworkError("one", linkServer) })
	world.Must(t, web.expect("/latest/user-data", http.StatusOK, "I am web"))
	onLink := web.at(fmt.Sprintf("[%s%%%d]:80", linkServer, web.index(t)))
	if a, err := onLink.brief().ask("/latest/user-data"); err == nil {
		t.Errorf("web is answered on the link: %d %q", a.Status, a.Body)
	}

	other.Sh("ip link del eth0")
	w.Await("end of error", func() error { return w.NetworkError("one", "") })
	w.Await("web on the link", func() error { return onLink.expect("/latest/user-data", http.StatusOK, "I am web") })
}

// ipv6Guest attaches a guest to an app's adapter. It waits until the guest has made its address where that is its own
// business.
func (w *scene) ipv6Guest(app, network string) *guest {
	w.T.Helper()
	if network != "slaac" {
		return w.guest(app)
	}
	g := w.plugged(app)
	w.Await("address of "+app, func() error {
		for _, a := range g.ipv6(w.T) {
			if a.IP.String() == g.address() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
				return nil
			}
		}
		return fmt.Errorf("it is not %s", g.address())
	})
	return g
}

// forget has the bridge of a network forget who has an address.
func forget(t *testing.T, namespace, address string) {
	t.Helper()
	err := netns.Do(namespace, func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		br0, err := h.LinkByName("br0")
		if err != nil {
			return err
		}
		return h.NeighDel(&netlink.Neigh{LinkIndex: br0.Attrs().Index, IP: net.ParseIP(address)})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// asking returns the guest as one that asks from another of its addresses.
func (g *guest) asking(from string) *guest {
	other := *g
	other.from = from
	return &other
}

// eth0 does something with the guest's first adapter.
func (g *guest) eth0(t testing.TB, f func(*netlink.Handle, netlink.Link) error) {
	t.Helper()
	err := g.Do(func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		link, err := h.LinkByName("eth0")
		if err != nil {
			return err
		}
		return f(h, link)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// index is that of the guest's first adapter. Zones are told by it: a name would be looked for in the test's own namespace.
func (g *guest) index(t testing.TB) (index int) {
	t.Helper()
	g.eth0(t, func(_ *netlink.Handle, link netlink.Link) error {
		index = link.Attrs().Index
		return nil
	})
	return index
}

// ipv6 returns the addresses of IPv6 that the guest's first adapter has.
func (g *guest) ipv6(t testing.TB) (addrs []netlink.Addr) {
	t.Helper()
	g.eth0(t, func(h *netlink.Handle, link netlink.Link) (err error) {
		addrs, err = h.AddrList(link, netlink.FAMILY_V6)
		return err
	})
	return addrs
}

// linkLocal is the link-local address that the guest's kernel made, with its zone.
func (g *guest) linkLocal(t testing.TB) string {
	t.Helper()
	for _, a := range g.ipv6(t) {
		if a.IP.IsLinkLocalUnicast() {
			return fmt.Sprintf("%s%%%d", a.IP, g.index(t))
		}
	}
	t.Fatal(errors.New("there is none"))
	return ""
}

// pretend gives the guest an address that nobody gave it, and returns it as one to ask from. Without duplicate address detection
// (IFA_F_NODAD) it can be used then: who is not answered is not for want of an address.
func (g *guest) pretend(t testing.TB, address string, flags int) string {
	t.Helper()
	addr, err := netlink.ParseAddr(address + "/64")
	if err != nil {
		t.Fatal(err)
	}
	addr.Flags = flags
	g.eth0(t, func(h *netlink.Handle, link netlink.Link) error {
		if err := h.AddrAdd(link, addr); err != nil || flags&unix.IFA_F_NODAD == 0 {
			return err
		}
		return guestns.AwaitAddress(h, link, netip.MustParseAddr(address))
	})
	if !netip.MustParseAddr(address).IsLinkLocalUnicast() {
		return address
	}
	return fmt.Sprintf("%s%%%d", address, g.index(t))
}
