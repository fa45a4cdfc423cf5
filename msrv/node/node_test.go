// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"go.uber.org/goleak"

	"github.com/lf-edge/eve-metadata/msrv/dialect/eve"
	"github.com/lf-edge/eve-metadata/msrv/node"
	"github.com/lf-edge/eve-metadata/msrv/patch"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
	"github.com/lf-edge/eve-metadata/pkg/topics"

	topic "github.com/lf-edge/eve-metadata/pkg/eve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ eve.Node     = (*node.Node)(nil)
	_ patch.Source = (*node.Node)(nil)
)

const (
	webID     = "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001"
	networkID = "a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1001"
	volumeKey = "e0d3b2a1-6f5e-4c3b-9a89-7f6e5d4c3b2a#0"
	contentID = "e0d3b2a1-6f5e-4c3b-9a89-7f6e5d4c3b2b"
)

// bus is a driver with a Node on it, in a bubble of synctest.
type bus struct {
	*testing.T
	pubsub.Driver
	node   *node.Node
	logged *logtest.Hook
}

// onBus runs a test with a Node that follows a set of topics.
func onBus(t *testing.T, set topics.Set, test func(bus)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		log, logged := logtest.NewNullLogger()
		b := bus{T: t, Driver: &memory.Driver{}, logged: logged}
		b.node = node.New(b.Driver, set, log)
		ended := make(chan error, 1)
		go func() { ended <- b.node.Run(ctx) }()
		<-b.node.Ready()
		test(b)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// publish opens a topic, which stays as it is at the end of the test.
func publish[T any](b bus, topic pubsub.Topic[T]) *pubsub.Publication[T] {
	b.Helper()
	p, err := pubsub.NewPublication(b.Driver, topic)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// says has an agent say one thing.
func says[T any](b bus, topic pubsub.Topic[T], key string, value T) *pubsub.Publication[T] {
	b.Helper()
	p := publish(b, topic)
	set(b, p, key, value)
	return p
}

func set[T any](b bus, p *pubsub.Publication[T], key string, value T) {
	b.Helper()
	if err := p.Set(key, value); err != nil {
		b.Fatal(err)
	}
	synctest.Wait()
}

// known is what a method of the Node tells, as JSON; "" for nothing.
func known[T any](b bus, value T, ok bool) string {
	b.Helper()
	if !ok {
		return ""
	}
	text, err := json.Marshal(value)
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

// all is everything that a Node knows, by topic.
func all(b bus) map[string]string {
	b.Helper()
	know := make(map[string]string)
	add := func(topic, value string) {
		if value != "" {
			know[topic] = value
		}
	}
	info, ok := b.node.Info()
	add("EdgeNodeInfo", known(b, info, ok))
	ports, ok := b.node.Ports()
	add("DeviceNetworkStatus", known(b, ports, ok))
	metrics, ok := b.node.NetworkMetrics()
	add("NetworkMetrics", known(b, metrics, ok))
	location, ok := b.node.Location()
	add("WwanLocationInfo", known(b, location, ok))
	modems, ok := b.node.Modems()
	add("WwanStatus", known(b, modems, ok))
	modemMetrics, ok := b.node.ModemMetrics()
	add("WwanMetrics", known(b, modemMetrics, ok))
	network, ok := b.node.Network(networkID)
	add("NetworkInstanceStatus", known(b, network, ok))
	app, ok := b.node.App(webID)
	add("AppNetworkStatus", known(b, app, ok))
	domain, ok := b.node.Domain(webID)
	add("DomainStatus", known(b, domain, ok))
	patches, ok := b.node.Patches()
	add("PatchEnvelopeInfoList", known(b, patches, ok))
	volume, ok := maps.Collect(b.node.Volumes())[volumeKey]
	add("VolumeStatus", known(b, volume, ok))
	content, ok := b.node.Content(contentID)
	add("ContentTreeStatus", known(b, content, ok))
	return know
}

// recorded reads what an agent of EVE's has published; the zero value where none was recorded.
func recorded[T any](b bus, topic pubsub.Topic[T], key string) T {
	b.Helper()
	var value T
	text, err := os.ReadFile(filepath.Join("../../pkg/eve/testdata/eve-topics", topic.Name(), key+".json"))
	if os.IsNotExist(err) {
		return value
	}
	if err == nil {
		err = json.Unmarshal(text, &value)
	}
	if err != nil {
		b.Fatal(err)
	}
	return value
}

// Every topic of a device is told by the method that is meant for it, and by no other.
func TestAllTopics(t *testing.T) {
	t.Parallel()
	set := topics.Device()
	onBus(t, set, func(b bus) {
		if know := all(b); len(know) > 0 {
			b.Errorf("knows %v before anybody has said anything", slices.Sorted(maps.Keys(know)))
		}
		want := make(map[string]string)
		expect := func(topic, value string) {
			want[topic] = value
			if diff := cmp.Diff(want, all(b)); diff != "" {
				b.Errorf("with %s (-want +got):\n%s", topic, diff)
			}
		}
		sayRecorded(b, set.Node, topic.GlobalKey, expect)
		sayRecorded(b, set.Ports, topic.GlobalKey, expect)
		sayRecorded(b, set.NetworkMetrics, topic.GlobalKey, expect)
		sayRecorded(b, set.Location, topic.GlobalKey, expect)
		sayRecorded(b, set.Modems, topic.GlobalKey, expect)
		sayRecorded(b, set.ModemMetrics, topic.GlobalKey, expect)
		sayRecorded(b, set.NetworkStatus, networkID, expect)
		sayRecorded(b, set.AppStatus, webID, expect)
		sayRecorded(b, set.Domains, webID, expect)
		sayRecorded(b, set.Patches, topic.GlobalKey, expect)
		sayRecorded(b, set.Volumes, volumeKey, expect)
		sayRecorded(b, set.Contents, contentID, expect)
	})
}

func sayRecorded[T any](b bus, topic pubsub.Topic[T], key string, expect func(topic, value string)) {
	b.Helper()
	value := recorded(b, topic, key)
	says(b, topic, key, value)
	expect(topic.Topic, known(b, value, true))
}

// Of our own topics those are told that have a publisher; the others are never asked for.
func TestOwnTopics(t *testing.T) {
	t.Parallel()
	own := topics.Own()
	onBus(t, own, func(b bus) {
		says(b, own.Node, topic.GlobalKey, topic.EdgeNodeInfo{DeviceName: "bench"})
		says(b, topics.Device().Node, topic.GlobalKey, topic.EdgeNodeInfo{DeviceName: "another's"})
		says(b, topics.Device().Location, topic.GlobalKey, topic.WwanLocationInfo{})
		if info, _ := b.node.Info(); info.DeviceName != "bench" {
			b.Errorf("the node is called %q", info.DeviceName)
		}
		if l, ok := b.node.Location(); ok {
			b.Errorf("another's location is told: %+v", l)
		}
	})
}

func TestChanges(t *testing.T) {
	t.Parallel()
	device := topics.Device()
	onBus(t, device, func(b bus) {
		name := func() string {
			info, ok := b.node.Info()
			return known(b, info.DeviceName, ok)
		}
		is := func(what, want string) {
			b.Helper()
			if got := name(); got != want {
				b.Errorf("%s: the node is called %s, want %s", what, got, want)
			}
		}
		p := says(b, device.Node, topic.GlobalKey, topic.EdgeNodeInfo{DeviceName: "one"})
		set(b, p, "another key", topic.EdgeNodeInfo{DeviceName: "nobody"})
		is("said", `"one"`)
		set(b, p, topic.GlobalKey, topic.EdgeNodeInfo{DeviceName: "two"})
		is("changed", `"two"`)
		if err := p.Detach(); err != nil {
			b.Error(err)
		}
		synctest.Wait()
		is("publisher gone", `"two"`)
		p = says(b, device.Node, topic.GlobalKey, topic.EdgeNodeInfo{DeviceName: "three"})
		is("publisher back", `"three"`)
		if err := p.Delete(topic.GlobalKey); err != nil {
			b.Error(err)
		}
		synctest.Wait()
		is("taken back", "")
	})
}

// Where there is no controller, the node has no name.
func TestNobodySays(t *testing.T) {
	t.Parallel()
	for _, set := range []topics.Set{topics.Own(), topics.Device()} {
		onBus(t, set, func(b bus) {
			if info, ok := b.node.Info(); ok == set.Device || info != (topic.EdgeNodeInfo{}) {
				b.Errorf("on a device %v: told %+v %v", set.Device, info, ok)
			}
		})
	}
}

// What cannot be read is logged, and what was said before stays.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	own := topics.Own()
	onBus(t, own, func(b bus) {
		if err := says(b, own.Node, topic.GlobalKey, topic.EdgeNodeInfo{DeviceName: "good"}).Detach(); err != nil {
			b.Error(err)
		}
		raw, err := b.Publish(own.Node.Table)
		if err != nil {
			b.Fatal(err)
		}
		if err := raw.Set(topic.GlobalKey, []byte(`{"DeviceName":7}`)); err != nil {
			b.Fatal(err)
		}
		synctest.Wait()
		if info, _ := b.node.Info(); info.DeviceName != "good" {
			b.Errorf("the node is called %q", info.DeviceName)
		}
		if e := b.logged.LastEntry(); e == nil || !strings.Contains(e.Message, "refused") {
			b.Errorf("logged: %v", e)
		}
	})
}

// Whoever goes through the apps sees those that there were at first, and holds up nobody.
func TestApps(t *testing.T) {
	t.Parallel()
	own := topics.Own()
	onBus(t, own, func(b bus) {
		p := says(b, own.AppStatus, "a", topic.AppNetworkStatus{AppNum: 1})
		set(b, p, "b", topic.AppNetworkStatus{AppNum: 2})
		seen := make(map[string]int)
		for id, app := range b.node.Apps() {
			seen[id] = app.AppNum
			set(b, p, "c", topic.AppNetworkStatus{AppNum: 3})
		}
		if diff := cmp.Diff(map[string]int{"a": 1, "b": 2}, seen); diff != "" {
			b.Errorf("apps (-want +got):\n%s", diff)
		}
		if len(maps.Collect(b.node.Apps())) != 3 {
			b.Error("the third is not seen afterwards")
		}
	})
}

// A topic that cannot be followed at all ends the task.
func TestBadTopic(t *testing.T) {
	t.Parallel()
	set := topics.Set{Node: pubsub.TopicOf[topic.EdgeNodeInfo]("a/b")}
	log, _ := logtest.NewNullLogger()
	if err := node.New(&memory.Driver{}, set, log).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "follow a/b/EdgeNodeInfo") {
		t.Errorf("error is %v", err)
	}
}
