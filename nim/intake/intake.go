// SPDX-License-Identifier: Apache-2.0

// Package intake turns topics into what package plan works on.
//
// In come AppInstanceConfig, NetworkInstanceConfig and InstanceMetadata, one value at a time (Table), or, on a device, what
// EVE's zedrouter says of its networks (Device). Out come, for the networks that changed, everything that concerns one
// network (Input) and, from that and what its guests had before, the network that the kernel should have and what each
// adapter gets (Build). Package nim follows the topics and calls it.
//
// Nothing here has state but those two, and nothing logs: what is wrong with a config is part of the result.
package intake

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// Table holds the topics' values, by key, and knows what has changed since it was last asked. It is used by one goroutine
// at a time. Keys are UUIDs as text, as everywhere in EVE's topics.
type Table struct {
	apps     map[string]eve.AppInstanceConfig
	networks map[string]eve.NetworkInstanceConfig
	metadata map[string]eve.InstanceMetadata
	about    map[string]eve.NetworkMetadata
	members  map[string]map[string]bool // apps by network
	pending
}

// Changes names what changed: networks of which the config or a member did, and apps.
type Changes struct {
	Networks map[string]bool
	Apps     map[string]bool
}

func newChanges() Changes { return Changes{Networks: map[string]bool{}, Apps: map[string]bool{}} }

func (c Changes) add(more Changes) {
	maps.Copy(c.Networks, more.Networks)
	maps.Copy(c.Apps, more.Apps)
}

// pending is what has changed since somebody looked.
type pending struct{ changed Changes }

// Touch notes changes that the topics do not tell of.
func (p *pending) Touch(c Changes) { p.changed.add(c) }

// Take returns what has changed since the last Take.
func (p *pending) Take() Changes {
	c := p.changed
	p.changed = newChanges()
	return c
}

// NewTable returns a table without values.
func NewTable() *Table {
	return &Table{
		apps:     map[string]eve.AppInstanceConfig{},
		networks: map[string]eve.NetworkInstanceConfig{},
		metadata: map[string]eve.InstanceMetadata{},
		about:    map[string]eve.NetworkMetadata{},
		members:  map[string]map[string]bool{},
		pending:  pending{newChanges()},
	}
}

// SetApp adds an app instance or replaces it. The error says that key is not the UUID of the value, which is then refused:
// names in the kernel are made of it.
func (t *Table) SetApp(key string, app eve.AppInstanceConfig) error {
	if err := checkKey(key, app.UUIDandVersion.UUID); err != nil {
		return fmt.Errorf("take app instance %q: %w", key, err)
	}
	t.DeleteApp(key)
	t.apps[key] = app
	for _, a := range app.AppNetAdapterList {
		network := a.Network.String()
		if t.members[network] == nil {
			t.members[network] = map[string]bool{}
		}
		t.members[network][key] = true
	}
	t.touchApp(key)
	return nil
}

func checkKey(key string, id uuid.UUID) error {
	if id.String() != key {
		return fmt.Errorf("its UUID is %s", id)
	}
	return nil
}

// DeleteApp forgets an app instance; one that is not there is no mistake.
func (t *Table) DeleteApp(key string) {
	t.touchApp(key)
	for _, a := range t.apps[key].AppNetAdapterList {
		network := a.Network.String()
		if delete(t.members[network], key); len(t.members[network]) == 0 {
			delete(t.members, network)
		}
	}
	delete(t.apps, key)
}

// touchApp notes a change of an app instance and thereby of the networks that it is in.
func (t *Table) touchApp(key string) {
	t.changed.Apps[key] = true
	for _, a := range t.apps[key].AppNetAdapterList {
		t.changed.Networks[a.Network.String()] = true
	}
}

// SetNetwork adds a network instance or replaces it; see SetApp for the error.
func (t *Table) SetNetwork(key string, network eve.NetworkInstanceConfig) error {
	if err := checkKey(key, network.UUID); err != nil {
		return fmt.Errorf("take network instance %q: %w", key, err)
	}
	t.networks[key] = network
	t.changed.Networks[key] = true
	return nil
}

// DeleteNetwork forgets a network instance; one that is not there is no mistake.
func (t *Table) DeleteNetwork(key string) {
	if _, ok := t.networks[key]; ok {
		delete(t.networks, key)
		t.changed.Networks[key] = true
	}
}

