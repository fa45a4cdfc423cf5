// SPDX-License-Identifier: Apache-2.0

package httpd_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/httpd"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/store"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
)

// patience is how long an answer may take before a test gives up.
const patience = 20 * time.Second

// served is a server on two networks whose guests are at 127.0.0.1, which is also at 127.0.4.1, and 127.0.0.2; in blue
// there are more, at 127.0.1.1 to 127.0.1.32.
type served struct {
	t           *testing.T
	blue, green endpoint.Endpoint
	log         *logtest.Hook
}

const bigSize = 500_000

func serve(t *testing.T) *served {
	t.Helper()
	s := store.New()
	w := &served{t: t, blue: listen(t, "blue"), green: listen(t, "green")}
	big := document.File(document.New(document.TypeBytes, []byte(strings.Repeat("x", bigSize))))
	for _, network := range []string{"blue", "green"} {
		for i := 1; i < 3; i++ {
			s.Put(&store.Entry{
				Instance: &instance.Instance{UUID: fmt.Sprint(network, i)},
				HTTP: atMetadata(document.Directory(nil,
					document.Entry{Name: "name", Node: document.File(document.Text(network))}, document.Entry{Name: "big", Node: big})),
				Keys: []store.Key{
					{Network: network, Address: netip.AddrFrom4([4]byte{127, 0, 0, byte(i)})},
					{Network: network, Address: netip.AddrFrom4([4]byte{127, 0, byte(3 + i), 1})},
				},
			})
		}
	}
	for i := 1; i <= 32; i++ {
		s.Put(&store.Entry{
			Instance: &instance.Instance{UUID: fmt.Sprint("more", i)}, HTTP: atMetadata(document.Directory(nil)),
			Keys: []store.Key{{Network: "blue", Address: netip.AddrFrom4([4]byte{127, 0, 1, byte(i)})}},
		})
	}
	board := endpoint.NewBoard()
	board.Post([]endpoint.Endpoint{w.blue, w.green})
	log, hook := logtest.NewNullLogger()
	w.log = hook
	server := &httpd.Server{Board: board, Store: s, Data: closed(), Log: log}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	<-server.Ready()
	return w
}

// dial connects as 127.0.x.y.
func (w *served) dial(to endpoint.Endpoint, x, y byte) net.Conn {
	w.t.Helper()
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, x, y)}}
	conn, err := d.Dial("tcp", to.Address.String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	return conn
}

// ask asks for a name over a connection, which stays open. It returns false when the connection is closed instead.
func (w *served) ask(conn net.Conn) (string, bool) {
	w.t.Helper()
	if _, err := io.WriteString(conn, "GET /name HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return "", false
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
			w.t.Fatalf("neither answered nor closed: %v", err)
		}
		return "", false
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(body), true
}

// askUntil asks over new connections until there is room for one: that an old one is gone is noticed a moment later.
func (w *served) askUntil(to endpoint.Endpoint, y byte) {
	w.t.Helper()
	for late := time.Now().Add(patience); time.Now().Before(late); {
		conn := w.dial(to, 0, y)
		got, ok := w.ask(conn)
		conn.Close()
		if ok {
			if got != to.Network {
				w.t.Errorf("answered %q, want %q", got, to.Network)
			}
			return
		}
	}
	w.t.Fatal("there is no room though connections were closed")
}

// warnings returns what was logged as a warning.
func (w *served) warnings() (all []string) {
	for _, e := range w.log.AllEntries() {
		if e.Level == logrus.WarnLevel {
			all = append(all, e.Message)
		}
	}
	return all
}

func wantOne(t *testing.T, got []string, want string) {
	t.Helper()
	if len(got) != 1 || got[0] != want {
		t.Errorf("warnings are %q, want one: %q", got, want)
	}
}

// A guest that opens all it can gets a share, and its neighbour is answered as ever.
func TestConnectionsOfOneCaller(t *testing.T) {
	t.Parallel()
	w := serve(t)
	var open []net.Conn
	for range httpd.MaxCallerConnections / 2 {
		open = append(open, w.dial(w.blue, 0, 1), w.dial(w.blue, 4, 1)) // it has two addresses
	}
	if got, ok := w.ask(open[len(open)-1]); !ok || got != "blue" {
		t.Errorf("last connection within the limit: %q, %v", got, ok)
	}
	for range 10 {
		if got, ok := w.ask(w.dial(w.blue, 0, 1)); ok {
			t.Fatalf("a connection over the limit is answered %q", got)
		}
	}
	for _, other := range []struct {
		to endpoint.Endpoint
		y  byte
	}{{w.blue, 2}, {w.green, 1}} {
		if got, ok := w.ask(w.dial(other.to, 0, other.y)); !ok || got != other.to.Network {
			t.Errorf("127.0.0.%d in %s: %q, %v", other.y, other.to.Network, got, ok)
		}
	}
	wantOne(t, w.warnings(), "too many connections of one caller")
	open[0].Close()
	w.askUntil(w.blue, 1)
}

