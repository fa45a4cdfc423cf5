// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/netns"
)

// The floors are the same calls and nothing else: what there is to be is known beforehand, and nobody looks at what there
// is. Times are of the networks alone; what their DHCP and DNS servers take is in the benchmark of the whole service.

// Time to make one app network: observe, plan, carry out. The kernel gets slower as namespaces come and go; so both do
// the same, in turns, and each measures its own part.
func BenchmarkNetwork(b *testing.B) {
	for _, name := range []string{"planned", "floor"} {
		b.Run(name, func(b *testing.B) {
			k := newKernel(b)
			timed := func(mine bool, f func()) {
				if mine {
					b.StartTimer()
				}
				f()
				b.StopTimer()
			}
			b.StopTimer()
			for i := range b.N {
				timed(name == "planned", func() { settle(b, k, oneNetwork(2*i)) })
				r := newRaw(oneNetwork(2*i + 1))
				timed(name == "floor", func() {
					if err := r.make(k); err != nil {
						b.Fatal(err)
					}
				})
			}
			removeAll(b, k)
		})
	}
}

// Time until a thousand networks with one app instance each are made and told, from the configs on, and guests can ask.
func BenchmarkManager(b *testing.B) {
	const networks = 1000
	b.Run("networks=1000/manager", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			w := newWorld(b, drivers()["memory"])
			for i := range networks {
				n := localNetwork(fmt.Sprint(i), "10.11.12.0/24")
				w.setWithoutServer(b, n)
				w.setApp(container(fmt.Sprint(i), n))
			}
			w.complete()
			b.StartTimer()
			w.start()
			b.StopTimer()
			w.stop()
			removeAll(b, kernel.New(w.root))
			b.StartTimer()
		}
	})
	b.Run("networks=1000/floor", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			k := newKernel(b)
			all := make([]*raw, networks)
			for i := range all {
				all[i] = newRaw(oneNetwork(i))
				all[i].ports = []uint16{80, 8080}
			}
			b.StartTimer()
			for _, r := range all {
				if err := r.make(k); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			for _, r := range all {
				r.close(b)
			}
			removeAll(b, k)
			b.StartTimer()
		}
	})
}

// removeAll removes all namespaces and waits until the kernel has done so too, which takes it longer than making them:
// whoever makes others meanwhile waits for the same locks.
func removeAll(b *testing.B, k *kernel.Kernel) {
	b.Helper()
	names, err := k.Names()
	for _, name := range names {
		err = errors.Join(err, netns.Delete(k.Path(name)))
	}
	if err = errors.Join(err, awaitRemoval(b.TempDir())); err != nil {
		b.Fatal(err)
	}
}

// awaitRemoval removes one more namespace and waits until a veth goes whose other end is in it: namespaces go in the order
// in which they were removed.
func awaitRemoval(dir string) (err error) {
	stays, goes := filepath.Join(dir, "stays"), filepath.Join(dir, "goes")
	if err := errors.Join(netns.Create(stays), netns.Create(goes)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, netns.Delete(stays), netns.Delete(goes)) }()
	here, err := netns.Open(stays)
	if err != nil {
		return err
	}
	defer here.Close()
	there, err := netns.Open(goes)
	if err != nil {
		return err
	}
	h, err := netlink.NewHandleAt(here.Handle(), unix.NETLINK_ROUTE)
	if err != nil {
		return errors.Join(err, there.Close())
	}
	defer h.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "canary"
	err = h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "canary", PeerNamespace: netlink.NsFd(int(there.Handle())), PeerTxQLen: -1})
	if err := errors.Join(err, there.Close(), netns.Delete(goes)); err != nil {
		return err
	}
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for late := time.After(patience); ; {
		select {
		case <-look.C:
		case <-late:
			return errors.New("the kernel does not get done with removing namespaces")
		}
		if _, err := h.LinkByName(attrs.Name); errors.As(err, new(netlink.LinkNotFoundError)) {
			return nil
		}
	}
}

// setWithoutServer publishes a network that has no DHCP and DNS server.
func (w *world) setWithoutServer(b *testing.B, n eve.NetworkInstanceConfig) {
	b.Helper()
	if err := w.about.Set(n.UUID.String(), eve.NetworkMetadata{NoDHCP: true, NoDNS: true}); err != nil {
		b.Fatal(err)
	}
	w.setNetwork(n)
}

