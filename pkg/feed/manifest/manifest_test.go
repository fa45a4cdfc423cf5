// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/examples"
	"github.com/lf-edge/eve-metadata/pkg/feed"
	"github.com/lf-edge/eve-metadata/pkg/feed/manifest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file, or writes the file.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// texts returns the messages, one to a line.
func texts(errs []error) []byte {
	var b bytes.Buffer
	for _, err := range errs {
		b.WriteString(err.Error() + "\n")
	}
	return b.Bytes()
}

func asJSON(t *testing.T, s feed.Set) []byte {
	t.Helper()
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

// folders returns the test cases below a folder of testdata.
func folders(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(all) == 0 {
		t.Fatalf("no test cases in %s: %v", dir, err)
	}
	return all
}

// TestExamples holds what the examples are there to show. Their wording is free.
func TestExamples(t *testing.T) {
	t.Parallel()
	set, errs := manifest.LoadFS(examples.FS)
	if len(errs) > 0 {
		t.Fatalf("problems:\n%s", texts(errs))
	}
	var got []string
	for _, n := range set.Networks {
		got = append(got, fmt.Sprintf("network %s: %v %v", n.DisplayName, n.Subnet, set.NetworkMetadata[n.UUID.String()].Subnet6))
	}
	for id, a := range set.Apps {
		m := set.Metadata[id]
		got = append(got, fmt.Sprintf("app %s: %v %v, %d keys, tags %v, user data %v", a.DisplayName,
			a.FixedResources.VirtualizationMode, a.MetaDataType, len(m.SSHKeys), len(m.Tags) > 0, a.CloudInitUserData != nil))
		for i, n := range a.AppNetAdapterList {
			got = append(got, fmt.Sprintf("app %s: %s in %s, address %q, fixed %v", a.DisplayName, n.Name,
				set.Networks[n.Network.String()].DisplayName, n.AppIPAddr, m.Adapters[i].StaticIPv4))
		}
	}
	slices.Sort(got)
	want := []string{
		`app db: NOHYPER MetaDataOpenStack, 1 keys, tags true, user data true`,
		`app db: eth0 in green, address "10.11.12.5", fixed true`,
		`app edge: NOHYPER MetaDataOpenStack, 1 keys, tags true, user data true`,
		`app edge: eth0 in blue, address "<nil>", fixed false`,
		`app edge: eth1 in green, address "<nil>", fixed false`,
		`app web: NOHYPER MetaDataDrive, 1 keys, tags true, user data true`,
		`app web: eth0 in blue, address "10.11.12.5", fixed true`,
		`network blue: 10.11.12.0/24 fd00:11:12::/64`,
		`network green: 10.11.12.0/24 <nil>`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestGood: every folder of testdata/good is a directory of manifests without problems.
func TestGood(t *testing.T) {
	t.Parallel()
	for _, dir := range folders(t, "testdata/good") {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			set, errs := manifest.Load(filepath.Join(dir, "manifests"))
			if len(errs) > 0 {
				t.Fatalf("problems:\n%s", texts(errs))
			}
			golden(t, filepath.Join(dir, "set.json"), asJSON(t, set))
		})
	}
}

// TestBad: every folder of testdata/bad is a directory of manifests some of which are refused. The golden files are the
// messages, and what is left of the directory.
func TestBad(t *testing.T) {
	t.Parallel()
	for _, dir := range folders(t, "testdata/bad") {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			set, errs := manifest.LoadFS(os.DirFS(filepath.Join(dir, "manifests")))
			if len(errs) == 0 {
				t.Error("no problem was found")
			}
			for _, err := range errs {
				if _, ok := errors.AsType[*manifest.Error](err); !ok {
					t.Errorf("problem of type %T: %v", err, err)
				}
			}
			golden(t, filepath.Join(dir, "problems.txt"), texts(errs))
			golden(t, filepath.Join(dir, "left.txt"), names(set))
		})
	}
}

// names lists what a set has.
func names(s feed.Set) []byte {
	var lines []string
	for _, a := range s.Apps {
		lines = append(lines, "app "+a.DisplayName+"\n")
	}
	for _, n := range s.Networks {
		lines = append(lines, "network "+n.DisplayName+"\n")
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, ""))
}

func TestLoadNamesFilesAsTheCallerDoes(t *testing.T) {
	t.Parallel()
	_, errs := manifest.Load("testdata/bad/adapter/manifests")
	if len(errs) == 0 {
		t.Fatal("no problem was found")
	}
	const want = "testdata/bad/adapter/manifests/app.yaml:"
	if got := errs[0].Error(); !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want a message that begins with %q", got, want)
	}
}

func TestLoadMissingDirectory(t *testing.T) {
	t.Parallel()
	set, errs := manifest.Load(filepath.Join(t.TempDir(), "missing"))
	if len(errs) != 1 || len(set.Apps) != 0 {
		t.Errorf("got %d apps and problems %v, want one problem", len(set.Apps), errs)
	}
}

// TestLimits holds the limits that are too large for files in testdata.
func TestLimits(t *testing.T) {
	t.Parallel()
	const app = "kind: app\nname: web\n"
	write := func(name, content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name  string
		files []func(*testing.T, string)
		want  string
	}{
		{"manifest", []func(*testing.T, string){write("a.yaml", app+"#"+strings.Repeat("x", 1<<20))},
			"a.yaml: is larger than 1048576 bytes\n"},
		{"user data", []func(*testing.T, string){write("a.yaml", app+"userData: "+strings.Repeat("x", manifest.MaxContent+1))},
			"a.yaml:3: userData: 768001 bytes are more than 768000\n"},
		{"user data file", []func(*testing.T, string){write("a.yaml", app+"userDataFile: a.txt"), write("a.txt", strings.Repeat("x", manifest.MaxContent+1))},
			"a.yaml:3: userDataFile: \"a.txt\" is larger than 768000 bytes\n"},
		{"text", []func(*testing.T, string){write("a.yaml", app+"region: "+strings.Repeat("x", 1025))},
			"a.yaml:3: region: 1025 bytes of text: more than 1024\n"},
		{"list", []func(*testing.T, string){write("a.yaml", app+"securityGroups: ["+strings.Repeat("a,", 257)+"]")},
			"a.yaml:3: securityGroups: more than 256 members\n"},
		{"aliases", []func(*testing.T, string){write("a.yaml", app+"adapters:\n- &a {name: a, network: a, routes: &r ["+
			strings.Repeat("{to: 10.0.0.0/8, via: 10.0.0.1},", 256)+"]}\n"+strings.Repeat("- *a\n", 255))},
			"more than 100000 values, aliases included"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, f := range tt.files {
				f(t, dir)
			}
			set, errs := manifest.LoadFS(os.DirFS(dir))
			if len(set.Apps) != 0 || !strings.Contains(string(texts(errs)), tt.want) {
				t.Errorf("got %d apps and problems:\n%swant: %s", len(set.Apps), texts(errs), tt.want)
			}
		})
	}
}

func TestNotAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "folder.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("kind: app\nname: web\nuserDataFile: folder.yaml\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, errs := manifest.LoadFS(os.DirFS(dir))
	want := "a.yaml:3: userDataFile: \"folder.yaml\" is not a regular file\n"
	if diff := cmp.Diff(want, string(texts(errs))); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}
