// SPDX-License-Identifier: Apache-2.0

// Package store holds what every caller may read: rendered instances, looked up by the network that a request
// came in on and the IP or MAC address it came from.
//
// The intake puts and removes entries, one at a time; carriers look them up, from any goroutine. A request
// either sees an instance as it was or as it is, never a mixture. A change costs as much as the instance has
// keys, however many others there are.
package store

import (
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// Key is what an instance is known by in a network, which the listening socket tells and the caller cannot
// choose: an IP address, unmapped and without a zone, or a MAC address. With neither of them it is the
// network's only instance that is meant.
type Key struct {
	Network string
	Address netip.Addr
	MAC     MAC
}

// String is the key as logs have it.
func (k Key) String() string {
	switch {
	case k.Address.IsValid():
		return k.Network + " " + k.Address.String()
	case k.MAC != MAC{}:
		return k.Network + " " + k.MAC.String()
	}
	return k.Network
}

// MAC is an Ethernet address; zero where there is none, or it is not known.
type MAC [6]byte

// String is the address as it is usually written.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// Entry is one instance, rendered.
type Entry struct {
	Instance *instance.Instance
	// HTTP are the trees that the instance reads, by the site that it asks; nil when it may not ask.
	HTTP map[dialect.Site]*document.Node
	// Keys are what the instance is known by.
	Keys []Key
}

// Store is the entries and who claims what. Make one with New.
type Store struct {
	mu      sync.RWMutex
	entries map[string]*Entry         // by UUID
	claims  map[Key]map[string]*Entry // by UUID too; of the disputed keys there are several, and no key has none
	changed chan struct{}             // closed when there is a change
}

// New makes an empty Store.
func New() *Store {
	return &Store{
		entries: make(map[string]*Entry), claims: make(map[Key]map[string]*Entry), changed: make(chan struct{}),
	}
}

// Put adds an instance or replaces what was known of it (by UUID). Where two instances claim one key,
// neither is served there, because there is no telling them apart; Put reports the addresses among those
// keys. That a network has two instances is nothing to report.
func (s *Store) Put(e *Entry) (disputed []Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := e.Instance.UUID
	s.release(id)
	s.entries[id] = e
	for _, k := range e.Keys {
		if s.claims[k] == nil {
			s.claims[k] = make(map[string]*Entry, 1)
		}
		s.claims[k][id] = e
		if len(s.claims[k]) > 1 && k != (Key{Network: k.Network}) && !slices.Contains(disputed, k) {
			disputed = append(disputed, k)
		}
	}
	s.tell()
	return disputed
}

// Remove forgets an instance. One that is not known is no error.
func (s *Store) Remove(uuid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(uuid)
	delete(s.entries, uuid)
	s.tell()
}

// release takes an instance's claims back.
func (s *Store) release(uuid string) {
	old := s.entries[uuid]
	if old == nil {
		return
	}
	for _, k := range old.Keys {
		if delete(s.claims[k], uuid); len(s.claims[k]) == 0 {
			delete(s.claims, k)
		}
	}
}

// tell says that there is a change.
func (s *Store) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Lookup finds the entry whose instance owns the key, and tells whether anybody claims it: a disputed key
// is claimed and has no entry.
func (s *Store) Lookup(k Key) (e *Entry, claimed bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	claims := s.claims[k]
	if len(claims) > 1 {
		return nil, true
	}
	for _, e = range claims {
		return e, true
	}
	return nil, false
}

// Changed returns a channel that is closed once Lookup may answer otherwise than now.
func (s *Store) Changed() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changed
}

// Len is the number of instances known.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.entries)
}
