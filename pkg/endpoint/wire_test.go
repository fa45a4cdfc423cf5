// SPDX-License-Identifier: Apache-2.0

package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/pkg/endpoint"
)

func quiet() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

// bind opens a socket that others may be bound beside; port 0 for any.
func bind(t *testing.T, address string) *net.TCPListener {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		controlErr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		return errors.Join(controlErr, err)
	}}
	l, err := lc.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.(*net.TCPListener)
}

func at(l net.Listener, network string) endpoint.Endpoint {
	return endpoint.Endpoint{Network: network, Address: l.Addr().(*net.TCPAddr).AddrPort(), Listener: l}
}

// run runs a task until the function that it returns is called, which waits for its end.
func run(t *testing.T, task interface {
	Run(ctx context.Context) error
	Ready() <-chan struct{}
}) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- task.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// await returns the first set on a board that has these networks.
func await(t *testing.T, b *endpoint.Board, networks ...string) []endpoint.Endpoint {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var last []string
	for set := range b.Watch(ctx) {
		last = names(set)
		slices.Sort(last)
		if slices.Equal(last, networks) {
			slices.SortFunc(set, func(a, b endpoint.Endpoint) int { return strings.Compare(a.Network, b.Network) })
			return set
		}
	}
	t.Fatalf("the board has %q, want %q", last, networks)
	return nil
}

// exchange has somebody connect to an address and somebody accept on a listener.
func exchange(t *testing.T, l net.Listener, address netip.AddrPort) {
	t.Helper()
	client := dial(t, address)
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if server.RemoteAddr().String() != client.LocalAddr().String() {
		t.Errorf("accepted %s, want %s", server.RemoteAddr(), client.LocalAddr())
	}
}

func dial(t *testing.T, address netip.AddrPort) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 30 * time.Second}).DialContext(t.Context(), "tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// Endpoints arrive as they were posted, with sockets that can be accepted on; what changes, changes.
func TestHandOut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), strings.Repeat("a long folder ", 8), "endpoints.sock")
	here, there := endpoint.NewBoard(), endpoint.NewBoard()
	known := make(chan struct{})
	run(t, &endpoint.Sender{Board: here, Known: known, Path: path, Log: quiet()})
	r := &endpoint.Receiver{Board: there, Path: path, Log: quiet()}
	run(t, r)
	blue, green := at(bind(t, "127.0.0.1:0"), "blue"), at(bind(t, "[::1]:0"), "green")
	green.Role, green.Alone, green.Ports = endpoint.RouterPassword, true, "bn1"
	here.Post(nil)
	here.Post([]endpoint.Endpoint{blue, green})
	close(known)
	got := await(t, there, "blue", "green")
	<-r.Ready()
	for i, want := range []endpoint.Endpoint{blue, green} {
		exchange(t, got[i].Listener, want.Address)
		listener := got[i].Listener
		got[i].Listener, want.Listener = nil, nil
		if diff := cmp.Diff(want, got[i], cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("endpoint (-want +got):\n%s", diff)
		}
		got[i].Listener = listener
	}
	yellow := at(bind(t, "127.0.0.1:0"), "yellow")
	here.Post([]endpoint.Endpoint{green, yellow})
	now := await(t, there, "green", "yellow")
	if now[0].Listener != got[1].Listener {
		t.Error("an endpoint that stayed has another listener")
	}
	exchange(t, now[1].Listener, yellow.Address)
	if _, err := got[0].Listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept where the endpoint is gone: %v, want %v", err, net.ErrClosed)
	}
}

// A server that starts again is told everything. While it is away, connections queue.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "endpoints.sock")
	here := endpoint.NewBoard()
	run(t, &endpoint.Sender{Board: here, Path: path, Log: quiet()})
	blue := at(bind(t, "127.0.0.1:0"), "blue")
	here.Post([]endpoint.Endpoint{blue})
	for range 3 {
		waiting := dial(t, blue.Address)
		there := endpoint.NewBoard()
		stop := run(t, &endpoint.Receiver{Board: there, Path: path, Log: quiet()})
		got := await(t, there, "blue")
		conn, err := got[0].Listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if conn.RemoteAddr().String() != waiting.LocalAddr().String() {
			t.Errorf("accepted %s, want %s", conn.RemoteAddr(), waiting.LocalAddr())
		}
		stop()
		if set, _ := there.Snapshot(); len(set) != 0 {
			t.Errorf("%d endpoints on the board of a receiver that has ended", len(set))
		}
		_, _ = conn.Close(), waiting.Close()
	}
}

// While there is no manager, its endpoints stay; the next one's sockets take over, under the same listener, and what was
// queued before is accepted too.
func TestManagerRestarts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "endpoints.sock")
	there := endpoint.NewBoard()
	run(t, &endpoint.Receiver{Board: there, Path: path, Log: quiet()})
	first := bind(t, "127.0.0.1:0")
	address := first.Addr().(*net.TCPAddr).AddrPort()
	here := endpoint.NewBoard()
	here.Post([]endpoint.Endpoint{at(first, "blue"), at(bind(t, "127.0.0.1:0"), "green")})
	stop := run(t, &endpoint.Sender{Board: here, Path: path, Log: quiet()})
	listener := await(t, there, "blue", "green")[0].Listener
	stop()
	here.Post(nil) // as a manager does that ends
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	exchange(t, listener, address)
	if set, _ := there.Snapshot(); len(set) != 2 {
		t.Errorf("%d endpoints without a manager, want both", len(set))
	}
	queued := dial(t, address)
	defer queued.Close()
	next := endpoint.NewBoard()
	next.Post([]endpoint.Endpoint{at(bind(t, address.String()), "blue")})
	run(t, &endpoint.Sender{Board: next, Path: path, Log: quiet()})
	if now := await(t, there, "blue")[0].Listener; now != listener {
		t.Error("the next manager's endpoint has another listener")
	}
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.RemoteAddr().String() != queued.LocalAddr().String() {
		t.Errorf("accepted %s, want the one that was queued, %s", conn.RemoteAddr(), queued.LocalAddr())
	}
	// The old socket goes once it was looked at: from then on there is the new one alone.
	for range 20 {
		exchange(t, listener, address)
	}
}

