// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/task"
)

// Limits on what one connection may cost.
const (
	MaxHeaderBytes    = 16 << 10
	ReadHeaderTimeout = 10 * time.Second
	ReadTimeout       = 30 * time.Second
	// WriteTimeout leaves a guest on a slow emulated network card the time for a few megabytes.
	WriteTimeout = 5 * time.Minute
	IdleTimeout  = time.Minute
	// NewcomerGrace is how long a caller that nobody knows is kept waiting for news of it before it
	// is told that there is nothing: a guest may be quicker than the topics that speak of it, and
	// cloud-init takes a first 404 for final.
	NewcomerGrace = time.Second
)

// Server serves every endpoint on the board, each with a server and a handler of its own, from one
// process: it starts serving those that appear, keeps those that stay and stops those that are gone.
type Server struct {
	Board *endpoint.Board
	Store Looker
	// Data is closed once the store holds what is known at the start. Until then connections queue:
	// a guest that asked too early would be told that there is nothing, and would not ask again.
	Data <-chan struct{}
	// Dialects have the guards; their trees are in the store.
	Dialects []dialect.Dialect
	// Bridges tells where callers are; it may be nil where no endpoint has Ports.
	Bridges Bridges
	Reports Reporter // nil: no guard wants it
	Metrics *Metrics // nil: nothing is counted
	Log     logrus.FieldLogger

	ready  task.Ready
	shares map[string]share // by network
}

// share is how much of the service a network may take, the same for all its endpoints.
type share struct {
	*Limits
	*connections
}

// String names the task.
func (*Server) String() string { return "metadata over HTTP" }

// Ready is closed when the endpoints that were on the board first are being served.
func (s *Server) Ready() <-chan struct{} { return s.ready.Done() }

// Run serves until ctx ends, lets the requests in flight finish for at most a second, and returns nil.
func (s *Server) Run(ctx context.Context) error {
	select {
	case <-s.Data:
	case <-ctx.Done():
		return nil
	}
	s.shares = make(map[string]share)
	var stopping sync.WaitGroup
	running := make(map[net.Listener]*site)
	stop := func(r *site) { stopping.Go(func() { r.stop(context.WithoutCancel(ctx)) }) }
	for wanted := range s.Board.Watch(ctx) {
		s.converge(running, wanted, stop)
		s.ready.Set()
	}
	for _, r := range running {
		stop(r)
	}
	stopping.Wait()
	return nil
}

// converge starts what is missing and stops what is gone.
func (s *Server) converge(running map[net.Listener]*site, wanted []endpoint.Endpoint, stop func(*site)) {
	keep := make(map[net.Listener]bool, len(wanted))
	for _, e := range wanted {
		keep[e.Listener] = true
		if running[e.Listener] == nil {
			running[e.Listener] = s.start(e)
		}
	}
	for l, r := range running {
		if !keep[l] {
			stop(r)
			delete(running, l)
		}
	}
	for network := range s.shares {
		if !slices.ContainsFunc(wanted, func(e endpoint.Endpoint) bool { return e.Network == network }) {
			delete(s.shares, network)
			s.Metrics.forget(network)
		}
	}
}

// share returns a network's, at first a whole one.
func (s *Server) share(network string) share {
	of, there := s.shares[network]
	if !there {
		of = share{NewLimits(), newConnections(s.Log.WithField("network", network))}
		s.shares[network] = of
	}
	return of
}

// siteOf is the site that an endpoint is.
func siteOf(r endpoint.Role) dialect.Site {
	switch r {
	case endpoint.Router:
		return dialect.Router
	case endpoint.RouterPassword:
		return dialect.RouterPassword
	default:
		return dialect.Metadata
	}
}

// handler makes the handler of one endpoint.
func (s *Server) handler(e endpoint.Endpoint) *Handler {
	h := &Handler{
		Network: e.Network, Site: siteOf(e.Role), Alone: e.Alone, Ports: e.Ports, Store: s.Store, Bridges: s.Bridges,
		Reports: s.Reports, Grace: NewcomerGrace, Limits: s.share(e.Network).Limits, Metrics: s.Metrics, Log: s.Log,
	}
	for _, d := range s.Dialects {
		if s := d.At(h.Site); s.Guard != nil {
			h.Services = append(h.Services, s)
		}
	}
	return h
}

// site is one endpoint being served.
type site struct {
	server *http.Server
	done   chan struct{}
}

// NewServer makes a server of the handler, with all limits on what one connection may cost.
func (h *Handler) NewServer() *http.Server {
	return &http.Server{
		Handler:           h,
		ConnContext:       withConnection,
		MaxHeaderBytes:    MaxHeaderBytes,
		ReadHeaderTimeout: ReadHeaderTimeout,
		ReadTimeout:       ReadTimeout,
		WriteTimeout:      WriteTimeout,
		IdleTimeout:       IdleTimeout,
		// "OPTIONS *" is a request like others: net/http would answer it, and tell nobody.
		DisableGeneralOptionsHandler: true,
		// What net/http has to say is about single connections that guests broke.
		ErrorLog: stdlog.New(debugWriter{h.Log.WithFields(logrus.Fields{"network": h.Network, "site": h.Site.String()})}, "", 0),
	}
}

// start serves one endpoint.
func (s *Server) start(e endpoint.Endpoint) *site {
	log := s.Log.WithFields(logrus.Fields{"network": e.Network, "address": e.Address})
	h := s.handler(e)
	r := &site{server: h.NewServer(), done: make(chan struct{})}
	guarded := limited{borrow(e.Listener), h.callers(), s.share(e.Network).connections}
	go func() {
		defer close(r.done)
		err := r.server.Serve(guarded)
		if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			log.WithError(err).Error("endpoint no longer served")
		}
	}()
	log.Debug("endpoint served")
	return r
}

// stop ends a site: no new requests, and a second for those in flight.
func (r *site) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if r.server.Shutdown(ctx) != nil {
		// Too slow: cut off. Both say what became of the listener, which is not ours.
		_ = r.server.Close()
	}
	<-r.done
}

// borrowed is a listener that is closed by its owner only: http.Server closes what it serves, but the
// socket has to outlive the server, so that connections queue while there is none.
type borrowed struct{ net.Listener }

type deadliner interface{ SetDeadline(time.Time) error }

// borrow makes a listener of which Close ends the waiting for connections and nothing else.
func borrow(l net.Listener) net.Listener {
	d, ok := l.(deadliner)
	if !ok {
		return l
	}
	// A borrower before may have left its deadline. A closed socket says so again at Accept.
	_ = d.SetDeadline(time.Time{})
	return borrowed{l}
}

// Close wakes up who waits in Accept.
func (b borrowed) Close() error {
	if err := b.Listener.(deadliner).SetDeadline(time.Unix(1, 0)); err != nil {
		return fmt.Errorf("stop accepting: %w", err)
	}
	return nil
}

// debugWriter sends lines to the log at debug level.
type debugWriter struct{ log logrus.FieldLogger }

func (d debugWriter) Write(p []byte) (int, error) {
	d.log.Debug(string(p))
	return len(p), nil
}
