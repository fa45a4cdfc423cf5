// SPDX-License-Identifier: Apache-2.0

// Package httpd is the carrier that guests reach over HTTP at the metadata address, and at their router.
//
// Endpoints come in from the manager of the app networks; each gets a server and a handler of its own,
// with its network and its site fixed for life, so that a request can neither choose nor lose the network
// it came in on. Trees come from the store. The carrier knows no dialect: a request is a look-up and a
// write, but for those that a dialect's guard answers.
package httpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/store"
)

// MaxLoggedPath is how many bytes of a request's path the access log shows.
const MaxLoggedPath = 256

// Looker finds whose metadata a caller may read. *store.Store is one.
type Looker interface {
	// Lookup returns nil for nobody's, and tells whether anybody claims the key.
	Lookup(store.Key) (e *store.Entry, claimed bool)
	// Changed returns a channel that is closed once Lookup may answer otherwise than it does now.
	Changed() <-chan struct{}
}

// Reporter keeps what guests report. It returns the reports of one instance.
type Reporter func(*instance.Instance) dialect.Reports

// Handler answers the requests at one site of one network. Who is asking is the network and the addresses
// that the connection comes from (see callers), nothing else: no header, name or path names an instance. It
// is found out for every request anew: a connection that stays open says nothing of who has its address now.
//
// A dialect's guard is asked first. What none of them answers, the tree does, for GET and HEAD, with ETag,
// conditional requests and ranges as RFC 9110 has them: 200 with the document; 404 where there is none,
// and for every path of an unknown caller; 405 for other methods on a path that exists; 429 for a caller
// that asks beyond all measure (see the limits); 500 for a document that is known to be broken (its
// reason is logged, not told). Paths may have doubled or trailing slashes, "." and "..", and percent
// escapes, as clients send them. Never 503: cloud-init would retry without end.
type Handler struct {
	Network string
	Site    dialect.Site
	// Alone and Ports are the endpoint's (see endpoint.Endpoint).
	Alone bool
	Ports string
	Store Looker
	// Bridges tells where callers are; it may be nil where Ports is "".
	Bridges Bridges
	// Services are those of all dialects at the site that have a guard, and Reports is where guards keep what guests
	// say; it may be nil where none wants it.
	Services []dialect.Service
	Reports  Reporter
	// Grace is how long a caller that is not known yet is kept waiting (see NewcomerGrace); 0: not at all.
	Grace time.Duration
	// Limits are the network's; nil for none.
	Limits *Limits
	// Metrics count what happens; nil for not at all.
	Metrics *Metrics
	Log     logrus.FieldLogger
}

// ServeHTTP answers one request and writes one line to the access log, but for the requests that are too
// many, and those of callers that bear what is another's: of each of these the log has one a
// RefusalInterval for each network, and the metrics have all.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	var err error
	defer func() { h.note(rec, r, time.Since(start), err) }() // also where an answer is broken off, which is a panic
	err = h.answer(rec, r)
	if err != nil && !rec.written {
		answerError(rec, err)
	}
}

// note counts and logs a request that is over, and what went wrong with it.
func (h *Handler) note(rec *recorder, r *http.Request, took time.Duration, err error) {
	h.Metrics.request(h.Site, rec.status)
	fields := logrus.Fields{
		"network": h.Network, "caller": r.RemoteAddr, "instance": rec.instance,
		"method": r.Method, "path": loggedPath(r.URL.Path), "status": rec.status, "bytes": rec.bytes,
		"ms": float64(took.Microseconds()) / 1000,
	}
	if h.Site != dialect.Metadata { // which goes without saying
		fields["site"] = h.Site.String()
	}
	log := h.Log.WithFields(fields)
	switch {
	case rec.status >= http.StatusInternalServerError:
		log.WithError(err).Error("metadata request not answered")
	case errors.Is(err, errTooMany):
		h.Limits.refusals.Do(func() { log.Warn("too many metadata requests") })
	case errors.Is(err, errOtherMAC), errors.Is(err, errOtherPort):
		h.Metrics.refuse(h.Network, refusal(err))
		h.Limits.borrowed(func() { log.WithError(err).Warn("metadata request from another's address") })
	default:
		log.Info("metadata request")
	}
}

// refusal is the word by which the metrics tell apart what callers bear of others'.
func refusal(err error) string {
	if errors.Is(err, errOtherPort) {
		return "port"
	}
	return "mac"
}

// answer finds out who asks and has the guards or the tree answer. An error is what went wrong, whether or
// not something was written.
func (h *Handler) answer(w *recorder, r *http.Request) error {
	from, err := originOf(r)
	if err != nil {
		return err
	}
	who, err := h.admit(r.Context(), from)
	if err != nil {
		return err
	}
	w.instance = who.entry.Instance.UUID
	place := cleanPath(r.URL.Path)
	switch a := h.guard(who, r, place); {
	case a == nil:
	case a.Document != nil:
		return deliver(w, r, a.Document)
	case a.Handler != nil:
		a.Handler.ServeHTTP(patient{w}, r)
		return a.Err
	default:
		return give(w, r, a)
	}
	node := who.entry.HTTP[h.Site].Lookup(place)
	if node == nil || node.Document() == nil {
		return errNotFound
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return errMethod
	}
	return deliver(w, r, node.Document())
}

