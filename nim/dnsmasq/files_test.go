// SPDX-License-Identifier: Apache-2.0

package dnsmasq_test

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/lf-edge/eve-metadata/nim/dnsmasq"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

var update = flag.Bool("update", false, "write what the files are into the golden ones")

// dir is where the golden files think that they are.
const dir = "/run/dnsmasq/blue"

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix
)

func mac(last byte) net.HardwareAddr { return net.HardwareAddr{0x02, 0x16, 0x3e, 0, 0, last} }

// dual is a network with something of everything.
func dual() *dnsmasq.Network {
	return &dnsmasq.Network{
		Interface: "br0", Domain: "blue.example.com", Search: []string{"example.com", "blue.example.com"},
		MTU: 1400, LeaseTime: time.Hour,
		IPv4: dnsmasq.Subnet{Prefix: prefix("10.11.12.0/23"), Router: addr("10.11.12.1")},
		IPv6: dnsmasq.Subnet{Prefix: prefix("fd00:1::/64"), Router: addr("fd00:1::1")},
		DHCP: true, DNS: true,
		Upstream: []netip.Addr{addr("192.0.2.53"), addr("2001:db8::53")},
		NTP:      []netip.Addr{addr("192.0.2.123"), addr("2001:db8::123")},
		Routes: []dnsmasq.Route{
			{Dst: prefix("192.0.2.0/25"), Via: addr("10.11.12.2")}, {Dst: prefix("198.51.100.0/24")},
			{Dst: prefix("2001:db8::/32"), Via: addr("fd00:1::2")},
		},
		Metadata: addr("169.254.169.254"),
		Records: []dnsmasq.Record{
			{Name: "printer.example.com", Addrs: []netip.Addr{addr("192.0.2.9"), addr("2001:db8::9")}},
			{Name: "nas", Addrs: []netip.Addr{addr("192.0.2.8")}},
		},
		Guests: []dnsmasq.Guest{
			{App: "b", Adapter: "eth0", MAC: mac(6), IPv4: addr("10.11.12.6"), IPv6: addr("fd00:1::6"), Names: []string{"db.blue.example.com", "db"}, MTU: 1400},
			{App: "a", Adapter: "eth0", MAC: mac(5), IPv4: addr("10.11.13.5"), IPv6: addr("fd00:1::5"), Names: []string{"web.blue.example.com", "web"}, MTU: 9000},
		},
		User: "nobody",
	}
}

// networks are those of the golden files.
func networks() map[string]*dnsmasq.Network {
	with := func(change func(*dnsmasq.Network)) *dnsmasq.Network {
		n := dual()
		change(n)
		return n
	}
	return map[string]*dnsmasq.Network{
		"dual": dual(),
		"airgapped": with(func(n *dnsmasq.Network) {
			n.Upstream, n.NTP, n.Routes, n.IPv6, n.User = nil, nil, nil, dnsmasq.Subnet{}, ""
		}),
		"norouter":  with(func(n *dnsmasq.Network) { n.IPv4.Router, n.IPv6.Router = netip.Addr{}, netip.Addr{} }),
		"slaac":     with(func(n *dnsmasq.Network) { n.IPv4, n.SLAAC, n.MTU = dnsmasq.Subnet{}, true, 0 }),
		"ipv6":      with(func(n *dnsmasq.Network) { n.IPv4, n.Domain, n.LeaseTime = dnsmasq.Subnet{}, "", time.Second }),
		"othersdns": with(func(n *dnsmasq.Network) { n.DNS, n.Nameservers = false, n.Upstream }),
		"othersdhcp": with(func(n *dnsmasq.Network) {
			n.DHCP, n.Upstream = false, nil
		}),
		"hostile": with(func(n *dnsmasq.Network) {
			n.Domain = "x\nserver=192.0.2.66"
			n.Search = []string{"a,b", "ok.example", "-x", "a..b", strings.Repeat("a", 64)}
			n.Records = []dnsmasq.Record{{Name: "#", Addrs: n.Upstream}, {Name: "Router", Addrs: n.Upstream}}
			n.Guests[0].Names = []string{"db web", "db\n192.0.2.66 bank.example", "ROUTER", "data-server", "db"}
			n.Guests[1].Names = []string{"db", "nas"}
			n.Guests = append(n.Guests,
				dnsmasq.Guest{App: "c", MAC: mac(5), IPv4: addr("10.11.12.7"), Names: []string{"twin"}},
				dnsmasq.Guest{App: "d", IPv4: addr("10.11.12.8"), Names: []string{"nomac"}},
				dnsmasq.Guest{App: "e", MAC: mac(9), Names: []string{"noaddress"}})
		}),
	}
}

// Each golden file is what dnsmasq takes.
func TestFiles(t *testing.T) {
	t.Parallel()
	for name, n := range networks() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden := filepath.Join("testdata", name+".txtar")
			got := archive(n.Files(dir))
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			slices.Reverse(n.Guests)
			if diff := cmp.Diff(string(got), string(archive(n.Files(dir)))); diff != "" && name != "hostile" {
				t.Errorf("with guests in another order (-want +got):\n%s", diff)
			}
			accepted(t, n)
		})
	}
}

func archive(files map[string][]byte) []byte {
	var a txtar.Archive
	for name, content := range files {
		a.Files = append(a.Files, txtar.File{Name: name, Data: content})
	}
	slices.SortFunc(a.Files, func(x, y txtar.File) int { return strings.Compare(x.Name, y.Name) })
	return txtar.Format(&a)
}

