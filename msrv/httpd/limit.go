// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"net"
	"net/netip"
	"sync"

	"github.com/sirupsen/logrus"
)

// Limits on open connections. One costs about 16 KiB and a file descriptor, of which the process has a
// limited number for all networks together. Clients use one or two at a time.
const (
	MaxCallerConnections  = 64
	MaxNetworkConnections = 1024
)

// limited is a listener that closes the connections that are too many, whether those of one caller or
// those of the network, so that a guest that opens all it can harms others little, and other networks
// not at all.
type limited struct {
	net.Listener
	log logrus.FieldLogger

	mu      sync.Mutex
	open    int
	full    bool // that the network has too many was logged
	callers map[netip.Addr]*caller
}

// caller is an address that has connections.
type caller struct {
	open int
	told bool // that it has too many was logged
}

// limit makes a listener with limits.
func limit(l net.Listener, log logrus.FieldLogger) net.Listener {
	return &limited{Listener: l, log: log, callers: make(map[netip.Addr]*caller)}
}

// Accept returns the next connection that is not one too many.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		if err == nil && l.admit(from.Addr()) {
			return &counted{Conn: conn, gone: sync.OnceFunc(func() { l.dismiss(from.Addr()) })}, nil
		}
		_ = conn.Close() // nothing was said yet
	}
}

// admit counts a connection, unless it is one too many. That is logged once, until the caller has no
// connection any more, or the network has room again.
func (l *limited) admit(from netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= MaxNetworkConnections {
		if !l.full {
			l.log.WithField("limit", MaxNetworkConnections).Warn("too many connections in one network")
		}
		l.full = true
		return false
	}
	c := l.callers[from]
	if c == nil {
		c = &caller{}
		l.callers[from] = c
	}
	if c.open >= MaxCallerConnections {
		if !c.told {
			l.log.WithFields(logrus.Fields{"caller": from, "limit": MaxCallerConnections}).Warn("too many connections of one caller")
		}
		c.told = true
		return false
	}
	c.open++
	l.open++
	return true
}

// dismiss counts a connection that has ended.
func (l *limited) dismiss(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	l.full = l.full && l.open > MaxNetworkConnections/2
	c := l.callers[from]
	if c.open--; c.open == 0 {
		delete(l.callers, from)
	}
}

// counted is a connection that tells when it is closed.
type counted struct {
	net.Conn
	gone func()
}

// Close closes the connection.
func (c *counted) Close() error {
	defer c.gone()
	return c.Conn.Close()
}
