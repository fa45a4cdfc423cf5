// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/nim/plan"
)

func subnet(t *testing.T, prefix, first, last string) plan.Subnet {
	t.Helper()
	p := netip.MustParsePrefix(prefix)
	s, err := plan.NewSubnet(p, addr(first), addr(last), p.Addr().Next())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// subnets are those of a network with one subnet.
func subnets(s plan.Subnet) plan.Subnets {
	if s.Prefix.Addr().Is4() {
		return plan.Subnets{IPv4: s}
	}
	return plan.Subnets{IPv6: s}
}

func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func mac(t *testing.T, s string) (m plan.MAC) {
	t.Helper()
	if err := m.UnmarshalText([]byte(s)); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAllocateAddresses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		subnet [3]string // prefix, first, last; the first host is reserved
		claims []plan.Claim
		want   []string // addresses; "" for none
		errs   []error
	}{
		{"fixed", [3]string{"10.0.0.0/24"}, []plan.Claim{{App: "a", IPv4: addr("10.0.0.9")}}, []string{"10.0.0.9"}, []error{nil}},
		{"fixed outside of the range", [3]string{"10.0.0.0/24", "10.0.0.100", "10.0.0.110"},
			[]plan.Claim{{App: "a", IPv4: addr("10.0.0.9")}}, []string{"10.0.0.9"}, []error{nil}},
		{"fixed outside of the subnet", [3]string{"10.0.0.0/24"}, []plan.Claim{{App: "a", IPv4: addr("10.0.1.9")}}, []string{""}, []error{plan.ErrOutside}},
		{"fixed on the gateway", [3]string{"10.0.0.0/24"}, []plan.Claim{{App: "a", IPv4: addr("10.0.0.1")}}, []string{""}, []error{plan.ErrOutside}},
		{"fixed on the broadcast address", [3]string{"10.0.0.0/24"}, []plan.Claim{{App: "a", IPv4: addr("10.0.0.255")}}, []string{""}, []error{plan.ErrOutside}},
		{"fixed twice: the first by name", [3]string{"10.0.0.0/24"},
			[]plan.Claim{{App: "b", IPv4: addr("10.0.0.9")}, {App: "a", IPv4: addr("10.0.0.9")}},
			[]string{"", "10.0.0.9"}, []error{plan.ErrTaken, nil}},
		{"fixed twice: who had it", [3]string{"10.0.0.0/24"},
			[]plan.Claim{{App: "a", IPv4: addr("10.0.0.9")}, {App: "b", IPv4: addr("10.0.0.9"), Held: plan.Lease{IPv4: addr("10.0.0.9")}}},
			[]string{"", "10.0.0.9"}, []error{plan.ErrTaken, nil}},
		{"fixed where another has been before", [3]string{"10.0.0.0/24"},
			[]plan.Claim{{App: "a", IPv4: addr("10.0.0.9")}, {App: "b", Held: plan.Lease{IPv4: addr("10.0.0.9")}}},
			[]string{"", "10.0.0.9"}, []error{plan.ErrTaken, nil}},
		{"fixed where one has been that may be gone", [3]string{"10.0.0.0/24"},
			[]plan.Claim{{App: "a", IPv4: addr("10.0.0.9")}, {App: "b", Passive: true, Held: plan.Lease{IPv4: addr("10.0.0.9")}}},
			[]string{"", "10.0.0.9"}, []error{plan.ErrTaken, nil}},
		{"fixed anew lets the old one go", [3]string{"10.0.0.0/24"},
			[]plan.Claim{{App: "a", IPv4: addr("10.0.0.8"), Held: plan.Lease{IPv4: addr("10.0.0.9")}}, {App: "b", IPv4: addr("10.0.0.9")}},
			[]string{"10.0.0.8", "10.0.0.9"}, []error{nil, nil}},
		{"none at all, not even what was held", [3]string{"10.0.0.0/24"},
			[]plan.Claim{{App: "a", NoIPv4: true, Held: plan.Lease{IPv4: addr("10.0.0.9")}}, {App: "b", IPv4: addr("10.0.0.9")}},
			[]string{"", "10.0.0.9"}, []error{nil, nil}},
		{"held outside of the subnet is not kept", [3]string{"10.0.0.0/24", "10.0.0.7", "10.0.0.7"},
			[]plan.Claim{{App: "a", Held: plan.Lease{IPv4: addr("10.9.0.9")}}}, []string{"10.0.0.7"}, []error{nil}},
		{"exhausted", [3]string{"10.0.0.0/30"}, []plan.Claim{{App: "a"}, {App: "b"}}, []string{"10.0.0.2", ""}, []error{nil, plan.ErrExhausted}},
		{"around the end of the range", [3]string{"10.0.0.0/24", "10.0.0.10", "10.0.0.11"},
			[]plan.Claim{{App: "a"}, {App: "b", IPv4: addr("10.0.0.11")}}, []string{"10.0.0.10", "10.0.0.11"}, []error{nil, nil}},
		{"no subnet, no address", [3]string{}, []plan.Claim{{App: "a"}}, []string{""}, []error{nil}},
		{"no subnet, fixed", [3]string{}, []plan.Claim{{App: "a", IPv4: addr("192.0.2.7")}}, []string{"192.0.2.7"}, []error{nil}},
		{"passive gets nothing new", [3]string{"10.0.0.0/24"}, []plan.Claim{{App: "a", Passive: true}}, []string{""}, []error{nil}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var s plan.Subnet
			if tt.subnet[0] != "" {
				s = subnet(t, tt.subnet[0], tt.subnet[1], tt.subnet[2])
			}
			for i, l := range plan.Allocate(subnets(s), plan.MAC{}, tt.claims) {
				if l.IPv4 != addr(tt.want[i]) {
					t.Errorf("claim %d got %v, want %q", i, l.IPv4, tt.want[i])
				}
				if !errors.Is(l.Err, tt.errs[i]) || (l.Err == nil) != (tt.errs[i] == nil) {
					t.Errorf("claim %d got error %v, want %v", i, l.Err, tt.errs[i])
				}
			}
		})
	}
}

