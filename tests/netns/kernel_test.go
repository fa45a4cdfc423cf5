// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/netns"
	"github.com/lf-edge/eve-metadata/tests/netns/guestns"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
)

func unmount(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Error(err)
	}
}

// networkID is the UUID of the n-th network of a test.
func networkID(n int) string { return fmt.Sprintf("a77d0c1e-1c36-4b1d-8a54-%012x", n) }

// oneNetwork is a network with one veth, as most app networks are.
func oneNetwork(n int) plan.Network { return networkOf(n, 1) }

// networkOf is a network with veths.
func networkOf(n, ports int) plan.Network {
	id := networkID(n)
	network := plan.Network{
		Namespace: plan.NamespaceName(id),
		Bridge: plan.Bridge{
			Name: "br0", MAC: plan.BridgeMAC(id), MTU: 1500,
			Addresses: append([]netip.Prefix{netip.MustParsePrefix("10.11.0.1/16")}, plan.MetadataPrefixes()...),
		},
	}
	subnet, err := plan.NewSubnet(netip.MustParsePrefix("10.11.0.0/16"), netip.Addr{}, netip.Addr{}, netip.MustParseAddr("10.11.0.1"))
	if err != nil {
		panic(err)
	}
	claims := make([]plan.Claim, ports)
	for i := range claims {
		claims[i] = plan.Claim{App: id, Adapter: fmt.Sprint("eth", i)}
	}
	for _, l := range plan.Allocate(plan.Subnets{IPv4: subnet}, plan.BridgeMAC(id), claims) {
		network.Ports = append(network.Ports, plan.Port{
			Kind: plan.Veth, Name: l.Port, MAC: l.HostMAC, GuestMAC: l.MAC, MTU: 1500, Addresses: []netip.Addr{l.IPv4},
		})
	}
	return network
}

// guestOf plays the guest at a port.
func guestOf(t *testing.T, k *kernel.Kernel, n plan.Network, port plan.Port) *guestns.Guest {
	t.Helper()
	var status eve.AppNetAdapterStatus
	status.VifUsed, status.Bridge = port.Name, n.Bridge.Name
	for _, a := range port.Addresses {
		status.AssignedAddresses.IPv4Addrs = append(status.AssignedAddresses.IPv4Addrs, eve.AssignedAddr{Address: a.AsSlice()})
	}
	g, err := guestns.New(filepath.Join(t.TempDir(), "guest"), status, k.Path(n.Namespace))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return g
}

