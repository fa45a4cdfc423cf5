// SPDX-License-Identifier: Apache-2.0

// Package guestns plays a guest: a container with a network namespace of its own, attached to an app network as whoever
// starts a container would attach it.
//
// In come the path for the namespace and the adapters as AppNetworkStatus has them; out comes a place to run functions and
// commands in that see the network as the guest does. Tests and the demonstration call it.
package guestns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/netns"
)

// Guest is a network namespace with a guest's adapters in it.
type Guest struct {
	path   string
	ns     *netns.Namespace
	handle *netlink.Handle
}

// New makes a guest's namespace at path and attaches one adapter to it as eth0; see Attach.
func New(path string, port eve.AppNetAdapterStatus, networkNamespace string) (*Guest, error) {
	g, err := Empty(path)
	if err != nil {
		return nil, err
	}
	if err := g.Attach("eth0", port, networkNamespace); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// Empty makes a guest's namespace at path. It has no adapter yet; its lo is up.
func Empty(path string) (*Guest, error) {
	if err := netns.Create(path); err != nil {
		return nil, err
	}
	g := &Guest{path: path}
	err := g.open()
	if err == nil {
		err = g.loopbackUp()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make guest %q: %w", path, err), g.Close())
	}
	return g, nil
}

func (g *Guest) open() (err error) {
	if g.ns, err = netns.Open(g.path); err != nil {
		return err
	}
	g.handle, err = netlink.NewHandleAt(g.ns.Handle(), unix.NETLINK_ROUTE)
	return err
}

func (g *Guest) loopbackUp() error {
	lo, err := g.handle.LinkByName("lo")
	if err != nil {
		return err
	}
	return g.handle.LinkSetUp(lo)
}

// Attach takes the guest end of a port out of the app network's namespace, names it, and configures it as the guest's own
// network set-up would: the assigned addresses with the network's prefixes, and default routes by the network's gateways.
// An adapter without an address, as on a switch, is only brought up. Taps can not be attached; they have no guest end to
// take.
func (g *Guest) Attach(name string, port eve.AppNetAdapterStatus, networkNamespace string) error {
	link, gateways, err := g.plug(name, port, networkNamespace)
	if err != nil {
		return err
	}
	for _, assigned := range append(port.AssignedAddresses.IPv4Addrs, port.AssignedAddresses.IPv6Addrs...) {
		if err := g.address(link, assigned.Address, gateways); err != nil {
			return fmt.Errorf("configure %q of %q: %w", name, g.path, err)
		}
	}
	return nil
}

// Plug is Attach for a guest that finds its addresses itself: the adapter is only named and brought up.
func (g *Guest) Plug(name string, port eve.AppNetAdapterStatus, networkNamespace string) error {
	_, _, err := g.plug(name, port, networkNamespace)
	return err
}

// plug moves the port's guest end, and returns it with the addresses of the network's bridge.
func (g *Guest) plug(name string, port eve.AppNetAdapterStatus, networkNamespace string) (netlink.Link, []netip.Prefix, error) {
	gateways, err := take(port, networkNamespace, g.ns)
	if err != nil {
		return nil, nil, fmt.Errorf("attach %q to %q: %w", port.VifUsed, g.path, err)
	}
	link, err := g.handle.LinkByName(plan.GuestEnd(port.VifUsed))
	if err == nil {
		err = errors.Join(g.handle.LinkSetName(link, name), g.handle.LinkSetUp(link))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("configure %q of %q: %w", name, g.path, err)
	}
	return link, gateways, nil
}

// take moves the port's guest end, and returns the addresses of the network's bridge.
func take(port eve.AppNetAdapterStatus, networkNamespace string, to *netns.Namespace) (gateways []netip.Prefix, err error) {
	network, err := netns.Open(networkNamespace)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	handle, err := netlink.NewHandleAt(network.Handle(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	end, err := handle.LinkByName(plan.GuestEnd(port.VifUsed))
	if err != nil {
		return nil, fmt.Errorf("find guest end: %w", err)
	}
	bridge, err := handle.LinkByName(port.Bridge)
	if err != nil {
		return nil, fmt.Errorf("find bridge: %w", err)
	}
	addrs, err := handle.AddrList(bridge, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses of bridge: %w", err)
	}
	for _, a := range addrs {
		bits, _ := a.Mask.Size()
		if ip, ok := netip.AddrFromSlice(a.IP); ok && !ip.Unmap().IsLinkLocalUnicast() {
			gateways = append(gateways, netip.PrefixFrom(ip.Unmap(), bits))
		}
	}
	return gateways, handle.LinkSetNsFd(end, int(to.Handle()))
}

// address gives an interface one address and, if a gateway is in the same subnet, the default route.
func (g *Guest) address(link netlink.Link, ip net.IP, gateways []netip.Prefix) error {
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return fmt.Errorf("use address %q: %w", ip, unix.EINVAL)
	}
	a = a.Unmap()
	at := slices.IndexFunc(gateways, func(p netip.Prefix) bool { return p.Contains(a) && p.Addr() != a })
	bits := a.BitLen()
	if at >= 0 {
		bits = gateways[at].Bits()
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}}
	if a.Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := g.handle.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("add address %s: %w", addr, err)
	}
	if err := AwaitAddress(g.handle, link, a); err != nil {
		return err
	}
	if at < 0 {
		return nil
	}
	gateway := gateways[at].Addr().AsSlice()
	if err := g.handle.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway}); err != nil {
		return fmt.Errorf("add default route by %s: %w", gateways[at].Addr(), err)
	}
	return nil
}

