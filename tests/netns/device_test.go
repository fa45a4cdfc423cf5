// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/vishvananda/netlink"

	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/netns"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
	"github.com/lf-edge/eve-metadata/pkg/topics"
)

// device is a world in which EVE's zedrouter makes the networks: bridges in the host's own namespace, which is that of the
// test binary. So these tests do not run beside others that are there.
type device struct {
	*world
	here    *kernel.Session // that namespace
	status  *pubsub.Publication[eve.NetworkInstanceStatus]
	pods    *pubsub.Publication[eve.AppNetworkStatus]
	changes <-chan struct{} // of bn1
}

func newDevice(t *testing.T) *device {
	t.Helper()
	d := &device{world: newWorld(t, func(root string) pubsub.Driver { return &socket.Driver{Root: root} })}
	d.topics = topics.Device()
	k := kernel.New(d.root)
	d.here = open(t, k, onBN1())
	d.zedrouter()
	t.Cleanup(func() {
		if err := errors.Join(d.status.Close(), d.pods.Close()); err != nil {
			t.Error(err)
		}
	})
	d.changes = watching(t, func(ctx context.Context, changed func()) error { return k.Watch(ctx, onBN1(), changed) })
	return d
}

// onBN1 is a network on the bridge of these tests.
func onBN1() plan.Network { return plan.Network{Attach: plan.OnBridge, Bridge: plan.Bridge{Name: bn1}} }

// zedrouter opens its topics, and has not told everything.
func (d *device) zedrouter() {
	d.t.Helper()
	var err error
	if d.status, err = pubsub.NewPublication(d.driver, topics.Device().NetworkStatus); err != nil {
		d.t.Fatal(err)
	}
	if d.pods, err = pubsub.NewPublication(d.driver, topics.Device().AppStatus); err != nil {
		d.t.Fatal(err)
	}
	must(d.t, errors.Join(d.status.ClearRestarted(), d.pods.ClearRestarted()))
}

// crash ends zedrouter as kill -9 does, and begins another one that has nothing to tell yet.
func (d *device) crash(networks ...string) {
	d.t.Helper()
	must(d.t, errors.Join(d.status.Detach(), d.pods.Detach()))
	d.zedrouter()
	for _, n := range networks {
		must(d.t, d.status.Delete(n))
	}
}

// makeBridge makes the bridge, without any address.
func (d *device) makeBridge() {
	d.t.Helper()
	apply(d.t, d.here, plan.LinkAdd{Link: bn1, Kind: "bridge", MAC: bridgeMAC}, plan.LinkSet{Link: bn1, Up: true})
	d.t.Cleanup(func() { apply(d.t, d.here, plan.LinkDel{Link: bn1}) })
}

// plug connects a node to the bridge.
func (d *device) plug(port string, n byte) *station {
	d.t.Helper()
	g := &station{node: newNode(d.t, filepath.Join(d.root, "nodes", port)), port: port}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = port
	must(d.t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerHardwareAddr: macBehind(port), PeerNamespace: netlink.NsFd(g.ns.Handle())}))
	apply(d.t, d.here, plan.LinkSet{Link: port, Master: bn1, Up: true})
	g.up("eth0")
	g.address("eth0", fmt.Sprintf("10.0.0.%d/24", n))
	must(d.t, g.ns.Do(func() error { return run("ip", "route", "add", "169.254.169.254", "dev", "eth0") }))
	return g
}

// macBehind is the MAC address of the guest behind a port.
func macBehind(port string) net.HardwareAddr {
	sum := sha256.Sum256([]byte(port))
	return append(net.HardwareAddr{2}, sum[:5]...)
}

// network publishes the bridge's network instance, and a VM at each port.
func (d *device) network(ports ...string) string {
	d.t.Helper()
	s := eve.NetworkInstanceStatus{Activated: true}
	s.UUID, s.Type, s.BridgeName = uuid.NewSHA1(uuid.NameSpaceOID, []byte("blue")), eve.NetworkInstanceTypeSwitch, bn1
	for _, p := range ports {
		s.Vifs = append(s.Vifs, eve.VifNameMac{Name: p, MacAddr: macBehind(p)})
	}
	must(d.t, d.status.Set(s.UUID.String(), s))
	return s.UUID.String()
}

