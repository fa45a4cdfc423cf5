// SPDX-License-Identifier: Apache-2.0

// Package neigh asks the kernel on which port of a bridge a guest was heard last.
//
// In come the name of a bridge and a MAC address; out comes the name of a port, out of the bridge's forwarding table (see
// bridge(8)), which the bridge learns from the frames that it passes on. Whoever sends a frame with another's MAC address
// moves that address to its own port until the other sends again, so that the answer says where a frame to that address
// goes now, and where the newest came from.
//
// A bridge that filters VLANs has a table for each of them; only what is not in any VLAN is found.
package neigh

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ErrUnknown says that the bridge has not heard a MAC address, or not for so long that it has forgotten it.
var ErrUnknown = errors.New("not heard on the bridge")

// Table is the forwarding tables of the bridges in one network namespace, that in which it was opened. It holds one netlink
// socket, so that it works on where a process may not open any more, and needs no privilege. It is used by any number of
// goroutines. The nil Table knows no address.
type Table struct {
	socket *nl.SocketHandle
}

// Open opens the tables of the calling thread's network namespace. The kernel has to be Linux 5.0 or newer.
func Open() (*Table, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return &Table{socket: &nl.SocketHandle{Socket: socket}}, nil
}

// Close closes the socket.
func (t *Table) Close() {
	if t != nil {
		t.socket.Close()
	}
}

// Port returns the name of the port behind which mac was heard last. The error is ErrUnknown when it was not; that there is
// no such bridge, or that the interface of this name is none, is another one. An address of the bridge's own is on the
// bridge itself.
func (t *Table) Port(bridge string, mac net.HardwareAddr) (string, error) {
	if t == nil {
		return "", ErrUnknown
	}
	master, err := t.link(&nl.IfInfomsg{}, nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(bridge)))
	if err != nil {
		return "", fmt.Errorf("find bridge %q: %w", bridge, err)
	}
	entry, err := t.ask(unix.RTM_GETNEIGH, &netlink.Ndmsg{Family: unix.AF_BRIDGE},
		nl.NewRtAttr(unix.NDA_MASTER, nl.Uint32Attr(uint32(master.Index))), nl.NewRtAttr(unix.NDA_LLADDR, mac))
	if errors.Is(err, syscall.ENOENT) {
		return "", ErrUnknown
	}
	if err != nil {
		return "", fmt.Errorf("look %s up on bridge %q: %w", mac, bridge, err)
	}
	found, err := netlink.NeighDeserialize(entry)
	if err != nil {
		return "", fmt.Errorf("read entry of %s on bridge %q: %w", mac, bridge, err)
	}
	port := nl.NewIfInfomsg(unix.AF_UNSPEC)
	port.Index = int32(found.LinkIndex)
	link, err := t.link(port)
	if err != nil {
		return "", fmt.Errorf("find port %d of bridge %q: %w", found.LinkIndex, bridge, err)
	}
	return link.Name, nil
}

// link asks for an interface.
func (t *Table) link(which *nl.IfInfomsg, attrs ...nl.NetlinkRequestData) (*netlink.LinkAttrs, error) {
	message, err := t.ask(unix.RTM_GETLINK, which, attrs...)
	if err != nil {
		return nil, err
	}
	link, err := netlink.LinkDeserialize(nil, message)
	if err != nil {
		return nil, err
	}
	return link.Attrs(), nil
}

// ask sends a request to which there is one answer.
func (t *Table) ask(kind int, head nl.NetlinkRequestData, attrs ...nl.NetlinkRequestData) ([]byte, error) {
	req := nl.NewNetlinkRequest(kind, unix.NLM_F_ACK)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: t.socket}
	req.AddData(head)
	for _, a := range attrs {
		req.AddData(a)
	}
	answers, err := req.Execute(unix.NETLINK_ROUTE, 0)
	if err != nil {
		return nil, err
	}
	if len(answers) != 1 {
		return nil, fmt.Errorf("%d answers", len(answers))
	}
	return answers[0], nil
}
