// SPDX-License-Identifier: Apache-2.0

package document_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/document"
)

func file(text string) *document.Node { return document.File(document.Text(text)) }

func entry(name string, n *document.Node) document.Entry { return document.Entry{Name: name, Node: n} }

// example is a tree with listings, a directory without one, and an optional entry that is not there.
func example() *document.Node {
	return document.Directory(document.Text("list"),
		entry("z", file("Z")),
		entry("missing", nil),
		entry("a", document.Directory(nil, entry("b", document.Directory(document.Text("b's"), entry("c", file("C")))))),
	)
}

// text is a tree as lines of path and content.
func text(t *testing.T, n *document.Node) string {
	t.Helper()
	var b strings.Builder
	err := n.Walk(func(path string, n *document.Node) error {
		fmt.Fprintf(&b, "%q %s %v\n", path, n.Document().Body(), n.IsDirectory())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWalk(t *testing.T) {
	t.Parallel()
	want := `"" list true
"z" Z false
"a/b" b's true
"a/b/c" C false
`
	if diff := cmp.Diff(want, text(t, example())); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestWalkStops(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	visits := 0
	err := example().Walk(func(path string, _ *document.Node) error {
		visits++
		if path == "z" {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || visits != 2 {
		t.Errorf("error %v after %d visits, want %v after 2", err, visits, stop)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, path, want string }{
		{"itself", "", "list"},
		{"a file", "z", "Z"},
		{"further down", "a/b/c", "C"},
		{"a listing", "a/b", "b's"},
		{"a directory without a listing", "a", "nothing"},
		{"no such name", "y", "nowhere"},
		{"the optional entry", "missing", "nowhere"},
		{"below a file", "z/c", "nowhere"},
		{"far below a file", "z/c/d/e", "nowhere"},
		{"two slashes", "a//b", "nowhere"},
		{"a slash at the start", "/z", "nowhere"},
		{"the parent", "a/../z", "nowhere"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := "nowhere"
			if n := example().Lookup(tt.path); n != nil {
				got = "nothing"
				if n.Document() != nil {
					got = string(n.Document().Body())
				}
			}
			if got != tt.want {
				t.Errorf("%q is %s, want %s", tt.path, got, tt.want)
			}
		})
	}
}

func TestValidName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"a": true, "0=key": true, "...": true, "\xff": true, ".hidden": true,
		"": false, ".": false, "..": false, "a/b": false, "/": false, "a\x00": false,
	} {
		if got := document.ValidName(name); got != want {
			t.Errorf("ValidName(%q) is %v, want %v", name, got, want)
		}
	}
}

func TestDirectoryPanics(t *testing.T) {
	t.Parallel()
	for name, entries := range map[string][]document.Entry{
		"two of one name": {entry("a", file("")), entry("a", file(""))},
		"no name":         {entry("../a", file(""))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("there is no panic")
				}
			}()
			document.Directory(nil, entries...)
		})
	}
}

func TestEntriesKeepOrder(t *testing.T) {
	t.Parallel()
	var got []string
	for _, e := range example().Entries() {
		got = append(got, e.Name)
	}
	if diff := cmp.Diff([]string{"z", "a"}, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestOverlay(t *testing.T) {
	t.Parallel()
	top := func(entries ...document.Entry) *document.Node { return document.Directory(nil, entries...) }
	for _, tt := range []struct {
		name  string
		trees []*document.Node
		want  string
	}{
		{"none", nil, ""},
		{"only nil", []*document.Node{nil, nil}, ""},
		{"one", []*document.Node{nil, top(entry("a", file("A")))}, "\"a\" A false\n"},
		{
			"side by side and merged",
			[]*document.Node{
				top(entry("b", file("B")), entry("d", top(entry("x", file("X"))))),
				nil,
				top(entry("d", top(entry("y", file("Y")))), entry("a", file("A"))),
			},
			"\"b\" B false\n\"d/x\" X false\n\"d/y\" Y false\n\"a\" A false\n",
		},
		{
			"the first listing stands",
			[]*document.Node{
				top(), document.Directory(document.Text("first")), document.Directory(document.Text("second")),
			},
			"\"\" first true\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n, err := document.Overlay(tt.trees...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, text(t, n)); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOverlayConflict(t *testing.T) {
	t.Parallel()
	top := func(entries ...document.Entry) *document.Node { return document.Directory(nil, entries...) }
	deep := func(n *document.Node) *document.Node { return top(entry("a", top(entry("b", n)))) }
	for name, trees := range map[string][]*document.Node{
		"two files":            {deep(file("1")), deep(file("2"))},
		"a file, a directory":  {deep(file("1")), deep(top())},
		"a directory, a file":  {deep(top()), deep(file("1"))},
		"in the third and one": {deep(file("1")), top(), deep(file("2"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := document.Overlay(trees...)
			if err == nil || !strings.Contains(err.Error(), `"/a/b"`) {
				t.Errorf("error %v does not name the path", err)
			}
		})
	}
}

// TestOverlayLeavesTreesAlone holds that trees stay as they were: they are shared.
func TestOverlayLeavesTreesAlone(t *testing.T) {
	t.Parallel()
	a, b := example(), document.Directory(nil, entry("new", file("N")))
	before := text(t, a)
	if _, err := document.Overlay(a, b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, text(t, a)); diff != "" {
		t.Errorf("the tree has changed (-before +after):\n%s", diff)
	}
	if a.Lookup("new") != nil {
		t.Error("the tree has a new entry")
	}
}

func TestFileOfNothing(t *testing.T) {
	t.Parallel()
	if n := document.File(nil); n != nil {
		t.Errorf("a file of no document is %v, want nothing", n)
	}
}
