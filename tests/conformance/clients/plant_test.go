// SPDX-License-Identifier: Apache-2.0

package clients_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lf-edge/eve-metadata/tests/tool"
)

// TestClients has every client read guests of which much is known, and nothing, in networks with every
// policy for tokens.
func TestClients(t *testing.T) {
	w := newWorld(t, "--manifests", "testdata/plant")
	t.Run("cloud-init", w.testCloudInit)
	t.Run("cloud-init chooses", w.testIdentify)
	t.Run("AWS SDK for Go", w.testSDK)
	t.Run("AWS SDK for JavaScript", w.testJavaScript)
	t.Run("tokens", w.testPolicy)
	t.Run("hop limit", w.testHopLimit)
	t.Run("programs", w.testPrograms)
	t.Run("Ignition", w.testIgnition)
	t.Run("curl", w.testCrawl)
	t.Run("killed and started again", w.testRestart)
}

const (
	fullID, plainID = "5f0c2d4e-8a36-4c55-9c0e-2f6d1b7a9f01", "5f0c2d4e-8a36-4c55-9c0e-2f6d1b7a9f03"
	fullUserData    = "#cloud-config\nwrite_files:\n  - path: /etc/motd\n    content: |\n      I am full.\n"
)

// testCloudInit has every datasource read the guest full, and what else there is to see.
func (w *world) testCloudInit(t *testing.T) {
	full := understood{
		InstanceID: fullID + "/4", Hostname: "full.plant.example.com", Keys: []string{key, keyBob},
		UserData: []byte(fullUserData), AvailabilityZone: "hall-7b",
	}
	vendor := full
	vendor.VendorData = []byte("#cloud-config\nntp: {enabled: true}\n")
	openstack := vendor
	openstack.VendorData2 = []byte("#cloud-config\ntimezone: Europe/Berlin\n")
	drive := openstack
	drive.Files = map[string][]byte{"/etc/plant/site.conf": []byte("listen = 10.11.12.5\n"), "/etc/plant/key.bin": {0, 1, 0xfe, 0xff}}
	for _, tt := range []struct {
		guest, datasource, dialect, image string
		want                              understood
		network                           map[string][]string
	}{
		{"full eth0", "openstack", "openstack", "", openstack, wholeNetwork()},
		{"full eth1", "openstack", "openstack", "", openstack, wholeNetwork()},
		{"full eth0", "configdrive", "", w.launch(w.guests["full eth0"]).Drive, drive, wholeNetwork()},
		{"full eth0", "nocloud-net", "nocloud", "", vendor, nil},
	} {
		t.Run(tt.datasource+" "+tt.guest, func(t *testing.T) {
			t.Parallel()
			got := w.cloudInit(t, tt.guest, tt.datasource, tt.dialect, tt.image)
			compare(t, tt.want, got)
			contains(t, got.Network, tt.network)
		})
	}
	t.Run("cloudstack", func(t *testing.T) {
		t.Parallel()
		want := full
		want.Password = "correct horse, battery staple"
		for range 2 { // which is on offer until the guest has it
			compare(t, want, w.cloudInit(t, "full eth0", "cloudstack", "cloudstack", ""))
			want.Password = ""
		}
	})
	t.Run("ec2", func(t *testing.T) {
		t.Parallel()
		w.testEC2(t, full)
	})
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		w.testPlain(t)
	})
}

// wholeNetwork is what each renderer has to say of full's network, but for what cloud-init 22.4 leaves out
// by itself: bonds and VLANs in networkd's files.
func wholeNetwork() map[string][]string {
	return map[string][]string{
		"netplan": {
			"- 10.11.12.5/24\n", "macaddress: 02:16:3e:31:12:05\n", "to: 0.0.0.0/0\n                via: 10.11.12.1\n",
			"to: 172.16.0.0/12\n                via: 10.11.12.2\n", "mtu: 1450\n", "mode: active-backup\n",
			"- 10.42.0.9/24\n", "id: 42\n", "id: 7\n",
		},
		"eni": {
			"address 10.11.12.5/24\n", "bond-master", "bond_mode active-backup\n", "address 10.42.0.9/24\n", "bond0.42", "eth0.7",
		},
		"sysconfig": {"IPADDR=10.11.12.5\n", "HWADDR=02:16:3e:31:12:05\n", "BONDING_OPTS=\"mode=active-backup", "IPADDR=10.42.0.9\n", "VLAN=yes\n"},
		"networkd":  {"Address=10.11.12.5/24\n", "Destination=172.16.0.0/12\n", "MTUBytes=1450\n"},
	}
}

