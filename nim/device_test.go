// SPDX-License-Identifier: Apache-2.0

package nim_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/nim/plan/plantest"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/topics"
)

// device is a bench on a device: zedrouter's topics, and bridges of its making.
type device struct {
	*bench
	networks *pubsub.Publication[eve.NetworkInstanceStatus]
	apps     *pubsub.Publication[eve.AppNetworkStatus]
}

func withDevice(t *testing.T, test func(d *device)) {
	t.Helper()
	withBench(t, func(b *bench) {
		b.topics = topics.Device()
		b.kernel = plantest.New(plan.Seen{
			plan.Host: {Links: []plan.Link{bridge("bn1", 1), bridge("eth1", 2)}}, containerNetns: containerSeen()[containerNetns],
		})
		d := &device{bench: b}
		var err error
		if d.networks, err = pubsub.NewPublication(b.driver, b.topics.NetworkStatus); err != nil {
			t.Fatal(err)
		}
		if d.apps, err = pubsub.NewPublication(b.driver, b.topics.AppStatus); err != nil {
			t.Fatal(err)
		}
		test(d)
	})
}

func bridge(name string, number byte) plan.Link {
	return plan.Link{
		Name: name, Kind: "bridge", Index: int(number), MAC: plan.MAC{0, 0x16, 0x3e, 6, 0, number}, MTU: 1500, Up: true,
		Addresses: []plan.Address{},
	}
}

// join publishes a network on a bridge.
func (d *device) join(name, bridge string) {
	d.t.Helper()
	s := eve.NetworkInstanceStatus{NetworkInstanceConfig: network(name), Activated: true}
	s.BridgeName = bridge
	d.must(d.networks.Set(key(name), s))
}

// pod publishes an app instance that has a namespace.
func (d *device) pod(name, path string) {
	d.t.Helper()
	d.must(d.apps.Set(key(name), eve.AppNetworkStatus{
		UUIDandVersion: eve.UUIDandVersion{UUID: id(name)}, DisplayName: name, AppPod: eve.AppPod{Name: name, NetNsPath: path},
	}))
}

// sockets returns what is posted, by network.
func (d *device) sockets() map[string][]endpoint.Endpoint {
	set, _ := d.board.Snapshot()
	posted := map[string][]endpoint.Endpoint{}
	for _, e := range set {
		posted[e.Network] = append(posted[e.Network], e)
	}
	return posted
}

// sameSockets compares sockets by which they are.
func sameSockets() cmp.Option {
	return cmp.Comparer(func(a, b endpoint.Endpoint) bool { return a == b })
}

// later lets time pass, of the bubble's.
func (d *device) later(wait time.Duration) {
	time.Sleep(wait)
	synctest.Wait()
}

