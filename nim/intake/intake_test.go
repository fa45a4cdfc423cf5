// SPDX-License-Identifier: Apache-2.0

package intake_test

import (
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/nim/intake"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

func id(name string) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)) }

func key(name string) string { return id(name).String() }

func local(name string, change ...func(*eve.NetworkInstanceConfig)) eve.NetworkInstanceConfig {
	n := eve.NetworkInstanceConfig{
		UUIDandVersion: eve.UUIDandVersion{UUID: id(name)}, DisplayName: name, Type: eve.NetworkInstanceTypeLocal, Activate: true,
		Subnet:  &net.IPNet{IP: net.IPv4(10, 11, 12, 0).To4(), Mask: net.CIDRMask(24, 32)},
		Gateway: net.IPv4(10, 11, 12, 1),
	}
	for _, c := range change {
		c(&n)
	}
	return n
}

func app(name string, adapters ...eve.AppNetAdapterConfig) eve.AppInstanceConfig {
	return eve.AppInstanceConfig{UUIDandVersion: eve.UUIDandVersion{UUID: id(name)}, Activate: true, AppNetAdapterList: adapters}
}

func on(network, adapter string) eve.AppNetAdapterConfig {
	return eve.AppNetAdapterConfig{Name: adapter, Network: id(network)}
}

func ip(s string) net.IP { return net.ParseIP(s) }

func sorted(set map[string]bool, names ...string) []string {
	var found []string
	for _, n := range names {
		if set[key(n)] {
			found = append(found, n)
		}
	}
	return found
}