func TestAllocateMACs(t *testing.T) {
	t.Parallel()
	wanted := mac(t, "02:00:00:00:00:07")
	madeUp := plan.Allocate(plan.Subnets{}, plan.MAC{}, []plan.Claim{{App: "a", Adapter: "eth0"}})[0].MAC
	if madeUp[0] != 0x02 || madeUp[1] != 0x16 || madeUp[2] != 0x3e {
		t.Errorf("made up %s, want 02:16:3e:…", madeUp)
	}
	tests := []struct {
		name   string
		bridge plan.MAC
		claims []plan.Claim
		want   []plan.MAC // zero: another one than those of the other rows, but some
		errs   []error
	}{
		{"wanted", plan.MAC{}, []plan.Claim{{App: "a", MAC: wanted}}, []plan.MAC{wanted}, []error{nil}},
		{"wanted twice", plan.MAC{}, []plan.Claim{{App: "a", MAC: wanted}, {App: "b", MAC: wanted}}, []plan.MAC{wanted, {}}, []error{nil, plan.ErrTaken}},
		{"wanted is the bridge's", wanted, []plan.Claim{{App: "a", MAC: wanted}}, []plan.MAC{{}}, []error{plan.ErrTaken}},
		{"made up", plan.MAC{}, []plan.Claim{{App: "a", Adapter: "eth0"}}, []plan.MAC{madeUp}, []error{nil}},
		{"held", plan.MAC{}, []plan.Claim{{App: "a", Adapter: "eth0", Held: plan.Lease{MAC: wanted}}}, []plan.MAC{wanted}, []error{nil}},
		{"made up is wanted by another", plan.MAC{}, []plan.Claim{{App: "z", MAC: madeUp}, {App: "a", Adapter: "eth0"}}, []plan.MAC{madeUp, {}}, []error{nil, nil}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for i, l := range plan.Allocate(plan.Subnets{}, tt.bridge, tt.claims) {
				if tt.want[i] != (plan.MAC{}) && l.MAC != tt.want[i] || tt.want[i] == (plan.MAC{}) && slices.Contains(tt.want[:i], l.MAC) && l.Err == nil {
					t.Errorf("claim %d got %s, want %s", i, l.MAC, tt.want[i])
				}
				if !errors.Is(l.Err, tt.errs[i]) || (l.Err == nil) != (tt.errs[i] == nil) {
					t.Errorf("claim %d got error %v, want %v", i, l.Err, tt.errs[i])
				}
			}
		})
	}
}

