// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/tests/evedevice"
	"github.com/lf-edge/eve-metadata/tests/netns/guestns"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

const (
	// patience ends a test that waits for something that does not come. It is not waited for otherwise.
	patience = time.Minute
	// glance is how often a test looks for what it waits for.
	glance = 25 * time.Millisecond
	// answerLimit is how long an answer may take. Strangers are kept waiting for theirs.
	answerLimit = 5 * time.Second
)

// Apps of the recorded device: one has a guest on the bridge, encrypted user data and a drive; the other one gets a network
// namespace of its own here.
const (
	onBridge = "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001"
	inPod    = "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b002"
)

// podPath is where EVE makes the namespace of inPod.
const podPath = "/var/run/netns/pod"

// serves starts a container on a device and has guests ask.
//
// Network: the recorded device's bridge bn1 with a guest on it; and a namespace of a pod.
//
// Phases: start; ask for what is in topics and in files of the device, post; make the pod's namespace, ask in there; stop,
// and look at what is left.
func serves(t *testing.T, c container) {
	tool.Need(t, "ip", "iproute2")
	device := newDevice(t)
	machine, guest := newNetwork(t)
	before := mounts(t, device.Root, c.root)
	service := c.start(t, device.Root, machine)
	service.await("name", func() error { return expect(guest, "/eve/v1/hostname", onBridge+"\n") })
	service.await("metadata", func() error { return checkMetadata(guest) })
	service.await("user data, with a key below /persist", func() error {
		return expect(guest, "/openstack/latest/user_data", "#cloud-config\nhostname: web-gw\n")
	})
	service.await("drive, below /run", func() error { return exists(device.Path("run/mdsrv/drives/" + onBridge + ".iso")) })
	service.await("diagnosis, below /run", func() error { return expect(guest, "/eve/v1/diag", evedevice.Diagnosis) })
	service.await("signature, with a key below /config", func() error {
		_, err := ask(guest, http.MethodPost, "/eve/v1/tpm/signer", "hello")
		return err
	})
	service.await("post, kept below /persist", func() error {
		_, err := ask(guest, http.MethodPost, "/eve/v1/app/appCustomStatus", `{"state":"fine"}`)
		return errors.Join(err, exists(device.Path("persist/status/mdsrv/AppInstMetaData")))
	})
	// A namespace is a mount, which the container gets to see only if the device's are shared with it.
	pod := newGuest(t, device.Path(podPath))
	service.await("name, in a pod", func() error { return expect(pod, "/eve/v1/hostname", inPod+"\n") })
	if err := pod.Close(); err != nil {
		t.Fatal(err)
	}
	service.stop()
	if diff := cmp.Diff(before, mounts(t, device.Root, c.root)); diff != "" {
		t.Errorf("mounts (-before +after):\n%s", diff)
	}
	checkLeft(t, c)
}

// newDevice makes the device that was recorded, whose agents have told all. /run and /persist are shared mounts, as
// linuxkit's are.
func newDevice(t *testing.T) *evedevice.Device {
	t.Helper()
	d := evedevice.New(t, rooted(t, evedevice.Build(t)))
	for _, dir := range []string{"run", "persist"} {
		path := d.Path(dir)
		if err := errors.Join(
			unix.Mount(path, path, "", unix.MS_BIND, ""), unix.Mount("", path, "", unix.MS_SHARED, ""),
		); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}
	agents := make(map[string]*evedevice.Agent)
	for _, name := range evedevice.Agents() {
		agents[name] = d.Start(name)
	}
	publish[eve.EdgeNodeInfo](t, agents, eve.AgentZedagent)
	publish[eve.ConfigItemValueMap](t, agents, eve.AgentZedagent)
	publish[eve.ControllerCert](t, agents, eve.AgentZedagent)
	publish[eve.EdgeNodeCert](t, agents, eve.AgentTpmmgr)
	publish[eve.NetworkInstanceConfig](t, agents, eve.AgentZedagent)
	publish[eve.NetworkInstanceStatus](t, agents, eve.AgentZedrouter)
	publish[eve.AppInstanceConfig](t, agents, eve.AgentZedagent)
	publish[eve.AppNetworkConfig](t, agents, eve.AgentZedmanager)
	publish[eve.AppNetworkStatus](t, agents, eve.AgentZedrouter)
	pod := evedevice.Recorded[eve.AppNetworkStatus](t, eve.AgentZedrouter, inPod)
	pod.AppPod = eve.AppPod{Name: "pod", NetNsPath: podPath}
	evedevice.Set(agents[eve.AgentZedrouter], inPod, pod)
	return d
}

