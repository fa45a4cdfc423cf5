// SPDX-License-Identifier: Apache-2.0

// Package topics says which topics the service follows, and whose they are: those of EVE's agents on a device, and
// elsewhere those of our own feeds and of our own manager of networks. It is the one place where a topic that is followed
// gets its agent and its persistence, on which publisher and subscriber have to agree.
package topics

import (
	"reflect"
	"slices"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// Set is the topics that the service follows. One that is its zero value has no publisher, and is not followed.
type Set struct {
	// Device says that EVE's agents own the topics: networks are theirs to make, and ours to join.
	Device bool

	// What there shall be.
	Apps     pubsub.Topic[eve.AppInstanceConfig]
	Networks pubsub.Topic[eve.NetworkInstanceConfig] // not on a device, where zedrouter makes them
	// AppNetworks says of an app that has no config in Apps (yet) what its guest may be told.
	AppNetworks pubsub.Topic[eve.AppNetworkConfig]
	// What EVE's configuration has no place for. On a device these may have no publisher.
	Metadata        pubsub.Topic[eve.InstanceMetadata]
	NetworkMetadata pubsub.Topic[eve.NetworkMetadata]

	// What there is.
	AppStatus     pubsub.Topic[eve.AppNetworkStatus]
	NetworkStatus pubsub.Topic[eve.NetworkInstanceStatus]
	Domains       pubsub.Topic[eve.DomainStatus]

	// What user data is decrypted with.
	ControllerCerts pubsub.Topic[eve.ControllerCert]
	DeviceCerts     pubsub.Topic[eve.EdgeNodeCert]

	// The edge node.
	Node           pubsub.Topic[eve.EdgeNodeInfo]
	Settings       pubsub.Topic[eve.ConfigItemValueMap]
	Ports          pubsub.Topic[eve.DeviceNetworkStatus]
	NetworkMetrics pubsub.Topic[eve.NetworkMetrics]
	Modems         pubsub.Topic[eve.WwanStatus]
	ModemMetrics   pubsub.Topic[eve.WwanMetrics]
	Location       pubsub.Topic[eve.WwanLocationInfo]

	// Files that the controller offers to guests.
	Patches  pubsub.Topic[eve.PatchEnvelopeInfoList]
	Volumes  pubsub.Topic[eve.VolumeStatus]
	Contents pubsub.Topic[eve.ContentTreeStatus]
}

// Own are our own topics, which a feed and our nim publish.
func Own() Set {
	return Set{
		Apps:            pubsub.TopicOf[eve.AppInstanceConfig](eve.AgentFeed),
		Networks:        pubsub.TopicOf[eve.NetworkInstanceConfig](eve.AgentFeed),
		Metadata:        pubsub.TopicOf[eve.InstanceMetadata](eve.AgentFeed),
		NetworkMetadata: pubsub.TopicOf[eve.NetworkMetadata](eve.AgentFeed),
		// It is kept over reboots, because it says which address is whose.
		AppStatus:       pubsub.TopicOf[eve.AppNetworkStatus](eve.AgentNim, pubsub.Persistent()),
		NetworkStatus:   pubsub.TopicOf[eve.NetworkInstanceStatus](eve.AgentNim),
		ControllerCerts: pubsub.TopicOf[eve.ControllerCert](eve.AgentFeed),
		DeviceCerts:     pubsub.TopicOf[eve.EdgeNodeCert](eve.AgentFeed),
		Node:            pubsub.TopicOf[eve.EdgeNodeInfo](eve.AgentFeed),
	}
}

// Device are the topics of EVE's agents, as EVE publishes them (EVE pubsub).
func Device() Set {
	return Set{
		Device:          true,
		Apps:            pubsub.TopicOf[eve.AppInstanceConfig](eve.AgentZedagent),
		AppNetworks:     pubsub.TopicOf[eve.AppNetworkConfig](eve.AgentZedmanager),
		Metadata:        pubsub.TopicOf[eve.InstanceMetadata](eve.AgentFeed),
		NetworkMetadata: pubsub.TopicOf[eve.NetworkMetadata](eve.AgentFeed),
		AppStatus:       pubsub.TopicOf[eve.AppNetworkStatus](eve.AgentZedrouter),
		NetworkStatus:   pubsub.TopicOf[eve.NetworkInstanceStatus](eve.AgentZedrouter),
		Domains:         pubsub.TopicOf[eve.DomainStatus](eve.AgentDomainmgr),
		ControllerCerts: pubsub.TopicOf[eve.ControllerCert](eve.AgentZedagent),
		DeviceCerts:     pubsub.TopicOf[eve.EdgeNodeCert](eve.AgentTpmmgr, pubsub.Persistent()),
		Node:            pubsub.TopicOf[eve.EdgeNodeInfo](eve.AgentZedagent),
		Settings:        pubsub.TopicOf[eve.ConfigItemValueMap](eve.AgentZedagent),
		Ports:           pubsub.TopicOf[eve.DeviceNetworkStatus](eve.AgentEVENim),
		NetworkMetrics:  pubsub.TopicOf[eve.NetworkMetrics](eve.AgentZedrouter),
		Modems:          pubsub.TopicOf[eve.WwanStatus](eve.AgentWwan),
		ModemMetrics:    pubsub.TopicOf[eve.WwanMetrics](eve.AgentWwan),
		Location:        pubsub.TopicOf[eve.WwanLocationInfo](eve.AgentWwan),
		Patches:         pubsub.TopicOf[eve.PatchEnvelopeInfoList](eve.AgentZedagent, pubsub.Persistent()),
		Volumes:         pubsub.TopicOf[eve.VolumeStatus](eve.AgentVolumemgr),
		Contents:        pubsub.TopicOf[eve.ContentTreeStatus](eve.AgentVolumemgr),
	}
}

// Agents are those that publish the topics of the set, sorted.
func (s Set) Agents() []string {
	var agents []string
	for _, field := range reflect.ValueOf(s).Fields() {
		if field.Kind() != reflect.Struct {
			continue
		}
		if table := field.FieldByName("Table").Interface().(pubsub.Table); table.Agent != "" {
			agents = append(agents, table.Agent)
		}
	}
	slices.Sort(agents)
	return slices.Compact(agents)
}
