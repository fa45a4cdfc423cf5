// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/nftables"
	"github.com/sirupsen/logrus"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim"
	"github.com/lf-edge/eve-metadata/nim/intake"
	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/netns"
	"github.com/lf-edge/eve-metadata/tests/netns/guestns"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

// patient is a network that somebody hurts: with a guest and a DHCP and DNS server.
type patient struct {
	*world
	network eve.NetworkInstanceConfig
	web     eve.AppInstanceConfig
	port    string
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	tool.Need(t, "/usr/sbin/dnsmasq", "dnsmasq-base")
	p := &patient{world: newWorld(t, drivers()["memory"]), network: localNetwork("blue", "10.11.12.0/24")}
	p.network.DomainName = "blue.example.com"
	p.web = container("web", p.network)
	p.setNetwork(p.network)
	p.setApp(p.web)
	p.complete()
	p.start()
	p.port = p.awaitApp(p.web, attached).AppNetAdapterList[0].VifUsed
	p.awaitServer(0)
	p.awaitError("")
	// That the server has started makes the manager look once more, which is not to be taken for a look at what is done
	// to the network.
	<-time.After(10 * glance)
	return p
}

// glance is how often a test looks for what nobody tells it of.
const glance = 25 * time.Millisecond

// awaitServer returns when the network has a server that is another process than old.
func (p *patient) awaitServer(old int) {
	p.t.Helper()
	tick, late := time.NewTicker(glance), time.After(patience)
	defer tick.Stop()
	for {
		if pid := p.server(); pid != 0 && pid != old {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			p.t.Fatalf("there is no server beside process %d", old)
		}
	}
}

// status is the network's. It is called by await.
func (p *patient) status() eve.NetworkInstanceStatus { return p.netState[p.network.UUID.String()] }

// awaitError returns when the network's status has that error, or none for "", and the network serves.
func (p *patient) awaitError(part string) {
	p.t.Helper()
	p.await(fmt.Sprintf("error %q in the network's status", part), func() error {
		if s := p.status(); !s.Activated || (part == "") != (s.Error == "") || !strings.Contains(s.Error, part) {
			return fmt.Errorf("activated %t, error %q", s.Activated, s.Error)
		}
		return nil
	})
}

// observe has await look at each change in the network's namespace.
func (p *patient) observe() {
	place := plan.Network{Namespace: plan.NamespaceName(p.network.UUID.String()), Bridge: plan.Bridge{Name: intake.BridgeName}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- kernel.New(p.root).Watch(ctx, place, p.poke) }()
	p.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Errorf("watch the network: %v", err)
		}
	})
}

// stray is the name of an interface that somebody makes.
const stray = "stray0"

// health is what a network has, in a form that does not change when it is made anew.
func (p *patient) health() (plan.Namespace, error) {
	ns, _, err := p.look(p.network)
	ns.Links = slices.DeleteFunc(ns.Links, func(l plan.Link) bool { return plan.IsGuestEnd(l.Name) || l.Name == stray })
	for i := range ns.Links {
		l := &ns.Links[i]
		l.Index, l.Peer, l.Far = 0, 0, 0
		if !plan.IsPort(l.Name) && l.Name != intake.BridgeName {
			l.MAC = plan.MAC{} // made up by the kernel
		}
	}
	slices.SortFunc(ns.Links, func(a, b plan.Link) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(ns.Routes, func(a, b plan.Route) int { return strings.Compare(a.Dst.String(), b.Dst.String()) })
	for _, t := range ns.Tables {
		for set, elements := range t.Sets {
			slices.Sort(elements)
			if len(elements) == 0 {
				delete(t.Sets, set)
			}
		}
	}
	return ns, err
}

// healthy is the health of a network that nobody is about to change.
func (p *patient) healthy() plan.Namespace {
	p.t.Helper()
	ns, err := p.health()
	if err != nil {
		p.t.Fatal(err)
	}
	return ns
}

// ill says what is otherwise than in a health.
func (p *patient) ill(healthy plan.Namespace) error {
	now, err := p.health()
	if err != nil {
		return err
	}
	diff := cmp.Diff(healthy, now, samePrefixes(), cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}))
	if diff == "" {
		return nil
	}
	return fmt.Errorf("(-healthy +ill):\n%s", diff)
}

// server returns the process of the network's server; 0 while there is none.
func (p *patient) server() (pid int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is right
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, []byte("--conf-file="+p.root+"/")) {
			_, _ = fmt.Sscanf(file, "/proc/%d/", &pid)
		}
	}
	return pid
}

