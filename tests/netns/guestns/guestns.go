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
// network set-up would: the assigned addresses with the network's prefix, and a default route by the gateway. An adapter
// without an address, as on a switch, is only brought up. Taps can not be attached; they have no guest end to take.
func (g *Guest) Attach(name string, port eve.AppNetAdapterStatus, networkNamespace string) error {
	bits, err := take(port, networkNamespace, g.ns)
	if err != nil {
		return fmt.Errorf("attach %q to %q: %w", port.VifUsed, g.path, err)
	}
	if err := g.configure(name, port, bits); err != nil {
		return fmt.Errorf("configure %q of %q: %w", name, g.path, err)
	}
	return nil
}

// take moves the port's guest end, and returns the prefix length of the bridge's address.
func take(port eve.AppNetAdapterStatus, networkNamespace string, to *netns.Namespace) (bits int, err error) {
	network, err := netns.Open(networkNamespace)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	handle, err := netlink.NewHandleAt(network.Handle(), unix.NETLINK_ROUTE)
	if err != nil {
		return 0, err
	}
	defer handle.Close()
	end, err := handle.LinkByName(plan.GuestEnd(port.VifUsed))
	if err != nil {
		return 0, fmt.Errorf("find guest end: %w", err)
	}
	if bits, err = bridgeBits(handle, port); err != nil {
		return 0, err
	}
	return bits, handle.LinkSetNsFd(end, int(to.Handle()))
}

// bridgeBits returns the prefix length that the network's gateway has on the bridge; 0 when there is no gateway.
func bridgeBits(handle *netlink.Handle, port eve.AppNetAdapterStatus) (int, error) {
	if port.BridgeIPAddr == nil {
		return 0, nil
	}
	bridge, err := handle.LinkByName(port.Bridge)
	if err != nil {
		return 0, fmt.Errorf("find bridge: %w", err)
	}
	addrs, err := handle.AddrList(bridge, netlink.FAMILY_ALL)
	if err != nil {
		return 0, fmt.Errorf("list addresses of bridge: %w", err)
	}
	for _, a := range addrs {
		if a.IP.Equal(port.BridgeIPAddr) {
			bits, _ := a.Mask.Size()
			return bits, nil
		}
	}
	return 0, fmt.Errorf("find gateway %s on bridge: %w", port.BridgeIPAddr, unix.EADDRNOTAVAIL)
}

func (g *Guest) configure(name string, port eve.AppNetAdapterStatus, bits int) error {
	link, err := g.handle.LinkByName(plan.GuestEnd(port.VifUsed))
	if err != nil {
		return err
	}
	if err := g.handle.LinkSetName(link, name); err != nil {
		return fmt.Errorf("name it: %w", err)
	}
	if err := g.handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	for _, assigned := range append(port.AssignedAddresses.IPv4Addrs, port.AssignedAddresses.IPv6Addrs...) {
		if err := g.address(link, assigned.Address, port.BridgeIPAddr, bits); err != nil {
			return err
		}
	}
	return nil
}

// address gives an interface one address and, if the gateway is of the same family, the default route.
func (g *Guest) address(link netlink.Link, ip, gateway net.IP, bits int) error {
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return fmt.Errorf("use address %q: %w", ip, unix.EINVAL)
	}
	a = a.Unmap()
	routed := gateway != nil && (gateway.To4() != nil) == a.Is4()
	if !routed {
		bits = a.BitLen()
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}}
	if a.Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := g.handle.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("add address %s: %w", addr, err)
	}
	if !routed {
		return nil
	}
	if err := g.handle.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway}); err != nil {
		return fmt.Errorf("add default route by %s: %w", gateway, err)
	}
	return nil
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
