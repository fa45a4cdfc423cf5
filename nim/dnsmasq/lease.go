// SPDX-License-Identifier: Apache-2.0

package dnsmasq

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// lease is an address that dnsmasq has handed out.
type lease struct {
	addr netip.Addr
	mac  string // of IPv4: in the form of net.HardwareAddr
	id   string // client identifier of IPv4, as it was sent; DUID of IPv6
	iaid uint32 // of IPv6: the identity association that it is in (RFC 8415)
}

// leases is what dnsmasq's file of leases says.
type leases struct {
	all    []lease
	server string // its own DUID; "": none yet
}

func (l leases) has(other lease) bool { return slices.Contains(l.all, other) }

// readLeases reads a file of leases. A file that is missing has none.
func readLeases(path string) (leases, error) {
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return leases{}, err
	}
	return parseLeases(content), nil
}

// parseLeases reads lines of five fields: when it ends, MAC or IAID, address, name, client identifier or DUID; and one that
// has dnsmasq's own DUID. Lines of any other form are left out.
func parseLeases(content []byte) leases {
	var l leases
	for line := range strings.Lines(string(content)) {
		if duid, ok := strings.CutPrefix(line, "duid "); ok {
			l.server, _ = fromColons(strings.TrimSpace(duid))
		} else if one, ok := parseLease(line); ok {
			l.all = append(l.all, one)
		}
	}
	return l
}

func parseLease(line string) (lease, bool) {
	fields := strings.Fields(line)
	if len(fields) != 5 {
		return lease{}, false
	}
	addr, err := netip.ParseAddr(fields[2])
	if err != nil || addr.Zone() != "" {
		return lease{}, false
	}
	l := lease{addr: addr}
	var ok bool
	if l.id, ok = fromColons(fields[4]); !ok && fields[4] != "*" { // "*": none was sent
		return lease{}, false
	}
	if addr.Is4() {
		l.mac = fields[1]
		mac, ok := fromColons(l.mac)
		return l, ok && len(mac) == macLen && len(l.id) <= maxOption
	}
	iaid, err := strconv.ParseUint(fields[1], 10, 32) // one of temporary addresses begins with T, and none are given
	l.iaid = uint32(iaid)
	return l, err == nil && l.id != "" && len(l.id) <= maxDUID
}

// maxDUID is the longest that RFC 8415, 11.1, allows.
const maxDUID = 130

// fromColons returns the bytes of "02:16:3e".
func fromColons(text string) (string, bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	return string(b), err == nil && len(b) != 0 && len(text) == 3*len(b)-1
}

// ownersIn returns the MACs of those who have an address by a file of guests.
func ownersIn(guests []byte) map[netip.Addr]string {
	owners := map[netip.Addr]string{}
	for line := range strings.Lines(string(guests)) {
		mac, rest, _ := strings.Cut(strings.TrimSpace(line), ",")
		for field := range strings.SplitSeq(rest, ",") {
			if addr, err := netip.ParseAddr(strings.Trim(field, "[]")); err == nil {
				owners[addr] = mac
			}
		}
	}
	return owners
}

// stray tells whether a lease is of somebody else than who has its address now. IPv6's do not say whose they are; there it
// is who had the address before.
func (l lease) stray(before, now map[netip.Addr]string) bool {
	owner, ok := now[l.addr]
	had := before[l.addr]
	return !ok || l.mac != "" && l.mac != owner || had != "" && had != owner
}

// straysIn returns the stray leases of a file.
func straysIn(path string, before, now map[netip.Addr]string) ([]lease, error) {
	l, err := readLeases(path)
	return slices.DeleteFunc(l.all, func(one lease) bool { return !one.stray(before, now) }), err
}

// pruneLeases removes stray leases from the file of a dnsmasq that does not run.
func pruneLeases(path string, before, now map[netip.Addr]string) error {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var kept bytes.Buffer
	for line := range bytes.Lines(content) {
		if one, ok := parseLease(string(line)); !ok || !one.stray(before, now) {
			kept.Write(line)
		}
	}
	if kept.Len() == len(content) {
		return nil
	}
	return replace(path, kept.Bytes())
}