// AwaitAddress returns when an address that an interface was given can be used: one of IPv4 at once; one of IPv6 some time
// later, without duplicate address detection too, because Linux makes its route in a thread of its own, which may have to wait
// for others' changes of the network. It is an error when that takes more than a minute.
func AwaitAddress(h *netlink.Handle, link netlink.Link, addr netip.Addr) error {
	if addr.Is4() {
		return nil
	}
	own := &netlink.Route{
		Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, LinkIndex: link.Attrs().Index,
		Dst: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(addr.BitLen(), addr.BitLen())},
	}
	again, late := time.NewTicker(5*time.Millisecond), time.After(time.Minute)
	defer again.Stop()
	for {
		routes, err := h.RouteListFiltered(netlink.FAMILY_V6, own, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE|netlink.RT_FILTER_OIF|netlink.RT_FILTER_DST)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return fmt.Errorf("look for the route of %s: %w", addr, err)
		}
		if len(routes) > 0 {
			return nil
		}
		select {
		case <-again.C:
		case <-late:
			return fmt.Errorf("use %s on %q: %w", addr, link.Attrs().Name, context.DeadlineExceeded)
		}
	}
}

// Path returns the path of the guest's namespace.
func (g *Guest) Path() string { return g.path }

// Do runs f in the guest's namespace. Sockets that f opens itself are the guest's; goroutines that it starts are not in
// the guest. An http.Client therefore needs g's DialContext.
func (g *Guest) Do(f func() error) error { return g.ns.Do(f) }

// DialContext dials as the guest. The address must be numeric.
func (g *Guest) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial from %q: %w", g.path, err)
	}
	err = g.ns.Do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, target.String())
		return err
	})
	return conn, err
}

// Command returns a command that runs in the guest's network namespace, and otherwise in our own environment, once it is
// started. It needs nsenter(1), which is part of every Debian (util-linux).
func (g *Guest) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + g.path, "--", name}, args...)...)
}

// Close ends the guest: its namespace goes, and with it its adapters and the ports of the app networks.
func (g *Guest) Close() error {
	var err error
	if g.handle != nil {
		g.handle.Close()
		g.handle = nil
	}
	if g.ns != nil {
		err = g.ns.Close()
	}
	return errors.Join(err, netns.Delete(g.path))
}
