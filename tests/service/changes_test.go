// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/lf-edge/eve-metadata/tests/tool"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// changes: what is saved is served, at once and without a restart; what is wrong is refused with its
// place, and costs nobody anything.
//
// Network: blue with web, which has a drive, and its neighbour pump; green comes later.
//
// Phases: change; break; repair; lose and find the whole folder; add a network with an app; remove; change
// and remove while no service runs.
func changes(t *testing.T, binary string) {
	tool.Need(t, "bsdtar", "libarchive-tools")
	web := func(more ...string) string {
		return world.AppYAML("web", "blue", "10.11.12.5", append([]string{"metadataType: drive"}, more...)...)
	}
	w := newScene(t, binary, map[string]string{
		"blue.yaml": world.NetYAML("blue", "10.11.12.0/24"),
		"web.yaml":  web(),
		"pump.yaml": world.AppYAML("pump", "blue", "10.11.12.6"),
	})
	w.Start()
	g, pump := w.guest("web"), w.guest("pump")
	reads := func(want string) {
		t.Helper()
		w.Await("web reads "+want, func() error {
			errs := make([]error, 0, 4)
			for _, path := range userDataPaths() {
				errs = append(errs, g.expect(path, http.StatusOK, want))
			}
			onDrive, err := w.OnDrive(world.UUIDOf("web"), "user-data")
			if err == nil && string(onDrive) != want {
				err = fmt.Errorf("on the drive is %q", onDrive)
			}
			return errors.Join(append(errs, err)...)
		})
	}
	reads("I am web")

	w.Save("web.yaml", web("userData: changed", "hostname: changed"))
	reads("changed")
	world.Must(t, g.expect("/latest/meta-data/hostname", http.StatusOK, "changed"))

	w.Save("web.yaml", web("userData: broken", "colour: blue"))
	w.AwaitLog(map[string]any{"level": "error", "file": "web.yaml", "line": 3.0, "error": "web.yaml:3: colour: "})
	reads("changed")
	w.Save("pump.yaml", world.AppYAML("pump", "blue", "10.11.12.6", "userData: others go on"))
	w.Await("pump's change", func() error { return pump.expect("/latest/user-data", http.StatusOK, "others go on") })
	reads("changed")

	w.Save("web.yaml", web("userData: repaired"))
	reads("repaired")
	w.AwaitLog(map[string]any{"msg": "manifests: no problem any more"})

	if err := os.Rename(w.Manifests, w.Manifests+".away"); err != nil {
		t.Fatal(err)
	}
	w.AwaitLog(map[string]any{"level": "error", "error": w.Manifests + `": no such file or directory`})
	reads("repaired")
	if err := os.Rename(w.Manifests+".away", w.Manifests); err != nil {
		t.Fatal(err)
	}
	w.Save("web.yaml", web("userData: found again"))
	reads("found again")

	w.Save("green.yaml", world.NetYAML("green", "10.11.12.0/24")+"---\n"+world.AppYAML("db", "green", "10.11.12.5"))
	db := w.guest("db")
	w.Await("db's user data", func() error { return db.expect("/latest/user-data", http.StatusOK, "I am db") })
	reads("found again")

	w.Remove("web.yaml")
	w.Await("removal of web", func() error {
		if _, there := w.Apps()["web"]; there || g.attached() || w.Drive(world.UUIDOf("web")) != nil {
			return fmt.Errorf("status: %t, attached: %t, drive of %d bytes", there, g.attached(), len(w.Drive(world.UUIDOf("web"))))
		}
		return nil
	})
	world.Must(t, pump.expect("/latest/user-data", http.StatusOK, "others go on"), db.expect("/latest/user-data", http.StatusOK, "I am db"))

	world.Must(t, w.Service.Kill())
	w.Remove("green.yaml")
	w.Save("pump.yaml", world.AppYAML("pump", "blue", "10.11.12.6", "userData: changed meanwhile"))
	w.Start()
	world.Must(t, pump.expect("/latest/user-data", http.StatusOK, "changed meanwhile"))
	if s := w.state(); len(s.Namespaces) != 1 || len(s.Apps) != 1 {
		t.Errorf("%d networks, %d apps; want blue and pump alone", len(s.Namespaces), len(s.Apps))
	}
	w.Await("end of db's network", func() error { // the kernel takes its time over a namespace
		if db.attached() {
			return errors.New("db is still attached")
		}
		return nil
	})
	world.Must(t, w.Service.Stop())
}

// kinds: metadataType decides what an app gets, and activate whether it is there at all, at any time.
//
// Network: one with web and its neighbour pump.
//
// Phases: drive, openstack, none, drive; off, on.
func kinds(t *testing.T, binary string) {
	web := func(more ...string) string {
		return world.AppYAML("web", "blue", "", append(more, "adapters: [{name: eth0, network: blue}]")...)
	}
	w := newScene(t, binary, map[string]string{
		"blue.yaml": world.NetYAML("blue", "10.11.12.0/24"),
		"web.yaml":  web("metadataType: drive"),
		"pump.yaml": world.AppYAML("pump", "blue", "10.11.12.6"),
	})
	w.Start()
	g, pump := w.guest("web"), w.guest("pump")
	image := w.Drive(world.UUIDOf("web"))
	if image == nil {
		t.Fatal("web has no drive")
	}
	for _, tt := range []struct {
		kind   string
		drive  []byte
		status int
	}{
		{"openstack", nil, http.StatusOK},
		{"none", nil, http.StatusNotFound},
		{"drive", image, http.StatusOK},
		{"none", nil, http.StatusNotFound},
		{"openstack", nil, http.StatusOK},
		{"drive", image, http.StatusOK},
	} {
		w.Save("web.yaml", web("metadataType: "+tt.kind))
		w.Await("metadataType "+tt.kind, func() error {
			if got := w.Drive(world.UUIDOf("web")); !bytes.Equal(got, tt.drive) {
				return fmt.Errorf("the drive has %d bytes, want %d", len(got), len(tt.drive))
			}
			return errors.Join(
				g.expect("/latest/user-data", tt.status, "I am web"),
				g.expect("/nocloud/user-data", tt.status, "I am web"),
			)
		})
		world.Must(t, pump.expect("/latest/user-data", http.StatusOK, "I am pump"))
	}

	// An app that is off has no adapter; on again, it is who it was.
	address, mac := g.address(), g.port.VifInfo.Mac.String()
	w.Save("web.yaml", web("metadataType: drive", "activate: false"))
	w.Await("web off", func() error {
		if w.Apps()["web"].Activated || g.attached() {
			return errors.New("it is still there")
		}
		return nil
	})
	world.Must(t, pump.expect("/latest/user-data", http.StatusOK, "I am pump"))
	w.Save("web.yaml", web("metadataType: drive"))
	again := w.guest("web")
	if again.address() != address || again.port.VifInfo.Mac.String() != mac {
		t.Errorf("web is back as %s %s, was %s %s", again.address(), again.port.VifInfo.Mac, address, mac)
	}
	w.Await("web on", func() error {
		if !bytes.Equal(w.Drive(world.UUIDOf("web")), image) {
			return errors.New("it has not its drive")
		}
		return again.expect("/latest/user-data", http.StatusOK, "I am web")
	})
}
