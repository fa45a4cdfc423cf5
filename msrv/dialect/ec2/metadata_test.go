// SPDX-License-Identifier: Apache-2.0

package ec2_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/ec2"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

func render(t *testing.T, in *instance.Instance) *document.Node {
	t.Helper()
	root, err := ec2.Dialect().At(dialect.Metadata).Render(in)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// body is the text at a path, "404" for what is not there.
func body(t *testing.T, in *instance.Instance, path string) string {
	t.Helper()
	n := render(t, in).Lookup(path)
	if n == nil || n.Document() == nil {
		return "404"
	}
	return string(n.Document().Body())
}

// TestVersions holds what each version of meta-data has, as Nova dates it.
func TestVersions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ version, want string }{
		{"1.0", "ami-id ami-launch-index ami-manifest-path hostname instance-id local-ipv4 public-keys/ reservation-id security-groups"},
		{"2007-01-19", "ami-id ami-launch-index ami-manifest-path hostname instance-id local-hostname local-ipv4 public-hostname public-ipv4 public-keys/ reservation-id security-groups"},
		{"2007-03-01", "ami-id ami-launch-index ami-manifest-path hostname instance-id local-hostname local-ipv4 public-hostname public-ipv4 public-keys/ reservation-id security-groups"},
		{"2007-08-29", "ami-id ami-launch-index ami-manifest-path hostname instance-id instance-type local-hostname local-ipv4 public-hostname public-ipv4 public-keys/ reservation-id security-groups"},
		{"2007-10-10", "ami-id ami-launch-index ami-manifest-path hostname instance-id instance-type local-hostname local-ipv4 public-hostname public-ipv4 public-keys/ reservation-id security-groups"},
		{"2007-12-15", "ami-id ami-launch-index ami-manifest-path block-device-mapping/ hostname instance-id instance-type local-hostname local-ipv4 public-hostname public-ipv4 public-keys/ reservation-id security-groups"},
		{"2008-02-01", "ami-id ami-launch-index ami-manifest-path block-device-mapping/ hostname instance-id instance-type local-hostname local-ipv4 placement/ public-hostname public-ipv4 public-keys/ reservation-id security-groups"},
		{"2008-09-01", "ami-id ami-launch-index ami-manifest-path block-device-mapping/ hostname instance-action instance-id instance-type local-hostname local-ipv4 placement/ public-hostname public-ipv4 public-keys/ reservation-id security-groups"},
		{"2009-04-04", "ami-id ami-launch-index ami-manifest-path block-device-mapping/ hostname instance-action instance-id instance-type local-hostname local-ipv4 placement/ public-hostname public-ipv4 public-keys/ reservation-id security-groups"},
		{"latest", "ami-id ami-launch-index ami-manifest-path block-device-mapping/ hostname instance-action instance-id instance-type local-hostname local-ipv4 placement/ public-hostname public-ipv4 public-keys/ reservation-id security-groups"},
		{"2016-09-02", "404"},
		{"2018-09-24", "404"},
		{"2021-03-23", "404"},
	} {
		t.Run(tt.version, func(t *testing.T) {
			t.Parallel()
			for _, prefix := range []string{"", "ec2/"} {
				got := body(t, dialecttest.Rich(), prefix+tt.version+"/meta-data")
				if diff := cmp.Diff(tt.want, strings.ReplaceAll(got, "\n", " ")); diff != "" {
					t.Errorf("%smeta-data (-want +got):\n%s", prefix, diff)
				}
			}
		})
	}
}

func TestInstanceID(t *testing.T) {
	t.Parallel()
	a, b, c := dialecttest.Small(), dialecttest.Small(), dialecttest.Small()
	b.Version += "1"
	c.UserData, c.Name, c.Hostname = nil, "other", "other"
	id := func(in *instance.Instance) string { return body(t, in, "latest/meta-data/instance-id") }
	if !regexp.MustCompile(`^i-[0-9a-f]{17}$`).MatchString(id(a)) {
		t.Errorf("instance id %q", id(a))
	}
	if id(a) == id(b) {
		t.Error("a new version has the old instance id")
	}
	if id(a) != id(c) {
		t.Error("the instance id depends on more than identity and version")
	}
	reservation := func(in *instance.Instance) string { return body(t, in, "latest/meta-data/reservation-id") }
	if reservation(a) != reservation(b) {
		t.Error("a new version has a new reservation")
	}
}

