// SPDX-License-Identifier: Apache-2.0

package manifest

import "time"

// Limits on what is read. They are far above what people write and below what could hurt.
const (
	maxFiles    = 10_000  // manifests and configurations in one directory
	maxManifest = 1 << 20 // bytes of one YAML file
	maxConfig   = 8 << 20 // bytes of one EdgeDevConfig

	// MaxContent is the most bytes of one piece of user data, of vendor data or of one file: in base64, with its
	// wrapping, it must stay below the mebibyte that EVE's pubsub carries as one large field.
	MaxContent = 750 << 10

	maxText     = 1024    // bytes of a short text
	maxList     = 256     // members of a list or a map
	maxNodes    = 100_000 // YAML nodes of one file, aliases counted as often as they are used
	maxProblems = 100     // errors reported for one file
	maxLabel    = 63      // bytes of one label of a host name (RFC 1035)
	maxDomain   = 253     // bytes of a domain name as text (RFC 1035)

	slaacBits   = 64   // of the subnets in which hosts make their own addresses (RFC 4291, RFC 4862)
	maxVLAN     = 4094 // highest number of a VLAN (IEEE 802.1Q)
	maxHopLimit = 64   // of an answer with a token, as in EC2
	maxVCPUs    = 1024 // of one guest

	// minMTU is the smallest MTU that carries IPv6 (RFC 8200); EVE refuses less.
	minMTU = 1280
	maxMTU = 65535
	// defaultMTU is that of Ethernet, and EVE's.
	defaultMTU = 1500

	// settle is how long a directory must be quiet before it is read again: editors save in several steps.
	settle = 100 * time.Millisecond
	// maxSettle is how long it may at most go without being read while it is never quiet.
	maxSettle = 2 * time.Second
	// maxAgain is how often a directory is read at once because something of it is newly watched. It takes two readings,
	// and would take any number where one folder goes by two names, of which the kernel watches one.
	maxAgain = 3
	// retry is how often a directory that is not there, or is not fully watched, is looked at.
	retry = time.Second
)
