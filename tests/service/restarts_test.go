// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lf-edge/eve-metadata/examples"
	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/nim/intake"
	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// restarts: guests read what `render` shows, all of it and byte for byte; and neither a restart, nor a
// crash, nor somebody who starts a second service on the same root changes anything that a guest or the
// kernel can see.
//
// Network: the example: two networks with the same subnet, two guests with the same address, one guest
// in both networks.
//
// Phases: read everything as everybody and compare with `render`; start a second service, which is
// refused; kill -9 and start; SIGTERM and start; after each, read everything again and look at
// namespaces, links, addresses, drives and topics.
func restarts(t *testing.T, binary string) {
	w := newScene(t, binary, nil)
	if err := os.CopyFS(w.Manifests, examples.FS); err != nil {
		t.Fatal(err)
	}
	w.Start()
	guests := map[string]*guest{
		"web": w.guest("web"), "db": w.guest("db"),
		"edge in blue": w.guestOn("edge", "eth0"), "edge in green": w.guestOn("edge", "eth1"),
	}
	if web, db := guests["web"].address(), guests["db"].address(); web != db {
		t.Fatalf("web has the address %s and db %s, want the same in two networks", web, db)
	}
	listed := map[string]map[string]answer{"web": w.listed("web"), "db": w.listed("db"), "edge": w.listed("edge")}
	read := w.crawl(guests, listed)
	for name, answers := range read {
		w.compare(name, guests[name].app, listed[guests[name].app], answers)
	}
	before := w.state()
	if len(before.Namespaces) != 2 || len(before.Drives) != 1 || len(before.Apps) != 3 {
		t.Fatalf("%d namespaces, %d drives, %d apps; want 2, 1, 3", len(before.Namespaces), len(before.Drives), len(before.Apps))
	}
	same := func(after string) {
		t.Helper()
		if diff := cmp.Diff(before, w.state(), cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
			t.Errorf("state after %s (-before +after):\n%s", after, elide(diff))
		}
		if diff := cmp.Diff(read, w.crawl(guests, listed)); diff != "" {
			t.Errorf("what guests read after %s (-before +after):\n%s", after, elide(diff))
		}
	}
	for _, args := range [][]string{nil, {"--ephemeral"}} {
		w.refuseSecond(args)
		same(strings.Join(append([]string{"the attempt of a second service"}, args...), " "))
	}
	for range 2 {
		if err := w.Service.Kill(); err != nil {
			t.Fatal(err)
		}
		w.Start()
		same("kill -9")
	}
	if err := w.Service.Stop(); err != nil {
		t.Errorf("stop service: %v", err)
	}
	w.Start()
	same("SIGTERM")
}

// refuseSecond starts another service on the same root, which has to say why it will not.
func (w *scene) refuseSecond(args []string) {
	w.T.Helper()
	_, err := w.Run(append([]string{"run", "--root", w.Root}, args...)...)
	exit, refused := errors.AsType[*exec.ExitError](err)
	if !refused || exit.ExitCode() != 1 || !strings.Contains(err.Error(), "another eve-metadata is running here, stop it or choose another --root") {
		w.T.Errorf("second service: %v; want exit code 1 and the reason", err)
	}
}

// listed is what `render` lists for an app, by path: the type, and a body of which only the size is right.
func (w *scene) listed(app string) map[string]answer {
	w.T.Helper()
	list, err := w.Run("render", "--root", w.Root, app)
	if err != nil {
		w.T.Fatal(err)
	}
	documents := make(map[string]answer)
	for line := range strings.Lines(string(list)) {
		path, rest, _ := strings.Cut(line, "  ")
		size, kind, _ := strings.Cut(strings.TrimSpace(rest), " ")
		n, err := strconv.Atoi(size)
		if err != nil {
			w.T.Fatalf("render %s: %q: %v", app, line, err)
		}
		documents[path] = answer{Status: http.StatusOK, Type: strings.TrimSpace(kind), Body: strings.Repeat("?", n)}
	}
	return documents
}

// crawl has every guest read everything that is there for it.
func (w *scene) crawl(guests map[string]*guest, listed map[string]map[string]answer) map[string]map[string]answer {
	w.T.Helper()
	all := make(map[string]map[string]answer)
	for name, g := range guests {
		all[name] = g.askAll(w.T, slices.Collect(maps.Keys(listed[g.app])), 4)
	}
	return all
}

// compare compares what a guest reads with what `render` shows: status, type and size of everything,
// and every byte of the newest and the oldest version of each dialect.
func (w *scene) compare(name, app string, listed, read map[string]answer) {
	w.T.Helper()
	for path, a := range read {
		want := listed[path]
		if a.Status != want.Status || a.Type != want.Type || len(a.Body) != len(want.Body) || a.ETag == "" {
			w.T.Errorf("%s asks %s: status %d, type %q, %d bytes, ETag %s; rendered are %d bytes of type %q",
				name, path, a.Status, a.Type, len(a.Body), a.ETag, len(want.Body), want.Type)
		}
		if !slices.ContainsFunc([]string{"/openstack/latest", "/openstack/2012", "/latest", "/ec2/1.0", "/nocloud"}, func(tree string) bool {
			return strings.HasPrefix(path, tree)
		}) {
			continue
		}
		body, err := w.Run("render", "--root", w.Root, app, path)
		if err != nil {
			w.T.Fatal(err)
		}
		if diff := cmp.Diff(string(body), a.Body); diff != "" {
			w.T.Errorf("%s asks %s: body (-rendered +read):\n%s", name, path, elide(diff))
		}
	}
}

// state is what there is besides answers.
type state struct {
	Namespaces map[string]uint64         // inodes, by name
	Networks   map[string]plan.Namespace // links and addresses, by name
	Drives     map[string]file
	Apps       map[string]eve.AppNetworkStatus
}

type file struct {
	Body    string
	Changed time.Time
}

// state looks at everything.
func (w *scene) state() state {
	w.T.Helper()
	s := state{map[string]uint64{}, map[string]plan.Namespace{}, map[string]file{}, w.Apps()}
	k := kernel.New(w.Root)
	names, err := k.Names()
	if err != nil {
		w.T.Fatal(err)
	}
	for _, name := range names {
		session, err := k.Open(plan.Network{Namespace: name, Bridge: plan.Bridge{Name: intake.BridgeName}})
		if err != nil {
			w.T.Fatal(err)
		}
		seen, err := session.Observe()
		s.Namespaces[name], s.Networks[name] = session.ID(), seen[name]
		if err := errors.Join(err, session.Close()); err != nil {
			w.T.Fatal(err)
		}
	}
	drives := os.DirFS(msrv.Drives(w.Root))
	err = fs.WalkDir(drives, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		body, err := fs.ReadFile(drives, path)
		s.Drives[filepath.Base(path)] = file{string(body), info.ModTime()}
		return err
	})
	if err != nil {
		w.T.Fatal(err)
	}
	return s
}
