// SPDX-License-Identifier: Apache-2.0

// Package drivertest is the contract of pubsub drivers as tests: what package
// pubsub promises, every driver keeps. The tests of each driver call Run.
package drivertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// Harness is one bus, empty at first. Publisher and Subscriber may be the same
// driver, or two that meet outside of the process.
type Harness struct {
	Publisher, Subscriber pubsub.Driver
	// Agent is the agent of the tables; "drivertest" if empty.
	Agent string
	// FromFiles says that subscriptions read files and take no notice of whether
	// a publisher is there.
	FromFiles bool
}

func (h Harness) table(topic string) pubsub.Table {
	t := pubsub.Table{Agent: h.Agent, Topic: topic}
	if t.Agent == "" {
		t.Agent = "drivertest"
	}
	return t
}

// Run runs the suite. Open is called once per test and cleans up through its t.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"initial dump, then synced", testInitialDump},
		{"changes as they come", testChanges},
		{"equal value is not sent", testEqualValue},
		{"subscriber before publisher", testSubscriberFirst},
		{"restart counter", testRestarted},
		{"one publisher per table", testOnePublisher},
		{"one publisher per table, when many try", testOnePublisherRace},
		{"many subscribers", testManySubscribers},
		{"latest state arrives", testLatestState},
		{"many writers", testManyWriters},
		{"tables do not mix", testTablesApart},
		{"close withdraws", testClose},
		{"close keeps a persistent table", testClosePersistent},
		{"detach leaves the table to the next", testDetach},
		{"persistent table is seen without publisher", testPersistentAlone},
		{"publisher is done after close", testClosed},
		{"large fields", testLargeFields},
		{"too large", testTooLarge},
		{"bad keys", testBadKeys},
		{"bad values", testBadValues},
		{"bad tables", testBadTables},
		{"values are copies", testCopies},
		{"topic", testTopic},
		{"topic takes what EVE's wire rounds", testRounded},
		{"topic passes over undecodable values", testUndecodable},
		{"publication passes over undecodable values", testSkipped},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

func testInitialDump(t *testing.T, h Harness) {
	p := Publish(t, h.Publisher, h.table("Dump"))
	set(t, p, "b", `{"n":2}`)
	set(t, p, "a", `{"n":1}`)
	got := Record(t, h.Subscriber, h.table("Dump")).Until("synced")
	want(t, got, `create a {"n":1}`, `create b {"n":2}`, "synced")
}

func testChanges(t *testing.T, h Harness) {
	p := Publish(t, h.Publisher, h.table("Changes"))
	r := Record(t, h.Subscriber, h.table("Changes"))
	r.Until("synced")
	set(t, p, "a", `{"n":1}`)
	want(t, r.Until(`create a {"n":1}`), `create a {"n":1}`)
	set(t, p, "a", `{"n":2}`)
	want(t, r.Until(`modify a {"n":2}`), `modify a {"n":2}`)
	check(t, p.Delete("a"))
	want(t, r.Until("delete a"), "delete a")
	check(t, p.Delete("a"))
	set(t, p, "a", `{"n":2}`)
	want(t, r.Until(`create a {"n":2}`), `create a {"n":2}`)
}

func testEqualValue(t *testing.T, h Harness) {
	p := Publish(t, h.Publisher, h.table("Equal"))
	set(t, p, "a", `{"n":1}`)
	r := Record(t, h.Subscriber, h.table("Equal"))
	r.Until("synced")
	set(t, p, "a", `{"n":1}`)
	set(t, p, "z", `{}`)
	want(t, r.Until("create z {}"), "create z {}")
}

func testSubscriberFirst(t *testing.T, h Harness) {
	r := Record(t, h.Subscriber, h.table("Later"))
	p := Publish(t, h.Publisher, h.table("Later"))
	set(t, p, "a", `{}`)
	if got := r.UntilAll("create a {}", "synced"); len(got) != 2 {
		t.Errorf("events are %q, want one create and one synced", got)
	}
}

