// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// Every function here reads one value; its error is a reason made to follow "field: ".

func parseUUID(s string) (uuid.UUID, error) {
	const textLength = 36 // uuid.Parse also takes other forms, which EVE does not
	u, err := uuid.Parse(s)
	if err != nil || len(s) != textLength || u == uuid.Nil {
		return uuid.Nil, fmt.Errorf("%q is not a UUID", shortened(s))
	}
	return u, nil
}

// namespace is the one that UUIDs are derived in; its own is of the URL of the project.
func namespace() uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/lf-edge/eve-metadata"))
}

// derivedUUID returns the UUID of something that was given a name only: version 5 (RFC 9562) of "app/web" in the
// namespace. The same name gives the same UUID on every device and after every restart.
func derivedUUID(kind, name string) uuid.UUID {
	return uuid.NewSHA1(namespace(), []byte(kind+"/"+name))
}

// parseMAC reads an Ethernet address that one host can have.
func parseMAC(s string) (net.HardwareAddr, error) {
	const textLength = 17 // net.ParseMAC also takes longer addresses, and dotted ones
	mac, err := net.ParseMAC(s)
	if err != nil || len(s) != textLength {
		return nil, fmt.Errorf("%q is not a MAC address", shortened(s))
	}
	if mac[0]&1 != 0 {
		return nil, fmt.Errorf("%q is the MAC address of a group, not of one host", s)
	}
	if mac.String() == "00:00:00:00:00:00" {
		return nil, fmt.Errorf("%q is the MAC address of nobody", s)
	}
	return mac, nil
}

// parseAddr reads an address that one host can have.
func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", shortened(s))
	}
	if a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.Addr{}, fmt.Errorf("%q is not the address of one host", s)
	}
	return a, nil
}

// parsePrefix reads a destination such as "10.1.0.0/16", "::/0" included.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is not a network in CIDR notation, such as 10.1.0.0/16", shortened(s))
	}
	if p.Masked() != p {
		return netip.Prefix{}, fmt.Errorf("%q has host bits set: write %v", s, p.Masked())
	}
	return p, nil
}

// parseHostPrefix reads the address of one host with the length of its subnet, such as "10.42.0.9/24". The first and the
// last address of an IPv4 subnet and the first of an IPv6 one are not for hosts, unless it is a link of two (RFC 3021,
// RFC 6164).
func parseHostPrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not an address with its prefix length", shortened(s))
	}
	a, err := parseAddr(p.Addr().String())
	if err != nil {
		return netip.Prefix{}, err
	}
	edge := a == p.Masked().Addr() || a.Is4() && !p.Contains(a.Next())
	if edge && p.Bits() < a.BitLen()-1 || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return netip.Prefix{}, fmt.Errorf("%q is not the address of one host", s)
	}
	return p, nil
}

// metadataAddresses are those of the metadata service, of which guests know before they know anything else: every
// cloud's, and EC2's of IPv6.
func metadataAddresses() []netip.Addr {
	return []netip.Addr{netip.AddrFrom4([4]byte{169, 254, 169, 254}), netip.MustParseAddr("fd00:ec2::254")}
}

// parseSubnet reads a prefix that hosts can live in. Link-local addresses (RFC 3927, RFC 4291) are not for that, nor is a
// prefix that the metadata service has an address in.
func parseSubnet(s string) (netip.Prefix, error) {
	p, err := parsePrefix(s)
	if err != nil {
		return p, err
	}
	if a := p.Addr(); a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || slices.ContainsFunc(metadataAddresses(), p.Contains) {
		return netip.Prefix{}, fmt.Errorf("%q is not a network for hosts", s)
	}
	return p, nil
}

// checkLabel says whether s is one label of a host name (RFC 1123).
func checkLabel(s string) error {
	bad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-')
	}
	if s == "" || len(s) > maxLabel || s[0] == '-' || s[len(s)-1] == '-' || strings.ContainsFunc(s, bad) {
		return fmt.Errorf("%q is not a host name: letters, digits and inner hyphens, at most %d", shortened(s), maxLabel)
	}
	return nil
}

// checkDomain says whether s is a domain name without a leading or final dot (RFC 1123).
func checkDomain(s string) error {
	for label := range strings.SplitSeq(s, ".") {
		if len(s) > maxDomain || checkLabel(label) != nil {
			return fmt.Errorf("%q is not a domain name", shortened(s))
		}
	}
	return nil
}

// checkPrefix says whether s can begin a host name (RFC 1123).
func checkPrefix(s string) error {
	if checkLabel(s+"0") != nil {
		return fmt.Errorf("%q cannot begin a host name: letters, digits and hyphens, at most %d", shortened(s), maxLabel-1)
	}
	return nil
}

// checkInterface says whether s can be the name of an interface.
func checkInterface(s string) error {
	if !eve.IsInterfaceName(s) {
		return fmt.Errorf("%q is not the name of an interface: at most %d bytes, without space, quotation mark, slash or colon",
			shortened(s), eve.MaxInterfaceName)
	}
	return nil
}

// parseLeaseTime reads how long an address is lent, in seconds. All bits set mean for ever (RFC 2131), which is not for
// addresses that shall be used again.
func parseLeaseTime(s string) (uint32, error) {
	const least, most = eve.MinLeaseTime * time.Second, (math.MaxUint32 - 1) * time.Second
	d, err := time.ParseDuration(s)
	if err != nil || strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune("0123456789hms", r) }) || d%time.Second != 0 {
		return 0, fmt.Errorf("%q is not a time in hours, minutes and seconds, such as 1h or 10m", shortened(s))
	}
	if d < least || d > most {
		return 0, fmt.Errorf("%v is not from %v to %v", d, least, most)
	}
	return uint32(d / time.Second), nil
}

// checkSSHKey says whether s is a public key as in authorized_keys (sshd(8)): type, base64, and perhaps a comment. The
// base64 must hold a key of that type (RFC 4253, section 6.6). Options before the type are not taken: not every
// cloud's format can say them.
func checkSSHKey(s string) error {
	fields := strings.Fields(s)
	if len(fields) < 2 {
		return errors.New("not an SSH public key: type, base64 and perhaps a comment are wanted")
	}
	switch name := fields[0]; {
	case strings.HasPrefix(name, "ssh-"), strings.HasPrefix(name, "ecdsa-sha2-"), strings.HasPrefix(name, "sk-"):
	default:
		return fmt.Errorf("not an SSH public key: %q is no type of key", shortened(name))
	}
	blob, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil {
		return fmt.Errorf("not an SSH public key: %q is not base64", shortened(fields[1]))
	}
	const lengthBytes = 4
	if len(blob) < lengthBytes {
		return errors.New("not an SSH public key: the base64 part is cut off")
	}
	n, blob := binary.BigEndian.Uint32(blob), blob[lengthBytes:]
	if uint64(n) > uint64(len(blob)) || string(blob[:n]) != fields[0] || uint64(n) == uint64(len(blob)) {
		return fmt.Errorf("not an SSH public key: the base64 part holds no %s key", shortened(fields[0]))
	}
	return nil
}

// checkSecret says whether s can be a password. It does not show it.
func checkSecret(s string) error {
	switch {
	case s == "":
		return errors.New("is empty")
	case len(s) > maxText:
		return fmt.Errorf("%d bytes of text: more than %d", len(s), maxText)
	case !utf8.ValidString(s):
		return errors.New("is not a text in UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("has a line break or another control character in it")
	}
	return nil
}

// ipNet is a prefix as EVE's types have it.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
