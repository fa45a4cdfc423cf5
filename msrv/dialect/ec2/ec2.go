// SPDX-License-Identifier: Apache-2.0

// Package ec2 words an instance as EC2's instance metadata does, in the versions that OpenStack's Nova
// serves too: one value per document, listings for directories.
//
// An instance.Instance comes in, a document tree goes out; the commands put the dialect into their list
// and the carriers deliver its tree. README.md says what a guest sees.
package ec2

import (
	"fmt"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// latest is an alias of the newest version.
const latest = "latest"

// versions are the versions of the EC2 API that Nova serves, oldest first; they compare as text. Newer
// dates must not answer at all until they are served in full: cloud-init takes the newest that does.
func versions() []string {
	return []string{
		"1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01",
		"2008-09-01", "2009-04-04",
	}
}

// Dialect is EC2's dialect, over HTTP.
func Dialect() dialect.Dialect {
	return dialect.Dialect{Name: "ec2", HTTP: []dialect.Service{{Site: dialect.Metadata, Render: http}}}
}

// http renders what is below "/": the versions, and the same again below "ec2".
func http(in *instance.Instance) (*document.Node, error) {
	leaves, err := leaves(in)
	if err != nil {
		return nil, fmt.Errorf("render ec2 for instance %q: %w", in.UUID, err)
	}
	user := document.Entry{Name: "user-data", Node: document.File(dialect.UserData(in))}
	var entries []document.Entry
	var newest *document.Node
	leavesOfNewest := 0
	for _, v := range versions() {
		// A version that adds nothing is the one before under another name.
		if of := known(leaves, v); len(of) > leavesOfNewest {
			newest = directory(document.Entry{Name: "meta-data", Node: directory(of...)}, user)
			leavesOfNewest = len(of)
		}
		entries = append(entries, document.Entry{Name: v, Node: newest})
	}
	entries = append(entries, document.Entry{Name: latest, Node: newest})
	listing := document.Text(strings.Join(append(versions(), latest), "\n"))
	prefixed := document.Directory(listing, entries...)
	return document.Directory(listing, append(entries, document.Entry{Name: "ec2", Node: prefixed})...), nil
}

// directory is a directory with the listing that EC2 gives it: a name per line, directories with a
// slash. Entries without a node are left out of both.
func directory(entries ...document.Entry) *document.Node {
	var lines []string
	for _, e := range entries {
		switch {
		case e.Node == nil:
		case e.Node.IsDirectory():
			lines = append(lines, e.Name+"/")
		default:
			lines = append(lines, e.Name)
		}
	}
	return document.Directory(document.Text(strings.Join(lines, "\n")), entries...)
}
