// SPDX-License-Identifier: Apache-2.0

package ec2_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/ec2"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// dhcp is what an adapter in use has at least.
var dhcp = instance.Addressing{Method: instance.DHCP}

// mac is a card's address.
func mac(n byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, n} }

// card6 is a card with a known address where IPv6's are.
func card6(address string) instance.Adapter {
	return instance.Adapter{IPv6: instance.Addressing{Method: instance.Static, Address: netip.MustParsePrefix(address)}}
}

func render(t testing.TB, in *instance.Instance) *document.Node {
	t.Helper()
	root, err := ec2.Dialect().At(dialect.Metadata).Render(in)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// body is the text at a path, "404" for what is not there.
func body(t testing.TB, in *instance.Instance, path string) string {
	t.Helper()
	n := render(t, in).Lookup(path)
	if n == nil || n.Document() == nil {
		return "404"
	}
	return string(n.Document().Body())
}

// TestVersions holds what each version adds to meta-data and to a card in it, as Nova and EC2 date it.
func TestVersions(t *testing.T) {
	t.Parallel()
	const card = "network/interfaces/macs/02:16:3e:ab:cd:ef"
	var keys, cardKeys []string
	for _, tt := range []struct{ version, adds, addsToCard string }{
		{"1.0", "ami-id ami-launch-index ami-manifest-path hostname instance-id local-ipv4 public-keys/ reservation-id security-groups", ""},
		{"2007-01-19", "local-hostname public-hostname public-ipv4", ""},
		{"2007-03-01", "", ""},
		{"2007-08-29", "instance-type", ""},
		{"2007-10-10", "", ""},
		{"2007-12-15", "block-device-mapping/", ""},
		{"2008-02-01", "placement/", ""},
		{"2008-09-01", "instance-action", ""},
		{"2009-04-04", "", ""},
		{"2011-01-01", "mac network/", "device-number interface-id local-hostname local-ipv4s mac owner-id security-groups subnet-id subnet-ipv4-cidr-block vpc-id vpc-ipv4-cidr-block"},
		{"2011-05-01", "", ""},
		{"2012-01-12", "", ""},
		{"2014-02-25", "services/", ""},
		{"2014-11-05", "", ""},
		{"2015-10-20", "", ""},
		{"2016-04-19", "", ""},
		{"2016-06-30", "", "ipv6s subnet-ipv6-cidr-blocks vpc-ipv4-cidr-blocks vpc-ipv6-cidr-blocks"},
		{"2016-09-02", "", ""},
		{"2018-03-28", "", ""},
		{"2018-08-17", "", ""},
		{"2018-09-24", "", ""},
		{"2019-10-01", "", ""},
		{"2020-10-27", "", ""},
		{"2021-01-03", "ipv6", "network-card"},
		{"2021-03-23", "tags/", ""},
		{"latest", "", ""},
	} {
		keys = slices.Sorted(slices.Values(append(keys, strings.Fields(tt.adds)...)))
		cardKeys = slices.Sorted(slices.Values(append(cardKeys, strings.Fields(tt.addsToCard)...)))
		for _, prefix := range []string{"", "ec2/"} {
			path := prefix + tt.version + "/meta-data"
			if diff := cmp.Diff(strings.Join(keys, " "), listing(t, path)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
			want := strings.Join(cardKeys, " ")
			if cardKeys == nil {
				want = "404"
			}
			if diff := cmp.Diff(want, listing(t, path+"/"+card)); diff != "" {
				t.Errorf("%s/%s (-want +got):\n%s", path, card, diff)
			}
		}
	}
}

// listing is that of a directory of Rich in one line.
func listing(t *testing.T, path string) string {
	t.Helper()
	return strings.ReplaceAll(body(t, dialecttest.Rich(), path), "\n", " ")
}

// TestNoOtherVersion holds that a date which is no version is not there: clients take the newest that is.
func TestNoOtherVersion(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2009-04-05", "2016-11-30", "2024-04-11", "2099-01-01", "LATEST", "1", "ec2/ec2", "ec2/openstack"} {
		if got := body(t, dialecttest.Rich(), version); got != "404" {
			t.Errorf("%s is %q", version, got)
		}
	}
}

// TestPlacement holds that a directory grows with the versions too.
func TestPlacement(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"2007-12-15": "404", "2008-02-01": "availability-zone", "2019-10-01": "availability-zone",
		"2020-10-27": "availability-zone region", "latest": "availability-zone region",
	} {
		if got := listing(t, version+"/meta-data/placement"); got != want {
			t.Errorf("placement of %s is %q, want %q", version, got, want)
		}
	}
}

