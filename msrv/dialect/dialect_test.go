// SPDX-License-Identifier: Apache-2.0

package dialect_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	key := func(name, data string) instance.Key { return instance.Key{Name: name, Data: data} }
	for _, tt := range []struct {
		name string
		in   []instance.Key
		want []instance.Key
	}{
		{"none", nil, nil},
		{"as they are", []instance.Key{key("b", "ssh-rsa B"), key("a", "ssh-rsa A")}, []instance.Key{key("b", "ssh-rsa B"), key("a", "ssh-rsa A")}},
		{"one name twice", []instance.Key{key("a", "1"), key("a", "2"), key("a-2", "3")}, []instance.Key{key("a", "1"), key("a-2", "2"), key("a-2-2", "3")}},
		{"blanks in a name", []instance.Key{key("bob's laptop", "1")}, []instance.Key{key("bob's-laptop", "1")}},
		{"several lines", []instance.Key{key("a", "# mine\n1\r\n\n 2 \n")}, []instance.Key{key("a", "1"), key("a-2", "2")}},
		{"no name", []instance.Key{key(" \n", "1")}, []instance.Key{key("key", "1")}},
		{"what clients split at", []instance.Key{key("a=b/c\nd/", "1")}, []instance.Key{key("a-b-c-d-", "1")}},
		{"no data", []instance.Key{key("a", " \n")}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := dialect.Keys(&instance.Instance{Keys: tt.in})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain é 🐙":              "plain é 🐙",
		"  a\tb\n ":              "a-b",
		"a\u2028b\u2029c":        "a-b-c",
		"a\x0bb\x0cc\x1cd\u0085": "a-b-c-d",
		"\x00a\xff":              "-a-",
		"":                       "",
	} {
		if got := dialect.OneLine(in); got != want {
			t.Errorf("OneLine(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestWord(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"hall-7": "hall-7", " a\nb ": "a-b", `{"a":1}`: `-"a":1}`, "{": "{", "{}": "-}", "a{}": "a{}", "": "",
	} {
		if got := dialect.Word(in); got != want {
			t.Errorf("Word(%q) is %q, want %q", in, got, want)
		}
	}
}

// FuzzKeys holds what the clients need, whatever comes in.
func FuzzKeys(f *testing.F) {
	f.Add("alice", "ssh-rsa A", "alice", "ssh-rsa B\nssh-rsa C")
	f.Add("a=b", "\xff", "a-b", "\u2028")
	f.Fuzz(func(t *testing.T, name1, data1, name2, data2 string) {
		seen := make(map[string]bool)
		for _, k := range dialect.Keys(&instance.Instance{Keys: []instance.Key{{Name: name1, Data: data1}, {Name: name2, Data: data2}}}) {
			if k.Name == "" || seen[k.Name] || strings.ContainsAny(k.Name, "=/\r\n\v\f\u0085\u2028\u2029") {
				t.Errorf("name %q", k.Name)
			}
			if k.Data == "" || strings.ContainsAny(k.Data, "\r\n\v\f\u0085\u2028\u2029") {
				t.Errorf("data %q", k.Data)
			}
			seen[k.Name] = true
		}
	})
}

func TestNICs(t *testing.T) {
	t.Parallel()
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	route := func(dst, via string) instance.Route { return instance.Route{Dst: prefix(dst), Via: addr(via)} }
	static := func(p string) instance.Addressing {
		return instance.Addressing{Method: instance.Static, Address: prefix(p)}
	}
	for _, tt := range []struct {
		name string
		in   []instance.Adapter
		want []instance.Adapter
	}{
		{"no MAC", []instance.Adapter{{Name: "a"}}, nil},
		{"not Ethernet", []instance.Adapter{{MAC: make(net.HardwareAddr, 20)}}, nil},
		{"one MAC twice", []instance.Adapter{{Name: "a", MAC: mac}, {Name: "b", MAC: mac}}, []instance.Adapter{{Name: "a", MAC: mac}}},
		{"MTU too small", []instance.Adapter{{MAC: mac, MTU: 67}}, []instance.Adapter{{MAC: mac}}},
		{"MTU too large", []instance.Adapter{{MAC: mac, MTU: 65536}}, []instance.Adapter{{MAC: mac}}},
		{"MTU at the limits", []instance.Adapter{{MAC: mac, MTU: 68}, {MAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, MTU: 65535}}, []instance.Adapter{{MAC: mac, MTU: 68}, {MAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, MTU: 65535}}},
		{"static without an address", []instance.Adapter{{MAC: mac, IPv4: instance.Addressing{Method: instance.Static, Gateway: addr("10.0.0.1")}}}, []instance.Adapter{{MAC: mac}}},
		{"an address of the other family", []instance.Adapter{{MAC: mac, IPv4: static("fd00::1/64"), IPv6: static("10.0.0.1/24")}}, []instance.Adapter{{MAC: mac}}},
		{"DHCP without an address", []instance.Adapter{{MAC: mac, IPv4: instance.Addressing{Method: instance.DHCP}}}, []instance.Adapter{{MAC: mac, IPv4: instance.Addressing{Method: instance.DHCP}}}},
		{
			"routers of the other family",
			[]instance.Adapter{{MAC: mac, IPv6: instance.Addressing{
				Method: instance.Static, Address: prefix("fd00::5/64"), Gateway: addr("10.0.0.1"),
				Routes: []instance.Route{route("10.0.0.0/8", "fd00::1"), route("fd01::5/32", "fd00::1"), {Dst: prefix("fd02::/32")}},
			}}},
			[]instance.Adapter{{MAC: mac, IPv6: instance.Addressing{
				Method: instance.Static, Address: prefix("fd00::5/64"),
				Routes: []instance.Route{route("fd01::/32", "fd00::1")}, // its host bits are gone
			}}},
		},
		{
			"a default route instead of a gateway",
			[]instance.Adapter{{MAC: mac, IPv4: instance.Addressing{
				Method: instance.Static, Address: prefix("10.0.0.5/24"),
				Routes: []instance.Route{route("0.0.0.0/0", "10.0.0.1"), route("0.0.0.0/0", "10.0.0.2")},
			}}},
			[]instance.Adapter{{MAC: mac, IPv4: instance.Addressing{
				Method: instance.Static, Address: prefix("10.0.0.5/24"), Gateway: addr("10.0.0.1"),
			}}},
		},
		{
			"name servers",
			[]instance.Adapter{{MAC: mac, Nameservers: []netip.Addr{{}, addr("10.0.0.1"), addr("::ffff:10.0.0.1"), addr("fe80::1%eth0")}, Search: []string{"", "a.example", "a.example\n"}}},
			[]instance.Adapter{{MAC: mac, Nameservers: []netip.Addr{addr("10.0.0.1"), addr("fe80::1")}, Search: []string{"a.example"}}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := dialect.NICs(&instance.Instance{Adapters: tt.in})
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
				t.Errorf("cards (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNICsLeavesInstanceAlone holds that an instance, which is shared, is not altered.
func TestNICsLeavesInstanceAlone(t *testing.T) {
	t.Parallel()
	in := &instance.Instance{Adapters: []instance.Adapter{{
		MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, MTU: 1, Search: []string{" a "},
		Nameservers: []netip.Addr{netip.MustParseAddr("::ffff:10.0.0.1")},
	}}}
	dialect.NICs(in)
	a := in.Adapters[0]
	if a.MTU != 1 || a.Search[0] != " a " || !a.Nameservers[0].Is4In6() {
		t.Errorf("the adapter has changed: %+v", a)
	}
}

func TestDefaultRoute(t *testing.T) {
	t.Parallel()
	for gateway, want := range map[string]string{"10.0.0.1": "0.0.0.0/0", "fd00::1": "::/0"} {
		r, ok := dialect.DefaultRoute(instance.Addressing{Gateway: netip.MustParseAddr(gateway)})
		if !ok || r.Dst.String() != want || r.Via.String() != gateway {
			t.Errorf("gateway %s: route %v, %v", gateway, r, ok)
		}
	}
	if r, ok := dialect.DefaultRoute(instance.Addressing{}); ok {
		t.Errorf("no gateway, but the route %v", r)
	}
}

// None, empty and unreadable are three things, and a guest is told which.
func TestUserData(t *testing.T) {
	t.Parallel()
	if d := dialect.UserData(&instance.Instance{}); d != nil {
		t.Errorf("there is none, yet %v", d)
	}
	if d := dialect.UserData(&instance.Instance{UserData: instance.Opaque{}}); d == nil || len(d.Body()) != 0 || d.Fault() != "" {
		t.Errorf("of no bytes: %v", d)
	}
	if d := dialect.UserData(&instance.Instance{UserData: instance.Opaque("x"), UserDataFault: "no key"}); d.Fault() != "no key" || d.Body() != nil {
		t.Errorf("at fault: %v", d)
	}
}
