// SPDX-License-Identifier: Apache-2.0

package pubsub_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type status struct {
	Name    string
	Counter uint64
	Sub     []struct{ Delay int64 }
}

type generic[T any] struct{ Field T }

func TestTopicOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		got, want pubsub.Table
		path      string
	}{
		{"plain", pubsub.TopicOf[status]("nim").Table, pubsub.Table{Agent: "nim", Topic: "status"}, "nim/status"},
		{
			"scope and persistent", pubsub.TopicOf[status]("nim", pubsub.Scope("s"), pubsub.Persistent()).Table,
			pubsub.Table{Agent: "nim", Scope: "s", Topic: "status", Persistent: true}, "nim/s/status",
		},
		{"global", pubsub.TopicOf[status]("").Table, pubsub.Table{Topic: "status"}, "/status"},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if got := c.got.Name(); got != c.path {
			t.Errorf("%s: name is %q, want %q", c.name, got, c.path)
		}
		if err := c.got.Validate(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Types whose name says nothing, or has a path in it, make no table.
func TestTopicOfOtherTypes(t *testing.T) {
	t.Parallel()
	d := &memory.Driver{}
	_, pointer := pubsub.NewPublication(d, pubsub.TopicOf[*status]("a"))
	_, instance := pubsub.NewPublication(d, pubsub.TopicOf[generic[memory.Driver]]("a"))
	subscribe := pubsub.Subscribe(t.Context(), d, pubsub.TopicOf[struct{}]("a"), func(pubsub.Event[struct{}]) {})
	for what, err := range map[string]error{"pointer": pointer, "instance": instance, "no name": subscribe} {
		if !errors.Is(err, pubsub.ErrBadTable) {
			t.Errorf("%s: error is %v, want ErrBadTable", what, err)
		}
	}
}

func TestEventKindString(t *testing.T) {
	t.Parallel()
	var got []string
	for k := pubsub.Create; k <= pubsub.Restarted+1; k++ {
		got = append(got, k.String())
	}
	want := []string{"create", "modify", "delete", "synced", "restarted", "EventKind(6)"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestPublicationErrors(t *testing.T) {
	t.Parallel()
	d := &memory.Driver{}
	topic := pubsub.TopicOf[generic[any]]("a")
	topic.Topic = "Generic"
	p, err := pubsub.NewPublication(d, topic)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Set("k", generic[any]{Field: func() {}}); err == nil || !strings.Contains(err.Error(), `encode a/Generic key "k"`) {
		t.Errorf("set a func: error is %v", err)
	}
	if err := p.Set("", generic[any]{}); !errors.Is(err, pubsub.ErrBadKey) {
		t.Errorf("set with empty key: error is %v, want ErrBadKey", err)
	}
	if err := p.Set("k", generic[any]{Field: strings.Repeat("x", pubsub.MaxDatagram)}); !errors.Is(err, pubsub.ErrTooLarge) {
		t.Errorf("set of a large value: error is %v, want ErrTooLarge", err)
	}
	if got := p.Table(); len(got) != 0 {
		t.Errorf("table is %v after errors, want nothing", got)
	}
	if _, err := pubsub.NewPublication(d, topic); !errors.Is(err, pubsub.ErrInUse) {
		t.Errorf("second publication: error is %v, want ErrInUse", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"set": p.Set("k", generic[any]{}), "delete": p.Delete("k"), "signal": p.SignalRestarted(), "clear": p.ClearRestarted(),
	} {
		if !errors.Is(err, pubsub.ErrClosed) {
			t.Errorf("%s after close: error is %v, want ErrClosed", what, err)
		}
	}
}

// one is a driver whose subscriptions see one value.
type one struct {
	pubsub.Driver
	value []byte
}

func (o one) Subscribe(_ context.Context, _ pubsub.Table, handle func(pubsub.RawEvent)) error {
	handle(pubsub.RawEvent{Kind: pubsub.Create, Key: "k", Value: o.value})
	return nil
}

// Whatever JSON a publisher sends, it is an event or an error, never both.
func FuzzSubscribe(f *testing.F) {
	for _, s := range []string{
		``, `{}`, `null`, `{"Counter":18446744073709552000,"Sub":[{"Delay":9223372036854775808}]}`,
		`{"Counter":1e400}`, `{"Counter":-1}`, `{"Sub":[{"Delay":9223372036854775808},{"Delay":9.223372036854775808e18}]}`,
		`{"counter":18446744073709552000,"Counter":18446744073709551616,"Name":18446744073709552000}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		events, errs := 0, 0
		err := pubsub.Subscribe(t.Context(), one{value: value}, pubsub.TopicOf[status]("a"),
			func(pubsub.Event[status]) { events++ }, pubsub.OnError(func(error) { errs++ }))
		if err != nil || events+errs != 1 {
			t.Fatalf("value %q: %d events, %d errors, error %v", value, events, errs, err)
		}
	})
}
