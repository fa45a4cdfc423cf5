// SPDX-License-Identifier: Apache-2.0

package cloudstack_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

// python is Debian's, which has the modules of the package cloud-init.
const python = "/usr/bin/python3"

// understood is what cloud-init made of an instance.
type understood struct {
	InstanceID string         `json:"instance-id"`
	Zone       string         `json:"availability-zone"`
	Hostname   string         `json:"hostname"`
	Keys       []string       `json:"public-keys"`
	UserData   []byte         `json:"user-data"`
	Metadata   map[string]any `json:"metadata"`
	Password   string         `json:"password"`
}

// TestCloudInit boots a guest twice: cloud-init's own data source reads the tree over HTTP, and with its
// client of the password server, which is wget, the password. The second boot has the saved password.
func TestCloudInit(t *testing.T) {
	t.Parallel()
	tool.Need(t, tool.Cloudinit, "cloud-init")
	tool.Need(t, "wget", "wget")
	rich := dialecttest.Rich()
	for _, tt := range []struct {
		name string
		in   *instance.Instance
		want understood
	}{
		{"small", dialecttest.Small(), understood{Hostname: "web-server.eve.internal"}},
		{"empty", dialecttest.Empty(), understood{Hostname: "empty"}},
		{"rich", rich, understood{Hostname: "db.green.example.com", Zone: "munich-1a", Password: dialecttest.Secret}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := guest("")
			g.Instance = tt.in
			want := tt.want
			want.InstanceID, want.UserData = tt.in.ID(), append([]byte{}, tt.in.UserData...)
			want.Keys = []string{}
			for _, k := range tt.in.Keys {
				want.Keys = append(want.Keys, k.Data)
			}
			want.Metadata = decoded(metadata(t, tt.in))
			for boot := range 2 {
				if boot > 0 {
					want.Password = ""
				}
				if diff := cmp.Diff(want, readWithCloudInit(t, g)); diff != "" {
					t.Errorf("boot %d (-want +got):\n%s", boot+1, diff)
				}
			}
		})
	}
}

// decoded are values as cloud-init takes them: several lines are a list.
func decoded(files map[string]string) map[string]any {
	md := make(map[string]any)
	for name, text := range files {
		md[name] = text
		if lines := strings.Split(text, "\n"); len(lines) > 1 {
			list := make([]any, len(lines))
			for i, line := range lines {
				list[i] = line
			}
			md[name] = list
		}
	}
	return md
}

func readWithCloudInit(t *testing.T, g *dialecttest.Guest) understood {
	t.Helper()
	tree, passwords := treeServer(t, router(t, g.Instance)), passwordServer(t, g)
	cmd := exec.CommandContext(t.Context(), python, "-B", "testdata/boot.py",
		tree.Listener.Addr().String(), passwords.Listener.Addr().String(), t.TempDir())
	cmd.Env = append(os.Environ(), "no_proxy=127.0.0.1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cloud-init cannot read it: %v\n%s", err, &stderr)
	}
	var got understood
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return got
}

// treeServer serves the documents of a tree.
func treeServer(t *testing.T, root *document.Node) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := root.Lookup(strings.Trim(r.URL.Path, "/"))
		if n == nil || n.Document() == nil {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(n.Document().Body())
	}))
	t.Cleanup(s.Close)
	return s
}
