// SPDX-License-Identifier: Apache-2.0

package iso9660

import (
	"bufio"
	"fmt"
)

// Sectors with a fixed number (ECMA-119 6.2.1, 6.7.1).
const (
	primarySector = 16 + iota
	jolietSector
	terminatorSector
	firstFreeSector
)

// layout is an image ready to be written.
type layout struct {
	head     []byte // everything up to the contents, whole sectors
	contents []*content
	sectors  int // of the image
}

// limit is how many bytes the image may have.
func (im Image) limit() int {
	if im.Limit > 0 {
		return min(im.Limit, MaxSize)
	}
	return MaxSize
}

// layout checks the image, gives everything its place and encodes all but the
// contents.
func (im Image) layout() (*layout, error) {
	if err := checkVolumeID(im.VolumeID); err != nil {
		return nil, err
	}
	stamp, err := im.stamp()
	if err != nil {
		return nil, err
	}
	t, err := newTree(im.Files, im.limit())
	if err != nil {
		return nil, err
	}

	// Room for one sector a directory and a table is enough for common trees.
	room := firstFreeSector + 2*(t.dirs+2)
	e := &encoder{
		buf:  make([]byte, firstFreeSector*SectorSize, room*SectorSize),
		date: shortDate(stamp),
	}
	var tables [2]pathTable
	for h := range tables {
		tables[h] = e.hierarchy(hierarchy(h), t.root)
	}
	next := len(e.buf) / SectorSize
	sectors := max(next+t.sectors, MinSectors)
	if sectors > t.limit/SectorSize {
		return nil, fmt.Errorf("image is larger than %d bytes", t.limit)
	}
	for _, c := range t.contents {
		c.sector = uint32(next)
		next += sectorsFor(len(c.data))
	}
	e.resolve()

	for h, sector := range [...]int{primary: primarySector, joliet: jolietSector} {
		v := volume{id: im.VolumeID, sectors: sectors, table: tables[h], stamp: stamp}
		v.root = e.buf[int(t.root.place[h].sector)*SectorSize:]
		v.put(e.buf[sector*SectorSize:], hierarchy(h))
	}
	putDescriptor(e.buf[terminatorSector*SectorSize:], typeTerminator)
	return &layout{head: e.buf, contents: t.contents, sectors: sectors}, nil
}

// write writes the image to w and flushes it. A bufio.Writer remembers its
// first error, so that none is lost between here and Flush.
func (l *layout) write(w *bufio.Writer) error {
	var zeros [SectorSize]byte
	written := len(l.head) / SectorSize
	w.Write(l.head)
	for _, c := range l.contents {
		n := sectorsFor(len(c.data))
		w.Write(c.data)
		w.Write(zeros[:n*SectorSize-len(c.data)])
		written += n
	}
	for ; written < l.sectors; written++ {
		w.Write(zeros[:])
	}
	return w.Flush()
}
