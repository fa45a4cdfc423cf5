// SPDX-License-Identifier: Apache-2.0

package openstack_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/openstack"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

func renderDrive(t *testing.T, in *instance.Instance) *document.Node {
	t.Helper()
	root, err := openstack.Dialect().Drive.Render(in)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestDriveFiles holds which files are on the drive, of which version and no others.
func TestDriveFiles(t *testing.T) {
	t.Parallel()
	all := "meta_data.json user_data vendor_data.json network_data.json vendor_data2.json"
	for _, tt := range []struct {
		name, version, want string
		in                  *instance.Instance
	}{
		{"rich, oldest", "2012-08-10", "meta_data.json user_data", dialecttest.Rich()},
		{"rich, with a password over HTTP", "2013-04-04", "meta_data.json user_data", dialecttest.Rich()},
		{"rich, the newest that cloud-init knows", "2018-08-27", all, dialecttest.Rich()},
		{"rich, newest", "2025-04-04", all, dialecttest.Rich()},
		{"rich, latest", "latest", all, dialecttest.Rich()},
		{"rich, files", "content", "0000 0001", dialecttest.Rich()},
		{"empty", "latest", "meta_data.json", dialecttest.Empty()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, e := range renderDrive(t, tt.in).Lookup("openstack/" + tt.version).Entries() {
				got = append(got, e.Name)
			}
			if diff := cmp.Diff(strings.Fields(tt.want), got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDriveAgrees holds that a guest reads the same from the drive as over HTTP, but for passwords.
func TestDriveAgrees(t *testing.T) {
	t.Parallel()
	in := dialecttest.Rich()
	in.Password = nil
	err := renderDrive(t, in).Walk(func(path string, n *document.Node) error {
		if n.IsDirectory() {
			return nil
		}
		if diff := cmp.Diff(string(lookup(t, in, path).Body()), string(n.Document().Body())); diff != "" {
			t.Errorf("%s (-HTTP +drive):\n%s", path, diff)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestAdminPass holds that the administrator's password is on the drive, in all versions, and never over HTTP.
func TestAdminPass(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		password instance.Opaque
		want     string
	}{
		{"none", nil, ""},
		{"empty", instance.Opaque{}, ""},
		{"text", instance.Opaque("pässword <\"1>\n"), "pässword <\"1>\n"},
		{"no UTF-8", instance.Opaque("pass\xff"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := dialecttest.Small()
			in.Password = tt.password
			for _, e := range renderDrive(t, in).Lookup("openstack").Entries() {
				path := "openstack/" + e.Name + "/meta_data.json"
				if got := adminPassIn(t, e.Node.Lookup("meta_data.json").Document()); got != tt.want {
					t.Errorf("/%s on the drive: password %q, want %q", path, got, tt.want)
				}
				if got := adminPassIn(t, lookup(t, in, path)); got != "" {
					t.Errorf("/%s over HTTP: password %q", path, got)
				}
			}
		})
	}
}

func adminPassIn(t *testing.T, d *document.Document) string {
	t.Helper()
	var md struct {
		AdminPass string `json:"admin_pass"`
	}
	if err := json.Unmarshal(d.Body(), &md); err != nil {
		t.Fatal(err)
	}
	return md.AdminPass
}

// TestDriveFaults holds that vendor data that cannot be worded is a fault under the name of its file, which
// no drive is made with.
func TestDriveFaults(t *testing.T) {
	t.Parallel()
	in := dialecttest.Small()
	in.VendorData2 = instance.Opaque("\xff")
	var faulty []string
	err := renderDrive(t, in).Walk(func(path string, n *document.Node) error {
		if n.Document().Fault() != "" {
			faulty = append(faulty, path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if len(faulty) == 0 || slices.ContainsFunc(faulty, func(path string) bool { return !strings.HasSuffix(path, "/vendor_data2.json") }) {
		t.Errorf("faulty files: %q", faulty)
	}
}

func TestFirmware(t *testing.T) {
	t.Parallel()
	if got := openstack.Dialect().Firmware(dialecttest.Small()).Product; got != "OpenStack Compute" {
		t.Errorf("product %q is none that cloud-init asks OpenStack's metadata for", got)
	}
}
