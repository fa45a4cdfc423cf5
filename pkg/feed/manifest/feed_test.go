// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
	"go.uber.org/goleak"

	"github.com/lf-edge/eve-metadata/examples"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/feed/manifest"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds how long a test waits for what must come; only one that fails waits that long.
const patience = time.Minute

// live is a feed that runs, and someone who listens.
type live struct {
	t      *testing.T
	dir    string
	driver *memory.Driver
	events chan string
	logged chan string
	stop   func() error
}

// start runs a feed on a directory. What it publishes about apps, and what it logs, can be waited for.
func start(t *testing.T, dir string, d *memory.Driver) *live {
	t.Helper()
	l := &live{t: t, dir: dir, driver: d, events: make(chan string, 1000), logged: make(chan string, 1000)}
	log, _ := test.NewNullLogger()
	log.SetOutput(io.Discard)
	log.AddHook(hook(l.logged))
	f, err := manifest.New(manifest.Config{Dir: dir, Driver: d, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	feedDone, watchDone := make(chan error, 1), make(chan error, 1)
	go func() { feedDone <- f.Run(ctx) }()
	go func() {
		watchDone <- pubsub.Subscribe(ctx, d, pubsub.TopicOf[eve.AppInstanceConfig](eve.AgentFeed), l.event)
	}()
	stopped := false
	l.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return errors.Join(<-feedDone, <-watchDone)
	}
	t.Cleanup(func() {
		if err := l.stop(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// event notes what a subscriber is told.
func (l *live) event(e pubsub.Event[eve.AppInstanceConfig]) {
	switch e.Kind {
	case pubsub.Create, pubsub.Modify:
		data := "nothing"
		if e.Value.CloudInitUserData != nil {
			data = *e.Value.CloudInitUserData
		}
		l.events <- fmt.Sprintf("%v %s %s", e.Kind, e.Value.DisplayName, data)
	case pubsub.Delete:
		l.events <- fmt.Sprintf("%v %s", e.Kind, e.Old.DisplayName)
	}
}

// hook is a logrus hook that passes on what is logged.
type hook chan string

func (hook) Levels() []logrus.Level { return logrus.AllLevels }

func (h hook) Fire(e *logrus.Entry) error {
	text := e.Message
	if err, ok := e.Data[logrus.ErrorKey].(error); ok {
		text += ": " + err.Error()
	}
	h <- text
	return nil
}

// expect waits for the next events, which may come in any order, and compares them.
func (l *live) expect(want ...string) {
	l.t.Helper()
	var got []string
	for range want {
		got = append(got, next(l.t, l.events, want, got))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		l.t.Fatalf("events (-want +got):\n%s", diff)
	}
}

// expectLog waits for the next log line that ends like this.
func (l *live) expectLog(end string) {
	l.t.Helper()
	if got := next(l.t, l.logged, []string{end}, nil); !strings.HasSuffix(got, end) {
		l.t.Fatalf("got the log line %q, want one that ends with %q", got, end)
	}
}

func next(t *testing.T, c <-chan string, want, got []string) string {
	t.Helper()
	select {
	case s := <-c:
		return s
	case <-time.After(patience):
		t.Fatalf("got %q and then nothing, want %q", got, want)
	}
	return ""
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// save writes a file as editors do: beside it, and then in its place.
func save(t *testing.T, path, text string) {
	t.Helper()
	write(t, filepath.Join(filepath.Dir(path), ".tmp-"+filepath.Base(path)), text)
	if err := os.Rename(filepath.Join(filepath.Dir(path), ".tmp-"+filepath.Base(path)), path); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

const (
	webManifest = "kind: app\nname: web\n"
	dbManifest  = "kind: app\nname: db\n"
)

func TestFeedFollowsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	web, db := filepath.Join(dir, "web.yaml"), filepath.Join(dir, "db.yaml")
	save(t, web, webManifest)
	l := start(t, dir, &memory.Driver{})
	l.expect("create web nothing")

	save(t, db, dbManifest)
	l.expect("create db nothing")

	save(t, web, webManifest+"userData: one\n")
	l.expect("modify web b25l")

	// A bad file: its app stays, another file goes on.
	save(t, web, webManifest+"userData: two\nmac: zz\n")
	l.expectLog("web.yaml:4: mac: there is no such field")
	save(t, db, dbManifest+"userData: two\n")
	l.expect("modify db dHdv")

	// An emptied file is a bad file. That web.yaml is still bad is not said again.
	save(t, db, "")
	l.expectLog("db.yaml: has no manifest in it: to take away what it described, remove the file")

	save(t, web, webManifest+"userData: two\n")
	l.expect("modify web dHdv")
	remove(t, db)
	l.expect("delete db")
	l.expectLog("manifests: no problem any more")
}

func TestFeedFollowsReferredFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data", "web.txt")
	write(t, data, "one")
	save(t, filepath.Join(dir, "web.yaml"), webManifest+"userDataFile: data/web.txt\n")
	l := start(t, dir, &memory.Driver{})
	l.expect("create web b25l")

	save(t, data, "two")
	l.expect("modify web dHdv")

	// The folder goes and comes again.
	remove(t, filepath.Join(dir, "data"))
	l.expectLog(`web.yaml:3: userDataFile: "data/web.txt" does not exist`)
	write(t, filepath.Join(dir, "new", "web.txt"), "three")
	if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	l.expect("modify web dGhyZWU=")
	save(t, data, "four")
	l.expect("modify web Zm91cg==")
}

// TestFeedFollowsFolderOfTwoNames: the kernel watches a folder once, whatever names it goes by.
func TestFeedFollowsFolderOfTwoNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink(".", filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "web.txt"), "one")
	save(t, filepath.Join(dir, "web.yaml"), webManifest+"userDataFile: data/web.txt\n")
	l := start(t, dir+"/./", &memory.Driver{})
	l.expect("create web b25l")
	save(t, filepath.Join(dir, "web.txt"), "two")
	l.expect("modify web dHdv")
}

func TestFeedKeepsStateWithoutDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "manifests")
	l := start(t, dir, &memory.Driver{})
	l.expectLog("no such file or directory")
	write(t, filepath.Join(dir, "web.yaml"), webManifest)
	l.expect("create web nothing")
	l.expectLog("manifests: no problem any more")

	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	l.expectLog("no such file or directory")
	write(t, filepath.Join(dir, "web.yaml"), webManifest+"userData: one\n")
	l.expect("modify web b25l") // and not a delete before
	save(t, filepath.Join(dir, "db.yaml"), dbManifest)
	l.expect("create db nothing")
}

// TestFeedPrunesOnlyWhenAllIsGood: as long as a file has never been good in this run, what an earlier run published stays.
func TestFeedPrunesOnlyWhenAllIsGood(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	web, db := filepath.Join(dir, "web.yaml"), filepath.Join(dir, "db.yaml")
	save(t, web, webManifest)
	save(t, db, dbManifest)
	d := &memory.Driver{}
	first := start(t, dir, d)
	first.expect("create db nothing", "create web nothing")
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}

	save(t, web, "kind: app\n")
	remove(t, db)
	second := start(t, dir, d)
	second.expectLog("web.yaml:1: name: is missing")
	second.expect("create db nothing", "create web nothing")
	save(t, web, webManifest)
	second.expect("delete db")
}