// A wait for connections survives the change of sockets, and can be ended from outside.
func TestHandover(t *testing.T) {
	t.Parallel()
	first := bind(t, "127.0.0.1:0")
	address := first.Addr().(*net.TCPAddr).AddrPort()
	h := endpoint.NewHandover(first)
	defer h.Close()
	accepted := make(chan error, 1)
	go func() {
		conn, err := h.Accept()
		if err == nil {
			err = conn.Close()
		}
		accepted <- err
	}()
	second := bind(t, address.String())
	h.Replace(second)
	client := dial(t, address)
	defer client.Close()
	if err := <-accepted; err != nil {
		t.Error(err)
	}
	go func() {
		_, err := h.Accept()
		accepted <- err
	}()
	if err := h.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Accept after its deadline: %v, want %v", err, os.ErrDeadlineExceeded)
	}
}

// What a peer sends that is none of ours ends the connection, and what was there stays.
func TestStrangeManager(t *testing.T) {
	t.Parallel()
	add := func(address net.Addr) string {
		return fmt.Sprintf(`{"add":{"id":1,"network":"blue","role":0,"address":%q}}`, address)
	}
	tcp := bind(t, "127.0.0.1:0")
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close() })
	file := func(f interface{ File() (*os.File, error) }) int {
		file, err := f.File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() })
		return int(file.Fd())
	}
	socket, noListener := file(tcp), file(udp.(*net.UDPConn))
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = null.Close() })
	for name, tt := range map[string]struct {
		datagrams []string
		fds       []int
	}{
		"no message":            {[]string{"hello"}, nil},
		"no socket":             {[]string{add(tcp.Addr())}, nil},
		"two sockets":           {[]string{add(tcp.Addr())}, []int{socket, socket}},
		"a lot of sockets":      {[]string{add(tcp.Addr())}, slices.Repeat([]int{socket}, 30)},
		"a datagram socket":     {[]string{add(tcp.Addr())}, []int{noListener}},
		"a file":                {[]string{add(tcp.Addr())}, []int{int(null.Fd())}},
		"a socket with the end": {[]string{`{"complete":true}`}, []int{socket}},
		"twice the same":        {[]string{add(tcp.Addr()), add(tcp.Addr())}, []int{socket}},
		"gone, never there":     {[]string{`{"remove":3}`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "endpoints.sock")
			l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			there := endpoint.NewBoard()
			run(t, &endpoint.Receiver{Board: there, Path: path, Log: quiet()})
			conn, err := l.AcceptUnix()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for _, d := range tt.datagrams {
				if _, _, err := conn.WriteMsgUnix([]byte(d), unix.UnixRights(tt.fds...), nil); err != nil {
					t.Fatal(err)
				}
			}
			_, _ = conn.Write([]byte(`{"complete":true}`)) // the connection may have ended by now
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("connection: %v, want its end", err)
			}
			if set, _ := there.Snapshot(); set != nil {
				t.Errorf("%d endpoints were posted", len(set))
			}
		})
	}
}

// A server that takes nothing holds up nobody.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "endpoints.sock")
	here, there := endpoint.NewBoard(), endpoint.NewBoard()
	s := &endpoint.Sender{Board: here, Path: path, Log: quiet()}
	run(t, s)
	<-s.Ready()
	slow, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	const many = 1000
	l := bind(t, "127.0.0.1:0")
	set, want := make([]endpoint.Endpoint, many), make([]string, many)
	for i := range set {
		want[i] = fmt.Sprintf("network-%04d", i)
		set[i] = at(&other{l}, want[i])
	}
	here.Post(set)
	run(t, &endpoint.Receiver{Board: there, Path: path, Log: quiet()})
	await(t, there, want...)
	here.Post(set[:1])
	await(t, there, want[0])
}

// other is another endpoint's listener on the same socket.
type other struct{ *net.TCPListener }

// A server that connects again and again takes no more than so many places, and who comes when one is free gets it.
func TestTooManyServers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "endpoints.sock")
	here := endpoint.NewBoard()
	here.Post(nil)
	s := &endpoint.Sender{Board: here, Path: path, Log: quiet()}
	run(t, s)
	<-s.Ready()
	served := func() (*net.UnixConn, bool) {
		conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		n, err := conn.Read(make([]byte, endpoint.MaxMessage))
		return conn, n > 0 && err == nil
	}
	first, ok := served()
	for i := 1; ok && i < endpoint.MaxServers; i++ {
		_, ok = served()
	}
	if !ok {
		t.Fatal("there are fewer places than there should be")
	}
	if _, ok := served(); ok {
		t.Error("one too many is served")
	}
	_ = first.Close()
	for end := time.Now().Add(10 * time.Second); ; {
		if _, ok := served(); ok {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a place that was given up is not free")
		}
	}
}
