// SPDX-License-Identifier: Apache-2.0

package dialecttest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
)

// sections are what the README of a dialect has, in this order.
func sections() []string {
	return []string{"What the guest sees", "Drive", "Differences from the real cloud", "Examples"}
}

// example is what the README says that a path holds.
type example struct {
	carrier string // "GET" for HTTP, "FILE" on the drive
	path    string
	want    string
}

// Readme holds the README of a dialect to its sections, and to its examples for the instance Small. An
// example, in a fenced block of the section Examples, is a line "GET /path" or "FILE /path" and then the
// lines of the document, up to an empty line; none for an empty document, "404" for what is not there.
func Readme(t *testing.T, d dialect.Dialect, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sections(), headings(string(text))); diff != "" {
		t.Errorf("sections of %s (-want +got):\n%s", path, diff)
	}
	examples := parseExamples(string(text))
	if len(examples) == 0 {
		t.Fatalf("%s has no examples", path)
	}
	trees := make(map[string]*document.Node)
	for _, tree := range renderAll(t, d, Small()) {
		trees[map[string]string{"http metadata": "GET", "http router": "GET", "drive": "FILE"}[tree.carrier]] = tree.root
	}
	for _, e := range examples {
		if diff := cmp.Diff(e.want, answer(trees[e.carrier], e.path)); diff != "" {
			t.Errorf("%s: example %s %s (-README +rendered):\n%s", path, e.carrier, e.path, diff)
		}
	}
}

func headings(text string) []string {
	var found []string
	for line := range strings.Lines(text) {
		if h, ok := strings.CutPrefix(strings.TrimSpace(line), "## "); ok && slices.Contains(sections(), h) {
			found = append(found, h)
		}
	}
	return found
}

// answer is the text of a document as an example has it.
func answer(root *document.Node, path string) string {
	if root == nil {
		return "no such carrier"
	}
	n := root.Lookup(strings.Trim(path, "/"))
	switch {
	case n == nil || n.Document() == nil:
		return "404"
	case n.Document().Fault() != "":
		return fmt.Sprintf("fault %q", n.Document().Fault())
	}
	return strings.TrimRight(string(n.Document().Body()), "\n")
}

// parseExamples reads the fenced blocks of the section Examples.
func parseExamples(text string) []example {
	_, text, _ = strings.Cut(text, "\n## Examples\n")
	var examples []example
	var inBlock, inBody bool
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "```") {
			inBlock, inBody = !inBlock, false
			continue
		}
		carrier, path, _ := strings.Cut(line, " ")
		switch {
		case !inBlock:
		case carrier == "GET" || carrier == "FILE":
			examples = append(examples, example{carrier: carrier, path: path})
			inBody = true
		case line == "":
			inBody = false
		case inBody:
			e := &examples[len(examples)-1]
			e.want = strings.TrimPrefix(e.want+"\n"+line, "\n")
		}
	}
	return examples
}
