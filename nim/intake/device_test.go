// SPDX-License-Identifier: Apache-2.0

package intake_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/nim/intake"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

var update = flag.Bool("update", false, "write what becomes of the recorded topics into the golden files")

// recorded has set take all values of one of zedrouter's topics, as they were recorded.
func recorded[T any](t *testing.T, topic string, set func(key string, value T) error) {
	t.Helper()
	files, err := filepath.Glob("../../pkg/eve/testdata/eve-topics/zedrouter/" + topic + "/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing recorded of %s: %v", topic, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var value T
		if err := json.Unmarshal(text, &value); err != nil {
			t.Fatal(err)
		}
		if err := set(strings.TrimSuffix(filepath.Base(file), ".json"), value); err != nil {
			t.Fatal(err)
		}
	}
}

// What zedrouter was recorded to say makes these networks.
func TestRecordedNetworks(t *testing.T) {
	t.Parallel()
	d := intake.NewDevice()
	recorded(t, "NetworkInstanceStatus", d.SetNetwork)
	recorded(t, "AppNetworkStatus", d.SetApp)
	const golden = "testdata/recorded.txt"
	got := describe(d)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("networks (-want +got):\n%s", diff)
	}
}

// describe says what becomes of each network, in the order of their UUIDs.
func describe(d *intake.Device) string {
	var b strings.Builder
	for _, network := range slices.Sorted(maps.Keys(d.Everything().Networks)) {
		in := d.Network(network)
		r := intake.Build(in, nil, false)
		fmt.Fprintf(&b, "%s: ", network)
		if r.Err != nil {
			fmt.Fprintf(&b, "%v\n", r.Err)
			continue
		}
		fmt.Fprintf(&b, "%q of type %s\n  plan %s\n  error %v\n", in.Config.DisplayName, in.Config.Type, asJSON(r.Network), in.Err)
	}
	return b.String()
}

// device is a network instance of zedrouter's, by its name, with a bridge.
func device(name string, change ...func(*eve.NetworkInstanceStatus)) eve.NetworkInstanceStatus {
	s := eve.NetworkInstanceStatus{NetworkInstanceConfig: local(name), Activated: true}
	s.BridgeName = "bn1"
	for _, c := range change {
		c(&s)
	}
	return s
}

// guestMAC is what zedrouter says of every guest here.
var guestMAC = net.HardwareAddr{2, 0x16, 0x3e, 0, 0, 1}

// vm is an app instance of zedrouter's with one adapter in a network.
func vm(name, network, port string) eve.AppNetworkStatus {
	s := eve.AppNetworkStatus{UUIDandVersion: eve.UUIDandVersion{UUID: id(name)}, Activated: true}
	s.AppNetAdapterList = []eve.AppNetAdapterStatus{{AppNetAdapterConfig: on(network, "eth0"), VifInfo: eve.VifInfo{VifConfig: eve.VifConfig{Vif: port, Mac: guestMAC}}}}
	return s
}

// pod is an app instance whose namespace is at a path.
func pod(name, path string) eve.AppNetworkStatus {
	return eve.AppNetworkStatus{UUIDandVersion: eve.UUIDandVersion{UUID: id(name)}, AppPod: eve.AppPod{Name: name, NetNsPath: path}}
}

