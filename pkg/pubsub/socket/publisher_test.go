// SPDX-License-Identifier: Apache-2.0

package socket_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/drivertest"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
)

func set(t *testing.T, p pubsub.RawPublisher, key, value string) {
	t.Helper()
	if err := p.Set(key, []byte(value)); err != nil {
		t.Fatalf("set %s: %v", key, err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPublisherDatagrams(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "zedagent", Topic: "T"}
	p := drivertest.Publish(t, newDriver(t, root), table)
	set(t, p, "b", `{"Z":9007199254740993,"A":"<&>","M":{"y":null,"x":1.5}}`)
	set(t, p, "a", `{}`)
	check(t, p.SetRestarted(2))

	sub := dialPeer(t, root, table)
	sub.send("request T")
	sub.expect(
		"hello T false",
		"update T YQ== e30=",
		update("T", "b", `{"A":"\u003c\u0026\u003e","M":{"x":1.5,"y":null},"Z":9007199254740993}`),
		"complete T",
		"restarted T 2",
	)
	set(t, p, "a", `{"n":1}`)
	sub.expect("update T YQ== eyJuIjoxfQ==")
	check(t, p.SetRestarted(0))
	sub.expect("restarted T 0")
	check(t, p.Delete("b"))
	sub.expect("delete T Yg==")
	check(t, p.Close())
	sub.expect("delete T YQ==")
	sub.expectEnd()
}

func TestPublisherHelloOfPersistentTable(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "a", Scope: "s", Topic: "T", Persistent: true}
	drivertest.Publish(t, newDriver(t, root), table)
	sub := dialPeer(t, root, table)
	sub.send("request T")
	sub.expect("hello T true", "complete T")
}

// What changes while a subscriber does not read is merged: deletes first, then
// updates, then the restart counter.
func TestPublisherMergesForSlowSubscriber(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "a", Topic: "T"}
	p := drivertest.Publish(t, newDriver(t, root), table)
	const keys = 40 // with 40 kB each far more than a socket's buffer holds
	big := `{"n":"` + strings.Repeat("x", 40_000) + `"}`
	for i := range keys {
		set(t, p, fmt.Sprintf("k%02d", i), big)
	}
	sub := dialPeer(t, root, table)
	sub.send("request T")
	sub.expect("hello T false", update("T", "k00", big))

	for i := range 100 {
		set(t, p, "z", fmt.Sprintf(`{"n":%d}`, i))
	}
	check(t, p.SetRestarted(1))
	check(t, p.SetRestarted(2))
	set(t, p, "y", `{}`)
	check(t, p.Delete("k01"))
	for i := range keys - 1 {
		sub.expect(update("T", fmt.Sprintf("k%02d", i+1), big))
	}
	sub.expect("complete T", remove("T", "k01"), update("T", "y", `{}`), update("T", "z", `{"n":99}`), "restarted T 2")
}

func TestPublisherDropsStuckSubscriber(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "a", Topic: "T"}
	d, reports := reporting(root)
	d.SetTimes(20*time.Millisecond, 0, 0)
	p := drivertest.Publish(t, d, table)
	for i := range 40 {
		set(t, p, fmt.Sprintf("k%02d", i), `{"n":"`+strings.Repeat("x", 40_000)+`"}`)
	}
	sub := dialPeer(t, root, table)
	sub.send("request T")
	if err := receive(t, reports); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("report is %v, want a deadline exceeded", err)
	}
	sub.expectEnd()
	set(t, p, "z", `{}`)
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func TestPublisherRefusesOtherRequests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, request string }{
		{"other topic", "request U"},
		{"one word", "request"},
		{"third word", "request T x"},
		{"other command", "hello T"},
		{"too long", "request T" + strings.Repeat(" ", 1000)},
		{"bytes", "\x00\xff"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			table := pubsub.Table{Agent: "a", Topic: "T"}
			drivertest.Publish(t, newDriver(t, root), table)
			sub := dialPeer(t, root, table)
			sub.send(c.request)
			if n := sub.expectEnd(); n != 0 {
				t.Errorf("%d datagrams came, want none", n)
			}
			next := dialPeer(t, root, table)
			next.send("request T")
			next.expect("hello T false", "complete T")
		})
	}
}

var largeName = regexp.MustCompile(`^pubsub-file-User\d+$`)

// Every subscriber, and every send, has files of its own.
func TestPublisherLargeFields(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "a", Topic: "T"}
	p := drivertest.Publish(t, newDriver(t, root), table)
	set(t, p, "k", `{"pubsub-large-User":"data","B":1,"A":[{"pubsub-large-User":null}]}`)
	seen := map[string]bool{}
	for range 2 {
		sub := dialPeer(t, root, table)
		sub.send("request T")
		sub.expect("hello T false")
		outer, inner := largePaths(t, sub.receive())
		for path, want := range map[string]string{
			outer: `{"pubsub-large-User":"data"}`, inner: `{"pubsub-large-User":null}`,
		} {
			if dir, name := filepath.Split(path); dir != root+"/persist/pubsub-large/a/T/" || !largeName.MatchString(name) {
				t.Errorf("path of large field is %q", path)
			}
			content, err := os.ReadFile(path)
			check(t, err)
			if diff := cmp.Diff(want, string(content)); diff != "" {
				t.Errorf("content (-want +got):\n%s", diff)
			}
			wantMode(t, path, 0o600)
			if seen[path] {
				t.Errorf("file %q is sent twice", path)
			}
			seen[path] = true
		}
	}
	wantMode(t, root+"/persist/pubsub-large/a/T", os.ModeDir|0o755)
}

