// SPDX-License-Identifier: Apache-2.0

package iso9660_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// This file is a strict reader of its own, written from the standards and not
// from the writer: it fails the test on all that a standard forbids.

const sector = 2048

// contents is what one hierarchy holds: files by path, and directories by path
// with a slash at the end.
type contents map[string]string

// volumeView is what reading one hierarchy gives.
type volumeView struct {
	label string
	tree  contents
}

// reader reads one image.
type reader struct {
	testing.TB
	img  []byte
	uses map[int]use // by first sector
}

// use is what an extent of the image is used for.
type use struct {
	what    string
	sectors int
}

// readImage reads both hierarchies and checks everything in the image.
func readImage(t testing.TB, img []byte) (rockRidge, joliet volumeView) {
	t.Helper()
	r := &reader{TB: t, img: img, uses: map[int]use{0: {"system area and descriptors", 19}}}
	if len(img)%sector != 0 || len(img) < 69632 {
		t.Fatalf("image has %d bytes", len(img))
	}
	r.zeros(img[:16*sector], "system area")
	rockRidge = r.volume(16, 1, "")
	joliet = r.volume(17, 2, "%/E")
	if got := img[18*sector : 18*sector+7]; string(got) != "\xffCD001\x01" {
		t.Fatalf("terminator starts with %q", got)
	}
	r.zeros(img[18*sector+7:19*sector], "terminator")
	r.unused()
	return rockRidge, joliet
}

// volume reads a volume descriptor and the hierarchy that it names.
func (r *reader) volume(at int, kind byte, escape string) volumeView {
	r.Helper()
	d := r.img[at*sector : (at+1)*sector]
	if string(d[:7]) != string([]byte{kind})+"CD001\x01" || d[881] != 1 {
		r.Fatalf("descriptor in sector %d starts with %q", at, d[:7])
	}
	if got := string(bytes.TrimRight(d[88:120], "\x00")); got != escape {
		r.Fatalf("descriptor in sector %d has escape sequences %q", at, got)
	}
	if n := r.both32(d[80:], "volume space"); n != len(r.img)/sector {
		r.Fatalf("volume space is %d sectors of %d", n, len(r.img)/sector)
	}
	for _, v := range []struct{ at, want int }{{120, 1}, {124, 1}, {128, sector}} {
		if n := r.both16(d[v.at:], "volume set"); n != v.want {
			r.Fatalf("field %d of the descriptor is %d, want %d", v.at, n, v.want)
		}
	}
	label := string(d[40:72])
	if kind == 2 {
		label = r.ucs2(label)
		for _, text := range [][]byte{d[8:40], d[190:702], d[702:738], d[739:775], d[776:812]} {
			if strings.Trim(r.ucs2(string(text)), " ") != "" {
				r.Fatalf("text field %q", text)
			}
		}
	}
	h := &hierarchyReader{reader: r, joliet: kind == 2, tree: contents{}, found: map[dirKey]int{}}
	root := h.record(d[156:190])
	if root.id != "\x00" || !root.dir {
		r.Fatalf("root record has id %q", root.id)
	}
	h.directory("", root, root, -1)
	h.pathTables(d, root)
	return volumeView{strings.TrimRight(label, " "), h.tree}
}

// unused checks that extents do not overlap and that all else is zero.
func (r *reader) unused() {
	r.Helper()
	next := 0
	for _, at := range slices.Sorted(maps.Keys(r.uses)) {
		if at < next {
			r.Fatalf("%s at sector %d lies on what ends at %d", r.uses[at].what, at, next)
		}
		r.zeros(r.img[next*sector:at*sector], "gap before "+r.uses[at].what)
		next = at + r.uses[at].sectors
	}
	r.zeros(r.img[next*sector:], "end of the image")
}

// extent returns the bytes of an extent and notes its use. Different uses of
// one place are an error; equal ones are shared content.
func (r *reader) extent(at, size int, what string) []byte {
	r.Helper()
	n := max(1, (size+sector-1)/sector)
	if at < 19 || at+n > len(r.img)/sector {
		r.Fatalf("%s of %d bytes at sector %d is outside the image", what, size, at)
	}
	u := use{what, n}
	if old, ok := r.uses[at]; ok && (old != u || what != "file") {
		r.Fatalf("sector %d is used for %v and for %v", at, old, u)
	}
	r.uses[at] = u
	r.zeros(r.img[at*sector+size:(at+n)*sector], "padding of "+what)
	return r.img[at*sector : at*sector+size]
}

func (r *reader) zeros(b []byte, what string) {
	r.Helper()
	if len(bytes.Trim(b, "\x00")) != 0 {
		r.Fatalf("%s is not zero", what)
	}
}

