// SPDX-License-Identifier: Apache-2.0

package socket_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/drivertest"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
)

// tree returns the files below a folder with their modes and, for regular ones,
// their contents.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	got := map[string]string{}
	check(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(content)
		}
		got[strings.TrimPrefix(path, root)] = text
		return nil
	}))
	return got
}

// groupOfOurs is a group that files can be given to.
func groupOfOurs() int {
	if os.Geteuid() == 0 {
		return 1 // root can give to any
	}
	return os.Getgid()
}

func TestFiles(t *testing.T) {
	t.Parallel()
	const value = `{"Z":1,"A":2,"pubsub-large-X":"inline"}`
	for _, c := range []struct {
		name  string
		table pubsub.Table
		group int               // that may follow it
		open  map[string]string // while it is published
		after map[string]string // after Close
	}{
		{
			name:  "table",
			table: pubsub.Table{Agent: "a", Topic: "T"},
			open: map[string]string{
				"/var": "drwxr-xr-x", "/var/run": "drwxr-xr-x", "/var/run/a": "drwx------", "/var/run/a/T": "drwx------",
				"/var/run/a/T.sock": "Srwxr-xr-x", "/var/run/a/T/k.json": "-rw------- " + value,
				"/var/run/a/T/restarted": "-rw------- 3",
			},
			after: map[string]string{
				"/var": "drwxr-xr-x", "/var/run": "drwxr-xr-x", "/var/run/a": "drwx------", "/var/run/a/T": "drwx------",
			},
		},
		{
			name:  "persistent table with scope",
			table: pubsub.Table{Agent: "a", Scope: "s", Topic: "T", Persistent: true},
			open: map[string]string{
				"/var": "drwxr-xr-x", "/var/run": "drwxr-xr-x", "/var/run/a": "drwxr-xr-x", "/var/run/a/s": "drwx------",
				"/var/run/a/s/T.sock": "Srwxr-xr-x",
				"/persist":            "drwxr-xr-x", "/persist/status": "drwxr-xr-x", "/persist/status/a": "drwxr-xr-x",
				"/persist/status/a/s": "drwxr-xr-x", "/persist/status/a/s/T": "drwx------",
				"/persist/status/a/s/T/k.json":     "-rw------- " + value,
				"/persist/status/a/s/T/k.json.bak": `-rw------- {"Z":0}`,
				"/persist/status/a/s/T/restarted":  "-rw------- 3",
			},
			after: map[string]string{
				"/var": "drwxr-xr-x", "/var/run": "drwxr-xr-x", "/var/run/a": "drwxr-xr-x", "/var/run/a/s": "drwx------",
				"/persist": "drwxr-xr-x", "/persist/status": "drwxr-xr-x", "/persist/status/a": "drwxr-xr-x",
				"/persist/status/a/s": "drwxr-xr-x", "/persist/status/a/s/T": "drwx------",
				"/persist/status/a/s/T/k.json":     "-rw------- " + value,
				"/persist/status/a/s/T/k.json.bak": `-rw------- {"Z":0}`,
			},
		},
		{
			name:  "table that a group may follow",
			table: pubsub.Table{Agent: "a", Topic: "T"},
			group: groupOfOurs(),
			open: map[string]string{
				"/var": "drwxr-xr-x", "/var/run": "drwxr-xr-x", "/var/run/a": "drwxr-x---", "/var/run/a/T": "drwx------",
				"/var/run/a/T.sock": "Srw-rw----", "/var/run/a/T/k.json": "-rw------- " + value,
				"/var/run/a/T/restarted": "-rw------- 3",
			},
			after: map[string]string{
				"/var": "drwxr-xr-x", "/var/run": "drwxr-xr-x", "/var/run/a": "drwxr-x---", "/var/run/a/T": "drwx------",
			},
		},
		{
			name:  "persistent table that a group may follow",
			table: pubsub.Table{Agent: "a", Topic: "T", Persistent: true},
			group: groupOfOurs(),
			open: map[string]string{
				"/var": "drwxr-xr-x", "/var/run": "drwxr-xr-x", "/var/run/a": "drwxr-x---", "/var/run/a/T.sock": "Srw-rw----",
				"/persist": "drwxr-xr-x", "/persist/status": "drwxr-xr-x", "/persist/status/a": "drwxr-xr-x",
				"/persist/status/a/T":            "drwxr-x---",
				"/persist/status/a/T/k.json":     "-rw-r----- " + value,
				"/persist/status/a/T/k.json.bak": `-rw------- {"Z":0}`,
				"/persist/status/a/T/restarted":  "-rw-r----- 3",
			},
			after: map[string]string{
				"/var": "drwxr-xr-x", "/var/run": "drwxr-xr-x", "/var/run/a": "drwxr-x---",
				"/persist": "drwxr-xr-x", "/persist/status": "drwxr-xr-x", "/persist/status/a": "drwxr-xr-x",
				"/persist/status/a/T":            "drwxr-x---",
				"/persist/status/a/T/k.json":     "-rw-r----- " + value,
				"/persist/status/a/T/k.json.bak": `-rw------- {"Z":0}`,
			},
		},
		{
			name:  "global table",
			table: pubsub.Table{Topic: "T"},
			open: map[string]string{
				"/run": "drwxr-xr-x", "/run/global": "drwxr-xr-x", "/run/global/T": "drwx------",
				"/run/global/T/k.json": "-rw------- " + value, "/run/global/T/restarted": "-rw------- 3",
			},
			after: map[string]string{
				"/run": "drwxr-xr-x", "/run/global": "drwxr-xr-x", "/run/global/T": "drwx------",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			driver := newDriver(t, root)
			driver.Group = c.group
			p := drivertest.Publish(t, driver, c.table)
			set(t, p, "k", `{"Z":0}`)
			set(t, p, "k", value)
			set(t, p, "gone", `{}`)
			check(t, p.Delete("gone"))
			check(t, p.SetRestarted(3))
			if diff := cmp.Diff(c.open, tree(t, root)); diff != "" {
				t.Errorf("files while published (-want +got):\n%s", diff)
			}
			check(t, p.Close())
			if diff := cmp.Diff(c.after, tree(t, root)); diff != "" {
				t.Errorf("files after close (-want +got):\n%s", diff)
			}
		})
	}
}