// SetMetadata adds what is to be known of an app instance, which may come before the app instance itself.
func (t *Table) SetMetadata(key string, m eve.InstanceMetadata) {
	t.metadata[key] = m
	t.touchApp(key)
}

// DeleteMetadata forgets it.
func (t *Table) DeleteMetadata(key string) {
	delete(t.metadata, key)
	t.touchApp(key)
}

// SetNetworkMetadata adds what is to be known of a network instance, which may come before the network instance itself.
func (t *Table) SetNetworkMetadata(key string, m eve.NetworkMetadata) {
	t.about[key] = m
	t.touchNetwork(key)
}

// DeleteNetworkMetadata forgets it.
func (t *Table) DeleteNetworkMetadata(key string) {
	delete(t.about, key)
	t.touchNetwork(key)
}

// touchNetwork notes a change of a network instance, if there is one.
func (t *Table) touchNetwork(key string) {
	if _, ok := t.networks[key]; ok {
		t.changed.Networks[key] = true
	}
}

// Everything returns all that there is, as if it had changed.
func (t *Table) Everything() Changes {
	all := newChanges()
	for key := range t.networks {
		all.Networks[key] = true
	}
	for key := range t.members {
		all.Networks[key] = true
	}
	for key := range t.apps {
		all.Apps[key] = true
	}
	return all
}

// App returns an app instance.
func (t *Table) App(key string) (eve.AppInstanceConfig, bool) {
	a, ok := t.apps[key]
	return a, ok
}

// AdapterID names one adapter of one app instance.
type AdapterID struct {
	App     string // UUID
	Adapter string // name
}

// Adapter is what the topics say of one adapter.
type Adapter struct {
	AdapterID
	Active   bool          // the app instance is to run
	Kind     plan.PortKind // how it is attached
	Hostname string        // of the app instance
	Config   eve.AppNetAdapterConfig
	Metadata eve.AdapterMetadata
	Err      error // why it can not be had, whatever the network is like
}

// Input is all that the topics say of one network.
type Input struct {
	Network  string // UUID
	Config   *eve.NetworkInstanceConfig
	Metadata eve.NetworkMetadata
	Transit  int       // the number of its uplink, when it has one (see plan.NewUplink)
	Adapters []Adapter // by app instance, then in the order of its config; IDs are unique
	// Others says that EVE's agents made the network and give its guests what they have (see Device). Guests are
	// these, by port, and Err is what is wrong with some; it leaves the others alone.
	Others bool
	Guests []plan.Guest
	Err    error
}

// Network returns the input for one network, known or not.
func (t *Table) Network(key string) Input {
	in := Input{Network: key, Metadata: t.about[key]}
	if config, ok := t.networks[key]; ok {
		in.Config = &config
	}
	for _, app := range slices.Sorted(maps.Keys(t.members[key])) {
		in.Adapters = append(in.Adapters, t.adapters(app, key)...)
	}
	return in
}

// adapters returns the adapters that an app instance has in a network. Of those with equal names, anywhere in the app
// instance, only the first can be had: nothing could tell the others apart over time. They are left out (Duplicate).
func (t *Table) adapters(key, network string) []Adapter {
	app, meta := t.apps[key], t.metadata[key]
	var found []Adapter
	for i, a := range app.AppNetAdapterList {
		if a.Network.String() != network || Duplicate(app.AppNetAdapterList, i) {
			continue
		}
		adapter := Adapter{
			AdapterID: AdapterID{key, a.Name}, Active: app.Activate, Kind: kindOf(app), Hostname: eve.Hostname(&app, &meta), Config: a,
		}
		if a.Error != "" {
			adapter.Err = fmt.Errorf("read the adapter's config: %s", a.Error)
		}
		for _, m := range meta.Adapters {
			if m.Name == a.Name {
				adapter.Metadata = m
				break
			}
		}
		found = append(found, adapter)
	}
	return found
}

// Duplicate tells whether the adapter at i has the name of one before it.
func Duplicate(adapters []eve.AppNetAdapterConfig, i int) bool {
	return slices.ContainsFunc(adapters[:i], func(a eve.AppNetAdapterConfig) bool { return a.Name == adapters[i].Name })
}

// kindOf returns how an app instance is attached: containers that run in the host's kernel by veth, all else by tap.
func kindOf(app eve.AppInstanceConfig) plan.PortKind {
	if app.FixedResources.VirtualizationMode == eve.VmModeNoHyper {
		return plan.Veth
	}
	return plan.Tap
}
