// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/tests/program"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

// read is what the shell guest's reader of JSON makes of a document, and how it ends.
func read(t *testing.T, document []byte, how string, path ...string) (text string, exit int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "busybox", "awk", "-f", "shell/json.awk")
	want := ""
	for _, name := range path {
		want += "\n" + name
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOW=" + how, "WANT=" + want}
	cmd.Stdin = bytes.NewReader(document)
	out, err := cmd.Output()
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended):
		return string(out), ended.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	return string(out), 0
}

func TestShellJSON(t *testing.T) {
	t.Parallel()
	tool.Need(t, "busybox", "busybox")
	for _, tt := range []struct {
		name, document, how string
		path                []string
		want                string
		exit                int
	}{
		{"text", `{"a":"b c"}`, "get", []string{"a"}, "b c", 0},
		{"nested", ` { "a" : [ { } , { "b" : "c" } ] } `, "get", []string{"a", "1", "b"}, "c", 0},
		{"empty text", `{"a":""}`, "get", []string{"a"}, "", 0},
		{"number", `[1, -0.5e+3]`, "get", []string{"1"}, "-0.5e+3", 0},
		{"boolean", `{"a":true}`, "get", []string{"a"}, "true", 0},
		{"null", `{"a":null}`, "get", []string{"a"}, "", 1},
		{"not there", `{"a":"b"}`, "get", []string{"b"}, "", 1},
		{"no text but an object", `{"a":{}}`, "get", []string{"a"}, "", 1},
		{"deeper", `{"b":{"a":"c"}}`, "get", []string{"a"}, "", 1},
		{"twice", `{"a":"b","a":"c"}`, "get", []string{"a"}, "c", 0},
		{"escapes", `"\"\\\/\b\f\n\r\t&\\u0041"`, "get", nil, "\"\\/\b\f\n\r\t&\\u0041", 0},
		{"code points", `"\u0041\u00e9\u20AC\ud83d\ude00 é€😀"`, "get", nil, "Aé€😀 é€😀", 0},
		{"names", `{"a":1,"b c":{"d":2},"e=":[]}`, "names", nil, "a\nb c\ne=\n", 0},
		{"numbers", `{"a":["x","y"]}`, "names", []string{"a"}, "0\n1\n", 0},
		{"no names", `{"a":[]}`, "names", []string{"a"}, "", 0},
		{"names of a text", `{"a":"b"}`, "names", []string{"a"}, "", 1},

		{"YAML", "instance-id: web\n", "names", nil, "", 2},
		{"nothing", "", "names", nil, "", 2},
		{"cut short", `{"a":"b"`, "get", []string{"a"}, "", 2},
		{"more", `{"a":"b"} c`, "get", []string{"a"}, "", 2},
		{"comma at the end", `["a",]`, "names", nil, "", 2},
		{"no comma", `["a" "b"]`, "names", nil, "", 2},
		{"not a number", `[01]`, "names", nil, "", 2},
		{"not a word", `[nullify]`, "names", nil, "", 2},
		{"no quotes", `{a:"b"}`, "names", nil, "", 2},
		{"text over two lines", "\"a\nb\"", "get", nil, "", 2},
		{"unknown escape", `"\a"`, "get", nil, "", 2},
		{"half of a code point", `"\ud83d"`, "get", nil, "", 2},
		{"NUL", `"\u0000"`, "get", nil, "", 2},
		{"line break in a name", `{"a\nb":"c"}`, "get", []string{"a", "b"}, "", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, exit := read(t, []byte(tt.document), tt.how, tt.path...)
			if got != tt.want || exit != tt.exit {
				t.Errorf("%s %q of %s = %q, exit code %d; want %q, %d", tt.how, tt.path, tt.document, got, exit, tt.want, tt.exit)
			}
		})
	}
}

// manifests are an app with what is hard to read in it.
const manifests = `kind: network
name: blue
subnet: 10.11.12.0/24
---
kind: app
name: web
hostname: web-1
availabilityZone: 'hall 7 <"&\é€😀>'
launchIndex: 7
tags: {'role:a "b"': '{"b": [0]}', none: ""}
sshKeys:
  - {name: operator, key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAQ4zZQWo5UGiiQ5Stw9unr2/UZLr5yBwFrE5fsnWats 'o=p' \@example.com}
  - {name: 'an other', key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAQ4zZQWo5UGiiQ5Stw9unr2/UZLr5yBwFrE5fsnWatt é}
files:
  - {path: /etc/a file, text: hello}
adapters:
  - {name: eth0, network: blue}
`

// TestShellReadsDrives: all that is on the service's drives is there for the shell guest too, value by value.
func TestShellReadsDrives(t *testing.T) {
	t.Parallel()
	tool.Need(t, "busybox", "busybox")
	tool.Need(t, "bsdtar", "libarchive-tools")
	binary, dir := program.Build(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "web.yaml"), []byte(manifests), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ kind, file string }{
		{"nocloud", "meta-data"},
		{"configdrive", "openstack/latest/meta_data.json"},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			t.Parallel()
			to := t.TempDir()
			image := filepath.Join(to, "image")
			cmd := exec.CommandContext(t.Context(), binary, "drive", "-m", dir, "--kind", tt.kind, "-o", image, "web")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if out, err := exec.CommandContext(t.Context(), "bsdtar", "-xf", image, "-C", to).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			document, err := os.ReadFile(filepath.Join(to, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			decoder := json.NewDecoder(bytes.NewReader(document))
			decoder.UseNumber()
			var all any
			if err := decoder.Decode(&all); err != nil {
				t.Fatal(err)
			}
			want, got := make(map[string]string), make(map[string]string)
			flatten(want, all, "")
			readAll(t, got, document)
			if diff := cmp.Diff(want, got); diff != "" || len(want) < 5 {
				t.Errorf("%s (-want +got):\n%s", document, diff)
			}
		})
	}
}

// flatten adds the texts, numbers and truth values in a value to those in all, by path.
func flatten(all map[string]string, value any, path string) {
	switch v := value.(type) {
	case map[string]any:
		for name, value := range v {
			flatten(all, value, path+"\n"+name)
		}
	case []any:
		for n, value := range v {
			flatten(all, value, path+"\n"+strconv.Itoa(n))
		}
	case nil:
	default:
		all[path] = fmt.Sprint(v)
	}
}

// readAll adds the same, as the shell guest reads them.
func readAll(t *testing.T, all map[string]string, document []byte, path ...string) {
	t.Helper()
	names, exit := read(t, document, "names", path...)
	if exit != 0 {
		if text, exit := read(t, document, "get", path...); exit == 0 {
			all["\n"+strings.Join(path, "\n")] = text
		}
	}
	for name := range strings.Lines(names) {
		readAll(t, all, document, append(path, strings.TrimSuffix(name, "\n"))...)
	}
}
