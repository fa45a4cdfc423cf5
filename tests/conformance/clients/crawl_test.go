// SPDX-License-Identifier: Apache-2.0

package clients_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/tests/tool"
)

// answer is what curl got.
type answer struct {
	Code   int                 `json:"code"`
	Header map[string][]string `json:"header"` // names in lower case
	body   string              // none for HEAD
}

// curl fetches paths of a server in one go, as they are, with further options of curl's.
func (g *guest) curl(t *testing.T, server string, paths []string, options ...string) []answer {
	t.Helper()
	dir := t.TempDir()
	config := strings.Join(append(options, "silent", "path-as-is", "globoff", `write-out = "{\"code\":%{http_code},\"header\":%{header_json}}"`), "\n")
	for i, p := range paths {
		config += fmt.Sprintf("\nurl = %q\noutput = %q", server+p, filepath.Join(dir, fmt.Sprint(i)))
	}
	out := json.NewDecoder(strings.NewReader(string(g.run(t, config, "curl", "--config", "-"))))
	answers := make([]answer, len(paths))
	for i := range answers {
		if err := out.Decode(&answers[i]); err != nil {
			t.Fatalf("%s%s: %v", server, paths[i], err)
		}
		body, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil && !os.IsNotExist(err) { // of an empty document
			t.Fatal(err)
		}
		answers[i].body = string(body)
		delete(answers[i].Header, "date")
	}
	return answers
}

// tree is a place that a crawl starts from.
type tree struct {
	server, start string
	versions      bool // what it lists are versions, which are directories without a slash
}

// testCrawl has curl fetch all that is listed, from every guest, and then what is in the newest versions
// once more in other ways.
func (w *world) testCrawl(t *testing.T) {
	tool.Need(t, "curl", "curl")
	for _, name := range []string{"full eth0", "full eth1", "strict eth0", "plain eth0", "ignited eth0"} {
		g := w.guests[name]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token, err := g.token(t, 1)
			if err != nil {
				t.Fatal(err)
			}
			header := fmt.Sprintf("header = %q", tokenHeader+": "+token) // which curl does not send without a value
			router := "http://" + g.status.BridgeIPAddr.String()
			for _, tr := range []tree{
				{metadata, "/", true}, {metadata, "/openstack", true}, {metadata, "/ec2/latest/", false}, {metadata, "/nocloud/", false},
				{router, "/latest/", false}, {router, "/latest/meta-data/", false},
			} {
				found := g.crawl(t, tr, header)
				if len(found) < 2 {
					t.Errorf("%s%s lists nothing", tr.server, tr.start)
				}
				maps.DeleteFunc(found, func(p string, _ answer) bool {
					return tr.versions && !strings.HasPrefix(p, path.Join(tr.start, "latest"))
				})
				g.checkSpellings(t, tr.server, found, header)
				g.checkHead(t, tr.server, found, header)
			}
			g.checkFiles(t, metadata)
		})
	}
}

// crawl fetches what is listed below a path, level by level. Everything is a 200.
func (g *guest) crawl(t *testing.T, tr tree, header string) map[string]answer {
	t.Helper()
	found := make(map[string]answer)
	for level, depth := []string{tr.start}, 0; len(level) > 0; depth++ {
		var next []string
		for i, a := range g.curl(t, tr.server, level, header) {
			p := level[i]
			found[p] = a
			if a.Code != http.StatusOK {
				t.Errorf("%s%s is listed and is a %d", tr.server, p, a.Code)
			}
			if depth == 0 || strings.HasSuffix(p, "/") {
				next = append(next, children(p, a.body, depth == 0 && tr.versions)...)
			}
		}
		level = next
	}
	return found
}

// children are the paths that a directory lists: a final slash marks a directory, and "0=name" is the
// directory 0.
func children(dir, listing string, directories bool) []string {
	var paths []string
	for line := range strings.SplitSeq(listing, "\n") {
		name, isDirectory := strings.CutSuffix(line, "/")
		if number, _, ok := strings.Cut(name, "="); ok {
			name, isDirectory = number, true
		}
		p := path.Join(dir, "/", url.PathEscape(name))
		if isDirectory || directories {
			p += "/"
		}
		paths = append(paths, p)
	}
	return paths
}

// checkSpellings fetches paths in other spellings, which all get the same answer: with and without a slash
// at the end, with doubled slashes and dots between, with escapes.
func (g *guest) checkSpellings(t *testing.T, server string, found map[string]answer, header string) {
	t.Helper()
	var paths, spellings []string
	for p := range found {
		bare := strings.TrimSuffix(p, "/")
		for _, s := range []string{
			bare, bare + "/", strings.ReplaceAll(p, "/", "//"), "/." + p, "/x/.." + p,
			strings.NewReplacer(".", "%2e", "-", "%2D", "_", "%5f").Replace(p), p[:1] + strings.ReplaceAll(p[1:], "/", "%2F"),
		} {
			paths, spellings = append(paths, p), append(spellings, s)
		}
	}
	for i, got := range g.curl(t, server, spellings, header) {
		want := found[paths[i]]
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); diff != "" {
			t.Errorf("%s%s is not as %s (-want +got):\n%s", server, spellings[i], paths[i], diff)
		}
	}
}

// checkHead holds that HEAD has the headers of GET.
func (g *guest) checkHead(t *testing.T, server string, found map[string]answer, header string) {
	t.Helper()
	paths := slices.Sorted(maps.Keys(found))
	for i, got := range g.curl(t, server, paths, header, "head") {
		want := found[paths[i]]
		if got.Code != want.Code || !cmp.Equal(want.Header, got.Header) {
			t.Errorf("HEAD %s%s: %d (-GET +HEAD):\n%s", server, paths[i], got.Code, cmp.Diff(want.Header, got.Header))
		}
	}
}

// checkFiles fetches the files that OpenStack's metadata lists.
func (g *guest) checkFiles(t *testing.T, server string) {
	t.Helper()
	var metadata struct {
		Files []struct {
			Path        string
			ContentPath string `json:"content_path"`
		}
	}
	if err := json.Unmarshal([]byte(g.curl(t, server, []string{"/openstack/latest/meta_data.json"})[0].body), &metadata); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, f := range metadata.Files {
		a := g.curl(t, server, []string{"/openstack" + f.ContentPath})[0]
		if a.Code != http.StatusOK {
			t.Errorf("%s is a %d", f.ContentPath, a.Code)
		}
		got[f.Path] = a.body
	}
	want := map[string]string{}
	if g.app == "full" {
		want = map[string]string{"/etc/plant/site.conf": "listen = 10.11.12.5\n", "/etc/plant/key.bin": "\x00\x01\xfe\xff"}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}
