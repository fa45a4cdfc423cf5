// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/netns"
)

// Apply carries out the steps, on the namespace that each names, in their order, and returns a StepError for each that
// failed. What is there already when it should be made, and what is gone already when it should be removed, is no failure;
// whether it is right shows the next Observe. A step on something that could not be made before is left out: its error
// would hide the cause, and a guest that cannot be held to what is its own gets no port.
func (s *Session) Apply(steps []plan.Step) []error {
	var errs []error
	failed := failures{}
	for len(steps) > 0 {
		batch := batchOf(steps)
		steps = steps[len(batch):]
		for _, err := range s.applyBatch(failed.without(batch)) {
			failed.note(err)
			errs = append(errs, err)
		}
	}
	return errs
}

// failures are the interfaces, by namespace and name, that something could not be done to; those of no name stand for
// whole namespaces.
type failures map[[2]string]bool

// note notes a step that failed. A parameter or a route is nothing that others depend on.
func (f failures) note(err error) {
	var failed *StepError
	if !errors.As(err, &failed) {
		return
	}
	switch failed.Step.(type) {
	case plan.SysctlSet, plan.RouteAdd, plan.RouteDel, plan.TableDel:
		return
	}
	netns, link := failed.Step.On()
	f[[2]string{netns, link}] = true
}

// without returns the steps without those that cannot be done any more.
func (f failures) without(steps []plan.Step) []plan.Step {
	if len(f) == 0 {
		return steps
	}
	var left []plan.Step
	for _, step := range steps {
		netns, link := step.On()
		if !f[[2]string{netns, ""}] && !f[[2]string{netns, link}] {
			left = append(left, step)
		}
	}
	return left
}

// batchOf returns the first steps that are done in one go.
func batchOf(steps []plan.Step) []plan.Step {
	kind, name := kindOfStep(steps[0])
	n := 1
	for kind != alone && n < len(steps) {
		if k, on := kindOfStep(steps[n]); k != kind || on != name {
			break
		}
		n++
	}
	return steps[:n]
}

// Kinds of steps.
const (
	alone  = iota // is done on its own
	inside        // is done in the namespace
	inNFT         // is done in a transaction of nftables
)

func kindOfStep(step plan.Step) (kind int, netns string) {
	netns, _ = step.On()
	switch step.(type) {
	case plan.SysctlSet:
		kind = inside
	case plan.TableAdd, plan.TableDel, plan.ElementAdd, plan.ElementDel:
		kind = inNFT
	}
	return kind, netns
}

// applyBatch carries out steps of one kind on one namespace.
func (s *Session) applyBatch(steps []plan.Step) []error {
	if len(steps) == 0 {
		return nil
	}
	kind, name := kindOfStep(steps[0])
	switch steps[0].(type) {
	case plan.NetnsAdd:
		return stepErrors(steps, s.addNamespace())
	case plan.NetnsDel:
		return stepErrors(steps, errors.Join(s.Close(), netns.Delete(s.path)))
	}
	space, err := s.space(name)
	if err != nil {
		return stepErrors(steps, err)
	}
	switch kind {
	case inside:
		return space.setSysctls(steps)
	case inNFT:
		r, err := space.nft()
		if err != nil {
			return stepErrors(steps, err)
		}
		return r.apply(steps)
	}
	return stepErrors(steps, s.apply(space, steps[0]))
}

// stepErrors says of all steps that they failed, unless there is no error.
func stepErrors(steps []plan.Step, err error) []error {
	if err == nil {
		return nil
	}
	errs := make([]error, len(steps))
	for i, step := range steps {
		errs[i] = &StepError{Step: step, Err: err}
	}
	return errs
}

// apply carries out one step that netlink's routes and links are about.
func (s *Session) apply(on *space, step plan.Step) error {
	switch step := step.(type) {
	case plan.LinkAdd:
		peers := on
		if step.PeerNetns != "" {
			var err error
			if peers, err = s.space(step.PeerNetns); err != nil {
				return fmt.Errorf("namespace of %q: %w", step.Peer, err)
			}
		}
		return tolerate(on.addLink(step, peers), unix.EEXIST)
	case plan.LinkDel:
		return tolerate(on.delLink(step.Link), fs.ErrNotExist, unix.ENODEV)
	case plan.LinkSet:
		return on.setLink(step)
	case plan.AddrAdd:
		return tolerate(on.addAddr(step), unix.EEXIST)
	case plan.AddrDel:
		return tolerate(on.delAddr(step), fs.ErrNotExist, unix.EADDRNOTAVAIL, unix.ENODEV)
	case plan.RouteAdd:
		return tolerate(on.addRoute(step.Route), unix.EEXIST)
	case plan.RouteDel:
		return tolerate(on.delRoute(step.Route), fs.ErrNotExist, unix.ESRCH)
	}
	return fmt.Errorf("do a %T: %w", step, errors.ErrUnsupported)
}

// tolerate returns err unless it is one of those.
func tolerate(err error, those ...error) error {
	for _, e := range those {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

func (s *Session) addNamespace() error {
	if s.share != "" {
		_ = netns.Share(s.share) // where that is not allowed, the namespace can be made all the same
	}
	if err := netns.Create(s.path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if s.here != nil {
		if err := s.here.close(); err != nil {
			return err
		}
	}
	s.why = s.open()
	return s.why
}

// setSysctls sets parameters.
func (s *space) setSysctls(steps []plan.Step) (errs []error) {
	if err := s.ns.Do(func() error {
		for _, step := range steps {
			if set, ok := step.(plan.SysctlSet); ok {
				errs = append(errs, stepErrors([]plan.Step{set}, writeSysctl(set.Name, set.Value))...)
			}
		}
		return nil
	}); err != nil {
		return stepErrors(steps, err)
	}
	return errs
}