// A change concerns the networks that it touches, before and after, and no others.
func TestChanges(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		change   func(t *intake.Table) error
		networks []string
		apps     []string
	}{
		{"app moves", func(t *intake.Table) error { return t.SetApp(key("web"), app("web", on("green", "eth0"))) }, []string{"blue", "green"}, []string{"web"}},
		{"app goes", func(t *intake.Table) error { t.DeleteApp(key("web")); return nil }, []string{"blue"}, []string{"web"}},
		{"metadata", func(t *intake.Table) error { t.SetMetadata(key("web"), eve.InstanceMetadata{}); return nil }, []string{"blue"}, []string{"web"}},
		{"metadata goes", func(t *intake.Table) error { t.DeleteMetadata(key("web")); return nil }, []string{"blue"}, []string{"web"}},
		{"network", func(t *intake.Table) error { return t.SetNetwork(key("green"), local("green")) }, []string{"green"}, nil},
		{"network goes", func(t *intake.Table) error { t.DeleteNetwork(key("blue")); return nil }, []string{"blue"}, nil},
		{"unknown network goes", func(t *intake.Table) error { t.DeleteNetwork(key("green")); return nil }, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			table := intake.NewTable()
			err := errors.Join(table.SetNetwork(key("blue"), local("blue")),
				table.SetApp(key("web"), app("web", on("blue", "eth0"))), table.SetApp(key("db"), app("db", on("blue", "eth0"))))
			if err != nil {
				t.Fatal(err)
			}
			table.Take()
			if err := tt.change(table); err != nil {
				t.Fatal(err)
			}
			c := table.Take()
			if diff := cmp.Diff(tt.networks, sorted(c.Networks, "blue", "green")); diff != "" {
				t.Errorf("networks (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.apps, sorted(c.Apps, "db", "web")); diff != "" {
				t.Errorf("app instances (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKeyIsTheUUID(t *testing.T) {
	t.Parallel()
	table := intake.NewTable()
	if err := table.SetApp("../../etc", app("web")); err == nil {
		t.Error("app instance is taken under another key than its UUID")
	}
	if err := table.SetNetwork(key("green"), local("blue")); err == nil {
		t.Error("network instance is taken under another key than its UUID")
	}
	if diff := cmp.Diff(intake.Changes{Networks: map[string]bool{}, Apps: map[string]bool{}}, table.Everything()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestNetworkErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*eve.NetworkInstanceConfig)
		want   error
	}{
		{"right", func(*eve.NetworkInstanceConfig) {}, nil},
		{"not active", func(n *eve.NetworkInstanceConfig) { n.Activate = false }, intake.ErrNotActive},
		{"no subnet", func(n *eve.NetworkInstanceConfig) { n.Subnet = nil }, intake.ErrInvalid},
		{"mask with holes", func(n *eve.NetworkInstanceConfig) { n.Subnet.Mask = net.IPMask{255, 0, 255, 0} }, intake.ErrInvalid},
		{"subnet too small", func(n *eve.NetworkInstanceConfig) { n.Subnet.Mask = net.CIDRMask(32, 32) }, intake.ErrInvalid},
		{"subnet of no address", func(n *eve.NetworkInstanceConfig) { n.Subnet.IP = net.IP{1, 2} }, intake.ErrInvalid},
		{"gateway outside", func(n *eve.NetworkInstanceConfig) { n.Gateway = ip("10.11.13.1") }, plan.ErrOutside},
		{"gateway is broadcast", func(n *eve.NetworkInstanceConfig) { n.Gateway = ip("10.11.12.255") }, plan.ErrOutside},
		{"gateway is no address", func(n *eve.NetworkInstanceConfig) { n.Gateway = net.IP{10} }, intake.ErrInvalid},
		{"gateway is the metadata address", func(n *eve.NetworkInstanceConfig) {
			n.Subnet.IP, n.Gateway = ip("169.254.169.0").To4(), ip("169.254.169.254")
		}, plan.ErrOutside},
		{"range outside", func(n *eve.NetworkInstanceConfig) { n.DhcpRange.End = ip("10.11.13.9") }, plan.ErrOutside},
		{"range the wrong way round", func(n *eve.NetworkInstanceConfig) {
			n.DhcpRange = eve.IPRange{Start: ip("10.11.12.9"), End: ip("10.11.12.5")}
		}, plan.ErrExhausted},
		{"MTU too small", func(n *eve.NetworkInstanceConfig) { n.MTU = 67 }, intake.ErrInvalid},
		{"MTU too large", func(n *eve.NetworkInstanceConfig) { n.MTU = 65535 }, intake.ErrInvalid},
		{"strange type", func(n *eve.NetworkInstanceConfig) { n.Type = eve.NetworkInstanceTypeCloud }, intake.ErrInvalid},
		{"switch needs no subnet", func(n *eve.NetworkInstanceConfig) { n.Type, n.Subnet = eve.NetworkInstanceTypeSwitch, nil }, nil},
		{"gateway by default", func(n *eve.NetworkInstanceConfig) { n.Gateway = nil }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := local("blue", tt.change)
			held := map[intake.AdapterID]plan.Lease{{App: "a", Adapter: "eth0"}: {IPv4: netip.MustParseAddr("10.11.12.9")}}
			in := intake.Input{Network: key("blue"), Config: &n, Adapters: []intake.Adapter{{AdapterID: intake.AdapterID{App: "a", Adapter: "eth0"}}}}
			r := intake.Build(in, held, false)
			if !errors.Is(r.Err, tt.want) || (r.Err == nil) != (tt.want == nil) {
				t.Errorf("error %v, want %v", r.Err, tt.want)
			}
			if want := held[in.Adapters[0].AdapterID].IPv4; r.Err != nil && r.Leases[0].IPv4 != want {
				t.Errorf("adapter has %s, want what it had: %s", r.Leases[0].IPv4, want)
			}
		})
	}
	if r := intake.Build(intake.Input{Network: key("blue")}, nil, false); !errors.Is(r.Err, intake.ErrUnknown) {
		t.Errorf("error of an unknown network %v, want %v", r.Err, intake.ErrUnknown)
	}
}

// What is wrong with one adapter is its own matter: the other one has its port. An address that it can not have leaves it
// its own port too.
func TestAdapterErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*eve.AppNetAdapterConfig, *eve.AdapterMetadata)
		want   error // nil: there is none
	}{
		{"right", func(*eve.AppNetAdapterConfig, *eve.AdapterMetadata) {}, nil},
		{"group MAC address", func(a *eve.AppNetAdapterConfig, _ *eve.AdapterMetadata) {
			a.AppMacAddr = net.HardwareAddr{1, 0, 0x5e, 0, 0, 1}
		}, plan.ErrMAC},
		{"short MAC address", func(a *eve.AppNetAdapterConfig, _ *eve.AdapterMetadata) { a.AppMacAddr = net.HardwareAddr{2} }, plan.ErrMAC},
		{"address outside", func(a *eve.AppNetAdapterConfig, _ *eve.AdapterMetadata) { a.AppIPAddr = ip("10.11.13.5") }, plan.ErrOutside},
		{"address taken", func(a *eve.AppNetAdapterConfig, _ *eve.AdapterMetadata) { a.AppIPAddr = ip("10.11.12.5") }, plan.ErrTaken},
		{"multicast address", func(a *eve.AppNetAdapterConfig, _ *eve.AdapterMetadata) { a.AppIPAddr = ip("224.0.0.1") }, intake.ErrInvalid},
		{"no address", func(a *eve.AppNetAdapterConfig, _ *eve.AdapterMetadata) { a.AppIPAddr = net.IP{1} }, intake.ErrInvalid},
		{"metadata address", func(a *eve.AppNetAdapterConfig, _ *eve.AdapterMetadata) { a.AppIPAddr = ip("169.254.169.254") }, intake.ErrInvalid},
		{"IPv4 as IPv6 address", func(_ *eve.AppNetAdapterConfig, m *eve.AdapterMetadata) { m.IPv6 = ip("10.11.12.9") }, intake.ErrInvalid},
		{"IPv6 address where the network has none", func(_ *eve.AppNetAdapterConfig, m *eve.AdapterMetadata) { m.IPv6 = ip("2001:db8::5") }, nil},
		{"MTU too small", func(_ *eve.AppNetAdapterConfig, m *eve.AdapterMetadata) { m.MTU = 1 }, intake.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bad, good := on("blue", "eth0"), on("blue", "eth0")
			good.AppIPAddr = ip("10.11.12.5")
			meta := eve.AdapterMetadata{Name: "eth0"}
			tt.change(&bad, &meta)
			table := intake.NewTable()
			err := errors.Join(table.SetNetwork(key("blue"), local("blue")), table.SetApp(key("bad"), app("bad", bad)), table.SetApp(key("good"), app("good", good)))
			if err != nil {
				t.Fatal(err)
			}
			table.SetMetadata(key("bad"), eve.InstanceMetadata{Adapters: []eve.AdapterMetadata{meta}})
			in := table.Network(key("blue"))
			held := map[intake.AdapterID]plan.Lease{{App: key("good"), Adapter: "eth0"}: {IPv4: netip.MustParseAddr("10.11.12.5")}}
			r := intake.Build(in, held, false)
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			ports := 2
			if tt.want != nil && !errors.Is(tt.want, plan.ErrTaken) && !errors.Is(tt.want, plan.ErrOutside) {
				ports = 1 // nothing is known of it that could be right
			}
			if len(r.Network.Ports) != ports {
				t.Errorf("%d ports, want %d", len(r.Network.Ports), ports)
			}
			for i, a := range in.Adapters {
				want := tt.want
				if a.App == key("good") {
					want = nil
				}
				if err := r.Leases[i].Err; !errors.Is(err, want) || (err == nil) != (want == nil) {
					t.Errorf("adapter of %s: error %v, want %v", a.App, err, want)
				}
			}
		})
	}
}

