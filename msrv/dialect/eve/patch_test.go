// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect/eve"

	topic "github.com/lf-edge/eve-metadata/pkg/eve"
)

// The patch envelopes of the tests.
const (
	firmware = "93b1d8f2-2c5c-4ad8-8f4c-6b2b8f2d1f55"
	models   = "8986a760-5a6f-4b74-950a-0ca8c3e46838"
	broken   = "699fbdb2-e455-448f-84f5-68e547ec1305"

	descriptions = "eve/v1/patch/description.json"
	downloads    = "eve/v1/patch/download/"
)

// fakePatches are envelopes that one app may fetch, and what was counted.
type fakePatches struct {
	app           string
	list          []eve.Patch
	told, fetched map[string]int
}

func (p *fakePatches) Of(app string) []eve.Patch {
	if app != p.app {
		return nil
	}
	return p.list
}
func (p *fakePatches) Told(app string, patch *eve.Patch) {
	p.told[app+" "+patch.ID+" "+patch.Version]++
}
func (p *fakePatches) Fetched(app string, patch *eve.Patch) {
	p.fetched[app+" "+patch.ID+" "+patch.Version]++
}

func newPatches(list ...eve.Patch) *fakePatches {
	return &fakePatches{app: webID, list: list, told: make(map[string]int), fetched: make(map[string]int)}
}

// at is a file of an envelope that is on the node.
func at(name, path string, size int64, sha string) eve.PatchFile {
	return eve.PatchFile{BinaryBlobCompleted: topic.BinaryBlobCompleted{FileName: name, URL: path, Size: size, FileSha: sha}}
}

// text is a file of an envelope that came encrypted.
func text(name, content string) eve.PatchFile {
	return eve.PatchFile{
		BinaryBlobCompleted: topic.BinaryBlobCompleted{FileName: name, Size: int64(len(content)), FileSha: "00ff"}, Text: []byte(content),
	}
}

// someFiles are the files of somePatches.
var someFiles = map[string]string{"/persist/cache/cfg.bin": "test", "/persist/volumes/model.raw": "0123456789"}

func somePatches() *fakePatches {
	cfg := at("cfg.bin", "/persist/cache/cfg.bin", 4, "9f86d081884c7d65")
	cfg.FileMetadata, cfg.ArtifactMetadata = "bWV0YQ==", "YXJ0ZWZhY3Q="
	return newPatches(
		eve.Patch{ID: firmware, Version: "4", Files: []eve.PatchFile{cfg, text("keys & more/secret.txt", "c2VjcmV0")}},
		eve.Patch{
			ID: models, Version: "1",
			Files:   []eve.PatchFile{at("model.bin", "/persist/volumes/model.raw", 672, "d2371d63")},
			Volumes: []topic.BinaryBlobVolumeRef{{FileName: "model.bin", ImageName: "model", ImageID: "0349dbb1-2e82-4eb6-a736-a4d1a0bd7db0"}},
		},
	)
}

// TestPatchDescription holds what a guest is told, byte for byte.
func TestPatchDescription(t *testing.T) {
	t.Parallel()
	g := newGuest(eve.Config{Patches: somePatches()})
	w, err := g.fetch("GET", descriptions)
	if err != nil || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v: %v", w.Code, w.Header(), err)
	}
	const golden = "testdata/patch-description.json.golden"
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(golden, w.Body.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), w.Body.String()); diff != "" {
		t.Errorf("description (-want +got):\n%s", diff)
	}
	g.remote = "[2001:db8::7]:80"
	if w, _ := g.fetch("GET", descriptions); !strings.Contains(w.Body.String(), `"url":"http://[fd00:ec2::254]/eve/v1/patch/download/`+firmware+`/cfg.bin"`) {
		t.Errorf("over IPv6: %s", w.Body)
	}
}

