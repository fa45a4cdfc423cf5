// SPDX-License-Identifier: Apache-2.0

package iso9660

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// forbidden are the characters that no Joliet name may have.
const forbidden = `*/:;?\`

// maxUCS2 is the last character that Joliet can record: it knows no surrogates.
const maxUCS2 = 0xffff

// checkPath returns why a path cannot be stored under its own name in both
// hierarchies, or nil.
func checkPath(path string) error {
	if len(path) > MaxPath {
		return fmt.Errorf("path has %d bytes, more than %d", len(path), MaxPath)
	}
	if !fs.ValidPath(path) || path == "." {
		return errors.New("not a clean relative path in UTF-8")
	}
	if n := strings.Count(path, "/") + 1; n > MaxDepth {
		return fmt.Errorf("path has %d levels, more than %d", n, MaxDepth)
	}
	for name := range strings.SplitSeq(path, "/") {
		if err := checkName(name); err != nil {
			return fmt.Errorf("name %q: %w", name, err)
		}
	}
	return nil
}

// checkName returns why a valid UTF-8 name cannot be stored, or nil.
func checkName(name string) error {
	if n := utf8.RuneCountInString(name); n > MaxName {
		return fmt.Errorf("has %d characters, more than %d", n, MaxName)
	}
	if len(name) > MaxNameBytes {
		return fmt.Errorf("has %d bytes, more than %d", len(name), MaxNameBytes)
	}
	for _, r := range name {
		switch {
		case !unicode.IsPrint(r):
			return fmt.Errorf("character %U is not printable", r)
		case strings.ContainsRune(forbidden, r):
			return fmt.Errorf("character %q is not allowed in Joliet names", r)
		case r > maxUCS2:
			return fmt.Errorf("character %q is beyond the UCS-2 of Joliet names", r)
		}
	}
	// Linux (isofs) and Windows drop these from Joliet names.
	if c := name[len(name)-1]; c == ' ' || c == '.' {
		return fmt.Errorf("ends in %q, which Joliet readers cut off", c)
	}
	return nil
}

// checkVolumeID returns why a volume label cannot be stored, or nil.
func checkVolumeID(id string) error {
	if id == "" {
		return errors.New("empty volume label")
	}
	if len(id) > MaxVolumeID {
		return fmt.Errorf("volume label has %d bytes, more than %d", len(id), MaxVolumeID)
	}
	for _, r := range id {
		if r < ' ' || r > '~' || strings.ContainsRune(forbidden, r) {
			return fmt.Errorf("character %q is not allowed in volume labels", r)
		}
	}
	if id[len(id)-1] == ' ' {
		return errors.New("volume label ends in a space, which readers cut off")
	}
	return nil
}

// ucs2 encodes a checked name as Joliet records it: 16 bits a character, most
// significant byte first.
func ucs2(name string) string {
	b := make([]byte, 0, 2*len(name))
	for _, r := range name {
		b = append(b, byte(r>>8), byte(r))
	}
	return string(b)
}

// setShortNames gives the children of d, which are sorted by name, the
// identifiers for readers that know plain ISO 9660 only: upper-case letters,
// digits and underscores, 8.3 for files and 8 for directories (ECMA-119 7.5,
// 7.6 and 10.1). Names that fall together get a number in place of their last
// characters. A file's dot is there even without extension.
func (d *node) setShortNames() {
	taken := make(map[string]bool, len(d.children))
	next := make(map[string]int)
	for _, c := range d.children {
		name, ext := c.shortName()
		short, id := name, name+"."+ext
		for taken[id] {
			n := strconv.Itoa(next[name+"."+ext])
			next[name+"."+ext]++
			short = name[:min(len(name), 8-len(n))] + n
			id = short + "." + ext
		}
		taken[id] = true
		c.short = id
		if c.isDirectory() {
			c.short = short
		}
	}
}

// shortName returns the first choice for the plain name of d.
func (d *node) shortName() (name, ext string) {
	name = d.name
	if dot := strings.LastIndexByte(name, '.'); dot > 0 && !d.isDirectory() {
		name, ext = name[:dot], name[dot+1:]
	}
	return dCharacters(name, 8), dCharacters(ext, 3)
}

// dCharacters returns the first characters of s, at most limit, as d-characters
// (ECMA-119 7.4.1); an underscore stands for what is none.
func dCharacters(s string, limit int) string {
	b := make([]byte, 0, limit)
	for _, r := range s {
		if len(b) == limit {
			break
		}
		switch {
		case 'a' <= r && r <= 'z':
			r -= 'a' - 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		default:
			r = '_'
		}
		b = append(b, byte(r))
	}
	return string(b)
}