// Time until a manager has made and told of one port more, in a network that has thousands. What is above the floor is
// mostly the look at its interfaces, of which each port has two.
func BenchmarkPort(b *testing.B) {
	w := newWorld(b, drivers()["memory"])
	n := localNetwork("blue", "10.0.0.0/16")
	w.setWithoutServer(b, n)
	const ports = 4 * plan.MaxBridgePorts
	for i := range ports - 1 {
		w.setApp(container(fmt.Sprint(i), n))
	}
	w.complete()
	w.start()
	b.Run("of=4000/manager", func(b *testing.B) {
		one := container("one more", n)
		for b.Loop() {
			w.setApp(one)
			w.awaitApp(one, attached)
			b.StopTimer()
			w.dropApp(b, one)
			b.StartTimer()
		}
	})
	b.Run("of=4000/floor", func(b *testing.B) {
		here := plan.Network{Namespace: plan.NamespaceName(n.UUID.String())}
		s := open(b, kernel.New(w.root), here)
		port, add, drop := onePort(here.Namespace)
		w.inside(n, func(h *netlink.Handle) error {
			bridge, err := h.LinkByName("br0")
			if err != nil {
				return err
			}
			for b.Loop() {
				err = errors.Join(append(s.Apply(add), err, rawPort(h, bridge, port))...)
				b.StopTimer()
				err = errors.Join(append(s.Apply(drop), err, h.LinkDel(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: port.Name}}))...)
				b.StartTimer()
			}
			return err
		})
	})
}

// onePort returns a port, and what holds its guest to what is its own in a namespace, and takes that away again.
func onePort(namespace string) (port plan.Port, add, drop []plan.Step) {
	r := newRaw(oneNetwork(0))
	for _, step := range r.rules {
		if e, ok := step.(plan.ElementAdd); ok && e.Set != plan.SetOwn && e.Set != plan.SetOwn6 {
			e.Netns = namespace
			add, drop = append(add, e), append(drop, plan.ElementDel(e))
		}
	}
	return r.network.Ports[0], add, drop
}

// dropApp removes an app instance and waits until its port is gone.
func (w *world) dropApp(b *testing.B, app eve.AppInstanceConfig) {
	b.Helper()
	id := app.UUIDandVersion.UUID.String()
	if err := w.apps.Delete(id); err != nil {
		b.Fatal(err)
	}
	w.await("one less", func() error {
		if _, ok := w.appState[id]; ok {
			return errors.New("it is still there")
		}
		return nil
	})
}

// Time until a network that has a great many ports has one more: the look at what there is, the plan, and its few steps.
func BenchmarkManyPorts(b *testing.B) {
	const ports = 4000
	k := newKernel(b)
	all := networkOf(0, ports+1)
	without, with := all, all
	without.Ports = all.Ports[:ports]
	settle(b, k, without)
	var looked, planned, done time.Duration
	for b.Loop() {
		start := time.Now()
		s, err := k.Open(with)
		if err != nil {
			b.Fatal(err)
		}
		seen := observe(b, s)
		looked += time.Since(start)
		start = time.Now()
		steps := plan.Plan(plan.Wanted{Networks: []plan.Network{with}}, seen)
		planned += time.Since(start)
		start = time.Now()
		apply(b, s, steps...)
		done += time.Since(start)
		b.StopTimer()
		apply(b, s, plan.Plan(plan.Wanted{Networks: []plan.Network{without}}, observe(b, s))...)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	for what, d := range map[string]time.Duration{"look-ms": looked, "plan-ms": planned, "steps-ms": done} {
		b.ReportMetric(float64(d)/float64(time.Millisecond)/float64(b.N), what)
	}
}

// raw makes a network with the same calls and no thought.
type raw struct {
	network plan.Network
	sysctls []plan.SysctlSet
	rules   []plan.Step
	ports   []uint16 // of TCP, to be listened at; the first of them at every address
	sockets []int
}

// newRaw thinks beforehand.
func newRaw(n plan.Network) *raw {
	r := &raw{network: n}
	for _, step := range plan.Plan(plan.Wanted{Networks: []plan.Network{n}}, nil) {
		switch step := step.(type) {
		case plan.SysctlSet:
			r.sysctls = append(r.sysctls, step)
		case plan.TableAdd, plan.ElementAdd:
			r.rules = append(r.rules, step)
		}
	}
	return r
}

func (r *raw) make(k *kernel.Kernel) error {
	path := k.Path(r.network.Namespace)
	if err := netns.Create(path); err != nil {
		return err
	}
	ns, err := netns.Open(path)
	if err != nil {
		return err
	}
	h, err := netlink.NewHandleAt(ns.Handle(), unix.NETLINK_ROUTE)
	if err != nil {
		return errors.Join(err, ns.Close())
	}
	defer h.Close()
	lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "lo", Index: 1}}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = r.network.Bridge.Name, r.network.Bridge.MAC.HardwareAddr()
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	err = errors.Join(r.makeRules(k), h.LinkSetUp(lo), h.LinkAdd(bridge), ns.Do(r.setSysctls),
		h.LinkSetMTU(bridge, r.network.Bridge.MTU), h.LinkSetUp(bridge))
	for _, a := range r.network.Bridge.Addresses {
		addr, perr := netlink.ParseAddr(a.String())
		if a.Addr().Is6() && !a.Addr().IsLinkLocalUnicast() {
			addr.Flags |= unix.IFA_F_NODAD
		}
		err = errors.Join(err, perr, h.AddrAdd(bridge, addr))
	}
	for _, dst := range []string{"0.0.0.0/0", "::/0"} {
		_, all, perr := net.ParseCIDR(dst)
		err = errors.Join(err, perr, h.RouteAdd(&netlink.Route{Dst: all, Type: unix.RTN_UNREACHABLE}))
	}
	err = errors.Join(err, rawPort(h, bridge, r.network.Ports[0]))
	return errors.Join(err, ns.Do(func() error { return r.listen(bridge.Index) }), ns.Close())
}