func testRestarted(t *testing.T, h Harness) {
	p := Publish(t, h.Publisher, h.table("Restarted"))
	set(t, p, "a", `{}`)
	check(t, p.SetRestarted(2))
	r := Record(t, h.Subscriber, h.table("Restarted"))
	want(t, r.Until("restarted 2"), "create a {}", "synced", "restarted 2")
	check(t, p.SetRestarted(3))
	want(t, r.Until("restarted 3"), "restarted 3")
	check(t, p.SetRestarted(0))
	want(t, r.Until("restarted 0"), "restarted 0")
	if err := p.SetRestarted(-1); !errors.Is(err, pubsub.ErrBadValue) {
		t.Errorf("set restart counter to -1: error is %v, want ErrBadValue", err)
	}
	if n := p.Restarted(); n != 0 {
		t.Errorf("restart counter is %d, want 0", n)
	}
}

func testOnePublisher(t *testing.T, h Harness) {
	p := Publish(t, h.Publisher, h.table("Own"))
	for _, d := range []pubsub.Driver{h.Publisher, h.Subscriber} {
		if _, err := d.Publish(h.table("Own")); !errors.Is(err, pubsub.ErrInUse) {
			t.Errorf("publish a second time: error is %v, want ErrInUse", err)
		}
	}
	check(t, p.Close())
	Publish(t, h.Subscriber, h.table("Own"))
}

func testOnePublisherRace(t *testing.T, h Harness) {
	const tries = 8
	errs := make([]error, tries)
	var wg sync.WaitGroup
	for i := range tries {
		wg.Go(func() {
			p, err := h.Publisher.Publish(h.table("Race"))
			if errs[i] = err; err == nil {
				t.Cleanup(func() { check(t, p.Close()) })
			}
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, pubsub.ErrInUse) {
			t.Errorf("publish: error is %v, want ErrInUse", err)
		}
	}
	if won != 1 {
		t.Errorf("%d publishers opened the table, want 1", won)
	}
}

func testManySubscribers(t *testing.T, h Harness) {
	p := Publish(t, h.Publisher, h.table("Many"))
	set(t, p, "a", `{}`)
	var all []*Recorder
	for range 20 {
		all = append(all, Record(t, h.Subscriber, h.table("Many")))
	}
	for _, r := range all {
		want(t, r.Until("synced"), "create a {}", "synced")
	}
	set(t, p, "b", `{}`)
	for _, r := range all {
		want(t, r.Until("create b {}"), "create b {}")
	}
}

func testLatestState(t *testing.T, h Harness) {
	p := Publish(t, h.Publisher, h.table("Latest"))
	r := Record(t, h.Subscriber, h.table("Latest"))
	r.Until("synced")
	for i := range 200 {
		set(t, p, "a", fmt.Sprintf(`{"n":%d}`, i))
	}
	set(t, p, "z", `{}`)
	lines := r.Until("create z {}")
	if len(lines) < 2 || !strings.HasSuffix(lines[len(lines)-2], `{"n":199}`) {
		t.Errorf("last events are %q, want the last value before the next key", lines[max(0, len(lines)-3):])
	}
}

func testManyWriters(t *testing.T, h Harness) {
	p := Publish(t, h.Publisher, h.table("Writers"))
	r := Record(t, h.Subscriber, h.table("Writers"))
	var wg sync.WaitGroup
	var all []string
	for i := range 4 {
		key := fmt.Sprintf("k%d", i)
		all = append(all, fmt.Sprintf(`create %s {"n":1}`, key))
		wg.Go(func() {
			if err := p.Set(key, []byte(`{"n":1}`)); err != nil {
				t.Errorf("set %s: %v", key, err)
			}
		})
	}
	wg.Wait()
	got := r.UntilAll(append(all, "synced")...)
	slices.Sort(got)
	want(t, got, append(all, "synced")...)
}

func testTablesApart(t *testing.T, h Harness) {
	plain, scoped := h.table("Apart"), h.table("Apart")
	scoped.Scope = "scope"
	set(t, Publish(t, h.Publisher, plain), "a", `{"of":"plain"}`)
	set(t, Publish(t, h.Publisher, scoped), "a", `{"of":"scoped"}`)
	want(t, Record(t, h.Subscriber, plain).Until("synced"), `create a {"of":"plain"}`, "synced")
	want(t, Record(t, h.Subscriber, scoped).Until("synced"), `create a {"of":"scoped"}`, "synced")
}

func want(t *testing.T, got []string, lines ...string) {
	t.Helper()
	if diff := cmp.Diff(lines, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
