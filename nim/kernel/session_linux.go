// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/pkg/netns"
)

// Session is work on one namespace. It is used by one goroutine, and closed by it.
type Session struct {
	name  string
	path  string
	share string // directory to be shared before the namespace is made; "": none
	// Both are nil while the namespace is not there.
	ns     *netns.Namespace
	handle *netlink.Handle
	// index of the interfaces that are known by name; what is missing is asked for.
	index map[string]int
}

// Open returns a session on the namespace of that name, which may be missing.
func (k *Kernel) Open(name string) (*Session, error) {
	s := &Session{name: name, path: k.Path(name), index: map[string]int{}}
	if k.share {
		s.share = k.dir
	}
	if err := s.open(); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, netns.ErrNotNamespace) {
		return nil, err
	}
	return s, nil
}

func (s *Session) open() error {
	ns, err := netns.Open(s.path)
	if err != nil {
		return err
	}
	handle, err := netlink.NewHandleAt(ns.Handle(), unix.NETLINK_ROUTE)
	if err != nil {
		return errors.Join(fmt.Errorf("open netlink in %q: %w", s.name, err), ns.Close())
	}
	s.ns, s.handle = ns, handle
	return nil
}

// Close ends the session. The namespace stays.
func (s *Session) Close() error {
	if s.ns == nil {
		return nil
	}
	s.handle.Close()
	err := s.ns.Close()
	s.ns, s.handle = nil, nil
	clear(s.index)
	return err
}

// ID returns the namespace's identity, which changes when it is deleted and made again; 0 when it is missing.
func (s *Session) ID() uint64 {
	if s.ns == nil {
		return 0
	}
	return s.ns.ID()
}

// Index returns an interface's index as the session last saw it; 0 when it did not see it.
func (s *Session) Index(link string) int { return s.index[link] }

// Listen opens listening TCP sockets in the namespace, whose addresses must be there. It returns as many as there are
// addresses: one that cannot be opened is nil and part of the error.
func (s *Session) Listen(addrs ...netip.AddrPort) ([]net.Listener, error) {
	open := make([]net.Listener, len(addrs))
	if len(addrs) == 0 {
		return open, nil
	}
	if s.ns == nil {
		return open, fmt.Errorf("listen on %s in %q: %w", addrs[0], s.name, fs.ErrNotExist)
	}
	err := s.ns.Do(func() error {
		var errs []error
		for i, addr := range addrs {
			l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
			if err != nil {
				errs = append(errs, err)
				continue
			}
			open[i] = l
		}
		return errors.Join(errs...)
	})
	if err != nil {
		err = fmt.Errorf("listen in %q: %w", s.name, err)
	}
	return open, err
}
