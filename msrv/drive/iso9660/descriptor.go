// SPDX-License-Identifier: Apache-2.0

package iso9660

import (
	"encoding/binary"
	"time"
)

// Volume descriptor types (ECMA-119 8.1.1).
const (
	typePrimary       = 1
	typeSupplementary = 2
	typeTerminator    = 255
)

// jolietEscape says that the names of a hierarchy are UCS-2, level 3 (Joliet
// specification; ECMA-119 8.5.6).
const jolietEscape = "%/E"

// rootRecordSize is the length of the root's directory record in a volume
// descriptor, which has no room for a system use area (ECMA-119 8.4.18).
const rootRecordSize = 34

// putDescriptor fills in what all volume descriptors begin with (ECMA-119 8.1).
func putDescriptor(b []byte, kind byte) {
	b[0] = kind
	copy(b[1:], "CD001")
	b[6] = 1 // version
}

// volume is what the volume descriptor of a hierarchy says.
type volume struct {
	id      string
	sectors int
	root    []byte // the root's record of itself, system use area and all
	table   pathTable
	stamp   time.Time
}

// put fills in the primary volume descriptor (ECMA-119 8.4) or, for Joliet, the
// supplementary one (8.5). What it does not mention stays zero.
func (v volume) put(b []byte, h hierarchy) {
	id, space, kind := v.id, " ", byte(typePrimary)
	if h == joliet {
		id, space, kind = ucs2(id), ucs2(space), typeSupplementary
		copy(b[88:], jolietEscape)
	}
	putDescriptor(b, kind)
	// The text fields, by where they end: system, volume; volume set, publisher,
	// preparer, application, copyright file, abstract file, bibliography file.
	fill(b, space, 8, 40, 72)
	fill(b, space, 190, 318, 446, 574, 702, 739, 776, 813)
	copy(b[40:], id)
	putBoth32(b[80:], uint32(v.sectors))
	putBoth16(b[120:], 1) // volume set size
	putBoth16(b[124:], 1) // volume sequence number
	putBoth16(b[128:], SectorSize)
	putBoth32(b[132:], v.table.size)
	binary.LittleEndian.PutUint32(b[140:], v.table.little)
	binary.BigEndian.PutUint32(b[148:], v.table.big)
	copy(b[156:], v.root[:rootRecordSize])
	b[156] = rootRecordSize
	copy(b[813:], longDate(v.stamp))     // creation
	copy(b[830:], longDate(v.stamp))     // modification
	copy(b[847:], longDate(time.Time{})) // expiration
	copy(b[864:], longDate(time.Time{})) // effective
	b[881] = 1                           // file structure version
}

// fill fills the fields of b that lie one after another between the given
// offsets with spaces. A space of two bytes leaves the last of an odd number zero.
func fill(b []byte, space string, from int, ends ...int) {
	for _, end := range ends {
		for ; from+len(space) <= end; from += len(space) {
			copy(b[from:], space)
		}
		from = end
	}
}

// longDate is a date and time in digits (ECMA-119 8.4.26.1), to the second and
// in UTC. The zero time is "not specified".
func longDate(t time.Time) string {
	if t.IsZero() {
		return "0000000000000000\x00"
	}
	return t.Format("20060102150405") + "00\x00"
}

// shortDate is a date and time in numbers (ECMA-119 9.1.5), in UTC.
func shortDate(t time.Time) [7]byte {
	return [7]byte{
		byte(t.Year() - 1900), byte(t.Month()), byte(t.Day()),
		byte(t.Hour()), byte(t.Minute()), byte(t.Second()), 0,
	}
}
