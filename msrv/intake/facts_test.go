// SPDX-License-Identifier: Apache-2.0

package intake_test

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/intake"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

const (
	appID   = "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001"
	otherID = "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b002"
	blueID  = "a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1001"
	v6ID    = "a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1006"
)

func app(change func(*eve.AppInstanceConfig)) eve.AppInstanceConfig {
	a := eve.AppInstanceConfig{
		UUIDandVersion: eve.UUIDandVersion{UUID: uuid.MustParse(appID), Version: "7"},
		DisplayName:    "Web GW #1", Activate: true,
	}
	if change != nil {
		change(&a)
	}
	return a
}

func cidr(s string) *net.IPNet {
	_, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	return n
}

func network(id, subnet, gateway string, change func(*eve.NetworkInstanceStatus)) eve.NetworkInstanceStatus {
	n := eve.NetworkInstanceStatus{}
	n.UUIDandVersion.UUID = uuid.MustParse(id)
	n.NetworkInstanceConfig.DisplayName = "net " + id[len(id)-1:]
	if subnet != "" {
		n.Subnet, n.Gateway = cidr(subnet), net.ParseIP(gateway)
	}
	if change != nil {
		change(&n)
	}
	return n
}

func vif(name, network, mac string, addrs ...eve.AssignedAddr) eve.AppNetAdapterStatus {
	var s eve.AppNetAdapterStatus
	s.Name, s.Network = name, uuid.MustParse(network)
	if mac != "" {
		s.VifInfo.Mac, _ = net.ParseMAC(mac)
	}
	for _, a := range addrs {
		if a.Address.To4() != nil {
			s.AssignedAddresses.IPv4Addrs = append(s.AssignedAddresses.IPv4Addrs, a)
		} else {
			s.AssignedAddresses.IPv6Addrs = append(s.AssignedAddresses.IPv6Addrs, a)
		}
	}
	return s
}

func addr(s string, by eve.AddressSource) eve.AssignedAddr {
	return eve.AssignedAddr{Address: net.ParseIP(s), AssignedBy: by}
}

