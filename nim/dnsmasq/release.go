// SPDX-License-Identifier: Apache-2.0

package dnsmasq

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// Ports of the servers.
const (
	serverPort4 = 67
	serverPort6 = 547
)

// allServers is the group that servers of DHCPv6 are in.
var allServers = netip.MustParseAddr("ff02::1:2")

// release tells dnsmasq in the name of guests that they give their leases up: there is no other way to make it forget one
// while it runs. Neither DHCPv4 nor a dnsmasq that is quiet answers that. The DUID is dnsmasq's own.
func release(ns Namespace, n *Network, duid string, gone []lease) error {
	return ns.do(func() error {
		link, err := net.InterfaceByName(n.Interface)
		if err != nil {
			return err
		}
		var errs []error
		for _, l := range gone {
			if l.addr.Is4() {
				errs = append(errs, release4(link, n.IPv4.Prefix, l))
			} else {
				errs = append(errs, release6(link, duid, l))
			}
		}
		return errors.Join(errs...)
	})
}

// release4 sends a DHCPRELEASE to the address that dnsmasq has in the subnet, by which it is known.
func release4(link *net.Interface, subnet netip.Prefix, l lease) error {
	server, err := addressIn(link, subnet)
	if err != nil {
		return err
	}
	return send(link, unix.AF_INET, &unix.SockaddrInet4{Port: serverPort4, Addr: server.As4()}, release4Message(l, server))
}

// release6 sends a RELEASE to the group of servers, in which dnsmasq is.
func release6(link *net.Interface, duid string, l lease) error {
	to := &unix.SockaddrInet6{Port: serverPort6, ZoneId: uint32(link.Index), Addr: allServers.As16()}
	return send(link, unix.AF_INET6, to, release6Message(l, duid))
}

// addressIn returns the address that an interface has in a subnet.
func addressIn(link *net.Interface, subnet netip.Prefix) (netip.Addr, error) {
	addrs, err := link.Addrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && subnet.Contains(p.Addr()) {
			return p.Addr(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("find address in %s on %s: %w", subnet, link.Name, unix.EADDRNOTAVAIL)
}

// send sends a datagram from an interface in the calling thread's namespace.
func send(link *net.Interface, family int, to unix.Sockaddr, message []byte) error {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	err = unix.BindToDevice(fd, link.Name)
	if err == nil {
		err = unix.Sendto(fd, message, 0, to)
	}
	if err = errors.Join(err, unix.Close(fd)); err != nil {
		return fmt.Errorf("send from %s: %w", link.Name, err)
	}
	return nil
}

// Codes of RFC 2131 and 2132.
const (
	bootRequest      = 1
	ethernet         = 1
	optMessageType   = 53
	optServer        = 54
	optClient        = 61
	optEnd           = 255
	messageRelease   = 7
	bootFields       = 236
	clientAddrOffset = 12
	macOffset        = 28
)

// magic is what options of DHCPv4 begin with.
var magic = []byte{99, 130, 83, 99}

// release4Message is a DHCPRELEASE (RFC 2131, 4.4.6).
func release4Message(l lease, server netip.Addr) []byte {
	m := make([]byte, bootFields, bootFields+len(magic)+optionsRoom)
	m[0], m[1], m[2] = bootRequest, ethernet, macLen
	copy(m[clientAddrOffset:], l.addr.AsSlice())
	mac, _ := fromColons(l.mac)
	copy(m[macOffset:], mac)
	m = append(m, magic...)
	m = append(m, optMessageType, 1, messageRelease)
	m = append(append(m, optServer, net.IPv4len), server.AsSlice()...)
	if l.id != "" {
		m = append(append(m, optClient, byte(len(l.id))), l.id...)
	}
	return append(m, optEnd)
}

// optionsRoom is enough for the options of a release.
const optionsRoom = 300

// Codes of RFC 8415.
const (
	messageRelease6 = 8
	opt6Client      = 1
	opt6Server      = 2
	opt6Association = 3 // IA_NA
	opt6Address     = 5 // IAADDR
)

// release6Message is a RELEASE (RFC 8415, 18.2.7). The number of the transaction is nobody's concern.
func release6Message(l lease, duid string) []byte {
	var times [8]byte // lifetimes, or when to renew: of no meaning here
	address := option6(opt6Address, string(l.addr.AsSlice())+string(times[:]))
	iaid := binary.BigEndian.AppendUint32(nil, l.iaid)
	return []byte(strings.Join([]string{
		string([]byte{messageRelease6, 0, 0, 1}),
		option6(opt6Client, l.id),
		option6(opt6Server, duid),
		option6(opt6Association, string(iaid)+string(times[:])+address),
	}, ""))
}

func option6(code uint16, value string) string {
	head := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, code), uint16(len(value)))
	return string(head) + value
}
