// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// Addresses of the victim.
const (
	victimIPv4 = "10.11.12.5"
	victimIPv6 = "fd00:11:12::5"
)

// attack is something that a guest does to be taken for the victim. It returns the guests to ask as.
type attack func(w *scene, mallory *world.Machine, g *guest, victim *guest) []*guest

// attacks are what guests can do to their link: all of it, for it is theirs.
func attacks() map[string]attack {
	return map[string]attack{
		"source address": func(_ *scene, mallory *world.Machine, g, _ *guest) []*guest {
			return []*guest{g.as(mallory.T, victimIPv4)}
		},
		"MAC address": func(_ *scene, mallory *world.Machine, g, victim *guest) []*guest {
			takeMAC(mallory, victim)
			mallory.Sh("ip route add default via %s", g.port.BridgeIPAddr)
			return []*guest{g}
		},
		"MAC and source address": func(_ *scene, mallory *world.Machine, g, victim *guest) []*guest {
			mallory.Sh("ip addr flush dev eth0")
			takeMAC(mallory, victim)
			thief := g.as(mallory.T, victimIPv4)
			mallory.Sh("ip route add default via %s", g.port.BridgeIPAddr)
			return []*guest{thief}
		},
		"gratuitous ARP for the victim": func(_ *scene, mallory *world.Machine, g, _ *guest) []*guest {
			thief := g.as(mallory.T, victimIPv4)
			g.transmit(mallory.T, g.arp(mallory.T, victimIPv4)...)
			return []*guest{thief}
		},
		"gratuitous ARP for the router and the service": func(_ *scene, mallory *world.Machine, g, _ *guest) []*guest {
			mallory.Sh("ip addr add 10.11.12.1/32 dev eth0; ip addr add 169.254.169.254/32 dev eth0")
			mallory.Greet("0.0.0.0:80") // who came here would be greeted
			g.transmit(mallory.T, slices.Concat(g.arp(mallory.T, "10.11.12.1"), g.arp(mallory.T, "169.254.169.254"))...)
			return nil
		},
		"gratuitous ARP with a priority tag": func(_ *scene, mallory *world.Machine, g, _ *guest) []*guest {
			thief := g.as(mallory.T, victimIPv4)
			for _, frame := range g.arp(mallory.T, victimIPv4) {
				g.transmit(mallory.T, slices.Concat(frame[:12], []byte{0x81, 0, 0, 0}, frame[12:])) // VLAN 0 (IEEE 802.1Q)
			}
			return []*guest{thief}
		},
		"neighbour advertisement for the victim": func(_ *scene, mallory *world.Machine, g, _ *guest) []*guest {
			g.pretend(mallory.T, victimIPv6, unix.IFA_F_NODAD)
			g.transmit(mallory.T, g.advertisement(mallory.T, victimIPv6))
			return []*guest{g.at(ec2Server).asking(victimIPv6), g.onLink(mallory.T).asking(victimIPv6)}
		},
		"the victim's link-local address": func(_ *scene, mallory *world.Machine, g, victim *guest) []*guest {
			address, _, _ := strings.Cut(victim.linkLocal(mallory.T), "%")
			from := g.pretend(mallory.T, address, unix.IFA_F_NODAD)
			g.transmit(mallory.T, g.advertisement(mallory.T, address))
			return []*guest{g.onLink(mallory.T).asking(from)}
		},
		"the service's link-local address": func(_ *scene, mallory *world.Machine, g, _ *guest) []*guest {
			g.pretend(mallory.T, linkServer, unix.IFA_F_NODAD)
			mallory.Greet("[::]:80")
			g.transmit(mallory.T, g.advertisement(mallory.T, linkServer))
			return nil
		},
		"another network": func(w *scene, mallory *world.Machine, g, victim *guest) []*guest {
			port := w.Port(g.app, "eth1")
			if err := g.Attach("eth1", port, w.NamespaceOf(port)); err != nil {
				mallory.T.Fatal(err)
			}
			// The adapter in blue goes; what is asked leaves by the one in green.
			mallory.Sh("ip link set eth0 down; ip addr add %s/24 dev eth1; ip route replace default dev eth1", victimIPv4)
			return []*guest{g.asking(victimIPv4)}
		},
	}
}

// takeMAC gives a guest the victim's MAC address, and its neighbours the time to hear of it.
func takeMAC(mallory *world.Machine, victim *guest) {
	mallory.Sh("ip link set eth0 down; ip link set eth0 address %s; ip link set eth0 up", victim.port.VifInfo.Mac)
}