// rooted returns a program that plays agents in the device's folder as their root, so that the paths that they tell others
// are right in containers.
func rooted(t *testing.T, agent string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rooted")
	script := fmt.Sprintf(`#!/bin/sh -e
		root=$2 # after -root
		shift 2
		cp '%s' "$root/agent-$1"
		exec chroot "$root" "/agent-$1" -root / "$@"`, agent)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// publish has an agent publish what was recorded of a topic, which is all.
func publish[T any](t *testing.T, agents map[string]*evedevice.Agent, agent string) {
	t.Helper()
	for key, value := range evedevice.AllRecorded[T](t, agent) {
		evedevice.Set(agents[agent], key, value)
	}
	evedevice.Restarted[T](agents[agent], 1)
}

// newNetwork makes the device's network, with a guest of onBridge.
func newNetwork(t *testing.T) (machine, guest *guestns.Guest) {
	t.Helper()
	machine = newGuest(t, filepath.Join(t.TempDir(), "machine"))
	guest = newGuest(t, filepath.Join(t.TempDir(), "guest"))
	status := evedevice.Recorded[eve.AppNetworkStatus](t, eve.AgentZedrouter, onBridge)
	adapter := status.AppNetAdapterList[0]
	sh(t, machine, fmt.Sprintf(`
		ip link add %[1]s type bridge
		ip link set %[1]s up
		ip addr add %[2]s/24 dev %[1]s
		ip link add %[3]s type veth peer name eth0 address %[4]s netns %[5]s
		ip link set %[3]s master %[1]s up`,
		adapter.Bridge, adapter.BridgeIPAddr, adapter.VifUsed, adapter.VifInfo.Mac, guest.Path()))
	sh(t, guest, fmt.Sprintf(`
		ip link set eth0 up
		ip addr add %s/24 dev eth0
		ip route add default via %s`, adapter.AssignedAddresses.IPv4Addrs[0].Address, adapter.BridgeIPAddr))
	return machine, guest
}

// newGuest makes a network namespace. It may be closed before the test ends.
func newGuest(t *testing.T, path string) *guestns.Guest {
	t.Helper()
	g, err := guestns.Empty(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// sh runs a script in a network namespace. The first command that fails ends it and the test.
func sh(t *testing.T, g *guestns.Guest, script string) {
	t.Helper()
	if out, err := g.Command(t.Context(), "sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%s\n%v\n%s", script, err, out)
	}
}

// await returns when ok does not object any more.
func (p *process) await(what string, ok func() error) {
	p.t.Helper()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	late := time.After(patience)
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-p.ended:
			p.t.Fatalf("%s: %v; the container has ended: %v", what, err, p.err)
		case <-late:
			p.t.Fatalf("%s: %v", what, err)
		}
	}
}

// ask sends the server a request as a guest, and returns the body of the answer. Any status but 200 is an error.
func ask(g *guestns.Guest, method, path, body string) (said string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://169.254.169.254"+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Transport{DialContext: g.DialContext, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	content, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s is answered %s", path, res.Status)
	}
	return string(content), err
}

// expect says in which way an answer does not begin as it has to.
func expect(g *guestns.Guest, path, begin string) error {
	said, err := ask(g, http.MethodGet, path, "")
	if err == nil && !strings.HasPrefix(said, begin) {
		err = fmt.Errorf("%s is %.200q, want it to begin with %q", path, said, begin)
	}
	return err
}

// checkMetadata says in which way a guest does not get the metadata of onBridge.
func checkMetadata(g *guestns.Guest) error {
	said, err := ask(g, http.MethodGet, "/openstack/latest/meta_data.json", "")
	if err != nil {
		return err
	}
	var about struct {
		UUID string `json:"uuid"`
		Name string `json:"name"`
	}
	if err := json.Unmarshal([]byte(said), &about); err != nil {
		return err
	}
	if !strings.HasPrefix(about.UUID, onBridge) || about.Name != "web-gw" {
		return fmt.Errorf("metadata is of %+v, want it of %s, web-gw", about, onBridge)
	}
	return nil
}

func exists(path string) error {
	_, err := os.Stat(path)
	return err
}

// mounts are where something is mounted below some folders, in our mount namespace.
func mounts(t *testing.T, dirs ...string) (paths []string) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		path := strings.Fields(line)[4] // proc_pid_mountinfo(5)
		for _, dir := range dirs {
			if strings.HasPrefix(path, dir+"/") {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// checkLeft looks for what a container has left in its own filesystem, where nobody would look for it: there is nothing
// but where things were mounted.
func checkLeft(t *testing.T, c container) {
	t.Helper()
	want := map[string]bool{
		".": true, "tmp": true, "usr": true, "usr/bin": true, binary: true, "var": true, "var/run": true, "proc": true, "sys": true,
	}
	for _, bind := range c.as.Binds {
		_, to, _ := splitBind(t, bind)
		want[strings.Trim(to, "/")] = true
	}
	got := make(map[string]bool)
	err := fs.WalkDir(os.DirFS(c.root), ".", func(path string, _ fs.DirEntry, err error) error {
		got[path] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("left in the container (-want +got):\n%s", diff)
	}
}