// awaitStatus waits for the status that is published of a network.
func (d *device) awaitStatus(network, problem string, serves bool) {
	d.t.Helper()
	d.await("status of network", func() error {
		if s := d.netState[network]; s.Activated != serves || s.Error != problem {
			return fmt.Errorf("it serves: %t, error %q", s.Activated, s.Error)
		}
		return nil
	})
}

// told returns what a node hears at the metadata address: the name of its network.
func (g *station) told(within time.Duration) string { return g.dial("169.254.169.254:80", within) }

// A switch with two guests and a LAN: the guests are answered, the LAN is not; that is so again when the bridge is made anew,
// when somebody deletes the tables, and while zedrouter is away and when it is back.
func TestDevice(t *testing.T) {
	d := newDevice(t)
	d.makeBridge()
	anna, bert, lan := d.plug("nbu1x1", 1), d.plug("nbu1x2", 2), d.plug(trunkPort, 3)
	blue := d.network("nbu1x1", "nbu1x2")
	must(t, d.pods.SignalRestarted())
	d.start()
	d.awaitStatus(blue, "", true)
	check := func(when string) {
		t.Helper()
		for _, g := range []*station{anna, bert} {
			if got := g.told(patience); got != blue {
				t.Errorf("%s %s is told %q, want %q", when, g.port, got, blue)
			}
		}
		if got := lan.told(hurry); got != "" || lan.neighbour("eth0", metadata) != "" {
			t.Errorf("%s the LAN is told %q, and knows %q", when, got, lan.neighbour("eth0", metadata))
		}
	}
	check("at first")

	for _, table := range plan.HostTables() {
		apply(t, d.here, plan.TableDel{Table: table})
		d.awaitTables()
	}
	check("without a table")

	d.crash(blue)
	check("with nothing told")
	must(t, d.pods.SignalRestarted())
	d.network("nbu1x1", "nbu1x2")
	check("with everything told again")

	// Ports are down until they are on the bridge again: on its own, the LAN's would answer for each address that the host has.
	for _, port := range []string{"nbu1x1", "nbu1x2", trunkPort} {
		must(t, run("ip", "link", "set", port, "down"))
	}
	apply(t, d.here, plan.LinkDel{Link: bn1})
	d.awaitStatus(blue, `bridge "bn1" is not there`, false)
	apply(t, d.here, plan.LinkAdd{Link: bn1, Kind: "bridge", MAC: plan.MAC{6, 0x16, 0x3e, 0, 0, 0xfd}}, plan.LinkSet{Link: bn1, Up: true})
	for _, port := range []string{"nbu1x1", "nbu1x2", trunkPort} {
		apply(t, d.here, plan.LinkSet{Link: port, Master: bn1, Up: true})
	}
	d.awaitStatus(blue, "", true)
	check("on a bridge made anew")

	// A guest that goes is nobody's any more, and the last network takes everything along.
	d.network("nbu1x2")
	d.awaitSeen("the guest's leaving", func(ns plan.Namespace) bool { return len(ns.Tables[plan.GuardTable].Sets[plan.SetGuests]) == 2 })
	if got := anna.told(hurry); got != "" {
		t.Errorf("who is no guest any more is told %q", got)
	}
	apply(t, d.here, plan.LinkDel{Link: bn1})
	must(t, d.status.Delete(blue))
	d.awaitSeen("the network's end", func(ns plan.Namespace) bool { return len(ns.Tables) == 0 })
	if s, ok := d.lastStatus(blue); ok {
		t.Errorf("its status is still %+v", s)
	}
	apply(t, d.here, plan.LinkAdd{Link: bn1, Kind: "bridge"}) // for the clean-up
}