// identity: whatever a guest does to its link, it is not taken for another, and the other is served as ever.
//
// Network: blue, with IPv4 and IPv6: the victim; an attacker for each attack, who has another adapter in green, where
// nobody has the victim's address; and a router, who may send from addresses of others, as it is a router's business.
//
// Phases: each attacker attacks; the victim, which has forgotten its neighbours, and the attacker ask; the router asks as
// somebody who is not there, so that nothing on the link keeps it from it, and is refused by its MAC address.
func identity(t *testing.T, binary string) {
	files := map[string]string{
		"blue.yaml":   world.NetYAML("blue", "10.11.12.0/24") + "subnet6: fd00:11:12::/64\nroutes: [{to: 192.0.2.0/24, via: 10.11.12.7}]\n",
		"green.yaml":  world.NetYAML("green", "10.11.12.0/24"),
		"victim.yaml": world.AppYAML("victim", "", "", "adapters: [{name: eth0, network: blue, ipv4: "+victimIPv4+`, ipv6: "`+victimIPv6+`"}]`),
		"router.yaml": world.AppYAML("router", "blue", "10.11.12.7"),
		"absent.yaml": world.AppYAML("absent", "blue", "10.11.12.8"),
	}
	all := attacks()
	for i := range len(all) {
		files[fmt.Sprintf("mallory%d.yaml", i)] = world.AppYAML(fmt.Sprint("mallory", i), "", "",
			"adapters: [{name: eth0, network: blue}, {name: eth1, network: green}]")
	}
	w := newScene(t, binary, files)
	metrics := filepath.Join(t.TempDir(), "m")
	w.Start("--metrics", metrics)
	victim := w.guest("victim")
	healthy := func(after string) {
		t.Helper()
		world.MachineOf(t, victim.Guest).Sh("ip neigh flush dev eth0")
		for _, g := range []*guest{victim, victim.at(ec2Server).asking(victimIPv6), victim.onLink(t).asking(victim.linkLocal(t))} {
			if err := g.expect("/latest/user-data", http.StatusOK, "I am victim"); err != nil {
				t.Errorf("after %s, from %q: %v", after, g.from, err)
			}
		}
	}
	w.Await("victim's link-local address", func() error {
		return victim.onLink(t).asking(victim.linkLocal(t)).expect("/latest/user-data", http.StatusOK, "I am victim")
	})
	healthy("nothing at all")
	for i, name := range slices.Sorted(maps.Keys(all)) {
		g := w.guest(fmt.Sprint("mallory", i))
		world.Must(t, g.expect("/latest/user-data", http.StatusOK, "I am "+g.app))
		for _, thief := range all[name](w, world.MachineOf(t, g.Guest), g, victim) {
			a, err := thief.brief().ask("/latest/user-data")
			if err == nil && a.Status != http.StatusNotFound {
				t.Errorf("by the attack %q, %s from %q reads %d %q", name, g.app, thief.from, a.Status, a.Body)
			}
		}
		healthy(name)
	}

	absent := w.guest("router").as(t, "10.11.12.8")
	if a, err := absent.ask("/latest/user-data"); err != nil || a.Status != http.StatusNotFound {
		t.Errorf("the router asks as absent: %d %q, %v; want %d", a.Status, a.Body, err, http.StatusNotFound)
	}
	w.AwaitLog(map[string]any{"msg": "metadata request from another's address", "level": "warning"})
	counters, err := scrape(metrics)
	if want := fmt.Sprintf("eve_metadata_refused_total{network=%q,reason=\"mac\"} 1\n", absent.port.Network); err != nil || !strings.Contains(counters, want) {
		t.Errorf("counters have not %q, error %v:\n%s", want, err, counters)
	}
}

