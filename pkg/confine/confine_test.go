// SPDX-License-Identifier: Apache-2.0

package confine_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/confine"
)

var update = flag.Bool("update", false, "write the golden files anew")

// A confined process does what a server does, and nothing else, whoever it is.
func TestApply(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "probe")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build probe: %v\n%s", err, out)
	}
	for name, c := range map[string]struct {
		user, golden string
		flags        []string
		root         bool
	}{
		"as it is":         {golden: "testdata/attempts.txt"},
		"another user":     {user: "nobody", golden: "testdata/attempts-user.txt"},
		"more":             {golden: "testdata/attempts-more.txt", flags: []string{"-more"}},
		"a root":           {golden: "testdata/attempts-root.txt", flags: []string{"-more"}, root: true},
		"a root of a user": {user: "nobody", golden: "testdata/attempts-user-root.txt", flags: []string{"-more"}, root: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user := c.user
			if (user != "" || c.root) && os.Geteuid() != 0 {
				t.Skip("only root can become somebody else, or have another root")
			}
			dir := t.TempDir()
			letPass(t, dir)
			for _, path := range []string{"read/file", "take/file", "more/file", "more/device", "more/folder/file"} {
				err := errors.Join(os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o777),
					os.Chmod(filepath.Join(dir, filepath.Dir(path)), 0o777),
					os.WriteFile(filepath.Join(dir, path), nil, 0o644))
				if err != nil {
					t.Fatal(err)
				}
			}
			var out, log bytes.Buffer
			flags := slices.Clone(c.flags)
			if c.root {
				flags = append(flags, "-root", t.TempDir())
			}
			cmd := exec.CommandContext(t.Context(), binary, append(flags, dir, user)...)
			if c.root {
				cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
			}
			cmd.Stdout, cmd.Stderr = &out, &log
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, &log)
			}
			got := bytes.ReplaceAll(out.Bytes(), []byte(dir), []byte("DIR"))
			if *update {
				if err := os.WriteFile(c.golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(c.golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("what it could do (-want +got):\n%s\nstandard error:\n%s", diff, &log)
			}
			info, err := os.Stat(filepath.Join(dir, "own"))
			if err != nil {
				t.Fatal(err)
			}
			if owner := info.Sys().(*syscall.Stat_t).Uid; user != "" && owner == 0 {
				t.Error("its own folder is not its own")
			}
		})
	}
}

// letPass lets other users through a temporary folder and those above it.
func letPass(t *testing.T, path string) {
	t.Helper()
	for ; path != filepath.Clean(os.TempDir()); path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o711); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"root", "0"} {
		u, err := confine.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&confine.User{Name: "root"}, u); diff != "" {
			t.Errorf("user %q (-want +got):\n%s", name, diff)
		}
		if gid, err := confine.LookupGroup(name); err != nil || gid != 0 {
			t.Errorf("group %q: %d, %v; want 0", name, gid, err)
		}
	}
	if u, err := confine.Lookup("nobody-has-this-name"); err == nil {
		t.Errorf("found user %v", u)
	}
	if g, err := confine.LookupGroup("nobody-has-this-name"); err == nil {
		t.Errorf("found group %v", g)
	}
}

func TestInMap(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		content string
		id      int
		want    bool
	}{
		"the first namespace":          {"         0          0 4294967295\n", 65534, true},
		"one user":                     {"0 1000 1\n", 0, true},
		"another than the one":         {"0 1000 1\n", 65534, false},
		"several ranges":               {"0 1000 1\n1 100000 65536\n", 65534, true},
		"between ranges":               {"0 1000 1\n100 100000 10\n", 50, false},
		"nobody":                       {"", 0, false},
		"something else than a number": {"a b c\n", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := confine.InMap(tt.content, tt.id); got != tt.want {
				t.Errorf("%d in %q: %t", tt.id, tt.content, got)
			}
		})
	}
}
