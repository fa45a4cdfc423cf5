// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/tests/guest/report"
)

const folder = "testdata/guest"

func TestRead(t *testing.T) {
	t.Parallel()
	got, err := report.Read(folder)
	if err != nil {
		t.Fatal(err)
	}
	want := &report.State{
		Datasource: "DataSourceOpenStackLocal [net,ver=2]",
		Status:     "degraded done",
		Complaints: []string{"('locale', oops)", "util.py[WARNING]: Running module locale failed"},
		InstanceID: "i-1/2", Hostname: "web-1", FQDN: "web-1.example.com",
		Keys:   map[string][]string{"debian": {"ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two"}},
		Cards:  map[string]report.Card{"02:16:3e:11:12:05": {MTU: 1400, Addresses: []string{"10.11.12.5/24", "fd00::5/64"}}},
		Routes: []string{"192.0.2.0/24 via 10.11.12.7", "default via 10.11.12.1", "default via fd00::1"},
		DNS:    []string{"10.11.12.1", "fd00::1"}, Search: []string{"example.com", "example.org"},
		Files: map[string]string{"written": "I am web\n", "deep/er": "x"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	if data, err := report.UserData(folder); err != nil || string(data) != "\x00\x01" {
		t.Errorf("user data is %q (%v)", data, err)
	}
	if key, err := report.HostKey(folder); err != nil || key != "ssh-ed25519 HOST\n" {
		t.Errorf("host key is %q (%v)", key, err)
	}
	if took, err := report.Search(folder); err != nil || took != 2500*time.Millisecond {
		t.Errorf("the search took %v (%v), want 2.5 s", took, err)
	}
}

// TestReadEmpty holds that a guest in which cloud-init never ran has a state, which says so by being empty.
func TestReadEmpty(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	got, err := report.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := &report.State{Keys: map[string][]string{}, Cards: map[string]report.Card{}, Files: map[string]string{}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	if took, err := report.Search(dir); err == nil {
		t.Errorf("a search that never was took %v", took)
	}
}

func TestReadRefused(t *testing.T) {
	t.Parallel()
	if _, err := report.Read(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a folder that is not there was read")
	}
	for _, name := range []string{"run/cloud-init/result.json", "report/addr", "report/route"} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(`{"cut": "sh`), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := report.Read(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is cut short: error %v, want one that names it", name, err)
		}
	}
}
