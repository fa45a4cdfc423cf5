// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/report"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
)

const (
	web = "5f0c2d4e-8a36-4c55-9c0e-2f6d1b7a9e01"
	db  = "5f0c2d4e-8a36-4c55-9c0e-2f6d1b7a9e02"
)

func open(t *testing.T, d pubsub.Driver) *report.Book {
	t.Helper()
	b, err := report.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func app(uuid, version string) *instance.Instance {
	return &instance.Instance{UUID: uuid, Version: version}
}

func put(t *testing.T, r dialect.Reports, subject, value string) {
	t.Helper()
	if err := r.Put(subject, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

// What a guest says is its own, by subject, and stays when the service starts again.
func TestKept(t *testing.T) {
	t.Parallel()
	d := &socket.Driver{Root: t.TempDir()}
	b, err := report.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	put(t, b.Of(app(web, "1")), "password", "first")
	put(t, b.Of(app(web, "1")), "password", "second")
	put(t, b.Of(app(web, "1")), "other", "")
	put(t, b.Of(app(db, "1")), "password", strings.Repeat("\x00\xff", 32<<10))
	if _, err := report.Open(d); !errors.Is(err, pubsub.ErrInUse) {
		t.Errorf("a second book: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, d)
	if errs := b.Skipped(); len(errs) > 0 {
		t.Error(errs)
	}
	for _, tt := range []struct {
		app     *instance.Instance
		subject string
		want    []byte
	}{
		{app(web, "1"), "password", []byte("second")},
		{app(web, "1"), "other", []byte{}},
		{app(web, "1"), "nothing", nil},
		{app(db, "1"), "password", bytes.Repeat([]byte("\x00\xff"), 32<<10)},
		{app(web, "2"), "password", nil}, // a new version has said nothing yet
	} {
		got := b.Of(tt.app).Get(tt.subject)
		if !bytes.Equal(got, tt.want) || (got == nil) != (tt.want == nil) {
			t.Errorf("%s %s: %d bytes, want %d", tt.app.ID(), tt.subject, len(got), len(tt.want))
		}
	}
}

// Of many that want to be first, one is.
func TestPutFirst(t *testing.T) {
	t.Parallel()
	b := open(t, &socket.Driver{Root: t.TempDir()})
	var wg sync.WaitGroup
	var first atomic.Pointer[string]
	for i := range 16 {
		wg.Go(func() {
			value := fmt.Sprint(i)
			switch err := b.Of(app(web, "1")).PutFirst("password", []byte(value)); {
			case err == nil && !first.CompareAndSwap(nil, &value):
				t.Error("two were first")
			case err != nil && !errors.Is(err, dialect.ErrReported):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := b.Of(app(web, "1")).Get("password"); first.Load() == nil || string(got) != *first.Load() {
		t.Errorf("kept %q, not what was first", got)
	}
	if err := b.Of(app(web, "2")).PutFirst("password", []byte("anew")); err != nil {
		t.Errorf("first of a new version: %v", err)
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	b := open(t, &socket.Driver{Root: t.TempDir()})
	put(t, b.Of(app(web, "1")), "password", "x")
	put(t, b.Of(app(db, "1")), "password", "y")
	if err := b.Prune(func(uuid string) bool { return uuid == db }); err != nil {
		t.Fatal(err)
	}
	if got := b.Of(app(web, "1")).Get("password"); got != nil {
		t.Errorf("an app that is gone has said %q", got)
	}
	if got := b.Of(app(db, "1")).Get("password"); string(got) != "y" {
		t.Errorf("an app that is there has said %q", got)
	}
}

// What cannot be kept is an error, and no news.
func TestNotKept(t *testing.T) {
	t.Parallel()
	b := open(t, &socket.Driver{Root: t.TempDir()})
	r := b.Of(app(web, "1"))
	put(t, r, "password", "x")
	if err := r.Put("password", make([]byte, pubsub.MaxLargeFile)); !errors.Is(err, pubsub.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if got := r.Get("password"); string(got) != "x" {
		t.Errorf("then %d bytes are there", len(got))
	}
	if err := b.Of(app("no-uuid", "1")).Put("password", nil); err == nil {
		t.Error("reports of no app are kept")
	}
}