// crashed writes what a publisher that was killed leaves: files and a socket on
// which nobody listens.
func crashed(t *testing.T, root string, table pubsub.Table, dir string, files map[string]string) {
	t.Helper()
	check(t, listenAt(t, socketPath(root, table)).Close())
	check(t, os.MkdirAll(root+dir, 0o700))
	for name, content := range files {
		check(t, os.WriteFile(filepath.Join(root+dir, name), []byte(content), 0o600))
	}
}

func TestPublishAfterCrash(t *testing.T) {
	t.Parallel()
	plain := pubsub.Table{Agent: "a", Topic: "T"}
	persistent := pubsub.Table{Agent: "a", Topic: "T", Persistent: true}
	for _, c := range []struct {
		name      string
		table     pubsub.Table
		files     map[string]string
		values    map[string]string
		restarted int
		reports   int
	}{
		{"nothing", plain, nil, map[string]string{}, 0, 0},
		{"values", plain, map[string]string{"k.json": `{"n":1}`, "restarted": "7"}, map[string]string{"k": `{"n":1}`}, 7, 0},
		{"empty counter", plain, map[string]string{"restarted": ""}, map[string]string{}, 1, 0},
		{"odd counter", plain, map[string]string{"restarted": "-3x"}, map[string]string{}, 1, 0},
		{"empty file", plain, map[string]string{"k.json": "", "l.json": `{}`}, map[string]string{"l": `{}`}, 0, 0},
		{"torn file", plain, map[string]string{"k.json": `{"n":`, "l.json": `{}`}, map[string]string{"l": `{}`}, 0, 1},
		{"other files", plain, map[string]string{"tmp123": `{}`, "tmp.txt": "", "k.json.bak": `{}`, "k.txt": `{}`}, map[string]string{}, 0, 0},
		{"key that looks unfinished", plain, map[string]string{"tmp123.json": `{}`}, map[string]string{"tmp123": `{}`}, 0, 0},
		{"backup alone", persistent, map[string]string{"k.json.bak": `{"n":1}`}, map[string]string{"k": `{"n":1}`}, 0, 0},
		{"backup and empty", persistent, map[string]string{"k.json.bak": `{"n":1}`, "k.json": ""}, map[string]string{"k": `{"n":1}`}, 0, 0},
		{"backup and torn", persistent, map[string]string{"k.json.bak": `{"n":1}`, "k.json": `{"n"`}, map[string]string{"k": `{"n":1}`}, 0, 0},
		{"backup and value", persistent, map[string]string{"k.json.bak": `{"n":1}`, "k.json": `{"n":2}`}, map[string]string{"k": `{"n":2}`}, 0, 0},
		{"torn backup", persistent, map[string]string{"k.json.bak": `{"n"`}, map[string]string{}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			dir := "/var/run/a/T"
			if c.table.Persistent {
				dir = "/persist/status/a/T"
			}
			crashed(t, root, c.table, dir, c.files)
			var reports []error
			d := &socket.Driver{Root: root, Report: func(_ pubsub.Table, err error) { reports = append(reports, err) }}
			p, err := d.Publish(c.table)
			check(t, err)
			got := map[string]string{}
			for k, v := range p.Values() {
				got[k] = string(v)
				content, err := os.ReadFile(filepath.Join(root+dir, k+".json"))
				check(t, err)
				if string(content) != string(v) {
					t.Errorf("file of %s is %q, want %q", k, content, v)
				}
			}
			if diff := cmp.Diff(c.values, got); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
			if n := p.Restarted(); n != c.restarted {
				t.Errorf("restart counter is %d, want %d", n, c.restarted)
			}
			for name := range c.files {
				unfinished := strings.HasPrefix(name, "tmp") && !strings.Contains(name, ".")
				if there := exists(t, filepath.Join(root+dir, name)); there == unfinished {
					t.Errorf("%s is there: %t", name, there)
				}
			}
			check(t, p.Close())
			if len(reports) != c.reports {
				t.Errorf("reports are %v, want %d", reports, c.reports)
			}
		})
	}
}

