// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"context"
	"encoding/base64"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/tests/guest/image"
	"github.com/lf-edge/eve-metadata/tests/tool"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// shellGuest is a guest that has neither Python nor cloud-init: BusyBox and a script that asks as CirrOS does. It can read
// little and believes much: its drives are found by the exact label, its JSON is read by awk, EC2's tree is asked for leaf by
// leaf in the oldest version. All that it became is compared, to the byte, and over HTTP every request with its status.
type shellGuest struct {
	name    string
	image   string
	app     fields // beside those of shellApp
	becomes map[string]string
	broken  tampering // which it notices
}

// boots is a scenario with one boot, of a few seconds.
func (d shellGuest) boots(t *testing.T, binary string) {
	s, got := d.boot(t, binary)
	if diff := cmp.Diff(d.becomes, got); diff != "" {
		t.Errorf("the guest (-want +got):\n%s", diff)
	}
	request := map[string]any{"msg": "metadata request"}
	asked := strings.Count(got["requests"], "\n")
	s.AwaitLogs(asked, request)
	if served := s.Journal.Count(request); served != asked {
		t.Errorf("the guest has asked %d times, and was served %d times", asked, served)
	}
}

// noticed is a scenario in which the guest is told something wrong, which it has to become.
func (d shellGuest) noticed(t *testing.T, tampered string) {
	_, got := d.boot(t, d.broken.by(t, tampered))
	if diff := cmp.Diff(d.becomes, got); diff == "" {
		t.Errorf("the guest is as it should be, although %+v", d.broken)
	} else {
		t.Logf("as it should, the guest differs (-want +got):\n%s", diff)
	}
}

