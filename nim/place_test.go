// SPDX-License-Identifier: Apache-2.0

package nim_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/nim/plan/plantest"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// links returns what a namespace has, by name.
func (b *bench) links(namespace string) map[string]plan.Link {
	links := map[string]plan.Link{}
	for _, l := range b.kernel.Seen()[namespace].Links {
		links[l.Name] = l
	}
	return links
}

// hasAddress tells whether an interface has an address that can be used.
func (b *bench) hasAddress(namespace, link string, p netip.Prefix) bool {
	return slices.Contains(b.links(namespace)[link].Addresses, plan.Address{Prefix: p})
}

// place says where a network is.
func (b *bench) place(name string, m eve.NetworkMetadata) {
	b.t.Helper()
	m.NetworkUUID = id(name)
	b.must(b.about.Set(key(name), m))
}

// uplinked is a network with an uplink.
func uplinked(name string) eve.NetworkInstanceConfig {
	n := network(name)
	n.PortLabel = "uplink"
	return n
}

// sameTransit returns the names of networks whose search for a number begins at the same one.
func sameTransit() (first, second string) {
	seen := map[int]string{}
	for i := 0; ; i++ {
		name := fmt.Sprint("network ", i)
		t := plan.TransitOf(key(name))
		if seen[t] != "" {
			return seen[t], name
		}
		seen[t] = name
	}
}

// The uplinks of a host never share a number, and each network keeps its own over restarts, whoever leaves.
func TestTransit(t *testing.T) {
	withBench(t, func(b *bench) {
		first, second := sameTransit()
		number := plan.TransitOf(key(first))
		b.must(b.networks.Set(key(first), uplinked(first)), b.networks.Set(key(second), uplinked(second)))
		b.complete()
		stop := b.start()
		synctest.Wait()
		got := map[int]bool{b.attachment(first).Transit - 1: true, b.attachment(second).Transit - 1: true}
		if diff := cmp.Diff(map[int]bool{number: true, number + 1: true}, got); diff != "" {
			t.Fatalf("numbers of the uplinks (-want +got):\n%s", diff)
		}
		leaver, keeper := first, second
		if b.attachment(keeper).Transit-1 == number { // the one that would move if it could
			leaver, keeper = keeper, leaver
		}
		want := plan.NewUplink(key(keeper), number+1, "", false)
		if !b.hasAddress(plan.Host, want.Port, want.Host) {
			t.Errorf("host's end %s has not the address %s", want.Port, want.Host)
		}
		if s := b.network(keeper); s.Error != "" || !cmp.Equal(s.Ports, []string{"uplink"}) {
			t.Errorf("error %q, ports %v", s.Error, s.Ports)
		}
		stop()
		b.must(b.networks.Delete(key(leaver)))
		stop = b.start()
		defer stop()
		synctest.Wait()
		if got := b.attachment(keeper).Transit; got != number+2 || !b.hasAddress(plan.Host, want.Port, want.Host) {
			t.Errorf("after the other has left, the number is %d, want %d as before", got-1, number+1)
		}
		if a := b.attachment(leaver); a != (eve.NetworkAttachment{}) || len(b.links(plan.Host)) != 1 {
			t.Errorf("the one that left is published to be at %+v, and the host has %v", a, b.links(plan.Host))
		}
		b.must(b.networks.Set(key(keeper), network(keeper)))
		synctest.Wait()
		if a := b.attachment(keeper); a != (eve.NetworkAttachment{}) || len(b.links(plan.Host)) != 0 {
			t.Errorf("without an uplink it is published to be at %+v, and the host has %v", a, b.links(plan.Host))
		}
	})
}

// A network whose only way out is missing says so, and serves all the same.
func TestUplinkMissing(t *testing.T) {
	withBench(t, func(b *bench) {
		n := network("blue")
		n.PortLabel = "nosuch0"
		b.must(b.networks.Set(key("blue"), n))
		b.complete()
		stop := b.start()
		defer stop()
		synctest.Wait()
		s := b.network("blue")
		if !strings.Contains(s.PortErr.Error, `the host has no interface "nosuch0"`) || !s.Activated {
			t.Errorf("activated %t, error of the port %q", s.Activated, s.PortErr.Error)
		}
	})
}

