// SPDX-License-Identifier: Apache-2.0

package msrv_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// speaking makes a dialect that answers one path over HTTP and has a drive of a kind.
func speaking(path string, kind instance.DriveKind, fail error) dialect.Dialect {
	render := func(*instance.Instance) (*document.Node, error) {
		return document.Directory(nil, document.Entry{Name: path, Node: document.File(document.Text(path))}), fail
	}
	return dialect.Dialect{
		Name: "speaks-" + path, HTTP: []dialect.Service{{Site: dialect.Metadata, Render: render}},
		Drive: &dialect.Drive{Label: "l-" + path, Kinds: []instance.DriveKind{kind}, Render: render},
	}
}

func TestRenderHTTP(t *testing.T) {
	t.Parallel()
	broken := errors.New("no words")
	tests := []struct {
		name     string
		inst     instance.Instance
		dialects []dialect.Dialect
		want     []string // paths that are answered
		err      string
	}{
		{name: "all dialects in one tree", inst: instance.Instance{HTTP: true},
			dialects: []dialect.Dialect{speaking("a", 0, nil), speaking("b", 0, nil), {Name: "drive only"}}, want: []string{"a", "b"}},
		{name: "not to ask", inst: instance.Instance{}, dialects: []dialect.Dialect{speaking("a", 0, nil)}},
		{name: "one fails, the others speak", inst: instance.Instance{HTTP: true},
			dialects: []dialect.Dialect{speaking("a", 0, broken), speaking("b", 0, nil)}, want: []string{"b"},
			err: "render speaks-a: no words"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			trees, err := msrv.RenderHTTP(test.dialects, &test.inst)
			tree := trees[dialect.Metadata]
			if got := text(err); got != test.err {
				t.Errorf("error = %q, want %q", got, test.err)
			}
			if (tree == nil) != (test.want == nil) {
				t.Fatalf("tree = %v", tree)
			}
			for _, path := range test.want {
				if tree.Lookup(path) == nil {
					t.Errorf("%q is not answered", path)
				}
			}
			if tree != nil && len(tree.Entries()) != len(test.want) {
				t.Errorf("entries: %v, want %v", tree.Entries(), test.want)
			}
		})
	}
}

func TestRenderDrive(t *testing.T) {
	t.Parallel()
	dialects := []dialect.Dialect{
		{Name: "http only"}, speaking("a", instance.DriveNoCloud, nil), speaking("b", instance.DriveConfig, errors.New("no words")),
	}
	tests := []struct {
		kind  instance.DriveKind
		label string
		err   string
	}{
		{kind: instance.DriveNone},
		{kind: instance.DriveNoCloud, label: "l-a"},
		{kind: instance.DriveConfig, err: "render speaks-b drive: no words"},
		{kind: instance.DriveNoCloudMultipart, err: `render drive: no dialect has a drive of kind "nocloud-multipart"`},
	}
	for _, test := range tests {
		t.Run(test.kind.String(), func(t *testing.T) {
			t.Parallel()
			label, tree, err := msrv.RenderDrive(dialects, &instance.Instance{Drive: test.kind})
			if label != test.label || text(err) != test.err || (tree == nil) != (test.label == "") {
				t.Errorf("label %q, tree %v, error %v; want label %q, error %q", label, tree, err, test.label, test.err)
			}
		})
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	// Whoever starts at the same time ends up with the same secret.
	secrets := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range secrets {
		wg.Go(func() {
			var err error
			if secrets[i], err = msrv.Secret(root); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range secrets {
		if len(s) != msrv.SecretSize || !bytes.Equal(s, secrets[0]) {
			t.Fatalf("secrets differ, or are not of %d bytes", msrv.SecretSize)
		}
	}
	path := filepath.Join(root, msrv.SecretFile)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
	// A server that is another user has to get there as well.
	for folder, want := range map[string]os.FileMode{filepath.Dir(path): 0o700, filepath.Dir(filepath.Dir(path)): 0o755} {
		if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, error %v; want %v", folder, info.Mode().Perm(), err, want)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
	if other, err := msrv.Secret(t.TempDir()); err != nil || bytes.Equal(other, secrets[0]) {
		t.Errorf("two devices have one secret, or %v", err)
	}

	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := msrv.Secret(root); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("secret of another size: %v", err)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
