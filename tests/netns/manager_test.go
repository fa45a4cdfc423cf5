// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/netns"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
)

// withDrivers runs a test over each driver of topics.
func withDrivers(t *testing.T, test func(t *testing.T, w *world)) {
	for name, driver := range drivers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t, driver))
		})
	}
}

// Two networks with the same subnet, and a guest with the same address in each: each is answered by its own network.
func TestEqualSubnets(t *testing.T) {
	t.Parallel()
	withDrivers(t, func(t *testing.T, w *world) {
		blue, green := localNetwork("blue", "10.11.12.0/24"), localNetwork("green", "10.11.12.0/24")
		web, db := container("web", blue), container("db", green)
		for _, app := range []eve.AppInstanceConfig{web, db} {
			app.AppNetAdapterList[0].AppIPAddr = net.IPv4(10, 11, 12, 5).To4()
			w.setApp(app)
		}
		w.setNetwork(blue)
		w.setNetwork(green)
		w.complete()
		w.start()
		for _, tt := range []struct {
			app     eve.AppInstanceConfig
			network eve.NetworkInstanceConfig
		}{{web, blue}, {db, green}} {
			if got, want := w.ask(w.guest(tt.app)), tt.network.UUID.String(); got != want {
				t.Errorf("%s was answered by network %s, want %s", tt.app.DisplayName, got, want)
			}
		}
	})
}

// A network as the kernel has it, and what is published about it.
func TestNetworkInTheKernel(t *testing.T) {
	t.Parallel()
	withDrivers(t, func(t *testing.T, w *world) {
		blue := localNetwork("blue", "10.11.12.0/24")
		blue.MTU = 1400
		web := container("web", blue)
		w.setNetwork(blue)
		w.setApp(web)
		w.complete()
		w.start()
		port := w.awaitApp(web, attached).AppNetAdapterList[0]
		ns, _ := w.seen(blue)
		links := map[string]plan.Link{}
		for _, l := range ns.Links {
			links[l.Name] = l
		}
		bridge := links["br0"]
		if bridge.MTU != 1400 || !bridge.Up || bridge.MAC != plan.BridgeMAC(blue.UUID.String()) {
			t.Errorf("bridge is %+v", bridge)
		}
		wantAddrs := []string{"10.11.12.1/24", "169.254.169.254/32", "fd00:ec2::254/128", "fe80::a9fe:a9fe/64"}
		if diff := cmp.Diff(wantAddrs, prefixesOf(bridge)); diff != "" {
			t.Errorf("addresses of the bridge (-want +got):\n%s", diff)
		}
		unreachable := []plan.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0")}, {Dst: netip.MustParsePrefix("::/0")}}
		if diff := cmp.Diff(unreachable, ns.Routes, cmp.Comparer(func(a, b plan.Route) bool { return a == b })); diff != "" {
			t.Errorf("routes (-want +got):\n%s", diff)
		}
		if ns.Sysctls["net.ipv4.ip_forward"] != "1" || ns.Sysctls["net.ipv6.conf.all.forwarding"] != "1" {
			t.Errorf("nobody is told that a packet goes nowhere: %v", ns.Sysctls)
		}
		held := map[string][]string{
			plan.SetMACs:      {port.VifUsed + " . " + port.VifInfo.Mac.String()},
			plan.SetAddresses: {port.VifUsed + " . " + port.AssignedAddresses.IPv4Addrs[0].Address.String()},
			plan.SetAddress6:  {port.VifUsed + " . " + plan.LinkLocal(plan.MAC(port.VifInfo.Mac)).String()},
			plan.SetOwn:       {"10.11.12.1", "169.254.169.254"},
		}
		for set, want := range held {
			if diff := cmp.Diff(want, slices.Sorted(slices.Values(ns.Tables[plan.FilterTable].Sets[set]))); diff != "" {
				t.Errorf("what %q holds guests to (-want +got):\n%s", set, diff)
			}
		}
		if !links["lo"].Up {
			t.Error("lo is down")
		}
		host, guest := links[port.VifUsed], links[plan.GuestEnd(port.VifUsed)]
		if host.Master != "br0" || host.MTU != 1400 || !host.Up || host.Kind != "veth" || host.MAC == guest.MAC {
			t.Errorf("host side is %+v", host)
		}
		if guest.MAC.String() != port.VifInfo.Mac.String() || guest.MTU != 1400 || guest.Peer != host.Index {
			t.Errorf("guest side is %+v, want MAC address %s", guest, port.VifInfo.Mac)
		}
		w.await("state of network", func() error {
			s := w.netState[blue.UUID.String()]
			if s.Activated && s.BridgeIfindex == bridge.Index && len(s.Vifs) == 1 && len(s.IPAssignments[port.VifInfo.Mac.String()].IPv4Addrs) == 1 {
				return nil
			}
			return fmt.Errorf("it is %s", asJSON(s))
		})
	})
}

