// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/netns"
)

// The floors are the same calls of netlink and nothing else.

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
				n := oneNetwork(2*i + 1)
				timed(name == "floor", func() {
					if err := rawNetwork(k.Path(n.Namespace), n); err != nil {
						b.Fatal(err)
					}
				})
			}
			removeAll(b, k)
		})
	}
}

// Time until a thousand networks with one app instance each are made and told, from the configs on.
func BenchmarkManager(b *testing.B) {
	const networks = 1000
	b.Run("networks=1000/manager", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			w := newWorld(b, drivers()["memory"])
			for i := range networks {
				n := localNetwork(fmt.Sprint(i), "10.11.12.0/24")
				w.setNetwork(n)
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
			b.StartTimer()
			for i := range networks {
				n := oneNetwork(i)
				if err := rawNetwork(k.Path(n.Namespace), n); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
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
		err = errors.Join(err, k.Remove(name))
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

// Time until a manager has made and told of one port more, in a network that has nearly all that a bridge of Linux can
// have. What is above the floor is mostly the look at its 2000 interfaces.
func BenchmarkPort(b *testing.B) {
	w := newWorld(b, drivers()["memory"])
	n := localNetwork("blue", "10.0.0.0/16")
	w.setNetwork(n)
	const ports = 1000 // of 1023
	for i := range ports - 1 {
		w.setApp(container(fmt.Sprint(i), n))
	}
	w.complete()
	w.start()
	b.Run("of=1000/manager", func(b *testing.B) {
		one := container("one more", n)
		for b.Loop() {
			w.setApp(one)
			w.awaitApp(one, attached)
			b.StopTimer()
			w.dropApp(b, one)
			b.StartTimer()
		}
	})
	b.Run("of=1000/floor", func(b *testing.B) {
		w.inside(n, func(h *netlink.Handle) error {
			bridge, err := h.LinkByName("br0")
			if err != nil {
				return err
			}
			port := oneNetwork(0).Ports[0]
			for b.Loop() {
				err = errors.Join(err, rawPort(h, bridge, port))
				b.StopTimer()
				err = errors.Join(err, h.LinkDel(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: port.Name}}))
				b.StartTimer()
			}
			return err
		})
	})
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

// rawNetwork makes a network with the same calls of netlink and no thought.
func rawNetwork(path string, n plan.Network) error {
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
	attrs.Name, attrs.HardwareAddr = n.Bridge.Name, n.Bridge.MAC.HardwareAddr()
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	err = errors.Join(h.LinkSetUp(lo), h.LinkAdd(bridge), h.LinkSetMTU(bridge, n.Bridge.MTU), h.LinkSetUp(bridge))
	for _, a := range n.Bridge.Addresses {
		addr, perr := netlink.ParseAddr(a.String())
		err = errors.Join(err, perr, h.AddrAdd(bridge, addr))
	}
	return errors.Join(err, rawPort(h, bridge, n.Ports[0]), ns.Close())
}

// rawPort makes a port with no thought.
func rawPort(h *netlink.Handle, bridge netlink.Link, p plan.Port) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = p.Name, p.MAC.HardwareAddr(), p.MTU
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: plan.GuestEnd(p.Name), PeerHardwareAddr: p.GuestMAC.HardwareAddr(), PeerTxQLen: -1}
	return errors.Join(h.LinkAdd(veth), h.LinkSetMasterByIndex(veth, bridge.Attrs().Index), h.LinkSetUp(veth))
}
