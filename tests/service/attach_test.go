// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/tests/evedevice/edge"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// inNamespace: guests in namespaces that a container runtime made ask at the metadata addresses there, and all else in
// those namespaces stays as it is.
//
// Network: the runtime's bridge, with two namespaces on it: pod has one app, pair has two, with an address each.
//
// Phases: start while pair is not there yet; make it; read as all; remove the manifests; do it again with kill -9 and
// without the manifests at the next start.
func inNamespace(t *testing.T, binary string) {
	runtime := world.NewMachine(t)
	runtime.Sh(`
		ip link add cni0 type bridge
		ip link set cni0 up
		ip addr add 10.88.0.1/24 dev cni0`)
	pod, pair := container(runtime, filepath.Join(t.TempDir(), "pod"), "10.88.0.5"), filepath.Join(t.TempDir(), "pair")
	podBefore := inventory(pod)
	files := map[string]string{
		"pod.yaml":   attachedYAML("pod", "namespace: "+pod.Path()),
		"pair.yaml":  attachedYAML("pair", "namespace: "+pair),
		"web.yaml":   world.AppYAML("web", "pod", "", "adapters: [{name: eth0, network: pod}]"),
		"left.yaml":  world.AppYAML("left", "pair", "10.88.0.7"),
		"right.yaml": world.AppYAML("right", "pair", "10.88.0.8"),
	}
	w := newScene(t, binary, files)
	w.Start()
	webs := map[string]*guest{"IPv4": {Guest: pod.Guest, app: "web"}}
	webs["IPv6"] = webs["IPv4"].at(ec2Server)
	webs["the link"] = webs["IPv4"].at("[" + linkServer + "%1]:80") // lo is the first interface everywhere
	serves := func(g *guest, what string) {
		t.Helper()
		w.Await(g.app+" by "+what, func() error { return g.expect("/latest/user-data", http.StatusOK, "I am "+g.app) })
	}
	for what, web := range webs {
		serves(web, what)
	}

	w.Await("pair's error", func() error { return w.NetworkError("pair", pair) })
	both := container(runtime, pair, "10.88.0.7", "10.88.0.8")
	made := time.Now()
	left := &guest{Guest: both.Guest, app: "left", from: "10.88.0.7"}
	right := &guest{Guest: both.Guest, app: "right", from: "10.88.0.8"}
	neither := &guest{Guest: both.Guest, app: "neither", from: "127.0.0.1"}
	w.Await("end of pair's error", func() error { return w.NetworkError("pair", "") })
	if took := time.Since(made); took > time.Second {
		t.Errorf("pair was attached %v after it was there", took)
	}
	serves(left, "its address")
	serves(right, "its address")
	world.Must(t, neither.expect("/latest/user-data", http.StatusNotFound, ""))
	// To what the container is for, nothing has changed.
	world.Must(t, reaches(runtime, "10.88.0.5:7", "10.88.0.1"), reaches(pod, "10.88.0.8:7", "10.88.0.5"))

	untouched := func(after string) {
		t.Helper()
		w.Await("what is left after "+after, func() error {
			if diff := cmp.Diff(podBefore, inventory(pod)); diff != "" {
				return fmt.Errorf("namespace of others (-before +after):\n%s", diff)
			}
			return nil
		})
		if said, err := reach(pod, server); err == nil {
			t.Errorf("after %s web is still answered: %s", after, said)
		}
	}
	w.Remove("web.yaml")
	w.Remove("pod.yaml")
	untouched("the manifest's removal")
	serves(left, "its address")

	w.Save("web.yaml", files["web.yaml"])
	w.Save("pod.yaml", files["pod.yaml"])
	serves(webs["IPv4"], "IPv4")
	if err := w.Service.Kill(); err != nil {
		t.Fatal(err)
	}
	w.Remove("web.yaml")
	w.Remove("pod.yaml")
	w.Start()
	untouched("a crash")
	serves(left, "its address")
}

// attachedYAML is a network in a place that others made.
func attachedYAML(name, place string) string {
	return fmt.Sprintf("kind: network\nname: %s\nattach: {%s}\n", name, place)
}

// container makes a namespace as a container runtime does: on its bridge, with addresses and a default route.
func container(m *world.Machine, path string, addresses ...string) *world.Machine {
	m.T.Helper()
	c := world.MachineAt(m.T, path)
	last := addresses[0][strings.LastIndex(addresses[0], ".")+1:]
	m.Sh(`
		ip link add cni%[1]s type veth peer name eth0 netns %[2]s
		ip link set cni%[1]s master cni0 up`, last, path)
	c.Sh("ip link set eth0 up")
	for _, a := range addresses {
		c.Sh("ip addr add %s/24 dev eth0", a)
	}
	c.Sh("ip route add default via 10.88.0.1")
	c.Greet(":7")
	return c
}

