// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/lf-edge/eve-metadata/nim/intake"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// metadataPort is HTTP's: the metadata address is asked with plain HTTP by every cloud's custom.
const metadataPort = 80

// network is what the manager knows of one app network.
type network struct {
	id       string
	leases   map[intake.AdapterID]plan.Lease
	outcomes map[intake.AdapterID]outcome

	bridge      plan.Bridge
	bridgeIndex int
	gateway     netip.Addr

	listener  net.Listener // nil: none
	namespace uint64       // in which the listener is

	problem string // what was last logged
	retry   retry
}

// outcome is what became of one adapter. It is comparable: two equal ones give an equal status.
type outcome struct {
	lease   plan.Lease // without its error
	static4 bool       // the guest configures its IPv4 address itself
	static6 bool       // and its IPv6 address
	there   bool       // the port is there
	mtu     int
	bridge  plan.MAC
	gateway netip.Addr
	err     string
}

// network returns what is known of a network, at first nothing.
func (m *Manager) network(id string) *network {
	n := m.state.networks[id]
	if n == nil {
		n = &network{id: id, leases: map[intake.AdapterID]plan.Lease{}, outcomes: map[intake.AdapterID]outcome{}}
		m.state.networks[id] = n
	}
	return n
}

// networksOf returns the networks that namespaces belong to.
func networksOf(namespaces []string) map[string]bool {
	ids := map[string]bool{}
	for _, name := range namespaces {
		if id := plan.NetworkOf(name); id != "" {
			ids[id] = true
		}
	}
	return ids
}

// recall takes over what adapters had in an earlier run.
func (m *Manager) recall() {
	for app, status := range m.state.appStatus.Table() {
		for _, a := range status.AppNetAdapterList {
			m.network(a.Network.String()).leases[intake.AdapterID{App: app, Adapter: a.Name}] = leaseOf(a)
		}
	}
}

// leaseOf returns what an adapter had by its status. A MAC address is kept if we made it up: one from the config goes with
// the config.
func leaseOf(a eve.AppNetAdapterStatus) plan.Lease {
	var l plan.Lease
	if mac, err := plan.MACFrom(a.Mac); err == nil && len(a.AppMacAddr) == 0 {
		l.MAC = mac
	}
	l.IPv4 = firstAddr(a.AssignedAddresses.IPv4Addrs)
	l.IPv6 = firstAddr(a.AssignedAddresses.IPv6Addrs)
	return l
}

func firstAddr(addrs []eve.AssignedAddr) netip.Addr {
	if len(addrs) == 0 {
		return netip.Addr{}
	}
	return eve.Addr(addrs[0].Address)
}

// closeListener closes the network's socket, if it has one.
func (n *network) closeListener() error {
	if n.listener == nil {
		return nil
	}
	l := n.listener
	n.listener, n.namespace = nil, 0
	return l.Close()
}

// failures is what could not be done, by the port that it concerns.
type failures map[string]error

// Failures that are not a port's.
const (
	ofBridge  = ""  // the bridge, its addresses or the socket
	ofNetwork = "*" // the namespace: nothing in it is known to be right
)

func (f failures) add(port string, err error) { f[port] = errors.Join(f[port], err) }

// of returns what makes a port fail.
func (f failures) of(port string) error {
	if port == "" {
		return f[ofNetwork]
	}
	return errors.Join(f[ofNetwork], f[port])
}

// sortFailures sorts the errors of steps by the interface that they are on.
func sortFailures(errs []error) failures {
	f := failures{}
	for _, err := range errs {
		f.add(portOf(err), err)
	}
	return f
}

func portOf(err error) string {
	step, ok := stepOf(err)
	if !ok {
		return ofNetwork
	}
	switch _, link := step.On(); {
	case link == "":
		return ofNetwork
	case plan.IsPort(link):
		return link
	case plan.IsGuestEnd(link):
		return plan.HostEnd(link)
	}
	return ofBridge
}

// retry is when something that failed is tried again.
type retry struct {
	attempts int // that failed in a row
	at       time.Time
}

// Times between attempts: the first is short, for what rights itself; then they double, for what does not.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// fail plans the next attempt.
func (r *retry) fail(now time.Time) {
	wait := lastRetry
	if r.attempts < 6 {
		wait = min(lastRetry, firstRetry<<r.attempts)
	}
	r.attempts++
	r.at = now.Add(wait)
}

// due returns what it is time to try again.
func (m *Manager) due() intake.Changes {
	now := m.now()
	due := intake.Changes{Networks: map[string]bool{}, Apps: map[string]bool{}}
	for id, n := range m.state.networks {
		if n.retry.due(now) {
			due.Networks[id] = true
		}
	}
	if u := &m.state.unpublished; u.retry.due(now) {
		for key := range u.reasons {
			due.Apps[key] = true
		}
	}
	return due
}

func (r *retry) due(now time.Time) bool { return r.attempts > 0 && !r.at.After(now) }

// nextRetry returns how long to wait for the next attempt, if one is planned.
func (m *Manager) nextRetry() (wait time.Duration, ok bool) {
	now := m.now()
	look := func(r *retry) {
		if r.attempts == 0 {
			return
		}
		if until := max(0, r.at.Sub(now)); !ok || until < wait {
			wait, ok = until, true
		}
	}
	for _, n := range m.state.networks {
		look(&n.retry)
	}
	look(&m.state.unpublished.retry)
	return wait, ok
}