func (r *reader) both16(b []byte, what string) int {
	r.Helper()
	l, m := binary.LittleEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if l != m {
		r.Fatalf("%s: byte orders disagree: %d and %d", what, l, m)
	}
	return int(l)
}

func (r *reader) both32(b []byte, what string) int {
	r.Helper()
	l, m := binary.LittleEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if l != m {
		r.Fatalf("%s: byte orders disagree: %d and %d", what, l, m)
	}
	return int(l)
}

func (r *reader) ucs2(s string) string {
	r.Helper()
	if len(s)%2 != 0 {
		r.Fatalf("UCS-2 text %q has an odd length", s)
	}
	var out []rune
	for i := 0; i < len(s); i += 2 {
		c := rune(s[i])<<8 | rune(s[i+1])
		if utf16.IsSurrogate(c) {
			r.Fatalf("UCS-2 text %q has a surrogate", s)
		}
		out = append(out, c)
	}
	return string(out)
}

// hierarchyReader reads one of the two hierarchies.
type hierarchyReader struct {
	*reader
	joliet bool
	tree   contents
	found  map[dirKey]int // first sector of each directory
}

// dirKey is how a path table names a directory.
type dirKey struct {
	parent int // its first sector
	id     string
}

// record is a parsed directory record.
type record struct {
	id       string
	at, size int
	dir      bool
	use      []byte
}

func (h *hierarchyReader) record(b []byte) record {
	h.Helper()
	n := int(b[32])
	if n == 0 || 33+n > len(b) || len(b)%2 != 0 {
		h.Fatalf("record of %d bytes has an identifier of %d", len(b), n)
	}
	if b[1] != 0 || b[26] != 0 || b[27] != 0 || b[25]&^2 != 0 || h.both16(b[28:], "sequence number") != 1 {
		h.Fatalf("record % x", b[:33])
	}
	if m, d := b[19], b[20]; m < 1 || m > 12 || d < 1 || d > 31 || b[24] != 0 {
		h.Fatalf("record has date % x", b[18:25])
	}
	rec := record{
		id: string(b[33 : 33+n]), dir: b[25] == 2,
		at: h.both32(b[2:], "location"), size: h.both32(b[10:], "size"),
	}
	if use := 33 + n + 1 - n%2; use < len(b) {
		rec.use = b[use:]
	}
	return rec
}

// directory reads a directory and what is in it. Links is the number of links
// that its parent's record gave it, or -1.
func (h *hierarchyReader) directory(path string, d, parent record, links int) {
	h.Helper()
	if d.size == 0 || d.size%sector != 0 {
		h.Fatalf("directory %q has %d bytes", path, d.size)
	}
	recs := h.records(h.extent(d.at, d.size, "directory "+path+fmt.Sprint(h.joliet)))
	if len(recs) < 2 || recs[0].id != "\x00" || recs[1].id != "\x01" {
		h.Fatalf("directory %q lacks its first two records", path)
	}
	if recs[0].at != d.at || recs[0].size != d.size || recs[1].at != parent.at || recs[1].size != parent.size {
		h.Fatalf("directory %q: first two records point to %v and %v, want %v and %v", path, recs[0], recs[1], d, parent)
	}
	subdirs := 0
	for i, c := range recs[2:] {
		if i > 0 && h.sortKey(c) <= h.sortKey(recs[1+i]) {
			h.Fatalf("directory %q: %q comes after %q", path, c.id, recs[1+i].id)
		}
		if c.dir {
			subdirs++
		}
		h.child(path, d, c)
	}
	if !h.joliet {
		own, _ := h.rockRidge(recs[0], path == "")
		h.rockRidge(recs[1], false)
		if own != 2+subdirs || links >= 0 && links != own {
			h.Fatalf("directory %q with %d directories has %d and %d links", path, subdirs, own, links)
		}
	}
}

func (h *hierarchyReader) child(path string, d, c record) {
	h.Helper()
	var name string
	links := -1
	if h.joliet {
		name = h.ucs2(c.id)
		if len(c.use) > 0 {
			h.Fatalf("%q: Joliet record with a system use area", name)
		}
	} else {
		links, name = h.rockRidge(c, false)
	}
	path += name
	if c.dir {
		path += "/"
	}
	if _, ok := h.tree[path]; ok || name == "" {
		h.Fatalf("%q is there twice, or has no name", path)
	}
	if c.dir {
		h.tree[path] = ""
		h.found[dirKey{d.at, c.id}] = c.at
		h.directory(path, c, d, links)
		return
	}
	h.tree[path] = string(h.extent(c.at, c.size, "file"))
}

