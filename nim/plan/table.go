// SPDX-License-Identifier: Apache-2.0

package plan

// Tables of nftables that are ours, by family and name, as nft(8) is told them. nim/kernel has their chains and rules.
const (
	// FilterTable is on the bridges of a managed network and holds guests to what is theirs. Nothing is let in from an
	// interface that is in none of its sets.
	FilterTable = "bridge eve-metadata"
	// RouterTable is in the namespace of a managed network. It has no sets.
	RouterTable = "inet eve-metadata-router"
	// UplinkTable is in the namespace of a managed network that has an uplink, and gives what leaves it the uplink's
	// addresses. It has no sets.
	UplinkTable = "inet eve-metadata-uplink"
	// HostTable is in the host's own namespace while there is an uplink or a network OnBridge there.
	HostTable = "inet eve-metadata"
	// GuardTable is on the bridges of the host's own namespace while there is a network OnBridge that is Guarded.
	GuardTable = "bridge eve-metadata-guard"
)

// HostTables are those of them that networks share in the host's own namespace.
func HostTables() []string { return []string{HostTable, GuardTable} }

// Sets of FilterTable. An element begins with the port's name.
const (
	SetTrunks    = "trunks"    // interface: our own, between the bridges of one network
	SetMACs      = "macs"      // port . MAC address that the guest there sends from
	SetAddresses = "addresses" // port . IPv4 address, likewise
	SetAddress6  = "addresses6"
	SetAnyone    = "anyone" // port whose guest may send from any address but the network's own
	SetOwn       = "own"    // IPv4 address of the network itself, that no guest has
	SetOwn6      = "own6"
	SetSLAAC     = "slaac" // IPv6 subnet of 64 bits, as its first address, in which guests make their addresses themselves
)

// Sets of HostTable.
const (
	SetUplinks  = "uplinks"  // host's end of an uplink that may leave by any interface
	SetUplinkBy = "uplinkby" // host's end of an uplink . the one interface that it may leave by
	SetBridges  = "bridges"  // bridge on which guests ask for metadata
)

// Sets of GuardTable, beside SetBridges.
const (
	SetGuests = "guests" // bridge . port that a guest is behind . MAC address of the guest . MAC address of the bridge
)
