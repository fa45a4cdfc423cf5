// SPDX-License-Identifier: Apache-2.0

// Package store holds what every caller may read: an immutable snapshot of rendered instances, looked up
// by the network that a request came in on and the address it came from.
//
// The intake puts and removes entries, one at a time; carriers look them up, from any goroutine, without
// a lock. A request either sees an instance as it was or as it is, never a mixture.
package store

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// Key is who is asking: the network, which the listening socket tells and the caller cannot choose, and
// the caller's address in it. Addresses are unmapped and have no zone.
type Key struct {
	Network string
	Address netip.Addr
}

// Entry is one instance, rendered.
type Entry struct {
	Instance *instance.Instance
	// HTTP are the trees that the instance reads, by the site that it asks; nil when it may not ask.
	HTTP map[dialect.Site]*document.Node
	// Keys are the addresses that are the instance's own.
	Keys []Key
}

// Store is the snapshot and those who change it. Make one with New.
type Store struct {
	mu      sync.Mutex // held by writers only
	entries map[string]*Entry
	claims  map[Key][]string // instance IDs, in order of arrival
	current atomic.Pointer[snapshot]
}

// snapshot maps network → address → entry. The inner maps are shared between snapshots and replaced,
// never altered: a change costs as much as the networks it touches are large.
type snapshot struct {
	networks map[string]map[netip.Addr]*Entry
	replaced chan struct{} // closed when the next snapshot is there
}

// New makes an empty Store.
func New() *Store {
	s := &Store{entries: make(map[string]*Entry), claims: make(map[Key][]string)}
	s.current.Store(&snapshot{replaced: make(chan struct{})})
	return s
}

// Put adds an instance or replaces what was known of it (by UUID). Where two instances claim one key,
// neither is served there, because there is no telling them apart; Put reports those keys.
func (s *Store) Put(e *Entry) (disputed []Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := e.Instance.UUID
	touched := s.release(id)
	s.entries[id] = e
	for _, k := range e.Keys {
		if slices.Contains(s.claims[k], id) {
			continue
		}
		s.claims[k] = append(s.claims[k], id)
		touched[k] = struct{}{}
		if len(s.claims[k]) > 1 {
			disputed = append(disputed, k)
		}
	}
	s.publish(touched)
	return disputed
}

// Remove forgets an instance. One that is not known is no error.
func (s *Store) Remove(uuid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	touched := s.release(uuid)
	delete(s.entries, uuid)
	s.publish(touched)
}

// Lookup finds the entry whose instance owns the key; nil for an unknown or a disputed one.
func (s *Store) Lookup(k Key) *Entry {
	return s.current.Load().networks[k.Network][k.Address]
}

// Changed returns a channel that is closed once there is another snapshot than now.
func (s *Store) Changed() <-chan struct{} { return s.current.Load().replaced }

// Len is the number of instances known.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries)
}

// release takes an instance's claims back and returns the keys that this touched.
func (s *Store) release(uuid string) map[Key]struct{} {
	touched := make(map[Key]struct{})
	old := s.entries[uuid]
	if old == nil {
		return touched
	}
	for _, k := range old.Keys {
		s.claims[k] = slices.DeleteFunc(s.claims[k], func(id string) bool { return id == uuid })
		if len(s.claims[k]) == 0 {
			delete(s.claims, k)
		}
		touched[k] = struct{}{}
	}
	return touched
}

// publish makes a new snapshot in which the touched keys are as the claims say.
func (s *Store) publish(touched map[Key]struct{}) {
	if len(touched) == 0 {
		return
	}
	old := s.current.Load()
	next := maps.Clone(old.networks)
	if next == nil {
		next = make(map[string]map[netip.Addr]*Entry)
	}
	copied := make(map[string]bool)
	for k := range touched {
		if !copied[k.Network] {
			network := maps.Clone(next[k.Network])
			if network == nil {
				network = make(map[netip.Addr]*Entry)
			}
			next[k.Network], copied[k.Network] = network, true
		}
		if owners := s.claims[k]; len(owners) == 1 {
			next[k.Network][k.Address] = s.entries[owners[0]]
		} else {
			delete(next[k.Network], k.Address)
		}
	}
	for network := range copied {
		if len(next[network]) == 0 {
			delete(next, network)
		}
	}
	s.current.Store(&snapshot{networks: next, replaced: make(chan struct{})})
	close(old.replaced)
}
