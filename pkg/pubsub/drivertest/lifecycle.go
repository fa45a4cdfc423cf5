// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

func testClose(t *testing.T, h Harness) {
	p := Publish(t, h.Publisher, h.table("Close"))
	set(t, p, "a", `{}`)
	set(t, p, "b", `{}`)
	check(t, p.SetRestarted(1))
	r := Record(t, h.Subscriber, h.table("Close"))
	r.Until("restarted 1")
	check(t, p.Close())
	got := r.UntilAll("delete a", "delete b", "restarted 0")
	slices.Sort(got)
	want(t, got, "delete a", "delete b", "restarted 0")

	next := Publish(t, h.Publisher, h.table("Close"))
	if got := next.Values(); len(got) != 0 {
		t.Errorf("next publisher starts with %q, want nothing", got)
	}
}

func testClosePersistent(t *testing.T, h Harness) {
	table := h.table("ClosePersistent")
	table.Persistent = true
	p := Publish(t, h.Publisher, table)
	set(t, p, "a", `{"n":1}`)
	check(t, p.SetRestarted(1))
	r := Record(t, h.Subscriber, table)
	r.UntilAll("synced", "restarted 1")
	check(t, p.Close())
	want(t, r.Until("restarted 0"), "restarted 0")

	next := Publish(t, h.Publisher, table)
	wantValues(t, next, map[string]string{"a": `{"n":1}`})
	set(t, next, "b", `{}`)
	want(t, r.Until("create b {}"), "create b {}")
}

func testDetach(t *testing.T, h Harness) {
	p := Publish(t, h.Publisher, h.table("Detach"))
	set(t, p, "a", `{"n":1}`)
	set(t, p, "b", `{"n":1}`)
	check(t, p.SetRestarted(3))
	r := Record(t, h.Subscriber, h.table("Detach"))
	r.Until("restarted 3")
	check(t, p.Detach())

	next := Publish(t, h.Publisher, h.table("Detach"))
	wantValues(t, next, map[string]string{"a": `{"n":1}`, "b": `{"n":1}`})
	if n := next.Restarted(); n != 3 {
		t.Errorf("restart counter is %d, want 3", n)
	}
	check(t, next.Delete("a"))
	set(t, next, "b", `{"n":2}`)
	got := r.UntilAll("delete a", `modify b {"n":2}`)
	// Where the next publisher is connected to, its counter is 0 until it tells of it, and that may be before the rest or after.
	got = slices.DeleteFunc(got, func(line string) bool { return line == "restarted 0" || line == "restarted 3" })
	slices.Sort(got)
	want(t, got, "delete a", `modify b {"n":2}`)
}

func testPersistentAlone(t *testing.T, h Harness) {
	table := h.table("Alone")
	table.Persistent = true
	p := Publish(t, h.Publisher, table)
	set(t, p, "a", `{"n":1}`)
	check(t, p.Detach())
	r := Record(t, h.Subscriber, table)
	want(t, r.Until(`create a {"n":1}`), `create a {"n":1}`)
	if h.FromFiles {
		return
	}
	next := Publish(t, h.Publisher, table)
	want(t, r.Until("synced"), "synced")
	check(t, next.Delete("a"))
	want(t, r.Until("delete a"), "delete a")
}

func testClosed(t *testing.T, h Harness) {
	end := map[string]func(pubsub.RawPublisher) error{
		"Close": pubsub.RawPublisher.Close, "Detach": pubsub.RawPublisher.Detach,
	}
	for _, name := range slices.Sorted(maps.Keys(end)) {
		p := Publish(t, h.Publisher, h.table("Ended"+name))
		set(t, p, "a", `{}`)
		check(t, end[name](p))
		for what, err := range map[string]error{
			"set": p.Set("b", []byte(`{}`)), "delete": p.Delete("a"), "set restart counter": p.SetRestarted(1),
		} {
			if !errors.Is(err, pubsub.ErrClosed) {
				t.Errorf("%s after %s: error is %v, want ErrClosed", what, name, err)
			}
		}
		check(t, end[name](p))
	}
}

func testCopies(t *testing.T, h Harness) {
	p := Publish(t, h.Publisher, h.table("Copies"))
	value := []byte(`{"n":1}`)
	check(t, p.Set("a", value))
	copy(value, `[broken`)
	copy(p.Values()["a"], `[broken`)
	wantValues(t, p, map[string]string{"a": `{"n":1}`})
	want(t, Record(t, h.Subscriber, h.table("Copies")).Until("synced"), `create a {"n":1}`, "synced")
}

func wantValues(t *testing.T, p pubsub.RawPublisher, values map[string]string) {
	t.Helper()
	got := map[string]string{}
	for k, v := range p.Values() {
		got[k] = string(v)
	}
	if diff := cmp.Diff(values, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}