// Where a network of a device is, and for whom: whatever its type and its addresses are, and whatever is wrong with it
// beside its bridge.
func TestDevice(t *testing.T) {
	t.Parallel()
	onBridge := func(ports ...string) plan.Network {
		var guests []plan.Guest
		for _, port := range ports {
			guests = append(guests, plan.Guest{Port: port, MAC: plan.MAC(guestMAC)})
		}
		return plan.Network{Attach: plan.OnBridge, Bridge: plan.Bridge{Name: "bn1"}, Guarded: true, Guests: guests}
	}
	switched := func(s *eve.NetworkInstanceStatus) { s.Type = eve.NetworkInstanceTypeSwitch }
	tests := []struct {
		name    string
		network *eve.NetworkInstanceStatus
		apps    []eve.AppNetworkStatus
		want    plan.Network
		err     error // of the network
		errs    string
	}{
		{"nothing", nil, nil, plan.Network{}, intake.ErrUnknown, ""},
		{"not active", new(device("blue", func(s *eve.NetworkInstanceStatus) { s.Activated = false })), nil, plan.Network{}, intake.ErrUnknown, ""},
		{"no bridge", new(device("blue", func(s *eve.NetworkInstanceStatus) { s.BridgeName = "" })), nil, plan.Network{}, intake.ErrUnknown, ""},
		{"no guests", new(device("blue")), nil, onBridge(), nil, ""},
		{"no subnet, an odd type and MTU", new(device("blue", func(s *eve.NetworkInstanceStatus) {
			s.Subnet, s.Gateway, s.Type, s.NetworkInstanceConfig.MTU = nil, nil, eve.NetworkInstanceTypeHoneyPot, 1
		})), nil, onBridge(), nil, ""},
		{"errors of its own", new(device("blue", func(s *eve.NetworkInstanceStatus) { s.PortErr.Error, s.Error = "no port", "no port" })),
			nil, onBridge(), nil, ""},
		{"guest that its own status names", new(device("blue", func(s *eve.NetworkInstanceStatus) { s.Vifs = []eve.VifNameMac{{Name: "nbu1x1", MacAddr: guestMAC}} })),
			nil, onBridge("nbu1x1", "nbu1x1-emu"), nil, ""},
		{"guest that the app's status names", new(device("blue")), []eve.AppNetworkStatus{vm("web", "blue", "nbu1x1"), vm("db", "green", "nbu1x2")},
			onBridge("nbu1x1", "nbu1x1-emu"), nil, ""},
		{"adapter without a port", new(device("blue")), []eve.AppNetworkStatus{vm("web", "blue", "")}, onBridge(), nil, ""},
		{"long port", new(device("blue")), []eve.AppNetworkStatus{vm("web", "blue", "nbu123456x78901")}, onBridge("nbu123456x78901"), nil, ""},
		{"ports that are none", new(device("blue")), []eve.AppNetworkStatus{vm("web", "blue", "nbu1x1"), vm("db", "blue", "a b")},
			onBridge("nbu1x1", "nbu1x1-emu"), nil, `port "a b" is not an interface's name`},
		{"guest whose MAC address is not known yet", new(device("blue", func(s *eve.NetworkInstanceStatus) { s.Vifs = []eve.VifNameMac{{Name: "nbu1x1"}} })),
			nil, onBridge(), nil, ""},
		{"MAC address that is none", new(device("blue", func(s *eve.NetworkInstanceStatus) {
			s.Vifs = []eve.VifNameMac{{Name: "nbu1x1", MacAddr: guestMAC}, {Name: "nbu1x2", MacAddr: net.HardwareAddr{1, 2, 3, 4, 5, 6}}}
		})), nil, onBridge("nbu1x1", "nbu1x1-emu"), nil, `guest behind "nbu1x2": check "01:02:03:04:05:06"`},
		{"guest of which its app's status says otherwise", new(device("blue", func(s *eve.NetworkInstanceStatus) {
			s.Vifs = []eve.VifNameMac{{Name: "nbu1x1", MacAddr: net.HardwareAddr{2, 2, 2, 2, 2, 2}}}
		})), []eve.AppNetworkStatus{vm("web", "blue", "nbu1x1")}, onBridge("nbu1x1", "nbu1x1-emu"), nil, ""},
		{"guest that is on the other port already", new(device("blue")), []eve.AppNetworkStatus{vm("web", "blue", "nbu1x1"), vm("db", "blue", "nbu1x1-emu")},
			onBridge("nbu1x1", "nbu1x1-emu", "nbu1x1-emu-emu"), nil, ""},
		{"in a VLAN of a switch", new(device("blue", switched)), []eve.AppNetworkStatus{inVLAN(vm("web", "blue", "nbu1x1"), 100), inVLAN(vm("db", "blue", "nbu1x2"), 1)},
			onBridge("nbu1x2", "nbu1x2-emu"), nil, ""},
		{"in a VLAN of what is none", new(device("blue")), []eve.AppNetworkStatus{inVLAN(vm("web", "blue", "nbu1x1"), 100)},
			onBridge("nbu1x1", "nbu1x1-emu"), nil, ""},
		{"bridge that is none", new(device("blue", func(s *eve.NetworkInstanceStatus) { s.BridgeName = "a/b" })), nil, plan.Network{}, intake.ErrInvalid, ""},
		{"pod", nil, []eve.AppNetworkStatus{pod("blue", "/var/run/netns/cni-1")},
			plan.Network{Namespace: "/var/run/netns/cni-1", Attach: plan.Existing, Bridge: plan.Bridge{Name: "lo"}}, nil, ""},
		{"pod at a relative path", nil, []eve.AppNetworkStatus{pod("blue", "netns/cni-1")}, plan.Network{}, intake.ErrInvalid, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := intake.NewDevice()
			if tt.network != nil {
				if err := d.SetNetwork(key("blue"), *tt.network); err != nil {
					t.Fatal(err)
				}
			}
			for _, a := range tt.apps {
				if err := d.SetApp(a.UUIDandVersion.UUID.String(), a); err != nil {
					t.Fatal(err)
				}
			}
			in := d.Network(key("blue"))
			r := intake.Build(in, nil, false)
			if !errors.Is(r.Err, tt.err) || (r.Err == nil) != (tt.err == nil) {
				t.Fatalf("error %v, want %v", r.Err, tt.err)
			}
			if r.Err == nil {
				if diff := cmp.Diff(prefixes(plan.MetadataPrefixes()), prefixes(r.Network.Bridge.Addresses)); diff != "" {
					t.Errorf("addresses (-want +got):\n%s", diff)
				}
				r.Network.Bridge.Addresses = nil
				if diff := cmp.Diff(asJSON(tt.want), asJSON(r.Network)); diff != "" {
					t.Errorf("network (-want +got):\n%s", diff)
				}
			}
			if (in.Err == nil) != (tt.errs == "") || in.Err != nil && !strings.Contains(in.Err.Error(), tt.errs) {
				t.Errorf("error of the ports %v, want %q", in.Err, tt.errs)
			}
		})
	}
}

