// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/nim/plan/plantest"
)

// From any wanted state to any other, with things of others around and something broken on the way: each plan can be
// carried out and settles, and what is not ours is never touched.
func TestTransitions(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 0))
			foreign := plan.Namespace{Links: []plan.Link{{Name: "lo", Index: 1}, {Name: "br0", Kind: "bridge", Index: 2}}}
			host := plan.Namespace{
				Links:   []plan.Link{{Name: "eth0", Index: 3}, {Name: "bn1", Kind: "bridge", Index: 4, MAC: plan.MAC{0, 0x16, 0x3e, 6, 0, 1}}},
				Sysctls: map[string]string{"net.ipv4.ip_forward": "1"},
			}
			k := plantest.New(plan.Seen{"blue": foreign, plan.Host: host})
			for range 6 {
				settles(t, randomWanted(r), k)
				breakSomething(t, r, k)
				if diff := cmp.Diff(foreign, k.Seen()["blue"], samePrefix()); diff != "" {
					t.Errorf("namespace of others (-before +after):\n%s", diff)
				}
			}
			for _, step := range plan.Detach(onBridge(), k.Seen()) {
				if err := k.Apply(step); err != nil {
					t.Error(err)
				}
			}
			settles(t, plan.Wanted{}, k)
			if diff := cmp.Diff(host, k.Seen()[plan.Host], samePrefix(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("the host's own namespace (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"blue"}, k.Names()); diff != "" {
				t.Errorf("namespaces at the end (-want +got):\n%s", diff)
			}
		})
	}
}

func samePrefix() cmp.Option { return cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }) }

// onBridge is a network on a bridge of another program's.
func onBridge() plan.Network {
	return plan.Network{Attach: plan.OnBridge, Bridge: plan.Bridge{Name: "bn1", Addresses: plan.MetadataPrefixes()}}
}

func randomWanted(r *rand.Rand) plan.Wanted {
	w := plan.Wanted{Keep: r.IntN(4) == 0}
	if r.IntN(2) == 0 {
		n := onBridge()
		if n.Guarded = r.IntN(4) > 0; n.Guarded {
			n.Guests = []plan.Guest{
				{Port: "nbu1x1", MAC: plan.MAC{2, 0x16, 0x3e, 0, 0, byte(r.IntN(2))}}, {Port: "nbu1x2", MAC: plan.MAC{2, 1}}, {Port: "nbu1x3", MAC: plan.MAC{2, 2}},
			}[r.IntN(3):]
		}
		w.Networks = append(w.Networks, n)
	}
	for i := range 3 {
		if r.IntN(3) == 0 {
			continue
		}
		id := fmt.Sprintf("a77d0c1e-1c36-4b1d-8a54-3c1b6b0e100%d", i)
		n := plan.Network{
			Namespace: plan.NamespaceName(id),
			Bridge:    plan.Bridge{Name: "br0", MAC: plan.BridgeMAC(id), MTU: 1400 + r.IntN(2)*100},
		}
		for _, a := range []string{"10.11.12.1/24", "10.11.12.254/24", "10.11.12.1/16", "2001:db8::1/64", "169.254.169.254/32"} {
			if r.IntN(2) == 0 {
				n.Bridge.Addresses = append(n.Bridge.Addresses, netip.MustParsePrefix(a))
			}
		}
		for port := range 4 {
			if r.IntN(2) == 0 {
				n.Ports = append(n.Ports, plan.Port{
					Kind: []plan.PortKind{plan.Veth, plan.Tap}[r.IntN(2)], Name: plan.PortName("app", fmt.Sprint(port), 0),
					MAC: plan.MAC{0xfe, byte(port)}, GuestMAC: plan.MAC{2, byte(port), byte(r.IntN(2))}, MTU: n.Bridge.MTU,
					Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 11, 12, byte(5 + r.IntN(3))})}, AnyAddress: r.IntN(8) == 0,
				})
			}
		}
		if r.IntN(2) == 0 {
			n.Uplink = plan.NewUplink(id, i, []string{"", "eth0"}[r.IntN(2)], r.IntN(2) == 0)
		}
		w.Networks = append(w.Networks, n)
	}
	return w
}

// breakSomething does what people and guests do: it removes a link, takes a guest end, empties a bridge, flushes tables,
// removes a route.
func breakSomething(t *testing.T, r *rand.Rand, k *plantest.Kernel) {
	t.Helper()
	for name, ns := range k.Seen() {
		if !plan.IsNamespace(name) || len(ns.Links) < 2 {
			continue
		}
		l := ns.Links[1+r.IntN(len(ns.Links)-1)]
		var step plan.Step = plan.LinkDel{Netns: name, Link: l.Name}
		switch r.IntN(4) {
		case 0:
			if len(l.Addresses) > 0 {
				step = plan.AddrDel{Netns: name, Link: l.Name, Prefix: l.Addresses[0].Prefix}
			}
		case 1:
			if _, ok := ns.Tables[plan.FilterTable]; ok {
				step = plan.TableDel{Netns: name, Table: plan.FilterTable}
			}
		case 2:
			if len(ns.Routes) > 0 {
				step = plan.RouteDel{Netns: name, Route: ns.Routes[0]}
			}
		}
		if err := k.Apply(step); err != nil {
			t.Fatal(err)
		}
		return
	}
}

