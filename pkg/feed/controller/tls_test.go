// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/feed/controller"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
)

// listen serves over TLS with a certificate for 127.0.0.1, and wants one of the client when clients are given.
func (w *world) listen(cert identity, clients *x509.CertPool, handler http.Handler) {
	w.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.cert.Raw}, PrivateKey: cert.key}}}
	if clients != nil {
		s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, clients
	}
	s.StartTLS()
	w.Cleanup(s.Close)
	w.cfg.Server = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	w.cfg.Transport = nil
}

// run runs a feed until its state is as wanted, and returns that. Of an earlier run there is only what it kept.
func (w *world) run(is func(eve.ControllerStatus) bool) eve.ControllerStatus {
	w.Helper()
	w.driver = &memory.Driver{}
	w.cfg.Driver = w.driver
	f, err := controller.New(w.cfg)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute) // only a test that fails waits that long
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	watch, found := context.WithCancel(ctx)
	var got eve.ControllerStatus
	topic := pubsub.TopicOf[eve.ControllerStatus](eve.AgentFeed)
	err = pubsub.Subscribe(watch, w.driver, topic, func(e pubsub.Event[eve.ControllerStatus]) {
		if watch.Err() == nil && (e.Kind == pubsub.Create || e.Kind == pubsub.Modify) {
			if got = e.Value; is(got) {
				found()
			}
		}
	})
	found()
	if err != nil || !is(got) {
		w.Errorf("state %+v, %v", got, err)
	}
	cancel()
	if err := <-done; err != nil {
		w.Error(err)
	}
	return got
}

func hasProblem(s eve.ControllerStatus) bool { return s.Error != "" }

func inForce(s eve.ControllerStatus) bool { return s.ConfigHash != "" && !s.LastContact.IsZero() }

// handler serves the controller of the world over HTTP.
func (s *server) handler() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		resp, err := s.RoundTrip(r)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer func() { _ = resp.Body.Close() }()
		rw.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
		rw.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(rw, resp.Body) // a client that is gone needs no answer
	})
}

// TestTLS: the server's certificate leads to the root that the device was given, or to another one that it was told.
func TestTLS(t *testing.T) {
	t.Parallel()
	later := time.Now().AddDate(1, 0, 0)
	other := identity{}.issue(t, "proxy", later)
	for _, tt := range []struct {
		name  string
		cert  func(*world) identity
		extra bool
		want  string
	}{
		{"of the root", func(w *world) identity { return w.root.issue(w, "server", later) }, false, ""},
		{"of another root", func(w *world) identity { return other.issue(w, "server", later) }, false,
			"ask for the controller's certificates: the controller is not reached: tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{"of a root for TLS", func(w *world) identity { return other.issue(w, "server", later) }, true, ""},
		{"expired", func(w *world) identity { return w.root.issue(w, "server", time.Now().Add(-time.Minute)) }, false,
			"ask for the controller's certificates: the controller is not reached: its certificate is valid from "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.give(configuration("web", w.keys))
			w.listen(tt.cert(w), nil, w.server.handler())
			if tt.extra {
				w.write("tls.pem", other.certPEM())
				w.cfg.TLSRoot = w.path("tls.pem")
			}
			if tt.want == "" {
				w.run(inForce)
			} else if got := w.run(hasProblem); !strings.HasPrefix(got.Error, tt.want) {
				t.Errorf("got %q, want %q", got.Error, tt.want)
			}
		})
	}
}

// TestRefusedConnection: the text of an error is the same at every attempt, whatever ports there are.
func TestRefusedConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.Server, w.cfg.Transport = "127.0.0.1:1", nil
	const want = "ask for the controller's certificates: the controller is not reached: dial: connect: connection refused"
	if got := w.run(hasProblem); got.Error != want {
		t.Errorf("got %q, want %q", got.Error, want)
	}
}

// v1 is a controller as it answers by version 1 of the API.
type v1 struct {
	t        *testing.T
	response *config.ConfigResponse
	bare     bool // it knows no hashes
	asked    atomic.Int32
}

func (v *v1) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.asked.Add(1)
	if r.URL.Path != "/api/v1/edgedevice/config" || r.Header.Get("X-Request-Id") == "" || len(r.TLS.PeerCertificates) == 0 {
		v.t.Errorf("asked for %s by %v", r.URL, r.Header)
	}
	w.Header().Set("Content-Type", protobufType)
	switch {
	case v.bare && r.Method == http.MethodPost:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case v.bare:
		_, _ = w.Write(marshal(v.t, v.response.GetConfig()))
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		v.t.Error(err)
	}
	var m config.ConfigRequest
	unmarshal(v.t, body, &m)
	if m.GetConfigHash() == v.response.GetConfigHash() {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(marshal(v.t, v.response))
}

// TestV1: by version 1 of the API TLS says who both are, and what was received counts when the controller is away.
func TestV1(t *testing.T) {
	t.Parallel()
	for _, bare := range []bool{false, true} {
		t.Run(map[bool]string{false: "with hashes", true: "without"}[bare], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.cfg.API = controller.V1
			clients := x509.NewCertPool()
			clients.AddCert(w.server.device.cert)
			serve := &v1{t: t, response: configuration("web", w.keys), bare: bare}
			w.listen(w.root.issue(t, "server", time.Now().AddDate(1, 0, 0)), clients, serve)
			contact := func(s eve.ControllerStatus) bool { return !s.LastContact.IsZero() && !s.FromFile }
			got := w.run(contact)
			w.is("state", []any{1, deviceID, bare}, []any{got.APIVersion, got.DeviceUUID.String(), got.ConfigHash == ""})
			w.run(contact) // with what was kept
			away := w.cfg.Server
			w.cfg.Server = "127.0.0.1:1"
			if got := w.run(hasProblem); !got.FromFile {
				t.Errorf("state %+v, want it from the file", got)
			}
			w.cfg.Server = away
			if err := os.WriteFile(w.path("config/root-certificate.pem"), identity{}.issue(t, "other", time.Now().AddDate(1, 0, 0)).certPEM(), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := w.run(hasProblem); !strings.Contains(got.Error, "certificate signed by unknown authority") {
				t.Errorf("with another root: %q", got.Error)
			}
		})
	}
}

// TestSlow: an answer that does not come in a minute is given up, and when the feed ends nobody waits for it.
func TestSlow(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.Transport = silent{}
		w.begin()
		w.pass(time.Minute)
		w.is("said", []string{"ask for the controller's certificates: the controller is not reached: there is no answer within 1m0s"}, w.said())
		w.pass(time.Second)
	})
}

// silent never answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}
