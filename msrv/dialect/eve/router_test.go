// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"iter"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/eve"
	"github.com/lf-edge/eve-metadata/msrv/instance"

	topic "github.com/lf-edge/eve-metadata/pkg/eve"
)

// The golden files are written anew with it (package dialecttest).
var _ = flag.Bool("update", false, "write the golden files instead of comparing with them")

// The apps and networks that EVE's agents were recorded with.
const (
	webID     = "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001"
	localID   = "a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1001"
	switchID  = "a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1002"
	stranger  = "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00bfff"
	discovery = "eve/v1/discover-network.json"
)

// fakeNode is a Node by "<topic>/<key>".
type fakeNode map[string]any

func put[T any](n fakeNode, key string, value T) { n[reflect.TypeFor[T]().Name()+"/"+key] = value }

func of[T any](n fakeNode, key string) (T, bool) {
	value, ok := n[reflect.TypeFor[T]().Name()+"/"+key].(T)
	return value, ok
}

func (n fakeNode) Info() (topic.EdgeNodeInfo, bool) { return of[topic.EdgeNodeInfo](n, "global") }
func (n fakeNode) Ports() (topic.DeviceNetworkStatus, bool) {
	return of[topic.DeviceNetworkStatus](n, "global")
}

func (n fakeNode) NetworkMetrics() (topic.NetworkMetrics, bool) {
	return of[topic.NetworkMetrics](n, "global")
}

func (n fakeNode) Location() (topic.WwanLocationInfo, bool) {
	return of[topic.WwanLocationInfo](n, "global")
}
func (n fakeNode) Modems() (topic.WwanStatus, bool)        { return of[topic.WwanStatus](n, "global") }
func (n fakeNode) ModemMetrics() (topic.WwanMetrics, bool) { return of[topic.WwanMetrics](n, "global") }
func (n fakeNode) Network(id string) (topic.NetworkInstanceStatus, bool) {
	return of[topic.NetworkInstanceStatus](n, id)
}
func (n fakeNode) App(id string) (topic.AppNetworkStatus, bool) {
	return of[topic.AppNetworkStatus](n, id)
}
func (n fakeNode) Domain(id string) (topic.DomainStatus, bool) { return of[topic.DomainStatus](n, id) }
func (n fakeNode) Apps() iter.Seq2[string, topic.AppNetworkStatus] {
	return func(yield func(string, topic.AppNetworkStatus) bool) {
		for _, key := range slices.Sorted(maps.Keys(n)) {
			if app, ok := n[key].(topic.AppNetworkStatus); ok && !yield(strings.TrimPrefix(key, "AppNetworkStatus/"), app) {
				return
			}
		}
	}
}

// recordedNode is the node whose agents were recorded, and a modem that it had not.
func recordedNode(t testing.TB) fakeNode {
	t.Helper()
	n := make(fakeNode)
	record[topic.EdgeNodeInfo](t, n, "zedagent")
	record[topic.DeviceNetworkStatus](t, n, "nim")
	record[topic.NetworkMetrics](t, n, "zedrouter")
	record[topic.WwanLocationInfo](t, n, "wwan")
	record[topic.NetworkInstanceStatus](t, n, "zedrouter")
	record[topic.AppNetworkStatus](t, n, "zedrouter")
	record[topic.DomainStatus](t, n, "domainmgr")
	put(n, "global", read[topic.WwanStatus](t, "testdata/topics/WwanStatus.json"))
	put(n, "global", read[topic.WwanMetrics](t, "testdata/topics/WwanMetrics.json"))
	return n
}

func record[T any](t testing.TB, n fakeNode, agent string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../../../pkg/eve/testdata/eve-topics", agent, reflect.TypeFor[T]().Name(), "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing recorded of %s: %v", reflect.TypeFor[T](), err)
	}
	for _, path := range files {
		put(n, strings.TrimSuffix(filepath.Base(path), ".json"), read[T](t, path))
	}
}

