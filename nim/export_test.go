// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"errors"
	"net"
	"net/netip"

	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/nim/plan/plantest"
)

// MaxListedPorts is how many ports a NetworkInstanceStatus lists.
const MaxListedPorts = maxListedPorts

// OnFake lets a manager work on a kernel of memory. Listen opens its sockets.
func (m *Manager) OnFake(k *plantest.Kernel, listen func(netip.AddrPort) (net.Listener, error)) {
	m.kernel = fakeHost{k, listen}
}

type fakeHost struct {
	k      *plantest.Kernel
	listen func(netip.AddrPort) (net.Listener, error)
}

func (h fakeHost) Names() ([]string, error) {
	var ours []string
	for _, name := range h.k.Names() {
		if plan.IsNamespace(name) {
			ours = append(ours, name)
		}
	}
	return ours, nil
}

func (h fakeHost) Open(name string) (session, error) { return &fakeSession{h, name}, nil }

type fakeSession struct {
	fakeHost
	name string
}

func (s *fakeSession) Observe() (plan.Seen, error) {
	seen := plan.Seen{}
	if ns, ok := s.k.Seen()[s.name]; ok {
		seen[s.name] = ns
	}
	return seen, nil
}

func (s *fakeSession) Apply(steps []plan.Step) []error {
	var errs []error
	for _, step := range steps {
		if err := s.k.Apply(step); err != nil {
			errs = append(errs, &kernel.StepError{Step: step, Err: err})
		}
	}
	return errs
}

func (s *fakeSession) Listen(addrs ...netip.AddrPort) ([]net.Listener, error) {
	open := make([]net.Listener, len(addrs))
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

func (s *fakeSession) ID() uint64       { return s.k.ID(s.name) }
func (s *fakeSession) Index(string) int { return 7 }
func (s *fakeSession) Close() error     { return nil }
