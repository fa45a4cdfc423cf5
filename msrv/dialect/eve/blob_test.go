// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lf-edge/eve-metadata/msrv/dialect/eve"
	"github.com/lf-edge/eve-metadata/tests/tool"

	topic "github.com/lf-edge/eve-metadata/pkg/eve"
)

// fetch asks as a guest does, and makes of the answer what the carrier does. Err is what the log would have.
func (g *guest) fetch(method, path string, header ...string) (w *httptest.ResponseRecorder, err error) {
	w = httptest.NewRecorder()
	req := httptest.NewRequest(method, "http://169.254.169.254/x", nil)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	a := g.Ask(method, path, "", header...)
	switch {
	case a == nil:
		w.WriteHeader(http.StatusNotFound)
		return w, nil
	case a.Handler != nil:
		a.Handler.ServeHTTP(w, req)
		if a.Err != nil && w.Body.Len() == 0 && w.Code == http.StatusOK {
			w = httptest.NewRecorder()
			w.WriteHeader(http.StatusInternalServerError)
		}
		return w, a.Err
	}
	for name, value := range a.Header {
		w.Header().Set(name, value)
	}
	w.Header().Set("Content-Type", a.Type)
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
	return w, a.Err
}

// inFolder makes a root with files by their paths.
func inFolder(t testing.TB, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for path, content := range files {
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// loopDevice makes a block device under the root, of which the content is the first bytes, and returns its path.
func loopDevice(t *testing.T, root string, size int64, content string) (path string) {
	t.Helper()
	tool.Need(t, "losetup", "mount")
	image := filepath.Join(root, "image")
	if err := errors.Join(os.WriteFile(image, []byte(content), 0o600), os.Truncate(image, size)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "losetup", "--find", "--show", "--read-only", image).CombinedOutput()
	if err != nil {
		tool.Missing(t, fmt.Sprintf("loop devices are root's: %v: %s", err, out))
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("detach %s: %v: %s", device, err, out)
		}
	})
	if err := os.Symlink(device, filepath.Join(root, "device")); err != nil {
		t.Fatal(err)
	}
	return "/device"
}

// TestBlob holds that a guest reads the blobs of its own app, whole and in ranges.
func TestBlob(t *testing.T) {
	t.Parallel()
	root := inFolder(t, map[string]string{"/persist/vault/volumes/model.raw": "0123456789", "/persist/disk.qcow2": "secret"})
	node := recordedNode(t)
	put(node, webID, topic.DomainStatus{DiskStatusList: []topic.DiskStatus{
		{Devtype: "hdd", DisplayName: "disk", FileLocation: "/persist/disk.qcow2"},
		{Devtype: "AppCustom", DisplayName: "model v2/a.bin", FileLocation: "/persist/vault/volumes/model.raw"},
		{Devtype: "AppCustom", DisplayName: "gone", FileLocation: "/persist/gone"},
		{Devtype: "AppCustom", DisplayName: "nowhere"},
	}})
	g := newGuest(eve.Config{Node: node, Root: root})
	const blobs = "eve/app-custom-blobs/"
	for _, tt := range []struct {
		method, name, ranges string
		status               int
		body                 string
	}{
		{"GET", "model v2/a.bin", "", 200, "0123456789"},
		{"HEAD", "model v2/a.bin", "", 200, ""},
		{"GET", "model v2/a.bin", "bytes=3-5", 206, "345"},
		{"GET", "model v2/a.bin", "bytes=20-", 416, "invalid range: failed to overlap\n"},
		{"GET", "disk", "", 404, "404 Not Found\n"},
		{"GET", "a.bin", "", 404, "404 Not Found\n"},
		{"GET", "", "", 404, "404 Not Found\n"},
		{"GET", "gone", "", 500, ""},
		{"GET", "nowhere", "", 500, ""},
		{"POST", "model v2/a.bin", "", 405, "405 Method Not Allowed\n"},
	} {
		w, err := g.fetch(tt.method, blobs+tt.name, "Range", tt.ranges)
		if w.Code != tt.status || w.Body.String() != tt.body || (tt.status == 500) != (err != nil) {
			t.Errorf("%s %q %s: %d %q (%v)", tt.method, tt.name, tt.ranges, w.Code, w.Body, err)
		}
	}
	g.Instance.UUID = stranger
	if w, _ := g.fetch("GET", blobs+"model v2/a.bin"); w.Code != 404 {
		t.Errorf("another app's blob: %d %q", w.Code, w.Body)
	}
}

