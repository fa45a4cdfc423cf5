// SPDX-License-Identifier: Apache-2.0

package eve

// Agents of EVE whose topics the service reads. On a device only EVE publishes under these names.
const (
	AgentZedagent   = "zedagent"   // the controller's configuration
	AgentZedmanager = "zedmanager" // app instances
	AgentZedrouter  = "zedrouter"  // app networks
	AgentDomainmgr  = "domainmgr"  // domains: VMs and containers
	AgentVolumemgr  = "volumemgr"  // volumes and their content
	AgentTpmmgr     = "tpmmgr"     // the device's certificates
	AgentWwan       = "wwan"       // cellular modems
	AgentZedclient  = "zedclient"  // onboarding
	AgentEVENim     = "nim"        // the device's own ports; not our AgentNim
	AgentEVEMsrv    = "msrv"       // EVE's own metadata server; not our AgentServe
)

// Agents of this service. The names differ from EVE's because a topic has one publisher: EVE's nim and msrv may run
// beside ours.
const (
	AgentFeed  = "mdfeed" // the feeds: topics that on a device zedagent and zedmanager would publish
	AgentNim   = "mdnim"  // our nim: the state of the app networks
	AgentServe = "mdsrv"  // our msrv: what guests report, and what they are to be started with
)

// GlobalKey is the key of topics that have one value only, such as EdgeNodeInfo.
const GlobalKey = "global"
