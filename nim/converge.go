// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/lf-edge/eve-metadata/nim/intake"
	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
)

// converge does one round of work: the networks first, then the app instances whose adapters changed by that, then the
// sockets, so that whoever accepts on one can know by then who is asking.
func (m *Manager) converge(ctx context.Context, w work) {
	m.state.complete = w.complete
	for _, id := range slices.Sorted(maps.Keys(w.inputs)) {
		if ctx.Err() != nil {
			return
		}
		for app := range m.convergeNetwork(w.inputs[id]) {
			w.apps[app] = true
		}
	}
	m.publishApps(w.apps)
	m.post()
	if w.complete && !m.isReady() {
		m.signal()
	}
}

// signal says, to who waits for this task and to who follows its topics, that everything has been done once.
func (m *Manager) signal() {
	if err := errors.Join(m.state.networkStatus.SignalRestarted(), m.state.appStatus.SignalRestarted()); err != nil {
		m.cfg.Log.WithError(err).Error("followers are not told that the app networks are complete")
	}
	m.ready.Set()
}

func (m *Manager) isReady() bool {
	select {
	case <-m.ready.Done():
		return true
	default:
		return false
	}
}

// convergeNetwork makes one network be as it is wanted, and publishes its state. It returns the app instances for whose
// adapters that made a difference.
func (m *Manager) convergeNetwork(in intake.Input) map[string]bool {
	if in.Config == nil && !m.state.complete {
		return nil // it may still come, and until then nothing is known that could be right
	}
	n := m.network(in.Network)
	r := intake.Build(in, n.leases, !m.state.complete)
	before := n.outcomes
	var failed failures
	switch {
	case errors.Is(r.Err, intake.ErrUnknown), errors.Is(r.Err, intake.ErrNotActive):
		failed = m.removeNetwork(n)
		n.settle(in, r, nil)
	case r.Err != nil: // what there is stays in force
		n.refuse(in, r)
	default:
		failed = m.applyNetwork(n, r)
		n.settle(in, r, failed)
	}
	m.keepLeases(n, in, r)
	done := m.report(n, in, r, failed)
	if in.Config == nil && len(in.Adapters) == 0 && m.state.complete && done {
		delete(m.state.networks, n.id)
	}
	return changedApps(before, n.outcomes)
}

// applyNetwork observes, plans, carries out and opens the sockets.
func (m *Manager) applyNetwork(n *network, r intake.Result) failures {
	want := r.Network
	s, err := m.kernel.Open(want.Namespace)
	if err != nil {
		return failures{ofNetwork: err}
	}
	errs := apply(s, plan.Wanted{Networks: []plan.Network{want}, Keep: !m.state.complete})
	failed := sortFailures(errs)
	n.bridge, n.bridgeIndex = want.Bridge, s.Index(want.Bridge.Name)
	if err := n.listen(s, wantedSockets(n.id, r.Gateway)); err != nil {
		failed.add(ofBridge, err)
	}
	if err := s.Close(); err != nil {
		failed.add(ofBridge, err)
	}
	return failed
}

// apply carries out what is needed of a plan.
func apply(s session, wanted plan.Wanted) []error {
	seen, err := s.Observe()
	if err != nil {
		return []error{err}
	}
	return s.Apply(plan.Plan(wanted, seen))
}

// removeNetwork removes what there is of a network, once it is sure that it is not wanted. The sockets go first: they
// would keep the namespace alive.
func (m *Manager) removeNetwork(n *network) failures {
	if !m.state.complete {
		return nil
	}
	failed := failures{}
	if open := n.sockets; len(open) > 0 {
		n.sockets, n.namespace = nil, 0
		m.post()
		if err := closeAll(open); err != nil {
			failed.add(ofBridge, err)
		}
	}
	s, err := m.kernel.Open(plan.NamespaceName(n.id))
	if err != nil {
		return failures{ofNetwork: err}
	}
	if s.ID() != 0 {
		for _, err := range s.Apply([]plan.Step{plan.NetnsDel{Netns: plan.NamespaceName(n.id)}}) {
			failed.add(ofBridge, err)
		}
	}
	if err := s.Close(); err != nil {
		failed.add(ofBridge, err)
	}
	n.bridge, n.bridgeIndex, n.gateway = plan.Bridge{}, 0, netip.Addr{}
	return failed
}