// An adapter that is to have no address has none, and its port all the same; what it had is free for others.
func TestNoAddress(t *testing.T) {
	t.Parallel()
	table := intake.NewTable()
	if err := errors.Join(table.SetNetwork(key("blue"), local("blue")), table.SetApp(key("web"), app("web", on("blue", "eth0")))); err != nil {
		t.Fatal(err)
	}
	in := table.Network(key("blue"))
	held := map[intake.AdapterID]plan.Lease{in.Adapters[0].AdapterID: {IPv4: netip.MustParseAddr("10.11.12.7")}}
	for static, want := range map[bool]string{false: "10.11.12.7", true: "invalid IP"} {
		table.SetMetadata(key("web"), eve.InstanceMetadata{Adapters: []eve.AdapterMetadata{{Name: "eth0", StaticIPv4: static}}})
		r := intake.Build(table.Network(key("blue")), held, false)
		if err := errors.Join(r.Err, r.Leases[0].Err); err != nil || r.Leases[0].IPv4.String() != want || len(r.Network.Ports) != 1 {
			t.Errorf("static %t: address %s, %d ports, %v; want %s", static, r.Leases[0].IPv4, len(r.Network.Ports), err, want)
		}
	}
}

// An app instance as it should be in the kernel: by what it is attached, and with which MTU; one that is not to run keeps
// its address and has no port; a second adapter of the same name is none.
func TestPorts(t *testing.T) {
	t.Parallel()
	vm, container, idle := app("vm", on("blue", "eth0")), app("container", on("blue", "eth0"), on("blue", "eth0")), app("idle", on("blue", "eth0"))
	vm.FixedResources.VirtualizationMode = eve.VmModeHVM
	container.FixedResources.VirtualizationMode = eve.VmModeNoHyper
	idle.Activate = false
	table := intake.NewTable()
	err := errors.Join(table.SetNetwork(key("blue"), local("blue", func(n *eve.NetworkInstanceConfig) { n.MTU = 1400 })),
		table.SetApp(key("vm"), vm), table.SetApp(key("container"), container), table.SetApp(key("idle"), idle))
	if err != nil {
		t.Fatal(err)
	}
	table.SetMetadata(key("vm"), eve.InstanceMetadata{Adapters: []eve.AdapterMetadata{{Name: "eth0", MTU: 1300}}})
	in := table.Network(key("blue"))
	r := intake.Build(in, nil, false)
	if len(in.Adapters) != 3 || len(r.Network.Ports) != 2 {
		t.Fatalf("%d adapters and %d ports, want 3 and 2", len(in.Adapters), len(r.Network.Ports))
	}
	if !intake.Duplicate(container.AppNetAdapterList, 1) || intake.Duplicate(container.AppNetAdapterList, 0) {
		t.Error("of two adapters with one name, the second is the duplicate")
	}
	kinds := map[plan.PortKind]int{}
	for _, p := range r.Network.Ports {
		kinds[p.Kind] = p.MTU
	}
	if diff := cmp.Diff(map[plan.PortKind]int{plan.Tap: 1300, plan.Veth: 1400}, kinds); diff != "" {
		t.Errorf("MTU by kind (-want +got):\n%s", diff)
	}
	for i, a := range in.Adapters {
		if !r.Leases[i].IPv4.IsValid() || r.Leases[i].Err != nil {
			t.Errorf("adapter of %s has lease %+v", a.App, r.Leases[i])
		}
	}
}

