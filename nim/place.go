// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/lf-edge/eve-metadata/nim/intake"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// isNowhere tells whether a network is in no place.
func isNowhere(n plan.Network) bool { return n.Bridge.Name == "" }

// isAt tells whether a network is where it is wanted, or may begin to be there because it is nowhere.
func isAt(have, want plan.Network) bool {
	return isNowhere(have) ||
		have.Namespace == want.Namespace && have.Attach == want.Attach && have.Bridge.Name == want.Bridge.Name
}

// errNoTransit says that the host has as many uplinks as it can have.
var errNoTransit = fmt.Errorf("a host has %d uplinks at most", plan.MaxTransits)

// transit returns the number of a network's uplink: the one that it has, or, when it wants its first, one that no other
// network has. It is 0 for a network that wants none.
func (m *Manager) transit(n *network, in intake.Input) (int, error) {
	if in.Config == nil || in.Config.PortLabel == "" || in.Others {
		return 0, nil
	}
	if t := n.attachment.Transit; t != 0 {
		return t - 1, nil
	}
	taken := make(map[int]bool, len(m.state.networks))
	for _, other := range m.state.networks {
		taken[other.attachment.Transit] = true
	}
	first := plan.TransitOf(n.id)
	for i := range plan.MaxTransits {
		if t := (first + i) % plan.MaxTransits; !taken[t+1] {
			return t, nil
		}
	}
	return 0, errNoTransit
}

// noteAttachment publishes where a network is about to be, unless its namespace's name says it all.
func (m *Manager) noteAttachment(n *network, place plan.Network, transit int) error {
	a := eve.NetworkAttachment{}
	switch place.Attach {
	case plan.Managed:
		if place.Uplink != nil {
			a.Transit = transit + 1
		}
	case plan.Existing:
		a.Namespace = place.Namespace
	case plan.OnBridge:
		a.Bridge = place.Bridge.Name
	}
	if a == (eve.NetworkAttachment{}) {
		return m.forgetAttachment(n)
	}
	a.NetworkUUID = appID(n.id)
	if a == n.attachment {
		return nil
	}
	if err := m.state.attachments.Set(n.id, a); err != nil {
		return err
	}
	n.attachment = a
	return nil
}

// forgetAttachment withdraws it.
func (m *Manager) forgetAttachment(n *network) error {
	if n.attachment == (eve.NetworkAttachment{}) {
		return nil
	}
	if err := m.state.attachments.Delete(n.id); err != nil {
		return err
	}
	n.attachment = eve.NetworkAttachment{}
	return nil
}

// recallPlaces takes over where networks were in an earlier run.
func (m *Manager) recallPlaces() {
	for id, a := range m.state.attachments.Table() {
		place, err := intake.Place(id, a.Namespace, a.Bridge)
		if err != nil {
			m.entry(id).WithError(err).Warn("where the network was in an earlier run is not known")
			continue
		}
		n := m.network(id)
		n.place, n.attachment = place, a
	}
}

// vacate makes sure that no other network is where one is wanted: guests there would be told another network's answers. A
// network that is not wanted any more gives way, whatever it would have been kept for.
func (m *Manager) vacate(n *network, want plan.Network, s session) error {
	if want.Attach == plan.Managed {
		return nil
	}
	for id, other := range m.state.networks {
		if id == n.id || !sharePlace(other, want, s) {
			continue
		}
		if m.isWanted(id) {
			return fmt.Errorf("%s is network %q's", nameOf(want), id)
		}
		if failed := m.detach(other); len(failed) > 0 {
			return fmt.Errorf("%s was network %q's: %w", nameOf(want), id, failed.all())
		}
	}
	return nil
}

// sharePlace tells whether a network is in the same place as another one is wanted in, which a session is on: a namespace may
// have several paths.
func sharePlace(n *network, want plan.Network, s session) bool {
	if isNowhere(n.place) || n.place.Attach != want.Attach {
		return false
	}
	if want.Attach == plan.OnBridge {
		return n.place.Bridge.Name == want.Bridge.Name
	}
	return n.place.Namespace == want.Namespace || n.namespace != 0 && n.namespace == s.ID()
}

// nameOf is what a place of others is called in an error.
func nameOf(place plan.Network) string {
	if place.Attach == plan.OnBridge {
		return fmt.Sprintf("bridge %q", place.Bridge.Name)
	}
	return fmt.Sprintf("namespace %q", place.Namespace)
}

// duplicate returns an error for addresses that somebody else on the link has. One that is being tried again stays one
// until the kernel knows better.
func (n *network) duplicate(want plan.Network, seen plan.Seen) error {
	before := n.duplicates
	n.duplicates = nil
	var errs []error
	for _, l := range seen[want.Namespace].Links {
		for _, a := range l.Addresses {
			if l.Name != want.Bridge.Name || !a.Duplicate && !(a.Tentative && before[a.Prefix]) {
				continue
			}
			if n.duplicates == nil {
				n.duplicates = map[netip.Prefix]bool{}
			}
			n.duplicates[a.Prefix] = true
			errs = append(errs, fmt.Errorf("use address %s on %s: somebody else on the link has it", a.Prefix.Addr(), l.Name))
		}
	}
	return errors.Join(errs...)
}

