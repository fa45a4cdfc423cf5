// SPDX-License-Identifier: Apache-2.0

package httpd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/httpd"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/store"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
)

// services are some whose guards are these.
func services(guards ...dialect.Guard) []dialect.Service {
	all := make([]dialect.Service, len(guards))
	for i, g := range guards {
		all[i].Guard = g
	}
	return all
}

// echo is a guard that answers below "echo": what it was asked, and whom it was told of.
func echo(r *dialect.Request) *dialect.Answer {
	if !strings.HasPrefix(r.Path, "echo") {
		return nil
	}
	body, err := r.ReadBody(16)
	if err != nil {
		return dialect.Refuse(http.StatusBadRequest)
	}
	r.Count("echoed")
	adapter := "no adapter"
	if r.Adapter != nil {
		adapter = r.Adapter.Name
	}
	text := fmt.Sprintf("%s %s %q of %s on %s with %s", r.Method, r.Path, body, r.Instance.UUID, adapter, r.Header.Get("X"))
	return &dialect.Answer{Status: http.StatusAccepted, Type: "text/x-echo", Header: map[string]string{"X-Echo": "1"}, Body: []byte(text)}
}

// password is a guard that keeps what a guest posts.
func password(r *dialect.Request) *dialect.Answer {
	if r.Path != "password" {
		return nil
	}
	body, _ := r.ReadBody(100)
	if err := r.Reports.PutFirst("password", body); err != nil {
		return &dialect.Answer{Status: http.StatusInternalServerError, Body: []byte("sorry"), Err: err}
	}
	return &dialect.Answer{Status: http.StatusOK}
}

// kept is a guard that delivers a document.
func kept(r *dialect.Request) *dialect.Answer {
	if r.Path != "kept" {
		return nil
	}
	return &dialect.Answer{Document: document.New("text/x-kept", []byte("kept"))}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, method, target, body, caller string
		status                             int
		want                               string
	}{
		{"answers", "PUT", "//echo//x%2Fy/?z=1", "hi", "10.0.0.5:1", 202, `PUT echo/x/y "hi" of u-1 on front with 1`},
		{"knows the adapter", "GET", "/echo", "", "[fe80::6]:1", 202, `GET echo "" of u-1 on back with 1`},
		{"has nothing to say to HEAD", "HEAD", "/echo", "", "10.0.0.5:1", 202, ""},
		{"bounds the body", "PUT", "/echo", strings.Repeat("x", 17), "10.0.0.5:1", 400, "400 Bad Request\n"},
		{"leaves the rest to the tree", "GET", "/latest/user-data", "", "10.0.0.5:1", 200, secret},
		{"sees known callers only", "PUT", "/echo", "", "10.0.0.7:1", 404, "404 Not Found\n"},
		{"and those that may ask", "PUT", "/echo", "", "10.0.0.8:1", 404, "404 Not Found\n"},
		{"keeps reports", "POST", "/password", "pw", "10.0.0.5:1", 200, ""},
		{"delivers documents", "GET", "/kept", "", "10.0.0.5:1", 200, "kept"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h, _ := newGuarded(t)
			r := httptest.NewRequest(tt.method, "http://169.254.169.254"+tt.target, strings.NewReader(tt.body))
			r.Header.Set("X", "1")
			r.RemoteAddr = tt.caller
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.status || w.Body.String() != tt.want {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, tt.status, tt.want)
			}
			if tt.status == 202 {
				if w.Header().Get("X-Echo") != "1" || w.Header().Get("Content-Type") != "text/x-echo" {
					t.Errorf("headers %v", w.Header())
				}
				if got := w.Header().Get("Content-Length"); tt.method == "HEAD" && got == "0" {
					t.Error("HEAD does not tell the length that GET has")
				}
			}
		})
	}
}

// newGuarded is a handler with guards; u-1 has two adapters, and 10.0.0.8 is known and not to ask.
func newGuarded(t *testing.T) (*httpd.Handler, *logtest.Hook) {
	t.Helper()
	s := store.New()
	at := func(name, addr string) instance.Adapter {
		a := netip.MustParseAddr(addr)
		p := instance.Addressing{Method: instance.DHCP, Address: netip.PrefixFrom(a, a.BitLen())}
		if a.Is4() {
			return instance.Adapter{Name: name, Network: "blue", IPv4: p}
		}
		return instance.Adapter{Name: name, Network: "blue", IPv6: p}
	}
	keys := func(addrs ...string) (keys []store.Key) {
		for _, a := range addrs {
			keys = append(keys, store.Key{Network: "blue", Address: netip.MustParseAddr(a)})
		}
		return keys
	}
	s.Put(&store.Entry{
		Instance: &instance.Instance{UUID: "u-1", Adapters: []instance.Adapter{at("front", "10.0.0.5"), at("back", "fe80::6")}},
		HTTP:     atMetadata(tree()), Keys: keys("10.0.0.5", "fe80::6"),
	})
	s.Put(&store.Entry{Instance: &instance.Instance{UUID: "u-2"}, Keys: keys("10.0.0.8")})
	log, hook := logtest.NewNullLogger()
	reports := &dialecttest.Reports{}
	return &httpd.Handler{
		Network: "blue", Store: s, Log: log, Services: services(echo, password, kept),
		Reports: func(*instance.Instance) dialect.Reports { return reports },
	}, hook
}