// lastStatus returns what is published of a network when it is withdrawn, or stays.
func (d *device) lastStatus(network string) (s eve.NetworkInstanceStatus, ok bool) {
	d.t.Helper()
	d.await("the status to be withdrawn", func() error {
		if s, ok = d.netState[network]; ok {
			return errors.New("it is there")
		}
		return nil
	})
	return s, ok
}

// awaitTables returns when both tables are there.
func (d *device) awaitTables() {
	d.t.Helper()
	d.awaitSeen("the tables", func(ns plan.Namespace) bool { return len(ns.Tables) == len(plan.HostTables()) })
}

// awaitSeen returns when the host's own namespace is so.
func (d *device) awaitSeen(what string, so func(plan.Namespace) bool) {
	d.t.Helper()
	again, late := time.NewTicker(glance), time.After(patience)
	defer again.Stop()
	for !so(observe(d.t, d.here)[plan.Host]) {
		select {
		case <-again.C:
		case <-d.changes:
		case <-late:
			d.t.Fatalf("%s: still %+v", what, observe(d.t, d.here)[plan.Host])
		}
	}
}

// Pods that come and go: each is answered in its own namespace, as soon as that is there, and leaves nothing.
func TestDevicePods(t *testing.T) {
	d := newDevice(t)
	must(t, d.pods.SignalRestarted())
	d.start()
	for i := range 3 {
		path := filepath.Join(d.root, "cni", fmt.Sprint("pod", i))
		a := eve.AppNetworkStatus{UUIDandVersion: eve.UUIDandVersion{UUID: uuid.NewSHA1(uuid.NameSpaceOID, []byte("pod"))}}
		id := a.UUIDandVersion.UUID.String()
		a.AppPod.NetNsPath = path
		must(t, d.pods.Set(id, a))
		d.awaitStatus(id, fmt.Sprintf("namespace %q is not there", path), false)
		pod := newNode(t, path)
		d.awaitStatus(id, "", true)
		if got := pod.dial("169.254.169.254:80", patience); got != id {
			t.Errorf("pod %d is told %q, want %q", i, got, id)
		}
		if i == 1 { // it goes first, and its status later
			must(t, netns.Delete(path))
			d.awaitStatus(id, fmt.Sprintf("namespace %q is not there", path), false)
		}
		must(t, d.pods.Delete(id))
		if i == 0 { // or the other way round
			must(t, netns.Delete(path))
		}
		if i < 2 {
			d.lastStatus(id)
		}
	}
}

// What is no namespace of a pod's is an error that says so; the host's own, above all, gets no address.
func TestDeviceOddPods(t *testing.T) {
	d := newDevice(t)
	must(t, d.pods.SignalRestarted())
	d.start()
	file := filepath.Join(d.root, "file")
	must(t, run("touch", file))
	for path, want := range map[string]string{
		"/proc/self/ns/net": `open namespace "/proc/self/ns/net": it is the host's own`,
		"/proc/self/ns/mnt": `open namespace "/proc/self/ns/mnt": not a network namespace`,
		file:                fmt.Sprintf("open namespace %q: not a network namespace", file),
		file + "/netns":     fmt.Sprintf("open namespace %q: not a directory", file+"/netns"),
	} {
		a := eve.AppNetworkStatus{UUIDandVersion: eve.UUIDandVersion{UUID: uuid.NewSHA1(uuid.NameSpaceOID, []byte(path))}}
		a.AppPod.NetNsPath = path
		must(t, d.pods.Set(a.UUIDandVersion.UUID.String(), a))
		d.awaitStatus(a.UUIDandVersion.UUID.String(), want, false)
	}
	lo := open(t, kernel.New(d.root), plan.Network{Attach: plan.OnBridge, Bridge: plan.Bridge{Name: "lo"}})
	for _, l := range observe(t, lo)[plan.Host].Links {
		for _, a := range l.Addresses {
			if a.Prefix == plan.MetadataPrefixes()[0] {
				t.Errorf("the host's own %s has the address %s", l.Name, a.Prefix)
			}
		}
	}
}
