// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/tests/tool"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// leases: a guest that asks DHCP gets the address that AppNetworkStatus says, and DNS knows its neighbours; neither
// changes, and nobody waits, when the service or its servers end.
//
// Network: blue, with web, whose address is fixed, and pump, which gets one of the range; later newcomer; then heir, which
// gets pump's address.
//
// Phases: configure web and pump by DHCP, read as both, and ask DNS for names, addresses and the router; kill -9 the service, ask
// while there is none, start; SIGTERM and start; add newcomer; in one save, replace pump by heir; kill -9 the server.
func leases(t *testing.T, binary string) {
	tool.Need(t, "/usr/sbin/dnsmasq", "dnsmasq-base")
	tool.Need(t, "busybox", "busybox")
	w := newScene(t, binary, map[string]string{
		"blue.yaml": world.NetYAML("blue", "10.11.12.0/24") + "domain: blue.example.com\nleaseTime: 20m\n" +
			"dhcpRange: {start: 10.11.12.100, end: 10.11.12.199}\nhosts: {plc.blue.example.com: [192.0.2.20]}\n",
		"web.yaml":  world.AppYAML("web", "blue", "", "adapters: [{name: eth0, network: blue, ipv4: 10.11.12.5, mtu: 1400}]"),
		"pump.yaml": world.AppYAML("pump", "blue", "dhcp"),
	})
	w.Start()
	web, pump := w.plugged("web"), w.plugged("pump")
	for g, mtu := range map[*guest]string{web: "1400", pump: "1500"} {
		told := g.dhcp(t)
		want := map[string]string{
			"ip": g.address(), "lease": "1200", "router": "10.11.12.1", "dns": "10.11.12.1", "domain": "blue.example.com",
			"subnet": "255.255.255.0", "hostname": g.app, "mtu": mtu,
		}
		for name, value := range told {
			if _, asked := want[name]; !asked {
				delete(told, name)
			} else if value == "" {
				t.Errorf("%s is told an empty %s", g.app, name)
			}
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("%s is told by DHCP (-want +got):\n%s", g.app, diff)
		}
		world.Must(t, g.expect("/latest/user-data", http.StatusOK, "I am "+g.app))
	}
	names := func() []error {
		return []error{
			web.resolves("pump", pump.address()), web.resolves("pump.blue.example.com", pump.address()),
			pump.resolves("web", web.address()), web.resolves("plc.blue.example.com", "192.0.2.20"),
			web.resolves("data-server", "10.11.12.1"), web.resolves("router.blue.example.com", "10.11.12.1"),
			web.isCalled(pump.address(), "pump.blue.example.com."), pump.isCalled(web.address(), "web.blue.example.com."),
		}
	}
	world.Must(t, names()...)

	first := w.server()
	same := func(after string) {
		t.Helper()
		if now := w.server(); now != first {
			t.Errorf("after %s the server is process %d, before it was %d", after, now, first)
		}
		world.Must(t, web.renews(t), pump.renews(t))
		world.Must(t, names()...)
	}
	if err := w.Service.Kill(); err != nil {
		t.Fatal(err)
	}
	same("the end of the service")
	w.Start()
	same("kill -9 of the service")
	if err := w.Service.Stop(); err != nil {
		t.Errorf("stop service: %v", err)
	}
	w.Start()
	same("SIGTERM")

	w.Save("newcomer.yaml", world.AppYAML("newcomer", "blue", "dhcp"))
	newcomer := w.plugged("newcomer")
	w.Await("newcomer's name", func() error { return web.resolves("newcomer", newcomer.address()) })
	world.Must(t, newcomer.renews(t))
	same("the arrival of newcomer")

	address := pump.address()
	w.Save("pump.yaml", world.AppYAML("heir", "blue", address))
	heir := w.plugged("heir")
	world.Must(t, heir.renews(t), heir.expect("/latest/user-data", http.StatusOK, "I am heir"))
	if heir.address() != address {
		t.Errorf("heir has the address %s, want %s", heir.address(), address)
	}
	w.Await("heir's name", func() error {
		return errors.Join(web.resolves("heir", address), web.isCalled(address, "heir.blue.example.com."), web.resolves("pump"))
	})
	if now := w.server(); now != first {
		t.Errorf("after a change of apps the server is process %d, before it was %d", now, first)
	}

	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	w.Await("another server", func() error {
		if now := w.servers(); len(now) != 1 || now[0] == first {
			return fmt.Errorf("processes are %v, it was %d", now, first)
		}
		return web.resolves("heir", address)
	})
	if took := time.Since(killed); took > time.Second {
		t.Errorf("the server was back after %v", took)
	}
	world.Must(t, web.renews(t), heir.renews(t), newcomer.renews(t))
}