// What those hold of whom it is not known whether they are still there is not given away.
func TestReserve(t *testing.T) {
	t.Parallel()
	n := local("blue")
	fixed := on("blue", "eth0")
	fixed.AppIPAddr = ip("10.11.12.5")
	in := intake.Input{Network: key("blue"), Config: &n, Adapters: []intake.Adapter{{AdapterID: intake.AdapterID{App: "new", Adapter: "eth0"}, Config: fixed}}}
	held := map[intake.AdapterID]plan.Lease{{App: "old", Adapter: "eth0"}: {IPv4: netip.MustParseAddr("10.11.12.5")}}
	if err := intake.Build(in, held, true).Leases[0].Err; !errors.Is(err, plan.ErrTaken) {
		t.Errorf("while the old one may be there: error %v, want %v", err, plan.ErrTaken)
	}
	if err := intake.Build(in, held, false).Leases[0].Err; err != nil {
		t.Errorf("when the old one is gone: error %v", err)
	}
}

// Nothing that a topic can say makes it panic, or gives one address to two.
func FuzzBuild(f *testing.F) {
	network, err := json.Marshal(local("blue"))
	if err != nil {
		f.Fatal(err)
	}
	one, err := json.Marshal(app("web", on("blue", "eth0")))
	if err != nil {
		f.Fatal(err)
	}
	meta, err := json.Marshal(eve.InstanceMetadata{Adapters: []eve.AdapterMetadata{{Name: "eth0", IPv6: ip("2001:db8::1"), MTU: 1300}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(network, one, meta)
	f.Fuzz(func(t *testing.T, network, one, meta []byte) {
		var (
			n eve.NetworkInstanceConfig
			a eve.AppInstanceConfig
			m eve.InstanceMetadata
		)
		if errors.Join(json.Unmarshal(network, &n), json.Unmarshal(one, &a), json.Unmarshal(meta, &m)) != nil {
			return
		}
		table := intake.NewTable()
		other := a
		other.UUIDandVersion.UUID = id("other")
		err := errors.Join(table.SetNetwork(n.UUID.String(), n), table.SetApp(a.UUIDandVersion.UUID.String(), a), table.SetApp(key("other"), other))
		if err != nil {
			t.Fatal(err)
		}
		table.SetMetadata(a.UUIDandVersion.UUID.String(), m)
		r := intake.Build(table.Network(n.UUID.String()), nil, true)
		seen := map[netip.Addr]bool{r.Gateway: true, {}: false}
		for _, l := range r.Leases {
			for _, addr := range []netip.Addr{l.IPv4, l.IPv6} {
				if addr.IsValid() && seen[addr] {
					t.Errorf("%s is given twice", addr)
				}
				seen[addr] = addr.IsValid()
			}
		}
	})
}
