// SPDX-License-Identifier: Apache-2.0

package socket_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/drivertest"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
)

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// reporting returns a driver and what it reports.
func reporting(root string) (*socket.Driver, <-chan error) {
	reports := make(chan error, 100)
	return &socket.Driver{Root: root, Report: func(_ pubsub.Table, err error) { reports <- err }}, reports
}

// EVE's publisher sends every key again at every change, each large field in a
// new file, with fields in alphabetical order.
func TestSubscribeTakesResentTables(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "zedagent", Topic: "T"}
	eve := listenPeer(t, root, table)
	r := drivertest.Record(t, newDriver(t, root), table)
	sub := eve.accept("T")
	var files []string
	value := func(n string) string {
		path := largeFile(t, root, table, "pubsub-file-X"+n, `{"pubsub-large-X":"data"}`)
		files = append(files, path)
		return update("T", "a", `{"A":1,"pubsub-file-X":`+quote(t, path)+`}`)
	}
	sub.send("hello T false", value("1"), update("T", "b", `{"m":1,"n":{"x":[1,2]}}`), "complete T")
	wantLines(t, r.Until("synced"),
		`create a {"A":1,"pubsub-large-X":"data"}`, `create b {"m":1,"n":{"x":[1,2]}}`, "synced")

	sub.send(value("2"), update("T", "b", `{"n":{"x":[1,2]},"m":1}`), update("T", "c", `{}`))
	wantLines(t, r.Until("create c {}"), "create c {}")
	sub.send(remove("T", "b"), remove("T", "unknown"), value("3"), update("T", "c", `{}`), "restarted T 1")
	wantLines(t, r.Until("restarted 1"), "delete b", "restarted 1")
	sub.send("restarted T 1", "complete T", "restarted T 0")
	wantLines(t, r.Until("restarted 0"), "restarted 0")
	for _, f := range files {
		if exists(t, f) {
			t.Errorf("file %q is still there", f)
		}
	}
}

func TestSubscribeTolerates(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "a", Topic: "T"}
	eve := listenPeer(t, root, table)
	d, reports := reporting(root)
	r := drivertest.Record(t, d, table)
	sub := eve.accept("T")
	sub.send(
		"hello T", // older EVE says no more
		update("T", "a", `{}`)+" more",
		update("Other", "b", `{}`),
		"complete T and more",
		"restarted T 1 more",
	)
	wantLines(t, r.Until("restarted 1"), "create a {}", "create b {}", "synced", "restarted 1")
	bad := []string{
		"novelty T 1", "update T", "update T !", "update T YQ== !", "update T YQ== " + b64("{"), "update T  e30=",
		update("T", "a/b", `{}`), "delete T", "delete T %", "restarted T", "restarted T x", "restarted T -1", " ", "hello", "complete",
	}
	sub.send(bad...)
	sub.send(update("T", "z", `{}`))
	wantLines(t, r.Until("create z {}"), "create z {}")
	if len(reports) != len(bad) {
		t.Errorf("there are %d reports, want %d", len(reports), len(bad))
	}
}

func TestSubscribeReportsPersistence(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "a", Topic: "T", Persistent: true}
	eve := listenPeer(t, root, table)
	d, reports := reporting(root)
	r := drivertest.Record(t, d, table)
	eve.accept("T").send("hello T false", "complete T")
	r.Until("synced")
	if err := receive(t, reports); !errors.Is(err, pubsub.ErrBadTable) {
		t.Errorf("report is %v, want ErrBadTable", err)
	}
}

