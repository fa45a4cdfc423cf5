// SPDX-License-Identifier: Apache-2.0

package plantest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/lf-edge/eve-metadata/nim/plan"
)

// maxPorts is how many ports a bridge of Linux has (BR_MAX_PORTS).
const maxPorts = 1023

var errFull = errors.New("bridge is full")

func findLink(links []plan.Link, name string) int {
	return slices.IndexFunc(links, func(l plan.Link) bool { return l.Name == name })
}

// addLink makes an interface; of a veth the other end first, in the namespace that it belongs to.
func (k *Kernel) addLink(s plan.LinkAdd) error {
	k.index += 2
	l := plan.Link{Name: s.Link, Kind: s.Kind, Index: k.index, MAC: s.MAC, MTU: cmp.Or(s.MTU, 1500)}
	if s.Peer != "" {
		peer := plan.Link{Name: s.Peer, Kind: s.Kind, Index: k.index - 1, MAC: s.PeerMAC, MTU: l.MTU}
		if s.PeerNetns == "" {
			l.Peer, peer.Peer = peer.Index, l.Index
		} else {
			l.Far, peer.Far = peer.Index, l.Index
		}
		if err := k.insert(cmp.Or(s.PeerNetns, s.Netns), peer); err != nil {
			return fmt.Errorf("peer: %w", err)
		}
	}
	return k.insert(s.Netns, l)
}

// insert puts an interface into a namespace, which gives it parameters of its own.
func (k *Kernel) insert(name string, l plan.Link) error {
	ns, there := k.seen[name]
	if !there || findLink(ns.Links, l.Name) >= 0 {
		return missing(!there)
	}
	ns.Links = append(ns.Links, l)
	for _, s := range plan.Sysctls("br0") {
		value, ok := ns.Sysctls[strings.Replace(s, "."+l.Name+".", ".default.", 1)]
		if ok && strings.Contains(s, "."+l.Name+".") {
			ns.Sysctls[s] = value
		}
	}
	k.seen[name] = ns
	return nil
}

// newSysctls are the parameters of a new namespace.
func newSysctls() map[string]string {
	all := map[string]string{}
	for _, s := range plan.Sysctls("lo") {
		if !strings.Contains(s, "."+plan.UplinkEnd+".") {
			all[s] = "0"
		}
	}
	return all
}

func (k *Kernel) delLink(s plan.LinkDel) error {
	ns := k.seen[s.Netns]
	i := findLink(ns.Links, s.Link)
	if i < 0 {
		return fs.ErrNotExist
	}
	gone := ns.Links[i]
	k.delFarEnd(gone)
	k.remove(s.Netns, gone)
	if near := slices.IndexFunc(ns.Links, func(l plan.Link) bool { return gone.Peer != 0 && l.Index == gone.Peer }); near >= 0 {
		k.remove(s.Netns, ns.Links[near])
	}
	return nil
}

// delFarEnd removes a veth's other end from another namespace.
func (k *Kernel) delFarEnd(gone plan.Link) {
	for name, ns := range k.seen {
		for _, l := range ns.Links {
			if gone.Far != 0 && l.Index == gone.Far && l.Far == gone.Index {
				k.remove(name, l)
				return
			}
		}
	}
}

// remove takes an interface out of a namespace, with its routes and parameters; its ports lose their master.
func (k *Kernel) remove(name string, gone plan.Link) {
	ns := clone(k.seen[name])
	ns.Links = slices.DeleteFunc(ns.Links, func(l plan.Link) bool { return l.Index == gone.Index })
	for i := range ns.Links {
		if ns.Links[i].Master == gone.Name {
			ns.Links[i].Master = ""
		}
	}
	ns.Routes = slices.DeleteFunc(ns.Routes, func(r plan.Route) bool { return r.Link == gone.Name })
	for s := range ns.Sysctls {
		if strings.Contains(s, "."+gone.Name+".") {
			delete(ns.Sysctls, s)
		}
	}
	k.seen[name] = ns
}

func setLink(links []plan.Link, s plan.LinkSet) error {
	i := findLink(links, s.Link)
	if i < 0 {
		return fs.ErrNotExist
	}
	l := &links[i]
	if s.MAC != (plan.MAC{}) {
		l.MAC = s.MAC
	}
	if s.MTU != 0 {
		l.MTU = s.MTU
	}
	if s.Master != "" {
		if err := enslave(links, l, s.Master); err != nil {
			return fmt.Errorf("master %q: %w", s.Master, err)
		}
	}
	l.Up = l.Up || s.Up
	return nil
}

// enslave makes an interface a port of a bridge.
func enslave(links []plan.Link, l *plan.Link, master string) error {
	if m := findLink(links, master); m < 0 || links[m].Kind != "bridge" {
		return fs.ErrNotExist
	}
	ports := 0
	for _, other := range links {
		if other.Master == master {
			ports++
		}
	}
	if ports >= maxPorts {
		return errFull
	}
	l.Master = master
	return nil
}
