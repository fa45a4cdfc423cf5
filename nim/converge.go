// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"reflect"
	"slices"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/lf-edge/eve-metadata/nim/dnsmasq"
	"github.com/lf-edge/eve-metadata/nim/intake"
	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
)

// converge does one round of work: the networks first, then the app instances whose adapters changed by that, then the
// sockets, so that whoever accepts on one can know by then who is asking.
func (m *Manager) converge(ctx context.Context, w work) {
	m.state.complete = w.complete
	m.stopServers(gone(w))
	networks := slices.Sorted(maps.Keys(w.inputs))
	for _, id := range networks {
		if ctx.Err() != nil {
			return
		}
		for app := range m.convergeNetwork(w.inputs[id]) {
			w.apps[app] = true
		}
	}
	m.watchAll(networks)
	m.publishApps(w.apps)
	m.post()
	if w.complete && !m.ready.IsSet() {
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

// convergeNetwork makes one network be as it is wanted, and publishes its state. It returns the app instances for whose
// adapters that made a difference.
func (m *Manager) convergeNetwork(in intake.Input) map[string]bool {
	n := m.network(in.Network)
	in, known := m.asBefore(n, in)
	if !known {
		n.retry = retry{}
		return nil // it may still come, and until then nothing is known that could be right
	}
	var err error
	if in.Transit, err = m.transit(n, in); err != nil {
		err = fmt.Errorf("number the uplink: %w", err)
	}
	r := intake.Build(in, n.leases, !m.state.complete)
	r.Err = errors.Join(r.Err, err)
	before := n.outcomes
	var failed failures
	switch {
	case errors.Is(r.Err, intake.ErrUnknown), errors.Is(r.Err, intake.ErrNotActive):
		failed = m.removeNetwork(n)
		n.settle(in, r, nil)
	case r.Err != nil && in.Others: // it is not where it was
		failed = m.detach(n)
		n.settle(in, r, failed)
	case r.Err != nil: // what there is stays in force
		n.refuse(in, r)
	default:
		failed = m.applyNetwork(n, in, r)
		n.settle(in, r, failed)
	}
	m.keepLeases(n, in, r)
	done := m.report(n, in, r, failed)
	if in.Config == nil && len(in.Adapters) == 0 && m.state.complete && done {
		delete(m.state.networks, n.id)
	}
	return changedApps(before, n.outcomes)
}

// applyNetwork observes, plans, carries out, opens the sockets, and has the network's server know its guests. What guests
// in a namespace of others have is filled in into the leases.
func (m *Manager) applyNetwork(n *network, in intake.Input, r intake.Result) failures {
	want := r.Network
	if !isAt(n.place, want) {
		if failed := m.detach(n); len(failed) > 0 {
			return failed
		}
	}
	s, err := m.kernel.Open(want)
	if err != nil {
		return failures{ofNetwork: err}
	}
	seen, err := m.moveIn(n, want, in.Transit, s)
	if err != nil {
		return failures{ofNetwork: errors.Join(err, s.Close())}
	}
	failed := m.carryOut(n, s, seen, r)
	n.place, n.settled = want, len(failed) == 0
	if err := n.listen(s, wantedSockets(n.id, want, r.Gateway)); err != nil {
		failed.add(ofBridge, err)
	}
	if err := m.serve(n, s, r.Server); err != nil {
		failed.add(ofServer, err)
	}
	if err := missing(want, s); err != nil {
		failed = failures{ofBridge: err} // whatever else failed did so for that reason
	}
	if err := s.Close(); err != nil {
		failed.add(ofBridge, err)
	}
	return failed
}

// moveIn makes sure that a network may be where it is wanted, notes that it is about to be there, and returns what is there.
func (m *Manager) moveIn(n *network, want plan.Network, transit int, s session) (plan.Seen, error) {
	if err := m.vacate(n, want, s); err != nil {
		return nil, err
	}
	seen, err := s.Observe()
	if err != nil {
		return nil, err
	}
	if err := notBridge(want, seen); err != nil {
		return nil, err
	}
	return seen, m.noteAttachment(n, want, transit)
}

// notBridge says that a network is to be on an interface of the host's that is something else. Behind that may be anybody,
// or the host itself.
func notBridge(want plan.Network, seen plan.Seen) error {
	if want.Attach != plan.OnBridge {
		return nil
	}
	for _, l := range seen[want.Namespace].Links {
		if l.Name == want.Bridge.Name && l.Kind != plan.KindBridge {
			return fmt.Errorf("interface %q is not a bridge", l.Name)
		}
	}
	return nil
}

// missing says what others have not made yet, or have taken away.
func missing(place plan.Network, s session) error {
	switch {
	case place.Attach == plan.Existing && errors.Is(s.Absence(), fs.ErrNotExist):
		return fmt.Errorf("namespace %q is not there", place.Namespace)
	case place.Attach == plan.Existing && s.Absence() != nil:
		return s.Absence()
	case place.Attach == plan.OnBridge && s.Index(place.Bridge.Name) == 0:
		return fmt.Errorf("bridge %q is not there", place.Bridge.Name)
	}
	return nil
}

// carryOut makes the kernel have what is wanted of a network, given what it was just seen to have.
func (m *Manager) carryOut(n *network, s session, seen plan.Seen, r intake.Result) failures {
	want := r.Network
	again := n.retry.due(m.now())
	steps := plan.Plan(plan.Wanted{Networks: []plan.Network{want}, Keep: !m.state.complete, Retry: again}, seen)
	if len(steps) > 0 && !again && reflect.DeepEqual(n.place, want) {
		m.repair(n, steps)
	}
	failed := sortFailures(s.Apply(steps))
	if n.calm.isFight(m.now()) {
		failed.add(ofBridge, errFight)
	}
	if err := n.duplicate(want, seen); err != nil {
		failed.add(ofBridge, err)
	}
	if via := uplinkInterface(want); via != "" {
		if _, err := net.InterfaceByName(via); err != nil {
			failed.add(ofUplink, fmt.Errorf("reach the outside: the host has no interface %q", via))
		}
	}
	if want.Attach == plan.Existing {
		adopt(r.Leases, seen[want.Namespace].Links)
	}
	return failed
}

// repair notes that what is wanted is not there though it was made. The log has one line on it, however
// long others go on.
func (m *Manager) repair(n *network, steps []plan.Step) {
	if n.settled && !n.calm.isRecent(m.now()) {
		m.entry(n.id).WithFields(logrus.Fields{"step": steps[0].String(), "steps": len(steps)}).
			Warn("app network was changed by somebody else, and is put right")
	}
	n.calm.repaired(m.now())
}

// uplinkInterface is the one interface of the host that a network's guests may leave by; "" for any and for none.
func uplinkInterface(n plan.Network) string {
	if n.Uplink == nil {
		return ""
	}
	return n.Uplink.Via
}

// serve has the network's DHCP and DNS server run, or not.
func (m *Manager) serve(n *network, s session, server *dnsmasq.Network) error {
	if server == nil {
		return m.servers.Forget(n.id)
	}
	server.User = m.serverUser
	m.servers.Want(n.id, dnsmasq.Namespace{Path: s.Path(), ID: s.ID()}, server)
	if err := m.servers.State(n.id); !errors.Is(err, dnsmasq.ErrStarting) {
		return err
	}
	return nil // it says so when it is known what becomes of it
}

// gone returns the networks that are not wanted any more.
func gone(w work) map[string]bool {
	ids := map[string]bool{}
	for id, in := range w.inputs {
		if w.complete && in.Config == nil {
			ids[id] = true
		}
	}
	return ids
}

// maxStops is how many servers are stopped at a time. While one ends it mostly waits.
const maxStops = 32

// stopServers ends the servers of networks that are about to go, so that these need not wait for one after the other. An
// error comes again when the network goes.
func (m *Manager) stopServers(networks map[string]bool) {
	var eg errgroup.Group
	eg.SetLimit(maxStops)
	for id := range networks {
		eg.Go(func() error { return m.servers.Forget(id) })
	}
	_ = eg.Wait()
}

// removeNetwork removes what there is of a network, once it is sure that it is not wanted.
func (m *Manager) removeNetwork(n *network) failures {
	if !m.state.complete {
		return nil
	}
	return m.detach(n)
}

// detach takes away what there is of a network in the place where it was last. The sockets go first: they would keep its
// namespace alive.
func (m *Manager) detach(n *network) failures {
	failed := failures{}
	if open := n.sockets; len(open) > 0 {
		n.sockets, n.namespace = nil, 0
		m.post()
		if err := closeAll(open); err != nil {
			failed.add(ofBridge, err)
		}
	}
	n.unwatch()
	if err := m.servers.Forget(n.id); err != nil {
		failed.add(ofServer, err)
	}
	if err := m.takeAway(n); err != nil {
		failed.add(ofNetwork, err)
	}
	if len(failed) == 0 {
		n.place, n.settled, n.bridgeIndex, n.gateway = plan.Network{}, false, 0, netip.Addr{}
	}
	return failed
}

// takeAway removes what the kernel has of a network, and forgets where it was.
func (m *Manager) takeAway(n *network) error {
	place := n.place
	if isNowhere(place) {
		place = plan.Network{Namespace: plan.NamespaceName(n.id)}
	}
	s, err := m.kernel.Open(place)
	if errors.Is(err, fs.ErrNotExist) {
		return m.forgetAttachment(n) // a namespace of others that has gone with all that was in it
	}
	if err != nil {
		return err
	}
	seen, err := s.ObserveOutside()
	if err != nil {
		return errors.Join(err, s.Close())
	}
	errs := s.Apply(plan.Detach(place, seen))
	if err := errors.Join(append(errs, s.Close())...); err != nil {
		return err
	}
	return m.forgetAttachment(n)
}

// settle notes what became of the adapters.
func (n *network) settle(in intake.Input, r intake.Result, failed failures) {
	n.gateway = r.Gateway
	if !n.gateway.IsValid() {
		n.gateway = r.Gateway6
	}
	n.outcomes = make(map[intake.AdapterID]outcome, len(in.Adapters))
	for i, a := range in.Adapters {
		o := outcome{lease: r.Leases[i], mtu: r.MTU[i], gateway: n.gateway}
		if n.place.Attach != plan.Existing {
			o.bridge, o.mac = n.place.Bridge.Name, n.place.Bridge.MAC
		}
		o.lease.Err = nil
		o.static4, o.static6 = a.Metadata.StaticIPv4, a.Metadata.StaticIPv6
		o.slaac = in.Metadata.SLAAC
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
	switch {
	case done:
		n.retry = retry{}
	case n.calm.isFight(m.now()):
		n.retry = retry{attempts: 1, at: n.calm.last.Add(lull)}
	case !n.retry.at.After(m.now()): // another's change does not put it off
		n.retry.fail(m.now())
	}
	problem := ""
	if err := errors.Join(problems(r.Err, failed), in.Err, unpublishable); err != nil {
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
		return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Role, b.Role), a.Address.Compare(b.Address))
	})
	if m.state.posted == nil || !slices.Equal(set, *m.state.posted) {
		m.state.posted = &set
		m.cfg.Board.Post(set)
	}
}
