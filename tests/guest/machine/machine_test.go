// SPDX-License-Identifier: Apache-2.0

package machine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/tests/guest/image"
	"github.com/lf-edge/eve-metadata/tests/guest/machine"
)

// archive is a tar archive of some members.
func archive(t testing.TB, members ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range members {
		h.Mode = 0o644
		content := "content of " + h.Name
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestExtract(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "report")
	err := machine.Extract(bytes.NewReader(archive(t,
		tar.Header{Name: "report/", Typeflag: tar.TypeDir},
		tar.Header{Name: "report/hostname", Typeflag: tar.TypeReg},
		tar.Header{Name: "/var/lib/cloud/instances/i-1/user-data.txt", Typeflag: tar.TypeReg},
		tar.Header{Name: "var/lib/cloud/instance", Typeflag: tar.TypeSymlink, Linkname: "/var/lib/cloud/instances/i-1"},
	)), dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"report/hostname":                      "content of report/hostname",
		"var/lib/cloud/instance/user-data.txt": "content of /var/lib/cloud/instances/i-1/user-data.txt",
	} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
}

// FuzzExtract holds that nothing is written outside of the folder, whatever a guest sends.
func FuzzExtract(f *testing.F) {
	f.Add(archive(f, tar.Header{Name: "../outside", Typeflag: tar.TypeReg}))
	f.Add(archive(f, tar.Header{Name: "a/../../outside", Typeflag: tar.TypeReg}))
	f.Add(archive(f,
		tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: ".."}, tar.Header{Name: "link/outside", Typeflag: tar.TypeReg}))
	f.Add(archive(f,
		tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/../.."}, tar.Header{Name: "link/outside", Typeflag: tar.TypeReg}))
	f.Add(archive(f, tar.Header{Name: "inside", Typeflag: tar.TypeReg}))
	f.Add([]byte("no archive"))
	f.Fuzz(func(t *testing.T, data []byte) {
		outside := t.TempDir()
		dir := filepath.Join(outside, "report")
		_ = machine.Extract(bytes.NewReader(data), dir) // it may well be refused
		entries, err := os.ReadDir(outside)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) > 1 || len(entries) == 1 && entries[0].Name() != "report" {
			t.Fatalf("there are %v outside", entries)
		}
	})
}

func TestConsole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "console.log")
	var stages []string
	c, err := machine.NewConsole(path, func(stage string) { stages = append(stages, stage) })
	if err != nil {
		t.Fatal(err)
	}
	const text = "[    0.000000] Linux version 6.1\r\nWelcome to Debian\r\n" +
		"[   21.8] cloud-init[237]: Cloud-init v. 22.4.2 running 'init-local' at Mon\r\n" +
		"[   21.9] cloud-init[237]: Cloud-init v. 22.4.2 running 'init-local' at Mon\r\n" +
		"[   50.2] cloud-init[356]: Cloud-init v. 22.4.2 finished at Mon\r\nweb-1 login: "
	for i := range text { // in as many pieces as can be
		if _, err := c.Write([]byte{text[i]}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"kernel", "systemd", "cloud-init init-local", "cloud-init finished"}
	if diff := cmp.Diff(want, stages); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Error(err)
	}
	if log, err := os.ReadFile(path); err != nil || string(log) != text || c.Tail() != text {
		t.Errorf("the file has %q (%v), the tail is %q", log, err, c.Tail())
	}
}

// TestStartRefused holds that what cannot be started leaves no process and no socket, and says what is wrong.
func TestStartRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		i    image.Image
		text string
	}{
		{"emulator", image.Image{Name: "nowhere", Arch: "none", Kernel: "kernel"}, "qemu-system-none"},
		{"disk", image.Image{Name: "nowhere", Arch: "none", Disk: "/nowhere/disk.qcow2"}, "disk"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			_, err := machine.Start(context.Background(), machine.Config{Image: &tt.i, Dir: dir})
			if err == nil || !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), "nowhere") {
				t.Errorf("error is %v, want one with %q", err, tt.text)
			}
			if _, err := os.Stat(filepath.Join(dir, "report.sock")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the socket is left: %v", err)
			}
		})
	}
}
