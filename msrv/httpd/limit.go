// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"net"
	"net/netip"
	"sync"

	"github.com/sirupsen/logrus"
)

// Limits on open connections. One costs about 16 KiB and a file descriptor, of which the process has a
// limited number for all networks together. Clients use one or two at a time. What counts is the instance,
// not the address that it asks from or at. Callers that nobody knows have a share of their own, so that a
// guest which takes many addresses, or another's, leaves the others theirs.
const (
	MaxCallerConnections   = 64
	MaxNetworkConnections  = 1024
	MaxStrangerConnections = 128
)

// connections are the open ones of a network, over all its endpoints and both IP versions. A guest that
// opens all it can harms others little, and other networks not at all. It is used by any number of
// goroutines.
type connections struct {
	log logrus.FieldLogger

	mu        sync.Mutex
	callers   map[string]*pool // by instance, and strangers by address
	members   pool             // of callers that were known when they came
	strangers pool
}

// pool is a number of connections that share a limit.
type pool struct {
	open, limit int
	told        bool // that they are too many was logged
}

// newConnections returns a network's connections before there are any.
func newConnections(log logrus.FieldLogger) *connections {
	return &connections{
		log: log, callers: make(map[string]*pool),
		members: pool{limit: MaxNetworkConnections}, strangers: pool{limit: MaxStrangerConnections},
	}
}

// limited is a listener that closes the connections that are too many, and those of callers that are nobody only because
// the network is flooded: a guest tries again after that, but takes for final that it has no metadata. Of the others it
// finds out where they come from.
type limited struct {
	net.Listener
	callers callers
	all     *connections
}

// Accept returns the next connection that is not to be closed.
func (l limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address, err := callerAddress(conn.RemoteAddr().String())
		if err == nil {
			mac, lost := synMAC(conn)
			from := origin{address, mac}
			if whose := l.whose(from); whose != "" || !lost {
				if gone := l.all.admit(whose, address); gone != nil {
					return &counted{Conn: conn, from: from, gone: sync.OnceFunc(gone)}, nil
				}
			}
		}
		_ = conn.Close() // nothing was said yet
	}
}

// whose is the UUID of the instance that a connection is; "" for nobody's.
func (l limited) whose(from origin) string {
	who, err := l.callers.find(from)
	if err != nil {
		return ""
	}
	return who.entry.Instance.UUID
}

// admit counts a connection, of an instance or of nobody's, and returns what counts its end; nil for one too
// many. That is logged once, until the caller has no connection any more, or its network has room again.
func (c *connections) admit(whose string, from netip.Addr) (gone func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	share, who := &c.members, whose
	if whose == "" {
		share, who = &c.strangers, from.String()
	}
	if share.isFull() {
		c.tell(share, "too many connections in one network", logrus.Fields{"known": whose != ""})
		return nil
	}
	caller := c.callers[who]
	if caller == nil {
		caller = &pool{limit: MaxCallerConnections}
		c.callers[who] = caller
	}
	if caller.isFull() {
		c.tell(caller, "too many connections of one caller", logrus.Fields{"caller": from})
		return nil
	}
	caller.open++
	share.open++
	return func() { c.dismiss(who, caller, share) }
}

func (p *pool) isFull() bool { return p.open >= p.limit }

// tell logs, once, that a pool is full.
func (c *connections) tell(p *pool, what string, fields logrus.Fields) {
	if !p.told {
		c.log.WithField("limit", p.limit).WithFields(fields).Warn(what)
	}
	p.told = true
}

// dismiss counts a connection that has ended.
func (c *connections) dismiss(who string, caller, share *pool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	share.open--
	share.told = share.told && share.open > share.limit/2
	if caller.open--; caller.open == 0 {
		delete(c.callers, who)
	}
}

// counted is a connection that knows where it comes from, and tells when it is closed.
type counted struct {
	net.Conn
	from origin
	gone func()
}

// Close closes the connection.
func (c *counted) Close() error {
	defer c.gone()
	return c.Conn.Close()
}
