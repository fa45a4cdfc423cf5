// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"maps"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// Set is everything that a feed wants to be published. The keys of each map are the UUIDs of the values as text: lower
// case, with dashes. A nil map is an empty one. A Set that has been handed on is not changed any more.
type Set struct {
	Apps            map[string]eve.AppInstanceConfig
	Networks        map[string]eve.NetworkInstanceConfig
	Metadata        map[string]eve.InstanceMetadata // of apps
	NetworkMetadata map[string]eve.NetworkMetadata
}

// Merge returns a new Set that holds what is in s or in other. Where both have a key, other wins.
func (s Set) Merge(other Set) Set {
	return Set{
		Apps:            merged(s.Apps, other.Apps),
		Networks:        merged(s.Networks, other.Networks),
		Metadata:        merged(s.Metadata, other.Metadata),
		NetworkMetadata: merged(s.NetworkMetadata, other.NetworkMetadata),
	}
}

func merged[V any](a, b map[string]V) map[string]V {
	m := make(map[string]V, len(a)+len(b))
	maps.Copy(m, a)
	maps.Copy(m, b)
	return m
}