// A container's namespace as its runtime has made it.
const (
	containerNetns = "/run/netns/container"
	containerMAC   = "02:42:ac:11:00:02"
)

func containerSeen() plan.Seen {
	mac, err := net.ParseMAC(containerMAC)
	if err != nil {
		panic(err)
	}
	return plan.Seen{containerNetns: {Links: []plan.Link{
		{Name: "lo", Index: 1, MTU: 65536},
		{Name: "eth0", Kind: "veth", Index: 2, MTU: 1500, Up: true, MAC: plan.MAC(mac), Addresses: []plan.Address{
			{Prefix: netip.MustParsePrefix("fe80::42:acff:fe11:2/64")},
			{Prefix: netip.MustParsePrefix("172.17.0.2/16")}, {Prefix: netip.MustParsePrefix("fd00:17::2/64")},
		}},
	}}}
}

// elsewhere is a network in the container's namespace.
func (b *bench) elsewhere(name string) {
	b.t.Helper()
	n := network(name)
	n.Subnet, n.Gateway = nil, nil
	b.must(b.networks.Set(key(name), n))
	b.place(name, eve.NetworkMetadata{Namespace: containerNetns})
}

// In a namespace of others a network has the metadata addresses, and the guest is known by what it has there.
func TestExistingNamespace(t *testing.T) {
	withBench(t, func(b *bench) {
		b.kernel = plantest.New(containerSeen())
		b.elsewhere("blue")
		b.setApp(app("web", "blue"))
		b.complete()
		stop := b.start()
		defer stop()
		synctest.Wait()
		for _, p := range plan.MetadataPrefixes() {
			if !b.hasAddress(containerNetns, "lo", p) {
				t.Errorf("lo has not the address %s: %+v", p, b.links(containerNetns)["lo"])
			}
		}
		a := b.app("web").AppNetAdapterList[0]
		got := []string{a.VifInfo.Mac.String(), a.VifUsed}
		for _, addr := range append(a.AssignedAddresses.IPv4Addrs, a.AssignedAddresses.IPv6Addrs...) {
			got = append(got, addr.Address.String())
		}
		if diff := cmp.Diff([]string{containerMAC, "", "172.17.0.2", "fd00:17::2"}, got); diff != "" {
			t.Errorf("MAC address, port and addresses of web (-want +got):\n%s", diff)
		}
		set, _ := b.board.Snapshot()
		for _, e := range set {
			if !e.Alone {
				t.Errorf("at %s an only guest is not known to be one", e.Address)
			}
		}
		if got := b.attachment("blue").Namespace; got != containerNetns || len(set) != 3 {
			t.Errorf("%d sockets in %q, want 3 in %q", len(set), got, containerNetns)
		}
		want := containerSeen()[containerNetns].Links[1]
		if diff := cmp.Diff(want, b.links(containerNetns)["eth0"], cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("the container's own interface (-before +after):\n%s", diff)
		}
		b.must(b.fake.Disturb(plan.NetnsDel{Netns: containerNetns}))
		time.Sleep(time.Second) // of the bubble's time
		synctest.Wait()
		if got, want := b.network("blue").Error, fmt.Sprintf("namespace %q is not there", containerNetns); got != want {
			t.Errorf("error %q, want %q", got, want)
		}
	})
}

// A bridge of others that is missing is all that is said, not what cannot be done without it.
func TestMissingBridge(t *testing.T) {
	withBench(t, func(b *bench) {
		b.elsewhere("blue")
		b.place("blue", eve.NetworkMetadata{Bridge: "bn1"})
		b.complete()
		b.listen = func(addr netip.AddrPort) (net.Listener, error) {
			return nil, fmt.Errorf("listen %s: %w", addr, syscall.ENODEV)
		}
		stop := b.start()
		defer stop()
		synctest.Wait()
		if got, want := b.network("blue").Error, `bridge "bn1" is not there`; got != want {
			t.Errorf("error %q, want %q", got, want)
		}
	})
}

