// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lf-edge/eve-metadata/msrv/document"
)

// File is an open file of the node, or a volume's block device.
type File struct {
	*os.File
	Size   int64 // bytes
	Device bool  // its size is a multiple of its blocks'

	modified time.Time
}

// OpenFile opens a file of the node to be read. Its path is the one by which EVE's agents know it: absolute, below root, and
// without "..", whatever a topic says. What is neither a regular file nor a block device is refused. Nothing waits for
// anybody, as the opening of a pipe would.
func OpenFile(root, path string) (*File, error) {
	if !filepath.IsAbs(path) || slices.Contains(strings.Split(path, "/"), "..") {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("not an absolute path without \"..\"")}
	}
	f, err := os.OpenFile(filepath.Join(root, path), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	file, err := newFile(f)
	if err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return file, nil
}

// newFile finds out what was opened.
func newFile(f *os.File) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return &File{File: f, Size: info.Size(), modified: info.ModTime()}, nil
	case mode&fs.ModeType == fs.ModeDevice: // without ModeCharDevice
		size, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return nil, fmt.Errorf("find out its size: %w", err)
		}
		return &File{File: f, Size: size, Device: true}, nil
	default:
		return nil, fmt.Errorf("%v is neither a file nor a block device", mode)
	}
}

// first are the first bytes of the file, as a content.
func (f *File) first(size int64) content {
	return content{ReadSeeker: io.NewSectionReader(f, 0, size), mediaType: document.TypeBytes, modified: f.modified}
}

// content is what a guest fetches, of a size that is known.
type content struct {
	io.ReadSeeker
	mediaType string
	etag      string    // quotes included; "" for none
	modified  time.Time // zero: not known
}

// deliver writes the content, or the range of it that the guest asks for (RFC 9110).
func (c content) deliver(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", c.mediaType)
	if c.etag != "" {
		w.Header().Set("ETag", c.etag)
	}
	http.ServeContent(w, r, "", c.modified, c)
}