// inventory is what a machine has that somebody could have changed. Its kernel's search for duplicates is over by then.
func inventory(m *world.Machine) string {
	m.T.Helper()
	const what = "ip addr; ip rule; ip -4 route show table all; ip -6 route show table all; " +
		"cd /proc/sys/net; grep . ipv4/ip_forward ipv4/conf/*/forwarding ipv6/conf/*/forwarding"
	var seen string
	world.Await(m.T, "inventory", func() error {
		if seen = m.Sh(what); strings.Contains(seen, "tentative") {
			return fmt.Errorf("addresses are tentative:\n%s", seen)
		}
		return hasNoTable(m, "eve-metadata")
	})
	return seen
}

// onBridge: on EVE's bridges guests ask us while the network is attached, and EVE as before when it is not.
//
// Network: EVE's bn1, with web and pump, and bn2, with db. EVE answers for 169.254.169.254 on both.
//
// Phases: ask EVE; start, and ask us; attach bn1 no longer; attach it again, kill -9 the service and start it without;
// be pump and ask as if it were web; remove all; attach bn1 again, and have another bridge of that name in its place.
func onBridge(iptables string) func(*testing.T, string) {
	return func(t *testing.T, binary string) {
		macs := map[string]string{"web": "00:16:3e:00:01:01", "pump": "00:16:3e:00:02:01", "db": "00:16:3e:00:03:01"}
		device := eveDevice{edge.NewDevice(t, iptables)}
		device.Network(1, macs["web"]+",id:*,10.1.0.5,"+world.UUIDOf("web"), macs["pump"]+",id:*,10.1.0.6,"+world.UUIDOf("pump"))
		device.Network(2, macs["db"]+",id:*,10.2.0.5,"+world.UUIDOf("db"))
		web, pump := device.guest("web", 1, 1, macs["web"]), device.guest("pump", 1, 2, macs["pump"])
		db := device.guest("db", 2, 3, macs["db"])
		serves := func(who string, guests ...*guest) {
			t.Helper()
			for _, g := range guests {
				answer := who
				if answer == "" {
					answer = "I am " + g.app
				}
				// What was asked while things changed may stay without an answer.
				world.Await(t, g.app, func() error { return g.brief().expect("/latest/user-data", http.StatusOK, answer) })
			}
		}
		serves(edge.Answer, web, pump, db)
		all := func() string {
			return inventory(device.Machine) + device.Sh("%[1]s-save | grep -v '^[#:]'", strings.Fields(device.IPTables)[0])
		}
		before := all()

		files := map[string]string{"bn1.yaml": attachedYAML("one", "bridge: bn1"), "bn2.yaml": attachedYAML("two", "bridge: bn2")}
		for app, network := range map[string]string{"web": "one", "pump": "one", "db": "two"} {
			adapter := fmt.Sprintf("name: eth0, network: %s, mac: %q", network, macs[app])
			if app == "web" {
				adapter += ", ipv4: 10.1.0.5" // of the others only the MAC address is known
			}
			files[app+".yaml"] = world.AppYAML(app, network, "", "adapters: [{"+adapter+"}]")
		}
		w := newScene(t, device.Program(binary), files)
		w.Start()
		serves("", web, pump, db)
		ones := []string{"bn1.yaml", "web.yaml", "pump.yaml"}
		detach := func() {
			for _, file := range ones {
				w.Remove(file)
			}
		}
		attach := func() {
			for _, file := range ones {
				w.Save(file, files[file])
			}
			serves("", web, pump)
		}

		detach()
		serves(edge.Answer, web, pump)
		serves("", db)

		attach()
		if err := w.Service.Kill(); err != nil {
			t.Fatal(err)
		}
		detach()
		w.Start()
		serves(edge.Answer, web, pump)
		serves("", db)

		attach()
		// Who takes web's address, and has not web's MAC address, is nobody.
		thief := world.MachineOf(t, pump.Guest)
		thief.Sh("ip addr flush dev eth0; ip addr add 10.1.0.5/24 dev eth0; ip route add default via 10.1.0.1")
		if a, err := pump.brief().ask("/latest/user-data"); err == nil && a.Status != http.StatusNotFound {
			t.Errorf("pump asks from web's address: %d %q", a.Status, a.Body)
		}
		pump.dhcp(t)
		device.Sh("ip neigh flush dev bn1")
		serves("", web, pump)

		for file := range files {
			w.Remove(file)
		}
		serves(edge.Answer, web, pump, db)
		if diff := cmp.Diff(before, all()); diff != "" {
			t.Errorf("what is on the device (-before +after):\n%s", diff)
		}

		attach()
		device.Sh(`
			ip link del bn1
			ip link add bn1 type bridge
			ip addr add 10.1.0.1/24 dev bn1
			ip link set bn1 up
			ip link set nbu1x1 master bn1
			ip link set nbu1x2 master bn1`)
		serves("", web, pump)
	}
}
