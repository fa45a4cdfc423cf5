// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// backlog is how many connections wait for one who accepts them; Linux takes net.core.somaxconn where that is less.
const backlog = 4096

// saveLinkHeader has TCP_SAVE_SYN keep the SYN from its link-layer header on, which tells the caller's MAC address.
// Kernels before 5.10 do not have it.
const saveLinkHeader = 2

// Listen opens listening TCP sockets in the namespace, each bound to its address and, if device is not "", to that
// interface. It returns as many as there are addresses: one that cannot be opened is nil and part of the error. An IPv6
// address need not be there yet, for it takes the kernel a second to find out that it may be.
//
// Others of the same user may listen on the same addresses: a manager that is started again need not wait for those that
// still hold the sockets of the one before. Connections keep the SYN that they began with (TCP_SAVED_SYN).
func (s *Session) Listen(device string, addrs ...netip.AddrPort) ([]net.Listener, error) {
	open := make([]net.Listener, len(addrs))
	if len(addrs) == 0 {
		return open, nil
	}
	if s.here == nil {
		return open, fmt.Errorf("listen on %s in %q: %w", addrs[0], s.path, fs.ErrNotExist)
	}
	sockets, errs := make([]int, len(addrs)), make([]error, len(addrs))
	if err := s.here.ns.Do(func() error {
		for i, addr := range addrs {
			sockets[i], errs[i] = s.here.listen(device, addr)
		}
		return nil
	}); err != nil {
		return open, err
	}
	for i, addr := range addrs {
		if errs[i] == nil {
			open[i], errs[i] = listener(sockets[i])
		}
		if errs[i] != nil {
			errs[i] = fmt.Errorf("listen on %s in %q: %w", addr, s.path, errs[i])
		}
	}
	return open, errors.Join(errs...)
}

// listener makes a socket a listener of Go's, which takes it over.
func listener(socket int) (net.Listener, error) {
	f := os.NewFile(uintptr(socket), "")
	l, err := net.FileListener(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return l, nil
}

// listen opens one socket in the calling thread's namespace, which is s. It does so without package net, which knows the
// interfaces of one namespace only, and takes their names in another one for the same.
func (s *space) listen(device string, addr netip.AddrPort) (socket int, err error) {
	to, err := s.sockaddr(addr)
	if err != nil {
		return 0, err
	}
	family := unix.AF_INET
	if addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	if socket, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, fmt.Errorf("open socket: %w", err)
	}
	if err := errors.Join(prepare(socket, family, device), unix.Bind(socket, to), unix.Listen(socket, backlog)); err != nil {
		return 0, errors.Join(err, unix.Close(socket))
	}
	return socket, nil
}

// sockaddr returns an address as the kernel takes it.
func (s *space) sockaddr(addr netip.AddrPort) (unix.Sockaddr, error) {
	if addr.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}, nil
	}
	to := &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
	if zone := addr.Addr().Zone(); zone != "" {
		l, err := s.link(zone)
		if err != nil {
			return nil, err
		}
		to.ZoneId = uint32(l.Attrs().Index)
	}
	return to, nil
}

// prepare sets what has to be set before a socket listens.
func prepare(socket, family int, device string) error {
	type option struct{ level, name, value int }
	options := []option{{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1}, {unix.SOL_SOCKET, unix.SO_REUSEPORT, 1}}
	if family == unix.AF_INET6 {
		options = append(options, option{unix.SOL_IPV6, unix.IPV6_V6ONLY, 1}, option{unix.SOL_IPV6, unix.IPV6_FREEBIND, 1})
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(socket, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if device != "" {
		if err := unix.BindToDevice(socket, device); err != nil {
			return fmt.Errorf("bind to interface %q: %w", device, err)
		}
	}
	return tolerate(unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_SAVE_SYN, saveLinkHeader), unix.EINVAL)
}