// What a restart must not touch: everything.
func TestRestart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		first func(w *world)
	}{
		{"stopped", func(w *world) { w.start(); w.stop() }},
		{"killed", (*world).killedManager},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, drivers()["socket"])
			blue := localNetwork("blue", "10.11.12.0/24")
			apps := []eve.AppInstanceConfig{container("web", blue), container("db", blue), container("edge", blue)}
			w.setNetwork(blue)
			for _, app := range apps {
				w.setApp(app)
			}
			w.complete()
			tt.first(w)
			before := map[string]eve.AppNetworkStatus{}
			for _, app := range apps {
				before[app.DisplayName] = w.awaitApp(app, attached)
			}
			g := w.guest(apps[0])
			ns, id := w.seen(blue)
			w.start()
			after := map[string]eve.AppNetworkStatus{}
			for _, app := range apps {
				after[app.DisplayName] = w.awaitApp(app, attached)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("state of app instances (-before +after):\n%s", diff)
			}
			nsAfter, idAfter := w.seen(blue)
			if id != idAfter {
				t.Errorf("namespace was %d and is %d", id, idAfter)
			}
			if diff := cmp.Diff(ns, nsAfter, samePrefixes(), cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
				t.Errorf("namespace (-before +after):\n%s", diff)
			}
			if got := w.ask(g); got != blue.UUID.String() {
				t.Errorf("guest was answered by %q", got)
			}
		})
	}
}

// prefixesOf returns the addresses that an interface was given, sorted. Those that the kernel gives it by itself come at a
// time of its own choosing.
func prefixesOf(l plan.Link) []string {
	var all []string
	for _, a := range l.Addresses {
		if addr := a.Prefix.Addr(); addr.Is4() || !addr.IsLinkLocalUnicast() || slices.Contains(plan.MetadataPrefixes(), a.Prefix) {
			all = append(all, a.Prefix.String())
		}
	}
	slices.Sort(all)
	return all
}

// samePrefixes compares addresses by prefixesOf.
func samePrefixes() cmp.Option {
	return cmp.Comparer(func(a, b []plan.Address) bool {
		return slices.Equal(prefixesOf(plan.Link{Addresses: a}), prefixesOf(plan.Link{Addresses: b}))
	})
}

// inside runs f with netlink in a network's namespace, as somebody who tampers with it.
func (w *world) inside(n eve.NetworkInstanceConfig, f func(h *netlink.Handle) error) {
	w.t.Helper()
	ns, err := netns.Open(nim.NamespacePath(w.root, n.UUID.String()))
	if err != nil {
		w.t.Fatal(err)
	}
	h, err := netlink.NewHandleAt(ns.Handle(), unix.NETLINK_ROUTE)
	if err != nil {
		w.t.Fatal(err)
	}
	defer h.Close()
	if err := errors.Join(f(h), ns.Close()); err != nil {
		w.t.Fatal(err)
	}
}

