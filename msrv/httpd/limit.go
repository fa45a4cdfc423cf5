// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"net"
	"net/netip"
	"sync"

	"github.com/sirupsen/logrus"
)

// Limits on open connections. One costs about 16 KiB and a file descriptor, of which the process has a
// limited number for all networks together. Clients use one or two at a time. Callers that nobody knows
// have a share of their own, so that a guest which takes many addresses leaves the others theirs.
const (
	MaxCallerConnections   = 64
	MaxNetworkConnections  = 1024
	MaxStrangerConnections = 128
)

// limited is a listener that closes the connections that are too many, whether those of one caller or
// those of the network, so that a guest that opens all it can harms others little, and other networks
// not at all.
type limited struct {
	net.Listener
	knows func(netip.Addr) bool
	log   logrus.FieldLogger

	mu        sync.Mutex
	callers   map[netip.Addr]*caller
	members   pool // connections of callers that were known when they came
	strangers pool
}

// pool is a number of connections that share a limit.
type pool struct {
	open, limit int
	told        bool // that they are too many was logged
}

// caller is an address that has connections.
type caller struct {
	open int
	told bool // that it has too many was logged
}

// limit makes a listener with limits; knows tells the callers that somebody knows from strangers.
func limit(l net.Listener, knows func(netip.Addr) bool, log logrus.FieldLogger) net.Listener {
	return &limited{
		Listener: l, knows: knows, log: log, callers: make(map[netip.Addr]*caller),
		members: pool{limit: MaxNetworkConnections}, strangers: pool{limit: MaxStrangerConnections},
	}
}

// Accept returns the next connection that is not one too many.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		if err == nil {
			if in := l.admit(from.Addr()); in != nil {
				return &counted{Conn: conn, gone: sync.OnceFunc(func() { l.dismiss(from.Addr(), in) })}, nil
			}
		}
		_ = conn.Close() // nothing was said yet
	}
}

// admit counts a connection and returns the pool that it is in; nil for one too many. That is logged once,
// until the caller has no connection any more, or the pool has room again.
func (l *limited) admit(from netip.Addr) *pool {
	known := l.knows(from.Unmap().WithZone(""))
	l.mu.Lock()
	defer l.mu.Unlock()
	in, whose := &l.strangers, "of callers that nobody knows"
	if known {
		in, whose = &l.members, "in one network"
	}
	if in.open >= in.limit {
		if !in.told {
			l.log.WithField("limit", in.limit).Warn("too many connections " + whose)
		}
		in.told = true
		return nil
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
		return nil
	}
	c.open++
	in.open++
	return in
}

// dismiss counts a connection that has ended.
func (l *limited) dismiss(from netip.Addr, in *pool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	in.open--
	in.told = in.told && in.open > in.limit/2
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
