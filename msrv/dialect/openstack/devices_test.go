// SPDX-License-Identifier: Apache-2.0

package openstack_test

import (
	"encoding/json"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// device is what a guest reads of one.
type device struct {
	Type, MAC, Path, Serial string
	VLAN                    int
	Tags                    []string
}

func readDevices(t *testing.T, in *instance.Instance, version string) []device {
	t.Helper()
	var md struct{ Devices []device }
	if err := json.Unmarshal(lookup(t, in, "openstack/"+version+"/meta_data.json").Body(), &md); err != nil {
		t.Fatal(err)
	}
	return md.Devices
}

// card makes a card of a name, with a number as its address.
func card(name string, number byte) instance.Adapter {
	return instance.Adapter{Name: name, MAC: net.HardwareAddr{2, 0, 0, 0, 0, number}}
}

func vlan(number int, on string) instance.Adapter {
	return instance.Adapter{Kind: instance.VLAN, Name: "vlan", Over: []string{on}, VLAN: number, Tags: []string{"of the VLAN"}}
}

func bond(name string, cards ...string) instance.Adapter {
	return instance.Adapter{Kind: instance.Bond, Name: name, Over: cards, BondMode: "active-backup"}
}

// TestVLANOfDevices holds which cards are told to be in a VLAN: those that nothing untagged comes from.
func TestVLANOfDevices(t *testing.T) {
	t.Parallel()
	withIPv4, withIPv6 := card("a", 1), card("a", 1)
	withIPv4.IPv4.Method = instance.DHCP
	withIPv6.IPv6.Method = instance.SLAAC
	second := vlan(8, "a")
	second.Name = "second"
	for _, tt := range []struct {
		name     string
		adapters []instance.Adapter
		want     []int // of each card
	}{
		{"no VLAN", []instance.Adapter{card("a", 1)}, []int{0}},
		{"one", []instance.Adapter{card("a", 1), card("b", 2), vlan(7, "b")}, []int{0, 7}},
		{"two", []instance.Adapter{card("a", 1), vlan(7, "a"), second}, []int{0}},
		{"IPv4 beside it", []instance.Adapter{withIPv4, vlan(7, "a")}, []int{0}},
		{"IPv6 beside it", []instance.Adapter{withIPv6, vlan(7, "a")}, []int{0}},
		{"a bond before it", []instance.Adapter{card("a", 1), bond("x", "a"), vlan(7, "a")}, []int{0}},
		{"a bond after it", []instance.Adapter{card("a", 1), vlan(7, "a"), bond("x", "a")}, []int{0}},
		{"on a bond", []instance.Adapter{card("a", 1), bond("x", "a"), vlan(7, "x")}, []int{0}},
		{"two cards of one name", []instance.Adapter{card("a", 1), card("a", 2), vlan(7, "a")}, []int{7, 0}},
		{"a card over a card", []instance.Adapter{card("a", 1), {Name: "b", MAC: card("b", 2).MAC, Over: []string{"a", "c"}}}, []int{0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []int
			for _, d := range readDevices(t, &instance.Instance{Adapters: tt.adapters}, "2018-08-27") {
				got = append(got, d.VLAN)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("VLANs of cards (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDevicesByVersion holds what makes a card worth telling: its tags, from Ocata on its VLAN, from Rocky
// on nothing more.
func TestDevicesByVersion(t *testing.T) {
	t.Parallel()
	tagged := card("a", 1)
	tagged.Tags = []string{"front"}
	in := &instance.Instance{Adapters: []instance.Adapter{tagged, card("b", 2), card("c", 3), vlan(7, "b")}}
	a := device{Type: "nic", MAC: "02:00:00:00:00:01", Tags: []string{"front"}}
	b := device{Type: "nic", MAC: "02:00:00:00:00:02", VLAN: 7}
	c := device{Type: "nic", MAC: "02:00:00:00:00:03"}
	for version, want := range map[string][]device{
		"2015-10-15": nil, "2016-06-30": {a}, "2016-10-06": {a}, "2017-02-22": {a, b}, "2018-08-27": {a, b, c}, "latest": {a, b, c},
	} {
		if diff := cmp.Diff(want, readDevices(t, in, version)); diff != "" {
			t.Errorf("%s: devices (-want +got):\n%s", version, diff)
		}
	}
}

func TestDisks(t *testing.T) {
	t.Parallel()
	in := &instance.Instance{BlockDevices: []instance.BlockDevice{
		{Name: "ami", Device: "/dev/vda", Bus: "virtio", Serial: "s", Tags: []string{"boot"}},
		{Name: "root", Device: "/dev/vda"},
		{Name: "ebs1", Serial: "one"}, {Name: "ebs2", Serial: "two"}, // without a path
	}}
	want := []device{
		{Type: "disk", Path: "/dev/vda", Serial: "s", Tags: []string{"boot"}},
		{Type: "disk", Serial: "one"}, {Type: "disk", Serial: "two"},
	}
	if diff := cmp.Diff(want, readDevices(t, in, "latest")); diff != "" {
		t.Errorf("disks (-want +got):\n%s", diff)
	}
}
