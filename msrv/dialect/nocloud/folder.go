// SPDX-License-Identifier: Apache-2.0

package nocloud

import (
	"cmp"
	"errors"
	"slices"

	"github.com/lf-edge/eve-metadata/msrv/document"
)

// folder is a directory while it is being filled; a document tree is never altered.
type folder struct {
	files   map[string]*document.Document
	folders map[string]*folder
}

func newFolder() *folder {
	return &folder{files: make(map[string]*document.Document), folders: make(map[string]*folder)}
}

// add puts a document at a path, which is new and leads through no file.
func (f *folder) add(elements []string, d *document.Document) error {
	name, rest := elements[0], elements[1:]
	if len(rest) == 0 {
		if f.files[name] != nil || f.folders[name] != nil {
			return errors.New("an earlier part has that name")
		}
		f.files[name] = d
		return nil
	}
	if f.files[name] != nil {
		return errors.New("an earlier part is a file where this one needs a directory")
	}
	if f.folders[name] == nil {
		f.folders[name] = newFolder()
	}
	return f.folders[name].add(rest, d)
}

// node is the folder as a tree, sorted by name.
func (f *folder) node() *document.Node {
	var entries []document.Entry
	for name, sub := range f.folders {
		entries = append(entries, document.Entry{Name: name, Node: sub.node()})
	}
	for name, d := range f.files {
		entries = append(entries, document.Entry{Name: name, Node: document.File(d)})
	}
	slices.SortFunc(entries, func(a, b document.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return document.Directory(nil, entries...)
}
