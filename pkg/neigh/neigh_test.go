// SPDX-License-Identifier: Apache-2.0

package neigh_test

import (
	"errors"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/pkg/neigh"
	"github.com/lf-edge/eve-metadata/pkg/netns"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

var guest = net.HardwareAddr{2, 0x16, 0x3e, 0, 0, 1}

// hosted is a namespace with a bridge "br0", its ports "nb1" and "nb2", and the far ends of these, "g1" and "g2".
func hosted(t *testing.T) *netns.Namespace {
	t.Helper()
	sandbox.Need(t)
	path := filepath.Join(t.TempDir(), "ns")
	if err := netns.Create(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Delete(path); err != nil {
			t.Error(err)
		}
	})
	ns, err := netns.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	h := handle(t, ns)
	br0 := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	must(t, h.LinkAdd(br0))
	must(t, h.LinkSetUp(br0))
	for port, far := range map[string]string{"nb1": "g1", "nb2": "g2"} {
		must(t, h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: port, MasterIndex: br0.Index}, PeerName: far}))
		for _, name := range []string{port, far} {
			link, err := h.LinkByName(name)
			must(t, err)
			must(t, h.LinkSetUp(link))
		}
	}
	return ns
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func handle(t *testing.T, ns *netns.Namespace) *netlink.Handle {
	t.Helper()
	h, err := netlink.NewHandleAt(ns.Handle(), unix.NETLINK_ROUTE)
	must(t, err)
	t.Cleanup(h.Close)
	return h
}

// open opens the namespace's tables.
func open(t *testing.T, ns *netns.Namespace) *neigh.Table {
	t.Helper()
	var table *neigh.Table
	must(t, ns.Do(func() (err error) {
		table, err = neigh.Open()
		return err
	}))
	t.Cleanup(table.Close)
	return table
}

// send sends a frame from the guest's address over one of the far ends.
func send(t *testing.T, ns *netns.Namespace, far string) {
	t.Helper()
	link, err := handle(t, ns).LinkByName(far)
	must(t, err)
	must(t, ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err != nil {
			return err
		}
		frame := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, guest...)
		frame = append(frame, 0x88, 0xb5) // for experiments (IEEE 802, 9.2.3)
		err = unix.Sendto(fd, append(frame, make([]byte, 46)...), 0, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index})
		return errors.Join(err, unix.Close(fd))
	}))
}

// The port is that of the newest frame.
func TestPort(t *testing.T) {
	t.Parallel()
	ns := hosted(t)
	table := open(t, ns)
	if port, err := table.Port("br0", guest); !errors.Is(err, neigh.ErrUnknown) {
		t.Errorf("before any frame: %q, %v", port, err)
	}
	for far, want := range map[string]string{"g1": "nb1", "g2": "nb2"} {
		send(t, ns, far)
		if port, err := table.Port("br0", guest); err != nil || port != want {
			t.Errorf("after a frame from %s: %q, %v, want %q", far, port, err, want)
		}
	}
	for _, bridge := range []string{"none", "nb1", ""} {
		if port, err := table.Port(bridge, guest); err == nil || errors.Is(err, neigh.ErrUnknown) {
			t.Errorf("on bridge %q: %q, %v", bridge, port, err)
		}
	}
}

// The bridge is asked by many requests at a time, over one socket.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	ns := hosted(t)
	table := open(t, ns)
	send(t, ns, "g1")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				if port, err := table.Port("br0", guest); err != nil || port != "nb1" {
					t.Errorf("%q, %v", port, err)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestNilTable(t *testing.T) {
	t.Parallel()
	var table *neigh.Table
	if port, err := table.Port("br0", guest); !errors.Is(err, neigh.ErrUnknown) {
		t.Errorf("%q, %v", port, err)
	}
	table.Close()
}

func BenchmarkPort(b *testing.B) {
	sandbox.Need(b)
	table, err := neigh.Open()
	if err != nil {
		b.Fatal(err)
	}
	defer table.Close()
	br0 := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "brbench"}}
	if err := netlink.LinkAdd(br0); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := netlink.LinkDel(br0); err != nil {
			b.Error(err)
		}
	})
	link, err := netlink.LinkByName("brbench")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if port, err := table.Port("brbench", link.Attrs().HardwareAddr); err != nil {
			b.Fatal(port, err)
		}
	}
}
