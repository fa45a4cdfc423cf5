// SPDX-License-Identifier: Apache-2.0

package dialecttest

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// Secret stands in everything in Rich that no message may show: user data, vendor data, files, the
// password and the random seed.
const Secret = "correct-horse-battery-staple"

// Small is an ordinary app: one adapter with DHCP, a key, a short #cloud-config.
func Small() *instance.Instance {
	return &instance.Instance{
		UUID:     "2f6d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c01",
		Version:  "3",
		Name:     "web server",
		Hostname: "web-server",
		Domain:   "eve.internal",
		Keys:     []instance.Key{{Name: "alice", Data: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAliceAliceAliceAliceAliceAliceAliceAlice alice@example.com"}},
		Adapters: []instance.Adapter{{
			Name:        "eth0",
			Network:     "9a1c5a0e-52a1-4c1e-8f67-3b1f7e2d0001",
			NetworkName: "blue",
			Port:        "nbsmall0",
			MAC:         net.HardwareAddr{0x02, 0x16, 0x3e, 0x00, 0x00, 0x01},
			IPv4: instance.Addressing{
				Method:  instance.DHCP,
				Address: netip.MustParsePrefix("10.11.12.5/24"),
				Gateway: netip.MustParseAddr("10.11.12.1"),
			},
			Nameservers: []netip.Addr{netip.MustParseAddr("10.11.12.1")},
		}},
		UserData: instance.Opaque("#cloud-config\npackage_update: true\n"),
		Drive:    instance.DriveNoCloud,
		HTTP:     true,
	}
}

// Empty has nothing but what every instance has.
func Empty() *instance.Instance {
	return &instance.Instance{
		UUID:     "2f6d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c00",
		Version:  "1",
		Hostname: "empty",
	}
}

// Rich has everything: several keys, tags, disks and files, adapters with every way of addressing, user
// data that is no text.
func Rich() *instance.Instance {
	return &instance.Instance{
		UUID:             "2f6d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c02",
		Version:          "17",
		Name:             "Datenbank <prod> & mehr",
		Hostname:         "db",
		Domain:           "green.example.com",
		LaunchIndex:      2,
		AvailabilityZone: "munich-1a",
		Region:           "munich-1",
		ProjectID:        "7b1d7a3c-0000-4000-8000-000000000042",
		InstanceType:     "m1.large",
		Image:            "debian-12-genericcloud-amd64",
		Architecture:     "amd64",
		DedicatedCPUs:    []int{0, 1},
		Password:         instance.Opaque(Secret),
		Keys: []instance.Key{
			{Name: "alice", Data: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAliceAliceAliceAliceAliceAliceAliceAlice alice@example.com"},
			{Name: "bob's laptop", Data: "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQBobBobBobBob bob"},
		},
		Tags:           map[string]string{"role": "database", "stage": "prod", "owner": "Zoë & co", "tier": "1"},
		SecurityGroups: []string{"default", "postgres"},
		BlockDevices: []instance.BlockDevice{
			{Name: "ami", Device: "/dev/vda", Bus: "virtio", Serial: "root-0001", Tags: []string{"boot"}},
			{Name: "root", Device: "/dev/vda", Bus: "virtio"},
			{Name: "ephemeral0", Device: "/dev/sda", Bus: "scsi", Tags: []string{"scratch", "fast"}},
		},
		Files: []instance.File{
			{Path: "/etc/motd", Content: instance.Opaque("Welcome: " + Secret + "\n")},
			{Path: "/etc/app/config.bin", Content: instance.Opaque("\x00\x01\xfe\xff")},
		},
		Adapters:    richAdapters(),
		UserData:    instance.Opaque("\x1f\x8b\x08\x00 not text: \x00\xff\r\n" + Secret),
		VendorData:  instance.Opaque("#cloud-config\nntp: {enabled: true} # " + Secret + "\n"),
		VendorData2: instance.Opaque(`{"cloud-init":"#cloud-config\ntimezone: Europe/Berlin\n","static":{}}`),
		RandomSeed:  bytes.Repeat([]byte(Secret), 512/len(Secret)+1)[:512],
		Drive:       instance.DriveNoCloud,
		HTTP:        true,
	}
}

// Six is an app in networks of IPv6: beside IPv4 and alone, with each way to get an address, and with addresses
// that are known or not.
func Six() *instance.Instance {
	adapter := func(n byte, name string, four, six instance.Addressing, nameservers ...netip.Addr) instance.Adapter {
		return instance.Adapter{
			Name: name, Network: fmt.Sprintf("9a1c5a0e-52a1-4c1e-8f67-3b1f7e2d06%02d", n),
			MAC: net.HardwareAddr{0x02, 0x16, 0x3e, 0x00, 0x06, n}, IPv4: four, IPv6: six, Nameservers: nameservers,
			Search: []string{"six.example.com"},
		}
	}
	in := func(method instance.Method, address, gateway string) instance.Addressing {
		return instance.Addressing{Method: method, Address: netip.MustParsePrefix(address), Gateway: netip.MustParseAddr(gateway)}
	}
	four := in(instance.DHCP, "10.60.0.2/24", "10.60.0.1")
	dns4, dns6 := netip.MustParseAddr("10.60.0.1"), netip.MustParseAddr("fd00:60::1")
	return &instance.Instance{
		UUID:     "2f6d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c06",
		Version:  "6",
		Name:     "six",
		Hostname: "six",
		Domain:   "six.example.com",
		Adapters: []instance.Adapter{
			adapter(1, "dual stack", four, in(instance.DHCP, "fd00:60::2/64", "fd00:60::1"), dns4, dns6),
			adapter(2, "dual stack, SLAAC", four, in(instance.SLAAC, "fd00:60::16:3eff:fe00:602/64", "fd00:60::1"), dns4, dns6),
			adapter(3, "dual stack, static", in(instance.Static, "10.60.0.3/24", "10.60.0.1"), in(instance.Static, "fd00:60::3/64", "fd00:60::1"), dns4, dns6),
			adapter(4, "IPv6, DHCP", instance.Addressing{}, in(instance.DHCP, "fd00:60::4/64", "fd00:60::1"), dns6),
			adapter(5, "IPv6, SLAAC", instance.Addressing{}, in(instance.SLAAC, "fd00:60::16:3eff:fe00:605/64", "fd00:60::1"), dns6),
			adapter(6, "IPv6, static", instance.Addressing{}, in(instance.Static, "fd00:60::6/64", "fd00:60::1"), dns6),
			adapter(7, "IPv6, SLAAC, not known", instance.Addressing{}, instance.Addressing{Method: instance.SLAAC}),
		},
		Drive: instance.DriveNoCloud,
		HTTP:  true,
	}
}

func richAdapters() []instance.Adapter {
	dns := []netip.Addr{netip.MustParseAddr("10.11.12.1"), netip.MustParseAddr("fd00:12::1")}
	return []instance.Adapter{
		{
			Name:        "front",
			Network:     "9a1c5a0e-52a1-4c1e-8f67-3b1f7e2d0001",
			NetworkName: "blue",
			Port:        "nbrich0",
			MAC:         net.HardwareAddr{0x02, 0x16, 0x3E, 0xAB, 0xCD, 0xEF},
			MTU:         1450,
			IPv4: instance.Addressing{
				Method:  instance.Static,
				Address: netip.MustParsePrefix("10.11.12.6/24"),
				Gateway: netip.MustParseAddr("10.11.12.1"),
				Routes: []instance.Route{
					{Dst: netip.MustParsePrefix("172.16.0.0/12"), Via: netip.MustParseAddr("10.11.12.2")},
					{Dst: netip.MustParsePrefix("192.0.2.7/32"), Via: netip.MustParseAddr("10.11.12.3")},
				},
			},
			IPv6: instance.Addressing{
				Method:  instance.Static,
				Address: netip.MustParsePrefix("fd00:12::6/64"),
				Gateway: netip.MustParseAddr("fd00:12::1"),
				Routes:  []instance.Route{{Dst: netip.MustParsePrefix("fd00:99::/48"), Via: netip.MustParseAddr("fd00:12::2")}},
			},
			Nameservers: dns,
			Search:      []string{"green.example.com", "example.com"},
			Tags:        []string{"front", "public"},
		},
		{
			Name:        "back",
			Network:     "9a1c5a0e-52a1-4c1e-8f67-3b1f7e2d0002",
			NetworkName: "green",
			MAC:         net.HardwareAddr{0x02, 0x16, 0x3e, 0x00, 0x00, 0x03},
			MTU:         9000,
			IPv4:        instance.Addressing{Method: instance.DHCP, Address: netip.MustParsePrefix("10.20.0.9/16")},
			IPv6:        instance.Addressing{Method: instance.SLAAC},
			Nameservers: []netip.Addr{netip.MustParseAddr("10.20.0.1")},
		},
		{
			Name:    "v6only",
			Network: "9a1c5a0e-52a1-4c1e-8f67-3b1f7e2d0003",
			MAC:     net.HardwareAddr{0x02, 0x16, 0x3e, 0x00, 0x00, 0x04},
			IPv6:    instance.Addressing{Method: instance.DHCP},
		},
		{
			Name: "storage a", Network: "9a1c5a0e-52a1-4c1e-8f67-3b1f7e2d0004",
			MAC: net.HardwareAddr{0x02, 0x16, 0x3e, 0x00, 0x00, 0x0a},
		},
		{
			Name: "storage b", Network: "9a1c5a0e-52a1-4c1e-8f67-3b1f7e2d0004",
			MAC: net.HardwareAddr{0x02, 0x16, 0x3e, 0x00, 0x00, 0x0b},
		},
		{
			Name:    "not yet there", // no MAC: nothing can be said to the guest
			Network: "9a1c5a0e-52a1-4c1e-8f67-3b1f7e2d0003",
			IPv4:    instance.Addressing{Method: instance.DHCP},
		},
		{
			Kind: instance.Bond, Name: "storage", Over: []string{"storage a", "storage b"}, BondMode: "active-backup",
			MTU:  9000,
			IPv4: instance.Addressing{Method: instance.Static, Address: netip.MustParsePrefix("10.30.0.9/16")},
		},
		{
			Kind: instance.VLAN, Name: "backup", Over: []string{"storage"}, VLAN: 42,
			IPv4: instance.Addressing{Method: instance.Static, Address: netip.MustParsePrefix("10.42.0.9/24")},
			IPv6: instance.Addressing{Method: instance.SLAAC},
		},
		{
			Kind: instance.VLAN, Name: "plant", Over: []string{"front"}, VLAN: 7,
			MAC:  net.HardwareAddr{0x02, 0x16, 0x3e, 0x00, 0x00, 0x0c},
			IPv4: instance.Addressing{Method: instance.DHCP},
		},
	}
}

// hugeBytes is the size of the huge values of Hostile.
const hugeBytes = 1 << 18

// Hostile has in every free text what breaks a careless renderer or a careless client: separators of the
// formats, control characters, bytes that are no UTF-8, doubles, contradictions, values of absurd size.
func Hostile() *instance.Instance {
	nasty := "a=b/c\n\"<&>\u2028\u0085\x7f\x00\uffff é 🐙 \xff\xfe/"
	return &instance.Instance{
		UUID:             "2f6d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c03",
		Version:          nasty,
		Name:             nasty,
		Hostname:         "0123",
		Domain:           "xn--bcher-kva.example",
		LaunchIndex:      -1,
		AvailabilityZone: nasty,
		Region:           nasty,
		ProjectID:        nasty,
		InstanceType:     "{\"not\": \"json\"",
		Image:            nasty,
		Keys: []instance.Key{
			{Name: nasty, Data: "ssh-ed25519 AAAA one\n# comment\n\n\tssh-ed25519 BBBB two\r\n"},
			{Name: nasty, Data: "ssh-ed25519 CCCC " + nasty},
			{Name: "", Data: "ssh-ed25519 DDDD"},
			{Name: "nothing", Data: ""},
		},
		Tags: map[string]string{
			"a/b": nasty, "..": "up", "": "empty", "<script>": "&", "k\n": "v\n", "\xff": "not UTF-8",
			"huge": strings.Repeat("🐙", hugeBytes/4),
		},
		SecurityGroups: []string{"", nasty, "  "},
		BlockDevices: []instance.BlockDevice{
			{Name: "../../etc", Device: "/dev/vda"}, {Name: "1=2", Device: "/dev/vdb"}, {Name: "", Device: "/dev/vdc"},
			{Name: "ebs1", Device: "/dev/vdd", Bus: nasty}, {Name: "ebs1", Device: "/dev/vde"}, {Name: "ebs2"},
			{Name: "ebs3/", Device: "/dev/vdf"}, {Name: "ebs4\n", Device: nasty},
		},
		Files: []instance.File{
			{Path: "relative/../" + nasty, Content: nil},
			{Path: "/etc/motd", Content: instance.Opaque("first")},
			{Path: "/etc/motd", Content: instance.Opaque("second")},
		},
		Adapters:      hostileAdapters(nasty),
		UserData:      instance.Opaque(strings.Repeat("{\xff", hugeBytes/2)),
		VendorData:    instance.Opaque("null"),
		VendorData2:   instance.Opaque("\xff\xfe not UTF-8"),
		RandomSeed:    instance.Opaque{},
		Password:      instance.Opaque(nasty),
		Architecture:  nasty,
		DedicatedCPUs: []int{-1, 7, 7},
		Drive:         instance.DriveNoCloudMultipart,
		HTTP:          true,
	}
}

func hostileAdapters(nasty string) []instance.Adapter {
	mac := net.HardwareAddr{0x02, 0x16, 0x3e, 0x00, 0x00, 0x05}
	v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	return []instance.Adapter{
		{
			Name: nasty, Network: nasty, MAC: mac, MTU: 70000,
			IPv4: instance.Addressing{Method: instance.Static, Address: netip.PrefixFrom(v6, 64), Gateway: v4},
			IPv6: instance.Addressing{Method: instance.Static, Address: netip.PrefixFrom(v6, 128), Gateway: v4, Routes: []instance.Route{
				{Dst: netip.PrefixFrom(v4, 0), Via: v4}, {Dst: netip.PrefixFrom(v6, 200), Via: v6}, {Dst: netip.PrefixFrom(v6, 7)},
			}},
			Nameservers: []netip.Addr{{}, netip.MustParseAddr("::ffff:10.0.0.9"), netip.MustParseAddr("fe80::1%eth0")},
			Search:      []string{"", nasty, nasty},
		},
		{Name: "same MAC", MAC: mac, IPv4: instance.Addressing{Method: instance.DHCP}},
		{Name: "long MAC", MAC: make(net.HardwareAddr, 20), IPv4: instance.Addressing{Method: instance.DHCP}},
		{Name: "negative", MAC: net.HardwareAddr{0x02, 0, 0, 0, 0, 0x06}, MTU: -1, IPv4: instance.Addressing{Method: instance.Method(99)}},
		{Name: "bare", MAC: net.HardwareAddr{0x02, 0, 0, 0, 0, 0x07}, IPv6: instance.Addressing{Method: instance.Static}},
		{Kind: instance.Bond, Name: "of nothing", Over: []string{"nobody", "long MAC"}, BondMode: "active-backup"},
		{Kind: instance.Bond, Name: "of no mode", Over: []string{"bare"}, BondMode: "4"},
		{Kind: instance.Bond, Name: "twice\n", Over: []string{"bare", "bare"}, BondMode: "802.3ad"},
		{Kind: instance.Bond, Name: "bonded before", Over: []string{"bare"}, BondMode: "802.3ad"},
		{Kind: instance.VLAN, Name: "on nothing", VLAN: 5},
		{Kind: instance.VLAN, Name: "on itself", Over: []string{"on itself"}, VLAN: 5},
		{Kind: instance.VLAN, Name: "too high", Over: []string{"negative"}, VLAN: 4095},
		{Kind: instance.VLAN, Name: nasty + "v", Over: []string{"twice\n"}, VLAN: 4094, MTU: 1},
		{Kind: instance.VLAN, Name: "the same", Over: []string{"twice\n"}, VLAN: 4094},
		{Kind: instance.VLAN, Name: "on a VLAN", Over: []string{nasty + "v"}, VLAN: 6},
		{Kind: instance.AdapterKind(9), Name: "what", MAC: net.HardwareAddr{0x02, 0, 0, 0, 0, 0x08}},
	}
}
