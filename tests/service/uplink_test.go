// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/tests/tool"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// uplinks: guests of a network with an uplink get out, as the host, and nobody gets in; nor do guests of one network get to
// those of another, or to the host. Who has no uplink is told so at once.
//
// Network: the host, on which the service runs, has eth0, and behind that is a machine outside. Blue and green have the same
// subnet, and guests with the same address: blue leaves by any interface, green by eth0. Amber has another subnet. Grey has no
// uplink. Red has one that is not there.
//
// Phases: reach the outside, twice at once from one address and port; resolve a name out there; try to get in
// everywhere else; repair red; remove all, and look at what is left on the host.
func uplinks(t *testing.T, binary string) {
	tool.Need(t, "/usr/sbin/dnsmasq", "dnsmasq-base")
	host, outside := world.NewMachine(t), world.NewMachine(t)
	host.Sh(`
		ip link add eth0 type veth peer name eth0 netns %s
		ip link set eth0 up
		ip addr add 192.0.2.2/24 dev eth0
		ip addr add 2001:db8::2/64 dev eth0 nodad
		ip route add default via 192.0.2.1`, outside.Path())
	outside.Sh(`
		ip link set eth0 up
		ip addr add 192.0.2.1/24 dev eth0
		ip addr add 2001:db8::1/64 dev eth0 nodad`)
	outside.Greet(":7")
	outside.Serve("/usr/sbin/dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
		"--listen-address=192.0.2.1", "--address=/www.example.net/192.0.2.80")

	const six = "subnet6: fd00:11:12::/64\n"
	w := newScene(t, host.Program(binary), map[string]string{
		"blue.yaml":   world.NetYAML("blue", "10.11.12.0/24") + "port: uplink\ndns: [192.0.2.1]\n" + six,
		"green.yaml":  world.NetYAML("green", "10.11.12.0/24") + "port: eth0\n" + six,
		"amber.yaml":  world.NetYAML("amber", "10.99.0.0/24") + "port: uplink\n",
		"grey.yaml":   world.NetYAML("grey", "10.11.12.0/24") + six,
		"red.yaml":    world.NetYAML("red", "10.11.12.0/24") + "port: eth9\n",
		"web.yaml":    world.AppYAML("web", "blue", "10.11.12.5"),
		"db.yaml":     world.AppYAML("db", "green", "10.11.12.5"),
		"far.yaml":    world.AppYAML("far", "amber", "10.99.0.5"),
		"alone.yaml":  world.AppYAML("alone", "grey", "10.11.12.5"),
		"nobody.yaml": world.AppYAML("nobody", "red", "10.11.12.5"),
	})
	w.Start()
	web, db, far, alone := w.guest("web"), w.guest("db"), w.guest("far"), w.guest("alone")

	for _, g := range []*guest{web, db, far} {
		world.Must(t, reaches(g, "192.0.2.1:7", "192.0.2.2"), g.expect("/latest/user-data", http.StatusOK, "I am "+g.app))
	}
	world.Must(t, reaches(web, "[2001:db8::1]:7", "2001:db8::2"), reaches(db, "[2001:db8::1]:7", "2001:db8::2"))
	world.Must(t, sameFlow(web, db, "192.0.2.1:7", "192.0.2.2"))
	w.Await("name outside", func() error { return web.resolves("www.example.net", "192.0.2.80") })

	host.Greet(":22")
	world.MachineOf(t, far.Guest).Greet(":22")
	world.Must(t, reaches(outside, "192.0.2.2:22", "192.0.2.1"), reaches(inside(w.NamespaceOf(far.port)), "10.99.0.5:22", "10.99.0.1"))
	blue, amber := w.uplink(host, "blue"), w.uplink(host, "amber")
	host.Sh("ip route add 10.99.0.0/24 via %s", amber.inner) // a way there is, and it is forbidden
	for _, closed := range []string{"192.0.2.2:22", "[2001:db8::2]:22", blue.host + ":22", amber.host + ":22", "10.99.0.5:22"} {
		if seenAs, err := reach(web, closed); err == nil {
			t.Errorf("web reaches %s as %s", closed, seenAs)
		}
	}
	outside.Sh("ip route add 10.99.0.0/24 via 192.0.2.2; ip route add %s/31 via 192.0.2.2", amber.host)
	for _, closed := range []string{"10.99.0.5:22", amber.inner + ":80"} {
		for who, from := range map[string]dialer{"the outside": outside, "the host": host} {
			if seenAs, err := reach(from, closed); err == nil {
				t.Errorf("%s reaches %s as %s", who, closed, seenAs)
			}
		}
	}

	world.Must(t, unreachable(alone, "192.0.2.1:7"), unreachable(alone, "[2001:db8::1]:7"))

	w.Await("red's error", func() error { return w.NetworkError("red", `interface "eth9"`) })
	host.Sh("ip link add eth9 type veth peer name eth8")
	w.Await("red's repair", func() error { return w.NetworkError("red", "") })

	for _, name := range []string{"web", "db", "far", "nobody"} {
		w.Remove(name + ".yaml")
	}
	w.Remove("blue.yaml")
	w.Await("removal of blue's uplink", func() error { return isGone(host, blue.name) })
	for _, name := range []string{"green", "amber", "red"} {
		w.Remove(name + ".yaml")
	}
	w.Await("removal of all uplinks", func() error {
		return errors.Join(isGone(host, "mdu"), isGone(host, "100.127."), hasNoTable(host, "eve-metadata"))
	})
}

