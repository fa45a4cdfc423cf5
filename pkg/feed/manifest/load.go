// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"io/fs"
	"os"
	"slices"

	"github.com/lf-edge/eve-metadata/pkg/feed"
)

// Load reads a directory once and returns what the good files in it say, and what is wrong with the others: *Error
// where a file is to blame, any other error when the directory cannot be read. Messages call the files by dir and name.
// The errors may also hold what a configuration of a controller says of single apps, which are part of the set.
func Load(dir string) (feed.Set, []error) { return load(os.DirFS(dir), dir) }

// LoadFS is Load for any file system, of which it reads the root; messages call the files by their bare names.
func LoadFS(fsys fs.FS) (feed.Set, []error) { return load(fsys, "") }

func load(fsys fs.FS, dir string) (feed.Set, []error) {
	c := newCatalogue()
	r, err := c.read(fsys, dir)
	if err != nil {
		return feed.Set{}, []error{err}
	}
	return r.set, slices.Clip(r.errs)
}

func newCatalogue() *catalogue { return &catalogue{good: map[string]accepted{}} }