// Thousands in one network: nothing is given twice, the order of the claims does not matter, and neither does a restart.
func TestAllocateMany(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"10.0.0.0/20", "2001:db8::/64"} {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			s := subnet(t, prefix, "", "")
			var claims []plan.Claim
			for i := range 4000 {
				claims = append(claims, plan.Claim{App: fmt.Sprint("app ", i), Adapter: "eth0"})
			}
			leases := plan.Allocate(subnets(s), plan.BridgeMAC("n"), claims)
			macs, addrs, ports := map[plan.MAC]int{}, map[netip.Addr]int{}, map[string]int{}
			for i, l := range leases {
				if l.Err != nil {
					t.Fatal(l.Err)
				}
				a := l.IPv4
				if !a.IsValid() {
					a = l.IPv6
				}
				if !s.Usable(a) {
					t.Errorf("address %s is not one for a guest", a)
				}
				macs[l.MAC], macs[l.HostMAC], addrs[a], ports[l.Port] = i, i, i, i
				if len(l.Port) > 15 || !plan.IsPort(l.Port) || !plan.IsGuestEnd(plan.GuestEnd(l.Port)) {
					t.Errorf("port name %q", l.Port)
				}
			}
			if len(macs) != 2*len(claims) || len(addrs) != len(claims) || len(ports) != len(claims) {
				t.Errorf("%d MAC addresses, %d addresses, %d ports for %d adapters", len(macs), len(addrs), len(ports), len(claims))
			}
			slices.Reverse(claims)
			again := plan.Allocate(subnets(s), plan.BridgeMAC("n"), claims)
			slices.Reverse(again)
			same := cmp.Comparer(func(a, b plan.Lease) bool { return a == b })
			if diff := cmp.Diff(leases, again, same); diff != "" {
				t.Errorf("in another order (-want +got):\n%s", diff)
			}
			slices.Reverse(claims)
			for i := range claims {
				claims[i].Held = leases[i]
			}
			kept := plan.Allocate(subnets(s), plan.BridgeMAC("n"), claims[1:])
			if diff := cmp.Diff(leases[1:], kept, same); diff != "" {
				t.Errorf("without the first one (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSubnet(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, prefix, first, last string
		wantFirst, wantLast       string
		err                       error
	}{
		{"default", "10.0.0.0/24", "", "", "10.0.0.1", "10.0.0.254", nil},
		{"range", "10.0.0.0/24", "10.0.0.5", "10.0.0.9", "10.0.0.5", "10.0.0.9", nil},
		{"cut back", "10.0.0.0/24", "10.0.0.0", "10.0.0.255", "10.0.0.1", "10.0.0.254", nil},
		{"begins outside", "10.0.0.0/24", "10.0.1.5", "", "", "", plan.ErrOutside},
		{"ends outside", "10.0.0.0/24", "", "10.1.0.9", "", "", plan.ErrOutside},
		{"other family", "10.0.0.0/24", "2001:db8::1", "", "", "", plan.ErrOutside},
		{"wrong way round", "10.0.0.0/24", "10.0.0.9", "10.0.0.5", "", "", plan.ErrExhausted},
		{"two addresses", "10.0.0.0/31", "", "", "10.0.0.0", "10.0.0.1", nil},
		{"everything", "0.0.0.0/0", "", "", "0.0.0.1", "255.255.255.254", nil},
		{"IPv6", "2001:db8::/64", "", "", "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", nil},
		{"all of IPv6", "::/0", "", "", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := plan.NewSubnet(netip.MustParsePrefix(tt.prefix), addr(tt.first), addr(tt.last))
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if s.First != addr(tt.wantFirst) || s.Last != addr(tt.wantLast) {
				t.Errorf("range %s to %s, want %s to %s", s.First, s.Last, tt.wantFirst, tt.wantLast)
			}
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	const id = "a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1001"
	if got := plan.NetworkOf(plan.NamespaceName(id)); got != id {
		t.Errorf("network of its namespace is %q, want %q", got, id)
	}
	for _, other := range []string{"", "md-", "blue", id, "md-" + id + "0", "md-a77d0c1e_1c36_4b1d_8a54_3c1b6b0e1001"} {
		if plan.IsNamespace(other) {
			t.Errorf("namespace %q is taken for ours", other)
		}
	}
	for _, other := range []string{"", "nb", "nbu1x1", "nb0123456789", "nb0123456789w", "nb0123456789A", "ge0123456789a"} {
		if plan.IsPort(other) {
			t.Errorf("interface %q is taken for a port of ours", other)
		}
	}
	// These names are in kernels of devices that run; they must not change with the program.
	if got, want := plan.PortName("c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001", "eth0", 0), "nb4pgtvt918sk"; got != want {
		t.Errorf("port name %q, want %q", got, want)
	}
	if got, want := plan.BridgeMAC(id).String(), "06:16:3e:ea:c4:2d"; got != want {
		t.Errorf("bridge's MAC address %q, want %q", got, want)
	}
}

func TestMACFrom(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{"": true, "\x02\x16\x3e\x00\x00\x01": true, "\x01\x00\x5e\x00\x00\x01": false,
		"\xff\xff\xff\xff\xff\xff": false, "\x00\x00\x00\x00\x00\x00": false, "\x02\x16": false, "\x02\x16\x3e\x00\x00\x01\x00\x00": false} {
		if _, err := plan.MACFrom([]byte(text)); (err == nil) != ok || err != nil && !errors.Is(err, plan.ErrMAC) {
			t.Errorf("MAC address of bytes %q: error %v, want one: %v", text, err, !ok)
		}
	}
}

// Each family has its subnet; a guest with both gets both. With SLAAC it makes the IPv6 address itself.
func TestAllocateDualStack(t *testing.T) {
	t.Parallel()
	m := mac(t, "02:16:3e:00:00:01")
	v4, v6 := subnet(t, "10.0.0.0/24", "", ""), subnet(t, "2001:db8::/64", "2001:db8::100", "2001:db8::1ff")
	const own = "2001:db8::16:3eff:fe00:1"
	tests := []struct {
		name    string
		subnets plan.Subnets
		claim   plan.Claim
		want    [2]string // "" for none
		err     error
	}{
		{"fixed", plan.Subnets{IPv4: v4, IPv6: v6}, plan.Claim{IPv4: addr("10.0.0.9"), IPv6: addr("2001:db8::9")}, [2]string{"10.0.0.9", "2001:db8::9"}, nil},
		{"one family is refused", plan.Subnets{IPv4: v4, IPv6: v6}, plan.Claim{IPv4: addr("10.0.0.9"), IPv6: addr("2001:db8:1::9")}, [2]string{"10.0.0.9", ""}, plan.ErrOutside},
		{"one family is not wanted", plan.Subnets{IPv4: v4, IPv6: v6}, plan.Claim{NoIPv4: true, IPv6: addr("2001:db8::9")}, [2]string{"", "2001:db8::9"}, nil},
		{"IPv6 only", plan.Subnets{IPv6: v6}, plan.Claim{IPv6: addr("2001:db8::9")}, [2]string{"", "2001:db8::9"}, nil},
		{"SLAAC", plan.Subnets{IPv6: v6, SLAAC: true}, plan.Claim{}, [2]string{"", own}, nil},
		{"SLAAC, another one wanted", plan.Subnets{IPv6: v6, SLAAC: true}, plan.Claim{IPv6: addr("2001:db8::9")}, [2]string{"", "2001:db8::9"}, nil},
		{"SLAAC, none wanted", plan.Subnets{IPv6: v6, SLAAC: true}, plan.Claim{NoIPv6: true}, [2]string{}, nil},
		{"SLAAC, held from before it", plan.Subnets{IPv6: v6, SLAAC: true}, plan.Claim{Held: plan.Lease{IPv6: addr("2001:db8::105")}}, [2]string{"", own}, nil},
		{"SLAAC, it may be gone", plan.Subnets{IPv6: v6, SLAAC: true},
			plan.Claim{Passive: true, Held: plan.Lease{IPv6: addr("2001:db8::105")}}, [2]string{"", "2001:db8::105"}, nil},
		{"SLAAC in a subnet that is too small", plan.Subnets{IPv6: subnet(t, "2001:db8::/96", "", ""), SLAAC: true}, plan.Claim{}, [2]string{}, plan.ErrOutside},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.claim.MAC = m
			l := plan.Allocate(tt.subnets, plan.MAC{}, []plan.Claim{tt.claim})[0]
			if l.IPv4 != addr(tt.want[0]) || l.IPv6 != addr(tt.want[1]) || !errors.Is(l.Err, tt.err) {
				t.Errorf("got %s and %s, error %v; want %q, error %v", l.IPv4, l.IPv6, l.Err, tt.want, tt.err)
			}
		})
	}
	both := plan.Allocate(plan.Subnets{IPv4: v4, IPv6: v6}, plan.MAC{}, []plan.Claim{{App: "a"}})[0]
	if !v4.Usable(both.IPv4) || !v6.Usable(both.IPv6) || both.IPv6.Less(v6.First) || v6.Last.Less(both.IPv6) || both.Err != nil {
		t.Errorf("got %s and %s, error %v; want one of each range", both.IPv4, both.IPv6, both.Err)
	}
	// Who is configured to have the address that another one makes for itself has it.
	taken := plan.Allocate(plan.Subnets{IPv6: v6, SLAAC: true}, plan.MAC{}, []plan.Claim{{App: "a", MAC: m}, {App: "b", IPv6: addr(own)}})
	if taken[0].IPv6.IsValid() || !errors.Is(taken[0].Err, plan.ErrTaken) || taken[1].IPv6 != addr(own) {
		t.Errorf("got %s and %s, error %v; want the second one to have it", taken[0].IPv6, taken[1].IPv6, taken[0].Err)
	}
}

func TestEUI64(t *testing.T) {
	t.Parallel()
	m := mac(t, "34:56:78:9a:bc:de") // the example of RFC 4291, appendix A, is of this form: the second bit of the first byte is inverted
	for prefix, want := range map[string]string{
		"2001:db8:1:2::/64": "2001:db8:1:2:3656:78ff:fe9a:bcde", "2001:db8:1::5/48": "2001:db8:1:0:3656:78ff:fe9a:bcde",
		"2001:db8::/65": "", "10.0.0.0/8": "",
	} {
		if got := plan.EUI64(netip.MustParsePrefix(prefix), m); got != addr(want) {
			t.Errorf("in %s: %s, want %q", prefix, got, want)
		}
	}
	if got := plan.LinkLocal(m); got != addr("fe80::3656:78ff:fe9a:bcde") {
		t.Errorf("link-local address %s", got)
	}
}

func FuzzAllocate(f *testing.F) {
	f.Add("10.0.0.0/24", "10.0.0.5", "10.0.0.9", uint8(20), "10.0.0.7")
	f.Add("2001:db8::/127", "", "", uint8(3), "2001:db8::1")
	f.Add("0.0.0.0/0", "255.255.255.250", "", uint8(9), "169.254.169.254")
	f.Fuzz(func(t *testing.T, prefix, first, last string, n uint8, fixed string) {
		p, err := netip.ParsePrefix(prefix)
		if err != nil {
			return
		}
		from, _ := netip.ParseAddr(first)
		to, _ := netip.ParseAddr(last)
		s, err := plan.NewSubnet(p, from, to, p.Addr())
		if err != nil {
			return
		}
		want, _ := netip.ParseAddr(fixed)
		var claims []plan.Claim
		for i := range n {
			c := plan.Claim{App: fmt.Sprint(i), Adapter: "eth0"}
			if i%3 == 0 && want.Is4() {
				c.IPv4 = want
			}
			claims = append(claims, c)
		}
		seen := map[netip.Addr]bool{}
		for i, l := range plan.Allocate(subnets(s), plan.MAC{}, claims) {
			for _, a := range []netip.Addr{l.IPv4, l.IPv6} {
				if !a.IsValid() {
					continue
				}
				if seen[a] {
					t.Errorf("%s is given twice", a)
				}
				seen[a] = true
				if a.BitLen() == p.Addr().BitLen() && !s.Usable(a) {
					t.Errorf("claim %d got %s, which is not for guests of %s", i, a, p)
				}
			}
		}
	})
}
