// SPDX-License-Identifier: Apache-2.0

package httpd_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"go.uber.org/goleak"

	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/httpd"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/store"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t *testing.T, network string) endpoint.Endpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return endpoint.Endpoint{Network: network, Address: netip.MustParseAddrPort(l.Addr().String()), Listener: l}
}

// whoami puts an instance into a network, at the address that the tests call from.
func whoami(s *store.Store, network, name string) {
	s.Put(&store.Entry{
		Instance: &instance.Instance{UUID: name},
		HTTP: atMetadata(document.Directory(nil, document.Entry{
			Name: "name", Node: document.File(document.Text(name))})),
		Keys: []store.Key{{Network: network, Address: netip.MustParseAddr("127.0.0.1")}},
	})
}

func get(ctx context.Context, e endpoint.Endpoint) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.Address.String()+"/name", nil)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

func mustGet(t *testing.T, e endpoint.Endpoint, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if got, err := get(ctx, e); err != nil || got != want {
		t.Errorf("ask network %s: %q, %v; want %q", e.Network, got, err, want)
	}
}

// start runs a server and returns what stops it and waits for its end.
func start(t *testing.T, board *endpoint.Board, s *store.Store, data <-chan struct{}) (*httpd.Server, func()) {
	t.Helper()
	log, _ := logtest.NewNullLogger()
	server := &httpd.Server{Board: board, Store: s, Data: data, Log: log}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	stop := func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	return server, stop
}

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// The same caller, asking on two endpoints, is two instances; a third endpoint joins, one leaves.
func TestServerConverges(t *testing.T) {
	t.Parallel()
	board, s := endpoint.NewBoard(), store.New()
	blue, green, red := listen(t, "blue"), listen(t, "green"), listen(t, "red")
	for _, n := range []string{"blue", "green", "red"} {
		whoami(s, n, "guest of "+n)
	}
	board.Post([]endpoint.Endpoint{blue, green})
	server, stop := start(t, board, s, closed())
	<-server.Ready()
	mustGet(t, blue, "guest of blue")
	mustGet(t, green, "guest of green")

	board.Post([]endpoint.Endpoint{green, red})
	blue.Listener.Close()
	mustGet(t, red, "guest of red")
	mustGet(t, green, "guest of green")
	if body, err := get(t.Context(), blue); err == nil {
		t.Errorf("endpoint that is gone answers %q", body)
	}
	stop()
}

// Before the data is there nobody is told that there is nothing: the connection waits.
func TestServerWaitsForData(t *testing.T) {
	t.Parallel()
	board, s := endpoint.NewBoard(), store.New()
	blue := listen(t, "blue")
	board.Post([]endpoint.Endpoint{blue})
	data := make(chan struct{})
	server, stop := start(t, board, s, data)
	answer := make(chan string)
	go func() {
		body, err := get(t.Context(), blue)
		if err != nil {
			body = err.Error()
		}
		answer <- body
	}()
	select {
	case <-server.Ready():
		t.Error("ready without data")
	case got := <-answer:
		t.Errorf("answered %q without data", got)
	default:
	}
	whoami(s, "blue", "guest")
	close(data)
	if got := <-answer; got != "guest" {
		t.Errorf("answer = %q", got)
	}
	stop()
}

// The sockets outlive the server: who connects while there is none is served by the next.
func TestSocketsOutliveServer(t *testing.T) {
	t.Parallel()
	board, s := endpoint.NewBoard(), store.New()
	whoami(s, "blue", "guest")
	blue := listen(t, "blue")
	board.Post([]endpoint.Endpoint{blue})
	first, stop := start(t, board, s, closed())
	<-first.Ready()
	mustGet(t, blue, "guest")
	stop()
	conn, err := net.Dial("tcp", blue.Address.String())
	if err != nil {
		t.Fatalf("connection refused while no server runs: %v", err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /name HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_, stop = start(t, board, s, closed())
	if body, err := io.ReadAll(conn); err != nil || string(body[len(body)-5:]) != "guest" {
		t.Errorf("queued connection got %q, %v", body, err)
	}
	stop()
}
