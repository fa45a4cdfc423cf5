// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
)

// reader reads the files of a directory, on behalf of one of its manifests.
type reader struct {
	fsys fs.FS
	dir  string   // how the directory is called in messages; may be ""
	refs []string // files that were asked for by content
}

// display is the name of a file as messages have it.
func (r *reader) display(name string) string { return filepath.Join(r.dir, filepath.FromSlash(name)) }

// list returns the names of the files that are manifests or configurations, sorted.
func list(fsys fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() || !isInput(e.Name()) {
			continue
		}
		if len(names) == maxFiles {
			return nil, fmt.Errorf("more than %d files", maxFiles)
		}
		names = append(names, e.Name())
	}
	return names, nil
}

// isInput says whether a file is read for its name: what editors leave behind (.web.yaml.swp, #web.yaml#, web.yaml~) is
// not, nor is anything else of another ending.
func isInput(name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") {
		return false
	}
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json", ".pb", ".bin":
		return true
	}
	return false
}

// content reads a file that a manifest refers to.
func (r *reader) content(name string) ([]byte, error) {
	clean := path.Clean(name)
	if !fs.ValidPath(clean) || clean == "." {
		return nil, fmt.Errorf("%q is not the path of a file in the directory of the manifest or below it", name)
	}
	r.refs = append(r.refs, clean)
	data, err := r.read(clean, MaxContent)
	if err != nil {
		return nil, fmt.Errorf("%q %w", name, err)
	}
	return data, nil
}

// read returns the bytes of a file that has at most limit of them. Only a regular file is opened: opening anything else
// could wait for ever. The error follows the name of the file.
func (r *reader) read(name string, limit int) ([]byte, error) {
	info, err := fs.Stat(r.fsys, name)
	if err != nil {
		return nil, plain(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	f, err := r.fsys.Open(name)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close() // nothing was written: closing cannot lose anything
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, plain(err)
	}
	if len(data) > limit {
		return nil, fmt.Errorf("is larger than %d bytes", limit)
	}
	return data, nil
}

// plain drops from a file system's error what the message around it says already.
func plain(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("does not exist")
	}
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}
