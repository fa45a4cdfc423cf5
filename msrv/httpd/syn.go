// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"encoding/binary"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/msrv/store"
)

// Where things are in a saved SYN: an Ethernet header (IEEE 802.3, 3.1.1), which the kernel keeps where the listener asked
// for it, and the packet behind it.
const (
	synSource  = 6 // MAC address of the sender
	synType    = 12
	synPacket  = 14
	synInitial = 256 // bytes: room for most of them, which have no IPv6 extension headers
)

// synMAC is the MAC address that a connection's SYN came from; zero when that is not known: the listener does not save
// SYNs, the kernel had so many of them that it answered with cookies (tcp_syncookies in tcp(7)), or the interface has no
// such addresses, as the loopback interface. The kernel tells it once. Lost says that it is the cookies: the connection
// after this one may have a SYN again.
func synMAC(conn net.Conn) (mac store.MAC, lost bool) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return store.MAC{}, false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return store.MAC{}, false
	}
	var syn []byte
	err = raw.Control(func(fd uintptr) {
		syn = savedSYN(fd)
		lost = len(syn) == 0 && savesSYN(fd)
	})
	if err != nil {
		return store.MAC{}, false // it is closed already
	}
	return sourceMAC(syn), lost
}

// savesSYN tells whether the listener that a connection comes from saves SYNs.
func savesSYN(fd uintptr) bool {
	saves, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_SAVE_SYN)
	return err == nil && saves != 0
}

// sourceMAC reads the sender out of a saved SYN; zero out of anything else.
func sourceMAC(syn []byte) store.MAC {
	if len(syn) <= synPacket {
		return store.MAC{}
	}
	version := syn[synPacket] >> 4
	switch binary.BigEndian.Uint16(syn[synType:]) {
	case unix.ETH_P_IP:
		if version != 4 {
			return store.MAC{}
		}
	case unix.ETH_P_IPV6:
		if version != 6 {
			return store.MAC{}
		}
	default:
		return store.MAC{}
	}
	return store.MAC(syn[synSource:synType])
}

// savedSYN is a connection's SYN as the kernel saved it; nil when it did not. What guests put in front of TCP may make it
// as long as a packet can be: the kernel says how long it is where the room does not do.
func savedSYN(fd uintptr) []byte {
	for size := uint32(synInitial); size > 0; {
		syn := make([]byte, size)
		got := size
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.IPPROTO_TCP, unix.TCP_SAVED_SYN,
			uintptr(unsafe.Pointer(&syn[0])), uintptr(unsafe.Pointer(&got)), 0) //nolint:gosec // x/sys has no getsockopt for bytes
		switch {
		case errno == 0:
			return syn[:got]
		case errno != unix.EINVAL || got <= size:
			return nil
		}
		size = got
	}
	return nil
}