// An update that cannot be used leaves the value before in force, also when the
// table is sent anew, and the table is asked for anew because of it.
func TestSubscribeUnusableUpdates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		update func(t *testing.T, root string, table pubsub.Table) string
	}{
		{"file is missing", func(t *testing.T, root string, table pubsub.Table) string {
			return update("T", "a", `{"pubsub-file-X":`+quote(t, root+"/persist/pubsub-large/a/T/pubsub-file-X1")+`}`)
		}},
		{"file is empty", func(t *testing.T, root string, table pubsub.Table) string {
			return update("T", "a", `{"pubsub-file-X":`+quote(t, largeFile(t, root, table, "pubsub-file-X1", ""))+`}`)
		}},
		{"file is elsewhere", func(t *testing.T, root string, table pubsub.Table) string {
			check(t, os.WriteFile(root+"/secret", []byte(`{"x":1}`), 0o600))
			return update("T", "a", `{"pubsub-file-X":`+quote(t, root+"/persist/pubsub-large/../../secret")+`}`)
		}},
		{"file is another table's", func(t *testing.T, root string, _ pubsub.Table) string {
			other := pubsub.Table{Agent: "a", Topic: "Other"}
			return update("T", "a", `{"pubsub-file-X":`+quote(t, largeFile(t, root, other, "pubsub-file-X1", `{"x":1}`))+`}`)
		}},
		{"one file of two is missing", func(t *testing.T, root string, table pubsub.Table) string {
			return update("T", "a", `{"pubsub-file-W":`+quote(t, root+"/persist/pubsub-large/a/T/none")+
				`,"pubsub-file-X":`+quote(t, largeFile(t, root, table, "pubsub-file-X1", `{"x":1}`))+`}`)
		}},
		{"truncated", func(t *testing.T, root string, table pubsub.Table) string {
			return update("T", "a", `{"n":"`+strings.Repeat("x", 50_000)+`"}`)
		}},
		{"no JSON", func(t *testing.T, root string, table pubsub.Table) string {
			return update("T", "a", `{"n":`)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			table := pubsub.Table{Agent: "a", Topic: "T"}
			eve := listenPeer(t, root, table)
			d, reports := reporting(root)
			d.SetTimes(0, 10*time.Millisecond, 0)
			r := drivertest.Record(t, d, table)
			sub := eve.accept("T")
			sub.send("hello T false", update("T", "a", `{"n":1}`), "complete T")
			r.Until("synced")
			sub.send(c.update(t, root, table))
			if err := receive(t, reports); err == nil {
				t.Error("report is nil")
			}
			if exists(t, root+"/persist/pubsub-large/a/T/pubsub-file-X1") {
				t.Error("the file is still there")
			}
			if c.name == "file is elsewhere" && !exists(t, root+"/secret") {
				t.Error("a file outside of the large fields' folder is gone")
			}
			if c.name == "file is another table's" && !exists(t, root+"/persist/pubsub-large/a/Other/pubsub-file-X1") {
				t.Error("another table's file is gone")
			}
			eve.accept("T").send("hello T false", update("T", "y", `{}`), c.update(t, root, table), "complete T")
			wantLines(t, r.Until("create y {}"), "create y {}")
			eve.accept("T").send("hello T false", update("T", "a", `{"n":2}`), update("T", "y", `{}`), "complete T", "restarted T 1")
			wantLines(t, r.Until("restarted 1"), `modify a {"n":2}`, "restarted 1")
		})
	}
}

// What went while the publisher was away is told at the end of the next dump.
func TestSubscribeSweeps(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "a", Topic: "T"}
	eve := listenPeer(t, root, table)
	r := drivertest.Record(t, newDriver(t, root), table)
	sub := eve.accept("T")
	sub.send("hello T false", update("T", "a", `{}`), update("T", "b", `{}`), update("T", "c", `{}`), "complete T")
	r.Until("synced")
	check(t, sub.conn.Close())

	sub = eve.accept("T")
	sub.send("hello T false", update("T", "b", `{}`))
	check(t, sub.conn.Close()) // a dump that does not end says nothing of what is gone

	sub = eve.accept("T")
	sub.send("hello T false", update("T", "b", `{"n":1}`), "complete T", "restarted T 1")
	wantLines(t, r.Until("restarted 1"), `modify b {"n":1}`, "delete a", "delete c", "restarted 1")
}

// A counter of 0 is never told, so the one of the publisher before does not count for
// the next: it may not have said everything, whatever is gone from its dump.
func TestSubscribeForgetsCounter(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "a", Topic: "T"}
	eve := listenPeer(t, root, table)
	r := drivertest.Record(t, newDriver(t, root), table)
	sub := eve.accept("T")
	sub.send("hello T false", update("T", "a", `{}`), "complete T", "restarted T 1")
	r.Until("restarted 1")
	check(t, sub.conn.Close())

	sub = eve.accept("T")
	sub.send("hello T false", "complete T", update("T", "b", `{}`))
	wantLines(t, r.Until("create b {}"), "restarted 0", "delete a", "create b {}")
	check(t, sub.conn.Close())

	sub = eve.accept("T")
	sub.send("hello T false", update("T", "b", `{}`), "complete T", "restarted T 1")
	wantLines(t, r.Until("restarted 1"), "restarted 1")
}

