// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/netns"
)

// groups returns the bits that multicast groups of netlink are joined by; their numbers go up to 32.
func groups(numbers ...int) (mask uint32) {
	for _, n := range numbers {
		mask |= 1 << (n - 1)
	}
	return mask
}

// feed is where the kernel tells of changes.
type feed struct {
	protocol int
	groups   uint32
	filter   filter // nil: all messages concern us
}

// filter tells which messages concern us.
type filter interface {
	// begin is told the socket once it has been opened.
	begin(fd int)
	// concerns tells whether a message is one to look at.
	concerns(kind uint16, body []byte) bool
}

// ofManaged is what plans of a managed network depend on.
func ofManaged() []feed {
	return []feed{
		{protocol: unix.NETLINK_ROUTE, groups: groups(
			unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE,
			unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF,
		)},
		{protocol: unix.NETLINK_NETFILTER, groups: groups(unix.NFNLGRP_NFTABLES)},
	}
}

// ofLink is what plans depend on of an interface in a namespace of others.
func ofLink(name string) []feed {
	return []feed{{
		unix.NETLINK_ROUTE, groups(unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR), &linkFilter{name: name},
	}}
}

// Watch calls changed, from any goroutine, after each change of what a network consists of: interfaces, their addresses
// and what has become of the search for duplicates, routes, forwarding, nftables, and the end of a namespace that others
// made. It does so for the session's own changes too, and often more than once for one change: who calls it waits for
// silence and looks. When changes come faster than they can be read, that is one more.
//
// It returns when ctx ends, and with an error when the namespace is missing: fs.ErrNotExist. One of others is waited for
// instead: its coming is a change. While it runs it keeps the namespace alive. Of the host's own namespace it sees what concerns a bridge of others; see WatchHost for the rest.
func (k *Kernel) Watch(ctx context.Context, place plan.Network, changed func()) error {
	feeds := ofManaged()
	if place.Attach != plan.Managed {
		feeds = ofLink(place.Bridge.Name)
	}
	eg, ctx := errgroup.WithContext(ctx)
	eg.Go(func() error {
		err := watch(ctx, k.pathOf(place), feeds, changed)
		if place.Attach == plan.Existing && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, netns.ErrNotNamespace)) {
			return nil
		}
		return err
	})
	if place.Attach == plan.Existing {
		eg.Go(func() error { return watchPath(ctx, place.Namespace, changed) })
	}
	return eg.Wait()
}

// WatchHost calls changed after something has gone from one of the HostTables, or the whole table, that is not an element of a
// set: all networks that have an uplink or are on a bridge are to be looked at then. It ends as Watch does. What sessions do there
// does not concern it, so that many networks can come and go without a look at all others each time.
func (k *Kernel) WatchHost(ctx context.Context, changed func()) error {
	return watch(ctx, ownNamespace, []feed{{unix.NETLINK_NETFILTER, groups(unix.NFNLGRP_NFTABLES), lossFilter{}}}, changed)
}

func watch(ctx context.Context, path string, feeds []feed, changed func()) error {
	sockets, err := subscribe(path, feeds)
	if err != nil {
		return fmt.Errorf("watch %q: %w", path, err)
	}
	eg, ctx := errgroup.WithContext(ctx)
	for i, socket := range sockets {
		context.AfterFunc(ctx, func() { _ = socket.Close() })
		eg.Go(func() error { return read(socket, feeds[i].filter, changed) })
	}
	if err := eg.Wait(); !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("watch %q: %w", path, err)
	}
	return nil
}

// subscribe opens the sockets, all or none.
func subscribe(path string, feeds []feed) ([]*os.File, error) {
	fds := make([]int, 0, len(feeds))
	err := netns.Do(path, func() error {
		for _, f := range feeds {
			fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, f.protocol)
			if err != nil {
				return fmt.Errorf("open netlink: %w", err)
			}
			fds = append(fds, fd)
			if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: f.groups}); err != nil {
				return fmt.Errorf("join groups of netlink: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		for _, fd := range fds {
			err = errors.Join(err, unix.Close(fd))
		}
		return nil, err
	}
	sockets := make([]*os.File, len(fds))
	for i, fd := range fds {
		if f := feeds[i].filter; f != nil {
			f.begin(fd)
		}
		sockets[i] = os.NewFile(uintptr(fd), "netlink") // non-blocking: it is waited for without a thread
	}
	return sockets, nil
}

