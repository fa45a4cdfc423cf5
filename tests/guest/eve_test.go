// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/tests/evedevice/edge"
	"github.com/lf-edge/eve-metadata/tests/guest/image"
	"github.com/lf-edge/eve-metadata/tests/guest/report"
)

// onEVE: a guest on an EVE device, with user data that the controller has encrypted for the device.
//
// Purpose: on EVE's bridge the guest asks us, not EVE's own metadata server, to which zedrouter's rules redirect it; it gets
// its address from EVE's DHCP server, is known before EVE has seen its lease, and reads what was encrypted.
//
// Network: bn1 as zedrouter makes it, with dnsmasq, redirection and access rules; the guest's tap is the port nbu1x2.
//
// Phases: have EVE's agents tell of the app; start the service and the guest, with what domainmgr tells QEMU; log in.
func onEVE(t *testing.T, _ string) {
	began, folder := time.Now(), t.TempDir()
	key, public := newKey(t, folder)
	app := edge.NewApp(t, edge.Collector, 1, "10.1.0.3")
	app.Config.MetaDataType = eve.MetaDataOpenStack
	text := userData("I am collector") + "ssh_authorized_keys: ['" + public + "']\nhostname: collector-1\n"
	app.Sealed(edge.Seal(t, app, "encrypt", text))
	n := edge.New(t, edge.Build(t), app)
	t.Cleanup(func() { keepFailed(t, began, folder, &n.Journal) })
	n.Tell(slices.Concat(edge.OfNode(t), edge.OfApps(t, app), edge.Complete())...)
	n.Run()
	port := edge.Port(app.Number)
	n.Device.Sh("ip tuntap add %s mode tap", port)
	n.Device.Join(app.Network, app.Number)
	// The app's rules let SSH in, and so its answers out.
	n.Device.Sh("%s -t raw -I PREROUTING-bn1-%s -p tcp --sport 22 -j ACCEPT", n.Device.IPTables, port)

	g := newGuest(t, began, app.Name(), image.Debian12, folder)
	g.here = n.Device.Command
	g.launch = func() ([]string, []*os.File) {
		return []string{
			"-uuid", app.Key(), "-smbios", "type=1,product=OpenStack Compute",
			"-netdev", "tap,id=net0,ifname=" + port + ",script=no,downscript=no",
			"-device", "virtio-net-pci,netdev=net0,mac=" + app.MAC().String(),
		}, nil
	}
	instance := app.Key() + "/2"
	want := &report.State{
		Datasource: "DataSourceOpenStackLocal [net,ver=2]", Status: "done",
		InstanceID: instance, Hostname: "collector-1", FQDN: "collector-1",
		Keys:   authorized(public),
		Cards:  map[string]report.Card{app.MAC().String(): {MTU: 1500, Addresses: []string{app.Address + "/24"}}},
		Routes: []string{"default via 10.1.0.1"}, DNS: []string{"10.1.0.1"},
		Files: map[string]string{"written": "I am collector\n", "runs": "script of " + instance + "\n"},
	}
	check(t, want, g.boot())
	g.checkUserData(text)
	if got, want := g.login(key, "debian", app.Address, "id --user --name"), "debian\n"; got != want {
		t.Errorf("who logs in is %q, want %q", got, want)
	}
}
