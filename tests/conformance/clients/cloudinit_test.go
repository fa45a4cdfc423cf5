// SPDX-License-Identifier: Apache-2.0

package clients_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

// request is what testdata/read.py wants to know.
type request struct {
	Datasource string            `json:"datasource"`
	Firmware   map[string]string `json:"firmware"`
	Image      string            `json:"image"`
	NICs       map[string]string `json:"nics"`
}

// understood is what cloud-init understood: what testdata/read.py prints.
type understood struct {
	InstanceID       string            `json:"instance_id"`
	Hostname         string            `json:"hostname"`
	Keys             []string          `json:"keys"`
	UserData         []byte            `json:"user_data"`
	VendorData       []byte            `json:"vendor_data"`
	VendorData2      []byte            `json:"vendor_data2"`
	AvailabilityZone string            `json:"availability_zone"`
	Region           string            `json:"region"`
	Cloud            string            `json:"cloud"`
	Version          any               `json:"version"`
	EC2              bool              `json:"ec2"`
	Network          rendered          `json:"network"`
	RandomSeed       string            `json:"random_seed"`
	Files            map[string][]byte `json:"files"`
	Password         string            `json:"password"`
}

// rendered are the files of a network configuration, by cloud-init's renderer and path.
type rendered map[string]map[string]string

// text is all that one renderer made.
func (r rendered) text(renderer string) string {
	files := r[renderer]
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "--- %s\n%s", name, files[name])
	}
	return b.String()
}

// cloudInit runs one of cloud-init's datasources in a guest, whose firmware says what the service wants it
// to say for one of its dialects, and which has a drive if image is not "".
func (w *world) cloudInit(t *testing.T, guest, datasource, dialect, image string) understood {
	t.Helper()
	tool.Need(t, "/usr/lib/python3/dist-packages/cloudinit", "cloud-init")
	g := w.guests[guest]
	stdin, err := json.Marshal(request{datasource, w.firmware(g, dialect), image, g.nics})
	if err != nil {
		t.Fatal(err)
	}
	// The guest's own resolver configuration, in place of this machine's: cloud-init looks names up, to
	// see whether a name server lies. There is none in these networks, and after some quick refusals the
	// kernel limits the rate of the ICMP messages that say so.
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 10.11.12.1\noptions timeout:1 attempts:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := g.run(t, string(stdin), "unshare", "-m", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, resolv,
		"/usr/bin/python3", "-B", "testdata/read.py")
	var got understood
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	if len(got.UserData) == 0 { // an empty file is none
		got.UserData = nil
	}
	if len(got.VendorData) == 0 {
		got.VendorData = nil
	}
	return got
}

// firmware is what the firmware of a guest's machine says, by dmidecode's keywords, where it is to make
// the guest choose a dialect.
func (w *world) firmware(g *guest, dialect string) map[string]string {
	f := w.launch(g).Firmware[dialect]
	return map[string]string{
		"system-uuid": f.UUID, "system-product-name": f.Product, "system-serial-number": f.Serial, "chassis-asset-tag": f.AssetTag,
	}
}

// launch is how the guest's machine is to be started.
func (w *world) launch(g *guest) eve.InstanceLaunch {
	for _, l := range w.launches {
		if l.DisplayName == g.app {
			return l
		}
	}
	return eve.InstanceLaunch{}
}

// compare compares what was understood, but for what differs from datasource to datasource.
func compare(t *testing.T, want, got understood) {
	t.Helper()
	got.Version, got.EC2, got.Network, got.RandomSeed, got.Cloud, got.Region = nil, false, nil, "", "", ""
	if len(got.Files) == 0 {
		got.Files = nil
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what cloud-init understood (-want +got):\n%s", diff)
	}
}

// contains holds that each renderer says all that it shall.
func contains(t *testing.T, network rendered, want map[string][]string) {
	t.Helper()
	for renderer, lines := range want {
		text := network.text(renderer)
		for _, line := range lines {
			if !strings.Contains(text, line) {
				t.Errorf("%s does not say %q:\n%s", renderer, line, text)
			}
		}
	}
}