// accepted has dnsmasq check the files. Those of DHCP it only reads when it runs; here their lines are made directives.
func accepted(t *testing.T, n *dnsmasq.Network) {
	t.Helper()
	tool.Need(t, "/usr/sbin/dnsmasq", "dnsmasq-base")
	at := t.TempDir()
	files := n.Files(at)
	conf := bytes.NewBuffer(files["dnsmasq.conf"])
	for line := range strings.Lines(string(files["dhcp-hosts"])) {
		fmt.Fprint(conf, "dhcp-host=", line)
	}
	for line := range strings.Lines(string(files["dhcp-options"])) {
		fmt.Fprint(conf, "dhcp-option=", line)
	}
	path := filepath.Join(at, "dnsmasq.conf")
	if err := os.WriteFile(path, conf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("/usr/sbin/dnsmasq", "--test", "--conf-file="+path).CombinedOutput(); err != nil {
		t.Errorf("dnsmasq does not take it: %v: %s\n%s", err, out, conf)
	}
}

// Routes stay within what one option can say, and the two that guests need come first.
func TestRoutesFit(t *testing.T) {
	t.Parallel()
	n := dual()
	for i := range 100 {
		n.Routes = append(n.Routes, dnsmasq.Route{Dst: prefix(fmt.Sprintf("192.0.%d.0/24", i)), Via: addr("10.11.12.2")})
	}
	routes := dnsmasq.OptionRoutes(n)
	want := []string{"169.254.169.254/32", "10.11.12.1", "0.0.0.0/0", "10.11.12.1"}
	if diff := cmp.Diff(want, routes[:len(want)]); diff != "" {
		t.Errorf("first routes (-want +got):\n%s", diff)
	}
	size := 0
	for i := 0; i < len(routes); i += 2 {
		size += 1 + (prefix(routes[i]).Bits()+7)/8 + 4
	}
	if size > 255 || size < 240 {
		t.Errorf("%d routes take %d bytes of 255", len(routes)/2, size)
	}
	accepted(t, n)
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, host, prefix, domain string
		order, want                []string
	}{
		{name: "by default", host: "web", prefix: "vm-", domain: "example.com", want: []string{"vm-web.example.com", "web"}},
		{name: "by default, no domain", host: "web", want: []string{"web"}},
		{name: "all", host: "web", prefix: "vm-", domain: "example.com", order: []string{"prefix", "domain", "base"}, want: []string{"vm-web", "vm-web.example.com", "web"}},
		{name: "no prefix", host: "web", domain: "example.com", order: []string{"prefix", "domain", "base"}, want: []string{"web.example.com", "web"}},
		{name: "domain only, none there", host: "web", order: []string{"domain"}},
		{name: "twice, unknown", host: "web", order: []string{"base", "fqdn", "base"}, want: []string{"web"}},
		{name: "no name", host: "we b", domain: "example.com"},
		{name: "too long with the prefix", host: strings.Repeat("w", 60), prefix: "long-", order: []string{"prefix", "base"}, want: []string{strings.Repeat("w", 60)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, dnsmasq.Names(c.host, c.prefix, c.domain, c.order)); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

// forms are those of the lines that there can be, by file.
var forms = map[string]*regexp.Regexp{
	"dnsmasq.conf": regexp.MustCompile(`^(keep-in-foreground|log-facility=-|log-async=100|quiet-(dhcp|dhcp6|ra)|pid-file|user=nobody|interface=br0|` +
		`except-interface=lo|bind-dynamic|no-hosts|no-resolv|addn-hosts=/run/dnsmasq/blue/hosts|domain-needed|bogus-priv|` +
		`local=/[\w.-]+/|rev-server=[0-9a-f.:]+/\d+|server=[0-9a-f.:]+|dhcp-authoritative|no-ping|dhcp-rapid-commit|` +
		`dhcp-ignore-names|dhcp-no-override|dhcp-lease-max=\d+|dhcp-(leasefile|hostsfile|optsfile)=/run/dnsmasq/blue/[a-z-]+|` +
		`domain=[\w.-]+|dhcp-range=[0-9a-f.:]+,static,[\d.]+,\d+|enable-ra|ra-param=br0,mtu:\d+,60,1800|` +
		`dhcp-mac=set:mtu9000,02:16:3e:00:00:05)$`),
	"hosts":        regexp.MustCompile(`^[0-9a-f.:]+( [\w.-]+)+$`),
	"dhcp-hosts":   regexp.MustCompile(`^02:16:3e:00:00:0\d,id:\*(,[\d.]+)?(,\[[0-9a-f:]+\])?$`),
	"dhcp-options": regexp.MustCompile(`^((tag:mtu9000,)?option6?:[a-z-]+|249)(,[\w./\[\]:-]+)*$`),
}

// Whatever names are, each line has a known form.
func FuzzFiles(f *testing.F) {
	f.Add("blue.example.com", "example.com", "web", "nas")
	f.Add("x\nserver=1", "a,b", "# web", "/x/")
	f.Fuzz(func(t *testing.T, domain, search, name, record string) {
		n := dual()
		n.Domain, n.Search = domain, []string{search}
		n.Records[0].Name, n.Guests[0].Names = record, dnsmasq.Names(name, search, domain, nil)
		n.Guests[1].Names = []string{name}
		for file, content := range n.Files(dir) {
			for line := range strings.Lines(string(content)) {
				if !forms[file].MatchString(strings.TrimSuffix(line, "\n")) {
					t.Errorf("%s has %q", file, line)
				}
			}
		}
	})
}
