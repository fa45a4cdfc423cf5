// SPDX-License-Identifier: Apache-2.0

package document

import (
	"fmt"
	"slices"
	"strings"
)

// Node is a place in a tree: a file, or a directory with its children. A directory may answer too: its
// document is then the listing, in the words of the cloud that the tree speaks for.
type Node struct {
	doc       *Document
	directory bool
	entries   []Entry          // in the dialect's order
	index     map[string]*Node // of many entries; nil for few, which are looked through: most of a tree is small
}

// fewEntries is how many entries are looked through one by one.
const fewEntries = 32

// Entry is a named child of a directory.
type Entry struct {
	Name string // one path element: not empty, no slash, not "." or ".."
	Node *Node
}

// File makes a node that holds one document; nil, which Directory leaves out, for no document.
func File(d *Document) *Node {
	if d == nil {
		return nil
	}
	return &Node{doc: d}
}

// Directory makes a node with children. The listing is what a request for the directory itself gets;
// nil when there is nothing to get. Entries keep their order. An entry whose Node is nil is left out,
// so that optional documents read well where trees are built. It panics when two entries have one
// name or a name is not a path element, which only a bug in a dialect can bring about: names that come
// from outside are checked with ValidName first.
func Directory(listing *Document, entries ...Entry) *Node {
	n := &Node{doc: listing, directory: true, entries: make([]Entry, 0, len(entries))}
	if len(entries) > fewEntries {
		n.index = make(map[string]*Node, len(entries))
	}
	for _, e := range entries {
		if e.Node == nil {
			continue
		}
		if !ValidName(e.Name) {
			panic(fmt.Sprintf("document: %q is no name for an entry", e.Name))
		}
		if n.child(e.Name) != nil {
			panic(fmt.Sprintf("document: two entries %q in one directory", e.Name))
		}
		if n.index != nil {
			n.index[e.Name] = e.Node
		}
		n.entries = append(n.entries, e)
	}
	return n
}

// child is the entry of a name; nil for none.
func (n *Node) child(name string) *Node {
	if n.index != nil {
		return n.index[name]
	}
	for i := range n.entries {
		if n.entries[i].Name == name {
			return n.entries[i].Node
		}
	}
	return nil
}

// ValidName tells whether a name can stand in a tree: one path element, not empty, not "." or "..".
func ValidName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}

// IsDirectory tells whether the node has, or may have, children.
func (n *Node) IsDirectory() bool { return n.directory }

// Document is what a request for the node itself gets: content, a listing, or nil for nothing.
func (n *Node) Document() *Document { return n.doc }

// Entries are the children in the dialect's order; callers only read them.
func (n *Node) Entries() []Entry { return n.entries }

// Lookup finds the node at a path below this one: elements separated by single slashes, no slash at
// either end, "" for the node itself. nil when there is no such node, also below a file.
func (n *Node) Lookup(path string) *Node {
	for path != "" && n != nil {
		name, rest, _ := strings.Cut(path, "/")
		n, path = n.child(name), rest
	}
	return n
}

// Walk calls visit for every node that has a document, listings included, parents before children and
// siblings in their order, and stops at its first error. The path of the node itself is "".
func (n *Node) Walk(visit func(path string, n *Node) error) error { return n.walk("", visit) }

func (n *Node) walk(path string, visit func(string, *Node) error) error {
	if n.doc != nil {
		if err := visit(path, n); err != nil {
			return err
		}
	}
	for _, e := range n.entries {
		below := e.Name
		if path != "" {
			below = path + "/" + e.Name
		}
		if err := e.Node.walk(below, visit); err != nil {
			return err
		}
	}
	return nil
}

// Overlay lays trees over one another: a directory has the children of all, a path that several trees
// answer is answered by the first of them. Two files, or a file and a directory, at one path are an
// error that names the path. nil trees are skipped.
func Overlay(trees ...*Node) (*Node, error) { return overlay("", trees) }

func overlay(path string, trees []*Node) (*Node, error) {
	trees = slices.DeleteFunc(slices.Clone(trees), func(n *Node) bool { return n == nil })
	switch len(trees) {
	case 0:
		return Directory(nil), nil
	case 1:
		return trees[0], nil
	}
	var listing *Document
	var order []string
	parts := make(map[string][]*Node)
	for _, t := range trees {
		if !t.IsDirectory() {
			return nil, fmt.Errorf("overlay trees: two of them hold %q", "/"+path)
		}
		if listing == nil {
			listing = t.doc
		}
		for _, e := range t.entries {
			if parts[e.Name] == nil {
				order = append(order, e.Name)
			}
			parts[e.Name] = append(parts[e.Name], e.Node)
		}
	}
	entries := make([]Entry, len(order))
	for i, name := range order {
		n, err := overlay(strings.TrimPrefix(path+"/"+name, "/"), parts[name])
		if err != nil {
			return nil, err
		}
		entries[i] = Entry{Name: name, Node: n}
	}
	return Directory(listing, entries...), nil
}
