// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/netns"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
)

// namespace makes a namespace that goes with the test.
func namespace(t *testing.T) string {
	t.Helper()
	sandbox.Need(t)
	path := filepath.Join(t.TempDir(), "run", "netns", "blue")
	if err := netns.Create(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Delete(path); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return path
}

func TestCreateAndDelete(t *testing.T) {
	t.Parallel()
	path := namespace(t)
	dir := filepath.Dir(path)
	if err := netns.Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create twice: %v, want %v", err, fs.ErrExist)
	}
	// What is not a namespace is not listed, and not touched either.
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600), os.Mkdir(filepath.Join(dir, "dir"), 0o700),
		os.Symlink(path, filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	names, err := netns.List(dir)
	if diff := cmp.Diff([]string{"blue"}, names); diff != "" || err != nil {
		t.Errorf("list: error %v, (-want +got):\n%s", err, diff)
	}
	for _, other := range []string{"file", "dir", "link"} {
		if err := netns.Create(filepath.Join(dir, other)); err == nil {
			t.Errorf("create over %s: no error", other)
		}
	}
	for _, other := range []string{"file", "dir"} {
		if err := netns.Delete(filepath.Join(dir, other)); err == nil {
			t.Errorf("delete %s: no error", other)
		}
		if _, err := os.Stat(filepath.Join(dir, other)); err != nil {
			t.Errorf("%s is gone: %v", other, err)
		}
	}
	first, err := netns.ID(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(netns.Delete(path), netns.Delete(path)); err != nil {
		t.Errorf("delete, twice: %v", err)
	}
	if _, err := netns.Open(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open what is deleted: %v, want %v", err, fs.ErrNotExist)
	}
	// A crash in Create, or a reboot, leaves an empty file.
	if err := os.WriteFile(path, nil, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := netns.Open(path); !errors.Is(err, netns.ErrNotNamespace) {
		t.Errorf("open an empty file: %v, want %v", err, netns.ErrNotNamespace)
	}
	if err := netns.Create(path); err != nil {
		t.Fatal(err)
	}
	if second, err := netns.ID(path); err != nil || second == first {
		t.Errorf("namespace made anew has identity %d, the first one had %d, error %v", second, first, err)
	}
	if names, err := netns.List(filepath.Join(dir, "missing")); err != nil || len(names) != 0 {
		t.Errorf("list of a missing directory: %q, error %v", names, err)
	}
}

// Functions run in the namespace, and only they do; also at once, and also when they fail.
func TestDo(t *testing.T) {
	t.Parallel()
	path := namespace(t)
	want, err := netns.ID(path)
	if err != nil {
		t.Fatal(err)
	}
	here, err := netns.ID("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			err := netns.Do(path, func() error {
				if got, err := netns.ID("/proc/thread-self/ns/net"); err != nil || got != want {
					t.Errorf("function runs in namespace %d, want %d, error %v", got, want, err)
				}
				return broken
			})
			if !errors.Is(err, broken) {
				t.Errorf("error is %v, want %v", err, broken)
			}
			// The process itself must never show another namespace, whichever thread had the work.
			for _, self := range []string{"/proc/thread-self/ns/net", "/proc/self/ns/net"} {
				if got, err := netns.ID(self); err != nil || got != here {
					t.Errorf("%s is %d afterwards, want %d, error %v", self, got, here, err)
				}
			}
		})
	}
	wg.Wait()
}

// A socket stays in the namespace it was opened in.
func TestSocketStays(t *testing.T) {
	t.Parallel()
	path := namespace(t)
	var l net.Listener
	listen := func() (err error) {
		l, err = net.ListenTCP("tcp", &net.TCPAddr{Port: 80})
		return err
	}
	if err := netns.Do(path, listen); err != nil {
		t.Fatal(err)
	}
	if err := netns.Do(path, func() error {
		c, err := net.ListenTCP("tcp", &net.TCPAddr{Port: 80})
		if err == nil {
			return errors.Join(errors.New("port 80 is free"), c.Close())
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// Share can be said twice, and namespaces work in a shared directory.
func TestShare(t *testing.T) {
	t.Parallel()
	sandbox.Need(t)
	dir := filepath.Join(t.TempDir(), "netns")
	if err := errors.Join(netns.Share(dir), netns.Share(dir)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "blue")
	if err := netns.Create(path); err != nil {
		t.Fatal(err)
	}
	if err := netns.Delete(path); err != nil {
		t.Error(err)
	}
	unmount(t, dir)
}
