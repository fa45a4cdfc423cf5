// SPDX-License-Identifier: Apache-2.0

package openstack_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/openstack"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

const networkPath = "openstack/latest/network_data.json"

// lookup renders an instance; nil for what is not there.
func lookup(t *testing.T, in *instance.Instance, path string) *document.Document {
	t.Helper()
	root, err := openstack.Dialect().At(dialect.Metadata).Render(in)
	if err != nil {
		t.Fatal(err)
	}
	n := root.Lookup(path)
	if n == nil {
		return nil
	}
	return n.Document()
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(filepath.Join("testdata", "network_data.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, doc []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("%s: %v", doc, err)
	}
}

func TestNetworkDataSchema(t *testing.T) {
	t.Parallel()
	s := schema(t)
	for _, c := range dialecttest.Cases() {
		if d := lookup(t, c.Make(), networkPath); d != nil {
			validate(t, s, d.Body())
			checkReferences(t, d.Body())
		} else if c.Name != "empty" {
			t.Errorf("%s has no network_data.json", c.Name)
		}
	}
}

// TestNetworkDataMethods goes through every pair of methods, and through all lengths of prefixes.
func TestNetworkDataMethods(t *testing.T) {
	t.Parallel()
	s := schema(t)
	v4, v6 := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("2001:db8::3")
	for m4 := instance.None; m4 <= instance.SLAAC; m4++ {
		for m6 := instance.None; m6 <= instance.SLAAC; m6++ {
			var a instance.Adapter
			a.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}
			a.IPv4 = instance.Addressing{Method: m4, Address: netip.PrefixFrom(v4, 24), Gateway: v4.Next()}
			a.IPv6 = instance.Addressing{Method: m6, Address: netip.PrefixFrom(v6, 64), Gateway: v6.Next()}
			validate(t, s, lookup(t, &instance.Instance{Adapters: []instance.Adapter{a}}, networkPath).Body())
		}
	}
	for bits := range 129 {
		var a instance.Adapter
		a.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}
		a.IPv6 = instance.Addressing{Method: instance.Static, Address: netip.PrefixFrom(v6, bits)}
		if bits <= 32 {
			a.IPv4 = instance.Addressing{Method: instance.Static, Address: netip.PrefixFrom(v4, bits)}
		}
		validate(t, s, lookup(t, &instance.Instance{Adapters: []instance.Adapter{a}}, networkPath).Body())
	}
}