// settle notes what became of the adapters.
func (n *network) settle(in intake.Input, r intake.Result, failed failures) {
	n.gateway = r.Gateway
	n.outcomes = make(map[intake.AdapterID]outcome, len(in.Adapters))
	for i, a := range in.Adapters {
		o := outcome{lease: r.Leases[i], mtu: r.MTU[i], bridge: n.bridge.MAC, gateway: n.gateway}
		o.lease.Err = nil
		o.static4, o.static6 = a.Metadata.StaticIPv4, a.Metadata.StaticIPv6
		err := errors.Join(r.Err, r.Leases[i].Err, failed.of(o.lease.Port))
		if err != nil {
			o.err = err.Error()
		}
		o.there = a.Active && err == nil
		n.outcomes[a.AdapterID] = o
	}
}

// refuse notes that the network's config is wrong. What the adapters had before goes on.
func (n *network) refuse(in intake.Input, r intake.Result) {
	outcomes := make(map[intake.AdapterID]outcome, len(in.Adapters))
	for i, a := range in.Adapters {
		o := n.outcomes[a.AdapterID]
		if !o.there {
			o.lease = r.Leases[i]
			o.lease.Err = nil
		}
		o.err = fmt.Errorf("network instance %q: %w", n.id, r.Err).Error()
		outcomes[a.AdapterID] = o
	}
	n.outcomes = outcomes
}

// keepLeases remembers who has what. What others hold that the feed does not have is kept until it is sure that they are
// gone.
func (m *Manager) keepLeases(n *network, in intake.Input, r intake.Result) {
	if m.state.complete {
		n.leases = make(map[intake.AdapterID]plan.Lease, len(in.Adapters))
	}
	for i, a := range in.Adapters {
		l := plan.Lease{IPv4: r.Leases[i].IPv4, IPv6: r.Leases[i].IPv6}
		if len(a.Config.AppMacAddr) == 0 {
			l.MAC = r.Leases[i].MAC
		}
		n.leases[a.AdapterID] = l
	}
}

// changedApps returns the app instances that have other outcomes than before.
func changedApps(before, after map[intake.AdapterID]outcome) map[string]bool {
	changed := map[string]bool{}
	for id, o := range after {
		if old, ok := before[id]; !ok || old != o {
			changed[id.App] = true
		}
	}
	for id := range before {
		if _, ok := after[id]; !ok {
			changed[id.App] = true
		}
	}
	return changed
}

// report publishes the network's state, plans the next attempt where one is needed, and logs what is new. It returns
// whether none is needed.
func (m *Manager) report(n *network, in intake.Input, r intake.Result, failed failures) (done bool) {
	unpublishable := m.publishNetwork(n, in, r, failed)
	done = len(failed) == 0 && unpublishable == nil
	if done {
		n.retry = retry{}
	} else {
		n.retry.fail(m.now())
	}
	problem := ""
	if err := errors.Join(problems(r.Err, failed), unpublishable); err != nil {
		problem = err.Error()
	}
	switch problem {
	case n.problem:
	case "":
		m.entry(n.id).Info("app network is as it should be again")
	default:
		m.entry(n.id).WithField("error", problem).Error("app network is not as it should be")
	}
	n.problem = problem
	return done
}

// problems returns what should be otherwise as one error. That there is no such network, or that it is not to be active,
// is how things should be.
func problems(err error, failed failures) error {
	if errors.Is(err, intake.ErrUnknown) || errors.Is(err, intake.ErrNotActive) {
		err = nil
	}
	return errors.Join(err, failed.all())
}

// all returns the failures as one error, in a stable order.
func (f failures) all() error {
	errs := make([]error, 0, len(f))
	for _, port := range slices.Sorted(maps.Keys(f)) {
		errs = append(errs, f[port])
	}
	return joinFirst(errs)
}

func stepOf(err error) (plan.Step, bool) {
	var e *kernel.StepError
	if !errors.As(err, &e) {
		return nil, false
	}
	return e.Step, true
}

// post posts the sockets that there are, if they are others than those that were posted last.
func (m *Manager) post() {
	var set []endpoint.Endpoint
	for _, n := range m.state.networks {
		set = append(set, n.sockets...)
	}
	slices.SortFunc(set, func(a, b endpoint.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Role, b.Role))
	})
	if m.state.posted == nil || !slices.Equal(set, *m.state.posted) {
		m.state.posted = &set
		m.cfg.Board.Post(set)
	}
}
