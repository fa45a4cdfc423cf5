// SPDX-License-Identifier: Apache-2.0

package feed_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/feed"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
)

func id(n int) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b%03d", n))
}

func key(n int) string { return id(n).String() }

// set has apps of the given numbers, each with metadata, and one network with metadata.
func set(numbers ...int) feed.Set {
	s := feed.Set{
		Apps:            map[string]eve.AppInstanceConfig{},
		Networks:        map[string]eve.NetworkInstanceConfig{key(900): {UUIDandVersion: eve.UUIDandVersion{UUID: id(900)}}},
		Metadata:        map[string]eve.InstanceMetadata{},
		NetworkMetadata: map[string]eve.NetworkMetadata{key(900): {NetworkUUID: id(900), Tokens: eve.TokensRequired}},
	}
	for _, n := range numbers {
		s.Apps[key(n)] = eve.AppInstanceConfig{UUIDandVersion: eve.UUIDandVersion{UUID: id(n)}, DisplayName: fmt.Sprint("app-", n)}
		s.Metadata[key(n)] = eve.InstanceMetadata{AppUUID: id(n), Hostname: fmt.Sprint("host-", n)}
	}
	return s
}

// watch follows one topic and returns what it is told, one line each, as it comes.
func watch[T any](t *testing.T, d pubsub.Driver, describe func(T) string) <-chan string {
	t.Helper()
	topic := pubsub.TopicOf[T](eve.AgentFeed)
	events := make(chan string, 100)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- pubsub.Subscribe(ctx, d, topic, func(e pubsub.Event[T]) {
			switch e.Kind {
			case pubsub.Create, pubsub.Modify:
				events <- fmt.Sprintf("%v %s %s", e.Kind, e.Key, describe(e.Value))
			case pubsub.Restarted:
				events <- fmt.Sprintf("%v %d", e.Kind, e.Restarted)
			default:
				events <- strings.TrimSpace(fmt.Sprintf("%v %s", e.Kind, e.Key))
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return events
}

// until reads events up to the first that is last, and returns them.
func until(t *testing.T, events <-chan string, last string) []string {
	t.Helper()
	var got []string
	for {
		select {
		case e := <-events:
			got = append(got, e)
			if e == last {
				return got
			}
		case <-time.After(time.Minute): // only a test that fails waits that long
			t.Fatalf("got %q and no %q", got, last)
		}
	}
}

func newPublisher(t *testing.T, d pubsub.Driver) *feed.Publisher {
	t.Helper()
	p, err := feed.NewPublisher(d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestPublisherConverges(t *testing.T) {
	t.Parallel()
	var d memory.Driver
	p := newPublisher(t, &d)
	events := watch(t, &d, func(a eve.AppInstanceConfig) string { return a.DisplayName })
	publish := func(s feed.Set, prune bool) {
		t.Helper()
		if err := p.Publish(s, prune); err != nil {
			t.Fatal(err)
		}
	}
	publish(set(1, 2), true)
	got := until(t, events, "restarted 1")
	for _, want := range []string{"create " + key(1) + " app-1", "create " + key(2) + " app-2"} {
		if !slices.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
	publish(set(1, 2), true) // nothing
	changed := set(2)
	app := changed.Apps[key(2)]
	app.DisplayName = "changed"
	changed.Apps[key(2)] = app
	publish(changed, false)
	if diff := cmp.Diff([]string{"modify " + key(2) + " changed"}, until(t, events, "modify "+key(2)+" changed")); diff != "" {
		t.Errorf("without pruning (-want +got):\n%s", diff)
	}
	publish(changed, true)
	if diff := cmp.Diff([]string{"delete " + key(1)}, until(t, events, "delete "+key(1))); diff != "" {
		t.Errorf("with pruning (-want +got):\n%s", diff)
	}
}

func TestPublisherPublishesAllTopics(t *testing.T) {
	t.Parallel()
	var d memory.Driver
	p := newPublisher(t, &d)
	networks := watch(t, &d, func(n eve.NetworkInstanceConfig) string { return n.UUID.String() })
	metadata := watch(t, &d, func(m eve.InstanceMetadata) string { return m.Hostname })
	networkMetadata := watch(t, &d, func(m eve.NetworkMetadata) string { return m.Tokens })
	if err := p.Publish(set(1), true); err != nil {
		t.Fatal(err)
	}
	if got, want := until(t, networks, "restarted 1"), "create "+key(900)+" "+key(900); !slices.Contains(got, want) {
		t.Errorf("networks: got %q, want %q in it", got, want)
	}
	if got, want := until(t, metadata, "restarted 1"), "create "+key(1)+" host-1"; !slices.Contains(got, want) {
		t.Errorf("metadata: got %q, want %q in it", got, want)
	}
	if got, want := until(t, networkMetadata, "restarted 1"), "create "+key(900)+" required"; !slices.Contains(got, want) {
		t.Errorf("metadata of networks: got %q, want %q in it", got, want)
	}
}

// scribe is a driver that writes down what is done to its tables, in order. It is used from one goroutine.
type scribe struct {
	memory.Driver
	done []string
}

func (s *scribe) Publish(table pubsub.Table) (pubsub.RawPublisher, error) {
	raw, err := s.Driver.Publish(table)
	return scribedTable{RawPublisher: raw, scribe: s, topic: table.Topic}, err
}

type scribedTable struct {
	pubsub.RawPublisher
	scribe *scribe
	topic  string
}

func (t scribedTable) note(what string) { t.scribe.done = append(t.scribe.done, what+" "+t.topic) }

func (t scribedTable) Set(key string, value []byte) error {
	t.note("set")
	return t.RawPublisher.Set(key, value)
}

func (t scribedTable) Delete(key string) error {
	t.note("delete")
	return t.RawPublisher.Delete(key)
}

func (t scribedTable) Close() error {
	t.note("close")
	return t.RawPublisher.Close()
}

// TestPublisherOrder: at no moment is there anything whose metadata, network or certificate is still to come or gone already.
func TestPublisherOrder(t *testing.T) {
	t.Parallel()
	var d scribe
	p := newPublisher(t, &d)
	all := set(1)
	all.AppNetworks = map[string]eve.AppNetworkConfig{key(1): {DisplayName: "app-1"}}
	all.Node = map[string]eve.EdgeNodeInfo{eve.GlobalKey: {DeviceName: "node"}}
	all.CipherContexts = map[string]eve.CipherContext{"c": {ContextID: "c"}}
	all.ControllerCerts = map[string]eve.ControllerCert{"01": {CertHash: []byte{1}}}
	all.DeviceCerts = map[string]eve.EdgeNodeCert{"02": {CertID: []byte{2}}}
	for _, s := range []feed.Set{all, {}} {
		if err := p.Publish(s, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	order := []string{
		"EdgeNodeInfo", "EdgeNodeCert", "ControllerCert", "CipherContext",
		"NetworkMetadata", "NetworkInstanceConfig", "InstanceMetadata", "AppInstanceConfig", "AppNetworkConfig",
	}
	var want []string
	for _, topic := range order {
		want = append(want, "set "+topic)
	}
	for _, what := range []string{"delete ", "close "} {
		for _, topic := range slices.Backward(order) {
			want = append(want, what+topic)
		}
	}
	if diff := cmp.Diff(want, d.done); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPublisherStartsFromEarlierRun: what an earlier run left stays until it is pruned, even when it cannot be read.
func TestPublisherStartsFromEarlierRun(t *testing.T) {
	t.Parallel()
	var d memory.Driver
	first := newPublisher(t, &d)
	if err := first.Publish(set(1, 2), true); err != nil {
		t.Fatal(err)
	}
	if err := first.Detach(); err != nil {
		t.Fatal(err)
	}
	raw, err := d.Publish(pubsub.TopicOf[eve.AppInstanceConfig](eve.AgentFeed).Table)
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Set(key(3), []byte(`{"DisplayName":3}`)); err != nil {
		t.Fatal(err)
	}
	if err := raw.Detach(); err != nil {
		t.Fatal(err)
	}

	second := newPublisher(t, &d)
	if skipped := second.Skipped(); len(skipped) != 1 {
		t.Errorf("got %v as unreadable, want one value", skipped)
	}
	if err := second.Publish(set(1), false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{key(1), key(2), key(3)}, published(t, &d, second)); diff != "" {
		t.Errorf("without pruning (-want +got):\n%s", diff)
	}

	third := newPublisher(t, &d)
	if err := third.Publish(set(1), true); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{key(1)}, published(t, &d, third)); diff != "" {
		t.Errorf("with pruning (-want +got):\n%s", diff)
	}
}

// published ends the publisher and returns the keys of the apps that it leaves behind.
func published(t *testing.T, d pubsub.Driver, p *feed.Publisher) []string {
	t.Helper()
	if err := p.Detach(); err != nil {
		t.Fatal(err)
	}
	raw, err := d.Publish(pubsub.TopicOf[eve.AppInstanceConfig](eve.AgentFeed).Table)
	if err != nil {
		t.Fatal(err)
	}
	keys := slices.Sorted(maps.Keys(raw.Values()))
	if err := raw.Detach(); err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestPublisherInUse(t *testing.T) {
	t.Parallel()
	var d memory.Driver
	raw, err := d.Publish(pubsub.TopicOf[eve.AppInstanceConfig](eve.AgentFeed).Table)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := feed.NewPublisher(&d); !errors.Is(err, pubsub.ErrInUse) {
		t.Errorf("got %v, want %v", err, pubsub.ErrInUse)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	newPublisher(t, &d) // the topics that were opened before the failure are free again
}

// TestPublisherTooLarge: one app that is too large does not harm the others, and says what is missing.
func TestPublisherTooLarge(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", pubsub.MaxLargeFile)
	for _, tt := range []struct {
		name   string
		change func(feed.Set)
		want   string // error of app 1
	}{
		{"user data", func(s feed.Set) {
			a := s.Apps[key(1)]
			a.CloudInitUserData = &large
			s.Apps[key(1)] = a
		}, "configuration is too large: 1048576 bytes of user data and 0 access rules are left out"},
		{"encrypted user data", func(s feed.Set) {
			a := s.Apps[key(1)]
			a.CipherData, a.IsCipher, a.CipherBlockID = []byte(large), true, key(1)
			s.Apps[key(1)] = a
		}, "configuration is too large: 1048576 bytes of user data and 0 access rules are left out"},
		{"access rules", func(s feed.Set) {
			a := s.Apps[key(1)]
			a.AppNetAdapterList = []eve.AppNetAdapterConfig{{Name: "eth0", ACLs: make([]eve.ACE, 1000)}}
			s.Apps[key(1)] = a
		}, "configuration is too large: 0 bytes of user data and 1000 access rules are left out"},
		{"metadata", func(s feed.Set) {
			m := s.Metadata[key(1)]
			m.VendorData = []byte(large)
			s.Metadata[key(1)] = m
		}, "metadata is too large: vendor data and files are left out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var d memory.Driver
			p := newPublisher(t, &d)
			events := watch(t, &d, func(a eve.AppInstanceConfig) string {
				return fmt.Sprintf("%s %v %v %q", a.DisplayName, a.CloudInitUserData == nil, a.IsCipher, a.Errors)
			})
			metadata := watch(t, &d, func(m eve.InstanceMetadata) string { return m.Hostname })
			s := set(1, 2)
			tt.change(s)
			before := len(s.Apps[key(1)].Errors)
			if err := p.Publish(s, true); !errors.Is(err, pubsub.ErrTooLarge) {
				t.Errorf("got %v, want %v", err, pubsub.ErrTooLarge)
			}
			got := until(t, events, "restarted 1")
			for _, want := range []string{
				"create " + key(1) + fmt.Sprintf(" app-1 true false [%q]", tt.want),
				"create " + key(2) + " app-2 true false []",
			} {
				if !slices.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
			if got, want := until(t, metadata, "restarted 1"), "create "+key(1)+" host-1"; !slices.Contains(got, want) {
				t.Errorf("metadata: got %q, want %q in it", got, want)
			}
			if after := len(s.Apps[key(1)].Errors); after != before {
				t.Error("Publish changed the set that it was given")
			}
		})
	}
}

// TestPublisherTooLargeForTheNetwork: what is too large in an app is left out of its AppNetworkConfig as well.
func TestPublisherTooLargeForTheNetwork(t *testing.T) {
	t.Parallel()
	var d memory.Driver
	p := newPublisher(t, &d)
	events := watch(t, &d, func(a eve.AppNetworkConfig) string {
		return fmt.Sprintf("%s %v %v %d", a.DisplayName, a.CloudInitUserData == nil, a.CipherBlockStatus.IsCipher, len(a.AppNetAdapterList[0].ACLs))
	})
	large := strings.Repeat("x", pubsub.MaxLargeFile)
	s := feed.Set{AppNetworks: map[string]eve.AppNetworkConfig{key(1): {
		DisplayName: "app", CloudInitUserData: &large, CipherBlockStatus: eve.CipherBlockStatus{IsCipher: true},
		AppNetAdapterList: []eve.AppNetAdapterConfig{{ACLs: make([]eve.ACE, 1)}},
	}}}
	if err := p.Publish(s, true); !errors.Is(err, pubsub.ErrTooLarge) {
		t.Errorf("got %v, want %v", err, pubsub.ErrTooLarge)
	}
	if got, want := until(t, events, "restarted 1"), "create "+key(1)+" app true false 0"; !slices.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
	if len(s.AppNetworks[key(1)].AppNetAdapterList[0].ACLs) != 1 {
		t.Error("Publish changed the set that it was given")
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	a, b := set(1, 2), set(2, 3)
	app := b.Apps[key(2)]
	app.DisplayName = "other"
	b.Apps[key(2)] = app
	got := a.Merge(b)
	names := []string{got.Apps[key(1)].DisplayName, got.Apps[key(2)].DisplayName, got.Apps[key(3)].DisplayName}
	if diff := cmp.Diff([]string{"app-1", "other", "app-3"}, names); diff != "" {
		t.Errorf("apps (-want +got):\n%s", diff)
	}
	if len(got.Metadata) != 3 || len(got.Networks) != 1 || len(got.NetworkMetadata) != 1 {
		t.Errorf("got %+v, want metadata of three apps, and one network with metadata", got)
	}
	if len(a.Apps) != 2 || len(b.Apps) != 2 {
		t.Error("Merge changed what it was given")
	}
}