// TestFeedYieldsInOrder: of two files with one name the later is refused, and gets its turn when the earlier is gone.
func TestFeedYieldsInOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
	save(t, b, webManifest+"userData: b\n")
	l := start(t, dir, &memory.Driver{})
	l.expect("create web Yg==")
	save(t, a, webManifest+"userData: a\n")
	l.expectLog(`b.yaml:2: name: app name "web" is taken by ` + a)
	l.expect("modify web YQ==")
	remove(t, a)
	l.expect("modify web Yg==")
}

// TestFeedKeepsPlaces: where a network is stays its own while its file is bad, whatever the names of the files.
func TestFeedKeepsPlaces(t *testing.T) {
	t.Parallel()
	const red = "---\nkind: network\nname: red\nattach: {bridge: bn1}\n"
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
	save(t, b, webManifest+red)
	l := start(t, dir, &memory.Driver{})
	l.expect("create web nothing")
	save(t, b, webManifest+red+"mtu: 1\n")
	l.expectLog("mtu: 1 is not from 1280 to 65535")
	save(t, a, dbManifest+"---\nkind: network\nname: blue\nattach: {bridge: bn1}\n")
	l.expectLog(`attach: bridge "bn1" cannot have network "blue": it has network "red"`)
	save(t, b, webManifest)
	l.expect("create db nothing")
}

// TestFeedBuiltIn: without a directory, the manifests come from a file system and are not watched.
func TestFeedBuiltIn(t *testing.T) {
	t.Parallel()
	log, logged := test.NewNullLogger()
	d := &memory.Driver{}
	f, err := manifest.New(manifest.Config{FS: examples.FS, Driver: d, Log: log, Withdraw: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.String(), "manifest feed, built-in manifests"; got != want {
		t.Errorf("got the name %q, want %q", got, want)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	select {
	case <-f.Ready():
	case <-time.After(patience):
		t.Fatal("not ready")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(logged.AllEntries()) > 0 {
		t.Errorf("it has logged %q", logged.LastEntry().Message)
	}
	raw, err := d.Publish(pubsub.TopicOf[eve.AppInstanceConfig](eve.AgentFeed).Table)
	if err != nil {
		t.Fatal(err)
	}
	if left := raw.Values(); len(left) > 0 {
		t.Errorf("%d apps are left, want them withdrawn", len(left))
	}
	if err := raw.Close(); err != nil {
		t.Error(err)
	}
}

func TestFeedNeedsItsTopics(t *testing.T) {
	t.Parallel()
	d := &memory.Driver{}
	raw, err := d.Publish(pubsub.TopicOf[eve.AppInstanceConfig](eve.AgentFeed).Table)
	if err != nil {
		t.Fatal(err)
	}
	log, _ := test.NewNullLogger()
	f, err := manifest.New(manifest.Config{FS: fstest.MapFS{}, Driver: d, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Run(t.Context()); !errors.Is(err, pubsub.ErrInUse) {
		t.Errorf("got %v, want %v", err, pubsub.ErrInUse)
	}
	if err := raw.Close(); err != nil {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	log, _ := test.NewNullLogger()
	for _, tt := range []struct {
		name string
		cfg  manifest.Config
	}{
		{"nothing to read", manifest.Config{Driver: &memory.Driver{}, Log: log}},
		{"no driver", manifest.Config{Dir: ".", Log: log}},
		{"no log", manifest.Config{Dir: ".", Driver: &memory.Driver{}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := manifest.New(tt.cfg); err == nil {
				t.Error("got no error")
			}
		})
	}
}