// maxDatagram is as much as the kernel puts into one datagram.
const maxDatagram = 32 << 10

// read reads a socket until it is closed, which is an error.
func read(socket *os.File, f filter, changed func()) error {
	datagram := make([]byte, 1) // the rest does not matter to who is concerned by all of them
	if f != nil {
		datagram = make([]byte, maxDatagram)
	}
	for {
		n, err := socket.Read(datagram)
		switch {
		case errors.Is(err, unix.ENOBUFS): // some are lost
			changed()
		case err != nil:
			return err
		case f == nil || concernsAny(f, datagram[:n]):
			changed()
		}
	}
}

// concernsAny tells whether a datagram has a message that concerns us.
func concernsAny(f filter, datagram []byte) bool {
	concerned := false
	for len(datagram) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(datagram))
		if size < unix.SizeofNlMsghdr || size > len(datagram) {
			return true // unheard of, so better look
		}
		concerned = f.concerns(binary.NativeEndian.Uint16(datagram[4:]), datagram[unix.SizeofNlMsghdr:size]) || concerned
		datagram = datagram[min(len(datagram), aligned(size)):]
	}
	return concerned
}

// aligned returns where the next message or attribute begins.
func aligned(size int) int { return (size + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

// linkFilter lets through what concerns an interface, which is known by its name, and by its index while it is there.
type linkFilter struct {
	name  string
	index uint32
}

func (l *linkFilter) begin(fd int) {
	if req, err := unix.NewIfreq(l.name); err == nil && unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req) == nil {
		l.index = req.Uint32()
	}
}

func (l *linkFilter) concerns(kind uint16, body []byte) bool {
	const offset, end = 4, 8 // of the index, in struct ifinfomsg as in struct ifaddrmsg
	if len(body) < end {
		return false
	}
	index := binary.NativeEndian.Uint32(body[offset:])
	if kind == unix.RTM_NEWLINK && len(body) >= unix.SizeofIfInfomsg &&
		attribute(body[unix.SizeofIfInfomsg:], unix.IFLA_IFNAME) == l.name {
		l.index = index
	}
	return index == l.index
}

// lossFilter lets through what says that one of the HostTables, or a part of it that is no element, has gone.
type lossFilter struct{}

func (lossFilter) begin(int) {}

func (lossFilter) concerns(kind uint16, body []byte) bool {
	const sizeofGenmsg = 4 // struct nfgenmsg, whose first byte is the family
	switch kind &^ (unix.NFNL_SUBSYS_NFTABLES << 8) {
	case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_DELRULE, unix.NFT_MSG_DELSET:
	default:
		return false
	}
	if len(body) < sizeofGenmsg {
		return false
	}
	// For tables, chains, rules and sets the number of the attribute with the table's name is the same.
	name := attribute(body[sizeofGenmsg:], unix.NFTA_TABLE_NAME)
	return slices.ContainsFunc(plan.HostTables(), func(table string) bool {
		family, ours, _ := strings.Cut(table, " ")
		return name == ours && body[0] == families[family]
	})
}

// families are the families of tables as the kernel numbers them.
var families = map[string]byte{"inet": unix.NFPROTO_INET, "bridge": unix.NFPROTO_BRIDGE}

// attribute returns the text of the first attribute of a kind; "" when there is none.
func attribute(attrs []byte, kind uint16) string {
	for len(attrs) >= unix.SizeofNlAttr {
		size := int(binary.NativeEndian.Uint16(attrs))
		if size < unix.SizeofNlAttr || size > len(attrs) {
			return ""
		}
		if binary.NativeEndian.Uint16(attrs[2:]) == kind {
			return strings.TrimRight(string(attrs[unix.SizeofNlAttr:size]), "\x00")
		}
		attrs = attrs[min(len(attrs), aligned(size)):]
	}
	return ""
}
