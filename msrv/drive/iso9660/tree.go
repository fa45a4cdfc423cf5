// SPDX-License-Identifier: Apache-2.0

package iso9660

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// extent is a run of sectors with a size in bytes.
type extent struct {
	sector, size uint32
}

// sectorsFor returns how many sectors hold size bytes, at least one: even an
// empty file gets a sector, since some readers take files that share their
// location with something else for that thing.
func sectorsFor(size int) int {
	return (max(size, 1) + SectorSize - 1) / SectorSize
}

// content is what one or more equal files hold.
type content struct {
	extent
	data []byte
}

// node is a file or a directory of the image.
type node struct {
	name     string    // as given; empty for the root
	short    string    // plain ISO 9660 name without version
	parent   *node     // the root is its own
	content  *content  // nil for directories
	children []*node   // of a directory
	place    [2]extent // of a directory, in each hierarchy
	number   uint16    // of a directory, in the path table being written
}

func (d *node) isDirectory() bool { return d.content == nil }

// tree is the checked form of an image's files.
type tree struct {
	root     *node
	nodes    map[string]*node // by path
	dirs     int
	contents []*content         // in the order of the paths
	bySize   map[int][]*content // to find equal ones
	sectors  int                // of all contents
	limit    int                // of the image, in bytes
}

// newTree checks the files and makes a tree of them that does not depend on
// their order. Limit is how many bytes the image may have.
func newTree(files []File, limit int) (*tree, error) {
	if len(files) > MaxFiles {
		return nil, fmt.Errorf("%d files, more than %d", len(files), MaxFiles)
	}
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	t := &tree{
		root:   &node{},
		nodes:  make(map[string]*node, 2*len(files)),
		dirs:   1,
		bySize: make(map[int][]*content, len(files)),
		limit:  limit,
	}
	t.root.parent = t.root
	t.nodes["."] = t.root
	for _, f := range files {
		if err := t.add(f); err != nil {
			return nil, fmt.Errorf("add file %.*q: %w", MaxPath, f.Path, err)
		}
	}
	t.finish(t.root)
	return t, nil
}

// add adds a file. Files come sorted by path, so a file comes before every path
// in which it would be a directory.
func (t *tree) add(f File) error {
	if err := checkPath(f.Path); err != nil {
		return err
	}
	if t.nodes[f.Path] != nil {
		return errors.New("path is there twice")
	}
	dir, err := t.directory(path.Dir(f.Path))
	if err != nil {
		return err
	}
	c, err := t.content(f.Data)
	if err != nil {
		return err
	}
	t.link(dir, f.Path, c)
	return nil
}

// directory returns the directory at a path and makes it if it is not there.
func (t *tree) directory(dir string) (*node, error) {
	if n := t.nodes[dir]; n != nil {
		if !n.isDirectory() {
			return nil, fmt.Errorf("%q is a file and cannot be a directory", dir)
		}
		return n, nil
	}
	parent, err := t.directory(path.Dir(dir))
	if err != nil {
		return nil, err
	}
	if t.dirs++; t.dirs > MaxDirectories {
		return nil, fmt.Errorf("more than %d directories", MaxDirectories)
	}
	return t.link(parent, dir, nil), nil
}

func (t *tree) link(parent *node, full string, c *content) *node {
	n := &node{name: path.Base(full), parent: parent, content: c}
	parent.children = append(parent.children, n)
	t.nodes[full] = n
	return n
}

// content returns the content that equals data, new or not.
func (t *tree) content(data []byte) (*content, error) {
	for _, c := range t.bySize[len(data)] {
		if bytes.Equal(c.data, data) {
			return c, nil
		}
	}
	if len(data) > t.limit-t.sectors*SectorSize {
		return nil, fmt.Errorf("image is larger than %d bytes", t.limit)
	}
	c := &content{data: data, extent: extent{size: uint32(len(data))}}
	t.sectors += sectorsFor(len(data))
	t.contents = append(t.contents, c)
	t.bySize[len(data)] = append(t.bySize[len(data)], c)
	return c, nil
}

// finish sorts the children of d, and of the directories in it, by name and
// gives them their short names.
func (t *tree) finish(d *node) {
	slices.SortFunc(d.children, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	d.setShortNames()
	for _, c := range d.children {
		if c.isDirectory() {
			t.finish(c)
		}
	}
}