// admit finds out who the caller is. It is an error that it is nobody, and that it asks too often.
func (h *Handler) admit(ctx context.Context, from origin) (caller, error) {
	who, err := h.callers().find(from)
	if err != nil { // hardly ever
		if !h.Limits.allowStranger() {
			return caller{}, errTooMany
		}
		if who, err = h.await(ctx, from); err != nil {
			return caller{}, err
		}
	}
	if !h.Limits.allow(who.entry.Instance.UUID) {
		return caller{}, errTooMany
	}
	return who, nil
}

// callers is the rule by which the handler knows who asks.
func (h *Handler) callers() callers {
	return callers{network: h.Network, alone: h.Alone, bridge: h.Ports, bridges: h.Bridges, store: h.Store}
}

// await waits a little for a caller that is not known yet, or whose address was another's before.
func (h *Handler) await(ctx context.Context, from origin) (caller, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Grace)
	defer cancel()
	for {
		changed := h.Store.Changed()
		if who, err := h.callers().find(from); err == nil || ctx.Err() != nil {
			return who, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// guard asks the guards. The first that answers is heard.
func (h *Handler) guard(who caller, r *http.Request, place string) *dialect.Answer {
	if len(h.Services) == 0 {
		return nil
	}
	inst := who.entry.Instance
	remote, _ := netip.ParseAddrPort(r.RemoteAddr) // of a TCP connection: there is nothing to go wrong
	req := &dialect.Request{
		Instance: inst, Adapter: who.adapter, Remote: netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()),
		Method: r.Method, Path: place, Header: r.Header, Body: r.Body,
		Count: func(event string) { h.Metrics.event(h.Network, event) },
	}
	if h.Reports != nil {
		req.Reports = h.Reports(inst)
	}
	for _, s := range h.Services {
		if who.entry.HTTP == nil && !s.Always {
			continue
		}
		if a := s.Guard(req); a != nil {
			return a
		}
	}
	return nil
}

// give writes what a guard answers.
func give(w *recorder, r *http.Request, a *dialect.Answer) error {
	if a.HopLimit > 0 {
		if err := limitHops(r.Context(), a.HopLimit); err != nil {
			return fmt.Errorf("limit the hops of an answer: %w", err)
		}
		// The limit is the connection's, and stays with it.
		w.Header().Set("Connection", "close")
	}
	w.Header().Set("Content-Type", document.TypeText)
	if a.Type != "" {
		w.Header().Set("Content-Type", a.Type)
	}
	for name, value := range a.Header {
		w.Header().Set(name, value)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	w.WriteHeader(a.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.Body) // who does not wait for the answer does not get it
	}
	return a.Err
}

// deliver writes one document.
func deliver(w http.ResponseWriter, r *http.Request, d *document.Document) error {
	if fault := d.Fault(); fault != "" {
		return fmt.Errorf("deliver document: %s", fault)
	}
	w.Header().Set("Content-Type", d.Type())
	w.Header().Set("ETag", d.ETag())
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(d.Body()))
	return nil
}

var (
	errNotFound = errors.New("not found")
	errMethod   = errors.New("method not allowed")
	errTooMany  = errors.New("too many requests")
)

// answerError is the one place where an error becomes an answer. What a guest is told never depends on
// the error's text.
func answerError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, errNotFound), errors.Is(err, errOtherMAC), errors.Is(err, errOtherPort):
		status = http.StatusNotFound
	case errors.Is(err, errMethod):
		status = http.StatusMethodNotAllowed
		w.Header().Set("Allow", "GET, HEAD")
	case errors.Is(err, errTooMany):
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", "1")
	}
	http.Error(w, fmt.Sprintf("%d %s", status, http.StatusText(status)), status)
}

// cleanPath turns the path of a request into one that trees are looked up by.
func cleanPath(p string) string { return strings.TrimPrefix(path.Clean("/"+p), "/") }

func loggedPath(p string) string {
	if len(p) > MaxLoggedPath {
		return p[:MaxLoggedPath] + "…"
	}
	return p
}

// recorder notes who was answered and what, for the access log.
type recorder struct {
	http.ResponseWriter
	instance string
	status   int
	bytes    int
	written  bool // the status is out
}

// WriteHeader notes the status.
func (r *recorder) WriteHeader(status int) {
	r.status, r.written = status, true
	r.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes.
func (r *recorder) Write(p []byte) (int, error) {
	r.written = true
	n, err := r.ResponseWriter.Write(p) //nolint:gosec // no pages: types are those of documents and guards
	r.bytes += n
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// patient is a connection on which each write has WriteTimeout for itself: a guest that reads on gets all, however much
// it is.
type patient struct{ *recorder }

// Write puts the connection's deadline off.
func (p patient) Write(b []byte) (int, error) {
	// Where there is no connection there is no deadline.
	_ = http.NewResponseController(p.ResponseWriter).SetWriteDeadline(time.Now().Add(WriteTimeout))
	return p.recorder.Write(b)
}
