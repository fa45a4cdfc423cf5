// SPDX-License-Identifier: Apache-2.0

package devconfig_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-api/go/evecommon"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/feed"
	"github.com/lf-edge/eve-metadata/pkg/feed/devconfig"
)

var update = flag.Bool("update", false, "write the golden files anew")

func fromJSON(t *testing.T, text []byte) *config.EdgeDevConfig {
	t.Helper()
	var c config.EdgeDevConfig
	if err := protojson.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return &c
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// asJSON returns what is published for v, laid out like the recorded topics.
func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestRecordedTopics: the message in testdata/device.json means what EVE's zedagent, and of AppNetworkConfig zedmanager, has
// published in testdata/want.
func TestRecordedTopics(t *testing.T) {
	t.Parallel()
	set, errs := devconfig.Parse(fromJSON(t, readFile(t, "testdata/device.json")))
	if len(errs) > 0 {
		t.Fatalf("problems: %v", errs)
	}
	got := map[string]string{}
	for key, a := range set.Apps {
		// All recorded apps share the list of volumes that was made for the first of them.
		for i := range a.VolumeRefConfigList {
			a.VolumeRefConfigList[i].AppUUID[15] = 1
		}
		got["AppInstanceConfig/"+key] = asJSON(t, a)
	}
	for key, n := range set.Networks {
		got["NetworkInstanceConfig/"+key] = asJSON(t, n)
	}
	for key, a := range set.AppNetworks {
		got["AppNetworkConfig/"+key] = asJSON(t, a)
	}
	for key, c := range set.CipherContexts {
		got["CipherContext/"+key] = asJSON(t, c)
	}
	for key, n := range set.Node {
		got["EdgeNodeInfo/"+key] = asJSON(t, n)
	}
	files, err := filepath.Glob("testdata/want/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, name := range files {
		key := filepath.Base(filepath.Dir(name)) + "/" + strings.TrimSuffix(filepath.Base(name), ".json")
		want[key] = strings.TrimSpace(string(readFile(t, name)))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("topics (-want +got):\n%s", diff)
	}
}

// TestController reads a message as the Adam controller sends it.
func TestController(t *testing.T) {
	t.Parallel()
	var c config.EdgeDevConfig
	if err := proto.Unmarshal(readFile(t, "testdata/config.pb"), &c); err != nil {
		t.Fatal(err)
	}
	set, errs := devconfig.Parse(&c)
	if len(errs) > 0 {
		t.Errorf("problems: %v", errs)
	}
	golden(t, "testdata/config.golden.json", set)
}

func golden(t *testing.T, name string, set feed.Set) {
	t.Helper()
	got := asJSON(t, set) + "\n"
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(readFile(t, name)), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

const (
	appID = "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001"
	netID = "a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1001"
)

// oneApp is a message with one app, one network and the given parts.
func oneApp(change func(*config.EdgeDevConfig, *config.AppInstanceConfig, *config.NetworkInstanceConfig)) *config.EdgeDevConfig {
	a := &config.AppInstanceConfig{
		Uuidandversion: &config.UUIDandVersion{Uuid: appID, Version: "1"}, Displayname: "web",
		Interfaces: []*config.NetworkAdapter{{Name: "eth0", NetworkId: netID}},
	}
	n := &config.NetworkInstanceConfig{
		Uuidandversion: &config.UUIDandVersion{Uuid: netID, Version: "1"}, Displayname: "blue",
		InstType: config.ZNetworkInstType_ZnetInstLocal, IpType: config.AddressType_IPV4,
		Ip: &evecommon.Ipspec{Subnet: "10.11.12.0/24"},
	}
	c := &config.EdgeDevConfig{
		Apps: []*config.AppInstanceConfig{a}, NetworkInstances: []*config.NetworkInstanceConfig{n},
		ConfigTimestamp: timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
	}
	change(c, a, n)
	return c
}

// TestProblems: what is wrong is named, and published as far as EVE would.
func TestProblems(t *testing.T) {
	t.Parallel()
	type (
		C = config.EdgeDevConfig
		A = config.AppInstanceConfig
		N = config.NetworkInstanceConfig
	)
	const noNetwork = `adapter "eth0": there is no network instance "red"`
	for _, tt := range []struct {
		name       string
		change     func(*C, *A, *N)
		want       []string
		apps, nets int
		appErrors  []string
		netError   string
	}{
		{"nothing", func(*C, *A, *N) {}, nil, 1, 1, nil, ""},
		{"app without UUID", func(_ *C, a *A, _ *N) { a.Uuidandversion = nil },
			[]string{`app 0 "web": "" is not a UUID`}, 0, 1, nil, ""},
		{"app with bad UUID", func(_ *C, a *A, _ *N) { a.Uuidandversion.Uuid = "web" },
			[]string{`app 0 "web": "web" is not a UUID`}, 0, 1, nil, ""},
		{"app twice", func(c *C, a *A, _ *N) { c.Apps = append(c.Apps, a) },
			[]string{`app 1 "web": UUID ` + appID + ` is given twice`}, 1, 1, nil, ""},
		{"nil app", func(c *C, _ *A, _ *N) { c.Apps[0] = nil },
			[]string{`app 0 "": "" is not a UUID`}, 0, 1, nil, ""},
		{"unknown network", func(_ *C, a *A, _ *N) { a.Interfaces[0].NetworkId = "red" },
			[]string{`app 0 "web": ` + noNetwork}, 1, 1, []string{noNetwork}, ""},
		{"bad MAC", func(_ *C, a *A, _ *N) { a.Interfaces[0].MacAddress = "zz" },
			[]string{`app 0 "web": adapter "eth0": "zz" is not a MAC address`}, 1, 1, []string{`adapter "eth0": "zz" is not a MAC address`}, ""},
		{"bad address", func(_ *C, a *A, _ *N) { a.Interfaces[0].Addr = "zz" },
			[]string{`app 0 "web": adapter "eth0": "zz" is not an IP address`}, 1, 1, []string{`adapter "eth0": "zz" is not an IP address`}, ""},
		{"bad volume", func(_ *C, a *A, _ *N) { a.VolumeRefList = []*config.VolumeRef{{Uuid: "v"}} },
			[]string{`app 0 "web": volume 0: "v" is not a UUID`}, 1, 1, nil, ""},
		{"bad VLAN", func(_ *C, a *A, _ *N) {
			a.Adapters = []*config.Adapter{{Name: "vf", Type: evecommon.PhyIoType_PhyIoNetEthVF, EthVf: &config.EthVF{VlanId: 5000}}}
		}, []string{`app 0 "web": adapter "vf": 5000 is not a VLAN`}, 1, 1, nil, ""},
		{"unknown context", func(_ *C, a *A, _ *N) {
			a.CipherData = &evecommon.CipherBlock{CipherContextId: "c", CipherData: []byte("x")}
		}, []string{`app 0 "web": there is no cipher context "c"`}, 1, 1, nil, ""},
		{"context without an ID", func(c *C, _ *A, _ *N) { c.CipherContexts = []*evecommon.CipherContext{{}} },
			[]string{"cipher context 0: it has no ID"}, 1, 1, nil, ""},
		{"context twice", func(c *C, _ *A, _ *N) {
			c.CipherContexts = []*evecommon.CipherContext{{ContextId: "c"}, {ContextId: "c"}}
		}, []string{`cipher context 1: ID "c" is given twice`}, 1, 1, nil, ""},
		{"bad project", func(c *C, _ *A, _ *N) {
			c.Id, c.ProjectName, c.ProjectId = &config.UUIDandVersion{Uuid: appID}, "plant", "p"
		}, []string{`project "plant": "p" is not a UUID`}, 1, 1, nil, ""},
		{"network without subnet", func(_ *C, _ *A, n *N) { n.Ip = nil },
			[]string{`network instance 0 "blue": subnet "" is not in CIDR notation`}, 1, 1, nil, `subnet "" is not in CIDR notation`},
		{"network without type", func(_ *C, _ *A, n *N) { n.IpType = 0 },
			[]string{`network instance 0 "blue": a local network instance needs an address type`}, 1, 1, nil, "a local network instance needs an address type"},
		{"gateway of the other family", func(_ *C, _ *A, n *N) {
			n.IpType, n.Ip.Subnet, n.Ip.Gateway = config.AddressType_IPV6, "fd00:11:12::/64", "10.11.12.1"
		}, []string{`network instance 0 "blue": gateway 10.11.12.1 is not in fd00:11:12::/64`}, 1, 1, nil,
			"gateway 10.11.12.1 is not in fd00:11:12::/64"},
		{"small subnet", func(_ *C, _ *A, n *N) { n.Ip.Subnet = "10.11.12.0/29" },
			[]string{`network instance 0 "blue": subnet 10.11.12.0/29 has 8 addresses: more than 8 are needed`}, 1, 1, nil,
			"subnet 10.11.12.0/29 has 8 addresses: more than 8 are needed"},
		{"bad DNS", func(_ *C, _ *A, n *N) { n.Ip.Dns = []string{"a"} },
			[]string{`network instance 0 "blue": DNS server "a" is not an IP address`}, 1, 1, nil, `DNS server "a" is not an IP address`},
		{"bad record", func(_ *C, _ *A, n *N) {
			n.Dns = []*evecommon.ZnetStaticDNSEntry{{HostName: "h", Address: []string{"a"}}}
		}, []string{`network instance 0 "blue": address "a" of "h" is not an IP address`}, 1, 1, nil, ""},
		{"bad MTU and routes", func(_ *C, _ *A, n *N) {
			n.Mtu = 70000
			n.StaticRoutes = []*config.IPRoute{{DestinationNetwork: "x"}, {DestinationNetwork: "10.0.0.0/8", Gateway: "y"}}
		}, []string{
			`network instance 0 "blue": 70000 is not an MTU`,
			`network instance 0 "blue": destination "x" of a route is not in CIDR notation`,
			`network instance 0 "blue": gateway "y" of the route to 10.0.0.0/8 is not an IP address`,
		}, 1, 1, nil, "70000 is not an MTU\ndestination \"x\" of a route is not in CIDR notation\ngateway \"y\" of the route to 10.0.0.0/8 is not an IP address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set, errs := devconfig.Parse(oneApp(tt.change))
			var got []string
			for _, err := range errs {
				got = append(got, err.Error())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if len(set.Apps) != tt.apps || len(set.Networks) != tt.nets {
				t.Errorf("got %d apps and %d networks, want %d and %d", len(set.Apps), len(set.Networks), tt.apps, tt.nets)
			}
			if diff := cmp.Diff(tt.appErrors, set.Apps[appID].Errors); diff != "" {
				t.Errorf("errors of the app (-want +got):\n%s", diff)
			}
			n := set.Networks[netID]
			if n.Error != tt.netError {
				t.Errorf("error of the network: got %q, want %q", n.Error, tt.netError)
			}
			if n.Error != "" && n.ErrorTime.Format(time.RFC3339) != "2026-01-02T03:04:05Z" {
				t.Errorf("time of the error: got %v, want that of the message", n.ErrorTime)
			}
		})
	}
}

// TestRules holds the rules of zedagent that no recorded topic shows.
func TestRules(t *testing.T) {
	t.Parallel()
	adapters := func(a eve.AppInstanceConfig) (names []string) {
		for _, n := range a.AppNetAdapterList {
			names = append(names, n.Name)
		}
		return names
	}
	rule := func(id int32) []*config.ACE { return []*config.ACE{{Id: id}} }
	for _, tt := range []struct {
		name   string
		change func(*config.EdgeDevConfig, *config.AppInstanceConfig, *config.NetworkInstanceConfig)
		get    func(eve.AppInstanceConfig, eve.NetworkInstanceConfig) any
		want   any
	}{
		{"adapters of older controllers are ordered by their first rule",
			func(_ *config.EdgeDevConfig, a *config.AppInstanceConfig, _ *config.NetworkInstanceConfig) {
				a.Interfaces = []*config.NetworkAdapter{{Name: "b", NetworkId: netID, Acls: rule(9)}, {Name: "a", NetworkId: netID, Acls: rule(4)}}
			},
			func(a eve.AppInstanceConfig, _ eve.NetworkInstanceConfig) any { return adapters(a) }, []string{"a", "b"}},
		{"adapters in a mesh are left out",
			func(_ *config.EdgeDevConfig, _ *config.AppInstanceConfig, n *config.NetworkInstanceConfig) {
				n.InstType = config.ZNetworkInstType_ZnetInstMesh
			},
			func(a eve.AppInstanceConfig, _ eve.NetworkInstanceConfig) any { return adapters(a) }, []string(nil)},
		{"adapters in one network are told apart",
			func(_ *config.EdgeDevConfig, a *config.AppInstanceConfig, _ *config.NetworkInstanceConfig) {
				a.Interfaces = append(a.Interfaces, &config.NetworkAdapter{Name: "eth1", NetworkId: netID})
			},
			func(a eve.AppInstanceConfig, _ eve.NetworkInstanceConfig) any { return a.AppNetAdapterList[1].IfIdx }, uint32(1)},
		{"user data without a context is not encrypted",
			func(_ *config.EdgeDevConfig, a *config.AppInstanceConfig, _ *config.NetworkInstanceConfig) {
				a.CipherData = &evecommon.CipherBlock{CipherData: []byte("x")}
			},
			func(a eve.AppInstanceConfig, _ eve.NetworkInstanceConfig) any { return a.IsCipher }, false},
		{"another node is the designated one",
			func(_ *config.EdgeDevConfig, a *config.AppInstanceConfig, _ *config.NetworkInstanceConfig) {
				a.DesignatedNodeId = "other"
			},
			func(a eve.AppInstanceConfig, _ eve.NetworkInstanceConfig) any { return a.IsDesignatedNodeID }, false},
		{"this node is the designated one",
			func(c *config.EdgeDevConfig, a *config.AppInstanceConfig, _ *config.NetworkInstanceConfig) {
				c.Id = &config.UUIDandVersion{Uuid: "this"}
				a.DesignatedNodeId = "this"
			},
			func(a eve.AppInstanceConfig, _ eve.NetworkInstanceConfig) any { return a.IsDesignatedNodeID }, true},
		{"an unknown metadata type does not become a known one",
			func(_ *config.EdgeDevConfig, a *config.AppInstanceConfig, _ *config.NetworkInstanceConfig) {
				a.MetaDataType = 256
			},
			func(a eve.AppInstanceConfig, _ eve.NetworkInstanceConfig) any { return a.MetaDataType }, eve.MetaDataType(255)},
		{"the gateway is the first host",
			func(*config.EdgeDevConfig, *config.AppInstanceConfig, *config.NetworkInstanceConfig) {},
			func(_ eve.AppInstanceConfig, n eve.NetworkInstanceConfig) any { return n.Gateway.String() }, "10.11.12.1"},
		{"a network of IPv6 only has gateway and range in its subnet, the range no larger than EVE counts",
			func(_ *config.EdgeDevConfig, _ *config.AppInstanceConfig, n *config.NetworkInstanceConfig) {
				n.IpType = config.AddressType_IPV6
				n.Ip.Subnet = "fd00:11:12::/64"
			},
			func(_ eve.AppInstanceConfig, n eve.NetworkInstanceConfig) any { return addressing(n) },
			"IPV6 fd00:11:12::/64 by fd00:11:12::1, fd00:11:12::8000:0 to fd00:11:12::8000:ff"},
		{"what a network of IPv6 says of its addresses is kept",
			func(_ *config.EdgeDevConfig, _ *config.AppInstanceConfig, n *config.NetworkInstanceConfig) {
				n.IpType = config.AddressType_IPV6
				n.Ip = &evecommon.Ipspec{
					Subnet: "fd00:11:12::/64", Gateway: "fd00:11:12::ffff",
					DhcpRange: &evecommon.IpRange{Start: "fd00:11:12::10", End: "fd00:11:12::1f"},
				}
			},
			func(_ eve.AppInstanceConfig, n eve.NetworkInstanceConfig) any { return addressing(n) },
			"IPV6 fd00:11:12::/64 by fd00:11:12::ffff, fd00:11:12::10 to fd00:11:12::1f"},
		{"the delay is in seconds",
			func(_ *config.EdgeDevConfig, a *config.AppInstanceConfig, _ *config.NetworkInstanceConfig) {
				a.StartDelayInSeconds = 3
			},
			func(a eve.AppInstanceConfig, _ eve.NetworkInstanceConfig) any { return a.Delay }, 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set, errs := devconfig.Parse(oneApp(tt.change))
			if len(errs) > 0 {
				t.Errorf("problems: %v", errs)
			}
			if diff := cmp.Diff(tt.want, tt.get(set.Apps[appID], set.Networks[netID])); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// addressing is a network's addresses as one line.
func addressing(n eve.NetworkInstanceConfig) string {
	return fmt.Sprintf("%v %v by %v, %v to %v", n.IpType, n.Subnet, n.Gateway, n.DhcpRange.Start, n.DhcpRange.End)
}

func TestNil(t *testing.T) {
	t.Parallel()
	set, errs := devconfig.Parse(nil)
	if len(set.Apps)+len(set.Networks)+len(errs) > 0 {
		t.Errorf("got %v and %v, want nothing", set, errs)
	}
}

// FuzzParse: any message can be read and published, and means the same each time.
func FuzzParse(f *testing.F) {
	data, err := os.ReadFile("testdata/config.pb")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	if data, err = os.ReadFile("testdata/device.json"); err != nil {
		f.Fatal(err)
	}
	var c config.EdgeDevConfig
	if err := protojson.Unmarshal(data, &c); err != nil {
		f.Fatal(err)
	}
	if data, err = proto.Marshal(&c); err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		var c config.EdgeDevConfig
		if proto.Unmarshal(data, &c) != nil {
			t.Skip("no message")
		}
		set, _ := devconfig.Parse(&c)
		again, _ := devconfig.Parse(&c)
		first, err := json.Marshal(set)
		if err != nil {
			t.Fatalf("cannot be published: %v", err)
		}
		if second, err := json.Marshal(again); err != nil || !bytes.Equal(first, second) {
			t.Errorf("read twice, it means two things: %v\n%s\n%s", err, first, second)
		}
	})
}
