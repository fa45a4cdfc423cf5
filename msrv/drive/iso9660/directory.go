// SPDX-License-Identifier: Apache-2.0

package iso9660

import (
	"encoding/binary"
	"slices"
	"strings"
)

// hierarchy is one of the two directory hierarchies of an image.
type hierarchy int

const (
	primary hierarchy = iota // plain ISO 9660 names, with Rock Ridge
	joliet                   // UCS-2 names
)

// Identifiers of the first two records of a directory, in both hierarchies; the
// first is the root's own, too (ECMA-119 7.6.2).
const (
	selfID   = "\x00"
	parentID = "\x01"
)

// flagDirectory is the file flag of directories (ECMA-119 9.1.6).
const flagDirectory = 0x02

// fileVersion ends the plain name of a file (ECMA-119 7.5.1). Joliet names go
// without, as in the images of genisoimage and xorriso.
const fileVersion = ";1"

// identifier returns the name of n as the hierarchy records it.
func (h hierarchy) identifier(n *node) string {
	switch {
	case n.parent == n:
		return selfID
	case h == joliet:
		return ucs2(n.name)
	case n.isDirectory():
		return n.short
	}
	return n.short + fileVersion
}

// compare puts the records of a directory in order (ECMA-119 9.3). The order of
// UTF-8 is that of UCS-2; a short name's dot is less than what may follow it in
// a longer one.
func (h hierarchy) compare(a, b *node) int {
	if h == joliet {
		return strings.Compare(a.name, b.name)
	}
	return strings.Compare(a.short, b.short)
}

// extent returns where n is found in the hierarchy. Contents are common to both.
func (h hierarchy) extent(n *node) *extent {
	if n.isDirectory() {
		return &n.place[h]
	}
	return &n.content.extent
}

// pathTable tells a volume descriptor about the path tables of a hierarchy.
type pathTable struct {
	size        uint32 // in bytes
	little, big uint32 // first sectors of the two tables, by byte order
}

// encoder writes all of an image that comes before the contents.
type encoder struct {
	buf     []byte
	refs    []reference
	date    [7]byte
	scratch [255]byte
}

// reference is a place in the buffer that waits for the location and size of an
// extent, as they stand in a directory record.
type reference struct {
	at int
	to *extent
}

// resolve fills in all references, once every extent has its place.
func (e *encoder) resolve() {
	for _, r := range e.refs {
		putBoth32(e.buf[r.at:], r.to.sector)
		putBoth32(e.buf[r.at+8:], r.to.size)
	}
}

// pad fills up the current sector with zeros and returns the number of the next.
func (e *encoder) pad() uint32 {
	if rest := len(e.buf) % SectorSize; rest > 0 {
		e.buf = append(e.buf, make([]byte, SectorSize-rest)...)
	}
	return uint32(len(e.buf) / SectorSize)
}

// hierarchy writes the directories under root, breadth first as the path tables
// want them (ECMA-119 6.9.1), and then both path tables.
func (e *encoder) hierarchy(h hierarchy, root *node) pathTable {
	dirs := []*node{root}
	for i := 0; i < len(dirs); i++ {
		d := dirs[i]
		d.number = uint16(i + 1)
		slices.SortFunc(d.children, h.compare)
		e.directory(h, d)
		for _, c := range d.children {
			if c.isDirectory() {
				dirs = append(dirs, c)
			}
		}
	}
	var t pathTable
	t.little, t.size = e.pathTable(h, dirs, binary.LittleEndian)
	t.big, _ = e.pathTable(h, dirs, binary.BigEndian)
	return t
}

// directory writes one directory and notes its place.
func (e *encoder) directory(h hierarchy, d *node) {
	first := e.pad()
	use := e.scratch[:0]
	if h == primary {
		e.record(selfID, h, d, appendSelf(use, d))
		e.record(parentID, h, d.parent, appendPX(use, d.parent))
	} else {
		e.record(selfID, h, d, nil)
		e.record(parentID, h, d.parent, nil)
	}
	for _, c := range d.children {
		if h == primary {
			use = appendNM(appendPX(e.scratch[:0], c), c.name)
		}
		e.record(h.identifier(c), h, c, use)
	}
	d.place[h] = extent{sector: first, size: (e.pad() - first) * SectorSize}
}

// record writes a directory record about n (ECMA-119 9.1). No record goes
// across the end of a sector (6.8.1.1).
func (e *encoder) record(id string, h hierarchy, n *node, systemUse []byte) {
	pad := 1 - len(id)%2
	size := 33 + len(id) + pad + len(systemUse)
	size += size % 2
	if len(e.buf)%SectorSize+size > SectorSize {
		e.pad()
	}
	at := len(e.buf)
	e.buf = append(e.buf, make([]byte, size)...)
	b := e.buf[at:]
	b[0] = byte(size)
	e.refs = append(e.refs, reference{at: at + 2, to: h.extent(n)})
	copy(b[18:], e.date[:])
	if n.isDirectory() {
		b[25] = flagDirectory
	}
	putBoth16(b[28:], 1) // volume sequence number
	b[32] = byte(len(id))
	copy(b[33:], id)
	copy(b[33+len(id)+pad:], systemUse)
}

// pathTable writes a path table (ECMA-119 9.4) and returns its first sector and
// its size in bytes.
func (e *encoder) pathTable(h hierarchy, dirs []*node, order binary.AppendByteOrder) (first, size uint32) {
	first = e.pad()
	start := len(e.buf)
	for _, d := range dirs {
		id := h.identifier(d)
		e.buf = append(e.buf, byte(len(id)), 0)
		e.buf = order.AppendUint32(e.buf, d.place[h].sector)
		e.buf = order.AppendUint16(e.buf, d.parent.number)
		e.buf = append(e.buf, id...)
		if len(id)%2 != 0 {
			e.buf = append(e.buf, 0)
		}
	}
	size = uint32(len(e.buf) - start)
	e.pad()
	return first, size
}

// putBoth16 records v in both byte orders (ECMA-119 7.2.3).
func putBoth16(b []byte, v uint16) {
	binary.LittleEndian.PutUint16(b, v)
	binary.BigEndian.PutUint16(b[2:], v)
}

// putBoth32 records v in both byte orders (ECMA-119 7.3.3).
func putBoth32(b []byte, v uint32) {
	binary.LittleEndian.PutUint32(b, v)
	binary.BigEndian.PutUint32(b[4:], v)
}
