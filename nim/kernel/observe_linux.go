// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/plan"
)

// maxDumps limits how often a dump is repeated that the kernel says was disturbed by a change.
const maxDumps = 8

// Observe returns what the kernel has of the session's network: of a managed one its namespace, if it is there, and, where
// it has an uplink or is to have one, what the host's own namespace has of that; of another one the interface that stands
// for its bridge.
func (s *Session) Observe() (plan.Seen, error) {
	seen := plan.Seen{}
	var err error
	switch {
	case s.place.Attach == plan.Managed:
		err = s.observeManaged(seen)
	case s.here == nil:
		return seen, nil
	case s.place.Attach == plan.OnBridge:
		seen[plan.Host], err = s.here.observeLink(s.place.Bridge.Name, plan.HostTables()...)
	default:
		seen[s.place.Namespace], err = s.here.observeLink(s.place.Bridge.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("look at %q: %w", s.path, err)
	}
	return seen, nil
}

func (s *Session) observeManaged(seen plan.Seen) (err error) {
	uplink := s.place.Uplink != nil
	if s.here != nil {
		if seen[s.place.Namespace], err = s.here.observe(s.place.Bridge.Name); err != nil {
			return err
		}
		uplink = uplink || s.here.index[plan.UplinkEnd] != 0
	}
	if !uplink {
		return nil
	}
	return s.observeUplink(seen)
}

// observeUplink adds what the host's own namespace has of a managed network's uplink.
func (s *Session) observeUplink(seen plan.Seen) error {
	host, err := s.space(plan.Host)
	if err != nil {
		return err
	}
	port := plan.UplinkName(plan.NetworkOf(s.place.Namespace))
	if seen[plan.Host], err = host.observeLink(port, plan.HostTable); err != nil {
		return fmt.Errorf("look at the host's end of the uplink: %w", err)
	}
	return nil
}

// ObserveOutside is Observe for plan.Detach. What is in a managed network's namespace goes with it and is not looked at:
// whoever looks at interfaces waits for the kernel to be done with those that went before.
func (s *Session) ObserveOutside() (plan.Seen, error) {
	if s.place.Attach != plan.Managed {
		return s.Observe()
	}
	seen := plan.Seen{}
	if s.here != nil {
		seen[s.place.Namespace] = plan.Namespace{}
	}
	host, err := s.space(plan.Host)
	if err != nil {
		return nil, err
	}
	switch tables, err := host.tables(plan.HostTable); {
	case err != nil:
		return nil, err
	case len(tables) == 0: // no network has an uplink
		return seen, nil
	}
	return seen, s.observeUplink(seen)
}

// observe returns what there is in a namespace of ours.
func (s *space) observe(bridge string) (ns plan.Namespace, err error) {
	links, err := dump(s.handle.LinkList)
	if err != nil {
		return ns, fmt.Errorf("list interfaces: %w", err)
	}
	addrs, err := dump(func() ([]netlink.Addr, error) { return s.handle.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return ns, fmt.Errorf("list addresses: %w", err)
	}
	routes, err := dump(func() ([]netlink.Route, error) { return s.handle.RouteList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return ns, fmt.Errorf("list routes: %w", err)
	}
	clear(s.index)
	for _, l := range links {
		s.index[l.Attrs().Name] = l.Attrs().Index
	}
	ns.Links = describe(links, addrs)
	ns.Routes = describeRoutes(routes, ns.Links)
	if ns.Sysctls, err = s.sysctls(plan.Sysctls(bridge)); err != nil {
		return ns, err
	}
	ns.Tables, err = s.tables(plan.FilterTable, plan.RouterTable, plan.UplinkTable)
	return ns, err
}

// observeLink returns one interface, if it is there, the tables, and the parameters that plans are made of in a namespace
// of others.
func (s *space) observeLink(name string, tables ...string) (ns plan.Namespace, err error) {
	delete(s.index, name)
	l, err := s.handle.LinkByName(name)
	switch {
	case err == nil:
		addrs, err := dump(func() ([]netlink.Addr, error) { return s.handle.AddrList(l, netlink.FAMILY_ALL) })
		if err != nil {
			return ns, fmt.Errorf("list addresses of %q: %w", name, err)
		}
		s.index[name] = l.Attrs().Index
		ns.Links = describe([]netlink.Link{l}, addrs)
	case !errors.As(err, new(netlink.LinkNotFoundError)):
		return ns, fmt.Errorf("find interface %q: %w", name, err)
	}
	if ns.Sysctls, err = s.sysctls(plan.HostSysctls(name)); err != nil {
		return ns, err
	}
	ns.Tables, err = s.tables(tables...)
	return ns, err
}

// tables returns those of our tables that are there and whole.
func (s *space) tables(names ...string) (map[string]plan.Table, error) {
	if len(names) == 0 {
		return nil, nil
	}
	r, err := s.nft()
	if err != nil {
		return nil, err
	}
	return r.observe(names...)
}

// sysctls returns those parameters that there are.
func (s *space) sysctls(names []string) (map[string]string, error) {
	values := make(map[string]string, len(names))
	err := s.ns.Do(func() error {
		for _, name := range names {
			switch value, err := readSysctl(name); {
			case err == nil:
				values[name] = value
			case !errors.Is(err, fs.ErrNotExist):
				return fmt.Errorf("read %s: %w", name, err)
			}
		}
		return nil
	})
	return values, err
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
	byLink := map[int][]plan.Address{}
	for _, a := range addrs {
		if p, ok := prefixOf(a.IPNet); ok {
			duplicate := a.Flags&unix.IFA_F_DADFAILED != 0
			byLink[a.LinkIndex] = append(byLink[a.LinkIndex], plan.Address{
				Prefix: p, Duplicate: duplicate, Tentative: a.Flags&unix.IFA_F_TENTATIVE != 0 && !duplicate,
			})
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
		switch {
		case l.Type() != "veth":
		case a.NetNsID < 0:
			d.Peer = a.ParentIndex
		default:
			d.Far = a.ParentIndex
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

// describeRoutes puts routes into the plan's words, without those that nobody has set.
func describeRoutes(routes []netlink.Route, links []plan.Link) []plan.Route {
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Index] = l.Name
	}
	var seen []plan.Route
	for _, r := range routes {
		dst, ok := prefixOf(r.Dst)
		if !ok || r.Protocol == unix.RTPROT_KERNEL || r.Protocol == unix.RTPROT_RA {
			continue
		}
		d := plan.Route{Dst: dst}
		if r.Type == unix.RTN_UNICAST {
			d.Link = names[r.LinkIndex]
			d.Via, _ = netip.AddrFromSlice(r.Gw)
			d.Via = d.Via.Unmap()
		}
		seen = append(seen, d)
	}
	return seen
}