// adopt fills in what guests in a namespace of others have, out of its interfaces. An adapter's is the one with its
// MAC address or else its IP address; those that are left belong to the adapters that are left, in their order.
func adopt(leases []plan.Lease, links []plan.Link) {
	links = slices.DeleteFunc(slices.Clone(links), func(l plan.Link) bool { return l.MAC == plan.MAC{} })
	slices.SortFunc(links, func(a, b plan.Link) int { return cmp.Compare(a.Index, b.Index) })
	var left []*plan.Lease
	for i := range leases {
		l := &leases[i]
		at := slices.IndexFunc(links, func(k plan.Link) bool { return k.MAC == l.MAC })
		if at < 0 {
			at = slices.IndexFunc(links, func(k plan.Link) bool { return hasAddr(k, l.IPv4) || hasAddr(k, l.IPv6) })
		}
		if at < 0 {
			left = append(left, l)
			continue
		}
		take(l, links[at])
		links = slices.Delete(links, at, at+1)
	}
	for i, l := range left[:min(len(left), len(links))] {
		take(l, links[i])
	}
}

// take fills in what an interface has.
func take(l *plan.Lease, from plan.Link) {
	l.MAC = from.MAC
	for _, a := range from.Addresses {
		addr := a.Prefix.Addr()
		switch {
		case !addr.IsGlobalUnicast():
		case addr.Is4() && !l.IPv4.IsValid():
			l.IPv4 = addr
		case addr.Is6() && !l.IPv6.IsValid():
			l.IPv6 = addr
		}
	}
}

func hasAddr(l plan.Link, addr netip.Addr) bool {
	return addr.IsValid() && slices.ContainsFunc(l.Addresses, func(a plan.Address) bool { return a.Prefix.Addr() == addr })
}

// settleTime is how long changes by others are gathered before they are looked at: one deed of theirs has many.
const settleTime = 50 * time.Millisecond

// calm is how long what others do to a network is not looked at, so that a fight with another program that wants it
// otherwise does not take all of the processor. It is never so long that somebody who waits would notice.
type calm struct {
	until  time.Time
	last   time.Time // when there was something to put right
	rounds int       // in which there was, since the last lull
}

const (
	// longestCalm is the longest.
	longestCalm = time.Second
	// lull is how long nothing has to be put right for a fight to be over.
	lull = 5 * time.Second
	// manyRounds are a fight.
	manyRounds = 5
)

// repaired notes that there was something to put right.
func (c *calm) repaired(now time.Time) {
	if !c.isRecent(now) {
		c.rounds = 0
	}
	c.until = now.Add(min(longestCalm, settleTime<<c.rounds))
	c.last = now
	c.rounds = min(c.rounds+1, manyRounds)
}

func (c *calm) isRecent(now time.Time) bool { return now.Sub(c.last) < lull }

// isFight tells whether somebody else changes the network again and again.
func (c *calm) isFight(now time.Time) bool { return c.rounds == manyRounds && c.isRecent(now) }

// errFight says so.
var errFight = errors.New("somebody else changes the app network again and again")

// watchAll begins to watch those of a round's networks that are not watched yet. That comes last: whoever watches costs each
// change of any network a little time. What has happened meanwhile is looked for, unless another attempt is planned anyway.
func (m *Manager) watchAll(networks []string) {
	for _, id := range networks {
		if n := m.state.networks[id]; n != nil && m.watch(n) && n.retry.attempts == 0 {
			m.notice(id)
		}
	}
}

// watch has the manager look at a network whenever somebody changes something in its namespace. It returns whether that is
// new. A namespace of others that is missing is waited for.
func (m *Manager) watch(n *network) bool {
	if n.watched.stop != nil && n.watched.namespace == n.namespace {
		return false
	}
	n.unwatch()
	if n.namespace == 0 && n.place.Attach != plan.Existing {
		return false // it could not be made
	}
	ctx, stop := context.WithCancel(m.state.running)
	n.watched = watched{n.namespace, stop}
	id, place := n.id, n.place
	m.state.watchers.Go(func() { m.keepWatch(ctx, id, place) })
	return true
}

// watchRetry is how long after a failure it is tried again to watch a network.
const watchRetry = 10 * time.Second

// keepWatch watches a network until ctx ends. What it could not see it has looked at when it can see again.
func (m *Manager) keepWatch(ctx context.Context, id string, place plan.Network) {
	look := func() { m.notice(id) }
	told := false
	for {
		err := m.kernel.Watch(ctx, place, look)
		if err == nil || ctx.Err() != nil {
			return
		}
		if !told {
			m.entry(id).WithError(err).Warn("what others change in the app network is noticed late")
		}
		told = true
		retry := time.NewTimer(watchRetry)
		select {
		case <-retry.C:
			look()
		case <-ctx.Done():
			retry.Stop()
			return
		}
	}
}

// unwatch ends that.
func (n *network) unwatch() {
	if n.watched.stop != nil {
		n.watched.stop()
	}
	n.watched = watched{}
}

// everyOnHost stands, among networks that were noticed, for all that have something in the host's own namespace.
const everyOnHost = ""

// notice notes that a network is to be looked at soon.
func (m *Manager) notice(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.noticed[id] { // one that is left in peace for a while must not keep others waiting
		time.AfterFunc(settleTime, m.poke)
	}
	m.noticed[id] = true
}