// check has a new guest ask for metadata and for a name.
func (p *patient) check(g *guestns.Guest) {
	p.t.Helper()
	if got := p.ask(g); got != p.network.UUID.String() {
		p.t.Errorf("guest was answered by %q", got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dns := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return g.DialContext(ctx, network, "10.11.12.1:53")
	}}
	if addrs, err := dns.LookupHost(ctx, "web.blue.example.com."); err != nil || len(addrs) != 1 {
		p.t.Errorf("web has the addresses %v, error %v", addrs, err)
	}
}

// repairs counts the lines of the log that say that something was put right.
func (p *patient) repairs() (n int) {
	for _, e := range p.logged.AllEntries() {
		if e.Level == logrus.WarnLevel && strings.Contains(e.Message, "changed by somebody else") {
			n++
		}
	}
	return n
}

// netlink runs f with an interface of the network's namespace.
func (p *patient) netlink(link string, f func(h *netlink.Handle, l netlink.Link) error) {
	p.t.Helper()
	p.inside(p.network, func(h *netlink.Handle) error {
		l, err := h.LinkByName(link)
		if err != nil {
			return err
		}
		return f(h, l)
	})
}

// nftables runs f with the filter's table.
func (p *patient) nftables(f func(c *nftables.Conn, filter *nftables.Table) error) {
	p.t.Helper()
	ns, err := netns.Open(nim.NamespacePath(p.root, p.network.UUID.String()))
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := nftables.New(nftables.WithNetNSFd(int(ns.Handle())))
	if err != nil {
		p.t.Fatal(err)
	}
	_, name, _ := strings.Cut(plan.FilterTable, " ")
	err = f(c, &nftables.Table{Family: nftables.TableFamilyBridge, Name: name})
	if err := errors.Join(err, c.Flush(), ns.Close()); err != nil {
		p.t.Fatal(err)
	}
}

// sysctl sets a parameter of the network's namespace.
func (p *patient) sysctl(name, value string) {
	p.t.Helper()
	err := netns.Do(nim.NamespacePath(p.root, p.network.UUID.String()), func() error {
		return os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0)
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// flush takes all addresses of an interface.
func flush(h *netlink.Handle, l netlink.Link) error {
	addrs, err := h.AddrList(l, netlink.FAMILY_ALL)
	for _, a := range addrs {
		err = errors.Join(err, h.AddrDel(l, &a))
	}
	return err
}

// What somebody does to a network is put right at once, and the log has one line on it.
func TestHeal(t *testing.T) {
	t.Parallel()
	metadata := mustAddr(t, "169.254.169.254/32")
	for name, hurt := range map[string]func(p *patient){
		"namespace deleted": func(p *patient) {
			if err := netns.Delete(nim.NamespacePath(p.root, p.network.UUID.String())); err != nil {
				p.t.Fatal(err)
			}
		},
		"bridge deleted": func(p *patient) { p.netlink("br0", (*netlink.Handle).LinkDel) },
		"bridge down":    func(p *patient) { p.netlink("br0", (*netlink.Handle).LinkSetDown) },
		"address removed": func(p *patient) {
			p.netlink("br0", func(h *netlink.Handle, l netlink.Link) error { return h.AddrDel(l, metadata) })
		},
		"address moved": func(p *patient) {
			p.netlink("br0", func(h *netlink.Handle, l netlink.Link) error {
				other := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: stray}}
				return errors.Join(h.LinkAdd(other), h.LinkSetUp(other), h.AddrAdd(other, metadata), h.AddrDel(l, metadata))
			})
		},
		"addresses flushed": func(p *patient) { p.netlink("br0", flush) },
		"IPv6 off":          func(p *patient) { p.sysctl("net/ipv6/conf/br0/disable_ipv6", "1") },
		"forwarding off":    func(p *patient) { p.sysctl("net/ipv4/ip_forward", "0") },
		"port down":         func(p *patient) { p.netlink(p.port, (*netlink.Handle).LinkSetDown) },
		"port taken out":    func(p *patient) { p.netlink(p.port, (*netlink.Handle).LinkSetNoMaster) },
		"port deleted":      func(p *patient) { p.netlink(p.port, (*netlink.Handle).LinkDel) },
		"default route removed": func(p *patient) {
			p.netlink("lo", func(h *netlink.Handle, _ netlink.Link) error {
				return h.RouteDel(&netlink.Route{Dst: mustAddr(t, "0.0.0.0/0").IPNet, Type: unix.RTN_UNREACHABLE})
			})
		},
		"filter deleted": func(p *patient) {
			p.nftables(func(c *nftables.Conn, filter *nftables.Table) error {
				c.DelTable(filter)
				return nil
			})
		},
		"filter flushed": func(p *patient) {
			p.nftables(func(c *nftables.Conn, filter *nftables.Table) error {
				c.FlushTable(filter)
				return nil
			})
		},
		"set of the filter flushed": func(p *patient) {
			p.nftables(func(c *nftables.Conn, filter *nftables.Table) error {
				macs, err := c.GetSetByName(filter, plan.SetMACs)
				if err == nil {
					c.FlushSet(macs)
				}
				return err
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t)
			p.observe()
			healthy := p.healthy()
			at := time.Now()
			hurt(p)
			p.await("network", func() error { return p.ill(healthy) })
			t.Logf("put right after %v", time.Since(at).Round(time.Millisecond))
			p.awaitApp(p.web, attached)
			p.awaitError("")
			p.check(p.guest(p.web))
			if n := p.repairs(); n != 1 {
				t.Errorf("%d lines in the log on what was put right, want one", n)
				for _, e := range p.logged.AllEntries() {
					t.Log(e.Time.Format(time.StampMilli), e.Message, e.Data)
				}
			}
		})
	}
}