func TestJoinApp(t *testing.T) {
	t.Parallel()
	base := instance.Instance{
		UUID: appID, Version: "7", Name: "Web GW #1", Hostname: "web-gw-1",
		Drive: instance.DriveNoCloud, HTTP: true,
	}
	with := func(change func(*instance.Instance)) *instance.Instance {
		i := base
		change(&i)
		return &i
	}
	tests := []struct {
		name  string
		facts intake.Facts
		want  *instance.Instance
	}{
		{
			name:  "bare",
			facts: intake.Facts{App: app(nil)},
			want:  &base,
		},
		{
			name:  "version of cloud-init goes before version of the config",
			facts: intake.Facts{App: app(func(a *eve.AppInstanceConfig) { a.CloudInitVersion = 3 })},
			want:  with(func(i *instance.Instance) { i.Version = "3" }),
		},
		{
			name: "user data, base64 with line breaks",
			facts: intake.Facts{App: app(func(a *eve.AppInstanceConfig) {
				a.CloudInitUserData = new("I2Nsb3VkLWNv\nbmZpZwo=\n")
			})},
			want: with(func(i *instance.Instance) { i.UserData = instance.Opaque("#cloud-config\n") }),
		},
		{
			name:  "empty user data is none",
			facts: intake.Facts{App: app(func(a *eve.AppInstanceConfig) { a.CloudInitUserData = new("") })},
			want:  &base,
		},
		{
			name:  "user data that is not base64",
			facts: intake.Facts{App: app(func(a *eve.AppInstanceConfig) { a.CloudInitUserData = new("#cloud-config") })},
			want: with(func(i *instance.Instance) {
				i.UserDataFault = "decode user data as base64: illegal base64 data at input byte 0"
			}),
		},
		{
			name:  "encrypted user data",
			facts: intake.Facts{App: app(func(a *eve.AppInstanceConfig) { a.IsCipher = true })},
			want: with(func(i *instance.Instance) {
				i.UserDataFault = "user data is encrypted and there is no key to read it"
			}),
		},
		{
			name:  "user data that was taken out because the config is in error",
			facts: intake.Facts{App: app(func(a *eve.AppInstanceConfig) { a.Errors = []string{"too large"} })},
			want: with(func(i *instance.Instance) {
				i.UserDataFault = "configuration of the app instance is in error: too large"
			}),
		},
		{
			name:  "no metadata wanted",
			facts: intake.Facts{App: app(func(a *eve.AppInstanceConfig) { a.MetaDataType = eve.MetaDataNone })},
			want:  with(func(i *instance.Instance) { i.Drive, i.HTTP = instance.DriveNone, false }),
		},
		{
			name:  "OpenStack has no drive",
			facts: intake.Facts{App: app(func(a *eve.AppInstanceConfig) { a.MetaDataType = eve.MetaDataOpenStack })},
			want:  with(func(i *instance.Instance) { i.Drive = instance.DriveNone }),
		},
		{
			name:  "multipart",
			facts: intake.Facts{App: app(func(a *eve.AppInstanceConfig) { a.MetaDataType = eve.MetaDataDriveMultipart })},
			want:  with(func(i *instance.Instance) { i.Drive = instance.DriveNoCloudMultipart }),
		},
		{
			name:  "a type from the future has no drive",
			facts: intake.Facts{App: app(func(a *eve.AppInstanceConfig) { a.MetaDataType = 9 })},
			want:  with(func(i *instance.Instance) { i.Drive = instance.DriveNone }),
		},
		{
			name:  "a name of which no letter can be in a hostname",
			facts: intake.Facts{App: app(func(a *eve.AppInstanceConfig) { a.DisplayName = "测试" })},
			want:  with(func(i *instance.Instance) { i.Name, i.Hostname = "测试", appID }),
		},
		{
			name:  "a name that is too long for a hostname",
			facts: intake.Facts{App: app(func(a *eve.AppInstanceConfig) { a.DisplayName = strings.Repeat("a", 62) + "--b" })},
			want: with(func(i *instance.Instance) {
				i.Name, i.Hostname = strings.Repeat("a", 62)+"--b", strings.Repeat("a", 62)
			}),
		},
		{
			name:  "a container",
			facts: intake.Facts{App: app(func(a *eve.AppInstanceConfig) { a.FixedResources.VirtualizationMode = eve.VmModeNoHyper })},
			want:  with(func(i *instance.Instance) { i.Container = true }),
		},
		{
			name: "processors that are pinned",
			facts: intake.Facts{Architecture: "arm64", App: app(func(a *eve.AppInstanceConfig) {
				a.FixedResources.VCpus, a.FixedResources.CPUsPinned = 3, true
			})},
			want: with(func(i *instance.Instance) { i.Architecture, i.DedicatedCPUs = "arm64", []int{0, 1, 2} }),
		},
		{
			name:  "processors that are shared",
			facts: intake.Facts{App: app(func(a *eve.AppInstanceConfig) { a.FixedResources.VCpus = 3 })},
			want:  &base,
		},
		{
			name: "more processors than anybody has",
			facts: intake.Facts{App: app(func(a *eve.AppInstanceConfig) {
				a.FixedResources.VCpus, a.FixedResources.CPUsPinned = 1025, true
			})},
			want: &base,
		},
		{
			name:  "ConfigDrive in place of NoCloud's",
			facts: intake.Facts{App: app(nil), Metadata: eve.InstanceMetadata{Drive: eve.DriveConfig}},
			want:  with(func(i *instance.Instance) { i.Drive = instance.DriveConfig }),
		},
		{
			name:  "an unknown drive is the one of EVE",
			facts: intake.Facts{App: app(nil), Metadata: eve.InstanceMetadata{Drive: "floppy"}},
			want:  &base,
		},
		{
			name: "ConfigDrive where EVE wants no drive",
			facts: intake.Facts{
				App:      app(func(a *eve.AppInstanceConfig) { a.MetaDataType = eve.MetaDataOpenStack }),
				Metadata: eve.InstanceMetadata{Drive: eve.DriveConfig},
			},
			want: with(func(i *instance.Instance) { i.Drive = instance.DriveNone }),
		},
		{
			name: "ConfigDrive where the parts of a MIME message are wanted",
			facts: intake.Facts{
				App:      app(func(a *eve.AppInstanceConfig) { a.MetaDataType = eve.MetaDataDriveMultipart }),
				Metadata: eve.InstanceMetadata{Drive: eve.DriveConfig},
			},
			want: with(func(i *instance.Instance) { i.Drive = instance.DriveNoCloudMultipart }),
		},
		{
			name: "a password beside user data that cannot be read",
			facts: intake.Facts{
				App:      app(func(a *eve.AppInstanceConfig) { a.IsCipher = true }),
				Metadata: eve.InstanceMetadata{Password: "sesame", Datasource: "cloudstack"},
			},
			want: with(func(i *instance.Instance) {
				i.UserDataFault = "user data is encrypted and there is no key to read it"
				i.Password, i.Datasource = instance.Opaque("sesame"), "cloudstack"
			}),
		},
		{
			name: "our own topic",
			facts: intake.Facts{App: app(nil), Metadata: eve.InstanceMetadata{
				Hostname: "gw", Domain: ".Edge.Example.", LaunchIndex: 2, AvailabilityZone: "hall-7", Region: "plant",
				ProjectID: "p-1", InstanceType: "small", Image: "debian-12",
				SSHKeys:    []eve.SSHKey{{Name: "a=b", PublicKey: "ssh-ed25519 AAAA one\n"}, {PublicKey: "ssh-rsa CCCC"}},
				VendorData: []byte("#cloud-config"), VendorData2: []byte("two"),
				Tags: map[string]string{"role": "gw"}, SecurityGroups: []string{"default"},
				BlockDevices: []eve.BlockDevice{{Name: "root", Device: "/dev/vda", Bus: "virtio", Serial: "s", Tags: []string{"t"}}},
				Files:        []eve.InjectedFile{{Path: "/etc/motd", Content: []byte("hi")}},
			}},
			want: with(func(i *instance.Instance) {
				i.Hostname, i.Domain, i.LaunchIndex = "gw", "edge.example", 2
				i.AvailabilityZone, i.Region, i.ProjectID = "hall-7", "plant", "p-1"
				i.InstanceType, i.Image = "small", "debian-12"
				i.Keys = []instance.Key{{Name: "a=b", Data: "ssh-ed25519 AAAA one\n"}, {Data: "ssh-rsa CCCC"}}
				i.VendorData, i.VendorData2 = instance.Opaque("#cloud-config"), instance.Opaque("two")
				i.Tags, i.SecurityGroups = map[string]string{"role": "gw"}, []string{"default"}
				i.BlockDevices = []instance.BlockDevice{{Name: "root", Device: "/dev/vda", Bus: "virtio", Serial: "s", Tags: []string{"t"}}}
				i.Files = []instance.File{{Path: "/etc/motd", Content: instance.Opaque("hi")}}
			}),
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, intake.Join(test.facts)); diff != "" {
				t.Errorf("Join (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJoinAdapters(t *testing.T) {
	t.Parallel()
	blue := network(blueID, "10.11.12.0/24", "10.11.12.1", func(n *eve.NetworkInstanceStatus) {
		n.MTU, n.DomainName = 1400, "blue.example"
		n.DnsServers = []net.IP{net.ParseIP("10.11.12.1")}
		n.StaticRoutes = []eve.IPRouteConfig{
			{DstNetwork: cidr("192.0.2.0/24"), Gateway: net.ParseIP("10.11.12.9")},
			{DstNetwork: cidr("198.51.100.0/24")}, // through a port of the device: not the guest's business
		}
	})
	six := network(v6ID, "fd00:1::/64", "fd00:1::1", nil)
	mac := net.HardwareAddr{2, 0x16, 0x3e, 0, 0, 1}
	const macText = "02:16:3e:00:00:01"
	onBlue := instance.Adapter{
		Name: "eth0", Network: blueID, NetworkName: "net 1", MAC: mac, MTU: 1400,
		IPv4: instance.Addressing{
			Method: instance.DHCP, Address: netip.MustParsePrefix("10.11.12.2/24"), Gateway: netip.MustParseAddr("10.11.12.1"),
			Routes: []instance.Route{{Dst: netip.MustParsePrefix("192.0.2.0/24"), Via: netip.MustParseAddr("10.11.12.9")}},
		},
		Nameservers: []netip.Addr{netip.MustParseAddr("10.11.12.1")}, Search: []string{"blue.example"},
	}
	static := onBlue
	static.MTU, static.Tags = 9000, []string{"lan"}
	static.IPv4.Method = instance.Static
	static.IPv4.Routes = []instance.Route{{Dst: netip.MustParsePrefix("192.0.2.0/24"), Via: netip.MustParseAddr("10.11.12.8")}}
	static.Nameservers, static.Search = []netip.Addr{netip.MustParseAddr("9.9.9.9")}, []string{"x.example"}
	tests := []struct {
		name    string
		adapter eve.AppNetAdapterStatus
		network eve.NetworkInstanceStatus
		said    eve.NetworkMetadata
		told    eve.AdapterMetadata
		want    []instance.Adapter
	}{
		{name: "DHCP", adapter: vif("eth0", blueID, macText, addr("10.11.12.2", eve.AddressSourceInternalDHCP)), network: blue,
			want: []instance.Adapter{onBlue}},
		{name: "what the adapter was given goes before what the network has",
			adapter: vif("eth0", blueID, macText, addr("10.11.12.2", eve.AddressSourceInternalDHCP)), network: blue,
			told: eve.AdapterMetadata{
				Name: "eth0", StaticIPv4: true, MTU: 9000, Tags: []string{"lan"},
				DNSServers: []net.IP{net.ParseIP("9.9.9.9")}, SearchDomains: []string{"x.example"},
				Routes: []eve.Route{
					{Dst: cidr("192.0.2.0/24"), Gateway: net.ParseIP("10.11.12.8")},
					{Dst: cidr("fd01::/64"), Gateway: net.ParseIP("fd00::1")}, // no IPv6 here
					{Dst: cidr("192.0.3.0/24"), Gateway: net.ParseIP("fd00::1")},
				},
			},
			want: []instance.Adapter{static}},
		{name: "IPv6", adapter: vif("eth0", v6ID, macText, addr("fd00:1::5", eve.AddressSourceInternalDHCP)), network: six,
			want: []instance.Adapter{{Name: "eth0", Network: v6ID, NetworkName: "net 6", MAC: mac,
				IPv6: instance.Addressing{Method: instance.DHCP, Address: netip.MustParsePrefix("fd00:1::5/64"), Gateway: netip.MustParseAddr("fd00:1::1")}}}},
		{name: "SLAAC", adapter: vif("eth0", v6ID, macText, addr("fd00:1::5", eve.AddressSourceSLAAC)), network: six,
			want: []instance.Adapter{{Name: "eth0", Network: v6ID, NetworkName: "net 6", MAC: mac,
				IPv6: instance.Addressing{Method: instance.SLAAC, Address: netip.MustParsePrefix("fd00:1::5/64"), Gateway: netip.MustParseAddr("fd00:1::1")}}}},
		{name: "an address outside of the subnet stands alone",
			adapter: vif("eth0", v6ID, macText, addr("fd00:9::5", eve.AddressSourceStatic)), network: six,
			want: []instance.Adapter{{Name: "eth0", Network: v6ID, NetworkName: "net 6", MAC: mac,
				IPv6: instance.Addressing{Method: instance.Static, Address: netip.MustParsePrefix("fd00:9::5/128"), Gateway: netip.MustParseAddr("fd00:1::1")}}}},
		{name: "a switch: somebody else's DHCP", adapter: vif("eth0", blueID, macText), network: network(blueID, "", "", nil),
			want: []instance.Adapter{{Name: "eth0", Network: blueID, NetworkName: "net 1", MAC: mac,
				IPv4: instance.Addressing{Method: instance.DHCP}}}},
		{name: "an adapter that is not there is not spoken of", adapter: vif("eth0", blueID, ""), network: blue},
		{name: "in a namespace of others it is there all the same", adapter: vif("eth0", blueID, ""), network: network(blueID, "", "", nil),
			said: eve.NetworkMetadata{Namespace: "/run/netns/pod"},
			want: []instance.Adapter{{Name: "eth0", Network: blueID, NetworkName: "net 1", IPv4: instance.Addressing{Method: instance.DHCP}}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := intake.Facts{
				App:             app(nil),
				Metadata:        eve.InstanceMetadata{Domain: "d.example", Adapters: []eve.AdapterMetadata{test.told}},
				Status:          eve.AppNetworkStatus{AppNetAdapterList: []eve.AppNetAdapterStatus{test.adapter}},
				Networks:        map[uuid.UUID]eve.NetworkInstanceStatus{test.adapter.Network: test.network},
				NetworkMetadata: map[uuid.UUID]eve.NetworkMetadata{test.adapter.Network: test.said},
			}
			opts := cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}
			if diff := cmp.Diff(test.want, intake.Join(f).Adapters, opts); diff != "" {
				t.Errorf("adapters (-want +got):\n%s", diff)
			}
		})
	}
}

// TestJoinFamilies: how an adapter is addressed in both families, by what its network has and what is known of its leases.
func TestJoinFamilies(t *testing.T) {
	t.Parallel()
	local := func(subnet, gateway string) eve.NetworkInstanceStatus {
		return network(blueID, subnet, gateway, func(n *eve.NetworkInstanceStatus) {
			n.Type, n.DnsServers = eve.NetworkInstanceTypeLocal, []net.IP{net.ParseIP("9.9.9.9")}
		})
	}
	four, six := local("10.11.12.0/24", "10.11.12.1"), local("fd00:1::/64", "fd00:1::1")
	also6 := eve.NetworkMetadata{Subnet6: cidr("fd00:12::/64")}
	and := func(m eve.NetworkMetadata, change func(*eve.NetworkMetadata)) eve.NetworkMetadata {
		change(&m)
		return m
	}
	slaac := func(m *eve.NetworkMetadata) { m.SLAAC = true }
	lease4, lease6 := addr("10.11.12.2", eve.AddressSourceInternalDHCP), addr("fd00:12::2", eve.AddressSourceInternalDHCP)
	lone6 := addr("fd00:1::2", eve.AddressSourceInternalDHCP)
	tests := []struct {
		name     string
		network  eve.NetworkInstanceStatus
		said     eve.NetworkMetadata
		assigned []eve.AssignedAddr
		told     eve.AdapterMetadata
		want     string
	}{
		{name: "IPv4", network: four, assigned: []eve.AssignedAddr{lease4},
			want: "dhcp 10.11.12.2/24 via 10.11.12.1, none, dns [10.11.12.1]"},
		{name: "dual stack", network: four, said: also6, assigned: []eve.AssignedAddr{lease4, lease6},
			want: "dhcp 10.11.12.2/24 via 10.11.12.1, dhcp fd00:12::2/64 via fd00:12::1, dns [10.11.12.1 fd00:12::1]"},
		{name: "dual stack, SLAAC", network: four, said: and(also6, slaac), assigned: []eve.AssignedAddr{lease4, lease6},
			want: "dhcp 10.11.12.2/24 via 10.11.12.1, slaac fd00:12::2/64 via fd00:12::1, dns [10.11.12.1 fd00:12::1]"},
		{name: "dual stack, SLAAC, static", network: four, said: and(also6, slaac), assigned: []eve.AssignedAddr{lease4, lease6},
			told: eve.AdapterMetadata{StaticIPv4: true, StaticIPv6: true},
			want: "static 10.11.12.2/24 via 10.11.12.1, static fd00:12::2/64 via fd00:12::1, dns [10.11.12.1 fd00:12::1]"},
		{name: "dual stack, its leases are not known yet", network: four, said: also6,
			want: "dhcp via 10.11.12.1, dhcp via fd00:12::1, dns [10.11.12.1 fd00:12::1]"},
		{name: "dual stack, static without addresses", network: four, said: also6,
			told: eve.AdapterMetadata{StaticIPv4: true, StaticIPv6: true}, want: "none, none, dns []"},
		{name: "dual stack, one family static without an address", network: four, said: also6, assigned: []eve.AssignedAddr{lease4},
			told: eve.AdapterMetadata{StaticIPv6: true}, want: "dhcp 10.11.12.2/24 via 10.11.12.1, none, dns [10.11.12.1]"},
		{name: "dual stack, another router", network: four, assigned: []eve.AssignedAddr{lease4, lease6},
			said: and(also6, func(m *eve.NetworkMetadata) { m.Gateway6 = net.ParseIP("fd00:12::fe") }),
			want: "dhcp 10.11.12.2/24 via 10.11.12.1, dhcp fd00:12::2/64 via fd00:12::fe, dns [10.11.12.1 fd00:12::fe]"},
		{name: "IPv6 alone", network: six, assigned: []eve.AssignedAddr{lone6},
			want: "none, dhcp fd00:1::2/64 via fd00:1::1, dns [fd00:1::1]"},
		{name: "IPv6 alone, SLAAC", network: six, said: eve.NetworkMetadata{SLAAC: true}, assigned: []eve.AssignedAddr{lone6},
			want: "none, slaac fd00:1::2/64 via fd00:1::1, dns [fd00:1::1]"},
		{name: "IPv6 alone, SLAAC, address not known", network: six, said: eve.NetworkMetadata{SLAAC: true},
			want: "none, slaac via fd00:1::1, dns [fd00:1::1]"},
		{name: "no server for names", network: four, said: eve.NetworkMetadata{NoDNS: true}, assigned: []eve.AssignedAddr{lease4},
			want: "dhcp 10.11.12.2/24 via 10.11.12.1, none, dns [9.9.9.9]"},
		{name: "a bridge of EVE's", network: four, said: eve.NetworkMetadata{Bridge: "bn1"}, assigned: []eve.AssignedAddr{lease4},
			want: "dhcp 10.11.12.2/24 via 10.11.12.1, none, dns [9.9.9.9]"},
		{name: "servers of its own", network: four, assigned: []eve.AssignedAddr{lease4},
			told: eve.AdapterMetadata{DNSServers: []net.IP{net.ParseIP("192.0.2.53")}},
			want: "dhcp 10.11.12.2/24 via 10.11.12.1, none, dns [192.0.2.53]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.told.Name = "eth0"
			a := intake.Join(intake.Facts{
				App:             app(nil),
				Metadata:        eve.InstanceMetadata{Adapters: []eve.AdapterMetadata{test.told}},
				Status:          eve.AppNetworkStatus{AppNetAdapterList: []eve.AppNetAdapterStatus{vif("eth0", blueID, "02:16:3e:00:00:01", test.assigned...)}},
				Networks:        map[uuid.UUID]eve.NetworkInstanceStatus{uuid.MustParse(blueID): test.network},
				NetworkMetadata: map[uuid.UUID]eve.NetworkMetadata{uuid.MustParse(blueID): test.said},
			}).Adapters[0]
			got := fmt.Sprintf("%s, %s, dns %v", words(a.IPv4), words(a.IPv6), a.Nameservers)
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// words says how an adapter is addressed in one family.
func words(a instance.Addressing) string {
	text := [...]string{instance.None: "none", instance.Static: "static", instance.DHCP: "dhcp", instance.SLAAC: "slaac"}[a.Method]
	if a.Address.IsValid() {
		text += " " + a.Address.String()
	}
	if a.Gateway.IsValid() {
		text += " via " + a.Gateway.String()
	}
	return text
}

// Names are looked up in the network's domain first, unless the adapter has its own.
func TestJoinSearch(t *testing.T) {
	t.Parallel()
	f := bondable()
	f.NetworkMetadata[uuid.MustParse(blueID)] = eve.NetworkMetadata{
		SearchDomains: []string{"Plant.Example.", "blue.example", "..", "corp.example"},
	}
	f.Metadata.Adapters = append(f.Metadata.Adapters, eve.AdapterMetadata{Name: "eth1", SearchDomains: []string{"own.example"}})
	adapters := intake.Join(f).Adapters
	for i, want := range [][]string{{"blue.example", "plant.example", "corp.example"}, {"own.example"}, nil} {
		if diff := cmp.Diff(want, adapters[i].Search); diff != "" {
			t.Errorf("adapter %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestJoinTokens(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		said  eve.NetworkMetadata
		want  instance.TokenPolicy
		limit int
	}{
		{"nothing said", eve.NetworkMetadata{}, instance.TokensOptional, 0},
		{"optional", eve.NetworkMetadata{Tokens: eve.TokensOptional, HopLimit: 1}, instance.TokensOptional, 1},
		{"required", eve.NetworkMetadata{Tokens: eve.TokensRequired, HopLimit: 64}, instance.TokensRequired, 64},
		{"off", eve.NetworkMetadata{Tokens: eve.TokensOff}, instance.TokensOff, 0},
		{"a word from the future", eve.NetworkMetadata{Tokens: "signed", HopLimit: 255}, instance.TokensRequired, 64},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := bondable()
			f.NetworkMetadata = map[uuid.UUID]eve.NetworkMetadata{uuid.MustParse(blueID): test.said}
			adapters := intake.Join(f).Adapters
			if a := adapters[0]; a.Tokens != test.want || a.HopLimit != test.limit {
				t.Errorf("got %v, %d, want %v, %d", a.Tokens, a.HopLimit, test.want, test.limit)
			}
			if a := adapters[2]; a.Tokens != instance.TokensOptional || a.HopLimit != 0 {
				t.Errorf("another network has %v, %d", a.Tokens, a.HopLimit)
			}
		})
	}
}

// bondable are the facts of an app with two adapters in a network, one in another and one that is not there.
func bondable() intake.Facts {
	f := intake.Facts{
		App:      app(nil),
		Metadata: eve.InstanceMetadata{Adapters: []eve.AdapterMetadata{{Name: "eth0", Tags: []string{"lan"}}}},
		Status: eve.AppNetworkStatus{AppNetAdapterList: []eve.AppNetAdapterStatus{
			vif("eth0", blueID, "02:16:3e:00:00:01", addr("10.11.12.2", eve.AddressSourceInternalDHCP)),
			vif("eth1", blueID, "02:16:3e:00:00:02", addr("10.11.12.3", eve.AddressSourceInternalDHCP)),
			vif("eth2", v6ID, "02:16:3e:00:00:03", addr("fd00:1::5", eve.AddressSourceInternalDHCP)),
			vif("eth3", blueID, ""),
		}},
		Networks: map[uuid.UUID]eve.NetworkInstanceStatus{
			uuid.MustParse(blueID): network(blueID, "10.11.12.0/24", "10.11.12.1", func(n *eve.NetworkInstanceStatus) {
				n.MTU, n.DomainName, n.DnsServers = 1400, "blue.example", []net.IP{net.ParseIP("10.11.12.1")}
			}),
			uuid.MustParse(v6ID): network(v6ID, "fd00:1::/64", "fd00:1::1", nil),
		},
		NetworkMetadata: map[uuid.UUID]eve.NetworkMetadata{uuid.MustParse(blueID): {Tokens: eve.TokensRequired, HopLimit: 1}},
	}
	f.Status.AppNetAdapterList[0].VifUsed = "nb1"
	return f
}

// TestJoinLinks: what a guest makes of its cards follows them, and they stay as they are.
func TestJoinLinks(t *testing.T) {
	t.Parallel()
	cards := intake.Join(bondable()).Adapters
	prefix := func(s string) *net.IPNet {
		ip, n, err := net.ParseCIDR(s)
		if err != nil {
			t.Fatal(err)
		}
		n.IP = ip
		return n
	}
	bondOf := func(card instance.Adapter, name string, mtu int, over ...string) instance.Adapter {
		card.Kind, card.Name, card.Over, card.BondMode, card.MTU = instance.Bond, name, over, "802.3ad", mtu
		card.Port, card.Tags = "", nil
		return card
	}
	tests := []struct {
		name  string
		bonds []eve.BondMetadata
		vlans []eve.VLANMetadata
		want  []instance.Adapter
	}{
		{name: "none"},
		{
			name:  "a bond has the network and the addressing of its first card",
			bonds: []eve.BondMetadata{{Name: "up", Mode: "802.3ad", Adapters: []string{"eth1", "eth0"}}},
			want:  []instance.Adapter{bondOf(cards[1], "up", 1400, "eth1", "eth0")},
		},
		{
			name:  "its own MTU, and the first card that is there",
			bonds: []eve.BondMetadata{{Name: "up", Mode: "802.3ad", Adapters: []string{"eth3", "eth2"}, MTU: 9000}},
			want:  []instance.Adapter{bondOf(cards[2], "up", 9000, "eth3", "eth2")},
		},
		{
			name: "a bond is no card of another",
			bonds: []eve.BondMetadata{
				{Name: "up", Mode: "802.3ad", Adapters: []string{"eth0"}}, {Name: "down", Mode: "802.3ad", Adapters: []string{"up"}},
			},
			want: []instance.Adapter{bondOf(cards[0], "up", 1400, "eth0"), bondOf(instance.Adapter{}, "down", 0, "up")},
		},
		{
			name:  "VLANs with fixed addresses, and with methods",
			bonds: []eve.BondMetadata{{Name: "up", Mode: "802.3ad", Adapters: []string{"eth0"}, MTU: 9000}},
			vlans: []eve.VLANMetadata{
				{
					Name: "backup", On: "up", ID: 42, MTU: 1500, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 42},
					IPv4:       eve.VLANAddress{Method: eve.MethodStatic, Address: prefix("10.42.0.9/24"), Gateway: net.ParseIP("10.42.0.1")},
					IPv6:       eve.VLANAddress{Method: eve.MethodStatic, Address: prefix("fd00:42::9/64"), Gateway: net.ParseIP("fe80::1")},
					Routes:     []eve.Route{{Dst: cidr("10.43.0.0/16"), Gateway: net.ParseIP("10.42.0.2")}, {Dst: cidr("fd00:43::/64"), Gateway: net.ParseIP("fd00:42::2")}},
					DNSServers: []net.IP{net.ParseIP("10.42.0.53")}, SearchDomains: []string{"backup.example"},
				},
				{
					Name: "up.7", On: "up", ID: 7,
					IPv4: eve.VLANAddress{Method: eve.MethodDHCP}, IPv6: eve.VLANAddress{Method: eve.MethodSLAAC},
				},
				{
					Name: "eth0.8", On: "nowhere", ID: 8, IPv4: eve.VLANAddress{Method: "bootp", Gateway: net.ParseIP("10.8.0.1")},
					Routes: []eve.Route{{Dst: cidr("10.9.0.0/16"), Gateway: net.ParseIP("10.8.0.2")}},
				},
			},
			want: []instance.Adapter{
				bondOf(cards[0], "up", 9000, "eth0"),
				{
					Kind: instance.VLAN, Name: "backup", Over: []string{"up"}, VLAN: 42, MTU: 1500, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 42},
					IPv4: instance.Addressing{
						Method: instance.Static, Address: netip.MustParsePrefix("10.42.0.9/24"), Gateway: netip.MustParseAddr("10.42.0.1"),
						Routes: []instance.Route{{Dst: netip.MustParsePrefix("10.43.0.0/16"), Via: netip.MustParseAddr("10.42.0.2")}},
					},
					IPv6: instance.Addressing{
						Method: instance.Static, Address: netip.MustParsePrefix("fd00:42::9/64"), Gateway: netip.MustParseAddr("fe80::1"),
						Routes: []instance.Route{{Dst: netip.MustParsePrefix("fd00:43::/64"), Via: netip.MustParseAddr("fd00:42::2")}},
					},
					Nameservers: []netip.Addr{netip.MustParseAddr("10.42.0.53")}, Search: []string{"backup.example"},
				},
				{
					Kind: instance.VLAN, Name: "up.7", Over: []string{"up"}, VLAN: 7, MTU: 9000,
					IPv4: instance.Addressing{Method: instance.DHCP}, IPv6: instance.Addressing{Method: instance.SLAAC},
				},
				{Kind: instance.VLAN, Name: "eth0.8", Over: []string{"nowhere"}, VLAN: 8},
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := bondable()
			f.Metadata.Bonds, f.Metadata.VLANs = test.bonds, test.vlans
			inst := intake.Join(f)
			want := slices.Concat(cards, test.want)
			if diff := cmp.Diff(want, inst.Adapters, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
				t.Errorf("adapters (-want +got):\n%s", diff)
			}
			keys := intake.Keys(&instance.Instance{Adapters: cards})
			if diff := cmp.Diff(keys, intake.Keys(inst), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("known by other addresses (-without links +with):\n%s", diff)
			}
		})
	}
}

func TestJoinDomainOfNetwork(t *testing.T) {
	t.Parallel()
	f := intake.Facts{
		App:    app(nil),
		Status: eve.AppNetworkStatus{AppNetAdapterList: []eve.AppNetAdapterStatus{vif("eth0", blueID, "02:16:3e:00:00:01")}},
		Networks: map[uuid.UUID]eve.NetworkInstanceStatus{
			uuid.MustParse(blueID): network(blueID, "", "", func(n *eve.NetworkInstanceStatus) { n.DomainName = "blue.example" }),
		},
	}
	if got := intake.Join(f).FQDN(); got != "web-gw-1.blue.example" {
		t.Errorf("FQDN = %q", got)
	}
}

func TestRandomSeed(t *testing.T) {
	t.Parallel()
	seed := func(secret string, id string) string {
		f := intake.Facts{App: app(func(a *eve.AppInstanceConfig) { a.UUIDandVersion.UUID = uuid.MustParse(id) }), Secret: []byte(secret)}
		return base64.StdEncoding.EncodeToString(intake.Join(f).RandomSeed)
	}
	one := seed("device one", appID)
	if len(one) != 684 { // as many characters as Nova's
		t.Errorf("seed of %d characters", len(one))
	}
	if one != seed("device one", appID) {
		t.Error("the same instance has two seeds")
	}
	if one == seed("device two", appID) || one == seed("device one", blueID) {
		t.Error("two instances have one seed")
	}
	if got := intake.Join(intake.Facts{App: app(nil)}).RandomSeed; got != nil {
		t.Errorf("a seed without a secret: %v", got)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	mac := net.HardwareAddr{2, 0x16, 0x3e, 0, 0, 1}
	inst := &instance.Instance{Adapters: []instance.Adapter{
		{
			Network: "a", MAC: mac,
			IPv4: instance.Addressing{Address: netip.MustParsePrefix("10.0.0.5/24")},
			IPv6: instance.Addressing{Address: netip.MustParsePrefix("fd00::5/64")},
		},
		{Network: "b", MAC: mac},
		{Network: "c", MAC: make(net.HardwareAddr, 20)},
		{Kind: instance.Bond, Network: "d", MAC: mac},
		{Kind: instance.VLAN, IPv4: instance.Addressing{Address: netip.MustParsePrefix("10.0.0.6/24")}},
	}}
	want := []string{"a", "a 02:16:3e:00:00:01", "a 10.0.0.5", "a fd00::5", "b", "b 02:16:3e:00:00:01", "c"}
	var got []string
	for _, k := range intake.Keys(inst) {
		got = append(got, k.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Keys (-want +got):\n%s", diff)
	}
}
