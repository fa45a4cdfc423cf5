// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"slices"
	"strconv"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
)

// entry is a name in EC2's tree and what it stands for: a file, or a directory of further entries. An
// entry with neither is not there, so that optional ones read well where the tree is built.
type entry struct {
	since string // the first version that has it; "" for as old as the directory that it is in
	name  string
	line  string // that its directory lists it by; "" for its name
	file  *document.Node
	value any // of a file, in JSON: a string, a number, a list of strings
	below []entry
}

// text is a file of one line, not there for an empty text.
func text(since, name, t string) entry {
	if t = dialect.Word(t); t == "" {
		return entry{name: name}
	}
	return line(since, name, t)
}

// line is a file of one line as it is, without a line break at its end, which clients would keep.
func line(since, name, t string) entry {
	return entry{since: since, name: name, file: document.File(document.Text(t)), value: t}
}

// number is a file that holds a number.
func number(since, name string, n int) entry {
	e := line(since, name, strconv.Itoa(n))
	e.value = n
	return e
}

// list is a file of some lines; those that are empty are left out, and so is an empty file.
func list(since, name string, lines ...string) entry {
	var words []string
	for _, l := range lines {
		if l = dialect.Word(l); l != "" {
			words = append(words, l)
		}
	}
	if words == nil {
		return entry{name: name}
	}
	e := line(since, name, strings.Join(words, "\n"))
	e.value = words
	return e
}

// directory has entries in the order of its listing; it is there when one of them is.
func directory(since, name string, below ...entry) entry {
	return entry{since: since, name: name, below: below}
}

// isListable tells whether a name from outside can be a line of a listing and an element of a path.
// Clients take a line with '=' for that of a public key.
func isListable(name string) bool {
	return document.ValidName(name) && dialect.OneLine(name) == name && !strings.Contains(name, "=")
}

// at is the entry as a version has it; nil for nothing. before is what it was in the version before, and
// still is where nothing came to it: twenty-five versions do not cost twenty-five trees.
func (e entry) at(version string, before *document.Node) *document.Node {
	switch {
	case e.since > version:
		return nil
	case e.file != nil:
		return e.file
	}
	var lines []string
	var entries []document.Entry
	for _, child := range e.below {
		n := child.at(version, before.Lookup(child.name))
		if n == nil {
			continue
		}
		lines = append(lines, child.listed())
		entries = append(entries, document.Entry{Name: child.name, Node: n})
	}
	switch {
	case entries == nil:
		return nil
	case before != nil && slices.Equal(entries, before.Entries()):
		return before
	}
	return document.Directory(document.Text(strings.Join(lines, "\n")), entries...)
}

// listed is the line of an entry that is there: its name, with a slash for a directory.
func (e entry) listed() string {
	switch {
	case e.line != "":
		return e.line
	case e.file == nil:
		return e.name + "/"
	}
	return e.name
}

// json is the entry as a version has it, as one value; nil for nothing.
func (e entry) json(version string) any {
	switch {
	case e.since > version:
		return nil
	case e.file != nil:
		return e.value
	}
	object := make(map[string]any)
	for _, child := range e.below {
		if v := child.json(version); v != nil {
			object[child.name] = v
		}
	}
	if len(object) == 0 {
		return nil
	}
	return object
}