// TestSorted holds that listings are in the order of names, as EC2's and Nova's are.
func TestSorted(t *testing.T) {
	t.Parallel()
	for _, c := range dialecttest.Cases() {
		err := render(t, c.Make()).Walk(func(path string, n *document.Node) error {
			if n.IsDirectory() && path != "" && path != "ec2" && !strings.HasSuffix(path, "public-keys") {
				if lines := strings.Split(string(n.Document().Body()), "\n"); !slices.IsSorted(lines) {
					return fmt.Errorf("%s: /%s is not sorted: %q", c.Name, path, lines)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
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
		{"a text in braces", instance.Instance{InstanceType: ` {"a": 1} `}, "instance-type", `-"a": 1}`},
		{"a brace", instance.Instance{InstanceType: `{a`}, "instance-type", `{a`},
		{"groups in braces", instance.Instance{SecurityGroups: []string{"{}", "{}"}}, "security-groups", "-}\n-}"},
		{"the first IPv6 address", instance.Instance{Adapters: []instance.Adapter{{}, card6("fd00::1/64"), card6("fd00::2/64")}}, "ipv6", "fd00::1"},
		{"an IPv4 address among IPv6's", instance.Instance{Adapters: []instance.Adapter{card6("10.0.0.1/8")}}, "ipv6", "404"},
		{"no card", instance.Instance{}, "mac", "404"},
		{"no card, no network", instance.Instance{}, "network", "404"},
		{"a card without addressing", instance.Instance{Adapters: []instance.Adapter{{MAC: mac(1)}}}, "network", "404"},
		{"the first card", instance.Instance{Adapters: []instance.Adapter{{MAC: mac(1)}, {MAC: mac(9), IPv4: dhcp}, {MAC: mac(2), IPv4: dhcp}}}, "mac", "02:00:00:00:00:09"},
		{"sorted cards", instance.Instance{Adapters: []instance.Adapter{{MAC: mac(9), IPv4: dhcp}, {MAC: mac(2), IPv4: dhcp}}}, "network/interfaces/macs", "02:00:00:00:00:02/\n02:00:00:00:00:09/"},
		{"the number of a card", instance.Instance{Adapters: []instance.Adapter{{MAC: mac(9), IPv4: dhcp}, {MAC: mac(2), IPv4: dhcp}}}, "network/interfaces/macs/02:00:00:00:00:02/device-number", "1"},
		{"a card in no network", instance.Instance{Adapters: []instance.Adapter{{MAC: mac(9), IPv4: dhcp}}}, "network/interfaces/macs/02:00:00:00:00:09", "device-number\ninterface-id\nmac\nnetwork-card"},
		{"the domain of services", instance.Instance{Domain: "plant.example"}, "services/domain", "plant.example"},
		{"services without a domain", instance.Instance{}, "services", "partition"},
		{"no groups", instance.Instance{SecurityGroups: []string{" "}}, "security-groups", "404"},
		{"below a leaf", instance.Instance{}, "instance-id/x", "404"},
		{"below a list", instance.Instance{SecurityGroups: []string{"default"}}, "security-groups/default", "404"},
		{"the device of ami", instance.Instance{BlockDevices: []instance.BlockDevice{{Name: "ami", Device: "/dev/vda"}}}, "block-device-mapping/ami", "vda"},
		{"sorted devices", instance.Instance{BlockDevices: []instance.BlockDevice{{Name: "root", Device: "/dev/vda"}, {Name: "ebs1", Device: "/dev/vdb"}}}, "block-device-mapping", "ebs1\nroot"},
		{"a device without a name", instance.Instance{BlockDevices: []instance.BlockDevice{{Name: "ami", Device: "/dev/"}, {Name: "ami", Device: "/dev/vdb"}}}, "block-device-mapping/ami", "vdb"},
		{"a tag", instance.Instance{Tags: map[string]string{"A:b@c+d.e_f,-9": "v\n"}}, "tags/instance/A:b@c+d.e_f,-9", "v"},
		{"a tag that says nothing", instance.Instance{Tags: map[string]string{"a": ""}}, "tags/instance/a", ""},
		{"a tag in JSON", instance.Instance{Tags: map[string]string{"a": "{}"}}, "tags/instance/a", "{}"},
		{"sorted tags", instance.Instance{Tags: map[string]string{"b": "", "a": "", "C": ""}}, "tags/instance", "C\na\nb"},
		{"tags that cannot be listed", instance.Instance{Tags: map[string]string{"": "", ".": "", "..": "", "_index": "", "a b": "", "a/b": "", "1=a": "", "ä": "", "a\n": ""}}, "tags", "404"},
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

// TestVersionsShareNodes holds that twenty-five versions do not cost twenty-five trees.
func TestVersionsShareNodes(t *testing.T) {
	t.Parallel()
	root := render(t, dialecttest.Rich())
	for a, b := range map[string]string{
		"latest":                       "2021-03-23",
		"latest/meta-data/hostname":    "1.0/meta-data/hostname",
		"latest/meta-data/public-keys": "1.0/meta-data/public-keys",
		"2021-03-23/meta-data/network": "2021-01-03/meta-data/network",
		"2018-09-24":                   "2016-06-30",
		"2016-06-30/dynamic":           "2009-04-04/dynamic",
		"2009-04-04/meta-data":         "2008-09-01/meta-data",
		"2007-03-01":                   "2007-01-19",
		"ec2/1.0":                      "1.0",
	} {
		if n := root.Lookup(a); n == nil || n != root.Lookup(b) {
			t.Errorf("%s and %s are two nodes", a, b)
		}
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	for goarch, want := range map[string]string{"amd64": "x86_64", "arm64": "arm64", "386": "i386", "riscv64": "", "": ""} {
		in := dialecttest.Rich()
		in.Architecture = goarch
		var doc map[string]string
		if err := json.Unmarshal([]byte(body(t, in, "latest/dynamic/instance-identity/document")), &doc); err != nil {
			t.Fatal(err)
		}
		if doc["architecture"] != want {
			t.Errorf("architecture of %q is %q, want %q", goarch, doc["architecture"], want)
		}
		for key, path := range map[string]string{
			"instanceId": "instance-id", "instanceType": "instance-type", "imageId": "ami-id", "privateIp": "local-ipv4",
			"availabilityZone": "placement/availability-zone", "region": "placement/region",
		} {
			if want := body(t, in, "latest/meta-data/"+path); doc[key] != want {
				t.Errorf("%s is %q, want %q as in %s", key, doc[key], want, path)
			}
		}
	}
}