// A publisher that is not ours, such as an EVE agent, locks nothing but listens.
func TestPublishBesideForeignPublisher(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "a", Topic: "T", Persistent: true}
	listenPeer(t, root, table)
	backup := root + "/persist/status/a/T/k.json.bak"
	check(t, os.MkdirAll(filepath.Dir(backup), 0o700))
	check(t, os.WriteFile(backup, []byte(`{}`), 0o600))
	if _, err := newDriver(t, root).Publish(table); !errors.Is(err, pubsub.ErrInUse) {
		t.Errorf("publish: error is %v, want ErrInUse", err)
	}
	if exists(t, filepath.Dir(backup)+"/k.json") || !exists(t, socketPath(root, table)) {
		t.Error("the other publisher's files were changed")
	}
}

// Without a socket to tell, the lock on the table's files does.
func TestPublishGlobalTableTwice(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Topic: "T"}
	p := drivertest.Publish(t, newDriver(t, root), table)
	if _, err := newDriver(t, root).Publish(table); !errors.Is(err, pubsub.ErrInUse) {
		t.Errorf("publish: error is %v, want ErrInUse", err)
	}
	check(t, p.Close())
	drivertest.Publish(t, newDriver(t, root), table)
}

// Of many that find the socket of a crashed publisher, one takes its place.
func TestPublishAfterCrashRace(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "a", Topic: "T"}
	crashed(t, root, table, "/var/run/a/T", map[string]string{"k.json": `{"n":1}`})
	const tries = 8
	errs := make([]error, tries)
	var wg sync.WaitGroup
	for i := range tries {
		wg.Go(func() {
			p, err := newDriver(t, root).Publish(table)
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
	wantLines(t, drivertest.Record(t, newDriver(t, root), table).Until("synced"), `create k {"n":1}`, "synced")
}

func TestSetEqualValueWritesNothing(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	p := drivertest.Publish(t, newDriver(t, root), pubsub.Table{Agent: "a", Topic: "T"})
	set(t, p, "k", `{"n":1}`)
	before, err := os.Stat(root + "/var/run/a/T/k.json")
	check(t, err)
	set(t, p, "k", `{"n":1}`)
	after, err := os.Stat(root + "/var/run/a/T/k.json")
	check(t, err)
	if !os.SameFile(before, after) {
		t.Error("the file was written again")
	}
	set(t, p, "k", `{"n":2}`)
	if after, err = os.Stat(root + "/var/run/a/T/k.json"); err != nil || os.SameFile(before, after) {
		t.Errorf("the file was not written anew, error %v", err)
	}
}

// A value that does not get to the disk does not get anywhere.
func TestSetUnwritable(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "a", Topic: "T"}
	p := drivertest.Publish(t, newDriver(t, root), table)
	r := drivertest.Record(t, newDriver(t, root), table)
	r.Until("synced")
	// A folder that is not empty cannot be replaced or removed, not even by root.
	check(t, os.MkdirAll(root+"/var/run/a/T/k.json/in-the-way", 0o700))
	check(t, os.MkdirAll(root+"/var/run/a/T/restarted/in-the-way", 0o700))
	for what, err := range map[string]error{
		"set": p.Set("k", []byte(`{}`)), "delete": p.Delete("k"), "set restart counter": p.SetRestarted(1),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	first, second := p.Set("k", []byte(`{}`)), p.Set("k", []byte(`{}`))
	if first.Error() != second.Error() || !strings.Contains(first.Error(), "k.json") || !errors.Is(first, syscall.EISDIR) && !errors.Is(first, syscall.EEXIST) {
		t.Errorf("errors are %q and %q, want the same, on k.json", first, second)
	}
	set(t, p, "z", `{}`)
	if diff := cmp.Diff([]string{"create z {}"}, r.Until("create z {}")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if got := p.Values(); len(got) != 1 || p.Restarted() != 0 {
		t.Errorf("values are %q, restart counter is %d, want z and 0", got, p.Restarted())
	}
	if left, _ := filepath.Glob(root + "/var/run/a/T/tmp*"); len(left) > 0 {
		t.Errorf("temporary files are left: %q", left)
	}
	check(t, os.RemoveAll(root+"/var/run/a/T/restarted"))
}

func TestSetDiskFull(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() { check(t, syscall.Unmount(root, syscall.MNT_DETACH)) })
	table := pubsub.Table{Agent: "a", Topic: "T"}
	p := drivertest.Publish(t, newDriver(t, root), table)
	half := `{"n":"` + strings.Repeat("x", 40_000) + `"}`
	set(t, p, "a", half)
	for _, key := range []string{"a", "b"} {
		if err := p.Set(key, []byte(half[:len(half)-2]+`y"}`)); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("set %s: error is %v, want ENOSPC", key, err)
		}
	}
	got := drivertest.Record(t, newDriver(t, root), table).Until("synced")
	if diff := cmp.Diff([]string{"create a " + half, "synced"}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestRelativeRoot(t *testing.T) {
	t.Parallel()
	d := newDriver(t, "relative")
	table := pubsub.Table{Agent: "a", Topic: "T"}
	if _, err := d.Publish(table); err == nil {
		t.Error("publish: no error")
	}
	if err := d.Subscribe(t.Context(), table, func(pubsub.RawEvent) {}); err == nil {
		t.Error("subscribe: no error")
	}
}
