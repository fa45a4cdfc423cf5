// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/eve"
)

// exporter starts what stands for the node's exporter, and returns a guest that asks it.
func exporter(t *testing.T, handler http.HandlerFunc) *guest {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return newGuest(eve.Config{Exporter: eve.NewExporter(server.Listener.Addr().String())})
}

// carrier is a server that asks the guard for everything, as the carrier would.
func carrier(t *testing.T, g *guest) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := g.Guard(&dialect.Request{
			Instance: g.Instance, Method: r.Method, Path: strings.Trim(r.URL.Path, "/"), Header: r.Header, Body: r.Body,
			Reports: &dialecttest.Reports{}, Count: func(string) {},
		})
		switch {
		case a == nil:
			http.NotFound(w, r)
		case a.Handler != nil:
			a.Handler.ServeHTTP(w, r)
		default:
			w.WriteHeader(a.Status)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// TestExporter holds what the exporter sees of a request, and what the guest sees of its answer.
func TestExporter(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 1)
	g := exporter(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var headers []string
		for _, name := range []string{"Accept", "Connection", "Upgrade", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "Te", "X-Own", "Proxy-Authorization"} {
			if v := r.Header.Get(name); v != "" {
				headers = append(headers, name+": "+v)
			}
		}
		seen <- fmt.Sprintf("%s %s %v %q %s", r.Method, r.RequestURI, r.Host == "localhost:22", body, strings.Join(headers, ", "))
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "node_load1 0.1\n")
	})
	server := carrier(t, g)
	req, err := http.NewRequestWithContext(t.Context(), "PUT", server.URL+"/metrics/?collect[]=cpu&x=%2e%2e/", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "localhost:22"
	for name, value := range map[string]string{
		"Accept": "text/plain", "Connection": "Upgrade, X-Own", "Upgrade": "websocket", "Forwarded": "for=1", "X-Forwarded-For": "1",
		"X-Forwarded-Host": "other", "TE": "trailers", "X-Own": "1", "Proxy-Authorization": "1",
	} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if want := `PUT /metrics?collect[]=cpu&x=%2e%2e/ false "" Accept: text/plain, Te: trailers`; cmp.Diff(want, <-seen) != "" {
		t.Errorf("the exporter did not see %s", want)
	}
	if resp.StatusCode != http.StatusTeapot || string(body) != "node_load1 0.1\n" ||
		resp.Header.Get("Content-Type") != "text/plain; version=0.0.4" || resp.Header.Get("X-Hop") != "" {
		t.Errorf("the guest sees %d %v %q", resp.StatusCode, resp.Header, body)
	}
}

// TestExporterLeadsNowhere holds that a guest is led to nothing else: not by a redirection, nor by another protocol, and there
// is nothing below the path.
func TestExporterLeadsNowhere(t *testing.T) {
	t.Parallel()
	asked := 0
	g := exporter(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Header.Get("X-Switch") != "" {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
			w.WriteHeader(http.StatusSwitchingProtocols)
			return
		}
		http.Redirect(w, r, "/secret", http.StatusFound)
	})
	if w, err := g.fetch("GET", "metrics"); w.Code != http.StatusFound || asked != 1 || err != nil {
		t.Errorf("a redirection: %d after %d requests (%v)", w.Code, asked, err)
	}
	if w, err := g.fetch("GET", "metrics", "Connection", "Upgrade", "Upgrade", "websocket", "X-Switch", "1"); w.Code != http.StatusBadGateway || err == nil {
		t.Errorf("another protocol: %d (%v)", w.Code, err)
	}
	for _, path := range []string{"metrics/secret", "metricsx", "metrics/.."} {
		if a := g.Ask("GET", path, ""); a != nil {
			t.Errorf("%s: %d", path, a.Status)
		}
	}
	if a := g.Ask("CONNECT", "metrics", ""); a.Status != http.StatusMethodNotAllowed {
		t.Errorf("CONNECT: %d", a.Status)
	}
	if a := newGuest(eve.Config{}).Ask("GET", "metrics", ""); a != nil {
		t.Errorf("without an exporter: %d", a.Status)
	}
}

// TestExporterAway holds that a guest is told so, without a word, and the log why.
func TestExporterAway(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	g := newGuest(eve.Config{Exporter: eve.NewExporter(address)})
	w, err := g.fetch("GET", "metrics")
	if w.Code != http.StatusBadGateway || w.Body.Len() > 0 || err == nil || !strings.Contains(err.Error(), address) {
		t.Errorf("%d %q (%v)", w.Code, w.Body, err)
	}
}

// TestExporterStreams holds that an answer reaches the guest while the exporter still writes it, and that one that breaks off
// is not taken for whole.
func TestExporterStreams(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	g := exporter(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream") // which is flushed at once
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-release
		panic(http.ErrAbortHandler)
	})
	req, err := http.NewRequestWithContext(t.Context(), "GET", carrier(t, g).URL+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 6)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first\n" {
		t.Fatalf("%q (%v)", first, err)
	}
	close(release)
	if rest, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("it ended with %q, as if it were all", rest)
	}
}

// TestExporterLimit holds that ten requests at once are answered and one a second after that, for each instance, whichever
// address it asks from.
func TestExporterLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGuest(eve.Config{Exporter: eve.NewExporter("127.0.0.1:1")})
		passed := func(n int) (passed int) {
			for range n {
				a := g.Ask("GET", "metrics", "")
				switch {
				case a.Handler != nil:
					passed++
				case a.Status != http.StatusTooManyRequests || a.Header["Retry-After"] != "1":
					t.Errorf("refused by %d %v", a.Status, a.Header)
				}
			}
			return passed
		}
		if n := passed(12); n != 10 {
			t.Errorf("%d at once", n)
		}
		g.remote = "10.99.0.1:1"
		if n := passed(1); n != 0 {
			t.Error("another address of the same instance has a limit of its own")
		}
		g.Instance.UUID = stranger
		if n := passed(11); n != 10 {
			t.Errorf("another instance: %d at once", n)
		}
		<-time.After(3 * time.Second)
		if n := passed(5); n != 3 {
			t.Errorf("%d after three seconds", n)
		}
	})
}
