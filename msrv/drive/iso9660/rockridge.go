// SPDX-License-Identifier: Apache-2.0

package iso9660

// File modes as POSIX has them: type and read-only permissions.
const (
	modeDirectory = 0o040555
	modeFile      = 0o100444
)

// What the ER entry says of the Rock Ridge Interchange Protocol. The text is
// the protocol's own; its note on where to get the specification is left out,
// so that the entry fits beside the others and needs no continuation area.
const (
	rripID   = "RRIP_1991A"
	rripText = "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS"
)

// appendSelf appends the system use entries of a directory's record of itself.
// In the root's, readers learn that there are such entries (SUSP SP) and which
// protocol they follow (SUSP ER).
func appendSelf(b []byte, d *node) []byte {
	if d.parent != d {
		return appendPX(b, d)
	}
	b = append(b, 'S', 'P', 7, 1, 0xbe, 0xef, 0)
	b = appendPX(b, d)
	b = append(b, 'E', 'R', byte(8+len(rripID)+len(rripText)), 1, byte(len(rripID)), byte(len(rripText)), 0, 1)
	b = append(b, rripID...)
	return append(b, rripText...)
}

// appendPX appends the POSIX attributes of n: mode, links, user and group 0
// (RRIP PX). Times stand in the directory record, so there is no TF entry.
func appendPX(b []byte, n *node) []byte {
	mode, links := uint32(modeFile), uint32(1)
	if n.isDirectory() {
		mode, links = modeDirectory, 2
		for _, c := range n.children {
			if c.isDirectory() {
				links++
			}
		}
	}
	b = append(b, 'P', 'X', 36, 1)
	var v [32]byte
	putBoth32(v[0:], mode)
	putBoth32(v[8:], links)
	return append(b, v[:]...)
}

// appendNM appends the POSIX name (RRIP NM).
func appendNM(b []byte, name string) []byte {
	b = append(b, 'N', 'M', byte(5+len(name)), 1, 0)
	return append(b, name...)
}
