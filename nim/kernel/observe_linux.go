// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/plan"
)

// maxDumps limits how often a dump is repeated that the kernel says was disturbed by a change.
const maxDumps = 8

// Observe returns what the kernel has in the session's namespace; nothing when that is missing.
func (s *Session) Observe() (plan.Seen, error) {
	if s.ns == nil {
		return plan.Seen{}, nil
	}
	links, err := dump(s.handle.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces of %q: %w", s.name, err)
	}
	addrs, err := dump(func() ([]netlink.Addr, error) { return s.handle.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses of %q: %w", s.name, err)
	}
	clear(s.index)
	for _, l := range links {
		s.index[l.Attrs().Name] = l.Attrs().Index
	}
	return plan.Seen{s.name: {Links: describe(links, addrs)}}, nil
}

// dump repeats a question as long as the answer was disturbed.
func dump[T any](ask func() ([]T, error)) (all []T, err error) {
	for range maxDumps {
		if all, err = ask(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return nil, err
}

// describe puts links and their addresses into the plan's words.
func describe(links []netlink.Link, addrs []netlink.Addr) []plan.Link {
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	byLink := make(map[int][]plan.Address, len(links))
	for _, a := range addrs {
		if p, ok := prefixOf(a); ok {
			byLink[a.LinkIndex] = append(byLink[a.LinkIndex], plan.Address{Prefix: p, Ours: marked(a, names[a.LinkIndex])})
		}
	}
	seen := make([]plan.Link, 0, len(links))
	for _, l := range links {
		a := l.Attrs()
		d := plan.Link{
			Name: a.Name, Kind: kindOf(l), Index: a.Index, MTU: a.MTU, Up: a.RawFlags&unix.IFF_UP != 0,
			Master: names[a.MasterIndex], Addresses: byLink[a.Index],
		}
		if len(a.HardwareAddr) == len(d.MAC) {
			d.MAC = plan.MAC(a.HardwareAddr)
		}
		if l.Type() == "veth" && a.NetNsID < 0 {
			d.Peer = a.ParentIndex
		}
		seen = append(seen, d)
	}
	return seen
}

// kindOf returns a link's kind in the plan's words.
func kindOf(l netlink.Link) string {
	switch l := l.(type) {
	case *netlink.Device:
		return ""
	case *netlink.Tuntap:
		if l.Mode == netlink.TUNTAP_MODE_TAP {
			return string(plan.Tap)
		}
	}
	return l.Type()
}

func prefixOf(a netlink.Addr) (netip.Prefix, bool) {
	if a.IPNet == nil {
		return netip.Prefix{}, false
	}
	ip, ok := netip.AddrFromSlice(a.IP)
	bits, _ := a.Mask.Size()
	return netip.PrefixFrom(ip.Unmap(), bits), ok
}

// labelMark ends the label of an IPv4 address that is ours. Labels begin with the interface's name by the kernel's rule.
const labelMark = ":md"

// mark makes an address ours: an IPv4 address by its label, which ip-address(8) shows. IPv6 has no labels; there the mark
// is that the address skips duplicate address detection, which ours must do anyway, for they are to be used at once, and
// which those do not that someone adds by hand.
func mark(a *netlink.Addr, link string) {
	if a.IP.To4() == nil {
		a.Flags |= unix.IFA_F_NODAD
		return
	}
	if label := link + labelMark; len(label) < unix.IFNAMSIZ {
		a.Label = label
	}
}

// marked tells whether an address bears the mark that mark makes.
func marked(a netlink.Addr, link string) bool {
	if a.IP.To4() == nil {
		const ours = unix.IFA_F_NODAD | unix.IFA_F_PERMANENT
		return a.Flags&ours == ours && !a.IP.IsLinkLocalUnicast()
	}
	return a.Label == link+labelMark
}