// testEC2 reads as what cloud-init takes for Amazon, by its firmware and with tokens, and for another that
// has EC2's metadata, which says nothing in the firmware and knows no tokens.
func (w *world) testEC2(t *testing.T, full understood) {
	strict := understood{
		Hostname: "strict", Keys: []string{}, UserData: []byte("#cloud-config\nhostname: strict\n"), AvailabilityZone: "hall-8a",
	}
	for _, tt := range []struct {
		guest, dialect, cloud string
		want                  understood
	}{
		{"full eth0", "", "unknown", full},
		{"full eth0", "ec2", "aws", full},
		{"full eth1", "ec2", "aws", full},
		{"strict eth0", "ec2", "aws", strict},
		{"plain eth0", "ec2", "", understood{}}, // without tokens it is not Amazon
	} {
		t.Run(tt.guest+" "+tt.cloud, func(t *testing.T) {
			t.Parallel()
			got := w.cloudInit(t, tt.guest, "ec2", tt.dialect, "")
			if tt.cloud != "" && !strings.HasPrefix(got.InstanceID, "i-") {
				t.Errorf("instance-id %q does not begin as EC2's", got.InstanceID)
			}
			if got.Cloud != tt.cloud {
				t.Errorf("cloud %q, want %q", got.Cloud, tt.cloud)
			}
			got.InstanceID = tt.want.InstanceID
			compare(t, tt.want, got)
			if tt.cloud == "" {
				return
			}
			contains(t, got.Network, map[string][]string{"netplan": {
				"dhcp4: true\n", "macaddress: " + w.guests[tt.guest].status.VifInfo.Mac.String() + "\n",
			}})
		})
	}
}

// testPlain reads a guest of which nothing is known but its network.
func (w *world) testPlain(t *testing.T) {
	const name = "plain eth0"
	want := understood{InstanceID: plainID + "/1", Hostname: "plain", Keys: []string{}}
	for _, tt := range []struct{ datasource, dialect, image string }{
		{"openstack", "openstack", ""},
		{"nocloud-net", "nocloud", ""},
		{"nocloud", "", w.launch(w.guests[name]).Drive},
		{"cloudstack", "cloudstack", ""},
	} {
		t.Run(tt.datasource, func(t *testing.T) {
			t.Parallel()
			compare(t, want, w.cloudInit(t, name, tt.datasource, tt.dialect, tt.image))
		})
	}
}

// testRestart holds that a client which has a token from before the service was killed goes on, and that a
// password which a guest has is not offered again.
func (w *world) testRestart(t *testing.T) {
	c := w.guests["strict eth0"].sdk(aws.FalseTernary)
	want := w.sdkGuests()["strict eth0"]
	compareIdentity(t, want, readSDK(t, c))
	w.restart(t)
	compareIdentity(t, want, readSDK(t, c))
	if got := w.cloudInit(t, "full eth0", "cloudstack", "cloudstack", ""); got.InstanceID != fullID+"/4" || got.Password != "" {
		t.Errorf("cloud-init finds %q and the password %q", got.InstanceID, got.Password)
	}
}

// testIdentify holds that the firmware and the drives make cloud-init look where they are to make it look:
// ds-identify decides that, before anything else, from what it finds below a root.
func (w *world) testIdentify(t *testing.T) {
	tool.Need(t, "/usr/lib/cloud-init/ds-identify", "cloud-init")
	for _, tt := range []struct {
		guest, dialect string
		drive          bool
		want           string
	}{
		{"full eth0", "openstack", false, "OpenStack"},
		{"full eth0", "ec2", false, "Ec2"},
		{"full eth0", "nocloud", false, "NoCloud"},
		{"full eth0", "cloudstack", false, "CloudStack"},
		{"full eth0", "", true, "ConfigDrive"},
		{"plain eth0", "", true, "NoCloud"},
	} {
		t.Run(tt.want+" "+tt.guest, func(t *testing.T) {
			t.Parallel()
			g := w.guests[tt.guest]
			image := ""
			if tt.drive {
				image = w.launch(g).Drive
			}
			if got := identify(t, w.firmware(g, tt.dialect), image); got != "datasource_list: [ "+tt.want+", None ]\n" {
				t.Errorf("cloud-init looks at %q", got)
			}
		})
	}
}

// identify runs ds-identify on a machine with a firmware, and with a drive if image is not "".
func identify(t *testing.T, firmware map[string]string, image string) string {
	t.Helper()
	root := t.TempDir()
	blkid := "#!/bin/sh\n"
	if image != "" {
		blkid += fmt.Sprintf("exec %q -p -o export %q\n", find(t, "blkid"), image)
	}
	files := map[string]string{
		"bin/blkid": blkid, "bin/systemd-detect-virt": "#!/bin/sh\necho kvm\n", "proc/cmdline": "\n", "proc/1/environ": "",
		"proc/uptime": "1 1\n", "etc/cloud/cloud.cfg": "",
	}
	for keyword, file := range map[string]string{
		"system-uuid": "product_uuid", "system-product-name": "product_name", "system-serial-number": "product_serial",
		"chassis-asset-tag": "chassis_asset_tag",
	} {
		files["sys/class/dmi/id/"+file] = firmware[keyword] + "\n"
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "/usr/lib/cloud-init/ds-identify")
	cmd.Env = []string{"PATH_ROOT=" + root, "PATH=" + filepath.Join(root, "bin") + ":" + os.Getenv("PATH"), "DI_LOG=stderr"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ds-identify: %v\n%s", err, out)
	}
	list, err := os.ReadFile(filepath.Join(root, "run/cloud-init/cloud.cfg"))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(list)
}

func find(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