// boot boots the guest, and returns what it has become, as it says by itself: content by file of its report.
func (d shellGuest) boot(t *testing.T, binary string) (*scene, map[string]string) {
	t.Helper()
	if d.image == image.ShellARM64 {
		tool.Need(t, "qemu-system-aarch64", "qemu-system-arm")
	}
	s := newScene(t, binary)
	s.network(shellNetwork())
	s.app(shellApp().merged(d.app))
	s.Start()
	g := s.guest("web", d.image)
	g.start()
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	dir, err := g.on.Report(ctx)
	if err != nil {
		t.Fatal(err)
	}
	progress(t, s.began, "web, boot 1: has reported")
	got := make(map[string]string)
	dir = filepath.Join(dir, "report")
	err = fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		got[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, got
}

const (
	shellOperator = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAQ4zZQWo5UGiiQ5Stw9unr2/UZLr5yBwFrE5fsnWats operator@example.com"
	shellBackup   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9dKdYQh3pFZGeYCTDyGrZGQvWJOAfrV1kzIFOMvTS1 backup's \"key\" \\ é"
	shellScript   = "#!/bin/sh\necho \"I am $(hostname), by $0\"\n"
)

// shellNetwork is the network of these guests.
func shellNetwork() fields {
	return fields{
		"name": "blue", "subnet": "10.11.12.0/24", "domain": "blue.example.com", "mtu": 1400,
		"dns": []string{"192.0.2.53"}, "routes": []fields{{"to": "192.0.2.0/24", "via": "10.11.12.7"}},
	}
}

// shellApp is an app of which there is little to say.
func shellApp() fields {
	return fields{
		"name": "web", "uuid": world.UUIDOf("web"), "runtime": "vm",
		"adapters": []fields{{"name": "eth0", "network": "blue", "mac": "02:16:3e:11:12:05", "ipv4": "10.11.12.5"}},
	}
}

// shellFacts are what there can be to say.
func shellFacts() fields {
	return fields{
		"hostname": "web-1", "domain": "blue.example.com", "cloudInitVersion": 3, "launchIndex": 7,
		"availabilityZone": "hall-7", "instanceType": "small", "userData": shellScript,
		"sshKeys":      []fields{{"name": "operator", "key": shellOperator}, {"name": "backup", "key": shellBackup}},
		"blockDevices": []fields{{"name": "root", "device": "/dev/vda"}, {"name": "ephemeral0", "device": "/dev/vdb"}},
	}
}

// shellRoutes are those that the network tells its guests.
const shellRoutes = "169.254.169.254/32 10.11.12.1 0.0.0.0/0 10.11.12.1 192.0.2.0/24 10.11.12.7"

// shellReport is the report of a guest that has a lease, with more in it; where it is called what by DHCP.
func shellReport(leased string, more map[string]string) map[string]string {
	all := map[string]string{
		"mac": "02:16:3e:11:12:05\n", "mtu": "1400\n",
		"addr":        "2: eth0    inet 10.11.12.5/24 scope global eth0\\       valid_lft forever preferred_lft forever\n",
		"resolv.conf": "search blue.example.com\nnameserver 10.11.12.1\n",
		"route": `default via 10.11.12.1 dev eth0 
10.11.12.0/24 dev eth0 scope link  src 10.11.12.5 
169.254.169.254 via 10.11.12.1 dev eth0 
192.0.2.0/24 via 10.11.12.7 dev eth0 
`,
		"lease": "ip=10.11.12.5\nmask=24\nrouter=10.11.12.1\ndns=10.11.12.1\ndomain=blue.example.com\nsearch=blue.example.com\n" +
			"hostname=" + leased + "\nmtu=1400\nstaticroutes=" + shellRoutes + "\nmsstaticroutes=" + shellRoutes + "\n",
	}
	maps.Copy(all, more)
	return all
}

// shellRequests is the record of requests, each a status and a path below EC2's version, to which the base is added.
func shellRequests(lines ...string) string {
	var all strings.Builder
	for _, line := range lines {
		status, path, _ := strings.Cut(line, " ")
		all.WriteString(status + " http://169.254.169.254/2009-04-04/" + path + "\n")
	}
	return all.String()
}

// shellGuests are all of them.
func shellGuests() []shellGuest {
	binaryData := "\x1f\x8b\x00 no script\n\xff\xfe"
	return []shellGuest{
		{
			// A drive that is read without Python, and nothing asked over HTTP.
			name: "shell-nocloud", image: image.ShellAMD64, app: shellFacts().merged(fields{"metadataType": "drive"}),
			becomes: shellReport("web-1", map[string]string{
				"datasource": "nocloud\n", "instance-id": world.UUIDOf("web") + "/3",
				"name": "web-1.blue.example.com", "hostname": "web-1.blue.example.com\n",
				"public-keys": shellOperator + "\n" + shellBackup + "\n",
				"user-data":   shellScript, "user-data.out": "I am web-1.blue.example.com, by /tmp/user-data\n",
			}),
			broken: tampering{"nocloud", "/meta-data", shellOperator, strings.ToLower(shellOperator)},
		},
		{
			// Files are put into the guest, and user data that is no script is kept as it is.
			name: "shell-configdrive", image: image.ShellAMD64,
			app: shellFacts().merged(fields{
				"metadataType": "configdrive", "userData": nil, "userDataBase64": base64.StdEncoding.EncodeToString([]byte(binaryData)),
				"files": []fields{
					{"path": "/etc/guest/motd", "text": "I am web\n"},
					{"path": "/etc/guest/empty", "text": ""},
					{"path": "/srv/blob", "base64": base64.StdEncoding.EncodeToString([]byte(binaryData))},
				},
			}),
			becomes: shellReport("web-1", map[string]string{
				"datasource": "configdrive\n", "instance-id": world.UUIDOf("web") + "/3",
				"name": "web-1.blue.example.com", "hostname": "web-1.blue.example.com\n",
				"public-keys":       shellBackup + "\n" + shellOperator + "\n", // an object's names are sorted
				"availability-zone": "hall-7", "launch-index": "7", "user-data": binaryData,
				"files/etc/guest/motd": "I am web\n", "files/etc/guest/empty": "", "files/srv/blob": binaryData,
			}),
			broken: tampering{"openstack", "/meta_data.json", "hall-7", "hall-8"},
		},
		{
			// All that such a guest asks for is there.
			name: "shell-ec2", image: image.ShellAMD64, app: shellFacts().merged(fields{"metadataType": "openstack", "datasource": "ec2"}),
			becomes: shellReport("web-1", map[string]string{
				"datasource": "ec2\n", "instance-id": "i-a94d9563a5357663b", "instance-type": "small",
				"name": "web-1.blue.example.com", "hostname": "web-1.blue.example.com\n",
				"local-hostname": "web-1.blue.example.com", "public-hostname": "web-1.blue.example.com",
				"local-ipv4": "10.11.12.5", "public-ipv4": "", "availability-zone": "hall-7", "launch-index": "7",
				"public-keys":          shellOperator + "\n" + shellBackup + "\n",
				"block-device-mapping": "ephemeral0=/dev/vdb\nroot=/dev/vda\n",
				"user-data":            shellScript, "user-data.out": "I am web-1.blue.example.com, by /tmp/user-data\n",
				"requests": shellRequests(
					"200 meta-data/instance-id",
					"200 meta-data/public-keys",
					"200 meta-data/public-keys/0/openssh-key",
					"200 meta-data/public-keys/1/openssh-key",
					"200 meta-data/instance-id",
					"200 meta-data/ami-launch-index",
					"200 meta-data/instance-type",
					"200 meta-data/local-ipv4",
					"200 meta-data/public-ipv4",
					"200 meta-data/hostname",
					"200 meta-data/local-hostname",
					"200 user-data",
					"200 meta-data/block-device-mapping",
					"200 meta-data/block-device-mapping/ephemeral0",
					"200 meta-data/block-device-mapping/root",
					"200 meta-data/public-hostname",
					"200 meta-data/placement/availability-zone",
				),
			}),
		},
		{
			// Another architecture, and as little said of the guest as can be: what is missing is a 404, and asked for once.
			name: "shell-arm64", image: image.ShellARM64, app: fields{"metadataType": "openstack", "datasource": "ec2"},
			becomes: shellReport("web", map[string]string{
				"datasource": "ec2\n", "instance-id": "i-dadb9fc0b715e0e74",
				"name": "web.blue.example.com", "hostname": "web.blue.example.com\n",
				"local-hostname": "web.blue.example.com", "public-hostname": "web.blue.example.com",
				"local-ipv4": "10.11.12.5", "public-ipv4": "", "launch-index": "0",
				"requests": shellRequests(
					"200 meta-data/instance-id",
					"404 meta-data/public-keys",
					"200 meta-data/instance-id",
					"200 meta-data/ami-launch-index",
					"404 meta-data/instance-type",
					"200 meta-data/local-ipv4",
					"200 meta-data/public-ipv4",
					"200 meta-data/hostname",
					"200 meta-data/local-hostname",
					"404 user-data",
					"404 meta-data/block-device-mapping",
					"200 meta-data/public-hostname",
					"404 meta-data/placement/availability-zone",
				),
			}),
		},
	}
}
