// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/eve"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/report"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
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

// gateway is the app that EVE's own metadata server was recorded with.
const gateway = "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001"

// What is for the controller is published as EVE's own metadata server does.
func TestForController(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	b := open(t, &socket.Driver{Root: root})
	r := b.Of(app(gateway, "7"))
	put(t, r, eve.SubjectKubeconfig, `{"hello":"world"}`)
	put(t, r, eve.SubjectCustomStatus, "")
	recorded, err := os.ReadFile("../../pkg/eve/testdata/eve-topics/msrv/AppInstMetaData/" + gateway + "-1.json")
	if err != nil {
		t.Fatal(err)
	}
	var kubeconfig bytes.Buffer
	if err := json.Compact(&kubeconfig, recorded); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		gateway + "-1.json": kubeconfig.String(),
		gateway + "-2.json": `{"AppInstUUID":"` + gateway + `","Data":"","Type":2}`,
	}
	if diff := cmp.Diff(want, published(t, root, "AppInstMetaData")); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	if got := published(t, root, "InstanceReport"); len(got) > 0 {
		t.Errorf("published beside it: %v", got)
	}
}

// published are the files of a topic of ours that is kept.
func published(t *testing.T, root, topic string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "persist/status/mdsrv", topic, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	content := make(map[string]string)
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content[filepath.Base(path)] = string(text)
	}
	return content
}

// The controller's reports outlive the service and a new version of the app, and end with the app.
func TestControllerReportsKept(t *testing.T) {
	t.Parallel()
	d := &socket.Driver{Root: t.TempDir()}
	first, err := report.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("\xff", 32768)
	put(t, first.Of(app(web, "1")), eve.SubjectKubeconfig, "old")
	put(t, first.Of(app(web, "1")), eve.SubjectKubeconfig, large)
	put(t, first.Of(app(web, "1")), "password", "x")
	put(t, first.Of(app(db, "1")), eve.SubjectCustomStatus, "up")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	b := open(t, d)
	says := func(uuid, subject string) string { return string(b.Of(app(uuid, "2")).Get(subject)) }
	if says(web, eve.SubjectKubeconfig) != large || says(db, eve.SubjectCustomStatus) != "up" {
		t.Error("what was said is not there after a restart")
	}
	if says(db, eve.SubjectKubeconfig) != "" || says(web, eve.SubjectCustomStatus) != "" {
		t.Error("what was not said is there")
	}
	if err := b.Of(app(db, "2")).PutFirst(eve.SubjectCustomStatus, nil); !errors.Is(err, dialect.ErrReported) {
		t.Errorf("said a second time: %v", err)
	}
	if err := b.Prune(func(uuid string) bool { return uuid == db }); err != nil {
		t.Fatal(err)
	}
	if says(web, eve.SubjectKubeconfig) != "" || says(db, eve.SubjectCustomStatus) != "up" {
		t.Error("not those of the app that is gone are gone")
	}
}

// A book that cannot be opened whole is not open at all, and both of its topics can spoil it.
func TestInUse(t *testing.T) {
	t.Parallel()
	for _, table := range []pubsub.Table{report.Topic().Table, report.ControllerTopic().Table} {
		d := &memory.Driver{}
		other, err := d.Publish(table)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := report.Open(d); !errors.Is(err, pubsub.ErrInUse) {
			t.Errorf("%s is published already: %v", table.Name(), err)
		}
		if err := other.Detach(); err != nil {
			t.Fatal(err)
		}
		open(t, d)
	}
}

// What an earlier run left behind and cannot be read is told, of both topics.
func TestSkipped(t *testing.T) {
	t.Parallel()
	d := &memory.Driver{}
	for _, table := range []pubsub.Table{report.Topic().Table, report.ControllerTopic().Table} {
		p, err := d.Publish(table)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Set(web+"-1", []byte(`{"AppUUID":7,"Type":"x"}`)); err != nil {
			t.Fatal(err)
		}
		if err := p.Detach(); err != nil {
			t.Fatal(err)
		}
	}
	if errs := open(t, d).Skipped(); len(errs) != 2 {
		t.Errorf("skipped: %v", errs)
	}
}