// TestBlobURL holds that a caller of IPv6 is told an address that it can reach.
func TestBlobURL(t *testing.T) {
	t.Parallel()
	node := recordedNode(t)
	put(node, webID, topic.DomainStatus{DiskStatusList: []topic.DiskStatus{{Devtype: "AppCustom", DisplayName: "m%?#"}}})
	g := newGuest(eve.Config{Node: node})
	g.remote = "[2001:db8::7]:80"
	const want = `{"AppBlobs":[{"CustomMeta":"","DownloadURL":"http://[fd00:ec2::254]/eve/app-custom-blobs/m%25%3F%23"}]}`
	if w, _ := g.fetch("GET", "eve/v1/app/info.json"); w.Body.String() != want {
		t.Errorf("over IPv6: %s", w.Body)
	}
}

// TestOpenFile holds what is opened, that nothing else is, and that nothing waits.
func TestOpenFile(t *testing.T) {
	t.Parallel()
	root := inFolder(t, map[string]string{"/persist/file": "content", "/outside": "x"})
	pipe := filepath.Join(root, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/persist/file":       "",
		"/persist//file":      "",
		"/persist/missing":    "no such file or directory",
		"/persist":            "open /persist: drwxr-xr-x is neither a file nor a block device",
		"/pipe":               "open /pipe: prw------- is neither a file nor a block device",
		"persist/file":        `open persist/file: not an absolute path without ".."`,
		"":                    `open : not an absolute path without ".."`,
		"/persist/../outside": `open /persist/../outside: not an absolute path without ".."`,
		"/..":                 `open /..: not an absolute path without ".."`,
		"/persist/file\x00":   "invalid argument",
		"/persist/file/":      "",
		"/persist/file/more":  "not a directory",
	} {
		f, err := eve.OpenFile(root, path)
		if err == nil {
			if content, _ := io.ReadAll(f); string(content) != "content" || f.Size != 7 || f.Device {
				t.Errorf("%q: %d bytes, %q", path, f.Size, content)
			}
			f.Close()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", path, err, want)
		}
	}
	if f, err := eve.OpenFile("", "/dev/null"); err == nil {
		f.Close()
		t.Error("a character device is opened")
	}
}

// TestBlobDevice holds that a volume that is a block device is as large as the device is.
func TestBlobDevice(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	const size = 64 << 10
	node := recordedNode(t)
	put(node, webID, topic.DomainStatus{DiskStatusList: []topic.DiskStatus{
		{Devtype: "AppCustom", DisplayName: "zvol", FileLocation: loopDevice(t, root, size, "content")},
	}})
	g := newGuest(eve.Config{Node: node, Root: root})
	w, err := g.fetch("GET", "eve/app-custom-blobs/zvol")
	if err != nil || w.Header().Get("Content-Length") != strconv.Itoa(size) || !bytes.HasPrefix(w.Body.Bytes(), []byte("content\x00")) || w.Body.Len() != size {
		t.Errorf("%d, %d bytes: %v", w.Code, w.Body.Len(), err)
	}
}

// FuzzOpenFile holds that whatever a topic says, nothing above the root is opened.
func FuzzOpenFile(f *testing.F) {
	top := f.TempDir()
	root := filepath.Join(top, "root")
	if err := errors.Join(os.Mkdir(root, 0o755), os.WriteFile(filepath.Join(root, "in"), []byte("in"), 0o600),
		os.WriteFile(filepath.Join(top, "out"), []byte("out"), 0o600)); err != nil {
		f.Fatal(err)
	}
	for _, path := range []string{"/in", "/../out", "/./in", "//in", "/in/../../out", "../out", "", "/", "/..", "/...", "/in\x00/../../out"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		file, err := eve.OpenFile(root, path)
		if err != nil {
			return
		}
		defer file.Close()
		if content, err := io.ReadAll(file); err != nil || string(content) != "in" {
			t.Errorf("%q leads to %q (%v)", path, content, err)
		}
	})
}
