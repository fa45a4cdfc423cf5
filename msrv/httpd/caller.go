// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/store"
)

// Bridges tells where on a bridge a guest is. *neigh.Table is one.
type Bridges interface {
	// Port returns the name of the bridge's port behind which mac was heard last. It is an error that there is none.
	Port(bridge string, mac net.HardwareAddr) (string, error)
}

// origin is where a connection comes from: all that is known of a caller, nothing of which it says itself.
type origin struct {
	address netip.Addr // unmapped, without a zone
	mac     store.MAC  // of the connection's SYN; zero: not known
}

// originOf is where a request's connection comes from.
func originOf(r *http.Request) (origin, error) {
	if c, ok := r.Context().Value(connectionKey{}).(*counted); ok {
		return c.from, nil
	}
	address, err := callerAddress(r.RemoteAddr)
	return origin{address: address}, err
}

// callerAddress reads the remote address of a connection.
func callerAddress(remote string) (netip.Addr, error) {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("read caller's address %q: %w", remote, err)
	}
	return from.Addr().Unmap().WithZone(""), nil
}

// The ways in which a caller bears what is another's. They are told apart in the log and the metrics, not in the answer.
var (
	errOtherMAC  = errors.New("the address has another MAC address")
	errOtherPort = errors.New("the MAC address is not on its port")
)

// caller is who asks.
type caller struct {
	entry   *store.Entry
	adapter *instance.Adapter // that it asks from; nil where that is not known
}

// callers is the rule by which an endpoint knows its callers.
type callers struct {
	network string
	alone   bool   // only one instance can be there (see endpoint.Endpoint)
	bridge  string // on whose ports callers have to be found; "": on none
	bridges Bridges
	store   Looker
}

// find tells who a caller is. An error is why it is nobody: errNotFound, or what it bears of another's.
//
//   - Where only one instance can be, it is that one; if there are several all the same, the one with the address.
//   - Otherwise it is the instance with the address, and the MAC address, where it is known, has to be that of an adapter
//     with the address.
//   - Whoever has an address that is nobody's is known by its MAC address: its lease may not have been heard of yet, or it
//     made the address itself, as every guest does with the link-local ones of IPv6. An address that two instances claim
//     is somebody's.
//   - On a bridge, the adapter has to be on the port that it is known to have.
func (c callers) find(from origin) (caller, error) {
	if c.alone {
		if e, _ := c.store.Lookup(store.Key{Network: c.network}); e != nil {
			return caller{e, c.adapter(e.Instance, func(*instance.Adapter) bool { return true })}, nil
		}
	}
	entry, claimed := c.store.Lookup(store.Key{Network: c.network, Address: from.address})
	if entry != nil {
		return c.confirm(entry, from)
	}
	if claimed || c.alone || from.mac == (store.MAC{}) {
		return caller{}, errNotFound
	}
	if entry, _ = c.store.Lookup(store.Key{Network: c.network, MAC: from.mac}); entry == nil {
		return caller{}, errNotFound
	}
	return c.onPort(caller{entry, c.adapter(entry.Instance, from.hasMAC)}, from)
}

// confirm tells whether the one that has the address is who asks.
func (c callers) confirm(entry *store.Entry, from origin) (caller, error) {
	if from.mac == (store.MAC{}) {
		return c.onPort(caller{entry, c.adapter(entry.Instance, from.hasAddress)}, from)
	}
	adapter := c.adapter(entry.Instance, func(a *instance.Adapter) bool {
		return from.hasAddress(a) && (from.hasMAC(a) || a.MAC == nil)
	})
	if adapter == nil {
		return caller{}, fmt.Errorf("%w: %s", errOtherMAC, from.mac)
	}
	return c.onPort(caller{entry, adapter}, from)
}

// onPort tells whether a caller is where its adapter is. Where that cannot be found out, it is not.
func (c callers) onPort(who caller, from origin) (caller, error) {
	if c.bridge == "" || who.adapter == nil || who.adapter.Port == "" {
		return who, nil
	}
	port, err := c.bridges.Port(c.bridge, from.mac[:])
	if err != nil {
		return caller{}, fmt.Errorf("%w: find %s: %w", errOtherPort, from.mac, err)
	}
	if port != who.adapter.Port && port != who.adapter.OtherPort {
		return caller{}, fmt.Errorf("%w: %s is on %q", errOtherPort, from.mac, port)
	}
	return who, nil
}

// adapter is an instance's first card in the network that fits; nil for none.
func (c callers) adapter(inst *instance.Instance, fits func(*instance.Adapter) bool) *instance.Adapter {
	for i := range inst.Adapters {
		if a := &inst.Adapters[i]; a.Kind == instance.Card && a.Network == c.network && fits(a) {
			return a
		}
	}
	return nil
}

// hasAddress tells whether an adapter has the caller's address.
func (o origin) hasAddress(a *instance.Adapter) bool {
	return a.IPv4.Address.Addr() == o.address || a.IPv6.Address.Addr() == o.address
}

// hasMAC tells whether an adapter has the caller's MAC address.
func (o origin) hasMAC(a *instance.Adapter) bool { return bytes.Equal(a.MAC, o.mac[:]) }