// passedOn: who had an address a moment ago reads nothing of who has it now, be it on a connection that is still open.
//
// Network: one, with two guests. The first gets another address, and its old one is the second's.
//
// Phases: both read, on connections that stay open; the addresses are passed on; both ask on as if nothing had happened,
// and then as they are to.
func passedOn(t *testing.T, binary string) {
	const first, second, third = "10.11.12.5", "10.11.12.6", "10.11.12.7"
	w := newScene(t, binary, map[string]string{
		"blue.yaml":  world.NetYAML("blue", "10.11.12.0/24"),
		"left.yaml":  world.AppYAML("left", "blue", first),
		"right.yaml": world.AppYAML("right", "blue", second),
	})
	w.Start()
	guests := []*guest{w.guest("left"), w.guest("right")}
	open := make([]*connection, len(guests))
	for i, g := range guests {
		var err error
		if open[i], err = g.connect(); err != nil {
			t.Fatal(err)
		}
		defer open[i].conn.Close()
		if a, err := open[i].say(requestFor("/latest/user-data", "")); err != nil || a.Body != "I am "+g.app {
			t.Fatalf("%s reads %q, %v", g.app, a.Body, err)
		}
	}

	w.Save("left.yaml", world.AppYAML("left", "blue", third))
	w.Save("right.yaml", world.AppYAML("right", "blue", first))
	for i, g := range guests {
		want := []string{third, first}[i]
		w.Await("address of "+g.app, func() error {
			if got := world.Addresses(w.Port(g.app, "eth0")); !slices.Equal(got, []string{want}) {
				return fmt.Errorf("it is %v, want %s", got, want)
			}
			return nil
		})
	}
	for i, g := range guests {
		world.Must(t, open[i].conn.SetDeadline(time.Now().Add(shut)))
		if a, err := open[i].say(requestFor("/latest/user-data", "")); err == nil && a.Status != http.StatusNotFound {
			t.Errorf("on its old connection, %s reads %d %q", g.app, a.Status, a.Body)
		}
		if a, err := g.brief().ask("/latest/user-data"); err == nil && a.Status != http.StatusNotFound {
			t.Errorf("from its old address, %s reads %d %q", g.app, a.Status, a.Body)
		}
	}
	for i, address := range []string{third, first} {
		world.MachineOf(t, guests[i].Guest).Sh("ip addr flush dev eth0; ip addr add %s/24 dev eth0; ip route add default via 10.11.12.1", address)
	}
	for _, g := range guests {
		w.Await(g.app, func() error { return g.expect("/latest/user-data", http.StatusOK, "I am "+g.app) })
	}
}

// onLink is the guest as one that asks OpenStack's address of IPv6.
func (g *guest) onLink(t testing.TB) *guest {
	t.Helper()
	return g.at(fmt.Sprintf("[%s%%%d]:80", linkServer, g.index(t)))
}

// mac is what the guest's first adapter sends from.
func (g *guest) mac(t testing.TB) (mac plan.MAC) {
	t.Helper()
	g.eth0(t, func(_ *netlink.Handle, link netlink.Link) error {
		mac = plan.MAC(link.Attrs().HardwareAddr)
		return nil
	})
	return mac
}

// transmit sends frames as they are.
func (g *guest) transmit(t testing.TB, frames ...[]byte) {
	t.Helper()
	index := g.index(t)
	err := g.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		for _, frame := range frames {
			err = errors.Join(err, unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: index}))
		}
		return errors.Join(err, unix.Close(fd))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// arp says to everybody that the guest has an address: as a question for it and as an answer (RFC 826, RFC 5227).
func (g *guest) arp(t testing.TB, address string) (frames [][]byte) {
	t.Helper()
	mac, ip := g.mac(t), netip.MustParseAddr(address).AsSlice()
	all := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	for _, op := range []byte{1, 2} {
		frames = append(frames, slices.Concat(all, mac[:], []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, op}, mac[:], ip, all, ip))
	}
	return frames
}

// advertisement says to everybody that the guest has an address of IPv6, whatever they have heard before (RFC 4861, 4.4).
func (g *guest) advertisement(t testing.TB, address string) []byte {
	t.Helper()
	mac, ip := g.mac(t), netip.MustParseAddr(address).AsSlice()
	nodes := netip.MustParseAddr("ff02::1").AsSlice()
	const hops, override = 255, 0x20
	message := slices.Concat([]byte{136, 0, 0, 0, override, 0, 0, 0}, ip, []byte{2, 1}, mac[:])
	length := []byte{0, byte(len(message))}
	sum := uint32(0)
	for pair := range slices.Chunk(slices.Concat(ip, nodes, length, []byte{0, unix.IPPROTO_ICMPV6}, message), 2) {
		sum += uint32(binary.BigEndian.Uint16(pair))
	}
	binary.BigEndian.PutUint16(message[2:], ^uint16(sum+sum>>16))
	head := slices.Concat([]byte{0x60, 0, 0, 0}, length, []byte{unix.IPPROTO_ICMPV6, hops}, ip, nodes)
	return slices.Concat([]byte{0x33, 0x33, 0, 0, 0, 1}, mac[:], []byte{0x86, 0xdd}, head, message)
}
