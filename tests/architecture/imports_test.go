// SPDX-License-Identifier: Apache-2.0

// Package architecture_test holds the shape of the project: who may import whom, and which modules the
// binary is made of.
package architecture_test

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/lf-edge/eve-metadata/"

// rules is the table of imports inside the project, by folder: a package may import its own folder and
// those listed. The longest folder that fits decides; every package needs a row.
var rules = map[string][]string{
	// The nouns know nobody.
	"msrv/instance": {},
	"msrv/document": {},
	"nim/plan":      {},
	// A dialect knows the nouns; carriers know documents; the intake knows topics.
	"msrv/dialect": {"msrv/instance", "msrv/document"},
	// EVE's own dialect is EVE's topics in other words.
	"msrv/dialect/eve":   {"msrv/instance", "msrv/document", "msrv/dialect", "pkg/eve"},
	"msrv/node":          {"pkg/eve", "pkg/pubsub", "pkg/topics"},
	"msrv/patch":         {"msrv/dialect/eve", "pkg"},
	"msrv/store":         {"msrv/instance", "msrv/document", "msrv/dialect"},
	"msrv/httpd":         {"msrv/document", "msrv/dialect", "msrv/instance", "msrv/store", "pkg/endpoint", "pkg/task"},
	"msrv/report":        {"msrv/dialect", "msrv/instance", "pkg/eve", "pkg/pubsub"},
	"msrv/launch":        {"msrv/dialect", "msrv/instance", "pkg/eve", "pkg/pubsub"},
	"msrv/drive":         {"msrv/document", "pkg/atomicfile"},
	"msrv/drive/iso9660": {},
	"msrv/intake":        {"msrv/instance", "msrv/store", "pkg"},
	"msrv":               {"msrv", "pkg"},
	"nim/kernel":         {"nim/plan", "pkg/netns"},
	"nim/dnsmasq":        {"pkg/netns", "pkg/share"},
	"nim/intake":         {"nim/plan", "nim/dnsmasq", "pkg"},
	"nim":                {"nim", "pkg"},
	// What is under pkg stands alone, but for what it is made of.
	"pkg/eve":        {},
	"pkg/netns":      {},
	"pkg/neigh":      {},
	"pkg/share":      {},
	"pkg/confine":    {"pkg/share"},
	"pkg/endpoint":   {"pkg/share", "pkg/task"},
	"pkg/task":       {},
	"pkg/atomicfile": {},
	"pkg/mirror":     {"pkg/atomicfile", "pkg/share", "pkg/task"},
	"pkg/pubsub":     {"pkg/atomicfile", "pkg/share"},
	"pkg/feed":       {"pkg/eve", "pkg/pubsub", "pkg/task"},
	// A controller's feed also keeps what it was told last, and the node's identity.
	"pkg/feed/controller": {"pkg/feed", "pkg/envelope", "pkg/devicekey", "pkg/eve", "pkg/pubsub", "pkg/task", "pkg/atomicfile", "pkg/share"},
	"pkg/topics":          {"pkg/eve", "pkg/pubsub"},
	"pkg/envelope":        {},
	"pkg/cipher":          {"pkg/eve"},
	"pkg/devicekey":       {"pkg/eve", "pkg/cipher", "pkg/envelope", "pkg/atomicfile", "pkg/share"},
	// Only the commands, what shows them and the tests know all.
	"cmd":      {""},
	"examples": {""},
	"tests":    {""},
}

// never are imports that no row can allow: the server and the manager of the networks meet at topics and
// endpoints only, and what both stand on knows neither.
var never = [][2]string{{"msrv", "nim"}, {"nim", "msrv"}, {"pkg", "msrv"}, {"pkg", "nim"}, {"", "cmd"}}

type pkg struct {
	ImportPath string
	Imports    []string
	Standard   bool
	Module     *struct{ Path string }
}

// list runs `go list` on what the arguments say.
func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports,Standard,Module"}, args...)...)
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestImports(t *testing.T) {
	t.Parallel()
	used := make(map[string]bool)
	for _, p := range list(t, "./...") {
		from := strings.TrimPrefix(p.ImportPath, module)
		row, ok := rowOf(from)
		if !ok {
			t.Errorf("%s has no row in the table of imports", from)
			continue
		}
		used[row] = true
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module)
			if !ours || within(to, row) {
				continue
			}
			if !slices.ContainsFunc(rules[row], func(folder string) bool { return within(to, folder) }) {
				t.Errorf("%s imports %s: its row allows %v", from, to, rules[row])
			}
			for _, pair := range never {
				if within(from, pair[0]) && within(to, pair[1]) {
					t.Errorf("%s imports %s: that is never allowed", from, to)
				}
			}
		}
	}
	for row := range rules {
		if !used[row] {
			t.Errorf("row %q of the table of imports fits no package", row)
		}
	}
}

// rowOf finds the row with the longest folder that the package is in.
func rowOf(from string) (row string, ok bool) {
	for folder := range rules {
		if within(from, folder) && (!ok || len(folder) > len(row)) {
			row, ok = folder, true
		}
	}
	return row, ok
}

func within(path, folder string) bool {
	return folder == "" || path == folder || strings.HasPrefix(path, folder+"/")
}

var update = flag.Bool("update", false, "write the golden files anew")

// Every module in the binary is in a list that is reviewed: on an embedded image each one counts.
func TestModules(t *testing.T) {
	t.Parallel()
	modules := make(map[string]bool)
	for _, p := range list(t, "-deps", "./cmd/eve-metadata") {
		if !p.Standard && p.Module != nil {
			modules[p.Module.Path] = true
		}
	}
	delete(modules, strings.TrimSuffix(module, "/"))
	got := strings.Join(slices.Sorted(maps.Keys(modules)), "\n") + "\n"
	const golden = "testdata/modules.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("modules in the binary (-want +got; if wanted, refresh with -update and say why in the commit):\n%s", diff)
	}
}
