// SPDX-License-Identifier: Apache-2.0

package socket_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/internal/wire"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
)

// A message can make a subscriber read and remove files in one folder only.
func TestLargeFilesAreConfined(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	root := top + "/pubsub-large"
	check(t, os.MkdirAll(root+"/a/T", 0o755))
	check(t, os.MkdirAll(top+"/outside", 0o755))
	for name, content := range map[string]string{
		"/outside/secret": "secret", "/pubsub-large/a/T/fine": "fine", "/pubsub-large-too": "secret",
		"/pubsub-large/a/T/full": strings.Repeat("x", pubsub.MaxLargeFile+1),
	} {
		check(t, os.WriteFile(top+name, []byte(content), 0o600))
	}
	check(t, os.Symlink(top+"/outside/secret", root+"/a/T/link"))
	check(t, os.Symlink(top+"/outside", root+"/a/folder"))
	for _, c := range []struct {
		path string
		want error
	}{
		{root + "/a/T/none", fs.ErrNotExist},
		{root + "/a/T/full", pubsub.ErrTooLarge},
		{root + "/a/T/link", wire.ErrMalformed},
		{root + "/a/T", wire.ErrMalformed},
		{root, wire.ErrMalformed},
		{root + "-too", wire.ErrMalformed},
		{root + "/../outside/secret", wire.ErrMalformed},
		{top + "/outside/secret", wire.ErrMalformed},
		{"a/T/fine", wire.ErrMalformed},
		{"", wire.ErrMalformed},
	} {
		if got, err := socket.ReadLarge(root, c.path); !errors.Is(err, c.want) || got != nil {
			t.Errorf("read %q: %d bytes, error %v; want none, %v", c.path, len(got), err, c.want)
		}
		_ = socket.RemoveLarge(root, c.path) // what it may not do is seen below
	}
	if _, err := socket.ReadLarge(root, root+"/a/folder/secret"); err == nil {
		t.Error("read through a link to a folder: no error")
	}
	if err := socket.RemoveLarge(root, root+"/a/folder/secret"); err == nil {
		t.Error("remove through a link to a folder: no error")
	}
	got, err := socket.ReadLarge(root, root+"/a/T/fine")
	check(t, err)
	if diff := cmp.Diff("fine", string(got)); diff != "" {
		t.Errorf("content (-want +got):\n%s", diff)
	}
	check(t, socket.RemoveLarge(root, root+"/a/T/fine"))
	for path, want := range map[string]bool{
		top + "/outside/secret": true, root + "-too": true, root + "/a/T": true,
		root + "/a/T/fine": false, root + "/a/T/link": false, root + "/a/T/full": false,
	} {
		if got := exists(t, path); got != want {
			t.Errorf("%q exists: %t, want %t", path, got, want)
		}
	}
}