func inVLAN(s eve.AppNetworkStatus, vlan uint32) eve.AppNetworkStatus {
	s.AppNetAdapterList[0].AccessVlanID = vlan
	return s
}

func asJSON(n plan.Network) string {
	text, err := json.MarshalIndent(n, "  ", " ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// A change of an app instance concerns its own network and those that its adapters are in, before and after.
func TestDeviceChanges(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*intake.Device) error
		want   []string
	}{
		{"nothing", func(*intake.Device) error { return nil }, nil},
		{"network", func(d *intake.Device) error { return d.SetNetwork(key("green"), device("green")) }, []string{"green"}},
		{"network goes", func(d *intake.Device) error { d.DeleteNetwork(key("blue")); return nil }, []string{"blue"}},
		{"app moves", func(d *intake.Device) error { return d.SetApp(key("web"), vm("web", "green", "nbu1x1")) }, []string{"blue", "green", "web"}},
		{"app goes", func(d *intake.Device) error { d.DeleteApp(key("web")); return nil }, []string{"blue", "web"}},
		{"another's key", func(d *intake.Device) error {
			if d.SetApp(key("db"), vm("web", "green", "nbu1x1")) == nil || d.SetNetwork(key("green"), device("blue")) == nil {
				return errors.New("it is taken")
			}
			return nil
		}, nil},
		{"touched", func(d *intake.Device) error {
			d.Touch(intake.Changes{Networks: map[string]bool{key("green"): true}})
			return nil
		}, []string{"green"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := intake.NewDevice()
			if err := errors.Join(d.SetNetwork(key("blue"), device("blue")), d.SetApp(key("web"), vm("web", "blue", "nbu1x1"))); err != nil {
				t.Fatal(err)
			}
			d.Take()
			if err := tt.change(d); err != nil {
				t.Fatal(err)
			}
			c := d.Take()
			if diff := cmp.Diff(tt.want, sorted(c.Networks, "blue", "green", "web")); diff != "" || len(c.Apps) > 0 {
				t.Errorf("app instances %v, networks (-want +got):\n%s", c.Apps, diff)
			}
		})
	}
}

// Nothing that zedrouter's topics can say makes it panic, or has a network be anywhere but where they say.
func FuzzDevice(f *testing.F) {
	network, err := json.Marshal(device("blue"))
	if err != nil {
		f.Fatal(err)
	}
	for _, a := range []eve.AppNetworkStatus{vm("web", "blue", "nbu1x1"), pod("web", "/proc/1/ns/net")} {
		text, err := json.Marshal(a)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(network, text)
	}
	f.Fuzz(func(t *testing.T, network, one []byte) {
		var (
			n eve.NetworkInstanceStatus
			a eve.AppNetworkStatus
		)
		if errors.Join(json.Unmarshal(network, &n), json.Unmarshal(one, &a)) != nil {
			return
		}
		d := intake.NewDevice()
		if err := errors.Join(d.SetNetwork(n.UUID.String(), n), d.SetApp(a.UUIDandVersion.UUID.String(), a)); err != nil {
			t.Fatal(err)
		}
		for id := range d.Everything().Networks {
			r := intake.Build(d.Network(id), nil, false)
			switch {
			case r.Err != nil:
			case r.Network.Attach == plan.Managed:
				t.Errorf("network %s is made here", id)
			case r.Network.Attach == plan.OnBridge && (r.Network.Bridge.Name != n.BridgeName || !r.Network.Guarded):
				t.Errorf("network %s is on bridge %q, guarded: %t", id, r.Network.Bridge.Name, r.Network.Guarded)
			}
			for _, g := range r.Network.Guests {
				if _, err := plan.MACFrom(g.MAC[:]); err != nil || !eve.IsInterfaceName(g.Port) {
					t.Errorf("%v is said to be behind %q", g.MAC, g.Port)
				}
			}
		}
	})
}