// What is no bridge gets no address and no socket, whatever it is called.
func TestNotBridge(t *testing.T) {
	withBench(t, func(b *bench) {
		b.kernel = plantest.New(plan.Seen{plan.Host: {Links: []plan.Link{{Name: "lo", Index: 1}}}})
		b.elsewhere("blue")
		b.place("blue", eve.NetworkMetadata{Bridge: "lo"})
		b.complete()
		stop := b.start()
		defer stop()
		synctest.Wait()
		if got, want := b.network("blue").Error, `interface "lo" is not a bridge`; got != want {
			t.Errorf("error %q, want %q", got, want)
		}
		if set, _ := b.board.Snapshot(); len(set) > 0 {
			t.Errorf("sockets: %v", set)
		}
		if host := b.kernel.Seen()[plan.Host]; len(host.Links[0].Addresses) > 0 || len(host.Tables) > 0 {
			t.Errorf("the host has %+v", host)
		}
	})
}

// Each adapter in a namespace of others is found by its MAC address, or its IP address, or gets what is left.
func TestAdopt(t *testing.T) {
	withBench(t, func(b *bench) {
		seen := containerSeen()
		ns := seen[containerNetns]
		for i, addr := range []string{"192.0.2.1/24", "192.0.2.130/25", "198.51.100.4/24"} {
			ns.Links = append(ns.Links, plan.Link{
				Name: fmt.Sprint("eth", i+1), Kind: "veth", Index: 9 - i, MAC: plan.MAC{2, 0, 0, 0, 0, byte(i + 1)},
				Addresses: []plan.Address{{Prefix: netip.MustParsePrefix(addr)}},
			})
		}
		seen[containerNetns] = ns
		b.kernel = plantest.New(seen)
		b.elsewhere("blue")
		web := app("web", "blue", "blue", "blue", "blue")
		web.AppNetAdapterList[1].AppMacAddr = net.HardwareAddr{2, 0, 0, 0, 0, 2}
		web.AppNetAdapterList[2].AppIPAddr = net.IPv4(198, 51, 100, 4).To4()
		web.AppNetAdapterList[3].AppMacAddr, _ = net.ParseMAC(containerMAC)
		b.setApp(web)
		b.complete()
		stop := b.start()
		defer stop()
		synctest.Wait()
		var got []string
		for _, a := range b.app("web").AppNetAdapterList {
			text := a.VifInfo.Mac.String()
			for _, addr := range a.AssignedAddresses.IPv4Addrs {
				text += " " + addr.Address.String()
			}
			got = append(got, text)
		}
		want := []string{
			"02:00:00:00:00:01 192.0.2.1", "02:00:00:00:00:02 192.0.2.130", "02:00:00:00:00:03 198.51.100.4", containerMAC + " 172.17.0.2",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("adapters (-want +got):\n%s", diff)
		}
	})
}

// A network that goes while no manager runs is taken out of others' namespace by the next one, once that is sure; what is
// others' stays.
func TestLeftElsewhere(t *testing.T) {
	withBench(t, func(b *bench) {
		b.kernel = plantest.New(containerSeen())
		b.elsewhere("blue")
		b.complete()
		stop := b.start()
		synctest.Wait()
		stop()
		b.must(b.networks.Delete(key("blue")), b.about.Delete(key("blue")), b.networks.ClearRestarted())
		stop = b.start()
		defer stop()
		synctest.Wait()
		if !b.hasAddress(containerNetns, "lo", metadataPrefix) {
			t.Error("the address is gone before the feed has told everything")
		}
		b.complete()
		synctest.Wait()
		if left := b.links(containerNetns)["lo"].Addresses; len(left) > 0 {
			t.Errorf("addresses that stay on lo: %v", left)
		}
		if n := len(b.links(containerNetns)["eth0"].Addresses); n != 3 {
			t.Errorf("the container has %d addresses left, want 3", n)
		}
		if a := b.attachment("blue"); a != (eve.NetworkAttachment{}) {
			t.Errorf("it is still published to be at %+v", a)
		}
	})
}

