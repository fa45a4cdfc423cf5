// SPDX-License-Identifier: Apache-2.0

// Package eve holds the Go types of EVE's pubsub topics that the service reads or writes, and of those that are its own:
// [InstanceMetadata] and [NetworkMetadata], which a feed publishes, [InstanceReport] and [InstanceLaunch], which the
// metadata server does.
//
// In comes the JSON of a topic's value, as EVE's agents keep it in <topic>/<key>.json and send it over a topic's socket;
// out goes the same JSON. Type and field names are those of the package types in EVE's pillar, so that a reader of
// either finds his way in the other, and encoding/json gives the same keys in the same order. The callers are the feeds
// (which publish), and nim's and msrv's intakes (which subscribe), all through pkg/pubsub, which knows no topic.
//
// What pillar's JSON asks of these types:
//   - Integers, booleans and strings are always present, enumerations as their number. An enumeration is open: a number
//     from a newer EVE is kept and written back, and its String is "Type(n)". For other numbers it is the word that
//     pillar or the EVE API prints, or else the constant's name without its type.
//   - A nil slice or map is null and an empty one is [] or {}: both are kept as they came.
//   - net.IP is its text ("" when nil); net.HardwareAddr, net.IPMask and []byte are base64 (null when nil). The one
//     exception are the keys of [NetworkInstanceInfo].IPAssignments, which are MAC addresses as text.
//   - A UUID is its lower-case text; the absent one is all zeros.
//   - An embedded struct lends its fields to the struct around it: [AppInstanceConfig], [DomainConfig] and [WifiConfig]
//     carry a [CipherBlockStatus] at their top level, [AppNetworkConfig] one in an object of that name.
//   - Fields whose key starts with "pubsub-large-" are those that pubsub moves to a file of their own when it sends them.
//
// The package does no checking beyond that of encoding/json: a value may name networks that do not exist. Values are
// plain data; whoever shares one between goroutines does not change it. Some hold secrets (user data, what guests report,
// passwords of guests, VNC displays and wireless networks) and are not for logs.
package eve
