// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lf-edge/eve-metadata/examples"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// kills is how often each of the processes is killed.
const kills = 20

// split: the service as three processes, of which the one that guests talk to has no privilege; and any of
// them can be killed while guests ask, who lose no more than what was in flight.
//
// Network: the example's; web and db ask all the time, each on a connection of its own.
//
// Phases: start split, as another user; look at what msrv may do; kill -9 feed, nim and msrv in turn, and
// wait for each to be back; ask again; end the service, by a signal and by kill -9, and see all of it end.
func split(t *testing.T, binary string) {
	w := newScene(t, binary, nil)
	letOthersPass(t, w.Root)
	if err := os.CopyFS(w.Manifests, examples.FS); err != nil {
		t.Fatal(err)
	}
	w.Start("--split", "--user", "nobody")
	guests := []*guest{w.guest("web"), w.guest("db")}
	w.checkPrivileges()
	before := w.state()
	for _, process := range []string{"feed", "nim", "msrv"} {
		asking := startAsking(t, guests)
		for range kills {
			w.killChild(process)
		}
		lost := asking.stop()
		// Of msrv's, each guest has one request at a time that may be lost with it. The others hold none.
		if allowed := kills * len(guests); len(lost) > 0 && (process != "msrv" || len(lost) > allowed) {
			t.Errorf("%d times kill -9 of %s: %d of %d requests lost, %v", kills, process, len(lost), asking.asked, errors.Join(lost...))
		}
		if refused := countRefused(lost); refused > 0 {
			t.Errorf("kill -9 of %s: %d connections were refused", process, refused)
		}
		t.Logf("%d times kill -9 of %s: %d requests asked, %d lost", kills, process, asking.asked, len(lost))
	}
	after := w.state()
	for name, id := range before.Namespaces {
		if after.Namespaces[name] != id {
			t.Errorf("namespace %s is another one", name)
		}
	}
	for _, g := range guests {
		world.Must(t, g.expect("/latest/meta-data/local-ipv4", http.StatusOK, g.address()))
	}
	if err := w.Service.Stop(); err != nil {
		t.Errorf("stop service: %v", err)
	}
	w.awaitNoChildren()
	w.Start("--split", "--user", "nobody")
	if err := w.Service.Kill(); err != nil {
		t.Fatal(err)
	}
	w.awaitNoChildren()
}

// awaitNoChildren returns when none of the service's processes is left.
func (w *scene) awaitNoChildren() {
	w.T.Helper()
	w.Await("end of the service's processes", func() error {
		for _, process := range []string{"feed", "nim", "msrv"} {
			if pid, err := w.child(process); err == nil {
				return fmt.Errorf("%s is there, as process %d", process, pid)
			}
		}
		return nil
	})
}

// letOthersPass lets other users through a temporary folder and those above it.
func letOthersPass(t *testing.T, path string) {
	t.Helper()
	for ; path != filepath.Clean(os.TempDir()); path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o711); err != nil {
			t.Fatal(err)
		}
	}
}

// child finds one of the service's processes, by the command that it runs.
func (w *scene) child(name string) (pid int, err error) {
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	begin := strings.Join(slices.Concat([]string{w.Binary}, strings.Fields(name), []string{"--root", w.Root, ""}), "\x00")
	for _, path := range all {
		line, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(line), begin) {
			continue // it has ended, or is something else
		}
		return strconv.Atoi(filepath.Base(filepath.Dir(path)))
	}
	return 0, fmt.Errorf("no process runs %s: %w", name, fs.ErrNotExist)
}

// killChild kills one of the service's processes and waits until the next one does what it is there for.
func (w *scene) killChild(name string) {
	w.T.Helper()
	ready := w.Journal.Count(map[string]any{"msg": "ready"})
	old, err := w.child(name)
	if err == nil {
		err = syscall.Kill(old, syscall.SIGKILL)
	}
	if err != nil {
		w.T.Fatal(err)
	}
	w.AwaitLogs(ready+1, map[string]any{"msg": "ready"})
}

// checkPrivileges looks at what the process has that guests talk to.
func (w *scene) checkPrivileges() {
	w.T.Helper()
	pid, err := w.child("msrv")
	if err != nil {
		w.T.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		w.T.Fatal(err)
	}
	has := make(map[string]string)
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		has[name] = strings.Join(strings.Fields(value), " ")
	}
	const none = "0000000000000000"
	want := map[string]string{
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none, "NoNewPrivs": "1", "Seccomp": "2",
	}
	if othersHere() {
		want["Uid"], want["Gid"], want["Groups"] = "65534 65534 65534 65534", "65534 65534 65534 65534", "65534"
	}
	for name, value := range want {
		if has[name] != value {
			w.T.Errorf("msrv has %s %q, want %q", name, has[name], value)
		}
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/etc", pid)); !errors.Is(err, fs.ErrNotExist) {
		w.T.Errorf("msrv sees /etc: %v", err)
	}
	w.checkServers()
}

// checkServers looks at who the DHCP and DNS servers are, which guests talk to as well.
func (w *scene) checkServers() {
	w.T.Helper()
	u, err := user.Lookup("dnsmasq")
	if err != nil || !othersHere() {
		return // they are who started them
	}
	w.Await("servers", func() error {
		servers := w.servers()
		if len(servers) != 2 {
			return fmt.Errorf("there are %d, want 2", len(servers))
		}
		for _, pid := range servers {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if err != nil {
				return err
			}
			if !strings.Contains(string(status), "\nUid:\t"+u.Uid+"\t") {
				return fmt.Errorf("process %d is not user %s", pid, u.Uid)
			}
		}
		return nil
	})
}

// othersHere says whether there are other users than root: in an ordinary user's namespace there are none.
func othersHere() bool {
	ids, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(ids)), " ") == "0 0 4294967295"
}

// asking is guests that ask all the time.
type asking struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	asked int
	lost  []error
}

// startAsking has each guest ask for its address, on one connection after the other, until stop.
func startAsking(t *testing.T, guests []*guest) *asking {
	t.Helper()
	return startQuestions(t, guests, func(g *guest) error {
		return g.expect("/latest/meta-data/local-ipv4", http.StatusOK, g.address())
	})
}

// pause leaves ports for all the connections of a test: each is kept for a minute after its end.
func (a *asking) pause(ctx context.Context) {
	select {
	case <-time.After(2 * time.Millisecond):
	case <-ctx.Done():
	}
}

func (a *asking) note(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	if err != nil {
		a.lost = append(a.lost, err)
	}
}

// stop returns what went wrong.
func (a *asking) stop() []error {
	a.cancel()
	a.wg.Wait()
	return a.lost
}

func countRefused(errs []error) int {
	n := 0
	for _, err := range errs {
		if errors.Is(err, syscall.ECONNREFUSED) {
			n++
		}
	}
	return n
}
