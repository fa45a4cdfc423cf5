// SPDX-License-Identifier: Apache-2.0

package nocloud_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/nocloud"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

// The two network configurations of the seed over HTTP.
const (
	version1 = "nocloud/v1/network-config"
	version2 = "nocloud/network-config"
)

// networkConfig is one network configuration of an instance.
func networkConfig(t *testing.T, in *instance.Instance, path string) string {
	t.Helper()
	root, err := nocloud.Dialect().At(dialect.Metadata).Render(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(root.Lookup(path).Document().Body())
}

func TestNetworkConfig(t *testing.T) {
	t.Parallel()
	card := func(n byte) instance.Adapter {
		return instance.Adapter{Name: string('a' + rune(n)), MAC: net.HardwareAddr{2, 0, 0, 0, 0, n}}
	}
	static4 := instance.Addressing{Method: instance.Static, Address: netip.MustParsePrefix("10.0.0.2/24"), Gateway: netip.MustParseAddr("10.0.0.1")}
	static6 := instance.Addressing{Method: instance.Static, Address: netip.MustParsePrefix("fd00::2/64"), Gateway: netip.MustParseAddr("fd00::1")}
	dns := []netip.Addr{netip.MustParseAddr("10.0.0.53")}
	for _, tt := range []struct {
		name     string
		adapters []instance.Adapter
		v1, v2   string
	}{
		{
			"no addressing",
			[]instance.Adapter{card(0)},
			`{"type":"physical","name":"nic0","mac_address":"02:00:00:00:00:00"}`,
			`"ethernets":{"nic0":{"match":{"macaddress":"02:00:00:00:00:00"}}}`,
		},
		{
			"DHCP has its own name servers",
			[]instance.Adapter{{MAC: card(0).MAC, IPv4: instance.Addressing{Method: instance.DHCP}, IPv6: instance.Addressing{Method: instance.DHCP}, Nameservers: dns}},
			`{"type":"physical","name":"nic0","mac_address":"02:00:00:00:00:00","subnets":[{"type":"dhcp4"},{"type":"dhcp6"}]}`,
			`"ethernets":{"nic0":{"match":{"macaddress":"02:00:00:00:00:00"},"dhcp4":true,"dhcp6":true,"accept-ra":true}}`,
		},
		{
			"name servers beside DHCP are SLAAC's",
			[]instance.Adapter{{MAC: card(0).MAC, IPv4: instance.Addressing{Method: instance.DHCP}, IPv6: instance.Addressing{Method: instance.SLAAC}, Nameservers: append(slices.Clone(dns), netip.MustParseAddr("fd00::53"))}},
			`{"type":"physical","name":"nic0","mac_address":"02:00:00:00:00:00","subnets":[{"type":"dhcp4"},{"type":"ipv6_slaac","dns_nameservers":["fd00::53"]}]}`,
			`"ethernets":{"nic0":{"match":{"macaddress":"02:00:00:00:00:00"},"dhcp4":true,"accept-ra":true,"nameservers":{"addresses":["10.0.0.53","fd00::53"]}}}`,
		},
		{
			"fixed addresses in both families",
			[]instance.Adapter{{MAC: card(0).MAC, IPv4: static4, IPv6: static6, Nameservers: dns}},
			`{"type":"physical","name":"nic0","mac_address":"02:00:00:00:00:00","subnets":[{"type":"static","address":"10.0.0.2/24","gateway":"10.0.0.1","dns_nameservers":["10.0.0.53"]},{"type":"static6","address":"fd00::2/64","gateway":"fd00::1"}]}`,
			`"ethernets":{"nic0":{"match":{"macaddress":"02:00:00:00:00:00"},"addresses":["10.0.0.2/24","fd00::2/64"],"gateway6":"fd00::1","routes":[{"to":"0.0.0.0/0","via":"10.0.0.1"}],"nameservers":{"addresses":["10.0.0.53"]}}}`,
		},
		{
			"no name servers, no search domains",
			[]instance.Adapter{{MAC: card(0).MAC, IPv4: static4, Search: []string{"example.com"}}},
			`{"type":"physical","name":"nic0","mac_address":"02:00:00:00:00:00","subnets":[{"type":"static","address":"10.0.0.2/24","gateway":"10.0.0.1","dns_search":["example.com"]}]}`,
			`"ethernets":{"nic0":{"match":{"macaddress":"02:00:00:00:00:00"},"addresses":["10.0.0.2/24"],"routes":[{"to":"0.0.0.0/0","via":"10.0.0.1"}]}}`,
		},
		{
			"a bond",
			[]instance.Adapter{card(0), card(1), {Kind: instance.Bond, Name: "up", Over: []string{"a", "b"}, BondMode: "802.3ad", MTU: 9000, IPv4: static4}},
			`{"type":"physical","name":"nic0","mac_address":"02:00:00:00:00:00"},{"type":"physical","name":"nic1","mac_address":"02:00:00:00:00:01"},` +
				`{"type":"bond","name":"bond0","mac_address":"02:00:00:00:00:00","mtu":9000,"bond_interfaces":["nic0","nic1"],"params":{"bond-mode":"802.3ad","bond-miimon":100},"subnets":[{"type":"static","address":"10.0.0.2/24","gateway":"10.0.0.1"}]}`,
			`"ethernets":{"nic0":{"match":{"macaddress":"02:00:00:00:00:00"}},"nic1":{"match":{"macaddress":"02:00:00:00:00:01"}}},` +
				`"bonds":{"bond0":{"interfaces":["nic0","nic1"],"parameters":{"mode":"802.3ad","mii-monitor-interval":"100"},"macaddress":"02:00:00:00:00:00","mtu":9000,"addresses":["10.0.0.2/24"],"routes":[{"to":"0.0.0.0/0","via":"10.0.0.1"}]}}`,
		},
		{
			"VLANs, with the card's address and with one of their own",
			[]instance.Adapter{card(0), {Kind: instance.VLAN, Name: "v", Over: []string{"a"}, VLAN: 7}, {Kind: instance.VLAN, Name: "w", Over: []string{"a"}, VLAN: 4094, MAC: card(9).MAC}},
			`{"type":"physical","name":"nic0","mac_address":"02:00:00:00:00:00"},{"type":"vlan","name":"nic0.7","vlan_link":"nic0","vlan_id":7},` +
				`{"type":"vlan","name":"nic0.4094","mac_address":"02:00:00:00:00:09","vlan_link":"nic0","vlan_id":4094}`,
			`"ethernets":{"nic0":{"match":{"macaddress":"02:00:00:00:00:00"}}},"vlans":{"nic0.4094":{"id":4094,"link":"nic0","macaddress":"02:00:00:00:00:09"},"nic0.7":{"id":7,"link":"nic0"}}`,
		},
		{
			"of two cards with one name the first is meant",
			[]instance.Adapter{card(0), {Name: "a", MAC: card(1).MAC}, {Kind: instance.VLAN, Name: "v", Over: []string{"a"}, VLAN: 1}},
			`{"type":"physical","name":"nic0","mac_address":"02:00:00:00:00:00"},{"type":"physical","name":"nic1","mac_address":"02:00:00:00:00:01"},{"type":"vlan","name":"nic0.1","vlan_link":"nic0","vlan_id":1}`,
			`"ethernets":{"nic0":{"match":{"macaddress":"02:00:00:00:00:00"}},"nic1":{"match":{"macaddress":"02:00:00:00:00:01"}}},"vlans":{"nic0.1":{"id":1,"link":"nic0"}}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := &instance.Instance{UUID: "0a", Version: "1", Hostname: "host", Adapters: tt.adapters}
			if diff := cmp.Diff(`{"version":1,"config":[`+tt.v1+`]}`, networkConfig(t, in, version1)); diff != "" {
				t.Errorf("version 1 (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(`{"version":2,`+tt.v2+`}`, networkConfig(t, in, version2)); diff != "" {
				t.Errorf("version 2 (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNamesFit holds that the names of a configuration are such that Linux takes them, however many and
// whatever the adapters are, and that what is made of others comes after them.
func TestNamesFit(t *testing.T) {
	t.Parallel()
	many := &instance.Instance{UUID: "0a", Version: "1", Hostname: "host"}
	for i := range 1023 {
		name := fmt.Sprint("card ", i)
		many.Adapters = append(many.Adapters, instance.Adapter{Name: name, MAC: net.HardwareAddr{2, 0, 0, 0, byte(i >> 8), byte(i)}})
	}
	for i := range 1023 {
		bond := instance.Adapter{Kind: instance.Bond, Name: fmt.Sprint("bond of ", i), Over: []string{fmt.Sprint("card ", i)}, BondMode: "broadcast"}
		vlan := instance.Adapter{Kind: instance.VLAN, Name: fmt.Sprint("VLAN on ", i), Over: []string{bond.Name}, VLAN: dialect.MaxVLAN}
		many.Adapters = append(many.Adapters, bond, vlan)
	}
	valid := regexp.MustCompile(`^[a-z0-9.]{1,15}$`)
	for _, in := range []*instance.Instance{many, dialecttest.Rich(), dialecttest.Hostile()} {
		var config struct {
			Config []struct {
				Name           string
				BondInterfaces []string `json:"bond_interfaces"`
				VLANLink       string   `json:"vlan_link"`
			}
		}
		if err := json.Unmarshal([]byte(networkConfig(t, in, version1)), &config); err != nil {
			t.Fatal(err)
		}
		if want := len(dialect.NICs(in)); len(config.Config) != want {
			t.Errorf("%d devices for %d adapters", len(config.Config), want)
		}
		seen := map[string]bool{"": true} // the link of what is no VLAN
		for _, d := range config.Config {
			if seen[d.Name] || !valid.MatchString(d.Name) {
				t.Errorf("name %q is there twice or not valid", d.Name)
			}
			seen[d.Name] = true
			for _, on := range append(d.BondInterfaces, d.VLANLink) {
				if !seen[on] {
					t.Errorf("%s is made of %q, which is not before it", d.Name, on)
				}
			}
		}
	}
}

// TestCloudInitRendersVersion1 holds that cloud-init makes of version 1 what was meant, bonds and VLANs
// included, with each of its renderers that knows them.
func TestCloudInitRendersVersion1(t *testing.T) {
	t.Parallel()
	rendered := renderWithCloudInit(t, networkConfig(t, dialecttest.Rich(), version1))
	for renderer, lines := range map[string][]string{
		"netplan": {
			"macaddress: 02:16:3e:ab:cd:ef", "set-name: nic0", "- 10.11.12.6/24", "- fd00:12::6/64", "gateway4: 10.11.12.1", "gateway6: fd00:12::1",
			"-   to: 172.16.0.0/12", "-   to: fd00:99::/48", "- green.example.com", "mtu: 1450",
			"bond0:", "- nic3", "- nic4", "macaddress: 02:16:3e:00:00:0a", "mii-monitor-interval: 100", "mode: active-backup",
			"bond0.42:", "id: 42", "link: bond0", "nic0.7:", "id: 7", "link: nic0", "macaddress: 02:16:3e:00:00:0c",
		},
		"eni": {
			"iface nic0 inet static", "gateway 10.11.12.1", "iface nic0 inet6 static", "gateway fd00:12::1", "iface nic1 inet dhcp",
			"iface nic1 inet6 auto", "iface nic2 inet6 dhcp", "iface nic3 inet manual", "bond-master bond0", "bond-mode active-backup",
			"bond-miimon 100", "iface bond0.42 inet static", "vlan-raw-device bond0", "vlan-raw-device nic0", "hwaddress 02:16:3e:00:00:0c",
		},
		"sysconfig": {
			"DEVICE=nic0", "HWADDR=02:16:3e:ab:cd:ef", "GATEWAY=10.11.12.1", "IPV6_DEFAULTGW=fd00:12::1", "IPV6_AUTOCONF=yes", "DHCPV6C=yes",
			"MASTER=bond0", "SLAVE=yes", "BONDING_SLAVE0=nic3", "BONDING_SLAVE1=nic4", `BONDING_OPTS="mode=active-backup miimon=100"`,
			"DEVICE=bond0.42", "PHYSDEV=bond0", "DEVICE=nic0.7", "PHYSDEV=nic0", "VLAN=yes",
		},
		"networkd": {"MACAddress=02:16:3e:ab:cd:ef", "Name=nic0", "Address=10.11.12.6/24", "Gateway=fd00:12::1", "Name=bond0.42"},
	} {
		var got []string
		for _, text := range rendered[renderer] {
			for line := range strings.SplitSeq(text, "\n") {
				got = append(got, strings.TrimSpace(line))
			}
		}
		for _, line := range lines {
			if !slices.Contains(got, line) {
				t.Errorf("%s: no line %q", renderer, line)
			}
		}
	}
}

// renderWithCloudInit lets cloud-init render a network configuration for a guest whose cards the kernel
// calls eth0 and so on: renderer, file, content.
func renderWithCloudInit(t *testing.T, config string) map[string]map[string]string {
	t.Helper()
	const (
		python  = "/usr/bin/python3" // Debian's, which has the modules of the package cloud-init
		program = "../../../tests/conformance/dialects/testdata/understand.py"
	)
	tool.Need(t, tool.Cloudinit, "cloud-init")
	cards := make(map[string]string)
	for i, a := range dialecttest.Rich().Adapters {
		if a.Kind == instance.Card && a.MAC != nil {
			cards[a.MAC.String()] = fmt.Sprint("eth", i)
		}
	}
	request, err := json.Marshal(map[string]any{
		"reader": "nocloud", "nics": cards,
		"tree": map[string][]byte{"meta-data": []byte(`{"instance-id":"i"}`), "user-data": {}, "network-config": []byte(config)},
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-B", program)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(request), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("cloud-init cannot render it: %v\n%s", err, stderr.String())
	}
	var got struct {
		Network map[string]map[string]string
	}
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	return got.Network
}
