// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"net"
	"sync"
	"time"
)

// linger is how long a socket that has a successor is still accepted from: for what is queued there, and for those who are
// in the middle of their handshake. New ones are then the successor's, and so is whatever is left, where
// net.ipv4.tcp_migrate_req is set: both sockets are bound with SO_REUSEPORT.
const linger = 20 * time.Millisecond

// handover is a listener whose socket can be replaced by another one on the same address while connections are accepted:
// the manager binds anew when it starts again. It is used by any number of goroutines.
type handover struct {
	mu       sync.Mutex
	socket   *net.TCPListener
	old      []*net.TCPListener // those that it replaced, to be accepted from first
	lingers  bool               // the time of the first of them runs
	deadline time.Time
}

func newHandover(socket *net.TCPListener) *handover { return &handover{socket: socket} }

// replace has connections accepted from another socket, after those that the present one still has.
func (h *handover) replace(socket *net.TCPListener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.socket
	h.socket, h.old = socket, append(h.old, before)
	_ = socket.SetDeadline(h.deadline)
	_ = before.SetDeadline(time.Unix(1, 0)) // who waits for a connection there comes back for the next socket
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	for {
		from, last := h.next()
		conn, err := from.Accept()
		switch {
		case err == nil:
			return conn, nil
		case !last:
			h.retire(from)
		case h.is(from):
			return nil, err
		}
	}
}

// next returns the socket to accept from, and whether it is the one without a successor.
func (h *handover) next() (from *net.TCPListener, last bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.old) == 0 {
		return h.socket, true
	}
	if !h.lingers {
		h.lingers = true
		_ = h.old[0].SetDeadline(time.Now().Add(linger)) // a closed one says so at Accept
	}
	return h.old[0], false
}

// is says whether a socket is the one without a successor.
func (h *handover) is(socket *net.TCPListener) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.socket == socket
}

// retire closes an old socket, whose time is over.
func (h *handover) retire(socket *net.TCPListener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.old) > 0 && h.old[0] == socket {
		_ = socket.Close() // what is queued there by now is the kernel's to hand on
		h.old, h.lingers = h.old[1:], false
	}
}

// SetDeadline ends the waiting for connections at a time; none for the zero time. Old sockets wait no longer than linger.
func (h *handover) SetDeadline(t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deadline = t
	return h.socket.SetDeadline(t)
}

// Close implements net.Listener.
func (h *handover) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.old {
		_ = o.Close() // the successor's error says more
	}
	h.old = nil
	return h.socket.Close()
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.socket.Addr()
}
