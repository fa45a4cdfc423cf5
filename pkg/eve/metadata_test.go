// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"encoding/json"
	"fmt"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// ownTopics returns a value of each topic that is our own, with every field set.
func ownTopics() []any {
	return []any{
		fullInstanceMetadata(), fullNetworkMetadata(), fullNetworkAttachment(), fullInstanceReport(), fullInstanceLaunch(),
	}
}

// TestOwnTopics compares the JSON of our own topics with that on record, and reads it back. A subscriber and a publisher
// of different age meet at this JSON: fields may be added, no field may change.
func TestOwnTopics(t *testing.T) {
	t.Parallel()
	for _, full := range ownTopics() {
		typ := reflect.TypeOf(full)
		for name, value := range map[string]any{"full": full, "empty": reflect.Zero(typ).Interface()} {
			t.Run(typ.Name()+"-"+name, func(t *testing.T) {
				t.Parallel()
				data, err := json.MarshalIndent(value, "", " ")
				if err != nil {
					t.Fatalf("marshal: %v", err)
				}
				checkGolden(t, "testdata/"+typ.Name()+"-"+name+".json", string(data)+"\n")
				if diff := cmp.Diff(value, decodeStrict(t, typ, data)); diff != "" {
					t.Errorf("read back (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestOwnTopicsAreFull checks that ownTopics keeps its promise as the types grow.
func TestOwnTopicsAreFull(t *testing.T) {
	t.Parallel()
	for _, full := range ownTopics() {
		checkAllSet(t, reflect.ValueOf(full), reflect.TypeOf(full).Name())
	}
}

// checkAllSet reports each field at or below v that is zero. Of a slice it looks at the first element.
func checkAllSet(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	switch {
	case v.IsZero():
		t.Errorf("%s is not set", path)
	case v.Kind() == reflect.Struct && !isLeaf(v.Type()):
		for i := range v.NumField() {
			checkAllSet(t, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		checkAllSet(t, v.Index(0), path+"[0]")
	case v.Kind() == reflect.Map:
		for _, key := range v.MapKeys() {
			checkAllSet(t, v.MapIndex(key), fmt.Sprintf("%s[%v]", path, key))
		}
	}
}

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
			Port:          "nbu1x1",
		}},
		Bonds: []eve.BondMetadata{{Name: "bond0", Mode: "802.3ad", Adapters: []string{"eth0", "eth1"}, MTU: 9000}},
		VLANs: []eve.VLANMetadata{{
			Name:          "bond0.42",
			On:            "bond0",
			ID:            42,
			MAC:           net.HardwareAddr{0x02, 0x16, 0x3e, 0x00, 0x00, 0x2a},
			MTU:           1500,
			IPv4:          eve.VLANAddress{Method: eve.MethodStatic, Address: address("10.42.0.9/24"), Gateway: net.ParseIP("10.42.0.1")},
			IPv6:          eve.VLANAddress{Method: eve.MethodStatic, Address: address("2001:db8:42::9/64"), Gateway: net.ParseIP("2001:db8:42::1")},
			Routes:        []eve.Route{{Dst: subnet4, Gateway: net.ParseIP("10.42.0.254")}},
			DNSServers:    []net.IP{net.ParseIP("10.42.0.53")},
			SearchDomains: []string{"backup.example"},
		}},
		Password:   "rosebud",
		Drive:      eve.DriveConfig,
		Datasource: "ec2",
	}
}

// address returns an address with the length of its subnet, as opposed to the subnet.
func address(cidr string) *net.IPNet {
	ip, subnet, _ := net.ParseCIDR(cidr)
	subnet.IP = ip
	return subnet
}

func fullNetworkMetadata() eve.NetworkMetadata {
	_, subnet6, _ := net.ParseCIDR("2001:db8:11:12::/64")
	return eve.NetworkMetadata{
		NetworkUUID:   uuid.MustParse("a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1001"),
		Tokens:        eve.TokensRequired,
		HopLimit:      2,
		Namespace:     "/run/netns/web",
		Bridge:        "bn1",
		Subnet6:       subnet6,
		Gateway6:      net.ParseIP("2001:db8:11:12::1"),
		DhcpRange6:    eve.IPRange{Start: net.ParseIP("2001:db8:11:12::100"), End: net.ParseIP("2001:db8:11:12::1ff")},
		SLAAC:         true,
		NoDHCP:        true,
		NoDNS:         true,
		LeaseTime:     600,
		SearchDomains: []string{"plant.example"},
		NamePrefix:    "vm-",
		NameOrder:     []string{eve.NameBase, eve.NamePrefix, eve.NameDomain},
	}
}

func fullNetworkAttachment() eve.NetworkAttachment {
	return eve.NetworkAttachment{
		NetworkUUID: uuid.MustParse("a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1001"),
		Namespace:   "/run/netns/web",
		Bridge:      "bn1",
		Transit:     3,
	}
}

func fullInstanceReport() eve.InstanceReport {
	return eve.InstanceReport{
		AppUUID:    uuid.MustParse("c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001"),
		Subject:    "openstack-password",
		InstanceID: "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001/7",
		Value:      []byte{0x00, 0xff, '\n'},
		Time:       time.Date(2026, time.March, 4, 5, 6, 7, 89, time.UTC),
	}
}

func fullInstanceLaunch() eve.InstanceLaunch {
	return eve.InstanceLaunch{
		UUIDandVersion: eve.UUIDandVersion{UUID: uuid.MustParse("c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001"), Version: "7"},
		DisplayName:    "Web GW #1",
		Datasource:     "nocloud",
		Drive:          "/run/mdsrv/drives/c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001.iso",
		Firmware: map[string]eve.LaunchFirmware{"nocloud": {
			UUID:     "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001",
			Product:  "virtual machine",
			Serial:   "ds=nocloud;s=http://169.254.169.254/nocloud/",
			AssetTag: "tag",
		}},
		QEMU:    []string{"-smbios", "type=1,uuid=c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001"},
		Libvirt: "<sysinfo type='smbios'/>",
	}
}
