// SPDX-License-Identifier: Apache-2.0

// Package plantest has a kernel made of memory, for tests of what plans and of what carries plans out.
//
// In come the steps of package plan; out comes what nim/kernel would see after them. It keeps the rules that plans must
// respect: nothing can be made twice, changed before it is there, or be found again after its namespace has gone.
package plantest

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"github.com/lf-edge/eve-metadata/nim/plan"
)

// Kernel is a set of network namespaces, made by New. It is used by any number of goroutines.
type Kernel struct {
	// Fail, when set, is asked before each step. The step is left out when it returns an error.
	Fail func(plan.Step) error

	mu    sync.Mutex
	seen  plan.Seen
	ids   map[string]uint64
	index int
	steps []plan.Step
}

// New returns a kernel that has what seen says, and the host's own namespace.
func New(seen plan.Seen) *Kernel {
	k := &Kernel{seen: plan.Seen{plan.Host: {}}, ids: map[string]uint64{}}
	for name, ns := range seen {
		k.put(name, clone(ns))
		for _, l := range ns.Links {
			k.index = max(k.index, l.Index)
		}
	}
	return k
}

// put adds a namespace under the next identity.
func (k *Kernel) put(name string, ns plan.Namespace) {
	k.index++
	k.ids[name] = uint64(k.index)
	k.seen[name] = ns
}

// newborn is a namespace as the kernel makes it.
func newborn() plan.Namespace {
	return plan.Namespace{
		Links:   []plan.Link{{Name: "lo", Index: 1, MTU: 65536}},
		Sysctls: newSysctls(),
	}
}

func clone(ns plan.Namespace) plan.Namespace {
	ns.Links = slices.Clone(ns.Links)
	for i := range ns.Links {
		ns.Links[i].Addresses = slices.Clone(ns.Links[i].Addresses)
	}
	ns.Routes, ns.Sysctls, ns.Tables = slices.Clone(ns.Routes), maps.Clone(ns.Sysctls), maps.Clone(ns.Tables)
	for name, t := range ns.Tables {
		t.Sets = maps.Clone(t.Sets)
		for set, elements := range t.Sets {
			t.Sets[set] = slices.Clone(elements)
		}
		ns.Tables[name] = t
	}
	return ns
}

// Seen returns a copy of all that there is.
func (k *Kernel) Seen() plan.Seen {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := plan.Seen{}
	for name, ns := range k.seen {
		all[name] = clone(ns)
	}
	return all
}

// ID returns the identity of a namespace, 0 when it is not there.
func (k *Kernel) ID(name string) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ids[name]
}

// Names returns the names of all namespaces but the host's own, sorted.
func (k *Kernel) Names() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(k.seen)), func(name string) bool { return name == plan.Host })
}

// Steps returns the steps that were carried out since the last call.
func (k *Kernel) Steps() []plan.Step {
	k.mu.Lock()
	defer k.mu.Unlock()
	steps := k.steps
	k.steps = nil
	return steps
}

// Apply carries out one step. It is stricter than nim/kernel: of what is there already, it tolerates addresses only. Like
// nim/kernel it leaves parameters alone that the namespace does not have.
func (k *Kernel) Apply(step plan.Step) error {
	if k.Fail != nil {
		if err := k.Fail(step); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.apply(step); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	k.steps = append(k.steps, step)
	return nil
}

func (k *Kernel) apply(step plan.Step) error {
	name, _ := step.On()
	ns, there := k.seen[name]
	if _, add := step.(plan.NetnsAdd); add == there {
		return missing(!there)
	}
	switch s := step.(type) {
	case plan.NetnsAdd:
		k.put(name, newborn())
		return nil
	case plan.NetnsDel:
		for _, l := range ns.Links {
			k.delFarEnd(l)
		}
		delete(k.seen, name)
		delete(k.ids, name)
		return nil
	case plan.LinkAdd:
		return k.addLink(s)
	case plan.LinkDel:
		return k.delLink(s)
	}
	err := change(&ns, step)
	k.seen[name] = ns
	return err
}

// change carries out a step that concerns one namespace only, and nothing that comes or goes.
func change(ns *plan.Namespace, step plan.Step) error {
	switch s := step.(type) {
	case plan.LinkSet:
		return setLink(ns.Links, s)
	case plan.AddrAdd:
		return addAddr(ns.Links, s)
	case plan.AddrDel:
		return delAddr(ns.Links, s)
	case plan.RouteAdd:
		return addRoute(ns, s.Route)
	case plan.RouteDel:
		return delRoute(ns, s.Route)
	case plan.SysctlSet:
		if _, ok := ns.Sysctls[s.Name]; ok {
			ns.Sysctls[s.Name] = s.Value
		}
		return nil
	}
	return changeTable(ns, step)
}

func missing(is bool) error {
	if is {
		return fs.ErrNotExist
	}
	return fs.ErrExist
}
