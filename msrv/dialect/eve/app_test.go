// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/eve"
	"github.com/lf-edge/eve-metadata/msrv/instance"

	topic "github.com/lf-edge/eve-metadata/pkg/eve"
)

// ports are those of the node, by their logical labels.
func ports(node fakeNode, addresses map[string][]string) {
	var status topic.DeviceNetworkStatus
	for _, label := range []string{"ethernet0", "ethernet1", "shared"} {
		p := topic.NetworkPortStatus{Logicallabel: label, SharedLabels: []string{"all", "uplink"}}
		for _, a := range addresses[label] {
			p.AddrInfoList = append(p.AddrInfoList, topic.AddrInfo{Addr: net.ParseIP(a)})
		}
		status.Ports = append(status.Ports, p)
	}
	put(node, "global", status)
}

// uplinks has an app network use ports of the node.
func uplinks(node fakeNode, network string, labels ...string) {
	status, _ := node.Network(network)
	status.Ports = labels
	put(node, network, status)
}

// TestExternalIPv4 holds which addresses a guest is told that it is reached at, and by which status where there are none.
func TestExternalIPv4(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(fakeNode, *guest)
		want   string // status and addresses
	}{
		"as recorded": {func(fakeNode, *guest) {}, "200 192.168.1.10"},
		"its other adapter, on a port without an address": {func(_ fakeNode, g *guest) {
			g.Adapter = &g.Instance.Adapters[1]
		}, "204"},
		"its other adapter, on one with": {func(n fakeNode, g *guest) {
			ports(n, map[string][]string{"ethernet0": {"192.0.2.1"}, "ethernet1": {"198.51.100.1"}})
			g.Adapter = &g.Instance.Adapters[1]
		}, "200 198.51.100.1"},
		"several ports and addresses, in the node's order": {func(n fakeNode, _ *guest) {
			ports(n, map[string][]string{"ethernet0": {"192.0.2.1", "192.0.2.2"}, "ethernet1": {"198.51.100.1"}, "shared": {"203.0.113.1"}})
			uplinks(n, localID, "ethernet1", "ethernet0")
		}, "200 192.0.2.1 192.0.2.2 198.51.100.1"},
		"only addresses that others can reach": {func(n fakeNode, _ *guest) {
			ports(n, map[string][]string{"ethernet0": {"169.254.7.7", "127.0.0.1", "224.0.0.1", "0.0.0.0", "", "fe80::1", "2001:db8::1", "10.0.0.1"}})
		}, "200 10.0.0.1"},
		"none that others can reach": {func(n fakeNode, _ *guest) {
			ports(n, map[string][]string{"ethernet0": {"169.254.7.7", "2001:db8::1"}})
		}, "204"},
		"a label that several ports share is none": {func(n fakeNode, _ *guest) {
			ports(n, map[string][]string{"ethernet0": {"192.0.2.1"}})
			uplinks(n, localID, "uplink")
		}, "204"},
		"air-gapped":                    {func(n fakeNode, _ *guest) { uplinks(n, localID) }, "204"},
		"ports not told yet":            {func(n fakeNode, _ *guest) { delete(n, "DeviceNetworkStatus/global") }, "204"},
		"network not told yet":          {func(n fakeNode, _ *guest) { delete(n, "NetworkInstanceStatus/"+localID) }, "404"},
		"adapters not told yet":         {func(n fakeNode, _ *guest) { delete(n, "AppNetworkStatus/"+webID) }, "404"},
		"from an adapter nobody knows":  {func(_ fakeNode, g *guest) { g.Instance.Adapters = nil }, "404"},
		"in a pod":                      {func(_ fakeNode, g *guest) { g.Instance.Adapters[0].Network = webID }, "200 192.168.1.10"},
		"over IPv6":                     {func(_ fakeNode, g *guest) { g.remote = "[fe80::16%bn1]:1" }, "200 192.168.1.10"},
		"two adapters of one name":      {sameNames, "204"},
		"the name of another's adapter": {func(_ fakeNode, g *guest) { g.Instance.Adapters[0].MAC[5] = 9 }, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := recordedNode(t)
			g := newGuest(eve.Config{Node: node})
			tt.change(node, g)
			got := strings.Join(strings.Fields(strings.Replace(said(g.Ask("GET", "eve/v1/external_ipv4", "")), "text/plain; charset=utf-8", "", 1)), " ")
			if got != tt.want {
				t.Errorf("answer %q, want %q", got, tt.want)
			}
			status, addresses, _ := strings.Cut(tt.want, " ")
			inJSON := said(g.Ask("GET", "eve/v1/network.json", ""))
			if !strings.HasPrefix(inJSON, status) {
				t.Errorf("network.json: %q, want the status %s", inJSON, status)
			}
			field := `"external-ipv4":"` + strings.ReplaceAll(addresses, " ", ",") + `"`
			if told := strings.Contains(inJSON, field); told != (status != "204") {
				t.Errorf("network.json: %q, want %s: %v", inJSON, field, status != "204")
			}
		})
	}
}

