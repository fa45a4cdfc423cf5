// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"maps"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// Set is everything that a feed wants to be published. The keys of each map are those of its topic: the UUIDs of apps and
// networks as text, lower case with dashes, where nothing else is said. A nil map is an empty one. A Set that has been
// handed on is not changed any more.
type Set struct {
	Apps            map[string]eve.AppInstanceConfig
	Networks        map[string]eve.NetworkInstanceConfig
	Metadata        map[string]eve.InstanceMetadata // of apps
	NetworkMetadata map[string]eve.NetworkMetadata

	// What only a controller says. Other feeds have none of it, and it is not in what their Sets look like.
	AppNetworks     map[string]eve.AppNetworkConfig `json:",omitempty"` // of apps
	Node            map[string]eve.EdgeNodeInfo     `json:",omitempty"` // by eve.GlobalKey
	CipherContexts  map[string]eve.CipherContext    `json:",omitempty"` // by ContextID
	ControllerCerts map[string]eve.ControllerCert   `json:",omitempty"` // by CertHash in hexadecimal
	DeviceCerts     map[string]eve.EdgeNodeCert     `json:",omitempty"` // by CertID in hexadecimal
}

// Merge returns a new Set that holds what is in s or in other. Where both have a key, other wins.
func (s Set) Merge(other Set) Set {
	return Set{
		Apps:            merged(s.Apps, other.Apps),
		Networks:        merged(s.Networks, other.Networks),
		Metadata:        merged(s.Metadata, other.Metadata),
		NetworkMetadata: merged(s.NetworkMetadata, other.NetworkMetadata),
		AppNetworks:     merged(s.AppNetworks, other.AppNetworks),
		Node:            merged(s.Node, other.Node),
		CipherContexts:  merged(s.CipherContexts, other.CipherContexts),
		ControllerCerts: merged(s.ControllerCerts, other.ControllerCerts),
		DeviceCerts:     merged(s.DeviceCerts, other.DeviceCerts),
	}
}

func merged[V any](a, b map[string]V) map[string]V {
	m := make(map[string]V, len(a)+len(b))
	maps.Copy(m, a)
	maps.Copy(m, b)
	return m
}
