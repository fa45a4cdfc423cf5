// SPDX-License-Identifier: Apache-2.0

package cloudstack_test

import (
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/cloudstack"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

func router(t *testing.T, in *instance.Instance) *document.Node {
	t.Helper()
	root, err := cloudstack.Dialect().At(dialect.Router).Render(in)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// files are the documents of a tree by path, listings left out.
func files(t *testing.T, root *document.Node) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := root.Walk(func(path string, n *document.Node) error {
		if !n.IsDirectory() {
			found[path] = string(n.Document().Body())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// metadata are the files below latest/meta-data.
func metadata(t *testing.T, in *instance.Instance) map[string]string {
	t.Helper()
	return files(t, router(t, in).Lookup("latest/meta-data"))
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	key := func(name, data string) instance.Key { return instance.Key{Name: name, Data: data} }
	v4 := func(address string) instance.Adapter {
		return instance.Adapter{IPv4: instance.Addressing{Address: netip.MustParsePrefix(address)}}
	}
	v6 := instance.Adapter{IPv6: instance.Addressing{Address: netip.MustParsePrefix("fd00::5/64")}}
	for _, tt := range []struct {
		name string
		set  func(*instance.Instance)
		want map[string]string // beside what is always there
	}{
		{"the least", func(*instance.Instance) {}, nil},
		{"a type", func(in *instance.Instance) { in.InstanceType = "m1.small" }, map[string]string{"service-offering": "m1.small"}},
		{"a zone", func(in *instance.Instance) { in.AvailabilityZone = "hall-7" }, map[string]string{"availability-zone": "hall-7"}},
		{"a region is no zone", func(in *instance.Instance) { in.Region = "south" }, nil},
		{"line breaks", func(in *instance.Instance) { in.AvailabilityZone, in.Version = "a\nb\n", "1\r\n2" }, map[string]string{"availability-zone": "a-b", "instance-id": "0a/1--2"}},
		{"a domain", func(in *instance.Instance) { in.Domain = "example.com" }, map[string]string{"local-hostname": "host.example.com"}},
		{"the first IPv4 address", func(in *instance.Instance) {
			in.Adapters = []instance.Adapter{v6, v4("10.0.0.5/24"), v4("10.0.0.6/24")}
		}, map[string]string{"local-ipv4": "10.0.0.5"}},
		{"no IPv4 address", func(in *instance.Instance) { in.Adapters = []instance.Adapter{v6, {}} }, nil},
		{"a key", func(in *instance.Instance) { in.Keys = []instance.Key{key("a", "ssh-rsa A a\n")} }, map[string]string{"public-keys": "ssh-rsa A a"}},
		{"several keys", func(in *instance.Instance) {
			in.Keys = []instance.Key{key("a", "ssh-rsa A\n# comment\nssh-rsa B"), key("a", "ssh-rsa C")}
		}, map[string]string{"public-keys": "ssh-rsa A\nssh-rsa B\nssh-rsa C"}},
		{"keys without content", func(in *instance.Instance) { in.Keys = []instance.Key{key("a", "\n")} }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := &instance.Instance{UUID: "0a", Version: "1", Hostname: "host"}
			tt.set(in)
			want := map[string]string{
				"service-offering": "", "availability-zone": "",
				"local-hostname": "host", "instance-id": "0a/1", "vm-id": "0a",
			}
			maps.Copy(want, tt.want)
			if diff := cmp.Diff(want, metadata(t, in)); diff != "" {
				t.Errorf("meta-data (-want +got):\n%s", diff)
			}
		})
	}
}

// TestVariables holds which tags are files: those whose names need no escape anywhere and are nobody
// else's.
func TestVariables(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("n", 60)
	for _, tt := range []struct {
		name, value string
		want        string // "" for no file
	}{
		{"role", "database", "database"},
		{"9", "digit", "digit"},
		{"a.b_c-D", "v", "v"},
		{longest, "fits a drive", "fits a drive"},
		{longest + "n", "fits no drive", ""},
		{"role", " several\nlines\n", "several-lines"},
		{"role", `{"a":1}`, `{"a":1}`},
		{"empty", " ", ""},
		{"", "no name", ""},
		{"a b", "space", ""},
		{"a/b", "slash", ""},
		{"..", "up", ""},
		{".hidden", "dot", ""},
		{"0=key", "EC2's listing of a key", ""},
		{"a%20b", "escape", ""},
		{"zoë", "no ASCII", ""},
		{"role\n", "line break", ""},
		{"instance-id", "the identity", ""},
		{"Public-Keys", "case", ""},
		{"public_keys", "name on the drive", ""},
		{"public-ipv4", "not served, but CloudStack's", ""},
		{"user-data", "a file beside", ""},
		{"meta-data", "the directory", ""},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			t.Parallel()
			in := &instance.Instance{UUID: "0a", Version: "1", Hostname: "host", Tags: map[string]string{tt.name: tt.value}}
			want := metadata(t, &instance.Instance{UUID: "0a", Version: "1", Hostname: "host"})
			if tt.want != "" {
				want[tt.name] = tt.want
			}
			if diff := cmp.Diff(want, metadata(t, in)); diff != "" {
				t.Errorf("meta-data (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOlderPlace holds that every file of meta-data is below latest too.
func TestOlderPlace(t *testing.T) {
	t.Parallel()
	for _, c := range dialecttest.Cases() {
		root := router(t, c.Make())
		for _, e := range root.Lookup("latest/meta-data").Entries() {
			if root.Lookup("latest/"+e.Name) != e.Node {
				t.Errorf("%s: /latest/%s is not /latest/meta-data/%s", c.Name, e.Name, e.Name)
			}
		}
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	a, b := dialecttest.Small(), dialecttest.Small()
	b.Version += "1"
	ma, mb := metadata(t, a), metadata(t, b)
	if ma["instance-id"] != a.ID() || mb["instance-id"] != b.ID() {
		t.Errorf("instance ids %q and %q", ma["instance-id"], mb["instance-id"])
	}
	if ma["vm-id"] != a.UUID || mb["vm-id"] != a.UUID {
		t.Errorf("VM ids %q and %q, want %q", ma["vm-id"], mb["vm-id"], a.UUID)
	}
}

func TestUserData(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		in     instance.Opaque
		listed bool
	}{
		"none":     {nil, false},
		"no bytes": {instance.Opaque{}, true},
		"binary":   {instance.Opaque("\x1f\x8b\x00\xff\r\n"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			latest := router(t, &instance.Instance{UserData: tt.in}).Lookup("latest")
			body, there := files(t, latest)["user-data"]
			if there != tt.listed || body != string(tt.in) {
				t.Errorf("user-data %q, there: %v", body, there)
			}
			if listed := strings.HasPrefix(string(latest.Document().Body()), "user-data\n"); listed != tt.listed {
				t.Errorf("user-data is listed: %v", listed)
			}
		})
	}
}

// FuzzVariables holds that no tags, whatever their names, can break a tree: every listed name is there, and
// none takes the place of another.
func FuzzVariables(f *testing.F) {
	f.Add("a-b", "a_b", "v")
	f.Add("PUBLIC_KEYS", "meta-data", "v\n")
	f.Add("0=a", "..", "\xff")
	f.Fuzz(func(t *testing.T, name1, name2, text string) {
		in := dialecttest.Small()
		before := len(metadata(t, in))
		in.Tags = map[string]string{name1: text, name2: text}
		md := router(t, in).Lookup("latest/meta-data")
		lines := strings.Split(string(md.Document().Body()), "\n")
		for _, line := range lines {
			if n := md.Lookup(line); n == nil || n.Document() == nil {
				t.Errorf("%q is listed and not there", line)
			}
		}
		if len(lines) < before || len(lines) > before+len(in.Tags) {
			t.Errorf("%d files, %d without tags", len(lines), before)
		}
		drive(t, in)
	})
}
