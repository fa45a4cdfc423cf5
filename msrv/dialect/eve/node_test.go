// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/eve"

	topic "github.com/lf-edge/eve-metadata/pkg/eve"
)

// TestRecorded asks for everything that a guest may read of the recorded node.
func TestRecorded(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	writeDiag(t, root, "INFO: summary of the node\n\tUse of TLS: 1.3\n")
	g := newGuest(eve.Config{Node: recordedNode(t), Root: root})
	for _, path := range []string{
		"eve/v1/network.json", "eve/v1/external_ipv4", "eve/v1/hostname", "eve/v1/discover-network.json", "eve/v1/app/info.json",
		"eve/v1/location.json", "eve/v1/wwan/status.json", "eve/v1/wwan/metrics.json", "eve/v1/networks/metrics.json", "eve/v1/diag",
	} {
		name := strings.ReplaceAll(strings.TrimPrefix(path, "eve/v1/"), "/", "-")
		dialecttest.CheckFile(t, filepath.Join("testdata", name+".golden"), said(g.Ask("GET", "/"+path, "")))
	}
}

func writeDiag(t *testing.T, root, text string) string {
	t.Helper()
	path := filepath.Join(root, "run/diag.out")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestNotToldYet holds that what a topic has not told has no content, and is not made up.
func TestNotToldYet(t *testing.T) {
	t.Parallel()
	for path, needs := range map[string][]string{
		"eve/v1/location.json":         {"WwanLocationInfo/global"},
		"eve/v1/wwan/status.json":      {"WwanStatus/global"},
		"eve/v1/wwan/metrics.json":     {"WwanMetrics/global"},
		"eve/v1/networks/metrics.json": {"DeviceNetworkStatus/global", "NetworkMetrics/global"},
	} {
		for _, need := range needs {
			node := recordedNode(t)
			delete(node, need)
			if got := said(newGuest(eve.Config{Node: node}).Ask("GET", path, "")); got != "204" {
				t.Errorf("%s without %s: %q", path, need, got)
			}
		}
	}
}

// TestEmptyLists holds that a list of nothing is a list.
func TestEmptyLists(t *testing.T) {
	t.Parallel()
	node := make(fakeNode)
	put(node, "global", topic.WwanStatus{})
	put(node, "global", topic.WwanMetrics{})
	put(node, "global", topic.NetworkMetrics{})
	put(node, "global", topic.DeviceNetworkStatus{Ports: []topic.NetworkPortStatus{{IfName: "eth0"}, {}}})
	g := newGuest(eve.Config{Node: node})
	for path, want := range map[string]string{
		"eve/v1/wwan/status.json":      `{"networks":[]}`,
		"eve/v1/wwan/metrics.json":     `{"networks":[]}`,
		"eve/v1/networks/metrics.json": `[]`,
		"eve/v1/app/info.json":         `{"AppBlobs":[]}`,
	} {
		if got := said(g.Ask("GET", path, "")); got != "200 application/json\n"+want {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// TestProviders holds that guests find the provider of now among all of them, once.
func TestProviders(t *testing.T) {
	t.Parallel()
	a, b := topic.WwanProvider{PLMN: "231-01"}, topic.WwanProvider{PLMN: "231-06", CurrentServing: true}
	for name, tt := range map[string]struct {
		current topic.WwanProvider
		visible []topic.WwanProvider
		want    []string
	}{
		"none":              {topic.WwanProvider{}, nil, nil},
		"none of now":       {topic.WwanProvider{}, []topic.WwanProvider{a}, []string{"231-01"}},
		"only that of now":  {b, nil, []string{"231-06"}},
		"beside the others": {b, []topic.WwanProvider{a}, []string{"231-01", "231-06"}},
		"among the others":  {b, []topic.WwanProvider{b, a}, []string{"231-06", "231-01"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := make(fakeNode)
			put(node, "global", topic.WwanStatus{Networks: []topic.WwanNetworkStatus{{CurrentProvider: tt.current, VisibleProviders: tt.visible}}})
			var status struct {
				Networks []struct {
					Providers []struct{ PLMN string } `json:"providers"`
				} `json:"networks"`
			}
			a := newGuest(eve.Config{Node: node}).Ask("GET", "eve/v1/wwan/status.json", "")
			if err := json.Unmarshal(a.Body, &status); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range status.Networks[0].Providers {
				got = append(got, p.PLMN)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("providers are %v, want %v", got, tt.want)
			}
		})
	}
}

// TestPortMetrics holds that guests read of ports, and of no other interface.
func TestPortMetrics(t *testing.T) {
	t.Parallel()
	node := make(fakeNode)
	put(node, "global", topic.DeviceNetworkStatus{Ports: []topic.NetworkPortStatus{{IfName: "eth1"}, {IfName: ""}, {IfName: "eth0", Up: true}}})
	put(node, "global", topic.NetworkMetrics{MetricList: []topic.NetworkMetric{
		{IfName: "", TxBytes: 99}, {IfName: "bn1", TxBytes: 98}, {IfName: "eth0", TxAclDrops: 1, RxAclRateLimitDrops: 2},
	}})
	const want = `200 application/json
[{"IfName":"eth0","Up":true,"TxBytes":0,"RxBytes":0,"TxDrops":0,"RxDrops":0,"TxPkts":0,"RxPkts":0,"TxErrors":0,"RxErrors":0,` +
		`"TxACLDrops":1,"RxACLDrops":0,"TxACLRateLimitDrops":0,"RxACLRateLimitDrops":2}]`
	if got := said(newGuest(eve.Config{Node: node}).Ask("GET", "eve/v1/networks/metrics.json", "")); got != want {
		t.Errorf("metrics are\n%s", got)
	}
}

func TestDiagnosis(t *testing.T) {
	t.Parallel()
	const limit = 65535
	for name, tt := range map[string]struct {
		make func(t *testing.T, root string)
		want string // how the answer begins
		err  string
	}{
		"none":      {func(*testing.T, string) {}, "404\n404 Not Found\n", ""},
		"empty":     {func(t *testing.T, root string) { writeDiag(t, root, "") }, "200 text/plain; charset=utf-8", ""},
		"as it may": {func(t *testing.T, root string) { writeDiag(t, root, strings.Repeat("x", limit)) }, "200 text/plain", ""},
		"too large": {func(t *testing.T, root string) { writeDiag(t, root, strings.Repeat("x", limit+1)) }, "500\n500 Internal", "larger than 65535"},
		"no file": {func(t *testing.T, root string) {
			if err := os.MkdirAll(filepath.Join(root, "run/diag.out"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, "500\n500 Internal", "neither a file nor"},
		"a pipe that nobody writes to": {func(t *testing.T, root string) {
			path := writeDiag(t, root, "")
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mkfifo(path, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "500\n500 Internal", "neither a file nor"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			tt.make(t, root)
			a := newGuest(eve.Config{Root: root}).Ask("GET", "eve/v1/diag", "")
			if got := said(a); !strings.HasPrefix(got, tt.want) {
				t.Errorf("answer %.80q", got)
			}
			if (a.Err != nil) != (tt.err != "") || a.Err != nil && !strings.Contains(a.Err.Error(), tt.err) {
				t.Errorf("error is %v", a.Err)
			}
		})
	}
}