// recorded publishes what zedrouter was recorded to say.
func recorded[T any](d *device, p *pubsub.Publication[T], topic string) {
	d.t.Helper()
	files, err := filepath.Glob("../pkg/eve/testdata/eve-topics/zedrouter/" + topic + "/*.json")
	if err != nil || len(files) == 0 {
		d.t.Fatalf("nothing recorded of %s: %v", topic, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		d.must(err)
		var value T
		d.must(json.Unmarshal(text, &value), p.Set(strings.TrimSuffix(filepath.Base(file), ".json"), value))
	}
}

// What zedrouter was recorded to say is joined: its bridges have the addresses, and sockets of their own. Nothing else is
// made, and nothing of guests' adapters is told. That is so before zedrouter has told everything; ready it is then.
func TestDeviceJoinsRecorded(t *testing.T) {
	withDevice(t, func(d *device) {
		recorded(d, d.networks, "NetworkInstanceStatus")
		recorded(d, d.apps, "AppNetworkStatus")
		stop := d.start()
		defer stop()
		synctest.Wait()
		got := map[string]string{}
		for network, sockets := range d.sockets() {
			for _, e := range sockets {
				got[network] += fmt.Sprintf("%s %s %t; ", e.Address, e.Ports, e.Alone)
			}
		}
		want := map[string]string{
			"a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1001": "169.254.169.254:80 bn1 false; [fd00:ec2::254]:80 bn1 false; [fe80::a9fe:a9fe%bn1]:80 bn1 false; ",
			"a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1002": "169.254.169.254:80 eth1 false; [fd00:ec2::254]:80 eth1 false; [fe80::a9fe:a9fe%eth1]:80 eth1 false; ",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sockets (-want +got):\n%s", diff)
		}
		if d.ready() {
			t.Error("ready before zedrouter has told everything")
		}
		d.must(d.apps.SignalRestarted())
		synctest.Wait()
		if !d.ready() || len(d.allApps()) != 0 || len(d.kernel.Names()) != 1 {
			t.Errorf("ready %t, states of app instances %v, namespaces %v", d.ready(), d.allApps(), d.kernel.Names())
		}
		host := d.kernel.Seen()[plan.Host]
		var wantGuests []string
		for n := range 3 {
			for _, port := range []string{"nbu1x%[1]d", "nbu1x%[1]d-emu"} {
				wantGuests = append(wantGuests, fmt.Sprintf("bn1 . "+port+" . 02:16:3e:00:00:0%[1]d . 00:16:3e:06:00:01", n+1))
			}
		}
		if diff := cmp.Diff(wantGuests, host.Tables[plan.GuardTable].Sets[plan.SetGuests]); diff != "" {
			t.Errorf("guests' ports (-want +got):\n%s", diff)
		}
		s := d.state.networks["a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1001"]
		if s.DisplayName != "local-ni" || !s.Activated || s.BridgeName != "bn1" || s.Error != "" || s.Ports != nil {
			t.Errorf("status is %+v", s)
		}
		if got := d.errors(); len(got) > 0 {
			t.Errorf("logged %q", got)
		}
	})
}

// A pod's namespace has the addresses, and its app instance is alone there, known by its own UUID. Another's pod and the
// networks are none the worse for what is wrong with one.
func TestPod(t *testing.T) {
	withDevice(t, func(d *device) {
		d.join("blue", "bn1")
		d.pod("web", containerNetns)
		d.pod("relative", "netns/cni-7")
		d.pod("missing", "/run/netns/missing")
		d.must(d.apps.SignalRestarted())
		stop := d.start()
		defer stop()
		synctest.Wait()
		posted := d.sockets()
		if len(posted) != 2 || len(posted[key("web")]) != 3 || len(posted[key("blue")]) != 3 {
			t.Errorf("sockets %v, want three of web and of blue", posted)
		}
		for _, e := range posted[key("web")] {
			if !e.Alone || e.Ports != "" {
				t.Errorf("at %s the app instance is not known to be alone: %+v", e.Address, e)
			}
		}
		for _, p := range plan.MetadataPrefixes() {
			if !d.hasAddress(containerNetns, "lo", p) {
				t.Errorf("lo has not the address %s", p)
			}
		}
		for name, want := range map[string]string{
			"web": "", "blue": "",
			"relative": `namespace "netns/cni-7" is not an absolute path`,
			"missing":  `namespace "/run/netns/missing" is not there`,
		} {
			if s := d.network(name); (s.Error == "") != (want == "") || !strings.Contains(s.Error, want) {
				t.Errorf("error of %s is %q, want %q", name, s.Error, want)
			}
		}
		if s := d.network("web"); s.DisplayName != "web" || !s.Activated {
			t.Errorf("state of the pod's network is %+v", s)
		}
		d.errors()

		// It goes with its status, and at once: zedrouter has told everything, and nothing is left to be joined.
		d.must(d.fake.Disturb(plan.NetnsDel{Netns: containerNetns}), d.apps.Delete(key("web")))
		d.later(time.Second)
		if d.sockets()[key("web")] != nil || d.attachment("web") != (eve.NetworkAttachment{}) || d.network("web").DisplayName != "" {
			t.Errorf("left of the pod: %v, %+v, %+v", d.sockets()[key("web")], d.attachment("web"), d.network("web"))
		}
		if got := d.errors(); len(got) > 0 {
			t.Errorf("logged %q", got)
		}
	})
}

// A path that says something else than before is where the pod is, or an error; it is never served where it was.
func TestPodMoves(t *testing.T) {
	withDevice(t, func(d *device) {
		d.pod("web", containerNetns)
		d.must(d.apps.SignalRestarted())
		stop := d.start()
		defer stop()
		synctest.Wait()
		if len(d.sockets()[key("web")]) != 3 {
			t.Fatalf("%d sockets, want 3", len(d.sockets()[key("web")]))
		}
		for _, path := range []string{"garbage", "/run/netns/other"} {
			d.pod("web", path)
			d.later(time.Second)
			if left := d.links(containerNetns)["lo"].Addresses; len(left) > 0 || d.sockets()[key("web")] != nil || d.network("web").Error == "" {
				t.Errorf("at %q: lo has %v, sockets %v, error %q", path, left, d.sockets()[key("web")], d.network("web").Error)
			}
			d.pod("web", containerNetns)
			d.later(time.Second)
			if s := d.network("web"); len(d.sockets()[key("web")]) != 3 || s.Error != "" {
				t.Errorf("back from %q: %d sockets, error %q", path, len(d.sockets()[key("web")]), s.Error)
			}
		}
	})
}

// Two that say to be in the same place can not both be told who asks there: the first one stays, the other has an error,
// until the place is its own.
func TestPlaceIsOnes(t *testing.T) {
	withDevice(t, func(d *device) {
		d.pod("web", containerNetns)
		d.join("blue", "bn1")
		d.must(d.apps.SignalRestarted())
		stop := d.start()
		defer stop()
		synctest.Wait()
		d.pod("db", containerNetns)
		d.join("green", "bn1")
		synctest.Wait()
		for name, want := range map[string]string{
			"web": "", "blue": "",
			"db":    fmt.Sprintf("namespace %q is network %q's", containerNetns, key("web")),
			"green": fmt.Sprintf("bridge %q is network %q's", "bn1", key("blue")),
		} {
			if s := d.network(name); s.Error != want || (want == "") != (len(d.sockets()[key(name)]) == 3) {
				t.Errorf("error of %s is %q, want %q; sockets %v", name, s.Error, want, d.sockets()[key(name)])
			}
		}
		d.must(d.apps.Delete(key("web")), d.networks.Delete(key("blue")))
		d.later(time.Minute)
		for _, name := range []string{"db", "green"} {
			if s := d.network(name); s.Error != "" || len(d.sockets()[key(name)]) != 3 {
				t.Errorf("when the place is free, error of %s is %q, sockets %v", name, s.Error, d.sockets()[key(name)])
			}
		}
	})
}

// A zedrouter that crashed says less than there is until it has told everything again. Nobody loses anything by that,
// whatever comes first; what it does not have then goes.
func TestZedrouterCrashes(t *testing.T) {
	for what, crash := range map[string]func(d *device) error{
		"and says so first": func(d *device) error { return d.apps.ClearRestarted() },
		"and says so late":  func(*device) error { return nil },
	} {
		t.Run(what, func(t *testing.T) {
			withDevice(t, func(d *device) {
				d.join("blue", "bn1")
				d.join("green", "eth1")
				d.pod("web", containerNetns)
				d.must(d.apps.SignalRestarted())
				stop := d.start()
				defer stop()
				synctest.Wait()
				before := d.sockets()
				d.must(crash(d), d.networks.Delete(key("blue")), d.networks.Delete(key("green")), d.apps.Delete(key("web")))
				d.later(5 * time.Second)
				d.must(d.apps.ClearRestarted())
				d.later(time.Hour)
				if diff := cmp.Diff(before, d.sockets(), sameSockets()); diff != "" {
					t.Errorf("sockets (-before +after):\n%s", diff)
				}
				// What somebody does to them meanwhile is put right.
				d.must(d.fake.Disturb(plan.TableDel{Table: plan.GuardTable}))
				d.later(time.Second)
				if len(d.kernel.Seen()[plan.Host].Tables[plan.GuardTable].Sets[plan.SetBridges]) == 0 {
					t.Error("the table is not made again")
				}
				d.must(d.apps.SignalRestarted()) // before the networks, which come over another connection
				d.later(time.Second)
				d.join("blue", "bn1")
				synctest.Wait()
				if diff := cmp.Diff(before, d.sockets(), sameSockets()); diff != "" {
					t.Errorf("sockets (-before +back):\n%s", diff)
				}
				d.later(time.Minute)
				delete(before, key("green"))
				delete(before, key("web"))
				if diff := cmp.Diff(before, d.sockets(), sameSockets()); diff != "" {
					t.Errorf("sockets (-before +in the end):\n%s", diff)
				}
				if left := d.links(containerNetns)["lo"].Addresses; len(left) > 0 || len(d.links(plan.Host)["eth1"].Addresses) > 0 {
					t.Errorf("left of what has gone: lo %v, eth1 %v", left, d.links(plan.Host)["eth1"].Addresses)
				}
				if d.network("green").DisplayName != "" || d.network("blue").Error != "" {
					t.Errorf("status of green %+v, error of blue %q", d.network("green"), d.network("blue").Error)
				}
			})
		})
	}
}

// A network that goes with its bridge goes at once and without a word; one whose bridge another network has by now gives way.
func TestDeviceNetworkGoes(t *testing.T) {
	withDevice(t, func(d *device) {
		d.join("blue", "bn1")
		d.must(d.apps.SignalRestarted())
		stop := d.start()
		defer stop()
		synctest.Wait()
		d.must(d.networks.Delete(key("blue")))
		synctest.Wait()
		if len(d.sockets()[key("blue")]) == 0 {
			t.Error("its sockets are gone while its bridge is there")
		}
		d.join("green", "bn1")
		synctest.Wait()
		if got := d.sockets(); len(got) != 1 || len(got[key("green")]) != 3 {
			t.Errorf("on the bridge that is another network's now: %v", got)
		}
		d.must(d.fake.Disturb(plan.LinkDel{Link: "bn1"}), d.networks.Delete(key("green")))
		d.later(time.Second)
		if got := d.sockets(); len(got) != 0 || len(d.kernel.Seen()[plan.Host].Tables) != 0 {
			t.Errorf("without a bridge: %v, tables %v", got, d.kernel.Seen()[plan.Host].Tables)
		}
		if d.attachment("green") != (eve.NetworkAttachment{}) {
			t.Errorf("it is still published to be at %+v", d.attachment("green"))
		}
		if got := d.errors(); len(got) > 0 {
			t.Errorf("logged %q", got)
		}
	})
}

// A network that an earlier run joined stays as it is while zedrouter has not told everything, and goes when it is not told
// of.
func TestDeviceNetworkOfEarlierRun(t *testing.T) {
	withDevice(t, func(d *device) {
		d.join("blue", "bn1")
		d.must(d.apps.SignalRestarted())
		stop := d.start()
		synctest.Wait()
		stop()
		d.must(d.networks.Delete(key("blue")), d.apps.ClearRestarted())
		stop = d.start()
		defer stop()
		d.later(time.Hour)
		if !d.hasAddress(plan.Host, "bn1", metadataPrefix) {
			t.Error("the address is gone before zedrouter has told everything")
		}
		d.must(d.apps.SignalRestarted())
		d.later(time.Minute)
		if left := d.links(plan.Host)["bn1"].Addresses; len(left) > 0 || d.attachment("blue") != (eve.NetworkAttachment{}) {
			t.Errorf("left on the bridge: %v; published to be at %+v", left, d.attachment("blue"))
		}
	})
}

// What could not be removed when zedrouter crashes is left alone, and removed when it has told everything again.
func TestDeviceRemovalFailsAndZedrouterCrashes(t *testing.T) {
	withDevice(t, func(d *device) {
		d.join("blue", "bn1")
		d.must(d.apps.SignalRestarted())
		stop := d.start()
		defer stop()
		synctest.Wait()
		var broken atomic.Bool
		broken.Store(true)
		d.kernel.Fail = func(s plan.Step) error {
			if _, ok := s.(plan.AddrDel); ok && broken.Load() {
				return fs.ErrPermission
			}
			return nil
		}
		d.must(d.networks.Delete(key("blue")))
		d.later(40 * time.Second)
		d.must(d.apps.ClearRestarted())
		d.later(time.Hour)
		broken.Store(false)
		d.must(d.apps.SignalRestarted())
		d.later(time.Minute)
		if left := d.links(plan.Host)["bn1"].Addresses; len(left) > 0 || len(d.sockets()) > 0 {
			t.Errorf("left: %v, %v", left, d.sockets())
		}
	})
}

// A network that was never joined, for another one has its place, is not waited for when zedrouter says no more of it.
func TestDeviceNetworkNeverJoined(t *testing.T) {
	withDevice(t, func(d *device) {
		d.join("blue", "bn1")
		d.must(d.apps.SignalRestarted())
		stop := d.start()
		defer stop()
		synctest.Wait()
		d.join("green", "bn1")
		synctest.Wait()
		d.must(d.apps.ClearRestarted())
		synctest.Wait()
		d.must(d.networks.Delete(key("green")))
		d.later(time.Hour)
		d.must(d.apps.SignalRestarted())
		synctest.Wait()
		if s := d.network("green"); s.DisplayName != "" || len(d.sockets()) != 1 {
			t.Errorf("its status is %+v, sockets %v", s, d.sockets())
		}
	})
}

// What could not be removed is tried again.
func TestDeviceRemovalFails(t *testing.T) {
	withDevice(t, func(d *device) {
		d.join("blue", "bn1")
		d.must(d.apps.SignalRestarted())
		stop := d.start()
		defer stop()
		synctest.Wait()
		attempts := 0
		d.kernel.Fail = func(s plan.Step) error {
			if _, ok := s.(plan.AddrDel); ok && attempts < 3 {
				attempts++
				return fs.ErrPermission
			}
			return nil
		}
		d.must(d.networks.Delete(key("blue")))
		d.later(31 * time.Second)
		if attempts == 0 {
			t.Error("it is not removed when its time has come")
		}
		d.later(time.Minute)
		if left := d.links(plan.Host)["bn1"].Addresses; len(left) > 0 || len(d.sockets()) > 0 {
			t.Errorf("left: %v, %v", left, d.sockets())
		}
	})
}