func TestUserData(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		in            instance.Opaque
		listing, want string
	}{
		"none":     {nil, "meta-data/", "404"},
		"no bytes": {instance.Opaque{}, "meta-data/\nuser-data", ""},
		"binary":   {instance.Opaque("\x1f\x8b\x00\xff\n"), "meta-data/\nuser-data", "\x1f\x8b\x00\xff\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := &instance.Instance{UserData: tt.in}
			if diff := cmp.Diff(tt.listing, body(t, in, "1.0")); diff != "" {
				t.Errorf("listing (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, body(t, in, "latest/user-data")); diff != "" {
				t.Errorf("user-data (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLeaves(t *testing.T) {
	t.Parallel()
	const base = "latest/meta-data/"
	for _, tt := range []struct {
		name string
		in   instance.Instance
		path string
		want string
	}{
		{"hostname without a domain", instance.Instance{Hostname: "a"}, "hostname", "a"},
		{"no address", instance.Instance{}, "local-ipv4", "404"},
		{"no zone", instance.Instance{AvailabilityZone: " "}, "placement", "404"},
		{"line breaks in a value", instance.Instance{AvailabilityZone: "a\nb"}, "placement/availability-zone", "a-b"},
		{"no keys", instance.Instance{}, "public-keys", "404"},
		{"several keys", instance.Instance{Keys: []instance.Key{{Name: "a", Data: "A"}, {Name: "a", Data: "B"}}}, "public-keys", "0=a\n1=a-2"},
		{"the second key", instance.Instance{Keys: []instance.Key{{Name: "a", Data: "A"}, {Name: "b", Data: "B"}}}, "public-keys/1/openssh-key", "B"},
		{"a key by its line", instance.Instance{Keys: []instance.Key{{Name: "a", Data: "A"}}}, "public-keys/0=a", "404"},
		{"no groups", instance.Instance{SecurityGroups: []string{" "}}, "security-groups", "404"},
		{"below a leaf", instance.Instance{}, "instance-id/x", "404"},
		{"below a list", instance.Instance{SecurityGroups: []string{"default"}}, "security-groups/default", "404"},
		{"the device of ami", instance.Instance{BlockDevices: []instance.BlockDevice{{Name: "ami", Device: "/dev/vda"}}}, "block-device-mapping/ami", "vda"},
		{"sorted devices", instance.Instance{BlockDevices: []instance.BlockDevice{{Name: "root", Device: "/dev/vda"}, {Name: "ebs1", Device: "/dev/vdb"}}}, "block-device-mapping", "ebs1\nroot"},
		{"no device that can be listed", instance.Instance{BlockDevices: []instance.BlockDevice{{Name: "a=b", Device: "/dev/vda"}}}, "block-device-mapping", "404"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, body(t, &tt.in, base+tt.path)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.path, diff)
			}
		})
	}
}

func TestTooManyKeys(t *testing.T) {
	t.Parallel()
	in := &instance.Instance{UUID: "0a", Keys: []instance.Key{{Name: "a", Data: strings.Repeat("k\n", 1001)}}}
	_, err := ec2.Dialect().At(dialect.Metadata).Render(in)
	if err == nil || !strings.Contains(err.Error(), `"0a"`) || !strings.Contains(err.Error(), "1000") {
		t.Errorf("error %v does not name the instance and the limit", err)
	}
}

// TestVersionsShareNodes holds that twenty versions do not cost twenty trees.
func TestVersionsShareNodes(t *testing.T) {
	t.Parallel()
	root := render(t, dialecttest.Rich())
	for a, b := range map[string]string{"latest": "2009-04-04", "2009-04-04": "2008-09-01", "2007-03-01": "2007-01-19", "ec2/1.0": "1.0"} {
		if root.Lookup(a) != root.Lookup(b) {
			t.Errorf("%s and %s are two nodes", a, b)
		}
	}
	if root.Lookup("1.0/meta-data/hostname") != root.Lookup("latest/meta-data/hostname") {
		t.Error("one leaf is two nodes in two versions")
	}
}