// sameNames has a guest ask from the second of two adapters that are called alike.
func sameNames(n fakeNode, g *guest) {
	status, _ := n.App(webID)
	status.AppNetAdapterList[1].Name = "eth0"
	g.Instance.Adapters[1].Name = "eth0"
	g.Adapter = &g.Instance.Adapters[1]
}

// TestNetworkJSON holds what it says where not all is known.
func TestNetworkJSON(t *testing.T) {
	t.Parallel()
	const path = "eve/v1/network.json"
	node := recordedNode(t)
	g := newGuest(eve.Config{Node: node})
	for remote, want := range map[string]string{
		"10.11.12.2:39380":   "10.11.12.2:39380",
		"[2001:db8::7]:80":   "[2001:db8::7]:80",
		"[fe80::16%bn1]:443": "[fe80::16]:443",
	} {
		g.remote = remote
		if got := said(g.Ask("GET", path, "")); !strings.Contains(got, `"caller-ip":"`+want+`"`) {
			t.Errorf("from %s: %s", remote, got)
		}
	}
	uplinks(node, localID)
	elsewhere := newGuest(eve.Config{Node: node, Elsewhere: true})
	if got := said(elsewhere.Ask("GET", path, "")); !strings.HasPrefix(got, "200 application/json\n{") ||
		!strings.Contains(got, `"external-ipv4":""`) || !strings.Contains(got, `"device-name":"hall7-node2"`) {
		t.Errorf("elsewhere than on a device: %q", got)
	}
	delete(node, "NetworkInstanceStatus/"+localID)
	if got := said(g.Ask("GET", path, "")); !strings.HasPrefix(got, "404 application/json\n{") || !strings.Contains(got, `"device-name":"hall7-node2"`) {
		t.Errorf("in a network that is not known: %q", got)
	}
	delete(node, "EdgeNodeInfo/global")
	if a := g.Ask("GET", path, ""); a.Status != 500 || a.Err == nil || strings.Contains(said(a), "edge node") {
		t.Errorf("of a node that is not known: %q (%v)", said(a), a.Err)
	}
}

