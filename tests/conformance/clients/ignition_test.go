// SPDX-License-Identifier: Apache-2.0

package clients_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/tests/tool"
)

// ignition is Debian's, which is in no command's path.
const ignition = "/usr/lib/dracut/modules.d/30ignition/ignition"

// testIgnition has Ignition fetch its configuration as its platforms do: in OpenStack's way, in an old
// version's (Brightbox), in EC2's with a token, and in CloudStack's from the DHCP server.
func (w *world) testIgnition(t *testing.T) {
	tool.Need(t, ignition, "ignition")
	g := w.guests["ignited eth0"]
	// The lease as the guest's DHCP client would have left it, in place of this machine's.
	const program = `mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/netif/leases &&
		echo "SERVER_ADDRESS=$0" > "/run/systemd/netif/leases/$1" && shift && exec "$@"`
	var card *net.Interface
	err := g.Do(func() (err error) {
		card, err = net.InterfaceByName("eth0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, platform := range []string{"openstack", "brightbox", "aws", "cloudstack"} {
		t.Run(platform, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cache := filepath.Join(dir, "ignition.json")
			g.run(t, "", "unshare", "-m", "sh", "-c", program, g.status.BridgeIPAddr.String(), fmt.Sprint(card.Index),
				ignition, "--platform", platform, "--stage", "fetch", "--root", dir, "--config-cache", cache,
				"--state-file", filepath.Join(dir, "state"), "--log-to-stdout", "--fetch-timeout", "10s")
			text, err := os.ReadFile(cache)
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Storage struct {
					Files []struct {
						Path     string
						Contents struct{ Source string }
					}
				}
			}
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			for _, f := range got.Storage.Files {
				if f.Path == "/etc/motd" {
					if diff := cmp.Diff("data:,I%20am%20ignited.", f.Contents.Source); diff != "" {
						t.Error(diff)
					}
					return
				}
			}
			t.Errorf("the file is not in %s", text)
		})
	}
}