// largePaths takes the paths of the two large fields out of an update.
func largePaths(t *testing.T, datagram string) (outer, inner string) {
	t.Helper()
	words := strings.Split(datagram, " ")
	if len(words) != 4 || words[0] != "update" {
		t.Fatalf("received %q, want an update", datagram)
	}
	value, err := base64.StdEncoding.DecodeString(words[3])
	check(t, err)
	var v struct {
		A []struct {
			User string `json:"pubsub-file-User"`
		}
		User string `json:"pubsub-file-User"`
	}
	check(t, json.Unmarshal(value, &v))
	if len(v.A) != 1 || strings.Contains(string(value), "pubsub-large-User\"") {
		t.Fatalf("value is %s, want both large fields in files", value)
	}
	check(t, json.Unmarshal([]byte(v.User), &outer))
	check(t, json.Unmarshal([]byte(v.A[0].User), &inner))
	return outer, inner
}

// A publisher that cannot write a large field says so and serves the subscriber
// when it can again.
func TestPublisherLargeFieldsUnwritable(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "a", Topic: "T"}
	reports := make(chan error, 1)
	d := &socket.Driver{Root: root, Report: func(_ pubsub.Table, err error) {
		select {
		case reports <- err:
		default:
		}
	}}
	check(t, os.MkdirAll(root+"/persist/pubsub-large/a", 0o755))
	obstacle := root + "/persist/pubsub-large/a/T"
	check(t, os.WriteFile(obstacle, nil, 0o600))
	p := drivertest.Publish(t, d, table)
	set(t, p, "k", `{"pubsub-large-User":"data"}`)
	r := drivertest.Record(t, newDriver(t, root), table)
	if err := receive(t, reports); !strings.Contains(err.Error(), `send key "k"`) {
		t.Errorf("report is %v, want one on key k", err)
	}
	check(t, os.Remove(obstacle))
	r.Until(`create k {"pubsub-large-User":"data"}`)
}

func TestPublisherRemovesStaleLargeFields(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "a", Topic: "T"}
	stale := largeFile(t, root, table, "pubsub-file-User1", "{}")
	fresh := largeFile(t, root, table, "pubsub-file-User2", "{}")
	other := largeFile(t, root, table, "other", "{}")
	old := time.Now().Add(-2 * socket.StaleLarge)
	check(t, os.Chtimes(stale, old, old))
	check(t, os.Chtimes(other, old, old))
	drivertest.Publish(t, newDriver(t, root), table)
	if exists(t, stale) || !exists(t, fresh) || !exists(t, other) {
		t.Errorf("there are: stale %t, fresh %t, other %t; want the last two", exists(t, stale), exists(t, fresh), exists(t, other))
	}
}

// What was in flight when the process was killed is too young for the next one's
// start, and goes later.
func TestPublisherRemovesLargeFieldsOfCrash(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "a", Topic: "T"}
	left := largeFile(t, root, table, "pubsub-file-User1", "{}")
	other := largeFile(t, root, table, "other", "{}")
	d := newDriver(t, root)
	d.SetStale(50 * time.Millisecond)
	drivertest.Publish(t, d, table)
	late := time.After(10 * time.Second)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for exists(t, left) {
		select {
		case <-look.C:
		case <-late:
			t.Fatal("the file stays")
		}
	}
	if !exists(t, other) {
		t.Error("another's file was removed")
	}
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	check(t, err)
	if info.Mode() != want {
		t.Errorf("mode of %q is %v, want %v", path, info.Mode(), want)
	}
}

// Close gives a subscriber that takes nothing a second, however long it may take
// otherwise.
func TestCloseWithStuckSubscriber(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	table := pubsub.Table{Agent: "a", Topic: "T"}
	d, reports := reporting(root)
	d.SetTimes(time.Hour, 0, 0)
	p := drivertest.Publish(t, d, table)
	big := `{"n":"` + strings.Repeat("x", 40_000) + `"}`
	for i := range 40 {
		set(t, p, fmt.Sprintf("k%02d", i), big)
	}
	stuck := dialPeer(t, root, table)
	stuck.send("request T")
	stuck.expect("hello T false", update("T", "k00", big))
	silent := dialPeer(t, root, table)
	check(t, p.Close())
	if err := receive(t, reports); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("report is %v, want a deadline exceeded", err)
	}
	silent.expectEnd()
	if exists(t, socketPath(root, table)) {
		t.Error("the socket is still there")
	}
}
