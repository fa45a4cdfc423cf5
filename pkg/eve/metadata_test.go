// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"encoding/json"
	"net"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// TestInstanceMetadata compares the JSON of our own topic with that on record, and reads it back. A subscriber and a
// publisher of different age meet at this JSON: fields may be added, no field may change.
func TestInstanceMetadata(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		value eve.InstanceMetadata
		file  string
	}{
		{"full", fullInstanceMetadata(), "testdata/InstanceMetadata-full.json"},
		{"empty", eve.InstanceMetadata{}, "testdata/InstanceMetadata-empty.json"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			data, err := json.MarshalIndent(tt.value, "", " ")
			if err != nil {
				t.Fatalf("marshal: %v", err)
			}
			checkGolden(t, tt.file, string(data)+"\n")
			got := decodeStrict(t, reflect.TypeFor[eve.InstanceMetadata](), data)
			if diff := cmp.Diff(tt.value, got); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
}

// fullInstanceMetadata returns an InstanceMetadata with every field set.
func fullInstanceMetadata() eve.InstanceMetadata {
	_, subnet4, _ := net.ParseCIDR("198.51.100.0/24")
	_, subnet6, _ := net.ParseCIDR("2001:db8:1::/48")
	return eve.InstanceMetadata{
		AppUUID:          uuid.MustParse("c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001"),
		Hostname:         "web-gw",
		Domain:           "plant.example",
		LaunchIndex:      2,
		AvailabilityZone: "hall7",
		Region:           "plant-a",
		ProjectID:        "0b6f2a4e9a534e0e8f3c7d1c2be5a901",
		InstanceType:     "m1.small",
		Image:            "debian-13",
		SSHKeys:          []eve.SSHKey{{Name: "operator", PublicKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA operator"}},
		VendorData:       []byte("#cloud-config\n{}\n"),
		VendorData2:      []byte(`{"cloud-init":"#cloud-config\n{}\n"}`),
		Tags:             map[string]string{"role": "gateway", "line": "7"},
		SecurityGroups:   []string{"default", "web"},
		BlockDevices: []eve.BlockDevice{
			{Name: "root", Device: "/dev/vda", Bus: "virtio", Serial: "e0d3b2a1", Tags: []string{"system"}},
		},
		Files: []eve.InjectedFile{{Path: "/etc/motd", Content: []byte{0x00, 0xff, '\n'}}},
		Adapters: []eve.AdapterMetadata{{
			Name:       "eth0",
			StaticIPv4: true,
			StaticIPv6: true,
			IPv6:       net.ParseIP("2001:db8::7"),
			MTU:        1400,
			Routes: []eve.Route{
				{Dst: subnet4, Gateway: net.ParseIP("10.11.12.254")},
				{Dst: subnet6, Gateway: net.ParseIP("2001:db8::1")},
			},
			DNSServers:    []net.IP{net.ParseIP("10.11.12.1")},
			SearchDomains: []string{"plant.example"},
			Tags:          []string{"uplink"},
		}},
	}
}

// TestFullInstanceMetadata checks that fullInstanceMetadata keeps its promise as the type grows.
func TestFullInstanceMetadata(t *testing.T) {
	t.Parallel()
	checkAllSet(t, reflect.ValueOf(fullInstanceMetadata()), "InstanceMetadata")
}

// checkAllSet reports each field at or below v that is zero. Of a slice it looks at the first element.
func checkAllSet(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	switch {
	case v.IsZero():
		t.Errorf("%s is not set", path)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			checkAllSet(t, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		checkAllSet(t, v.Index(0), path+"[0]")
	}
}