// TestPatchCodes holds by which status a guest knows what it may not have, and what is not there.
func TestPatchCodes(t *testing.T) {
	t.Parallel()
	fault := eve.Patch{ID: broken, Version: "1", Err: errors.New("key of /persist/certs is gone")}
	coming := eve.Patch{ID: models, Volumes: []topic.BinaryBlobVolumeRef{{FileName: "a"}, {FileName: "b"}}}
	const none = `{"message":"No envelopes for ` + webID + `"}`
	for name, tt := range map[string]struct {
		patches *fakePatches
		path    string
		want    string
	}{
		"description of none":       {newPatches(), descriptions, "404 " + none},
		"archive of none":           {newPatches(), downloads + firmware, "404 " + none},
		"file of none":              {newPatches(), downloads + firmware + "/x", "404 " + none},
		"archive of another's":      {somePatches(), downloads + broken, "401 401 Unauthorized\n"},
		"file of another's":         {somePatches(), downloads + broken + "/cfg.bin", `404 {"message":"patch is not found"}`},
		"file that is not there":    {somePatches(), downloads + firmware + "/model.bin", `404 {"message":"file is not found"}`},
		"no patch at all":           {somePatches(), "eve/v1/patch/download", "404 404 Not Found\n"},
		"description of a fault":    {newPatches(fault), descriptions, "500 500 Internal Server Error\n"},
		"archive of a fault":        {newPatches(fault), downloads + broken, "500 500 Internal Server Error\n"},
		"file of a fault":           {newPatches(fault), downloads + broken + "/x", "500 500 Internal Server Error\n"},
		"archive of what is coming": {newPatches(coming), downloads + models, `404 {"message":"not on the node yet: a, b"}`},
		"file that is coming":       {newPatches(coming), downloads + models + "/a", `404 {"message":"file is not found"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuest(eve.Config{Patches: tt.patches})
			w, err := g.fetch("GET", tt.path)
			if got := fmt.Sprint(w.Code, " ", w.Body); got != tt.want || (err != nil) != (w.Code == 500) {
				t.Errorf("answer %q (%v), want %q", got, err, tt.want)
			}
			if len(tt.patches.told)+len(tt.patches.fetched) > 0 {
				t.Errorf("counted: told %v, fetched %v", tt.patches.told, tt.patches.fetched)
			}
		})
	}
	mixed := somePatches()
	mixed.list = append(mixed.list, fault)
	w, err := newGuest(eve.Config{Patches: mixed}).fetch("GET", descriptions)
	if w.Code != 200 || err != nil || strings.Contains(w.Body.String(), broken) || !strings.Contains(w.Body.String(), models) {
		t.Errorf("a fault beside others: %d %s (%v)", w.Code, w.Body, err)
	}
	if w, _ := newGuest(eve.Config{}).fetch("GET", descriptions); w.Code != 404 {
		t.Errorf("without patch envelopes at all: %d", w.Code)
	}
}

// TestPatchFile holds how single files are delivered.
func TestPatchFile(t *testing.T) {
	t.Parallel()
	g := newGuest(eve.Config{Patches: somePatches(), Root: inFolder(t, someFiles)})
	for name, tt := range map[string]struct {
		method, file string
		header       []string
		want         string
	}{
		"from the node":             {"GET", firmware + "/cfg.bin", nil, `200 application/octet-stream "9f86d081884c7d65" test`},
		"its head":                  {"HEAD", firmware + "/cfg.bin", nil, `200 application/octet-stream "9f86d081884c7d65" `},
		"a range":                   {"GET", firmware + "/cfg.bin", []string{"Range", "bytes=1-2"}, `206 application/octet-stream "9f86d081884c7d65" es`},
		"a range of what it was":    {"GET", firmware + "/cfg.bin", []string{"Range", "bytes=1-2", "If-Range", `"9f86d081884c7d65"`}, `206 application/octet-stream "9f86d081884c7d65" es`},
		"a range of another":        {"GET", firmware + "/cfg.bin", []string{"Range", "bytes=1-2", "If-Range", `"00"`}, `200 application/octet-stream "9f86d081884c7d65" test`},
		"the same again":            {"GET", firmware + "/cfg.bin", []string{"If-None-Match", `"9f86d081884c7d65"`}, `304  "9f86d081884c7d65" `},
		"one that came encrypted":   {"GET", firmware + "/keys & more/secret.txt", nil, `200 text/plain; charset=utf-8 "00ff" c2VjcmV0`},
		"a range of that":           {"GET", firmware + "/keys & more/secret.txt", []string{"Range", "bytes=-2"}, `206 text/plain; charset=utf-8 "00ff" V0`},
		"a volume, of another size": {"GET", models + "/model.bin", nil, `200 application/octet-stream "d2371d63" 0123456789`},
	} {
		w, err := g.fetch(tt.method, downloads+tt.file, tt.header...)
		h := w.Header()
		if got := fmt.Sprint(w.Code, " ", h.Get("Content-Type"), " ", h.Get("ETag"), " ", w.Body); got != tt.want || err != nil {
			t.Errorf("%s: %q (%v), want %q", name, got, err, tt.want)
		}
	}
}

// TestPatchFileAtFault holds that what is not as it should be is an error that names it, and not a part of it.
func TestPatchFileAtFault(t *testing.T) {
	t.Parallel()
	root := inFolder(t, map[string]string{"/short": "tes", "/long": "test!"})
	for path, want := range map[string]string{
		"/short":    "/short has 3 bytes, and should have 4",
		"/long":     "/long has 5 bytes, and should have 4",
		"/gone":     "no such file or directory",
		"/":         "neither a file nor a block device",
		"/../short": "not an absolute path",
	} {
		p := newPatches(eve.Patch{ID: firmware, Files: []eve.PatchFile{text("first", "x"), at("cfg.bin", path, 4, "")}})
		g := newGuest(eve.Config{Patches: p, Root: root})
		for _, asked := range []string{downloads + firmware + "/cfg.bin", downloads + firmware} {
			w, err := g.fetch("GET", asked)
			if w.Code != 500 || err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `patch `+firmware+`, file "cfg.bin"`) {
				t.Errorf("%s: %s: %d (%v), want %s", path, asked, w.Code, err, want)
			}
		}
		if len(p.fetched) > 0 {
			t.Errorf("%s: counted %v", path, p.fetched)
		}
	}
}

// TestPatchNoTag holds that a hash that is none becomes no ETag, whatever is in it.
func TestPatchNoTag(t *testing.T) {
	t.Parallel()
	for _, hash := range []string{"", `a"b`, "sha256:00", "a\r\nb"} {
		p := newPatches(eve.Patch{ID: firmware, Files: []eve.PatchFile{at("cfg.bin", "/f", 0, hash)}})
		g := newGuest(eve.Config{Patches: p, Root: inFolder(t, map[string]string{"/f": "test"})})
		w, err := g.fetch("GET", downloads+firmware+"/cfg.bin")
		if err != nil || w.Body.String() != "test" || w.Header()["Etag"] != nil || w.Header().Get("Last-Modified") == "" {
			t.Errorf("%q: %d %v (%v)", hash, w.Code, w.Header(), err)
		}
	}
}

// unzip returns the files of an archive.
func unzip(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, f := range r.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(content)
	}
	return files
}