// With no timer to help, a subscriber finds a publisher whose folders do not
// exist yet, and the one after it.
func TestSubscribeFindsPublisherAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		table pubsub.Table
	}{
		{"by socket", pubsub.Table{Agent: "a", Scope: "s", Topic: "T"}},
		{"by files", pubsub.Table{Topic: "T"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir() + "/not/there/yet"
			d := newDriver(t, root)
			d.SetTimes(0, 0, time.Hour)
			r := drivertest.Record(t, d, c.table)
			other := drivertest.Record(t, d, pubsub.Table{Agent: "a", Topic: "Other"})
			for range 3 {
				p, err := newDriver(t, root).Publish(c.table)
				check(t, err)
				set(t, p, "a", `{}`)
				r.Until("create a {}")
				check(t, p.Close())
				r.Until("delete a")
			}
			other.Stop()
		})
	}
}

func TestSubscribePersistentReadsFilesFirst(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "a", Topic: "T", Persistent: true}
	dir := root + "/persist/status/a/T"
	check(t, os.MkdirAll(dir, 0o700))
	for name, content := range map[string]string{
		"a.json": `{"n":1,"m":2}`, "b.json": `{"n":1}`, "empty.json": "", "torn.json": "{", "restarted": "4", "c.json.bak": `{}`,
	} {
		check(t, os.WriteFile(dir+"/"+name, []byte(content), 0o600))
	}
	eve := listenPeer(t, root, table)
	d, reports := reporting(root)
	r := drivertest.Record(t, d, table)
	wantLines(t, r.Until(`create b {"n":1}`), `create a {"m":2,"n":1}`, `create b {"n":1}`)
	if err := receive(t, reports); !strings.Contains(err.Error(), "torn.json") {
		t.Errorf("report is %v, want one on the torn file", err)
	}
	eve.accept("T").send("hello T true", update("T", "a", `{"m":2,"n":1}`), "complete T", "restarted T 4")
	wantLines(t, r.Until("restarted 4"), "delete b", "synced", "restarted 4")
}

// The onboarding client's tables come from files that it leaves when it exits.
func TestSubscribeFolder(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "zedclient", Topic: "OnboardingStatus", Persistent: true}
	dir := root + "/persist/status/zedclient/OnboardingStatus"
	put := func(name, content string) {
		t.Helper()
		check(t, os.WriteFile(dir+"/tmp1", []byte(content), 0o600))
		check(t, os.Rename(dir+"/tmp1", dir+"/"+name))
	}
	d, reports := reporting(root)
	d.SetTimes(0, 0, time.Hour)
	r := drivertest.Record(t, d, table)
	check(t, os.MkdirAll(dir, 0o700))
	r.Until("synced")
	put("global.json", `{"DeviceUUID":"u"}`)
	wantLines(t, r.Until(`create global {"DeviceUUID":"u"}`), `create global {"DeviceUUID":"u"}`)
	put("global.json", `{"DeviceUUID":"v"}`)
	put("restarted", "1")
	wantLines(t, r.Until("restarted 1"), `modify global {"DeviceUUID":"v"}`, "restarted 1")
	put("global.json", `{`)
	if err := receive(t, reports); !strings.Contains(err.Error(), "global.json") {
		t.Errorf("report is %v, want one on the file", err)
	}
	put("other.json", `{}`)
	wantLines(t, r.Until("create other {}"), "create other {}")
	check(t, os.RemoveAll(dir))
	lines := r.UntilAll("delete global", "delete other", "restarted 0")
	if len(lines) != 3 {
		t.Errorf("events are %q, want two deletes and the counter", lines)
	}
	if len(reports) != 0 {
		t.Errorf("the file is reported again: %v", <-reports)
	}
}
