// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// fullDisk: where no drive can be written, everything else goes on, and the drive comes as soon as there
// is room for it.
//
// Network: one with web, which wants a drive. The folder of drives is a small file system, which is full.
//
// Phases: start; make room; fill the disk again, and change: the old drive stays.
func fullDisk(t *testing.T, binary string) {
	w := newScene(t, binary, map[string]string{
		"blue.yaml": world.NetYAML("blue", "10.11.12.0/24"),
		"web.yaml":  world.AppYAML("web", "blue", "10.11.12.5", "metadataType: drive"),
	})
	disk := msrv.Drives(w.Root)
	if err := os.MkdirAll(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	w.Start()
	g := w.guest("web")
	world.Must(t, g.expect("/latest/user-data", http.StatusOK, "I am web"))
	w.AwaitLog(map[string]any{"level": "error", "msg": "drive not written", "name": "web", "error": "no space left on device"})
	if w.Drive(world.UUIDOf("web")) != nil {
		t.Error("web has a drive")
	}
	onlyFiller(t, disk)

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	want, err := w.Run("drive", "-o", "-", "web")
	if err != nil {
		t.Fatal(err)
	}
	w.Await("web's drive", func() error {
		if got := w.Drive(world.UUIDOf("web")); !bytes.Equal(got, want) {
			return fmt.Errorf("it has %d bytes, want %d", len(got), len(want))
		}
		return nil
	})
	w.AwaitLog(map[string]any{"level": "info", "msg": "drive written at last"})

	fill(t, filler)
	w.Save("web.yaml", world.AppYAML("web", "blue", "10.11.12.5", "metadataType: drive", "userData: changed"))
	w.Await("web's change", func() error { return g.expect("/latest/user-data", http.StatusOK, "changed") })
	w.AwaitLogs(2, map[string]any{"level": "error", "msg": "drive not written", "name": "web"})
	if !bytes.Equal(w.Drive(world.UUIDOf("web")), want) {
		t.Error("web's old drive is not what it was")
	}
}

// fill writes a file that takes all the room there is.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

// onlyFiller fails the test if attempts have left anything behind.
func onlyFiller(t *testing.T, disk string) {
	t.Helper()
	entries, err := os.ReadDir(disk)
	if err != nil || len(entries) != 1 {
		t.Errorf("in the folder of drives: %v, %v; want nothing but what filled it", entries, err)
	}
}
