// SPDX-License-Identifier: Apache-2.0

package nocloud_test

import (
	"encoding/json"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/nocloud"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// files are the files of the drive by path.
func files(t *testing.T, in *instance.Instance) map[string]string {
	t.Helper()
	root, err := nocloud.Dialect().Drive.Render(in)
	if err != nil {
		t.Fatal(err)
	}
	return contents(t, root)
}

func contents(t *testing.T, root *document.Node) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := root.Walk(func(path string, n *document.Node) error {
		found[path] = string(n.Document().Body())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestLocalHostname(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, userData string
		told           bool
	}{
		{"no user data", "", true},
		{"a script", "#!/bin/sh\nhostname: a\n", true},
		{"a cloud-config without a name", "#cloud-config\npackages: [a]\n", true},
		{"hostname", "#cloud-config\nhostname: a\n", false},
		{"fqdn", "#cloud-config\npackages: [a]\nfqdn: a.b\n", false},
		{"preserve_hostname", "#cloud-config\npreserve_hostname: false\n", false},
		{"with CRLF", "#cloud-config\r\nhostname:\r\n  a\r\n", false},
		{"quoted", "#cloud-config\n\"hostname\" : a\n", false},
		{"in a nested map", "#cloud-config\nnetwork:\n  hostname: a\n", true},
		{"in a comment", "#cloud-config\n#hostname: a\n", true},
		{"as part of a key", "#cloud-config\nmy_hostname: a\nhostnames: b\nhostname_x: c\n", true},
		{"as a value", "#cloud-config\nhostname:a\n", true}, // no space: a text and no key
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := &instance.Instance{UUID: "0a", Version: "1", Hostname: "host", Domain: "example.com", UserData: instance.Opaque(tt.userData)}
			var md map[string]any
			if err := json.Unmarshal([]byte(files(t, in)["meta-data"]), &md); err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"instance-id": "0a/1", "launch-index": 0.0}
			if tt.told {
				want["local-hostname"] = "host.example.com"
			}
			if diff := cmp.Diff(want, md); diff != "" {
				t.Errorf("meta-data (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDriveLayout(t *testing.T) {
	t.Parallel()
	const meta, network = `{"instance-id":"0a/1","local-hostname":"host","launch-index":0}`,
		`{"version":2,"ethernets":{"nic0":{"match":{"macaddress":"02:00:00:00:00:ab"},"dhcp4":true}}}`
	nic := instance.Adapter{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 0xAB}, IPv4: instance.Addressing{Method: instance.DHCP}}
	for _, tt := range []struct {
		name string
		set  func(*instance.Instance)
		want map[string]string
	}{
		{"the least", func(*instance.Instance) {}, map[string]string{"meta-data": meta, "user-data": ""}},
		{"user data", func(in *instance.Instance) { in.UserData = instance.Opaque("\xff\r\n") }, map[string]string{"meta-data": meta, "user-data": "\xff\r\n"}},
		{"vendor data", func(in *instance.Instance) { in.VendorData = instance.Opaque("v") }, map[string]string{"meta-data": meta, "user-data": "", "vendor-data": "v"}},
		{"only the second vendor data", func(in *instance.Instance) { in.VendorData2 = instance.Opaque("v2") }, map[string]string{"meta-data": meta, "user-data": "", "vendor-data": "v2"}},
		{"both vendor data", func(in *instance.Instance) {
			in.VendorData, in.VendorData2 = instance.Opaque("v"), instance.Opaque("v2")
		}, map[string]string{"meta-data": meta, "user-data": "", "vendor-data": "v"}},
		{"a card", func(in *instance.Instance) { in.Adapters = []instance.Adapter{nic} }, map[string]string{"meta-data": meta, "user-data": "", "network-config": network}},
		{"Juniper's configuration", func(in *instance.Instance) { in.UserData = instance.Opaque("## x\n#junos-config\n") }, map[string]string{"meta-data": meta, "user-data": "", "juniper.conf": "## x\n#junos-config\n"}},
		{"multipart that is none", func(in *instance.Instance) {
			in.Drive, in.UserData = instance.DriveNoCloudMultipart, instance.Opaque("#!/bin/sh\n")
		}, map[string]string{"meta-data": meta, "user-data": "#!/bin/sh\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := &instance.Instance{UUID: "0a", Version: "1", Hostname: "host", Drive: instance.DriveNoCloud}
			tt.set(in)
			if diff := cmp.Diff(tt.want, files(t, in)); diff != "" {
				t.Errorf("drive (-want +got):\n%s", diff)
			}
		})
	}
}

// TestHTTPAnswersAll holds that absent files are empty documents: a 404 costs a guest ten seconds, and
// the seed.
func TestHTTPAnswersAll(t *testing.T) {
	t.Parallel()
	root, err := nocloud.Dialect().At(dialect.Metadata).Render(&instance.Instance{UUID: "0a", Version: "1", Hostname: "host"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"nocloud":    "meta-data\nuser-data\nvendor-data\nnetwork-config\nv1/",
		"nocloud/v1": "meta-data\nuser-data\nvendor-data\nnetwork-config",
	}
	for _, seed := range []string{"nocloud/", "nocloud", "nocloud/v1/"} { // as cloud-init appends to the URL
		want[seed+"meta-data"] = `{"instance-id":"0a/1","local-hostname":"host","launch-index":0}`
		want[seed+"user-data"] = ""
		want[seed+"vendor-data"] = ""
		want[seed+"network-config"] = ""
	}
	if diff := cmp.Diff(want, contents(t, root)); diff != "" {
		t.Errorf("seed (-want +got):\n%s", diff)
	}
}

func TestDriveFault(t *testing.T) {
	t.Parallel()
	for _, kind := range nocloud.Dialect().Drive.Kinds {
		_, err := nocloud.Dialect().Drive.Render(&instance.Instance{UUID: "0a", Drive: kind, UserDataFault: "no key"})
		if err == nil || !strings.Contains(err.Error(), `"0a"`) || !strings.Contains(err.Error(), "no key") {
			t.Errorf("%s: error %v does not name the instance and the reason", kind, err)
		}
	}
}

// FuzzMetaData holds that any text is the same in YAML as in JSON.
func FuzzMetaData(f *testing.F) {
	for _, seed := range []string{"0123", "a: b", "\u0085\u2028\x7f\x00", "\ufeff\uffff\ufffe", "🐙", "\xff", "'\"\\/", "<&>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		in := &instance.Instance{Version: text, Hostname: text, Region: text, Keys: []instance.Key{{Name: text, Data: text}}}
		root, err := nocloud.Dialect().At(dialect.Metadata).Render(in)
		if err != nil {
			t.Fatal(err)
		}
		body := root.Lookup("nocloud/meta-data").Document().Body()
		var asJSON, asYAML struct {
			ID  string   `json:"instance-id" yaml:"instance-id"`
			Key []string `json:"public-keys" yaml:"public-keys"`
		}
		if err := json.Unmarshal(body, &asJSON); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if err := yaml.Unmarshal(body, &asYAML); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if diff := cmp.Diff(asJSON, asYAML); diff != "" {
			t.Errorf("%q (-JSON +YAML):\n%s", body, diff)
		}
		if want := "/" + string([]rune(text)); asJSON.ID != want {
			t.Errorf("instance-id %q, want %q", asJSON.ID, want)
		}
	})
}