// Networks are planned one at a time; what one of them has in the host's own namespace is nothing to the others.
func TestHostIsShared(t *testing.T) {
	t.Parallel()
	k := plantest.New(nil)
	var networks []plan.Network
	for i := range 3 {
		id := fmt.Sprintf("a77d0c1e-1c36-4b1d-8a54-3c1b6b0e100%d", i)
		networks = append(networks, plan.Network{
			Namespace: plan.NamespaceName(id), Bridge: plan.Bridge{Name: "br0", MTU: 1500}, Uplink: plan.NewUplink(id, i, "", true),
		})
	}
	one := func(n plan.Network) plan.Seen { // as nim/kernel sees it
		seen := k.Seen()
		host := seen[plan.Host]
		port := plan.UplinkName(plan.NetworkOf(n.Namespace))
		host.Links = slices.DeleteFunc(host.Links, func(l plan.Link) bool { return l.Name != port })
		one := plan.Seen{plan.Host: host}
		if ns, ok := seen[n.Namespace]; ok {
			one[n.Namespace] = ns
		}
		return one
	}
	apply := func(steps []plan.Step) {
		for _, step := range steps {
			if err := k.Apply(step); err != nil {
				t.Error(err)
			}
		}
	}
	for _, n := range networks {
		apply(plan.Plan(plan.Wanted{Networks: []plan.Network{n}}, one(n)))
	}
	gone, networks := networks[1], slices.Delete(slices.Clone(networks), 1, 2)
	apply(plan.Detach(gone, one(gone)))
	for _, n := range networks {
		if steps := plan.Plan(plan.Wanted{Networks: []plan.Network{n}}, one(n)); len(steps) > 0 {
			t.Errorf("disturbed by another one's removal:\n%s", lines(steps))
		}
	}
	if steps := plan.Detach(gone, one(gone)); len(steps) > 0 {
		t.Errorf("left of what was removed:\n%s", lines(steps))
	}
	for _, n := range networks {
		apply(plan.Detach(n, one(n)))
	}
	if host := k.Seen()[plan.Host]; len(host.Links) > 0 || len(host.Tables) > 0 {
		t.Errorf("left in the host's own namespace: %v", host)
	}
}

// manyPorts is a network with that many ports.
func manyPorts(ports int) plan.Network {
	n := plan.Network{
		Namespace: plan.NamespaceName("a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1001"),
		Bridge:    plan.Bridge{Name: "br0", MAC: plan.MAC{6}, MTU: 1500},
	}
	for i := range ports {
		n.Ports = append(n.Ports, plan.Port{
			Kind: plan.Tap, Name: plan.PortName("app", fmt.Sprint(i), 0), MAC: plan.MAC{0xfe, byte(i), byte(i >> 8)},
			GuestMAC: plan.MAC{2, byte(i), byte(i >> 8)}, MTU: 1500,
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})},
		})
	}
	return n
}

// A change of one port concerns that port only, however many there are.
func TestOnePortOnly(t *testing.T) {
	t.Parallel()
	const many = 4*plan.MaxBridgePorts - 1
	n := manyPorts(many)
	k := plantest.New(nil)
	settles(t, plan.Wanted{Networks: []plan.Network{n}}, k)
	change := func(what string, links, elements int) {
		t.Helper()
		steps := plan.Plan(plan.Wanted{Networks: []plan.Network{n}}, k.Seen())
		for _, step := range steps {
			_, link := step.On()
			switch step.(type) {
			case plan.ElementAdd, plan.ElementDel:
				elements--
			default:
				links--
			}
			if err := k.Apply(step); err != nil || !plan.IsPort(link) {
				t.Errorf("%s: step %s: error %v", what, step, err)
			}
		}
		if links != 0 || elements != 0 {
			t.Errorf("%s: steps more or less than there should be:\n%s", what, lines(steps))
		}
	}
	n.Ports[7].Addresses = []netip.Addr{netip.MustParseAddr("10.0.9.9")}
	change("another address", 0, 2)
	n.Ports[7].MTU = 1400
	change("another MTU", 1, 0)
	n.Ports = slices.Delete(n.Ports, 250, 251)
	change("one less", 1, 3)
	n.Ports = append(n.Ports, manyPorts(many + 1).Ports[many])
	change("one more", 2, 3)
}

