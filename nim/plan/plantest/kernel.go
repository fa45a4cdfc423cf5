// SPDX-License-Identifier: Apache-2.0

// Package plantest has a kernel made of memory, for tests of what plans and of what carries plans out.
//
// In come the steps of package plan; out comes what nim/kernel would see after them. It keeps the rules that plans must
// respect: nothing can be made twice, changed before it is there, or be found again after its namespace has gone.
package plantest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"github.com/lf-edge/eve-metadata/nim/plan"
)

// Kernel is a set of network namespaces. The zero value has none. It is used by any number of goroutines.
type Kernel struct {
	// Fail, when set, is asked before each step. The step is left out when it returns an error.
	Fail func(plan.Step) error

	mu    sync.Mutex
	seen  plan.Seen
	ids   map[string]uint64
	index int
	steps []plan.Step
}

// New returns a kernel that has what seen says.
func New(seen plan.Seen) *Kernel {
	k := &Kernel{}
	for name, ns := range seen {
		k.put(name, ns.Links)
		for _, l := range ns.Links {
			k.index = max(k.index, l.Index)
		}
	}
	return k
}

// put adds a namespace under the next identity.
func (k *Kernel) put(name string, links []plan.Link) {
	if k.seen == nil {
		k.seen, k.ids = plan.Seen{}, map[string]uint64{}
	}
	k.index++
	k.ids[name] = uint64(k.index)
	k.seen[name] = plan.Namespace{Links: cloneLinks(links)}
}

func cloneLinks(links []plan.Link) []plan.Link {
	links = slices.Clone(links)
	for i := range links {
		links[i].Addresses = slices.Clone(links[i].Addresses)
	}
	return links
}

// Seen returns a copy of all that there is.
func (k *Kernel) Seen() plan.Seen {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := plan.Seen{}
	for name, ns := range k.seen {
		all[name] = plan.Namespace{Links: cloneLinks(ns.Links)}
	}
	return all
}

// ID returns the identity of a namespace, 0 when it is not there.
func (k *Kernel) ID(name string) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ids[name]
}

// Names returns the names of all namespaces, sorted.
func (k *Kernel) Names() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Sorted(maps.Keys(k.seen))
}

// Steps returns the steps that were carried out since the last call.
func (k *Kernel) Steps() []plan.Step {
	k.mu.Lock()
	defer k.mu.Unlock()
	steps := k.steps
	k.steps = nil
	return steps
}

// Apply carries out one step. It is stricter than nim/kernel: of what is there already, it tolerates addresses only.
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
	name, link := step.On()
	ns, there := k.seen[name]
	if _, add := step.(plan.NetnsAdd); add == there {
		return missing(!there)
	}
	i := slices.IndexFunc(ns.Links, func(l plan.Link) bool { return l.Name == link })
	if _, add := step.(plan.LinkAdd); link != "" && add == (i >= 0) {
		return missing(i < 0)
	}
	switch s := step.(type) {
	case plan.NetnsAdd:
		k.put(name, []plan.Link{{Name: "lo", Index: 1, MTU: 65536}})
		return nil
	case plan.NetnsDel:
		delete(k.seen, name)
		delete(k.ids, name)
		return nil
	case plan.LinkAdd:
		ns.Links = k.addLink(ns.Links, s)
	case plan.LinkDel:
		ns.Links = delLink(ns.Links, i)
	case plan.LinkSet:
		if err := setLink(ns.Links, i, s); err != nil {
			return err
		}
	case plan.AddrAdd:
		if findAddr(ns.Links[i], s.Prefix) < 0 {
			ns.Links[i].Addresses = append(ns.Links[i].Addresses, plan.Address{Prefix: s.Prefix, Ours: true})
		}
	case plan.AddrDel:
		at := findAddr(ns.Links[i], s.Prefix)
		if at < 0 {
			return fs.ErrNotExist
		}
		ns.Links[i].Addresses = delAddr(ns.Links[i].Addresses, at)
	default:
		return errors.New("unknown step")
	}
	k.seen[name] = ns
	return nil
}

func missing(is bool) error {
	if is {
		return fs.ErrNotExist
	}
	return fs.ErrExist
}

func (k *Kernel) addLink(links []plan.Link, s plan.LinkAdd) []plan.Link {
	k.index += 2
	l := plan.Link{Name: s.Link, Kind: s.Kind, Index: k.index, MAC: s.MAC, MTU: cmp.Or(s.MTU, 1500)}
	if s.Peer == "" {
		return append(links, l)
	}
	peer := plan.Link{Name: s.Peer, Kind: s.Kind, Index: k.index - 1, Peer: l.Index, MAC: s.PeerMAC, MTU: l.MTU}
	l.Peer = peer.Index
	return append(links, peer, l)
}

func delLink(links []plan.Link, i int) []plan.Link {
	gone := links[i]
	links = slices.DeleteFunc(links, func(l plan.Link) bool {
		return l.Index == gone.Index || gone.Peer != 0 && l.Index == gone.Peer
	})
	for j := range links {
		if links[j].Master == gone.Name {
			links[j].Master = ""
		}
	}
	return links
}

func setLink(links []plan.Link, i int, s plan.LinkSet) error {
	l := &links[i]
	if s.MAC != (plan.MAC{}) {
		l.MAC = s.MAC
	}
	if s.MTU != 0 {
		l.MTU = s.MTU
	}
	if s.Master != "" {
		if !slices.ContainsFunc(links, func(m plan.Link) bool { return m.Name == s.Master && m.Kind == "bridge" }) {
			return fmt.Errorf("master %q: %w", s.Master, fs.ErrNotExist)
		}
		l.Master = s.Master
	}
	l.Up = l.Up || s.Up
	return nil
}
