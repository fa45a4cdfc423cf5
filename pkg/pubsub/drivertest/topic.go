// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// Example is the type of the topics that the suite publishes.
type Example struct {
	Name  string
	Data  []byte `json:"pubsub-large-Data"`
	Int   int64
	Uint  uint64
	Float float64
}

func topicOf(h Harness, scope string) pubsub.Topic[Example] {
	return pubsub.TopicOf[Example](h.table("").Agent, pubsub.Scope(scope))
}

// recordTopic writes down typed events, and "error <key>" for undecodable values.
func recordTopic(t *testing.T, d pubsub.Driver, topic pubsub.Topic[Example]) *Recorder {
	return RecordFunc(t, func(ctx context.Context, line func(string)) error {
		return pubsub.Subscribe(ctx, d, topic, func(e pubsub.Event[Example]) {
			line(fmt.Sprintf("%s %s %q from %q n=%d", e.Kind, e.Key, e.Value.Name, e.Old.Name, e.Restarted))
		}, pubsub.OnError(func(err error) {
			var ve *pubsub.ValueError
			if !errors.As(err, &ve) {
				line(err.Error())
				return
			}
			line("error " + ve.Key)
		}))
	})
}

func testTopic(t *testing.T, h Harness) {
	topic := topicOf(h, "topic")
	if diff := cmp.Diff(pubsub.Table{Agent: h.table("").Agent, Scope: "topic", Topic: "Example"}, topic.Table); diff != "" {
		t.Fatalf("table (-want +got):\n%s", diff)
	}
	p, err := pubsub.NewPublication(h.Publisher, topic)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, p.Close()) })
	one := Example{Name: "one", Data: []byte{0, 1, 2}, Int: math.MinInt64, Uint: math.MaxUint64, Float: 1e21}
	check(t, p.Set("a", one))
	r := recordTopic(t, h.Subscriber, topic)
	want(t, r.Until(`synced  "" from "" n=0`), `create a "one" from "" n=0`, `synced  "" from "" n=0`)
	if got, ok := p.Get("a"); !ok || !cmp.Equal(got, one) {
		t.Errorf("value is %+v, %t, want %+v", got, ok, one)
	}
	check(t, p.Set("a", Example{Name: "two"}))
	r.Until(`modify a "two" from "one" n=0`)
	check(t, p.SignalRestarted())
	r.Until(`restarted  "" from "" n=1`)
	check(t, p.SignalRestarted())
	r.Until(`restarted  "" from "" n=2`)
	check(t, p.ClearRestarted())
	r.Until(`restarted  "" from "" n=0`)
	if diff := cmp.Diff(map[string]Example{"a": {Name: "two"}}, p.Table()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	check(t, p.Delete("a"))
	want(t, r.Until(`delete a "" from "two" n=0`), `delete a "" from "two" n=0`)
	if _, ok := p.Get("a"); ok {
		t.Error("deleted key has a value")
	}
}

func testRounded(t *testing.T, h Harness) {
	topic := topicOf(h, "rounded")
	p := Publish(t, h.Publisher, topic.Table)
	set(t, p, "a", `{"Float":1e+21,"Int":9223372036854775808,"Uint":18446744073709552000}`)
	set(t, p, "b", `{"Int":9223372036854776000,"Name":"b"}`)
	set(t, p, "c", `{"Int":9223372036854780000,"Name":"c"}`)
	got := map[string]Example{}
	r := RecordFunc(t, func(ctx context.Context, line func(string)) error {
		return pubsub.Subscribe(ctx, h.Subscriber, topic, func(e pubsub.Event[Example]) {
			if e.Kind == pubsub.Create {
				got[e.Key] = e.Value
			}
			line(e.Kind.String())
		}, pubsub.OnError(func(error) { line("error") }))
	})
	want(t, r.Until("synced"), "create", "create", "error", "synced")
	r.Stop()
	if diff := cmp.Diff(map[string]Example{
		"a": {Float: 1e21, Int: math.MaxInt64, Uint: math.MaxUint64},
		"b": {Name: "b", Int: math.MaxInt64},
	}, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func testUndecodable(t *testing.T, h Harness) {
	topic := topicOf(h, "undecodable")
	p := Publish(t, h.Publisher, topic.Table)
	set(t, p, "a", `{"Name":"one"}`)
	set(t, p, "b", `{"Name":1}`)
	r := recordTopic(t, h.Subscriber, topic)
	want(t, r.Until(`synced  "" from "" n=0`), `create a "one" from "" n=0`, "error b", `synced  "" from "" n=0`)
	set(t, p, "a", `{"Name":[]}`)
	want(t, r.Until("error a"), "error a")
	set(t, p, "a", `{"Name":"one","Unknown":1}`)
	set(t, p, "b", `{"Name":"fine"}`)
	want(t, r.Until(`create b "fine" from "" n=0`), `create b "fine" from "" n=0`)
	set(t, p, "a", `{"Name":"two"}`)
	want(t, r.Until(`modify a "two" from "one" n=0`), `modify a "two" from "one" n=0`)
	set(t, p, "b", `{"Name":{}}`)
	r.Until("error b")
	check(t, p.Delete("b"))
	want(t, r.Until(`delete b "" from "fine" n=0`), `delete b "" from "fine" n=0`)
}

func testSkipped(t *testing.T, h Harness) {
	topic := topicOf(h, "skipped")
	raw := Publish(t, h.Publisher, topic.Table)
	set(t, raw, "good", `{"Name":"good"}`)
	set(t, raw, "bad", `{"Name":1}`)
	check(t, raw.Detach())
	p, err := pubsub.NewPublication(h.Publisher, topic)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, p.Close()) })
	if diff := cmp.Diff(map[string]Example{"good": {Name: "good"}}, p.Table()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	var ve *pubsub.ValueError
	if s := p.Skipped(); len(s) != 1 || !errors.As(s[0], &ve) || ve.Key != "bad" {
		t.Fatalf("skipped are %v, want key bad", s)
	}
	check(t, p.Delete(ve.Key))
	r := recordTopic(t, h.Subscriber, topic)
	want(t, r.Until(`synced  "" from "" n=0`), `create good "good" from "" n=0`, `synced  "" from "" n=0`)
}
