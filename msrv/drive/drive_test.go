// SPDX-License-Identifier: Apache-2.0

package drive_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/drive"
	"github.com/lf-edge/eve-metadata/msrv/drive/iso9660"
)

func tree(userData string) *document.Node {
	return document.Directory(document.Text("a listing, which no drive has"),
		document.Entry{Name: "meta-data", Node: document.File(document.Text("{}"))},
		document.Entry{Name: "sub", Node: document.Directory(nil,
			document.Entry{Name: "user-data", Node: document.File(document.Text(userData))})},
	)
}

func build(t *testing.T, userData string) []byte {
	t.Helper()
	image, err := drive.Build("cidata", tree(userData))
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestBuild(t *testing.T) {
	t.Parallel()
	image := build(t, "#cloud-config\nhostname: gw\n")
	for _, want := range []string{"cidata", "#cloud-config\nhostname: gw\n", "user-data"} {
		if !bytes.Contains(image, []byte(want)) {
			t.Errorf("no %q in the image", want)
		}
	}
	if bytes.Contains(image, []byte("listing")) {
		t.Error("a listing is in the image")
	}
	if !bytes.Equal(image, build(t, "#cloud-config\nhostname: gw\n")) {
		t.Error("the same tree gave two images")
	}
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, label string
		tree        *document.Node
		want        string
	}{
		{"faulty document", "cidata", document.Directory(nil,
			document.Entry{Name: "user-data", Node: document.File(document.Faulty("no key"))}), `"user-data": no key`},
		{"too large", "cidata", document.Directory(nil,
			document.Entry{Name: "big", Node: document.File(document.New(document.TypeBytes, make([]byte, drive.MaxImage+1)))}),
			`"big": image is larger than 67108864 bytes`},
		{"label", strings.Repeat("x", 17), tree(""), "xxxxxxxxxxxxxxxxx"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := drive.Build(test.label, test.tree)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want one that says %q", err, test.want)
			}
		})
	}
}

func TestKeeper(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "drives")
	log, _ := logtest.NewNullLogger()
	k := drive.NewKeeper(dir, drive.Extension, log)
	if err := k.Prune(); err != nil {
		t.Errorf("prune of a folder that is not there: %v", err)
	}
	one, two := build(t, "one"), build(t, "two")
	if err := k.Put("u-1", one); err != nil {
		t.Fatal(err)
	}
	before := stat(t, drive.Path(dir, "u-1"))
	if got := before.Mode().Perm(); got != 0o600 {
		t.Errorf("mode = %v, want 0600", got)
	}
	if got := stat(t, dir).Mode().Perm(); got != 0o700 {
		t.Errorf("mode of the folder = %v, want 0700", got)
	}
	if err := k.Put("u-1", one); err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, stat(t, drive.Path(dir, "u-1"))) {
		t.Error("an equal image was written again")
	}
	if err := k.Put("u-1", two); err != nil {
		t.Fatal(err)
	}
	if got := read(t, drive.Path(dir, "u-1")); !bytes.Equal(got, two) {
		t.Error("the changed image was not written")
	}

	// What another run left: an image nobody wants, an interrupted write, a file that is not ours.
	for _, name := range []string{"u-9.iso", ".writing-1234", "README"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Prune(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); got != "README u-1.iso" {
		t.Errorf("after Prune: %s", got)
	}
	if err := k.Remove("u-1"); err != nil {
		t.Fatal(err)
	}
	if err := k.Remove("u-1"); err != nil {
		t.Errorf("remove what is gone: %v", err)
	}
	if got := names(t, dir); got != "README" {
		t.Errorf("after Remove: %s", got)
	}
}

// A write that fails keeps the drive as it was, says so, and is made up for when it can be.
func TestKeeperRetries(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "drives")
	log, hook := logtest.NewNullLogger()
	k := drive.NewKeeper(dir, drive.Extension, log)
	one, two := build(t, "one"), build(t, "two")
	if err := k.Put("u-1", one); err != nil {
		t.Fatal(err)
	}
	// A folder under the image's name: the rename onto it fails for root too.
	obstacle := drive.Path(dir, "u-2")
	if err := os.MkdirAll(filepath.Join(obstacle, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := k.Put("u-2", two); err == nil {
		t.Fatal("no error for a drive that cannot be written")
	}
	if got := names(t, dir); got != "u-1.iso u-2.iso" {
		t.Errorf("after a failed write: %s", got)
	}
	if err := os.RemoveAll(obstacle); err != nil {
		t.Fatal(err)
	}
	k.Retry()
	if got := read(t, obstacle); !bytes.Equal(got, two) {
		t.Error("the image was not written at the retry")
	}
	if e := hook.LastEntry(); e == nil || e.Level != logrus.InfoLevel || e.Data["instance"] != "u-2" {
		t.Errorf("log after the retry: %v", e)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Run(ctx); err != nil {
		t.Errorf("Run after cancellation: %v", err)
	}
}

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

// An image may be just as large as the limit, and what is in it many times counts once.
func TestLimit(t *testing.T) {
	t.Parallel()
	build := func(size int) ([]byte, error) {
		content := document.File(document.New(document.TypeBytes, make([]byte, size)))
		var entries []document.Entry
		for i := range 20 {
			entries = append(entries, document.Entry{Name: strconv.Itoa(i), Node: content})
		}
		return drive.Build("config-2", document.Directory(nil, entries...))
	}
	small, err := build(1)
	if err != nil {
		t.Fatal(err)
	}
	// One sector of the small image is the content.
	most := drive.MaxImage - len(small) + iso9660.SectorSize
	largest, err := build(most)
	for err == nil && len(largest) < drive.MaxImage { // the small one is padded
		most += iso9660.SectorSize
		largest, err = build(most)
	}
	if err != nil || len(largest) != drive.MaxImage {
		t.Errorf("largest: %d bytes, %v; want %d", len(largest), err, drive.MaxImage)
	}
	if _, err := build(most + 1); err == nil {
		t.Error("one byte more is no error")
	}
}