// plugged attaches a guest that configures itself to an app's first adapter, as soon as that is there.
func (w *scene) plugged(app string) *guest {
	w.T.Helper()
	g := w.unplugged(app)
	g.port = w.Port(app, "eth0")
	if err := g.Plug("eth0", g.port, w.NamespaceOf(g.port)); err != nil {
		w.T.Fatal(err)
	}
	return g
}

// dhcpHook does with a lease what a distribution's own script does, but leaves the machine's files alone.
const dhcpHook = `#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
busybox ip -4 addr flush dev "$interface"
busybox ip addr add "$ip/$mask" dev "$interface"
set -- ${staticroutes:-${router:+0.0.0.0/0 $router}} # what option 121 says goes before the router (RFC 3442)
while [ $# -gt 1 ]; do
	[ "$2" = 0.0.0.0 ] && via= || via="via $2"
	busybox ip route replace "$1" $via dev "$interface"
	shift 2
done
env
`

// dhcp has the guest's first adapter configured by DHCP, and returns what it was told in udhcpc's words.
func (g *guest) dhcp(t testing.TB) map[string]string {
	t.Helper()
	told, err := g.askDHCP(t)
	if err != nil {
		t.Fatal(err)
	}
	return told
}

func (g *guest) askDHCP(t testing.TB) (map[string]string, error) {
	t.Helper()
	hook := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(hook, []byte(dhcpHook), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), world.Patience)
	defer cancel()
	cmd := g.Command(ctx, "busybox", "udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "20", "-T", "1", "-s", hook, "-O", "staticroutes", "-O", "mtu")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s asks DHCP: %w\n%s", g.app, err, &said)
	}
	told := map[string]string{}
	for line := range strings.Lines(out.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			told[name] = value
		}
	}
	return told, nil
}

// renews says how a guest that asks DHCP again does not get its own address.
func (g *guest) renews(t testing.TB) error {
	t.Helper()
	told, err := g.askDHCP(t)
	if err == nil && told["ip"] != g.address() {
		err = fmt.Errorf("%s is told the address %q, want %s", g.app, told["ip"], g.address())
	}
	return err
}

// resolver is the DNS server of the guest's network, with the network's domain to search in.
func (g *guest) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return g.DialContext(ctx, network, g.router(53))
	}}
}

// resolves says in which way a name does not have just these addresses.
func (g *guest) resolves(name string, want ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), world.Patience)
	defer cancel()
	got, err := g.resolver().LookupHost(ctx, name+".") // what this machine searches in is not the guest's
	missing, isDNS := errors.AsType[*net.DNSError](err)
	if isDNS && missing.IsNotFound {
		err = nil
	}
	if err == nil && !slices.Equal(got, want) {
		err = fmt.Errorf("%s resolves %q to %q, want %q", g.app, name, got, want)
	}
	return err
}

// isCalled says in which way an address does not have just this name.
func (g *guest) isCalled(address, want string) error {
	ctx, cancel := context.WithTimeout(context.Background(), world.Patience)
	defer cancel()
	got, err := g.resolver().LookupAddr(ctx, address)
	if err == nil && !slices.Equal(got, []string{want}) {
		err = fmt.Errorf("%s finds %s to be called %q, want %q", g.app, address, got, want)
	}
	return err
}

// servers are the DHCP and DNS servers of the world's networks.
func (w *scene) servers() (pids []int) {
	w.T.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		w.T.Fatal(err)
	}
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(line, []byte("--conf-file="+w.Root+"/")) {
			continue // it may have ended
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			w.T.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// server is the only one, as soon as it is.
func (w *scene) server() (pid int) {
	w.T.Helper()
	w.Await("server", func() error {
		pids := w.servers()
		if len(pids) != 1 {
			return fmt.Errorf("there are %d", len(pids))
		}
		pid = pids[0]
		return nil
	})
	return pid
}
