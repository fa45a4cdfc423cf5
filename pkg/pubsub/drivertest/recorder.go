// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// patience is how long an event may take to come before its test fails. It is
// waited out by failing tests only.
const patience = 30 * time.Second

// Recorder writes down the events of a subscription, one line each: "create
// <key> <JSON>", "modify <key> <JSON>", "delete <key>", "synced", "restarted <n>".
type Recorder struct {
	t      *testing.T
	events chan string
	cancel context.CancelFunc
	done   chan error
}

// Record subscribes to a table until the test ends.
func Record(t *testing.T, d pubsub.Driver, table pubsub.Table) *Recorder {
	return RecordFunc(t, func(ctx context.Context, line func(string)) error {
		return d.Subscribe(ctx, table, func(e pubsub.RawEvent) { line(Line(e)) })
	})
}

// RecordFunc writes down the lines of a function that runs until its context
// ends and then returns nil.
func RecordFunc(t *testing.T, run func(ctx context.Context, line func(string)) error) *Recorder {
	ctx, cancel := context.WithCancel(t.Context())
	r := &Recorder{t: t, events: make(chan string), cancel: cancel, done: make(chan error, 1)}
	go func() {
		r.done <- run(ctx, func(s string) {
			select {
			case r.events <- s:
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(r.Stop)
	return r
}

// Stop ends the subscription and checks that it ended well. A second call does nothing.
func (r *Recorder) Stop() {
	r.cancel()
	err, ok := <-r.done
	if ok {
		close(r.done)
	}
	if err != nil {
		r.t.Errorf("subscription ended with: %v", err)
	}
}

// Until returns the lines since the last call, up to the given one.
func (r *Recorder) Until(line string) []string {
	r.t.Helper()
	return r.UntilAll(line)
}

// UntilAll returns the lines since the last call, up to the last of the given
// ones, in whatever order they come.
func (r *Recorder) UntilAll(lines ...string) []string {
	r.t.Helper()
	missing := slices.Clone(lines)
	var got []string
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for len(missing) > 0 {
		select {
		case line := <-r.events:
			got = append(got, line)
			if i := slices.Index(missing, line); i >= 0 {
				missing = slices.Delete(missing, i, i+1)
			}
		case <-timer.C:
			r.t.Fatalf("events are %.2000q; %.2000q did not come", got, missing)
		}
	}
	return got
}

// Line is an event as a line. JSON is written with sorted keys.
func Line(e pubsub.RawEvent) string {
	switch e.Kind {
	case pubsub.Create, pubsub.Modify:
		return fmt.Sprintf("%s %s %s", e.Kind, e.Key, sorted(e.Value))
	case pubsub.Delete:
		return fmt.Sprintf("%s %s", e.Kind, e.Key)
	case pubsub.Restarted:
		return fmt.Sprintf("%s %d", e.Kind, e.Restarted)
	}
	return e.Kind.String()
}

func sorted(value []byte) string {
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return fmt.Sprintf("%q (%v)", value, err)
	}
	b, err := json.Marshal(tree)
	if err != nil {
		return fmt.Sprintf("%q (%v)", value, err)
	}
	return string(b)
}

// Publish opens a table and closes it when the test ends.
func Publish(t *testing.T, d pubsub.Driver, table pubsub.Table) pubsub.RawPublisher {
	t.Helper()
	p, err := d.Publish(table)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	t.Cleanup(func() { check(t, p.Close()) })
	return p
}

func set(t *testing.T, p pubsub.RawPublisher, key, value string) {
	t.Helper()
	if err := p.Set(key, []byte(value)); err != nil {
		t.Fatalf("set %s: %v", key, err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