// TestNetworkDataAbsent holds that there is no document where there is no card: one without links would
// leave the guest without any.
func TestNetworkDataAbsent(t *testing.T) {
	t.Parallel()
	dhcp := instance.Addressing{Method: instance.DHCP}
	for name, adapters := range map[string][]instance.Adapter{
		"no adapter":       nil,
		"no known MAC":     {{Name: "eth0", IPv4: dhcp}},
		"only strange MAC": {{Name: "ib0", MAC: make(net.HardwareAddr, 20), IPv4: dhcp}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := &instance.Instance{Adapters: adapters}
			if d := lookup(t, in, networkPath); d != nil {
				t.Errorf("there is %s", d.Body())
			}
			if diff := cmp.Diff("meta_data.json\npassword", string(lookup(t, in, "openstack/latest").Body())); diff != "" {
				t.Errorf("listing (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNetworkDataLinks(t *testing.T) {
	t.Parallel()
	var in instance.Instance
	for i := range 12 {
		in.Adapters = append(in.Adapters, instance.Adapter{MAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(i)}})
	}
	var want bytes.Buffer
	want.WriteString(`{"links":[`)
	for i := range 12 {
		if i > 0 {
			want.WriteByte(',')
		}
		fmt.Fprintf(&want, `{"id":"interface%d","type":"phy","ethernet_mac_address":"02:00:00:00:00:%02x"}`, i, i)
	}
	want.WriteString(`],"networks":[],"services":[]}`)
	if diff := cmp.Diff(want.String(), string(lookup(t, &in, networkPath).Body())); diff != "" {
		t.Errorf("network_data.json (-want +got):\n%s", diff)
	}
}

// networkDocument is what a guest reads of network_data.json to put links together.
type networkDocument struct {
	Links []struct {
		ID        string
		BondLinks []string `json:"bond_links"`
		VLANLink  string   `json:"vlan_link"`
	}
	Networks []struct{ ID, Link string }
}

// checkReferences holds that no two ids are the same and that whatever is referred to stands before, as
// a link.
func checkReferences(t *testing.T, doc []byte) {
	t.Helper()
	var n networkDocument
	if err := json.Unmarshal(doc, &n); err != nil {
		t.Fatal(err)
	}
	links, networks := make(map[string]bool), make(map[string]bool)
	refer := func(from, to string) {
		if !links[to] {
			t.Errorf("%s refers to %q, which is no link before it", from, to)
		}
	}
	for _, l := range n.Links {
		for _, id := range l.BondLinks {
			refer(l.ID, id)
		}
		if l.VLANLink != "" {
			refer(l.ID, l.VLANLink)
		}
		if links[l.ID] {
			t.Errorf("two links %s", l.ID)
		}
		links[l.ID] = true
	}
	for _, n := range n.Networks {
		refer(n.ID, n.Link)
		if networks[n.ID] {
			t.Errorf("two networks %s", n.ID)
		}
		networks[n.ID] = true
	}
}

// TestBondsAndVLANs holds how links are put together.
func TestBondsAndVLANs(t *testing.T) {
	t.Parallel()
	const (
		cards  = `{"id":"interface0","vif_id":"a","type":"phy","ethernet_mac_address":"02:00:00:00:00:01"},{"id":"interface1","vif_id":"b","type":"phy","ethernet_mac_address":"02:00:00:00:00:02"}`
		onCard = `{"id":"interface1.7","vif_id":"vlan","type":"vlan","vlan_mac_address":"02:00:00:00:00:02","vlan_id":7,"vlan_link":"interface1"}`
		bonded = `{"id":"bond0","vif_id":"x","type":"bond","ethernet_mac_address":"02:00:00:00:00:02","bond_mode":"active-backup","bond_miimon":100,"bond_links":["interface1","interface0"]}`
		single = `{"id":"bond0","vif_id":"x","type":"bond","ethernet_mac_address":"02:00:00:00:00:01","bond_mode":"active-backup","bond_miimon":100,"bond_links":["interface0"]}`
		other  = `{"id":"bond1","vif_id":"y","type":"bond","ethernet_mac_address":"02:00:00:00:00:02","bond_mode":"active-backup","bond_miimon":100,"bond_links":["interface1"]}`
		onBond = `{"id":"bond1.7","vif_id":"vlan","type":"vlan","vlan_mac_address":"02:00:00:00:00:02","vlan_id":7,"vlan_link":"bond1"}`
	)
	a, b := card("a", 1), card("b", 2)
	for _, tt := range []struct {
		name string
		made []instance.Adapter // of a and b
		want string
	}{
		{"a VLAN", []instance.Adapter{vlan(7, "b")}, cards + "," + onCard},
		{"a bond, in the order of its cards", []instance.Adapter{bond("x", "b", "a")}, cards + "," + bonded},
		{"a VLAN on the second bond", []instance.Adapter{bond("x", "a"), bond("y", "b"), vlan(7, "y")}, strings.Join([]string{cards, single, other, onBond}, ",")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := &instance.Instance{Adapters: append([]instance.Adapter{a, b}, tt.made...)}
			doc := lookup(t, in, networkPath).Body()
			validate(t, schema(t), doc)
			checkReferences(t, doc)
			if diff := cmp.Diff(`{"links":[`+tt.want+`],"networks":[],"services":[]}`, string(doc)); diff != "" {
				t.Errorf("network_data.json (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBondModes holds that all modes that a bond may have are in the schema.
func TestBondModes(t *testing.T) {
	t.Parallel()
	s := schema(t)
	for _, mode := range dialect.BondModes() {
		made := bond("x", "a")
		made.BondMode = mode
		validate(t, s, lookup(t, &instance.Instance{Adapters: []instance.Adapter{card("a", 1), made}}, networkPath).Body())
	}
}
