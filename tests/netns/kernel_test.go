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
	"github.com/lf-edge/eve-metadata/pkg/netns"
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
func oneNetwork(n int) plan.Network {
	id := networkID(n)
	leases := plan.Allocate(plan.Subnet{}, plan.BridgeMAC(id), []plan.Claim{{App: id, Adapter: "eth0"}})
	return plan.Network{
		Namespace: plan.NamespaceName(id),
		Bridge: plan.Bridge{Name: "br0", MAC: plan.BridgeMAC(id), MTU: 1500,
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.11.12.1/24"), netip.MustParsePrefix("169.254.169.254/32")}},
		Ports: []plan.Port{{Kind: plan.Veth, Name: leases[0].Port, MAC: leases[0].HostMAC, GuestMAC: leases[0].MAC, MTU: 1500}},
	}
}

func newKernel(t testing.TB) *kernel.Kernel {
	t.Helper()
	sandbox.Need(t)
	k := kernel.New(t.TempDir())
	t.Cleanup(func() {
		names, err := k.Names()
		for _, name := range names {
			err = errors.Join(err, k.Remove(name))
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
	s, err := k.Open(n.Namespace)
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
	s, err := k.Open(n.Namespace)
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
	if steps := settle(t, k, n); len(steps) != 8 {
		t.Errorf("%d steps for the changes: %v", len(steps), steps)
	}
	if again := settle(t, k, n); len(again) > 0 {
		t.Errorf("left to do after the changes: %v", again)
	}
}

// What can not be done is said of the step that could not be done, and keeps nothing else from being done.
func TestApplyErrors(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	n := oneNetwork(1)
	settle(t, k, n)
	s, err := k.Open(n.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	ns := n.Namespace
	errs := s.Apply([]plan.Step{
		plan.LinkAdd{Netns: ns, Link: "x", Kind: "no such kind"},
		plan.LinkSet{Netns: ns, Link: "x", Up: true}, // hidden by the one before
		plan.LinkSet{Netns: ns, Link: "y", Up: true},
		plan.LinkSet{Netns: ns, Link: n.Ports[0].Name, Master: "br7"},
		plan.LinkDel{Netns: ns, Link: "gone"},
		plan.AddrDel{Netns: ns, Link: "br0", Prefix: netip.MustParsePrefix("192.0.2.1/32")},
		plan.AddrAdd{Netns: ns, Link: "br0", Prefix: netip.MustParsePrefix("192.0.2.2/32")},
	})
	want := []struct {
		step string
		err  error
	}{{"link add x", errors.ErrUnsupported}, {"link set y up", fs.ErrNotExist}, {"master br7", fs.ErrNotExist}}
	if len(errs) != len(want) {
		t.Fatalf("errors are %v", errs)
	}
	for i, w := range want {
		var step *kernel.StepError
		if !errors.As(errs[i], &step) || !strings.Contains(step.Error(), w.step) || !errors.Is(step, w.err) {
			t.Errorf("error %v, want %v of step %q", errs[i], w.err, w.step)
		}
	}
	seen, err := s.Observe()
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	for _, l := range seen[ns].Links {
		for _, a := range l.Addresses {
			if a.Prefix.String() == "192.0.2.2/32" {
				return
			}
		}
	}
	t.Error("the step after the errors was not done")
}

// A namespace that is missing is seen as nothing, and what needs it fails.
func TestMissingNamespace(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	s, err := k.Open(plan.NamespaceName(networkID(1)))
	if err != nil {
		t.Fatal(err)
	}
	if seen, err := s.Observe(); len(seen) != 0 || err != nil || s.ID() != 0 {
		t.Errorf("seen %v, error %v", seen, err)
	}
	if errs := s.Apply([]plan.Step{plan.LinkDel{Link: "x"}}); len(errs) != 1 || !errors.Is(errs[0], fs.ErrNotExist) {
		t.Errorf("errors %v, want %v", errs, fs.ErrNotExist)
	}
	if _, err := s.Listen(netip.MustParseAddrPort("169.254.169.254:80")); !errors.Is(err, fs.ErrNotExist) {
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
