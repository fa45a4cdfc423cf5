// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/lf-edge/eve-metadata/nim/intake"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// Ports that guests ask with plain HTTP, by every cloud's custom and, for the second, by CloudStack's.
const (
	metadataPort = 80
	passwordPort = 8080
)

// network is what the manager knows of one app network.
type network struct {
	id       string
	leases   map[intake.AdapterID]plan.Lease
	outcomes map[intake.AdapterID]outcome

	place      plan.Network // where it is, as it was last wanted there; nowhere when it has no namespace and no bridge
	settled    bool         // it was as place says
	attachment eve.NetworkAttachment
	gateway    netip.Addr
	duplicates map[netip.Prefix]bool // addresses that somebody else has

	sockets     []endpoint.Endpoint // open ones
	namespace   uint64              // in which they are
	bridgeIndex int                 // of the bridge that they are on; 0 when it is missing
	watched     watched
	calm        calm

	last   *intake.Input // what was last wanted of it
	leaves time.Time     // when it goes, unless it is wanted again; zero: it is wanted, or not known not to be

	problem string // what was last logged
	retry   retry
}

// watched is what is watched for a network.
type watched struct {
	namespace uint64
	stop      context.CancelFunc // nil: nothing is
}

// outcome is what became of one adapter. It is comparable: two equal ones give an equal status.
type outcome struct {
	lease   plan.Lease // without its error
	static4 bool       // the guest configures its IPv4 address itself
	static6 bool       // and its IPv6 address
	slaac   bool       // the guest makes its IPv6 address itself
	there   bool       // the port is there
	mtu     int
	bridge  string
	mac     plan.MAC // of the bridge
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

// wantedSockets are the sockets that a network should have: guests ask at the metadata addresses, and CloudStack's ask
// their router, which is an IPv4 address there.
func wantedSockets(id string, place plan.Network, gateway netip.Addr) []endpoint.Endpoint {
	at := func(role endpoint.Role, addr netip.Addr, port uint16) endpoint.Endpoint {
		e := endpoint.Endpoint{
			Network: id, Role: role, Address: netip.AddrPortFrom(addr, port), Alone: place.Attach == plan.Existing,
		}
		if place.Attach == plan.OnBridge {
			e.Ports = place.Bridge.Name
		}
		return e
	}
	var want []endpoint.Endpoint
	for _, p := range plan.MetadataPrefixes() {
		addr := p.Addr()
		if addr.Is6() && addr.IsLinkLocalUnicast() {
			addr = addr.WithZone(place.Bridge.Name)
		}
		want = append(want, at(endpoint.Metadata, addr, metadataPort))
	}
	if gateway.Is4() {
		want = append(want, at(endpoint.Router, gateway, metadataPort), at(endpoint.RouterPassword, gateway, passwordPort))
	}
	return want
}

// listen makes the network's sockets be those that are wanted, in the namespace that a session is on. Those that are
// open there already stay, unless the bridge is another one by now: a socket that is bound to an interface, or to a
// link-local address on it, hears nothing on the next one of that name.
func (n *network) listen(s session, want []endpoint.Endpoint) error {
	device := ""
	if n.place.Attach == plan.OnBridge {
		device = n.place.Bridge.Name // others in that namespace ask at the same addresses
	}
	bridge := s.Index(n.place.Bridge.Name)
	stay := n.namespace == s.ID() && n.bridgeIndex == bridge
	var errs []error
	keep := n.sockets[:0:0]
	for _, have := range n.sockets {
		if stay && indexOf(want, have) >= 0 {
			keep = append(keep, have)
			continue
		}
		errs = append(errs, have.Listener.Close())
	}
	n.sockets, n.namespace, n.bridgeIndex = keep, s.ID(), bridge
	missing := slices.DeleteFunc(slices.Clone(want), func(w endpoint.Endpoint) bool { return indexOf(n.sockets, w) >= 0 })
	addrs := make([]netip.AddrPort, len(missing))
	for i, w := range missing {
		addrs[i] = w.Address
	}
	open, err := s.Listen(device, addrs...)
	for i, l := range open {
		if l != nil {
			missing[i].Listener = l
			n.sockets = append(n.sockets, missing[i])
		}
	}
	return errors.Join(append(errs, err)...)
}

// indexOf finds the socket that is bound as another one is; -1 for none.
func indexOf(set []endpoint.Endpoint, as endpoint.Endpoint) int {
	return slices.IndexFunc(set, func(e endpoint.Endpoint) bool { return e.Role == as.Role && e.Address == as.Address })
}

// serves tells whether guests can ask at the metadata address.
func (n *network) serves() bool {
	return slices.ContainsFunc(n.sockets, func(e endpoint.Endpoint) bool { return e.Role == endpoint.Metadata })
}

// closeAll closes sockets.
func closeAll(sockets []endpoint.Endpoint) error {
	var errs []error
	for _, e := range sockets {
		errs = append(errs, e.Listener.Close())
	}
	return errors.Join(errs...)
}

// failures is what could not be done, by the port that it concerns.
type failures map[string]error

// Failures that are not a port's.
const (
	ofBridge  = ""  // the bridge, its addresses or the socket
	ofNetwork = "*" // the namespace: nothing in it is known to be right
	ofServer  = ":" // the DHCP and DNS server
	ofUplink  = "^" // the way to the outside
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
		if n.retry.due(now) || n.retry.attempts == 0 && n.isLeaving() && !n.leaves.After(now) {
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
	at := func(t time.Time) {
		if until := max(0, t.Sub(now)); !ok || until < wait {
			wait, ok = until, true
		}
	}
	look := func(r *retry) {
		if r.attempts > 0 {
			at(r.at)
		}
	}
	for _, n := range m.state.networks {
		look(&n.retry)
		if n.retry.attempts == 0 && n.isLeaving() {
			at(n.leaves)
		}
	}
	look(&m.state.unpublished.retry)
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.noticed {
		if n := m.state.networks[id]; n != nil {
			at(n.calm.until)
		}
	}
	return wait, ok
}
