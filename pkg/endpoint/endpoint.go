// SPDX-License-Identifier: Apache-2.0

// Package endpoint is where the manager of the app networks and the server of metadata meet.
//
// The manager (nim) opens a listening socket in each app network's namespace and posts the set of those that there are;
// the server (msrv) watches the set and accepts on each of them. The socket tells for life which network a request came
// from, whatever the request says: two networks may use the same addresses.
//
// The manager owns the sockets: it binds them before it posts them, and it closes them when a network goes, whereupon
// Accept returns net.ErrClosed to the server. The server closes none of them, so that it can stop and start again while
// connections queue in the kernel.
package endpoint

import (
	"context"
	"iter"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// Endpoint is a listening socket in one app network.
type Endpoint struct {
	// Network is the UUID of the network instance, as text.
	Network string
	// Role is what guests ask for there.
	Role Role
	// Address is what the socket is bound to, in the network's namespace. A link-local one has its interface as zone.
	Address netip.AddrPort
	// Alone says that nobody but the network's only app instance can ask there: the namespace is the guest's own.
	Alone bool
	// Ports is the bridge, an interface of the manager's own namespace, on whose ports guests have to be found where they
	// are known to be; "" where the manager holds them there itself.
	Ports string
	// Listener is the socket. Two endpoints are the same one when their listeners are.
	Listener net.Listener
}

// Role is what guests ask for at an endpoint. It is said by the manager, which chose the address, and never found out
// from a request.
type Role int

// The roles.
const (
	Metadata       Role = iota // the metadata address
	Router                     // the network's router, on HTTP's port
	RouterPassword             // the network's router, on the port of CloudStack's password server
)

// Board holds the set of endpoints that there are now. It is level-triggered: who watches sees the newest set, and may
// never see one that was replaced soon. A Board is used by any number of goroutines.
type Board struct {
	mu      sync.Mutex
	posted  bool
	set     []Endpoint
	changed chan struct{}
}

// NewBoard returns a board on which nothing has been posted yet.
func NewBoard() *Board { return &Board{changed: make(chan struct{})} }

// Post replaces the whole set. The board keeps a copy. Post never blocks on those who watch.
func (b *Board) Post(set []Endpoint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.posted, b.set = true, slices.Clone(set)
	close(b.changed)
	b.changed = make(chan struct{})
}

// Snapshot returns the present set, which must not be altered, and a channel that is closed once another set has been
// posted. Before the first Post the set is nil; a posted set never is.
func (b *Board) Snapshot() (set []Endpoint, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.posted && b.set == nil {
		return []Endpoint{}, b.changed
	}
	return b.set, b.changed
}

// Watch returns the present set, if there is one, and then each newest set after a Post, until ctx ends. Sets that were
// replaced while the caller was busy are left out. The sets must not be altered.
func (b *Board) Watch(ctx context.Context) iter.Seq[[]Endpoint] {
	return func(yield func([]Endpoint) bool) {
		for ctx.Err() == nil {
			set, changed := b.Snapshot()
			if set != nil && !yield(set) {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
}