// A way to the outside that somebody cuts, at either end, is made again.
func TestHealUplink(t *testing.T) {
	t.Parallel()
	tool.Need(t, "/usr/sbin/dnsmasq", "dnsmasq-base")
	p := &patient{world: newWorld(t, drivers()["memory"]), network: localNetwork("cut off", "10.11.12.0/24")}
	p.network.PortLabel = "uplink"
	p.setNetwork(p.network)
	p.complete()
	p.start()
	p.awaitError("")
	p.observe()
	healthy := p.healthy()
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	for end, cut := range map[string]func(){
		"inner": func() { p.netlink(plan.UplinkEnd, (*netlink.Handle).LinkDel) },
		"outer": func() {
			l, err := host.LinkByName(plan.UplinkName(p.network.UUID.String()))
			if err := errors.Join(err, host.LinkDel(l)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		at := time.Now()
		cut()
		p.await("network without its "+end+" end", func() error { return p.ill(healthy) })
		t.Logf("%s end: put right after %v", end, time.Since(at).Round(time.Millisecond))
		p.awaitError("")
	}
}

// A server that is killed is started again. Guests that come afterwards are none the wiser.
func TestHealServer(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	old := p.server()
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	p.awaitServer(old)
	t.Logf("put right after %v", time.Since(at).Round(time.Millisecond))
	p.awaitError("")
	p.check(p.guest(p.web))
}

// Somebody who has the port before us, and does not share it, is in the network's status for as long as that is so.
func TestPortInTheWay(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.stop()
	var squatter net.Listener
	err := netns.Do(nim.NamespacePath(p.root, p.network.UUID.String()), func() (err error) {
		squatter, err = new(net.ListenConfig).Listen(t.Context(), "tcp4", "0.0.0.0:80")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p.start()
	p.awaitError("listen on 169.254.169.254:80")
	p.await("error in ReconcileErr", func() error {
		if s := p.status(); !strings.Contains(s.ReconcileErr.Error, "address already in use") || s.ReconcileErr.ErrorTime.IsZero() {
			return fmt.Errorf("it is %s", asJSON(s.ReconcileErr))
		}
		return nil
	})
	if err := squatter.Close(); err != nil {
		t.Fatal(err)
	}
	p.awaitError("")
	p.check(p.guest(p.web))
	said := map[string]int{}
	for _, e := range p.logged.AllEntries() {
		said[e.Message]++
	}
	for _, message := range []string{"app network is not as it should be", "app network is as it should be again"} {
		if said[message] != 1 {
			t.Errorf("logged %q %d times, want once", message, said[message])
		}
	}
}

// enemy is a program that takes an address from an interface whenever it comes back.
type enemy struct {
	deeds atomic.Int64
	stop  func()
}

func (p *patient) enemy(link string, addr *netlink.Addr) *enemy {
	p.t.Helper()
	ns, err := netns.Open(nim.NamespacePath(p.root, p.network.UUID.String()))
	if err != nil {
		p.t.Fatal(err)
	}
	h, err := netlink.NewHandleAt(ns.Handle(), unix.NETLINK_ROUTE)
	if err != nil {
		p.t.Fatal(err)
	}
	l, err := h.LinkByName(link)
	if err != nil {
		p.t.Fatal(err)
	}
	updates, end, over := make(chan netlink.AddrUpdate), make(chan struct{}), make(chan struct{})
	handle := ns.Handle()
	if err := netlink.AddrSubscribeWithOptions(updates, end, netlink.AddrSubscribeOptions{Namespace: &handle}); err != nil {
		p.t.Fatal(err)
	}
	e := &enemy{}
	take := func() {
		if h.AddrDel(l, addr) == nil {
			e.deeds.Add(1)
			p.poke()
		}
	}
	go func() {
		defer close(over)
		take()
		for u := range updates {
			if u.NewAddr && u.LinkAddress.IP.Equal(addr.IP) {
				take()
			}
		}
	}()
	e.stop = func() {
		close(end)
		<-over
		h.Close()
		if err := ns.Close(); err != nil {
			p.t.Error(err)
		}
	}
	return e
}

// Somebody who never gives up is opposed at a bounded rate, and is in the network's status for as long as that goes on.
func TestFight(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	e := p.enemy("br0", mustAddr(t, "169.254.169.254/32"))
	p.awaitError("changes the app network again and again")
	before, at := e.deeds.Load(), time.Now()
	p.await("fight", func() error {
		if n := e.deeds.Load() - before; n < 3 {
			return fmt.Errorf("the address was given %d times", n)
		}
		return nil
	})
	took := time.Since(at)
	if took < time.Second { // one now, and then about one each second
		t.Errorf("the address was given 3 times within %v", took)
	}
	t.Logf("%d times in all, the last 3 within %v", e.deeds.Load(), took.Round(time.Millisecond))
	e.stop()
	p.awaitError("")
	p.check(p.guest(p.web))
	if n := p.repairs(); n != 1 {
		t.Errorf("%d lines in the log on what was put right, want one", n)
	}
}

// work is what a process has done so far.
type work struct {
	ticks  int // of the processor's time
	wakeup int // of its threads
}

// workOf returns what a process has done.
func workOf(t *testing.T, pid int) (w work) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("process %d has %d threads, error %v", pid, len(threads), err)
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(filepath.Join(thread, "stat"))
		status, statusErr := os.ReadFile(filepath.Join(thread, "status"))
		switch err := errors.Join(err, statusErr); {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
			continue // it has ended meanwhile
		case err != nil:
			t.Fatal(err)
		}
		const user, system = 11, 12 // fields behind the command's name
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))
		w.ticks += number(t, fields[user]) + number(t, fields[system])
		_, switches, _ := strings.Cut(string(status), "\nvoluntary_ctxt_switches:")
		w.wakeup += number(t, strings.Fields(switches)[0])
	}
	return w
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A manager with many networks does nothing while nothing happens, and notices all the same when something does.
func TestIdle(t *testing.T) {
	t.Parallel()
	sandbox.Need(t)
	const (
		networks = 50
		window   = 3 * time.Second
		wakeups  = networks / 5 // whoever looked at the networks would wake up more often
	)
	p := &patient{world: newWorld(t, drivers()["socket"]), network: localNetwork("network 0", "10.0.0.0/24")}
	for i := range networks {
		n := localNetwork(fmt.Sprint("network ", i), "10.0.0.0/24")
		p.setNetwork(n)
		p.setApp(container(fmt.Sprint("app ", i), n))
	}
	p.complete()
	pid, kill := p.otherManager()
	defer kill()
	late := time.After(patience)
	var last work
	for quiet := false; !quiet; {
		before := workOf(t, pid)
		select {
		case <-time.After(window):
		case <-late:
			t.Fatalf("%d networks are still work: %d wake-ups and %d ticks within %v", networks, last.wakeup, last.ticks, window)
		}
		after := workOf(t, pid)
		last = work{after.ticks - before.ticks, after.wakeup - before.wakeup}
		quiet = last.ticks == 0 && last.wakeup <= wakeups
	}
	t.Logf("%d wake-ups and %d ticks within %v", last.wakeup, last.ticks, window)
	p.observe()
	healthy := p.healthy()
	p.netlink("br0", flush)
	p.await("network", func() error { return p.ill(healthy) })
}