// sameFlow says in which way two guests with the same address do not reach the outside at the same time from the same
// port.
func sameFlow(a, b *guest, address, as string) error {
	const port = 40000
	conns, errs := make([]*connection, 2), make([]error, 2)
	for i, g := range []*guest{a, b} {
		one := *g
		one.from, one.to = netip.AddrPortFrom(netip.MustParseAddr(g.address()), port).String(), address
		if conns[i], errs[i] = one.connect(); errs[i] != nil {
			return errs[i]
		}
		defer conns[i].conn.Close()
	}
	for i, c := range conns {
		greeting, err := c.from.ReadString(0)
		if greeting != as {
			errs[i] = fmt.Errorf("reaches %s as %q (%w), want as %s", address, greeting, err, as)
		}
	}
	return errors.Join(errs...)
}

// unreachable says in which way a guest is not told at once that it can not reach an address. A guest whose packets and their
// answers are one and the same system call, as on a veth, hears of it when it tries again, which TCP does after a second
// (RFC 6298).
func unreachable(g *guest, address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := g.DialContext(ctx, "tcp", address)
	if err == nil {
		return errors.Join(fmt.Errorf("%s reaches %s", g.app, address), conn.Close())
	}
	if !errors.Is(err, syscall.EHOSTUNREACH) && !errors.Is(err, syscall.ENETUNREACH) {
		return fmt.Errorf("%s is told of %s: %w", g.app, address, err)
	}
	return nil
}

// uplink is what the host has of one.
type uplink struct{ name, host, inner string }

// uplink returns a network's.
func (w *scene) uplink(host *world.Machine, network string) uplink {
	w.T.Helper()
	u := uplink{name: plan.UplinkName(w.Network(network).UUID.String())}
	fields := strings.Fields(host.Sh("ip -4 -o addr show dev %s", u.name))
	at := slices.Index(fields, "inet")
	if at < 0 {
		w.T.Fatalf("uplink of %s has no address: %q", network, fields)
	}
	addr := netip.MustParsePrefix(fields[at+1]).Addr()
	u.host, u.inner = addr.String(), addr.Next().String()
	return u
}

// isGone says that the host still has an interface or an address with something in its name.
func isGone(host *world.Machine, name string) error {
	if all := host.Sh("ip addr"); strings.Contains(all, name) {
		return fmt.Errorf("%q is still there:\n%s", name, all)
	}
	return nil
}

// hasNoTable says that a machine still has tables of nftables whose names begin so.
func hasNoTable(m *world.Machine, prefix string) error {
	return m.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		tables, err := conn.ListTables()
		for _, table := range tables {
			if strings.HasPrefix(table.Name, prefix) {
				err = errors.Join(err, fmt.Errorf("table %q is still there", table.Name))
			}
		}
		return err
	})
}
