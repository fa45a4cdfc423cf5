// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strconv"
	"strings"
)

// Names of what is ours. An interface's name has at most 15 bytes (IFNAMSIZ of Linux, less the final zero); eleven
// characters of base32 leave two for the kind and make 55 bits.
const (
	namespacePrefix = "md-"
	hostPrefix      = "nb" // as EVE's own ports on its bridges begin
	guestPrefix     = "ge"
	overflowPrefix  = "mdb"
	suffixLen       = 11
	uuidLen         = 36
)

// nameEncoding has digits and lower case letters only, for shells' and people's sake.
var nameEncoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// NamespaceName returns the name of an app network's namespace, given its network instance's UUID as text.
func NamespaceName(network string) string { return namespacePrefix + network }

// IsNamespace tells whether a namespace of that name is ours.
func IsNamespace(name string) bool { return NetworkOf(name) != "" }

// NetworkOf returns the UUID of the app network that a namespace belongs to; "" when the namespace is not ours.
func NetworkOf(name string) string {
	id, ok := strings.CutPrefix(name, namespacePrefix)
	if !ok || len(id) != uuidLen {
		return ""
	}
	for i, c := range []byte(id) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		hex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
		if dash != (c == '-') || !dash && !hex {
			return ""
		}
	}
	return id
}

// PortName returns the name of the host's side of an app instance's adapter. It depends on nothing else. The attempt is 0,
// and counts up while another port has the name.
func PortName(app, adapter string, attempt int) string {
	sum := digest("port", app, adapter, attempt)
	return hostPrefix + strings.ToLower(nameEncoding.EncodeToString(sum[:]))[:suffixLen]
}

// GuestEnd returns the name that the guest end of a veth is born with, given the name of its port.
func GuestEnd(port string) string { return guestPrefix + strings.TrimPrefix(port, hostPrefix) }

// HostEnd returns the name of the port that a guest end is the other side of.
func HostEnd(guestEnd string) string { return hostPrefix + strings.TrimPrefix(guestEnd, guestPrefix) }

// IsPort tells whether a name is one that PortName makes.
func IsPort(name string) bool { return hasSuffixAfter(name, hostPrefix) }

// IsGuestEnd tells whether a name is one that GuestEnd makes.
func IsGuestEnd(name string) bool { return hasSuffixAfter(name, guestPrefix) }

// UplinkPrefix begins the names of the host's ends of uplinks, and of nothing else on the host.
const UplinkPrefix = "mdu"

// UplinkName returns the name of the host's end of an app network's uplink, given its network instance's UUID as text. It
// depends on nothing else.
func UplinkName(network string) string {
	sum := digest("uplink port", network, "", 0)
	return UplinkPrefix + strings.ToLower(nameEncoding.EncodeToString(sum[:]))[:suffixLen]
}

// UplinkEnd is the name of an uplink's other end, in the network's namespace.
const UplinkEnd = "up0"

// OverflowName returns the name of a network's further bridge, from 1 on.
func OverflowName(number int) string { return overflowPrefix + strconv.Itoa(number) }

// overflowNumber returns the number of a further bridge, 0 for what is none.
func overflowNumber(name string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(name, overflowPrefix))
	if n < 1 || OverflowName(n) != name {
		return 0
	}
	return n
}

// trunkEnds returns the names of the veth between two bridges of a network: the end on the first one and that on the other.
func trunkEnds(bridge, overflow string) (here, there string) {
	return bridge + "-" + overflow, overflow + "-" + bridge
}

func hasSuffixAfter(name, prefix string) bool {
	s, ok := strings.CutPrefix(name, prefix)
	if !ok || len(s) != suffixLen {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'v') {
			return false
		}
	}
	return true
}

// digest is the source of all that is made up here: the same for the same words, and different for another purpose.
func digest(purpose, app, adapter string, attempt int) [sha256.Size]byte {
	h := sha256.New()
	for _, s := range []string{"eve-metadata nim", purpose, app, adapter} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(attempt)))
	return [sha256.Size]byte(h.Sum(nil))
}