// open opens a session that ends with the test.
func open(t testing.TB, k *kernel.Kernel, n plan.Network) *kernel.Session {
	t.Helper()
	s, err := k.Open(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// apply carries out steps, all of which can be done.
func apply(t testing.TB, s *kernel.Session, steps ...plan.Step) {
	t.Helper()
	if err := errors.Join(s.Apply(steps)...); err != nil {
		t.Fatal(err)
	}
}

// observe returns what a session sees.
func observe(t testing.TB, s *kernel.Session) plan.Seen {
	t.Helper()
	seen, err := s.Observe()
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func newKernel(t testing.TB) *kernel.Kernel {
	t.Helper()
	sandbox.Need(t)
	k := kernel.New(t.TempDir())
	t.Cleanup(func() {
		names, err := k.Names()
		for _, name := range names {
			err = errors.Join(err, netns.Delete(k.Path(name)))
		}
		if err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return k
}

// settle carries out what a plan says, in a session of its own, and returns the steps.
func settle(t testing.TB, k *kernel.Kernel, n plan.Network) []plan.Step {
	t.Helper()
	s, err := k.Open(n)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := s.Observe()
	if err != nil {
		t.Fatal(err)
	}
	steps := plan.Plan(plan.Wanted{Networks: []plan.Network{n}}, seen)
	if err := errors.Join(append(s.Apply(steps), s.Close())...); err != nil {
		t.Fatal(err)
	}
	return steps
}

// The kernel agrees with plans: after one there is nothing left to do. Steps that were done are done again without harm.
func TestApplySettles(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	n := oneNetwork(1)
	n.Bridge.Addresses = append(n.Bridge.Addresses, netip.MustParsePrefix("2001:db8::1/64"))
	steps := settle(t, k, n)
	if again := settle(t, k, n); len(again) > 0 {
		t.Errorf("left to do after a plan: %v", again)
	}
	s, err := k.Open(n)
	if err != nil {
		t.Fatal(err)
	}
	id := s.ID()
	if err := errors.Join(s.Apply(steps)...); err != nil {
		t.Errorf("the same steps again: %v", err)
	}
	if s.ID() != id {
		t.Error("the namespace was made anew")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	// Changes of everything that can be changed.
	n.Bridge.MTU, n.Bridge.MAC = 1400, plan.BridgeMAC(networkID(2))
	n.Bridge.Addresses = []netip.Prefix{netip.MustParsePrefix("10.11.12.254/24"), netip.MustParsePrefix("2001:db8:1::1/64")}
	n.Ports[0].MTU, n.Ports[0].MAC[5], n.Ports[0].GuestMAC[5] = 1400, n.Ports[0].MAC[5]+1, n.Ports[0].GuestMAC[5]+1
	n.Ports[0].Addresses[0] = netip.MustParseAddr("10.11.12.9")
	if steps := settle(t, k, n); len(steps) == 0 {
		t.Error("no steps for the changes")
	}
	if again := settle(t, k, n); len(again) > 0 {
		t.Errorf("left to do after the changes: %v", again)
	}
	// What others break.
	for _, broken := range []plan.Step{
		plan.RouteDel{Netns: n.Namespace, Route: plan.Route{Dst: netip.MustParsePrefix("0.0.0.0/0")}},
		plan.RouteDel{Netns: n.Namespace, Route: plan.Route{Dst: netip.MustParsePrefix("::/0")}},
		plan.SysctlSet{Netns: n.Namespace, Name: "net.ipv6.conf.all.forwarding", Value: "0"},
		plan.TableDel{Netns: n.Namespace, Table: plan.FilterTable},
		plan.LinkDel{Netns: n.Namespace, Link: "br0"},
	} {
		apply(t, open(t, k, n), broken)
		if steps := settle(t, k, n); len(steps) == 0 {
			t.Errorf("no steps after %s", broken)
		}
		if again := settle(t, k, n); len(again) > 0 {
			t.Errorf("left to do after what came after %s: %v", broken, again)
		}
	}
}

// A guest with a small MTU is its own matter: the bridge keeps that of the network.
func TestSmallPort(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	n := networkOf(9, 2)
	n.Ports[0].MTU = 1300
	settle(t, k, n)
	if again := settle(t, k, n); len(again) > 0 {
		t.Errorf("left to do after a plan: %v", again)
	}
}

// What can not be done is said of the step that could not be done, and keeps nothing else from being done.
func TestApplyErrors(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	n := oneNetwork(1)
	settle(t, k, n)
	s := open(t, k, n)
	ns := n.Namespace
	errs := s.Apply([]plan.Step{
		plan.LinkAdd{Netns: ns, Link: "x", Kind: "no such kind"},
		plan.LinkSet{Netns: ns, Link: "x", Up: true}, // hidden by the one before
		plan.LinkSet{Netns: ns, Link: "y", Up: true},
		plan.LinkSet{Netns: ns, Link: n.Ports[0].Name, Master: "br7"},
		plan.LinkDel{Netns: ns, Link: "gone"},
		plan.SysctlSet{Netns: ns, Name: "net.ipv4.no_such_parameter", Value: "1"},
		plan.SysctlSet{Netns: ns, Name: "net.ipv4.ip_forward", Value: "maybe"}, // nothing depends on it
		plan.ElementAdd{Netns: ns, Table: plan.FilterTable, Set: plan.SetMACs, Element: "z . no such address"},
		plan.LinkAdd{Netns: ns, Link: "z", Kind: "bridge"}, // never without it
		plan.RouteDel{Netns: ns, Route: plan.Route{Dst: netip.MustParsePrefix("192.0.2.0/24")}},
		plan.RouteAdd{Netns: ns, Route: plan.Route{Dst: netip.MustParsePrefix("192.0.2.0/24"), Link: "x7"}},
		plan.AddrDel{Netns: ns, Link: "br0", Prefix: netip.MustParsePrefix("192.0.2.1/32")},
		plan.AddrAdd{Netns: ns, Link: "br0", Prefix: netip.MustParsePrefix("192.0.2.2/32")},
	})
	want := []struct {
		step string
		err  error
	}{{"link add x", errors.ErrUnsupported}, {"link set y up", fs.ErrNotExist}, {"master br7", fs.ErrNotExist},
		{"sysctl net.ipv4.ip_forward", unix.EINVAL}, {"add element", nil}, {"route add", fs.ErrNotExist}}
	if len(errs) != len(want) {
		t.Fatalf("errors are %v", errs)
	}
	for i, w := range want {
		var step *kernel.StepError
		if !errors.As(errs[i], &step) || !strings.Contains(step.Error(), w.step) || w.err != nil && !errors.Is(step, w.err) {
			t.Errorf("error %v, want %v of step %q", errs[i], w.err, w.step)
		}
	}
	done := false
	for _, l := range observe(t, s)[ns].Links {
		if l.Name == "z" {
			t.Error("a step was done after one that it depends on had failed")
		}
		for _, a := range l.Addresses {
			if a.Prefix.String() == "192.0.2.2/32" {
				done = true
			}
		}
	}
	if !done {
		t.Error("the step after the errors was not done")
	}
}

// A namespace that is missing is seen as nothing, and what needs it fails.
func TestMissingNamespace(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	s, err := k.Open(plan.Network{Namespace: plan.NamespaceName(networkID(1))})
	if err != nil {
		t.Fatal(err)
	}
	if seen, err := s.Observe(); len(seen) != 0 || err != nil || s.ID() != 0 {
		t.Errorf("seen %v, error %v", seen, err)
	}
	if errs := s.Apply([]plan.Step{plan.LinkDel{Netns: plan.NamespaceName(networkID(1)), Link: "x"}}); len(errs) != 1 || !errors.Is(errs[0], fs.ErrNotExist) {
		t.Errorf("errors %v, want %v", errs, fs.ErrNotExist)
	}
	if _, err := s.Listen("", netip.MustParseAddrPort("169.254.169.254:80")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("listen: %v, want %v", err, fs.ErrNotExist)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Only namespaces of ours are named.
func TestNames(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	settle(t, k, oneNetwork(1))
	other := filepath.Join(k.Dir(), "blue")
	if err := netns.Create(other); err != nil {
		t.Fatal(err)
	}
	names, err := k.Names()
	if err != nil || len(names) != 1 || names[0] != plan.NamespaceName(networkID(1)) {
		t.Errorf("names %q, error %v", names, err)
	}
	if err := netns.Delete(other); err != nil {
		t.Error(err)
	}
}
