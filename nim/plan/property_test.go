// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

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
			k := plantest.New(plan.Seen{"blue": foreign})
			for range 6 {
				settles(t, randomWanted(r), k)
				breakSomething(t, r, k)
				if diff := cmp.Diff(foreign, k.Seen()["blue"], cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
					t.Errorf("namespace of others (-before +after):\n%s", diff)
				}
			}
			settles(t, plan.Wanted{}, k)
			if diff := cmp.Diff([]string{"blue"}, k.Names()); diff != "" {
				t.Errorf("namespaces at the end (-want +got):\n%s", diff)
			}
		})
	}
}

func randomWanted(r *rand.Rand) plan.Wanted {
	w := plan.Wanted{Keep: r.IntN(4) == 0}
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
				})
			}
		}
		w.Networks = append(w.Networks, n)
	}
	return w
}

// breakSomething does what people and guests do: it removes a link, takes a guest end, empties a bridge.
func breakSomething(t *testing.T, r *rand.Rand, k *plantest.Kernel) {
	t.Helper()
	for name, ns := range k.Seen() {
		if !plan.IsNamespace(name) || len(ns.Links) < 2 {
			continue
		}
		l := ns.Links[1+r.IntN(len(ns.Links)-1)]
		var step plan.Step = plan.LinkDel{Netns: name, Link: l.Name}
		if len(l.Addresses) > 0 && r.IntN(2) == 0 {
			step = plan.AddrDel{Netns: name, Link: l.Name, Prefix: l.Addresses[0].Prefix}
		}
		if err := k.Apply(step); err != nil {
			t.Fatal(err)
		}
		return
	}
}

// A change of one port concerns that port only, however many there are.
func TestOnePortOnly(t *testing.T) {
	t.Parallel()
	n := plan.Network{Namespace: plan.NamespaceName("a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1001"), Bridge: plan.Bridge{Name: "br0", MTU: 1500}}
	for i := range 500 {
		n.Ports = append(n.Ports, plan.Port{Kind: plan.Tap, Name: plan.PortName("app", fmt.Sprint(i), 0), MAC: plan.MAC{0xfe, byte(i), byte(i >> 8)}, MTU: 1500})
	}
	k := plantest.New(nil)
	settles(t, plan.Wanted{Networks: []plan.Network{n}}, k)
	gone := n.Ports[250].Name
	n.Ports = slices.Delete(n.Ports, 250, 251)
	want := []plan.Step{plan.LinkDel{Netns: n.Namespace, Link: gone}}
	if diff := cmp.Diff(want, plan.Plan(plan.Wanted{Networks: []plan.Network{n}}, k.Seen())); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}
