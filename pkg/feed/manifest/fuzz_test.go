// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/lf-edge/eve-metadata/examples"
	"github.com/lf-edge/eve-metadata/pkg/feed/manifest"
)

// FuzzYAML: whatever is in a manifest, it is either accepted, and then can be published, or refused with reasons that
// name the file; and what it says does not depend on how often it is asked.
func FuzzYAML(f *testing.F) {
	names, err := fs.Glob(examples.FS, "*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(examples.FS, name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	files, err := filepath.Glob("testdata/*/*/manifests/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("kind: *a\n"))
	f.Add([]byte("&a kind: app\n*a : app\n"))
	f.Add([]byte("kind: app\nname: &a a\nadapters: &b [*b]\n"))
	f.Add([]byte("? [a]\n: b\nkind: app\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, fstest.MapFS{"a.yaml": {Data: data}})
	})
}

// FuzzJSON does the same for what a controller may have written.
func FuzzJSON(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*/manifests/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, fstest.MapFS{"a.json": {Data: data}})
	})
}

func check(t *testing.T, fsys fs.FS) {
	t.Helper()
	set, errs := manifest.LoadFS(fsys)
	if len(set.Apps)+len(set.Networks)+len(errs) == 0 {
		if _, err := fs.Stat(fsys, "a.yaml"); err == nil {
			t.Error("neither accepted nor refused")
		}
	}
	for _, err := range errs {
		var e *manifest.Error
		if !errors.As(err, &e) || e.Reason == "" || e.File == "" {
			t.Errorf("problem without a place: %#v", err)
		}
	}
	first, err := json.Marshal(set)
	if err != nil {
		t.Fatalf("what was accepted cannot be published: %v", err)
	}
	again, _ := manifest.LoadFS(fsys)
	if second, err := json.Marshal(again); err != nil || string(first) != string(second) {
		t.Errorf("read twice, it says two things: %v\n%s\n%s", err, first, second)
	}
}
