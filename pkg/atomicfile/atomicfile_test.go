// SPDX-License-Identifier: Apache-2.0

package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/lf-edge/eve-metadata/pkg/atomicfile"
)

const temporary = ".new-"

func TestReplace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, content := range []string{"one", "", "another"} {
		if err := atomicfile.Replace(path, temporary, []byte(content)); err != nil {
			t.Fatal(err)
		}
		expect(t, path, content)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
	if err := atomicfile.SyncFolder(dir); err != nil {
		t.Error(err)
	}
	alone(t, dir)
}

// What fails leaves no trace and names no file.
func TestReplaceFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	if err := atomicfile.Replace(filepath.Join(missing, "file"), temporary, nil); err != syscall.ENOENT { //nolint:errorlint // the bare one
		t.Errorf("in a folder that is not there: %#v", err)
	}
	if err := atomicfile.SyncFolder(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("sync a folder that is not there: %v", err)
	}
	// A folder with something in it, where the file should be: the rename fails for root too.
	path := filepath.Join(dir, "file")
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Replace(path, temporary, []byte("x")); err == nil || strings.Contains(err.Error(), dir) {
		t.Errorf("in place of a folder: %v, want an error without a path", err)
	}
	alone(t, dir)
}

func TestCreate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := atomicfile.Create(path, temporary, []byte("first"))
			if err == nil {
				made.Add(1)
			} else if !errors.Is(err, fs.ErrExist) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("%d made the file", made.Load())
	}
	if err := atomicfile.Create(path, temporary, []byte("second")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("where a file is: %v", err)
	}
	expect(t, path, "first")
	alone(t, dir)
}

func expect(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("file has %q, %v; want %q", got, err, want)
	}
}

// alone checks that no temporary file is left.
func alone(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != "file" {
		t.Errorf("in the folder: %v", entries)
	}
}
