// SPDX-License-Identifier: Apache-2.0

package openstack_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/openstack"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// TestVersions holds what each version adds, as Nova dates it: files, fields, and what devices say.
func TestVersions(t *testing.T) {
	t.Parallel()
	const base = "availability_zone files hostname keys launch_index meta name public_keys uuid"
	for _, tt := range []struct{ version, listing, fields, nic string }{
		{"2012-08-10", "meta_data.json user_data", base, ""},
		{"2013-04-04", "meta_data.json user_data password", base + " random_seed", ""},
		{"2013-10-17", "meta_data.json user_data password vendor_data.json", base + " random_seed", ""},
		{"2015-10-15", "meta_data.json user_data password vendor_data.json network_data.json", base + " random_seed project_id", ""},
		{"2016-06-30", "meta_data.json user_data password vendor_data.json network_data.json", base + " random_seed project_id devices", "address bus mac tags type"},
		{"2016-10-06", "meta_data.json user_data password vendor_data.json network_data.json vendor_data2.json", base + " random_seed project_id devices", "address bus mac tags type"},
		{"2017-02-22", "meta_data.json user_data password vendor_data.json network_data.json vendor_data2.json", base + " random_seed project_id devices", "address bus mac tags type"},
		{"2018-08-27", "meta_data.json user_data password vendor_data.json network_data.json vendor_data2.json", base + " random_seed project_id devices", "address bus mac tags type vf_trusted"},
		{"2020-10-14", "meta_data.json user_data password vendor_data.json network_data.json vendor_data2.json", base + " random_seed project_id devices dedicated_cpus", "address bus mac tags type vf_trusted"},
		{"2025-04-04", "meta_data.json user_data password vendor_data.json network_data.json vendor_data2.json", base + " random_seed project_id devices dedicated_cpus", "address bus mac tags type vf_trusted"},
		{"latest", "meta_data.json user_data password vendor_data.json network_data.json vendor_data2.json", base + " random_seed project_id devices dedicated_cpus", "address bus mac tags type vf_trusted"},
	} {
		t.Run(tt.version, func(t *testing.T) {
			t.Parallel()
			in := dialecttest.Rich()
			listing := string(lookup(t, in, "openstack/"+tt.version).Body())
			if diff := cmp.Diff(tt.listing, strings.ReplaceAll(listing, "\n", " ")); diff != "" {
				t.Errorf("listing (-want +got):\n%s", diff)
			}
			var md map[string]any
			if err := json.Unmarshal(lookup(t, in, "openstack/"+tt.version+"/meta_data.json").Body(), &md); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sortedWords(tt.fields), slices.Sorted(maps.Keys(md))); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			var nic map[string]any
			if devices, ok := md["devices"].([]any); ok {
				nic = devices[0].(map[string]any)
			}
			if diff := cmp.Diff(sortedWords(tt.nic), slices.Sorted(maps.Keys(nic))); diff != "" {
				t.Errorf("first device (-want +got):\n%s", diff)
			}
			for name := range md {
				if strings.Contains(name, "-") {
					t.Errorf("Nova has no field %q: none of its fields has a hyphen", name)
				}
			}
		})
	}
}

func sortedWords(text string) []string { return slices.Sorted(slices.Values(strings.Fields(text))) }

func TestDedicatedCPUs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		in, want []int
	}{
		{"none", nil, []int{}},
		{"some", []int{0, 1}, []int{0, 1}},
		{"disorder", []int{7, -1, 0, 7, 3}, []int{0, 3, 7}},
		{"nothing but nonsense", []int{-2}, []int{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := &instance.Instance{DedicatedCPUs: slices.Clone(tt.in)}
			var md struct {
				DedicatedCPUs []int `json:"dedicated_cpus"`
			}
			if err := json.Unmarshal(lookup(t, in, "openstack/latest/meta_data.json").Body(), &md); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, md.DedicatedCPUs); diff != "" {
				t.Errorf("dedicated_cpus (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.in, in.DedicatedCPUs); diff != "" {
				t.Errorf("the instance has been altered (-was +is):\n%s", diff)
			}
		})
	}
}