// TestDiscover holds who may see whom.
func TestDiscover(t *testing.T) {
	t.Parallel()
	const forbidden = "403 application/json\n" + `{"message":"this adapter is not allowed to discover"}`
	address := func(s string) topic.AssignedAddr { return topic.AssignedAddr{Address: net.ParseIP(s)} }
	alone := func(n fakeNode) {
		for id := range n.Apps() {
			if id != webID {
				delete(n, "AppNetworkStatus/"+id)
			}
		}
	}
	for name, tt := range map[string]struct {
		change func(fakeNode, *guest)
		want   string
	}{
		"from an adapter that may not": {func(_ fakeNode, g *guest) { g.Adapter = &g.Instance.Adapters[1] }, forbidden},
		"from an adapter nobody knows": {func(_ fakeNode, g *guest) { g.Instance.Adapters = nil }, forbidden},
		"from one called like it":      {sameNames, forbidden},
		"an app that nobody knows":     {func(_ fakeNode, g *guest) { g.Instance.UUID = stranger }, forbidden},
		"alone":                        {func(n fakeNode, _ *guest) { alone(n) }, "200 application/json\n{}"},
		"another without an address":   {func(n fakeNode, _ *guest) { alone(n); put(n, "x", topic.AppNetworkStatus{}) }, `200 application/json` + "\n" + `{"x":[]}`},
		"another with addresses of all": {func(n fakeNode, _ *guest) {
			alone(n)
			a, b := topic.AppNetAdapterStatus{}, topic.AppNetAdapterStatus{}
			a.Vif, b.Vif = "nbu1x2", "nbu2x2"
			a.AssignedAddresses.IPv4Addrs = []topic.AssignedAddr{address("10.0.0.1"), {}}
			a.AssignedAddresses.IPv6Addrs = []topic.AssignedAddr{address("2001:db8::1")}
			b.AssignedAddresses.IPv4Addrs = []topic.AssignedAddr{address("10.0.1.1")}
			put(n, "x", topic.AppNetworkStatus{AppNetAdapterList: []topic.AppNetAdapterStatus{a, b}})
		}, `200 application/json` + "\n" + `{"x":[{"port":"nbu1x2","network-address":"10.0.0.1"},` +
			`{"port":"nbu1x2","network-address":"2001:db8::1"},{"port":"nbu2x2","network-address":"10.0.1.1"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := recordedNode(t)
			g := newGuest(eve.Config{Node: node})
			tt.change(node, g)
			if got := said(g.Ask("GET", discovery, "")); got != tt.want {
				t.Errorf("answer %q, want %q", got, tt.want)
			}
		})
	}
}

// TestAppInfo holds that a guest is told of its own blobs, and where they are.
func TestAppInfo(t *testing.T) {
	t.Parallel()
	node := recordedNode(t)
	domain, _ := node.Domain(webID)
	domain.DiskStatusList = append(domain.DiskStatusList,
		topic.DiskStatus{Devtype: "AppCustom", DisplayName: "model v2.bin", CustomMeta: "a<b"},
		topic.DiskStatus{Devtype: "AppCustom", DisplayName: "second"})
	put(node, webID, domain)
	g := newGuest(eve.Config{Node: node})
	const want = `200 application/json` + "\n" + `{"AppBlobs":[` +
		`{"CustomMeta":"a<b","DownloadURL":"http://169.254.169.254/eve/app-custom-blobs/model%20v2.bin"},` +
		`{"CustomMeta":"","DownloadURL":"http://169.254.169.254/eve/app-custom-blobs/second"}]}`
	if got := said(g.Ask("GET", "eve/v1/app/info.json", "")); got != want {
		t.Errorf("answer %q", got)
	}
	g.Instance.UUID = stranger
	if got := said(g.Ask("GET", "eve/v1/app/info.json", "")); got != "200 application/json\n"+`{"AppBlobs":[]}` {
		t.Errorf("an app that nobody knows is told %q", got)
	}
}

// TestReport goes through what a guest may post for the controller.
func TestReport(t *testing.T) {
	t.Parallel()
	const limit = 32768
	for path, subject := range map[string]string{
		"eve/v1/kubeconfig": eve.SubjectKubeconfig, "eve/v1/app/appCustomStatus": eve.SubjectCustomStatus,
	} {
		for name, tt := range map[string]struct {
			media, body string
			status      int
		}{
			"JSON":               {"application/json", `{"hello":"world"}`, 200},
			"with a charset":     {"application/json; charset=utf-8", `{}`, 200},
			"in capitals":        {"Application/JSON", `{}`, 200},
			"a broken parameter": {"application/json; charset", `{}`, 200},
			"JSON by name alone": {"application/json", "apiVersion: v1\n\xff", 200},
			"nothing":            {"application/json", "", 200},
			"as much as may be":  {"application/json", strings.Repeat("x", limit), 200},
			"too much":           {"application/json", strings.Repeat("x", limit+1), 413},
			"no media type":      {"", `{}`, 415},
			"another":            {"application/x-www-form-urlencoded", `{}`, 415},
			"one that begins so": {"application/json-seq", `{}`, 415},
		} {
			t.Run(subject+" "+name, func(t *testing.T) {
				t.Parallel()
				g := newGuest(eve.Config{})
				a := g.Ask("POST", path, tt.body, "Content-Type", tt.media)
				if a.Status != tt.status || a.Err != nil || tt.status == 200 && len(a.Body) > 0 {
					t.Errorf("answer %q (%v)", said(a), a.Err)
				}
				kept := g.Reports.Get(subject)
				if tt.status == 200 && (kept == nil || string(kept) != tt.body) || tt.status != 200 && kept != nil {
					t.Errorf("kept %.80q", kept)
				}
			})
		}
	}
}

// What was said last counts.
func TestReportAgain(t *testing.T) {
	t.Parallel()
	g := newGuest(eve.Config{})
	for _, body := range []string{"one", "two"} {
		g.Ask("POST", "eve/v1/kubeconfig", body, "Content-Type", "application/json")
	}
	if got := string(g.Reports.Get(eve.SubjectKubeconfig)); got != "two" {
		t.Errorf("kept %q", got)
	}
}

// TestReportLimit holds that a guest which reports in a loop does not wear the node's disk out, and that what it says again is
// no news.
func TestReportLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGuest(eve.Config{})
		said := 0
		post := func(path string) *dialect.Answer {
			said++
			return g.Ask("POST", path, fmt.Sprint(said), "Content-Type", "application/json")
		}
		kept := func(posts int) (kept int) {
			for i := range posts {
				a := post([]string{"eve/v1/kubeconfig", "eve/v1/app/appCustomStatus"}[i%2])
				switch {
				case a.Status == 200:
					kept++
				case a.Status != 429 || a.Header["Retry-After"] != "10":
					t.Errorf("refused by %d %v", a.Status, a.Header)
				}
			}
			return kept
		}
		if n := kept(50); n != 20 {
			t.Errorf("%d at once", n)
		}
		last := string(g.Reports.Get(eve.SubjectKubeconfig))
		if last != "19" {
			t.Errorf("kept %q", last)
		}
		for range 10 {
			if a := g.Ask("POST", "eve/v1/kubeconfig", last, "Content-Type", "application/json"); a.Status != 200 {
				t.Errorf("what was said before is refused by %d", a.Status)
			}
		}
		g.Instance.UUID = stranger
		if n := kept(1); n != 1 {
			t.Error("another instance is refused")
		}
		g.Instance.UUID = webID
		<-time.After(30 * time.Second)
		if n := kept(9); n != 3 {
			t.Errorf("%d after thirty seconds", n)
		}
	})
}

func TestReportFailures(t *testing.T) {
	t.Parallel()
	guard := eve.Dialect(eve.Config{}).At(dialect.Metadata).Guard
	broken := errors.New("disk is full")
	for name, tt := range map[string]struct {
		req    dialect.Request
		status int
		err    error
	}{
		"not kept":   {dialect.Request{Body: strings.NewReader("x"), Reports: &dialecttest.Reports{Err: broken}}, 500, broken},
		"guest gone": {dialect.Request{Body: iotest.ErrReader(errors.New("reset")), Reports: &dialecttest.Reports{}}, 400, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.req.Method, tt.req.Path, tt.req.Instance = "POST", "eve/v1/kubeconfig", &instance.Instance{UUID: webID}
			tt.req.Header = map[string][]string{"Content-Type": {"application/json"}}
			a := guard(&tt.req)
			if a.Status != tt.status || !errors.Is(a.Err, tt.err) || strings.Contains(string(a.Body), broken.Error()) {
				t.Errorf("answer %q (%v)", said(a), a.Err)
			}
		})
	}
}
