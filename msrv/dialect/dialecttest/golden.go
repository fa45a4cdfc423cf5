// SPDX-License-Identifier: Apache-2.0

package dialecttest

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/document"
)

// maxGolden is the size from which on a document stands in a golden file as its hash.
const maxGolden = 8 << 10

// checkGolden compares trees with a golden file, or writes it.
func checkGolden(t *testing.T, dir, name string, trees []namedTree) {
	t.Helper()
	var b strings.Builder
	for _, tree := range trees {
		fmt.Fprintf(&b, "# %s\n%s", tree.carrier, goldenText(tree.root))
	}
	CheckFile(t, filepath.Join(dir, name+".golden"), b.String())
}

// CheckFile compares a text with a golden file. Where the test binary has a boolean flag -update that is
// set, it writes the file instead. (The flag is left to the tests: two packages of one test binary
// cannot both declare it.)
func CheckFile(t *testing.T, path, got string) {
	t.Helper()
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (write it with -update)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

// goldenText is a tree as text: a line with path and media type for each document, then its lines,
// quoted. A document or a whole directory that stands further up is one line that refers there.
func goldenText(root *document.Node) string {
	g := golden{docs: make(map[string]string), nodes: make(map[*document.Node]string)}
	g.add("/", root)
	return g.String()
}

type golden struct {
	strings.Builder
	docs  map[string]string // first path of a content
	nodes map[*document.Node]string
}

func (g *golden) add(path string, n *document.Node) {
	if where, twice := g.nodes[n]; twice {
		fmt.Fprintf(g, "%s = %s\n", path, where)
		return
	}
	g.nodes[n] = path
	if d := n.Document(); d != nil {
		g.addDocument(path, d)
	}
	for _, e := range n.Entries() {
		g.add(strings.TrimSuffix(path, "/")+"/"+e.Name, e.Node)
	}
}

func (g *golden) addDocument(path string, d *document.Document) {
	if d.Fault() != "" {
		fmt.Fprintf(g, "%s FAULT %q\n", path, d.Fault())
		return
	}
	id := d.Type() + d.ETag()
	if where, twice := g.docs[id]; twice && len(d.Body()) > 0 {
		fmt.Fprintf(g, "%s = %s\n", path, where)
		return
	}
	g.docs[id] = path
	fmt.Fprintf(g, "%s %s\n", path, d.Type())
	writeQuoted(&g.Builder, d.Body())
}

func writeQuoted(b *strings.Builder, body []byte) {
	if len(body) > maxGolden {
		fmt.Fprintf(b, "\t%d bytes, sha256 %x\n", len(body), sha256.Sum256(body))
		return
	}
	for line := range strings.Lines(string(body)) {
		b.WriteString("\t" + strconv.Quote(line) + "\n")
	}
}