// TestPatchArchive holds that an archive has all the files under the names that the guest was told.
func TestPatchArchive(t *testing.T) {
	t.Parallel()
	p := somePatches()
	g := newGuest(eve.Config{Patches: p, Root: inFolder(t, someFiles)})
	for id, want := range map[string]map[string]string{
		firmware: {"cfg.bin": "test", "keys & more/secret.txt": "c2VjcmV0"},
		models:   {"model.bin": "0123456789"},
	} {
		w, err := g.fetch("GET", downloads+id)
		if err != nil || w.Code != 200 || w.Header().Get("Content-Type") != "application/zip" {
			t.Fatalf("%d %v (%v)", w.Code, w.Header(), err)
		}
		if diff := cmp.Diff(want, unzip(t, w.Body.Bytes())); diff != "" {
			t.Errorf("files of %s (-want +got):\n%s", id, diff)
		}
		if w, _ := g.fetch("HEAD", downloads+id); w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Content-Type") != "application/zip" {
			t.Errorf("head of %s: %d %v, %d bytes", id, w.Code, w.Header(), w.Body.Len())
		}
	}
	want := map[string]int{webID + " " + firmware + " 4": 1, webID + " " + models + " 1": 1}
	if diff := cmp.Diff(want, p.fetched); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

// slow is a guest's connection on which it reads nothing until it is told to.
type slow struct {
	http.ResponseWriter
	reached, read chan struct{}
}

