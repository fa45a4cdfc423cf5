// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lf-edge/eve-metadata/tests/tool"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// Device is a machine with local network instances as EVE's zedrouter makes them: a bridge for each, with a DHCP server,
// rules of iptables, and EVE's own metadata server behind them.
type Device struct {
	*world.Machine
	IPTables string // the command
}

// Answer is what EVE's metadata server answers.
const Answer = "I am EVE"

// NewDevice makes one. Rules are made by a variant of iptables(8), which skips the test if the kernel has not got it.
func NewDevice(t testing.TB, iptables string) *Device {
	t.Helper()
	tool.Need(t, "/usr/sbin/dnsmasq", "dnsmasq-base")
	tool.Need(t, "/usr/sbin/"+iptables, "iptables")
	tool.Need(t, "busybox", "busybox")
	d := &Device{world.NewMachine(t), "/usr/sbin/" + iptables + " -w"}
	ctx, cancel := context.WithTimeout(t.Context(), world.Patience)
	defer cancel()
	if out, err := d.Command(ctx, "sh", "-c", d.IPTables+" -t nat -S").CombinedOutput(); err != nil {
		t.Skipf("the kernel has nothing for %s: %s", iptables, out)
	}
	d.Sh("echo 1 >/proc/sys/net/ipv4/ip_forward")
	// Filters of bridges are what ports are told apart by in rules of iptables. Where it is not built in, nothing says so.
	d.Sh("f=/proc/sys/net/bridge/bridge-nf-call-iptables; [ ! -e $f ] || echo 1 >$f")
	for _, table := range []string{"raw", "mangle", "nat"} {
		d.Sh(`
			%[1]s -t %[2]s -N PREROUTING-apps
			%[1]s -t %[2]s -A PREROUTING -j PREROUTING-apps`, d.IPTables, table)
	}
	d.Sh(`
		%[1]s -t nat -N POSTROUTING-apps
		%[1]s -t nat -A POSTROUTING -j POSTROUTING-apps`, d.IPTables)
	return d
}

// Network makes network instance n: bridge bn<n> with 10.<n>.0.0/24 behind it. Guests are the hosts that its DHCP server
// knows, as it has them in its folder: "MAC,id:*,address,name".
func (d *Device) Network(n int, guests ...string) {
	d.T.Helper()
	bridge, gateway := bridge(n), fmt.Sprintf("10.%d.0.1", n)
	d.Sh(`
		ip link add %[1]s address 00:16:3e:06:00:%02[3]x type bridge
		ip link set %[1]s up
		ip addr add %[2]s/24 broadcast 10.%[3]d.0.255 dev %[1]s`, bridge, gateway, n)
	d.Sh(`
		%[1]s -t nat -A PREROUTING-apps -i %[2]s -p tcp -d 169.254.169.254/32 --dport 80 -j DNAT --to-destination %[3]s:80
		%[1]s -t nat -A POSTROUTING-apps -s 10.%[4]d.0.0/24 -o eth0 -j MASQUERADE
		%[1]s -t mangle -A PREROUTING-apps -i %[2]s -p tcp -d 169.254.169.254/32 --dport 80 -j CONNMARK --set-mark 5`,
		d.IPTables, bridge, gateway, n)
	d.answer(gateway + ":80")

	dir := d.T.TempDir()
	hosts := filepath.Join(dir, "dhcp-hosts."+bridge)
	conf := fmt.Sprintf(`
interface=%[1]s
except-interface=lo
bind-interfaces
no-hosts
no-resolv
no-ping
bogus-priv
neg-ttl=10
dhcp-ttl=0
listen-address=%[2]s
dhcp-hostsdir=%[3]s
dhcp-leasefile=%[4]s
dhcp-range=10.%[5]d.0.2,static,60m
dhcp-option=option:netmask,255.255.255.0
dhcp-option=option:router
dhcp-option=option:classless-static-route,10.%[5]d.0.0/24,0.0.0.0,0.0.0.0/0,%[2]s
`, bridge, gateway, hosts, filepath.Join(dir, "leases"), n)
	if err := errors.Join(
		os.Chmod(filepath.Dir(dir), 0o755), os.Mkdir(hosts, 0o755),
		os.WriteFile(filepath.Join(hosts, "hosts"), []byte(strings.Join(guests, "\n")+"\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644),
	); err != nil {
		d.T.Fatal(err)
	}
	d.Serve("/usr/sbin/dnsmasq", "--no-daemon", "--conf-file="+filepath.Join(dir, "conf"))
}

// answer plays EVE's metadata server at an address.
func (d *Device) answer(address string) {
	d.T.Helper()
	var listener net.Listener
	if err := d.Do(func() (err error) {
		listener, err = net.Listen("tcp", address)
		return err
	}); err != nil {
		d.T.Fatal(err)
	}
	server := &http.Server{
		ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, Answer) }),
	}
	server.SetKeepAlivesEnabled(false)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	d.T.Cleanup(func() {
		_ = server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			d.T.Error(err)
		}
	})
}

// Port is the name of the port of an app's first adapter.
func Port(app int) string { return fmt.Sprintf("nbu1x%d", app) }

func bridge(n int) string { return fmt.Sprintf("bn%d", n) }

// Plug connects a machine to a network instance by its eth0, as an app's first adapter.
func (d *Device) Plug(n, app int, mac string) *world.Machine {
	d.T.Helper()
	m := world.NewMachine(d.T)
	d.Sh("ip link add %s type veth peer name eth0 address %s netns %s", Port(app), mac, m.Path())
	d.Join(n, app)
	m.Sh("ip link set eth0 up")
	return m
}

// Join has an interface that is there, with the name of an app's port, be that port of a network instance, with the access
// rules that every port has.
func (d *Device) Join(n, app int) {
	d.T.Helper()
	port, bridge := Port(app), bridge(n)
	d.Sh("ip link set %s master %s up", port, bridge)
	chain := "PREROUTING-" + bridge + "-" + port
	d.Sh(`
		%[1]s -t raw -N %[2]s
		%[1]s -t raw -A PREROUTING-apps -i %[3]s -m physdev --physdev-in %[4]s -j %[2]s
		%[1]s -t raw -A %[2]s -p udp --dport 67 -j ACCEPT
		%[1]s -t raw -A %[2]s -d 10.%[5]d.0.1 -p udp --dport 53 -j ACCEPT
		%[1]s -t raw -A %[2]s -d 169.254.169.254/32 -p tcp --dport 80 -j ACCEPT
		%[1]s -t raw -A %[2]s -j DROP`, d.IPTables, chain, bridge, port, n)
}

// Unplug takes away an app's port and its access rules, as EVE does with an app that goes.
func (d *Device) Unplug(n, app int) {
	d.T.Helper()
	port, bridge := Port(app), bridge(n)
	d.Sh(`
		%[1]s -t raw -D PREROUTING-apps -i %[3]s -m physdev --physdev-in %[4]s -j %[2]s
		%[1]s -t raw -F %[2]s
		%[1]s -t raw -X %[2]s
		ip link del %[4]s`, d.IPTables, "PREROUTING-"+bridge+"-"+port, bridge, port)
}
