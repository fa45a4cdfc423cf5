// SPDX-License-Identifier: Apache-2.0

// Package iso9660 writes small, read-only ISO 9660 images that carry the same
// tree twice: with Rock Ridge names for Linux and the BSDs, and with Joliet
// names for Windows.
//
// What comes in is an [Image]: a volume label, a list of files and one time
// stamp. What goes out is the finished image, from [Image.Build] in memory or
// from [Image.WriteTo] on a writer. The drive carrier calls it to make the
// NoCloud and ConfigDrive drives of an app instance; it knows neither of them.
//
// The same image always comes out as the same bytes, whatever the order of the
// files, so that a caller may compare hashes to see whether a drive changed.
// Nothing is staged in the file system: user data is nowhere but in the image.
//
// # What the image looks like
//
// The layout follows ECMA-119 (ISO 9660), interchange level 1 for the plain
// names, the Joliet specification for the second hierarchy, and SUSP/RRIP
// (IEEE P1281/P1282, in the widespread "RRIP_1991A" form) for the POSIX names
// and modes in the first:
//
//	sector 0   system area, zeros
//	16         primary volume descriptor
//	17         supplementary volume descriptor (Joliet)
//	18         volume descriptor set terminator
//	19         directories and path tables, primary
//	           directories and path tables, Joliet
//	           file contents; equal contents are stored once
//	           zeros, up to MinSectors
//
// Files have mode 0444 and directories 0555, all owned by user and group 0, as
// genisoimage -r leaves them. There are no boot records, links, sparse or
// multi-extent files, and no relocated directories: names and trees that do
// not fit into both hierarchies as they are get refused, never changed.
//
// Two names of one directory may differ in case only. Linux keeps them apart;
// Windows, which ignores case, will show just one of them.
package iso9660

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"time"
)

const (
	// SectorSize is the size in bytes of a sector, and of a logical block, of
	// every image made here (ECMA-119 6.1.2 and 6.2.2). Images are whole sectors.
	SectorSize = 2048

	// MinSectors is the least number of sectors in an image. BusyBox's blkid
	// names no file system on a device that is shorter (69632 bytes), and small
	// guests look for the label with it.
	MinSectors = 34

	// MaxSize is the largest image in bytes: every size and offset in it fits a
	// signed 32-bit integer, which is what old readers use for them.
	MaxSize = 1<<31 - SectorSize

	// MaxFiles is the largest number of files in an image.
	MaxFiles = 4096

	// MaxDirectories is the largest number of directories in an image, root
	// included. It bounds what an image of tiny files in deep trees can grow to:
	// each directory costs at least two sectors. (ECMA-119 9.4 allows 65535.)
	MaxDirectories = 1024

	// MaxDepth is the largest number of names in a path: eight levels of
	// directories, root included, and the file (ECMA-119 6.8.2.1).
	MaxDepth = 8

	// MaxPath is the longest path in bytes, slashes included (Joliet
	// specification, relaxation of the limits on path lengths).
	MaxPath = 240

	// MaxName is the longest file or directory name in characters (Joliet
	// specification: 128 bytes of UCS-2).
	MaxName = 64

	// MaxNameBytes is the longest name in bytes of UTF-8: what a directory
	// record of at most 254 bytes has left for the Rock Ridge name after its own
	// 33 bytes, an 8.3 name with version and padding (15), and the PX (36) and
	// NM (5) entries. It concerns names outside ASCII only.
	MaxNameBytes = 254 - 33 - 15 - 36 - 5

	// MaxVolumeID is the longest volume label in bytes (Joliet specification:
	// 32 bytes of UCS-2).
	MaxVolumeID = 16
)

// copyBuffer is how many bytes WriteTo gathers before it writes, so that many
// small files do not become many small writes.
const copyBuffer = 64 << 10

// File is one regular file of an image.
type File struct {
	// Path is relative, slash-separated and clean in the sense of
	// [io/fs.ValidPath]. The directories in it come into being by themselves.
	//
	// Each name in it is UTF-8 of printable characters of the Basic
	// Multilingual Plane other than * / : ; ? \ and ends neither in a space nor
	// in a dot, which Joliet readers cut off. MaxName, MaxNameBytes, MaxDepth
	// and MaxPath limit it.
	Path string

	// Data is the content, possibly empty. It is not changed.
	Data []byte
}

// Image describes an ISO 9660 image.
type Image struct {
	// VolumeID is the volume label, kept byte for byte ("cidata", "config-2"):
	// 1 to MaxVolumeID printable ASCII characters other than * / : ; ? \ and not
	// ending in a space. Lower case is against ECMA-119, but it is what guests
	// look for and what every other image builder writes.
	VolumeID string

	// Files are the files in any order, at most MaxFiles. Every path is there
	// once, and none of them is also a directory of another.
	Files []File

	// Time is the time stamp of every file, directory and of the volume, in
	// whole seconds UTC from the year 1900 to 2155 (ECMA-119 9.1.5). The zero
	// value stands for 1980-01-01 00:00:00 UTC.
	Time time.Time
	// Limit is how many bytes the image may have at most; 0 for no other limit than MaxSize.
	Limit int
}

// Build returns the image. Its length is a multiple of SectorSize and at least
// MinSectors sectors. An error names the path, or the label, that cannot be
// stored and the reason.
func (im Image) Build() ([]byte, error) {
	l, err := im.layout()
	if err != nil {
		return nil, fmt.Errorf("build image %.32q: %w", im.VolumeID, err)
	}
	b := make([]byte, l.sectors*SectorSize)
	copy(b, l.head)
	for _, c := range l.contents {
		copy(b[int(c.sector)*SectorSize:], c.data)
	}
	return b, nil
}

// WriteTo writes the bytes that Build returns to w without holding all of them
// in memory, and returns how many it wrote. The image is checked before the
// first byte is written; every error of w is returned.
func (im Image) WriteTo(w io.Writer) (int64, error) {
	l, err := im.layout()
	if err != nil {
		return 0, fmt.Errorf("build image %.32q: %w", im.VolumeID, err)
	}
	cw := &countingWriter{w: w}
	if err := l.write(bufio.NewWriterSize(cw, copyBuffer)); err != nil {
		return cw.n, fmt.Errorf("write image %q: %w", im.VolumeID, err)
	}
	return cw.n, nil
}

// countingWriter counts the bytes that reached w. It also takes a short write
// without an error, against the rules of io.Writer, for one: bufio would try
// again for ever.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// stamp returns the time stamp of the image, or why it cannot be recorded.
func (im Image) stamp() (time.Time, error) {
	if im.Time.IsZero() {
		return time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC), nil
	}
	t := im.Time.UTC()
	if y := t.Year(); y < 1900 || y > 1900+math.MaxUint8 {
		return time.Time{}, fmt.Errorf("year %d of the time stamp is not in 1900 to 2155", y)
	}
	return t, nil
}