// A network that has more ports than a bridge takes has several bridges. Ports stay where they are; a bridge that is empty
// goes.
func TestManyPorts(t *testing.T) {
	t.Parallel()
	const ports = 2*plan.MaxBridgePorts + 1
	n := manyPorts(ports)
	k := plantest.New(nil)
	settles(t, plan.Wanted{Networks: []plan.Network{n}}, k)
	on := func() map[string]int {
		count := map[string]int{}
		for _, l := range k.Seen()[n.Namespace].Links {
			if plan.IsPort(l.Name) {
				count[l.Master]++
			}
		}
		return count
	}
	full := map[string]int{"br0": plan.MaxBridgePorts, plan.OverflowName(1): plan.MaxBridgePorts, plan.OverflowName(2): 1}
	if diff := cmp.Diff(full, on()); diff != "" {
		t.Errorf("ports by bridge (-want +got):\n%s", diff)
	}
	trunks := k.Seen()[n.Namespace].Tables[plan.FilterTable].Sets[plan.SetTrunks]
	if diff := cmp.Diff([]string{"br0-mdb1", "br0-mdb2", "mdb1-br0", "mdb2-br0"}, trunks); diff != "" {
		t.Errorf("trunks (-want +got):\n%s", diff)
	}
	// The first ports by name, which are on the first bridge, go: the others are not moved there.
	slices.SortFunc(n.Ports, func(a, b plan.Port) int { return strings.Compare(a.Name, b.Name) })
	first, last := n.Ports[:10], n.Ports[ports-1:]
	n.Ports = n.Ports[10:]
	for _, step := range plan.Plan(plan.Wanted{Networks: []plan.Network{n}}, k.Seen()) {
		if _, ok := step.(plan.LinkSet); ok {
			t.Errorf("a port that is there is changed: %s", step)
		}
	}
	settles(t, plan.Wanted{Networks: []plan.Network{n}}, k)
	// One comes: there is room on the first bridge. The last one goes, and with it its bridge, unless all are kept.
	n.Ports = append(slices.Clone(n.Ports[:len(n.Ports)-1]), first[0])
	settles(t, plan.Wanted{Networks: []plan.Network{n}, Keep: true}, k)
	if got := on()[plan.OverflowName(2)]; got != len(last) {
		t.Errorf("%d ports on the last bridge, want %d while all are kept", got, len(last))
	}
	settles(t, plan.Wanted{Networks: []plan.Network{n}}, k)
	full = map[string]int{"br0": plan.MaxBridgePorts - 9, plan.OverflowName(1): plan.MaxBridgePorts}
	if diff := cmp.Diff(full, on()); diff != "" {
		t.Errorf("ports by bridge (-want +got):\n%s", diff)
	}
	for _, l := range k.Seen()[n.Namespace].Links {
		if strings.Contains(l.Name, plan.OverflowName(2)) {
			t.Errorf("left of a bridge that is empty: %s", l.Name)
		}
	}
}

// What is taken away is what was given, to the last address.
func TestDetach(t *testing.T) {
	t.Parallel()
	theirs := plan.Namespace{Links: []plan.Link{{
		Name: "lo", Index: 1, Up: true, Addresses: []plan.Address{{Prefix: netip.MustParsePrefix("192.0.2.1/32")}},
	}, {
		Name: "bn1", Kind: "bridge", Index: 2, Addresses: []plan.Address{{Prefix: netip.MustParsePrefix("fe80::1/64")}},
	}}}
	id := "a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1001"
	for name, n := range map[string]plan.Network{
		"managed": {Namespace: plan.NamespaceName(id), Bridge: plan.Bridge{Name: "br0", MTU: 1500}, Uplink: plan.NewUplink(id, 0, "", true)},
		"existing": {
			Namespace: "/run/netns/blue", Attach: plan.Existing, Bridge: plan.Bridge{Name: "lo", Addresses: plan.MetadataPrefixes()},
		},
		"bridge": onBridge(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := plan.Seen{plan.Host: theirs, "/run/netns/blue": theirs}
			k := plantest.New(before)
			settles(t, plan.Wanted{Networks: []plan.Network{n}}, k)
			if cmp.Equal(before, k.Seen(), samePrefix(), cmpopts.EquateEmpty()) {
				t.Error("nothing was attached")
			}
			for _, step := range plan.Detach(n, k.Seen()) {
				if err := k.Apply(step); err != nil {
					t.Error(err)
				}
			}
			if diff := cmp.Diff(before, k.Seen(), samePrefix(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("what there is (-before +after):\n%s", diff)
			}
			if again := plan.Detach(n, k.Seen()); len(again) > 0 {
				t.Errorf("left to take away:\n%s", lines(again))
			}
		})
	}
}