// A network that moves leaves nothing where it was.
func TestMove(t *testing.T) {
	withBench(t, func(b *bench) {
		b.kernel = plantest.New(containerSeen())
		b.setNetwork("blue")
		b.complete()
		stop := b.start()
		defer stop()
		synctest.Wait()
		ours := plan.NamespaceName(key("blue"))
		b.elsewhere("blue")
		synctest.Wait()
		if b.kernel.ID(ours) != 0 || !b.hasAddress(containerNetns, "lo", metadataPrefix) {
			t.Errorf("namespaces %v, lo %+v", b.kernel.Names(), b.links(containerNetns)["lo"])
		}
		b.setNetwork("blue")
		b.place("blue", eve.NetworkMetadata{})
		synctest.Wait()
		if !b.hasAddress(ours, "br0", metadataPrefix) || len(b.links(containerNetns)["lo"].Addresses) > 0 {
			t.Errorf("namespaces %v, lo %+v", b.kernel.Names(), b.links(containerNetns)["lo"])
		}
	})
}

// An address that somebody else on the link has is an error until it can be had: it is given another try at growing
// intervals.
func TestDuplicate(t *testing.T) {
	withBench(t, func(b *bench) {
		linkLocal := plan.MetadataPrefixes()[1]
		seen := containerSeen()
		seen[containerNetns].Links[0].Addresses = []plan.Address{{Prefix: linkLocal, Duplicate: true}}
		b.kernel = plantest.New(seen)
		b.elsewhere("blue")
		b.complete()
		stop := b.start()
		defer stop()
		synctest.Wait()
		const want = "use address fe80::a9fe:a9fe on lo: somebody else on the link has it"
		if s := b.network("blue"); !strings.Contains(s.ReconcileErr.Error, want) {
			t.Errorf("error is %q, want %q", s.ReconcileErr.Error, want)
		}
		for _, s := range b.kernel.Steps() {
			if del, ok := s.(plan.AddrDel); ok {
				t.Errorf("another try at once: %s", del)
			}
		}
		time.Sleep(5 * time.Second) // of the bubble's time
		synctest.Wait()
		if s := b.network("blue"); s.ReconcileErr.Error != "" || !b.hasAddress(containerNetns, "lo", linkLocal) {
			t.Errorf("after another try the error is %q, lo %+v", s.ReconcileErr.Error, b.links(containerNetns)["lo"])
		}
	})
}

// What others change is noticed, put right and logged once.
func TestNotice(t *testing.T) {
	withBench(t, func(b *bench) {
		b.setNetwork("blue", "green")
		b.setApp(app("web", "blue"))
		b.complete()
		stop := b.start()
		defer stop()
		synctest.Wait()
		ns := plan.NamespaceName(key("blue"))
		before := b.kernel.Seen()
		for _, step := range []plan.Step{
			plan.AddrDel{Netns: ns, Link: "br0", Prefix: metadataPrefix},
			plan.RouteDel{Netns: ns, Route: before[ns].Routes[0]},
			plan.SysctlSet{Netns: ns, Name: "net.ipv4.ip_forward", Value: "0"},
			plan.TableDel{Netns: ns, Table: plan.FilterTable},
		} {
			t.Log(step)
			time.Sleep(time.Minute) // of the bubble's time
			synctest.Wait()
			looks := b.fake.Looks()
			b.errors()
			b.must(b.fake.Disturb(step))
			time.Sleep(time.Second)
			synctest.Wait()
			equal := cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}, plan.Route{})
			sorted := cmpopts.SortSlices(func(a, b any) bool { return fmt.Sprint(a) < fmt.Sprint(b) })
			if diff := cmp.Diff(before, b.kernel.Seen(), equal, sorted); diff != "" {
				t.Errorf("kernel (-before +after):\n%s", diff)
			}
			if got := b.errors(); len(got) != 1 || !strings.Contains(got[0], "changed by somebody else") {
				t.Errorf("logged %q, want one line", got)
			}
			if more := b.fake.Looks() - looks; more != 1 {
				t.Errorf("looked %d times", more)
			}
		}
		id := b.kernel.ID(ns)
		b.must(b.fake.Disturb(plan.NetnsDel{Netns: ns}))
		time.Sleep(time.Second)
		synctest.Wait()
		if now := b.kernel.ID(ns); now == 0 || now == id || !b.app("web").Activated {
			t.Errorf("namespace was %d and is %d", id, now)
		}
	})
}