const (
	webID, dbID, edgeID = "5f0c2d4e-8a36-4c55-9c0e-2f6d1b7a9e01", "5f0c2d4e-8a36-4c55-9c0e-2f6d1b7a9e02", "5f0c2d4e-8a36-4c55-9c0e-2f6d1b7a9e03"
	key                 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAQ4zZQWo5UGiiQ5Stw9unr2/UZLr5yBwFrE5fsnWats operator@example.com"
	keyBob              = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJvYkJvYkJvYkJvYkJvYkJvYkJvYkJvYkJvYkJvYkJv bob@example.com"
)

// TestExample has cloud-init read the embedded example. Two networks have the same subnet; web and db have
// the same address in them; edge has an adapter in both.
func TestExample(t *testing.T) {
	w := newWorld(t)
	if len(w.guests) != 4 {
		t.Fatalf("%d adapters in the example, want 4", len(w.guests))
	}
	t.Run("started", w.readExample)
	w.restart(t)
	t.Run("killed and started again", w.readExample)
	if err := w.service.Stop(); err != nil {
		t.Errorf("stop service: %v", err)
	}
}

// readExample has cloud-init read everything that everybody has.
func (w *world) readExample(t *testing.T) {
	example := func(id, hostname, text string) understood {
		return understood{
			InstanceID: id + "/1", Hostname: hostname, Keys: []string{key}, UserData: motd(text), AvailabilityZone: "hall-7",
		}
	}
	want := map[string]understood{
		"web":  example(webID, "web.blue.example.com", "I am web, in blue."),
		"db":   example(dbID, "db.green.example.com", "I am db, in green."),
		"edge": example(edgeID, "edge.blue.example.com", "I am edge, in both."),
	}
	for name, g := range w.guests {
		t.Run("openstack "+name, func(t *testing.T) {
			t.Parallel()
			got := w.cloudInit(t, name, "openstack", "openstack", "")
			compare(t, want[g.app], got)
			if fmt.Sprint(got.Version) != "2" || !got.EC2 {
				t.Errorf("version %v, EC2 tree read: %t; want version 2 with the EC2 tree", got.Version, got.EC2)
			}
			if seed, err := base64.StdEncoding.DecodeString(got.RandomSeed); err != nil || len(seed) < 64 {
				t.Errorf("random seed of %d bytes, %v", len(seed), err)
			}
			checkNetwork(t, g, got.Network)
		})
		t.Run("ec2 "+name, func(t *testing.T) {
			t.Parallel()
			got := w.cloudInit(t, name, "ec2", "", "")
			if !strings.HasPrefix(got.InstanceID, "i-") {
				t.Errorf("instance-id %q does not begin as EC2's", got.InstanceID)
			}
			got.InstanceID = want[g.app].InstanceID
			compare(t, want[g.app], got)
		})
		t.Run("nocloud over HTTP "+name, func(t *testing.T) {
			t.Parallel()
			compare(t, want[g.app], w.cloudInit(t, name, "nocloud-net", "nocloud", ""))
		})
	}
	t.Run("nocloud drive", func(t *testing.T) {
		t.Parallel()
		drives, err := filepath.Glob(filepath.Join(msrv.Drives(w.root), "*"))
		if err != nil || len(drives) != 1 || filepath.Base(drives[0]) != webID+".iso" {
			t.Fatalf("drives: %v, %v; want web's alone", drives, err)
		}
		got := w.cloudInit(t, "web eth0", "nocloud", "", drives[0])
		compare(t, want["web"], got)
		checkNetwork(t, w.guests["web eth0"], got.Network)
	})
}

// checkNetwork looks for all adapters of the app in what was rendered for netplan.
func checkNetwork(t *testing.T, g *guest, network rendered) {
	t.Helper()
	text := network.text("netplan")
	for mac := range g.nics {
		if !strings.Contains(text, "macaddress: "+mac) {
			t.Errorf("no adapter %s in %s", mac, text)
		}
	}
	fixed := strings.Contains(text, "10.11.12.5/24")
	if dhcp := strings.Contains(text, "dhcp4: true"); dhcp == fixed || dhcp != (g.app == "edge") {
		t.Errorf("network of %s:\n%s", g.app, text)
	}
}

// motd is the user data of the example.
func motd(text string) []byte {
	return []byte("#cloud-config\nwrite_files:\n  - path: /etc/motd\n    content: |\n      " + text + "\n")
}