func read[T any](t testing.TB, path string) T {
	t.Helper()
	var value T
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// webGateway is the recorded app with two adapters, as the intake makes an instance of it.
func webGateway() *instance.Instance {
	return &instance.Instance{UUID: webID, Version: "3", Name: "web-gw", Hostname: "web-gw", Adapters: []instance.Adapter{
		{Name: "eth0", Network: localID, MAC: net.HardwareAddr{0x02, 0x16, 0x3e, 0, 0, 0x01}},
		{Name: "eth1", Network: switchID, MAC: net.HardwareAddr{0x02, 0x16, 0x3e, 0x10, 0x20, 0x30}},
	}}
}

// guest is the recorded app, asking from its first adapter and from an address that may be set.
type guest struct {
	dialecttest.Guest
	remote string
}

func newGuest(c eve.Config) *guest {
	g := &guest{remote: "10.11.12.2:39380"}
	g.Instance = webGateway()
	answer := eve.Dialect(c).At(dialect.Metadata).Guard
	g.Guard = func(r *dialect.Request) *dialect.Answer {
		r.Remote = netip.MustParseAddrPort(g.remote)
		return answer(r)
	}
	return g
}

// said is an answer in one text: status and media type, and the body below.
func said(a *dialect.Answer) string {
	if a == nil {
		return "none"
	}
	head := strings.TrimSpace(fmt.Sprint(a.Status, " ", a.Type))
	if len(a.Body) == 0 {
		return head
	}
	return head + "\n" + string(a.Body)
}

// TestService holds that EVE's paths are answered whatever else a guest reads, and at the metadata address alone.
func TestService(t *testing.T) {
	t.Parallel()
	d := eve.Dialect(eve.Config{})
	if s := d.At(dialect.Metadata); !s.Always || s.Guard == nil || s.Render != nil || len(d.HTTP) != 1 || d.Drive != nil {
		t.Errorf("the dialect is %+v", d)
	}
}

// TestNotOurs holds that the dialect leaves other dialects' paths to them, and that there is nothing where it knows nothing.
func TestNotOurs(t *testing.T) {
	t.Parallel()
	full, bare := newGuest(eve.Config{Node: recordedNode(t), Root: t.TempDir()}), newGuest(eve.Config{Root: t.TempDir()})
	for _, path := range []string{
		"", "eve", "eve/v1", "eve/v2/hostname", "eve/v1/hostname/x", "eve/v1/hostnames", "EVE/v1/hostname",
		"openstack/latest/meta_data.json", "latest/meta-data/", "eve/v1/network.json/x", "eve/v1/wwan", "eve/v1/app",
	} {
		for _, method := range []string{"GET", "POST"} {
			if a := full.Ask(method, path, ""); a != nil {
				t.Errorf("%s %q is answered: %s", method, path, said(a))
			}
		}
	}
	for _, path := range []string{
		"eve/v1/network.json", "eve/v1/external_ipv4", discovery, "eve/v1/app/info.json", "eve/v1/location.json",
		"eve/v1/wwan/status.json", "eve/v1/wwan/metrics.json", "eve/v1/networks/metrics.json",
	} {
		if a := bare.Ask("GET", path, ""); a != nil {
			t.Errorf("without a node %q is answered: %s", path, said(a))
		}
	}
	if got, want := said(bare.Ask("GET", "eve/v1/hostname", "")), "200 text/plain; charset=utf-8\n"+webID+"\n"; got != want {
		t.Errorf("without a node the hostname is %q", got)
	}
}

// TestMethods holds that what GET reads HEAD does, and that other methods are told which there are.
func TestMethods(t *testing.T) {
	t.Parallel()
	g := newGuest(eve.Config{Node: recordedNode(t), Root: t.TempDir()})
	for _, tt := range []struct{ path, allow string }{
		{"eve/v1/hostname", "GET, HEAD"},
		{"eve/v1/network.json", "GET, HEAD"},
		{"eve/v1/diag", "GET, HEAD"},
		{"eve/v1/kubeconfig", "POST"},
		{"eve/v1/app/appCustomStatus", "POST"},
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "get", ""} {
			a := g.Ask(method, tt.path, "{}", "Content-Type", "application/json")
			has := slices.Contains(strings.Split(tt.allow, ", "), method)
			if refused := a.Status == 405; refused == has || refused && a.Header["Allow"] != tt.allow {
				t.Errorf("%s %s: %s with %v", method, tt.path, said(a), a.Header)
			}
		}
	}
	get, head := g.Ask("GET", "eve/v1/hostname", ""), g.Ask("HEAD", "eve/v1/hostname", "")
	if said(get) != said(head) { // the carrier leaves the body out
		t.Errorf("GET is answered %q, HEAD %q", said(get), said(head))
	}
}

// FuzzAnswer holds that every request is answered with one of EVE's statuses, and that the service fails only where a file
// or the bus does, neither of which is here.
func FuzzAnswer(f *testing.F) {
	node := recordedNode(f)
	for _, path := range []string{
		"eve/v1/network.json", "eve/v1/external_ipv4", "eve/v1/hostname", discovery, "eve/v1/app/info.json", "eve/v1/diag",
		"eve/v1/kubeconfig", "eve/v1/app/appCustomStatus", "eve/v1/location.json", "eve/v1/networks/metrics.json", "eve/v1", "",
	} {
		f.Add("GET", path, "", "", uint8(0))
		f.Add("POST", path, "{}", "application/json; charset=utf-8", uint8(1))
	}
	f.Add("POST", "eve/v1/kubeconfig", strings.Repeat("x", 32769), "application/json", uint8(2))
	root := f.TempDir()
	f.Fuzz(func(t *testing.T, method, path, body, media string, adapter uint8) {
		g := newGuest(eve.Config{Node: node, Root: root})
		if adapter%3 < 2 {
			g.Adapter = &g.Instance.Adapters[adapter%3]
		} else {
			g.Instance.Adapters = nil
		}
		a := g.Ask(method, path, body, "Content-Type", media)
		if a == nil {
			return
		}
		if !slices.Contains([]int{200, 204, 403, 404, 405, 413, 415}, a.Status) || a.Err != nil {
			t.Errorf("%s %q: %s (%v)", method, path, said(a), a.Err)
		}
		if a.Type == "application/json" && !json.Valid(a.Body) {
			t.Errorf("%s %q: no JSON: %q", method, path, a.Body)
		}
	})
}

// TestReadme holds that the README's examples are what the recorded guest reads.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, examples, _ := strings.Cut(string(text), "\n## Examples\n")
	examples, _, _ = strings.Cut(strings.SplitN(examples, "```\n", 2)[1], "```")
	g := newGuest(eve.Config{Node: recordedNode(t)})
	for example := range strings.SplitSeq(strings.TrimSpace(examples), "\n\n") {
		request, want, _ := strings.Cut(example, "\n")
		method, path, _ := strings.Cut(request, " ")
		if got := strings.TrimSpace(string(g.Ask(method, path, "").Body)); got != want {
			t.Errorf("%s: the README has\n%s\nand the guest reads\n%s", request, want, got)
		}
	}
}