// Somebody who wants it otherwise, and never gives up, is opposed once a second, which is in the log once and an error for
// as long as it goes on. Other networks are none the worse for it.
func TestFight(t *testing.T) {
	withBench(t, func(b *bench) {
		b.setNetwork("blue", "green")
		b.complete()
		blue, green := plan.NamespaceName(key("blue")), plan.NamespaceName(key("green"))
		var fights, attempts atomic.Int64
		disturb := func() { b.must(b.fake.Disturb(plan.AddrDel{Netns: blue, Link: "br0", Prefix: metadataPrefix})) }
		b.kernel.Fail = func(s plan.Step) error {
			if s == (plan.AddrAdd{Netns: blue, Link: "br0", Prefix: metadataPrefix}) && fights.Load() > 0 {
				attempts.Add(1)
				time.AfterFunc(time.Millisecond, disturb)
			}
			return nil
		}
		stop := b.start()
		defer stop()
		synctest.Wait()
		fights.Store(1)
		disturb()
		time.Sleep(time.Minute) // of the bubble's time
		synctest.Wait()
		if n := attempts.Load(); n < 55 || n > 70 {
			t.Errorf("%d attempts in a minute, want about one a second", n)
		}
		if s := b.network("blue"); !strings.Contains(s.ReconcileErr.Error, "changes the app network again and again") {
			t.Errorf("error is %q", s.ReconcileErr.Error)
		}
		if got := b.errors(); len(got) != 2 {
			t.Errorf("logged %q, want one line on the change and one on the error", got)
		}
		b.must(b.fake.Disturb(plan.AddrDel{Netns: green, Link: "br0", Prefix: metadataPrefix}))
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if !b.hasAddress(green, "br0", metadataPrefix) {
			t.Error("the fight in blue keeps green waiting")
		}
		b.errors()
		fights.Store(0)
		time.Sleep(7 * time.Second)
		synctest.Wait()
		if s := b.network("blue"); s.Error != "" || !b.hasAddress(blue, "br0", metadataPrefix) {
			t.Errorf("after the fight the error is %q", s.Error)
		}
		if got := b.errors(); len(got) != 0 {
			t.Errorf("after the fight, logged %q", got)
		}
		looks := b.fake.Looks()
		time.Sleep(time.Hour)
		synctest.Wait()
		if more := b.fake.Looks() - looks; more > 0 {
			t.Errorf("looked %d times with nothing to do", more)
		}
	})
}

// What is wrong with a network's server is said in the network's status, and over when it is over.
func TestServerFails(t *testing.T) {
	withBench(t, func(b *bench) {
		b.setNetwork("blue")
		b.setApp(app("web", "blue"))
		b.complete()
		stop := b.start()
		defer stop()
		synctest.Wait()
		if s := b.fake.Served(key("blue")); s == nil || !s.DHCP || len(s.Guests) != 1 {
			t.Fatalf("the server was told %+v, want DHCP for web", s)
		}
		for _, err := range []error{errors.New("dnsmasq was killed"), nil} {
			b.fake.FailServer(key("blue"), err)
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			want := ""
			if err != nil {
				want = err.Error()
			}
			if s := b.network("blue"); s.ReconcileErr.Error != want || !s.Activated {
				t.Errorf("activated %t, error %q, want %q", s.Activated, s.ReconcileErr.Error, want)
			}
		}
		b.place("blue", eve.NetworkMetadata{NoDHCP: true, NoDNS: true})
		synctest.Wait()
		if s := b.fake.Served(key("blue")); s != nil {
			t.Errorf("where there is to be no server, it was told %+v", s)
		}
	})
}
