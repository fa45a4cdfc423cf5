// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/plan"
)

// forwardLLDP is the bit for LLDP's group address in the mask of those whose frames a bridge forwards (ip-link(8),
// group_fwd_mask). Those that it keeps for itself it learns from without asking the filter; the other groups' it asks it
// about.
const forwardLLDP = uint16(1 << 0xe)

// addLink makes an interface; a veth's peer in its own namespace.
func (s *space) addLink(step plan.LinkAdd, peers *space) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = step.Link, step.MTU
	if step.MAC != (plan.MAC{}) {
		attrs.HardwareAddr = step.MAC.HardwareAddr()
	}
	var link netlink.Link
	switch step.Kind {
	case "bridge":
		link = newBridge(attrs)
	case string(plan.Veth):
		veth := &netlink.Veth{LinkAttrs: attrs, PeerName: step.Peer, PeerTxQLen: -1}
		if step.PeerMAC != (plan.MAC{}) {
			veth.PeerHardwareAddr = step.PeerMAC.HardwareAddr()
		}
		if peers != s {
			veth.PeerNamespace = netlink.NsFd(int(peers.ns.Handle()))
		}
		link = veth
	case string(plan.Tap):
		return s.ns.Do(func() error { return addTap(step.Link) })
	default:
		return fmt.Errorf("make a %q: %w", step.Kind, errors.ErrUnsupported)
	}
	if err := s.handle.LinkAdd(link); err != nil {
		return err
	}
	if i := link.Attrs().Index; i != 0 {
		s.index[step.Link] = i
	}
	return nil
}

// newBridge returns a bridge that no guest can mislead. If it followed who listens to which groups, it would believe the
// first guest to ask for that as multicast routers do, and keep from others what they need, neighbour discovery first.
// Where nobody asks, everything goes to everybody anyway.
//
// It is born with an MTU that no network has. A bridge follows the smallest MTU of its ports until somebody has changed
// its own, and to set what it has already is no change.
func newBridge(attrs netlink.LinkAttrs) *netlink.Bridge {
	mask, snooping := forwardLLDP, false
	attrs.MTU = math.MaxUint16
	return &netlink.Bridge{LinkAttrs: attrs, GroupFwdMask: &mask, MulticastSnooping: &snooping}
}

// link returns what netlink needs to name an interface; the error is fs.ErrNotExist when there is none of that name.
func (s *space) link(name string) (netlink.Link, error) {
	if i := s.index[name]; i != 0 {
		return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: name, Index: i}}, nil
	}
	l, err := s.handle.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, fmt.Errorf("find interface %q: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("find interface %q: %w", name, err)
	}
	s.index[name] = l.Attrs().Index
	return l, nil
}

func (s *space) delLink(name string) error {
	l, err := s.link(name)
	if err != nil {
		return err
	}
	delete(s.index, name)
	return s.handle.LinkDel(l)
}

func (s *space) setLink(step plan.LinkSet) error {
	l, err := s.link(step.Link)
	if err != nil {
		return err
	}
	if step.MAC != (plan.MAC{}) {
		if err := s.handle.LinkSetHardwareAddr(l, step.MAC.HardwareAddr()); err != nil {
			return fmt.Errorf("set MAC address: %w", err)
		}
	}
	if step.MTU != 0 {
		if err := s.handle.LinkSetMTU(l, step.MTU); err != nil {
			return fmt.Errorf("set MTU: %w", err)
		}
	}
	if step.Master != "" {
		master, err := s.link(step.Master)
		if err != nil {
			return err
		}
		if err := s.handle.LinkSetMasterByIndex(l, master.Attrs().Index); err != nil {
			return fmt.Errorf("set master: %w", err)
		}
	}
	if step.Up {
		if err := s.handle.LinkSetUp(l); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
	}
	return nil
}

func (s *space) addAddr(step plan.AddrAdd) error {
	l, err := s.link(step.Link)
	if err != nil {
		return err
	}
	a := address(step.Prefix)
	if step.Passive {
		a.ValidLft, a.PreferedLft = forever, 0
	}
	if ip := step.Prefix.Addr(); ip.Is6() && !ip.IsLinkLocalUnicast() {
		// They are to be used at once, and are nobody else's: subnets of ours, and EC2's address. The link-local one may be.
		a.Flags |= unix.IFA_F_NODAD
	}
	return s.handle.AddrAdd(l, a)
}

// forever is the lifetime of an address that does not end (RFC 4861, 4.6.2).
const forever = math.MaxUint32

func (s *space) delAddr(step plan.AddrDel) error {
	l, err := s.link(step.Link)
	if err != nil {
		return err
	}
	return s.handle.AddrDel(l, address(step.Prefix))
}

func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: &net.IPNet{
		IP:   p.Addr().AsSlice(),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}}
	if p.Addr().IsLinkLocalUnicast() {
		a.Scope = unix.RT_SCOPE_LINK // RFC 3927, 2.7: never the source of what leaves the link
	}
	return a
}

// prefixOf returns an address or a destination of netlink's. It reports false for none.
func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	ip, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(ip.Unmap(), bits), ok
}

func (s *space) addRoute(r plan.Route) error {
	route, err := s.route(r)
	if err != nil {
		return err
	}
	return s.handle.RouteAdd(route)
}

func (s *space) delRoute(r plan.Route) error {
	route, err := s.route(r)
	if err != nil {
		return err
	}
	return s.handle.RouteDel(route)
}

// route puts a route into netlink's words.
func (s *space) route(r plan.Route) (*netlink.Route, error) {
	route := &netlink.Route{Dst: address(r.Dst).IPNet, Protocol: unix.RTPROT_STATIC, Type: unix.RTN_UNREACHABLE}
	if r.Link == "" {
		return route, nil
	}
	l, err := s.link(r.Link)
	if err != nil {
		return nil, err
	}
	route.LinkIndex, route.Type, route.Gw = l.Attrs().Index, unix.RTN_UNICAST, r.Via.AsSlice()
	return route, nil
}
