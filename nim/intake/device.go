// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// Device is a Table for a device on which EVE's zedrouter makes the networks: it holds what that agent says of them, and
// returns what there is for us to join. That is
//
//   - each network instance that has a bridge, under its own UUID: a network on that bridge;
//   - each app instance whose pod has a network namespace of its own, under the app instance's UUID: a network in there,
//     in which the app instance is alone.
//
// Nothing of their addresses is ours to give. It is used by one goroutine at a time.
type Device struct {
	networks map[string]eve.NetworkInstanceStatus
	apps     map[string]eve.AppNetworkStatus
	pending
}

// NewDevice returns one without values.
func NewDevice() *Device {
	return &Device{
		networks: map[string]eve.NetworkInstanceStatus{},
		apps:     map[string]eve.AppNetworkStatus{},
		pending:  pending{newChanges()},
	}
}

// SetNetwork adds a network instance or replaces it; see Table.SetApp for the error.
func (d *Device) SetNetwork(key string, network eve.NetworkInstanceStatus) error {
	if err := checkKey(key, network.UUID); err != nil {
		return fmt.Errorf("take network instance %q: %w", key, err)
	}
	d.networks[key] = network
	d.changed.Networks[key] = true
	return nil
}

// DeleteNetwork forgets a network instance; one that is not there is no mistake.
func (d *Device) DeleteNetwork(key string) {
	delete(d.networks, key)
	d.changed.Networks[key] = true
}

// SetApp adds an app instance or replaces it; see Table.SetApp for the error.
func (d *Device) SetApp(key string, app eve.AppNetworkStatus) error {
	if err := checkKey(key, app.UUIDandVersion.UUID); err != nil {
		return fmt.Errorf("take app instance %q: %w", key, err)
	}
	d.DeleteApp(key)
	d.apps[key] = app
	d.touchApp(key)
	return nil
}

// DeleteApp forgets an app instance; one that is not there is no mistake.
func (d *Device) DeleteApp(key string) {
	d.touchApp(key)
	delete(d.apps, key)
}

// touchApp notes a change of an app instance, and thereby of its pod's network and of those that it has adapters in.
func (d *Device) touchApp(key string) {
	d.changed.Networks[key] = true
	for _, a := range d.apps[key].AppNetAdapterList {
		d.changed.Networks[a.Network.String()] = true
	}
}

// Everything returns all that there is, as if it had changed. App instances are never in it: zedrouter tells of them.
func (d *Device) Everything() Changes {
	all := newChanges()
	for key := range d.networks {
		all.Networks[key] = true
	}
	for key := range d.apps {
		all.Networks[key] = true
	}
	return all
}

// App returns no app instance: there is none whose adapters we would make and tell of.
func (d *Device) App(string) (eve.AppInstanceConfig, bool) { return eve.AppInstanceConfig{}, false }

// Network returns the input for one network. It has a config if there is something to join. A network instance has a bridge
// from its activation on; whatever went wrong with it besides, its guests are there.
func (d *Device) Network(key string) Input {
	in := Input{Network: key, Others: true}
	if status, ok := d.networks[key]; ok {
		if status.Activated && status.BridgeName != "" {
			in.Config = joined(status.NetworkInstanceConfig)
			in.Metadata.Bridge = status.BridgeName
			in.Guests, in.Err = d.guests(key)
		}
		return in
	}
	if app := d.apps[key]; app.AppPod.NetNsPath != "" {
		in.Config = joined(eve.NetworkInstanceConfig{UUIDandVersion: app.UUIDandVersion, DisplayName: app.DisplayName})
		in.Metadata.Namespace = app.AppPod.NetNsPath
	}
	return in
}

// joined is the config of a network that is there. In a NetworkInstanceStatus the two fields are hidden by others.
func joined(config eve.NetworkInstanceConfig) *eve.NetworkInstanceConfig {
	config.Activate, config.MTU = true, 0
	return &config
}

// guests returns who is behind ports of a network's bridge, by port, and an error for what is wrong with some. The network's
// status and those of its app instances come in any order, and a port is one from whichever is first; where they differ it is
// the app instance's that counts, by which its guest is known. A guest in a VLAN of a switch is none: the bridge's own
// interface is in no VLAN, so there is nothing that could answer it.
func (d *Device) guests(network string) ([]plan.Guest, error) {
	macs, tagged := map[string]net.HardwareAddr{}, map[string]bool{}
	vlans := d.networks[network].Type == eve.NetworkInstanceTypeSwitch
	for _, vif := range d.networks[network].Vifs {
		macs[vif.Name] = vif.MacAddr
	}
	for _, key := range slices.Sorted(maps.Keys(d.apps)) {
		for _, a := range d.apps[key].AppNetAdapterList {
			if a.Network.String() == network {
				macs[a.Vif], macs[a.VifUsed] = a.VifInfo.Mac, a.VifInfo.Mac
				tag := vlans && a.AccessVlanID > defaultVLAN
				tagged[a.Vif], tagged[a.VifUsed] = tag, tag
			}
		}
	}
	maps.DeleteFunc(macs, func(port string, mac net.HardwareAddr) bool {
		return port == "" || len(mac) == 0 || tagged[port] // an adapter that is not there (yet), or not for us
	})
	return guestsBehind(macs)
}

// defaultVLAN is the VLAN that a bridge of Linux has its own interface and frames without a tag in (IEEE 802.1Q, table 9-2).
const defaultVLAN = 1

// guestsBehind returns guests by port, under each of the names that their ports may go by, and an error for ports and MAC
// addresses that are none.
func guestsBehind(macs map[string]net.HardwareAddr) (guests []plan.Guest, err error) {
	for _, port := range slices.Sorted(maps.Keys(macs)) {
		mac, bad := plan.MACFrom(macs[port])
		if !eve.IsInterfaceName(port) {
			bad = errors.Join(bad, fmt.Errorf("port %q is not an interface's name", port))
		}
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("%w: guest behind %q: %w", ErrInvalid, port, bad))
			continue
		}
		guests = append(guests, plan.Guest{Port: port, MAC: mac})
		other := eve.EmulatedPort(port)
		if _, named := macs[other]; !named && eve.IsInterfaceName(other) {
			guests = append(guests, plan.Guest{Port: other, MAC: mac})
		}
	}
	slices.SortFunc(guests, func(a, b plan.Guest) int { return cmp.Compare(a.Port, b.Port) })
	return guests, err
}

// join fills in a network that zedrouter has made.
func (r *Result) join(in Input) {
	r.Network.Bridge.Addresses = plan.MetadataPrefixes()
	r.Network.Guarded = r.Network.Attach == plan.OnBridge
	r.Network.Guests = in.Guests
}
