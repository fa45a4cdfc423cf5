// SPDX-License-Identifier: Apache-2.0

package share_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/share"
)

// look is the modes of a path and of the folders above it, below a root.
func look(t *testing.T, root, path string) string {
	t.Helper()
	var lines []string
	for at := filepath.Join(root, path); at != root; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			t.Fatal(err)
		}
		below, _ := filepath.Rel(root, at)
		lines = append([]string{fmt.Sprintf("%s %v", below, info.Mode())}, lines...)
	}
	return strings.Join(lines, "\n")
}

// groupOfOurs is a group that a folder can be given to.
func groupOfOurs() int {
	if os.Geteuid() == 0 {
		return 1 // root can give to any
	}
	return os.Getgid()
}

func TestFolder(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before func(root string) error
		group  int
		want   string
	}{
		"private": {want: "a drwxr-xr-x\na/b drwxr-xr-x\na/b/c drwx------"},
		"shared":  {group: groupOfOurs(), want: "a drwxr-xr-x\na/b drwxr-xr-x\na/b/c drwxr-x---"},
		"the way is left as it is": {
			before: func(root string) error { return os.Mkdir(filepath.Join(root, "a"), 0o711) },
			want:   "a drwx--x--x\na/b drwxr-xr-x\na/b/c drwx------",
		},
		"the folder is not": {
			before: func(root string) error { return os.MkdirAll(filepath.Join(root, "a/b/c"), 0o755) },
			want:   "a drwxr-xr-x\na/b drwxr-xr-x\na/b/c drwx------",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			if tt.before != nil {
				if err := tt.before(root); err != nil {
					t.Fatal(err)
				}
			}
			if err := share.Folder(filepath.Join(root, "a/b/c"), tt.group); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, look(t, root, "a/b/c")); diff != "" {
				t.Errorf("modes (-want +got):\n%s", diff)
			}
			info, err := os.Stat(filepath.Join(root, "a/b/c"))
			if err != nil {
				t.Fatal(err)
			}
			if gid := int(info.Sys().(*syscall.Stat_t).Gid); tt.group != 0 && gid != tt.group {
				t.Errorf("group %d, want %d", gid, tt.group)
			}
		})
	}
}

func TestFolderInTheWay(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := share.Folder(filepath.Join(root, "a/b"), 0); err == nil {
		t.Error("made a folder in a file")
	}
}
