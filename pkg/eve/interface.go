// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"strings"
	"unicode"
)

// MaxInterfaceName is the longest name of an interface, in bytes (IFNAMSIZ of Linux, less the final zero).
const MaxInterfaceName = 15

// IsInterfaceName tells whether Linux can have an interface of that name (dev_valid_name), and nft(8) can write it: not
// empty, "." or "..", without space, quotation mark, slash, colon or NUL.
func IsInterfaceName(name string) bool {
	bad := func(r rune) bool { return strings.ContainsRune("/:\"\x00", r) || unicode.IsSpace(r) }
	return name != "" && name != "." && name != ".." && len(name) <= MaxInterfaceName && !strings.ContainsFunc(name, bad)
}

// EmulatedPort is the name of the port that a guest of Xen's starts on, before it drives the one of that name itself (EVE,
// domainmgr).
func EmulatedPort(port string) string { return port + "-emu" }