// Links of others stay where they are, with their addresses and routes. What is no longer wanted goes, and so does whatever
// somebody gave our bridge.
func TestOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	withDrivers(t, func(t *testing.T, w *world) {
		blue := localNetwork("blue", "10.11.12.0/24")
		web := container("web", blue)
		w.setNetwork(blue)
		w.setApp(web)
		w.complete()
		w.start()
		vif := w.awaitApp(web, attached).AppNetAdapterList[0].VifUsed
		foreign, intruder, anywhere := mustAddr(t, "192.0.2.7/24"), mustAddr(t, "192.0.2.8/24"), mustAddr(t, "198.51.100.0/24").IPNet
		w.inside(blue, func(h *netlink.Handle) error {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "nbu1x1" // as EVE names its own
			other := &netlink.Bridge{LinkAttrs: attrs}
			bridge, err := h.LinkByName("br0")
			return errors.Join(err, h.LinkAdd(other), h.LinkSetUp(other), h.AddrAdd(other, foreign), h.AddrAdd(bridge, intruder),
				h.RouteAdd(&netlink.Route{Dst: anywhere, LinkIndex: other.Index}))
		})
		// The gateway moves, and the app instance goes.
		blue.Gateway = net.IPv4(10, 11, 12, 254).To4()
		w.setNetwork(blue)
		if err := w.apps.Delete(web.UUIDandVersion.UUID.String()); err != nil {
			t.Fatal(err)
		}
		w.await("network without app instance", func() error {
			s := w.netState[blue.UUID.String()]
			if _, ok := w.appState[web.UUIDandVersion.UUID.String()]; !ok && len(s.Vifs) == 0 && s.BridgeIPAddr.Equal(blue.Gateway) {
				return nil
			}
			return fmt.Errorf("it is %s", asJSON(s))
		})
		ns, _ := w.seen(blue)
		names := map[string]bool{}
		addrs := map[string]string{} // their interfaces
		for _, l := range ns.Links {
			names[l.Name] = true
			for _, a := range prefixesOf(l) {
				addrs[a] += l.Name
			}
		}
		for name, want := range map[string]bool{"nbu1x1": true, "br0": true, vif: false, plan.GuestEnd(vif): false} {
			if names[name] != want {
				t.Errorf("interface %q is there: %v, want %v", name, names[name], want)
			}
		}
		for addr, want := range map[string]string{
			"192.0.2.7/24": "nbu1x1", "192.0.2.8/24": "", "10.11.12.254/24": "br0", "169.254.169.254/32": "br0", "10.11.12.1/24": "",
		} {
			if addrs[addr] != want {
				t.Errorf("address %s is on %q, want %q", addr, addrs[addr], want)
			}
		}
		if !slices.Contains(ns.Routes, plan.Route{Dst: netip.MustParsePrefix("198.51.100.0/24"), Link: "nbu1x1"}) {
			t.Errorf("somebody's route is gone: %v", ns.Routes)
		}
	})
}

func mustAddr(t *testing.T, text string) *netlink.Addr {
	t.Helper()
	a, err := netlink.ParseAddr(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A network that goes takes its namespace and its socket along.
func TestNetworkRemoved(t *testing.T) {
	t.Parallel()
	withDrivers(t, func(t *testing.T, w *world) {
		blue, green := localNetwork("blue", "10.11.12.0/24"), localNetwork("green", "10.11.12.0/24")
		w.setNetwork(blue)
		w.setNetwork(green)
		w.complete()
		w.start()
		w.await("both networks", func() error {
			if len(w.netState) != 2 {
				return fmt.Errorf("%d are published", len(w.netState))
			}
			return nil
		})
		set, _ := w.board.Snapshot()
		if len(set) != 10 {
			t.Fatalf("%d endpoints, want 5 in each of 2 networks", len(set))
		}
		if err := w.networks.Delete(blue.UUID.String()); err != nil {
			t.Fatal(err)
		}
		w.await("network to go", func() error {
			if _, ok := w.netState[blue.UUID.String()]; ok {
				return errors.New("its state is still published")
			}
			return nil
		})
		if _, err := os.Stat(nim.NamespacePath(w.root, blue.UUID.String())); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("namespace of blue: %v, want %v", err, fs.ErrNotExist)
		}
		if _, err := os.Stat(nim.NamespacePath(w.root, green.UUID.String())); err != nil {
			t.Errorf("namespace of green: %v", err)
		}
		left, _ := w.board.Snapshot()
		others := slices.ContainsFunc(left, func(e endpoint.Endpoint) bool { return e.Network != green.UUID.String() })
		if len(left) != 5 || others {
			t.Errorf("endpoints are %v, want those of green", left)
		}
		for _, e := range set {
			if e.Network != blue.UUID.String() {
				continue
			}
			if _, err := e.Listener.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("accept on the socket of blue: %v, want %v", err, net.ErrClosed)
			}
		}
	})
}

