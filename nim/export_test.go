// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/lf-edge/eve-metadata/nim/dnsmasq"
	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/nim/plan/plantest"
)

// MaxListedPorts is how many ports a NetworkInstanceStatus lists.
const MaxListedPorts = maxListedPorts

// OnFake lets a manager work on a kernel of memory. Listen opens its sockets.
func (m *Manager) OnFake(k *plantest.Kernel, listen func(netip.AddrPort) (net.Listener, error)) *Fake {
	f := &Fake{
		k: k, listen: listen, notice: m.notice,
		watched: map[string]*func(){}, served: map[string]*dnsmasq.Network{}, failing: map[string]error{},
	}
	m.kernel, m.servers = f, fakeServers{f}
	return f
}

// Fake is what a manager has instead of a machine.
type Fake struct {
	k      *plantest.Kernel
	listen func(netip.AddrPort) (net.Listener, error)
	notice func(network string)

	mu      sync.Mutex
	watched map[string]*func() // by namespace
	names   func(name string)
	served  map[string]*dnsmasq.Network
	failing map[string]error // servers, by network
	looks   int
}

// Disturb carries out a step as somebody else, which is noticed.
func (f *Fake) Disturb(step plan.Step) error {
	err := f.k.Apply(step)
	name, _ := step.On()
	f.mu.Lock()
	defer f.mu.Unlock()
	if changed := f.watched[name]; changed != nil {
		(*changed)()
	}
	if _, gone := step.(plan.NetnsDel); gone && f.names != nil {
		f.names(name)
	}
	return err
}

// Looks returns how often a namespace was looked at.
func (f *Fake) Looks() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.looks
}

// Served returns what a network's server was told last; nil for none.
func (f *Fake) Served(network string) *dnsmasq.Network {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.served[network]
}

// FailServer gives a network's server a state.
func (f *Fake) FailServer(network string, err error) {
	f.mu.Lock()
	f.failing[network] = err
	f.mu.Unlock()
	f.notice(network)
}

// Names returns the namespaces that are ours.
func (f *Fake) Names() ([]string, error) {
	var ours []string
	for _, name := range f.k.Names() {
		if plan.IsNamespace(name) {
			ours = append(ours, name)
		}
	}
	return ours, nil
}

// Open begins work on a network.
func (f *Fake) Open(place plan.Network) (session, error) {
	return &fakeSession{f, place.Namespace}, nil
}

// Watch notices what Disturb does.
func (f *Fake) Watch(ctx context.Context, place plan.Network, changed func()) error {
	f.mu.Lock()
	f.watched[place.Namespace] = &changed
	f.mu.Unlock()
	<-ctx.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watched[place.Namespace] == &changed {
		delete(f.watched, place.Namespace)
	}
	return nil
}

// WatchHost notices nothing.
func (*Fake) WatchHost(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return nil
}

// WatchNames notices namespaces that go.
func (f *Fake) WatchNames(ctx context.Context, changed func(string)) error {
	f.mu.Lock()
	f.names = changed
	f.mu.Unlock()
	<-ctx.Done()
	return nil
}

type fakeServers struct{ *Fake }

func (fakeServers) Networks() ([]string, error) { return nil, nil }

func (s fakeServers) Want(network string, _ dnsmasq.Namespace, n *dnsmasq.Network) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served[network] = n
}

func (s fakeServers) Forget(network string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.served, network)
	return nil
}

func (s fakeServers) State(network string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failing[network]
}

func (fakeServers) Close() {}

type fakeSession struct {
	*Fake
	name string
}

func (s *fakeSession) Observe() (plan.Seen, error) {
	s.mu.Lock()
	s.looks++
	s.mu.Unlock()
	all := s.k.Seen()
	seen := plan.Seen{plan.Host: all[plan.Host]}
	if ns, ok := all[s.name]; ok {
		seen[s.name] = ns
	}
	return seen, nil
}

func (s *fakeSession) ObserveOutside() (plan.Seen, error) { return s.Observe() }

func (s *fakeSession) Apply(steps []plan.Step) []error {
	var errs []error
	for _, step := range steps {
		if err := s.k.Apply(step); err != nil {
			errs = append(errs, &kernel.StepError{Step: step, Err: err})
		}
	}
	return errs
}

func (s *fakeSession) Listen(_ string, addrs ...netip.AddrPort) ([]net.Listener, error) {
	open := make([]net.Listener, len(addrs))
	if err := s.Absence(); err != nil {
		return open, err
	}
	var errs []error
	for i, addr := range addrs {
		l, err := s.listen(addr)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		open[i] = l
	}
	return open, errors.Join(errs...)
}

func (s *fakeSession) Path() string { return s.name }
func (s *fakeSession) ID() uint64   { return s.k.ID(s.name) }

func (s *fakeSession) Absence() error {
	if s.ID() == 0 {
		return fs.ErrNotExist
	}
	return nil
}

func (s *fakeSession) Close() error { return nil }

func (s *fakeSession) Index(link string) int {
	links := s.k.Seen()[s.name].Links
	if i := slices.IndexFunc(links, func(l plan.Link) bool { return l.Name == link }); i >= 0 {
		return links[i].Index
	}
	return 0
}