func (s slow) Write(p []byte) (int, error) {
	s.reached <- struct{}{}
	<-s.read
	return s.ResponseWriter.Write(p)
}

// TestPatchArchivesAtOnce holds that a guest has two archives made at the same time, that others have theirs all the same,
// and that it can have more when one has ended.
func TestPatchArchivesAtOnce(t *testing.T) {
	t.Parallel()
	p := newPatches(eve.Patch{ID: firmware, Files: []eve.PatchFile{text("f", "text")}})
	g := newGuest(eve.Config{Patches: p})
	reached, read, ended := make(chan struct{}), make(chan struct{}), make(chan int)
	status := func() int {
		w, _ := g.fetch("GET", downloads+firmware)
		return w.Code
	}
	for range 2 {
		handler := g.Ask("GET", downloads+firmware, "").Handler
		go func() {
			w := httptest.NewRecorder()
			handler.ServeHTTP(slow{w, reached, read}, httptest.NewRequest("GET", "/", nil))
			ended <- w.Code
		}()
		<-reached
	}
	if got := status(); got != http.StatusTooManyRequests {
		t.Errorf("a third one: %d", got)
	}
	if w, _ := g.fetch("GET", downloads+firmware+"/f"); w.Code != http.StatusOK {
		t.Errorf("a file: %d", w.Code)
	}
	p.app, g.Instance.UUID = stranger, stranger
	if got := status(); got != http.StatusOK {
		t.Errorf("another guest's: %d", got)
	}
	p.app, g.Instance.UUID = webID, webID
	close(read)
	go func() {
		for range reached { // the rest of their words
		}
	}()
	for range 2 {
		if got := <-ended; got != http.StatusOK {
			t.Errorf("one of the first two: %d", got)
		}
	}
	close(reached)
	if got := status(); got != http.StatusOK {
		t.Errorf("one more: %d", got)
	}
}

// vanishing is a guest's connection during which a file goes away.
type vanishing struct {
	http.ResponseWriter
	path string
}

func (v vanishing) Write(p []byte) (int, error) {
	_ = os.Remove(v.path)
	return v.ResponseWriter.Write(p)
}

// TestPatchArchiveBreaksOff holds that an archive which cannot be ended is not ended.
func TestPatchArchiveBreaksOff(t *testing.T) {
	t.Parallel()
	root := inFolder(t, map[string]string{"/last": "test"})
	large := strings.Repeat("0123456789abcdef", 64<<10)
	g := newGuest(eve.Config{Root: root, Patches: newPatches(
		eve.Patch{ID: firmware, Files: []eve.PatchFile{text("large", large), at("last", "/last", 4, "")}},
	)})
	handler := g.Ask("GET", downloads+firmware, "").Handler
	defer func() {
		if v := recover(); v != http.ErrAbortHandler { //nolint:errorlint // the value that net/http compares with
			t.Errorf("the connection was left with %v", v)
		}
	}()
	w, _ := newGuest(eve.Config{}).fetch("GET", "eve/v1/hostname")
	handler.ServeHTTP(vanishing{w, filepath.Join(root, "last")}, nil)
	t.Error("the archive was ended")
}