// records cuts a directory into records, none of which may cross sectors.
func (h *hierarchyReader) records(b []byte) []record {
	h.Helper()
	var recs []record
	for s := range slices.Chunk(b, sector) {
		for len(s) > 0 && s[0] != 0 {
			if n := int(s[0]); n < 34 || n > len(s) {
				h.Fatalf("record of %d bytes with %d left in the sector", n, len(s))
			}
			recs = append(recs, h.record(s[:s[0]]))
			s = s[s[0]:]
		}
		h.zeros(s, "end of a directory's sector")
	}
	return recs
}

var (
	plainFile = regexp.MustCompile(`^([A-Z0-9_]{1,8})\.([A-Z0-9_]{0,3});1$`)
	plainDir  = regexp.MustCompile(`^([A-Z0-9_]{1,8})()$`)
)

// sortKey is what orders the records of a directory (ECMA-119 9.3): name and
// extension, each filled up with spaces.
func (h *hierarchyReader) sortKey(c record) string {
	h.Helper()
	if h.joliet {
		return c.id
	}
	form := plainFile
	if c.dir {
		form = plainDir
	}
	m := form.FindStringSubmatch(c.id)
	if m == nil {
		h.Fatalf("plain name %q", c.id)
	}
	return fmt.Sprintf("%-8s%-3s", m[1], m[2])
}

// rockRidge checks the system use area of a record and returns what it says.
func (h *hierarchyReader) rockRidge(c record, root bool) (links int, name string) {
	h.Helper()
	var order []string
	for b := c.use; len(b) >= 4; {
		n := int(b[2])
		if n < 4 || n > len(b) || b[3] != 1 {
			h.Fatalf("%q: system use entry % x", c.id, b)
		}
		e := b[:n]
		b = b[n:]
		sig := string(e[:2])
		order = append(order, sig)
		switch sig {
		case "SP":
			if string(e[4:]) != "\xbe\xef\x00" {
				h.Fatalf("SP entry % x", e)
			}
		case "ER":
			if string(e[8:8+e[4]]) != "RRIP_1991A" || 8+int(e[4])+int(e[5])+int(e[6]) != n || e[7] != 1 {
				h.Fatalf("ER entry % x", e)
			}
		case "PX":
			mode := h.both32(e[4:], "mode")
			if c.dir && mode != 0o040555 || !c.dir && mode != 0o100444 || n != 36 {
				h.Fatalf("%q: mode %o", c.id, mode)
			}
			links = h.both32(e[12:], "links")
			h.zeros(e[20:36], "owner")
		case "NM":
			name = string(e[5:])
			h.zeros(e[4:5], "NM flags")
		}
	}
	want := "PX NM"
	switch {
	case root:
		want = "SP PX ER"
	case c.id == "\x00" || c.id == "\x01":
		want = "PX"
	}
	if got := strings.Join(order, " "); got != want {
		h.Fatalf("%q: system use entries %s, want %s", c.id, got, want)
	}
	return links, name
}

// tableEntry is one entry of a path table.
type tableEntry struct {
	id         string
	at, parent int
}

// pathTables checks that both path tables hold exactly the directories found,
// in order (ECMA-119 6.9.1).
func (h *hierarchyReader) pathTables(d []byte, root record) {
	h.Helper()
	size := h.both32(d[132:], "path table size")
	little := int(binary.LittleEndian.Uint32(d[140:]))
	big := int(binary.BigEndian.Uint32(d[148:]))
	table := h.pathTable(little, size, binary.LittleEndian)
	if other := h.pathTable(big, size, binary.BigEndian); !slices.Equal(table, other) {
		h.Fatalf("path tables differ:\n%v\n%v", table, other)
	}
	if len(table) != 1+len(h.found) || table[0] != (tableEntry{"\x00", root.at, 1}) {
		h.Fatalf("path table has %d entries, starting with %v, for %d directories", len(table), table[0], 1+len(h.found))
	}
	for i, e := range table[1:] {
		prev := table[i]
		if e.parent < 1 || e.parent > i+1 || e.parent < prev.parent || i > 0 && e.parent == prev.parent && e.id <= prev.id {
			h.Fatalf("path table entry %v comes after %v", e, prev)
		}
		if at := h.found[dirKey{table[e.parent-1].at, e.id}]; at != e.at {
			h.Fatalf("path table entry %v, but the directory is at %d", e, at)
		}
	}
}

func (h *hierarchyReader) pathTable(at, size int, order binary.ByteOrder) []tableEntry {
	h.Helper()
	var table []tableEntry
	for b := h.extent(at, size, fmt.Sprint("path table ", order, h.joliet)); len(b) > 0; {
		n := int(b[0])
		end := 8 + n + n%2
		if n == 0 || end > len(b) || b[1] != 0 {
			h.Fatalf("path table entry % x", b)
		}
		table = append(table, tableEntry{string(b[8 : 8+n]), int(order.Uint32(b[2:])), int(order.Uint16(b[6:]))})
		b = b[end:]
	}
	return table
}