// makeRules makes the network's table. What that takes is measured where it is made.
func (r *raw) makeRules(k *kernel.Kernel) error {
	s, err := k.Open(r.network)
	if err != nil {
		return err
	}
	return errors.Join(append(s.Apply(r.rules), s.Close())...)
}

func (r *raw) setSysctls() error {
	var errs []error
	for _, s := range r.sysctls {
		errs = append(errs, os.WriteFile("/proc/sys/"+strings.ReplaceAll(s.Name, ".", "/"), []byte(s.Value), 0o644))
	}
	return errors.Join(errs...)
}

// listen opens the sockets, in the calling thread's namespace: at the metadata addresses and, as CloudStack's guests ask
// there, at the router's.
func (r *raw) listen(bridge int) error {
	for i, port := range r.ports {
		for _, p := range r.network.Bridge.Addresses {
			if i > 0 && slices.Contains(plan.MetadataPrefixes(), p) {
				continue
			}
			socket, err := rawSocket(p.Addr(), port, bridge)
			if err != nil {
				return err
			}
			r.sockets = append(r.sockets, socket)
		}
	}
	return nil
}

// rawSocket opens a listening socket.
func rawSocket(at netip.Addr, port uint16, bridge int) (socket int, err error) {
	family := unix.AF_INET
	var to unix.Sockaddr
	options := [][3]int{{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1}, {unix.SOL_SOCKET, unix.SO_REUSEPORT, 1}, {unix.SOL_TCP, unix.TCP_SAVE_SYN, 2}}
	if at.Is4() {
		to = &unix.SockaddrInet4{Port: int(port), Addr: at.As4()}
	} else {
		in6 := &unix.SockaddrInet6{Port: int(port), Addr: at.As16()}
		if at.IsLinkLocalUnicast() {
			in6.ZoneId = uint32(bridge)
		}
		family, to = unix.AF_INET6, in6
		options = append(options, [3]int{unix.SOL_IPV6, unix.IPV6_V6ONLY, 1}, [3]int{unix.SOL_IPV6, unix.IPV6_FREEBIND, 1})
	}
	if socket, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, err
	}
	for _, o := range options {
		err = errors.Join(err, unix.SetsockoptInt(socket, o[0], o[1], o[2]))
	}
	return socket, errors.Join(err, unix.Bind(socket, to), unix.Listen(socket, 4096))
}

// close closes the sockets.
func (r *raw) close(b *testing.B) {
	b.Helper()
	for _, socket := range r.sockets {
		if err := unix.Close(socket); err != nil {
			b.Error(err)
		}
	}
}

// rawPort makes a port with no thought.
func rawPort(h *netlink.Handle, bridge netlink.Link, p plan.Port) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = p.Name, p.MAC.HardwareAddr(), p.MTU
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: plan.GuestEnd(p.Name), PeerHardwareAddr: p.GuestMAC.HardwareAddr(), PeerTxQLen: -1}
	return errors.Join(h.LinkAdd(veth), h.LinkSetMasterByIndex(veth, bridge.Attrs().Index), h.LinkSetUp(veth))
}