// TestPatchVolumes holds that volumes are served without being held in memory, and how much of them: a sparse file stands for
// a volume of 3 GiB, and a device has padding after its content.
func TestPatchVolumes(t *testing.T) {
	t.Parallel()
	root := inFolder(t, map[string]string{"/sparse": "head"})
	const size = 3 << 30
	if err := os.Truncate(filepath.Join(root, "sparse"), size); err != nil {
		t.Fatal(err)
	}
	volumes := []topic.BinaryBlobVolumeRef{{FileName: "sparse"}, {FileName: "zvol"}, {FileName: "whole"}, {FileName: "small"}}
	device := loopDevice(t, root, 64<<10, "content")
	g := newGuest(eve.Config{Root: root, Patches: newPatches(eve.Patch{ID: models, Volumes: volumes, Files: []eve.PatchFile{
		at("sparse", "/sparse", 4, ""), at("zvol", device, 7, ""), at("whole", device, 0, ""), at("small", device, 64<<10+1, ""),
	}})})
	for _, tt := range []struct{ file, ranges, want string }{
		{"sparse", "bytes=0-3", "206 head bytes 0-3/3221225472"},
		{"sparse", "bytes=-2", "206 \x00\x00 bytes 3221225470-3221225471/3221225472"},
		{"zvol", "", "200 content "},
		{"zvol", "bytes=3-", "206 tent bytes 3-6/7"},
		{"whole", "bytes=0-9", "206 content\x00\x00\x00 bytes 0-9/65536"},
		{"small", "", "500  "},
	} {
		w, _ := g.fetch("GET", downloads+models+"/"+tt.file, "Range", tt.ranges)
		if got := fmt.Sprint(w.Code, " ", w.Body, " ", w.Header().Get("Content-Range")); got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.file, tt.ranges, got, tt.want)
		}
	}
}

// TestPatchCounts holds what counts as a call and what as a download (EVE, TestRequestPatchEnvelopes): what guests read, not
// what they only look at.
func TestPatchCounts(t *testing.T) {
	t.Parallel()
	p := somePatches()
	g := newGuest(eve.Config{Patches: p, Root: inFolder(t, someFiles)})
	for _, method := range []string{"GET", "HEAD", "POST"} {
		for range 42 {
			_, _ = g.fetch(method, descriptions)
		}
		for range 24 {
			_, _ = g.fetch(method, downloads+firmware+"/cfg.bin")
		}
	}
	want := map[string]int{webID + " " + firmware + " 4": 42, webID + " " + models + " 1": 42}
	if diff := cmp.Diff(want, p.told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{webID + " " + firmware + " 4": 24}, p.fetched); diff != "" {
		t.Errorf("fetched (-want +got):\n%s", diff)
	}
}

// FuzzPatchDownload holds that no path leads to what is not a file of the guest's own patch envelopes.
func FuzzPatchDownload(f *testing.F) {
	root := inFolder(f, someFiles)
	if err := os.WriteFile(filepath.Join(root, "other"), []byte("other"), 0o600); err != nil {
		f.Fatal(err)
	}
	for _, path := range []string{
		firmware, firmware + "/cfg.bin", models + "/../" + firmware, firmware + "/../../other", firmware + "//other", "/", "//", "x/cfg.bin",
		firmware + "/" + root + "/other", firmware + "/keys & more/secret.txt", firmware + "/cfg.bin/", firmware + "/\x00",
	} {
		f.Add("GET", path)
		f.Add("HEAD", path)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		if method != http.MethodGet && method != http.MethodHead {
			return
		}
		w, err := newGuest(eve.Config{Patches: somePatches(), Root: root}).fetch(method, downloads+path)
		if err != nil || strings.Contains(w.Body.String(), "other") && w.Code == 200 {
			t.Errorf("%s %q: %d %q (%v)", method, path, w.Code, w.Body, err)
		}
	})
}