func TestVendorData(t *testing.T) {
	t.Parallel()
	const faulty = "a fault"
	for _, tt := range []struct{ name, in, want string }{
		{"text", "#cloud-config\na: <b>\n", `{"cloud-init":"#cloud-config\na: <b>\n"}`},
		{"empty", "", `{"cloud-init":""}`},
		{"object", `{"cloud-init": "#!/bin/sh", "x": [1]}`, `{"cloud-init": "#!/bin/sh", "x": [1]}`},
		{"object with space around", " \n{}\n", " \n{}\n"},
		{"list", `["#cloud-config"]`, `["#cloud-config"]`},
		{"string", `"#cloud-config"`, `"#cloud-config"`},
		{"null", `null`, `{"cloud-init":"null"}`},
		{"number", `1`, `{"cloud-init":"1"}`},
		{"not quite JSON", `{"a":`, `{"cloud-init":"{\"a\":"}`},
		{"two objects", `{}{}`, `{"cloud-init":"{}{}"}`},
		{"byte order mark", "\ufeff{}", "{\"cloud-init\":\"\ufeff{}\"}"},
		{"gzip", "\x1f\x8b\x08\x00", faulty},
		{"JSON that is no UTF-8", "\"\xff\"", faulty},
	} {
		for _, file := range []string{"vendor_data.json", "vendor_data2.json"} {
			t.Run(tt.name+"/"+file, func(t *testing.T) {
				t.Parallel()
				in := &instance.Instance{VendorData: instance.Opaque(tt.in), VendorData2: instance.Opaque(tt.in)}
				d := lookup(t, in, "openstack/latest/"+file)
				got := string(d.Body())
				if d.Fault() != "" {
					got = faulty
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("document (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// FuzzVendorData holds that vendor data is JSON that clients take, byte for byte where it came as such,
// or a fault.
func FuzzVendorData(f *testing.F) {
	for _, seed := range []string{"", "{}", "null", "#cloud-config", `{"a":null}`, "\xff", "[1", "\ufeff\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := lookup(t, &instance.Instance{VendorData: data}, "openstack/latest/vendor_data.json")
		if data == nil || d == nil || d.Fault() != "" {
			return
		}
		var v any
		if err := json.Unmarshal(d.Body(), &v); err != nil {
			t.Fatalf("%q: %v", d.Body(), err)
		}
		switch v := v.(type) {
		case string, []any:
		case map[string]any:
			if text, ok := v["cloud-init"].(string); string(d.Body()) != string(data) && (!ok || text != string(data)) {
				t.Errorf("%q became %q", data, d.Body())
			}
		default:
			t.Errorf("%q is a %T", d.Body(), v)
		}
	})
}

func TestUserData(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"text": "#!/bin/sh\n", "gzip": "\x1f\x8b\x08\x00\x00", "base64 as it came": "YWJjZA==", "no bytes": "", "no UTF-8": "\xff\r\n\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := lookup(t, &instance.Instance{UserData: instance.Opaque(body)}, "openstack/latest/user_data")
			if d == nil || string(d.Body()) != body || d.Fault() != "" {
				t.Errorf("user data %q became %v", body, d)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		if d := lookup(t, &instance.Instance{}, "openstack/latest/user_data"); d != nil {
			t.Errorf("there is %q", d.Body())
		}
	})
}

func TestFiles(t *testing.T) {
	t.Parallel()
	in := &instance.Instance{Files: []instance.File{
		{Path: "/b", Content: instance.Opaque("B")}, {Path: "/a", Content: instance.Opaque("A")}, {Path: "/b", Content: instance.Opaque("B2")},
	}}
	var md struct {
		Files []struct {
			Path        string
			ContentPath string `json:"content_path"`
		}
	}
	if err := json.Unmarshal(lookup(t, in, "openstack/latest/meta_data.json").Body(), &md); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range md.Files {
		got = append(got, f.Path+" "+string(lookup(t, in, "openstack"+f.ContentPath).Body()))
	}
	if diff := cmp.Diff([]string{"/a A", "/b B", "/b B2"}, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if in.Files[0].Path != "/b" {
		t.Error("the files of the instance have been sorted")
	}
}

func TestTooManyFiles(t *testing.T) {
	t.Parallel()
	in := &instance.Instance{UUID: "0a", Files: make([]instance.File, 10001)}
	_, err := openstack.Dialect().At(dialect.Metadata).Render(in)
	if err == nil || !strings.Contains(err.Error(), `"0a"`) || !strings.Contains(err.Error(), "10000") {
		t.Errorf("error %v does not name the instance and the limit", err)
	}
	in.Files = in.Files[:10000]
	if lookup(t, in, "openstack/content/9999") == nil {
		t.Error("the last file that is allowed is not there")
	}
}

// TestLatestIsNewest holds that latest costs no second rendering.
func TestLatestIsNewest(t *testing.T) {
	t.Parallel()
	root, err := openstack.Dialect().At(dialect.Metadata).Render(dialecttest.Rich())
	if err != nil {
		t.Fatal(err)
	}
	if root.Lookup("openstack/latest") != root.Lookup("openstack/2025-04-04") {
		t.Error("latest is not the node of the newest version")
	}
}