// A feed that starts with a part of its config makes what it has, and takes nothing away before it has said all.
func TestNothingGoesBeforeTheFeedIsComplete(t *testing.T) {
	t.Parallel()
	w := newWorld(t, drivers()["memory"])
	blue, green := localNetwork("blue", "10.11.12.0/24"), localNetwork("green", "10.11.12.0/24")
	web, db := container("web", blue), container("db", green)
	w.setNetwork(blue)
	w.setApp(web)
	w.complete()
	w.start()
	before := w.awaitApp(web, attached)
	_, id := w.seen(blue)
	w.stop()

	err := errors.Join(w.apps.ClearRestarted(), w.networks.ClearRestarted(),
		w.apps.Delete(web.UUIDandVersion.UUID.String()), w.networks.Delete(blue.UUID.String()))
	if err != nil {
		t.Fatal(err)
	}
	w.setNetwork(green)
	w.setApp(db)
	w.run()
	w.awaitApp(db, attached)
	if _, now := w.seen(blue); now != id {
		t.Errorf("namespace of blue was %d and is %d", id, now)
	}
	if diff := cmp.Diff(before, w.awaitApp(web, attached)); diff != "" {
		t.Errorf("state of web (-before +now):\n%s", diff)
	}
	w.complete()
	w.await("blue to go", func() error {
		_, net := w.netState[blue.UUID.String()]
		_, app := w.appState[web.UUIDandVersion.UUID.String()]
		if net || app {
			return errors.New("its state is still published")
		}
		return nil
	})
	if _, now := w.seen(blue); now != 0 {
		t.Error("namespace of blue is still there")
	}
}

// Virtual machines get taps, which outlive the manager.
func TestTap(t *testing.T) {
	t.Parallel()
	sandbox.NeedTap(t)
	w := newWorld(t, drivers()["memory"])
	blue := localNetwork("blue", "10.11.12.0/24")
	vm := container("vm", blue)
	vm.FixedResources.VirtualizationMode = eve.VmModeHVM
	w.setNetwork(blue)
	w.setApp(vm)
	w.complete()
	w.start()
	port := w.awaitApp(vm, attached).AppNetAdapterList[0]
	w.stop()
	ns, _ := w.seen(blue)
	for _, l := range ns.Links {
		if l.Name == port.VifUsed {
			if l.Kind != "tap" || l.Master != "br0" || !l.Up || l.MAC.String() == port.VifInfo.Mac.String() {
				t.Errorf("tap is %+v", l)
			}
			return
		}
	}
	t.Errorf("no tap %q among %+v", port.VifUsed, ns.Links)
}

// Commands of a guest see the guest's interfaces.
func TestGuestCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, drivers()["memory"])
	blue := localNetwork("blue", "10.11.12.0/24")
	web := container("web", blue)
	w.setNetwork(blue)
	w.setApp(web)
	w.complete()
	w.start()
	out, err := w.guest(web).Command(t.Context(), "cat", "/proc/net/dev").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "eth0:") {
		t.Errorf("interfaces are %q, error %v", out, err)
	}
}

// Remove leaves nothing behind.
func TestRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t, drivers()["memory"])
	w.setNetwork(localNetwork("blue", "10.11.12.0/24"))
	w.complete()
	w.start()
	w.stop()
	if err := nim.Remove(context.Background(), w.config()); err != nil {
		t.Fatal(err)
	}
	names, err := netns.List(w.root + "/run/netns")
	if err != nil || len(names) != 0 {
		t.Errorf("namespaces %q are left, error %v", names, err)
	}
}

// An IPv6 network, and a switch.
func TestOtherNetworks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, drivers()["memory"])
	six, sw := localNetwork("six", "2001:db8:1::/64"), localNetwork("switch", "10.0.0.0/24")
	sw.Type, sw.IpType, sw.Subnet, sw.Gateway = eve.NetworkInstanceTypeSwitch, eve.AddressTypeNone, nil, nil
	web, db := container("web", six), container("db", sw)
	w.setNetwork(six)
	w.setNetwork(sw)
	w.setApp(web)
	w.setApp(db)
	w.complete()
	w.start()
	s := w.awaitApp(web, attached)
	if a := s.AppNetAdapterList[0].AssignedAddresses; len(a.IPv6Addrs) != 1 || len(a.IPv4Addrs) != 0 {
		t.Errorf("addresses in the IPv6 network are %+v", a)
	}
	g := w.guest(web)
	err := g.Do(func() error {
		c, err := net.Dial("udp", "[2001:db8:1::1]:53")
		if err != nil {
			return err
		}
		return c.Close()
	})
	if err != nil {
		t.Errorf("guest has no way to its gateway: %v", err)
	}
	s = w.awaitApp(db, attached)
	if a := s.AppNetAdapterList[0].AssignedAddresses; len(a.IPv4Addrs)+len(a.IPv6Addrs) != 0 {
		t.Errorf("addresses on the switch are %+v", a)
	}
	w.guest(db)
}
