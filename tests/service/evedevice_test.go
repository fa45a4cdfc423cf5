// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"testing"

	"github.com/lf-edge/eve-metadata/tests/evedevice/edge"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// eveDevice is a device of EVE's whose guests are namespaces.
type eveDevice struct{ *edge.Device }

// guest connects a guest to a network instance and has it configured by EVE's DHCP server.
func (d eveDevice) guest(name string, n, app int, mac string) *guest {
	d.T.Helper()
	g := d.plug(name, n, app, mac)
	g.dhcp(d.T)
	return g
}

// plug connects a guest to a network instance, as its first adapter's port nbu1x<app>.
func (d eveDevice) plug(name string, n, app int, mac string) *guest {
	d.T.Helper()
	return &guest{Guest: d.Plug(n, app, mac).Guest, app: name}
}

// configure gives a guest's adapter an address and a router, as one that asks no DHCP server has them.
func (g *guest) configure(t *testing.T, address, router string) {
	t.Helper()
	world.MachineOf(t, g.Guest).Sh("ip addr add %s/24 dev eth0; ip route add default via %s", address, router)
}
