// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"net"
	"sync"
	"syscall"
)

// wire is a network of one listener, in memory, so that a test in a bubble need not wait for time to pass.
type wire struct {
	mu sync.Mutex
	on *end // nil: nobody listens
}

// listen is for controller.Config.
func (w *wire) listen() (net.Listener, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = &end{conns: make(chan net.Conn), closed: make(chan struct{})}
	return w.on, nil
}

// dial is for http.Transport.
func (w *wire) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	w.mu.Lock()
	on := w.on
	w.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: "wire", Err: syscall.ECONNREFUSED}
	if on == nil {
		return nil, refused
	}
	ours, theirs := net.Pipe()
	select {
	case on.conns <- theirs:
		return ours, nil
	case <-on.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// end is a listener on a wire.
type end struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (e *end) Accept() (net.Conn, error) {
	select {
	case c := <-e.conns:
		return c, nil
	case <-e.closed:
		return nil, net.ErrClosed
	}
}

func (e *end) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}

func (e *end) Addr() net.Addr { return address{} }

type address struct{}

func (address) Network() string { return "wire" }
func (address) String() string  { return "localhost:443" }
