// SPDX-License-Identifier: Apache-2.0

package cloudstack_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect/cloudstack"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

func drive(t *testing.T, in *instance.Instance) map[string]string {
	t.Helper()
	root, err := cloudstack.Dialect().Drive.Render(in)
	if err != nil {
		t.Fatal(err)
	}
	return files(t, root)
}

func TestDrive(t *testing.T) {
	t.Parallel()
	const passwords = "cloudstack/password/"
	withPassword := func(password, checksum string) map[string]string {
		return map[string]string{
			passwords + "vm_password.txt":             password,
			passwords + "vm-password-md5checksum.txt": checksum,
			passwords + "vm_password_md5checksum.txt": checksum,
		}
	}
	for _, tt := range []struct {
		name string
		set  func(*instance.Instance)
		want map[string]string // beside what is always there
	}{
		{"the least", func(*instance.Instance) {}, nil},
		{"user data", func(in *instance.Instance) { in.UserData = instance.Opaque("\xff\r\n") }, map[string]string{"cloudstack/userdata/user_data.txt": "\xff\r\n"}},
		{"user data of no bytes", func(in *instance.Instance) { in.UserData = instance.Opaque{} }, nil},
		{"a password", func(in *instance.Instance) { in.Password = instance.Opaque("hunter2") }, withPassword("hunter2", "2ab96390c7dbe3439de74d0c9b0b1767")},
		{"a checksum that begins with zeros", func(in *instance.Instance) { in.Password = instance.Opaque("363") }, withPassword("363", "00411460f7c92d2124a67ea0f4cb5f85")},
		{"a password of no bytes", func(in *instance.Instance) { in.Password = instance.Opaque{} }, nil},
		{"names with both signs", func(in *instance.Instance) { in.AvailabilityZone = "hall-7" }, map[string]string{
			"cloudstack/metadata/availability-zone.txt": "hall-7", "cloudstack/metadata/availability_zone.txt": "hall-7",
		}},
		{"a tag as it is", func(in *instance.Instance) { in.Tags = map[string]string{"a-b": "1", "a_b": "2"} }, map[string]string{
			"cloudstack/metadata/a-b.txt": "1", "cloudstack/metadata/a_b.txt": "2",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := &instance.Instance{UUID: "0a", Version: "1", Hostname: "host"}
			tt.set(in)
			want := map[string]string{
				"cloudstack/metadata/local-hostname.txt": "host", "cloudstack/metadata/local_hostname.txt": "host",
				"cloudstack/metadata/instance-id.txt": "0a/1", "cloudstack/metadata/instance_id.txt": "0a/1",
				"cloudstack/metadata/vm-id.txt": "0a", "cloudstack/metadata/vm_id.txt": "0a",
			}
			maps.Copy(want, tt.want)
			if diff := cmp.Diff(want, drive(t, in)); diff != "" {
				t.Errorf("drive (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDriveHasNoEmptyFolder holds that a directory is there for its files only.
func TestDriveHasNoEmptyFolder(t *testing.T) {
	t.Parallel()
	root, err := cloudstack.Dialect().Drive.Render(dialecttest.Empty())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range root.Lookup("cloudstack").Entries() {
		if e.Name != "metadata" {
			t.Errorf("there is %s", e.Name)
		}
	}
}

func TestDriveFault(t *testing.T) {
	t.Parallel()
	_, err := cloudstack.Dialect().Drive.Render(&instance.Instance{UUID: "0a", UserDataFault: "no key"})
	if err == nil || !strings.Contains(err.Error(), `"0a"`) || !strings.Contains(err.Error(), "no key") {
		t.Errorf("error %v does not name the instance and the reason", err)
	}
}