// Nor do many callers of one network take the connections of another.
func TestConnectionsOfOneNetwork(t *testing.T) {
	t.Parallel()
	w := serve(t)
	var open []net.Conn
	for i := range httpd.MaxNetworkConnections {
		open = append(open, w.dial(w.blue, 1, byte(1+i%32)))
	}
	for range 10 {
		if got, ok := w.ask(w.dial(w.blue, 0, 1)); ok {
			t.Fatalf("a connection over the limit is answered %q", got)
		}
	}
	if got, ok := w.ask(w.dial(w.green, 0, 1)); !ok || got != "green" {
		t.Errorf("the other network: %q, %v", got, ok)
	}
	wantOne(t, w.warnings(), "too many connections in one network")
	for _, conn := range open {
		conn.Close()
	}
	w.askUntil(w.blue, 1)
}

// Callers that nobody knows, such as a guest that takes one address after the other, have a share of their own.
func TestConnectionsOfStrangers(t *testing.T) {
	t.Parallel()
	w := serve(t)
	var open []net.Conn
	for i := range httpd.MaxStrangerConnections {
		open = append(open, w.dial(w.blue, 2, byte(1+i%8)))
	}
	for range 10 {
		if got, ok := w.ask(w.dial(w.blue, 3, 1)); ok {
			t.Fatalf("a stranger over the limit is answered %q", got)
		}
	}
	if got, ok := w.ask(w.dial(w.blue, 0, 1)); !ok || got != "blue" {
		t.Errorf("one that is known: %q, %v", got, ok)
	}
	wantOne(t, w.warnings(), "too many connections in one network")
	for _, conn := range open {
		conn.Close()
	}
	if got, ok := w.ask(w.dial(w.green, 3, 1)); !ok || !strings.HasPrefix(got, "404") {
		t.Errorf("a stranger in the other network: %q, %v", got, ok)
	}
}

// Whatever a guest sends, it gets an answer of a known kind and a bounded size, and the next caller a good one.
func TestAbusiveRequests(t *testing.T) {
	t.Parallel()
	w := serve(t)
	get := func(path, header string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header + "\r\n"
	}
	overlapping := strings.TrimSuffix(strings.Repeat("0-,", 3000), ",")
	for _, tt := range []struct {
		name, send string
		want       string // beginning of the answer; "" when there may be none
		most       int    // bytes of it
	}{
		{"header of a megabyte", get("/name", "X: "+strings.Repeat("a", 1<<20)+"\r\n"), "", 1 << 10},
		{"path of a megabyte", get("/"+strings.Repeat("a", 1<<20), ""), "", 1 << 10},
		{"long path within the limit", get(strings.Repeat("/a", httpd.MaxHeaderBytes/4), ""), "HTTP/1.1 404 ", 1 << 10},
		{"thousands of headers", get("/name", strings.Repeat("X: y\r\n", 1<<16)), "", 1 << 10},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 4", 1 << 10},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "HTTP/1.1 400 ", 1 << 10},
		{"no method of ours", "BREW /name HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 405 ", 1 << 10},
		{"options of everything", "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 404 ", 1 << 10},
		{"proxy request", "CONNECT 192.0.2.1:22 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 40", 1 << 10},
		{"two hosts", "GET /name HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400 ", 1 << 10},
		{"overlapping ranges", get("/big", "Range: bytes="+overlapping+"\r\n"), "HTTP/1.1 200 ", bigSize + 1<<10},
		{"range beyond numbers", get("/big", "Range: bytes=99999999999999999999-\r\n"), "HTTP/1.1 416 ", 1 << 10},
		{"control characters", get("/%00%ff%0a%1b[31m", ""), "HTTP/1.1 404 ", 1 << 10},
		{"both lengths", get("/name", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", "HTTP/1.1 ", 1 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := &served{t: t, blue: w.blue, green: w.green}
			conn := w.dial(w.blue, 0, 1)
			_, sendErr := io.WriteString(conn, tt.send) // it may hang up in the middle
			got, err := io.ReadAll(io.LimitReader(conn, int64(tt.most)+1))
			if !strings.HasPrefix(string(got), tt.want) || tt.want != "" && (err != nil || sendErr != nil) {
				t.Errorf("answer is %.80q, %v, %v, want %q…", got, err, sendErr, tt.want)
			}
			if len(got) > tt.most {
				t.Errorf("answer has more than %d bytes", tt.most)
			}
			if got, ok := w.ask(w.dial(w.blue, 0, 2)); !ok || got != "blue" {
				t.Errorf("the next caller got %q, %v", got, ok)
			}
		})
	}
}

// Requests in a row over one connection are answered in a row, and logged a line each.
func TestPipelining(t *testing.T) {
	t.Parallel()
	w := serve(t)
	conn := w.dial(w.blue, 0, 1)
	const requests = 1000
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(conn, strings.Repeat("GET /name HTTP/1.1\r\nHost: x\r\n\r\n", requests))
		sent <- err
	}()
	r := bufio.NewReader(conn)
	for i := range requests {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		body, err := io.ReadAll(res.Body)
		if res.Body.Close(); err != nil || string(body) != "blue" {
			t.Fatalf("answer %d is %q, %v", i, body, err)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if n := len(w.log.AllEntries()); n > requests {
		t.Errorf("%d lines in the log for %d requests", n, requests)
	}
}