// A document of a guard has what those of the tree have.
func TestGuardDocument(t *testing.T) {
	t.Parallel()
	h, _ := newGuarded(t)
	etag := document.New("text/x-kept", []byte("kept")).ETag()
	for header, status := range map[string]int{"": 200, etag: 304} {
		r := httptest.NewRequest("GET", "http://169.254.169.254/kept/", nil)
		r.RemoteAddr = "10.0.0.5:1"
		r.Header.Set("If-None-Match", header)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != status || w.Header().Get("ETag") != etag {
			t.Errorf("If-None-Match %q: %d with %q, want %d with %q", header, w.Code, w.Header().Get("ETag"), status, etag)
		}
	}
}

// What the service failed at is for the log; the guest gets the guard's words.
func TestGuardFails(t *testing.T) {
	t.Parallel()
	h, hook := newGuarded(t)
	h.Reports = func(*instance.Instance) dialect.Reports { return &dialecttest.Reports{Err: errors.New("disk is full")} }
	r := httptest.NewRequest("POST", "http://169.254.169.254/password", strings.NewReader("pw"))
	r.RemoteAddr = "10.0.0.5:1"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 500 || w.Body.String() != "sorry" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	last, err := hook.LastEntry().String()
	if err != nil || !strings.Contains(last, "disk is full") {
		t.Errorf("log: %q, %v", last, err)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	h, _ := newGuarded(t)
	registry := prometheus.NewRegistry()
	var err error
	if h.Metrics, err = httpd.NewMetrics(registry); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/echo", "/echo", "/latest/user-data", "/nothing", "/metrics", "/healthz"} {
		r := httptest.NewRequest("GET", "http://169.254.169.254"+target, nil)
		r.RemoteAddr = "10.0.0.5:1"
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	const want = `# HELP eve_metadata_events_total Requests of guests that an operator may want to know of.
# TYPE eve_metadata_events_total counter
eve_metadata_events_total{event="echoed",network="blue"} 2
# HELP eve_metadata_requests_total Requests of guests that were answered.
# TYPE eve_metadata_requests_total counter
eve_metadata_requests_total{code="200",site="metadata"} 1
eve_metadata_requests_total{code="202",site="metadata"} 2
eve_metadata_requests_total{code="404",site="metadata"} 3
`
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if diff := cmp.Diff(want, w.Body.String()); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if _, err := httpd.NewMetrics(registry); err == nil {
		t.Error("the counters are registered twice")
	}
}

// A limit of hops is the socket's when the answer goes out, in both IP versions, and the connection ends with
// that answer.
func TestHopLimit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		address       string
		level, option int
	}{
		{"127.0.0.1:0", syscall.IPPROTO_IP, syscall.IP_TTL},
		{"[::1]:0", syscall.IPPROTO_IPV6, syscall.IPV6_UNICAST_HOPS},
	} {
		t.Run(tt.address, func(t *testing.T) {
			t.Parallel()
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", tt.address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			watched := &watchedListener{Listener: l, level: tt.level, option: tt.option, hops: make(chan int, 2)}
			s := store.New()
			addr := netip.MustParseAddrPort(l.Addr().String())
			s.Put(&store.Entry{
				Instance: &instance.Instance{UUID: "u-1"}, HTTP: atMetadata(document.Directory(nil)),
				Keys: []store.Key{{Network: "blue", Address: addr.Addr()}},
			})
			limited := func(*dialect.Request) *dialect.Answer {
				return &dialect.Answer{Status: http.StatusOK, Body: []byte("token"), HopLimit: 3}
			}
			log, _ := logtest.NewNullLogger()
			server := &httpd.Server{
				Board: endpoint.NewBoard(), Store: s, Data: closed(), Log: log,
				Dialects: []dialect.Dialect{{HTTP: []dialect.Service{{Guard: limited}}}},
			}
			server.Board.Post([]endpoint.Endpoint{{Network: "blue", Address: addr, Listener: watched}})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- server.Run(ctx) }()
			res, err := http.Get("http://" + l.Addr().String() + "/")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || string(body) != "token" || !res.Close {
				t.Errorf("body %q, error %v, connection ends: %t", body, err, res.Close)
			}
			if err := res.Body.Close(); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(3, <-watched.hops); diff != "" {
				t.Errorf("hops (-want +got):\n%s", diff)
			}
			cancel()
			_ = l.Close() // who borrows it waits for a deadline that this one has not
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// watchedListener tells the hop limit of its connections as they are closed.
type watchedListener struct {
	net.Listener
	level, option int
	hops          chan int
}

func (w *watchedListener) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &watchedConn{TCPConn: conn.(*net.TCPConn), of: w}, nil
}

type watchedConn struct {
	*net.TCPConn
	of *watchedListener
}

func (c *watchedConn) Close() error {
	raw, err := c.SyscallConn()
	if err == nil {
		_ = raw.Control(func(fd uintptr) {
			if hops, err := syscall.GetsockoptInt(int(fd), c.of.level, c.of.option); err == nil {
				select {
				case c.of.hops <- hops:
				default:
				}
			}
		})
	}
	return c.TCPConn.Close()
}

// An answer whose hops cannot be limited is not given: it would reach further than it may.
func TestHopLimitFails(t *testing.T) {
	t.Parallel()
	h, _ := newGuarded(t)
	h.Services = services(func(*dialect.Request) *dialect.Answer {
		return &dialect.Answer{Status: http.StatusOK, Body: []byte("token"), HopLimit: 1}
	})
	r := httptest.NewRequest("PUT", "http://169.254.169.254/", nil)
	r.RemoteAddr = "10.0.0.5:1"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 500 || strings.Contains(w.Body.String(), "token") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}
