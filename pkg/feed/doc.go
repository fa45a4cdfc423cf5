// SPDX-License-Identifier: Apache-2.0

// Package feed holds what all feeds share: the [Set] of what one wants to be published, the [Publisher] that makes the
// topics be that set, and EVE's rules for the addresses of a subnet.
//
// In comes a Set, made by a feed (pkg/feed/manifest from files, pkg/feed/controller from a controller); out go topics of the
// agent "mdfeed". Those of apps, app networks, certificates and the edge node are EVE's, which on a device zedagent,
// zedmanager and tpmmgr publish; InstanceMetadata and NetworkMetadata say more about the same apps and networks. A feed
// does nothing else: who reads the topics, and what becomes of them, is not its business.
package feed
