// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

func testLargeFields(t *testing.T, h Harness) {
	p := Publish(t, h.Publisher, h.table("Large"))
	value := func(n int) string {
		text := strings.Repeat("x", n)
		return fmt.Sprintf(`{"list":[{"pubsub-large-a":%q},{"pubsub-large-a":null}],"n":1.50,"pubsub-large-b":{"deep":[%q]}}`, text, text)
	}
	set(t, p, "a", value(500_000))
	r := Record(t, h.Subscriber, h.table("Large"))
	r.UntilAll("create a "+value(500_000), "synced")
	set(t, p, "a", value(400_000))
	r.Until("modify a " + value(400_000))
	set(t, p, "z", `{}`)
	want(t, r.Until("create z {}"), "create z {}")
}

func testTooLarge(t *testing.T, h Harness) {
	text := func(name string, size int) string {
		return fmt.Sprintf(`{%q:%q}`, name, strings.Repeat("x", size))
	}
	p := Publish(t, h.Publisher, h.table("TooLarge"))
	set(t, p, "a", `{"n":1}`)
	for _, c := range []struct {
		name, value string
		ok          bool
	}{
		{"message has room", text("field", 48_000), true},
		{"message is full", text("field", 49_200), false},
		{"file has room", text("pubsub-large-field", pubsub.MaxLargeFile-len(`{"pubsub-large-field":""}`)-1), true},
		{"file is full", text("pubsub-large-field", pubsub.MaxLargeFile-len(`{"pubsub-large-field":""}`)), false},
		{"too many files", `{"l":[` + strings.Repeat(`{"pubsub-large-f":1},`, 256) + `{"pubsub-large-f":1}]}`, false},
	} {
		switch err := p.Set("a", []byte(c.value)); {
		case c.ok && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case !c.ok && !errors.Is(err, pubsub.ErrTooLarge):
			t.Errorf("%s: error is %v, want ErrTooLarge", c.name, err)
		}
		if got := string(p.Values()["a"]); c.ok != (got == c.value) {
			t.Errorf("%s: value of %d bytes is in the table: %t, want %t", c.name, len(c.value), !c.ok, c.ok)
		}
	}
	set(t, p, "a", `{"n":2}`)
	want(t, Record(t, h.Subscriber, h.table("TooLarge")).Until("synced"), `create a {"n":2}`, "synced")
}

func testBadKeys(t *testing.T, h Harness) {
	p := Publish(t, h.Publisher, h.table("Keys"))
	for _, key := range []string{"", "a/b", "../a", "a\x00", strings.Repeat("k", pubsub.MaxKey+1)} {
		if err := p.Set(key, []byte(`{}`)); !errors.Is(err, pubsub.ErrBadKey) {
			t.Errorf("set %.20q: error is %v, want ErrBadKey", key, err)
		}
		if err := p.Delete(key); err != nil {
			t.Errorf("delete %.20q: %v", key, err)
		}
	}
	good := []string{" ", "..", "a b", "a.json", "k:v-1", strings.Repeat("k", pubsub.MaxKey), "ü\xff"}
	var lines []string
	for _, key := range good {
		set(t, p, key, `{}`)
		lines = append(lines, "create "+key+" {}")
	}
	want(t, Record(t, h.Subscriber, h.table("Keys")).Until("synced"), append(lines, "synced")...)
	check(t, p.Detach())
	if got := Publish(t, h.Publisher, h.table("Keys")).Values(); len(got) != len(good) {
		t.Errorf("next publisher starts with %d keys, want %d", len(got), len(good))
	}
}

func testBadValues(t *testing.T, h Harness) {
	p := Publish(t, h.Publisher, h.table("Values"))
	set(t, p, "a", `{"n":1}`)
	for _, value := range []string{
		"", " ", "null", "1", `"text"`, "[]", "{", "{} {}", `{"pubsub-file-a":"\"/etc/passwd\""}`, `{"pubsub-large-/a":1}`,
	} {
		if err := p.Set("a", []byte(value)); !errors.Is(err, pubsub.ErrBadValue) {
			t.Errorf("set %q: error is %v, want ErrBadValue", value, err)
		}
	}
	wantValues(t, p, map[string]string{"a": `{"n":1}`})
}

func testBadTables(t *testing.T, h Harness) {
	for _, table := range []pubsub.Table{
		{Agent: "a"},
		{Agent: "a", Topic: "T/U"},
		{Agent: "..", Topic: "T"},
		{Agent: "a", Scope: "b c", Topic: "T"},
		{Agent: "a", Topic: "T\n"},
		{Agent: "a", Topic: strings.Repeat("T", pubsub.MaxName+1)},
		{Topic: "T", Persistent: true},
	} {
		if _, err := h.Publisher.Publish(table); !errors.Is(err, pubsub.ErrBadTable) {
			t.Errorf("publish %+v: error is %v, want ErrBadTable", table, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := h.Subscriber.Subscribe(ctx, table, func(pubsub.RawEvent) {})
		if !errors.Is(err, pubsub.ErrBadTable) {
			t.Errorf("subscribe to %+v: error is %v, want ErrBadTable", table, err)
		}
	}
}
