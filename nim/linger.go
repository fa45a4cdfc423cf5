// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"time"

	"github.com/lf-edge/eve-metadata/nim/intake"
	"github.com/lf-edge/eve-metadata/nim/plan"
)

// lingerTime is how long a network of zedrouter's stays joined that its topic does not have any more, although it has told
// everything. A zedrouter that crashed tells of its networks and of its app instances over two connections: the first may
// be back, without a network, while the second has not even been found broken.
const lingerTime = 30 * time.Second

// lingers tells whether a network that its topic does not have (any more) is to stay joined for now. On a device the guests
// of a zedrouter that crashed run on, on bridges that stay, and its tables are empty for a while when it comes back. Nobody
// has said that their networks are gone, before it has told everything; from then on they have a moment. A network with
// nothing left to be joined goes at once, as most do that zedrouter takes away.
func (m *Manager) lingers(n *network) bool {
	if !m.state.complete {
		n.leaves = time.Time{}
	}
	if !m.cfg.Topics.Device || isNowhere(n.place) {
		return false
	}
	if !m.state.complete {
		return true
	}
	if n.leaves.IsZero() {
		n.leaves = m.now().Add(lingerTime)
	}
	return n.leaves.After(m.now()) && m.isThere(n.place)
}

// isThere tells whether a place of others is there. One that can not be looked at may be.
func (m *Manager) isThere(place plan.Network) bool {
	s, err := m.kernel.Open(place)
	if err != nil {
		return true
	}
	_, err = s.Observe()
	there := err != nil || missing(place, s) == nil
	return s.Close() != nil || there
}

// isLeaving tells whether a network lingers, but not for long.
func (n *network) isLeaving() bool { return !n.leaves.IsZero() }

// asBefore returns the input that a network is to be converged by: what is wanted of it, or was wanted last if it lingers. It
// reports false when nothing is known by which it could.
func (m *Manager) asBefore(n *network, in intake.Input) (_ intake.Input, known bool) {
	switch {
	case in.Config != nil:
		n.last, n.leaves = &in, time.Time{}
		return in, true
	case !m.lingers(n):
		return in, m.state.complete
	case n.last == nil: // it was joined by an earlier run, and stays as it is
		return in, false
	}
	return *n.last, true
}
