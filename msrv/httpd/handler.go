// SPDX-License-Identifier: Apache-2.0

// Package httpd is the carrier that guests reach over HTTP at the metadata address.
//
// Endpoints come in from the manager of the app networks; each gets a server and a handler of its own,
// with its network fixed for life, so that a request can neither choose nor lose the network it came
// in on. Trees come from the store. The carrier knows no dialect: a request is a look-up and a write.
package httpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/store"
)

// MaxLoggedPath is how many bytes of a request's path the access log shows.
const MaxLoggedPath = 256

// Looker finds whose metadata a caller may read. *store.Store is one.
type Looker interface {
	// Lookup returns nil for nobody's.
	Lookup(store.Key) *store.Entry
	// Changed returns a channel that is closed once Lookup may answer otherwise than it does now.
	Changed() <-chan struct{}
}

// Handler answers the requests of one network. Who is asking is the network and the address that the
// connection comes from, nothing else: no header, name or path names an instance.
//
// It answers GET and HEAD, with ETag, conditional requests and ranges as RFC 9110 has them: 200 with the
// document; 404 where there is none, and for every path of an unknown caller; 405 for other methods on
// a path that exists; 500 for a document that is known to be broken (its reason is logged, not told).
// Paths may have doubled or trailing slashes, "." and "..", and percent escapes, as clients send them.
// Never 503: cloud-init would retry without end.
type Handler struct {
	Network string
	Store   Looker
	// Grace is how long a caller that is not known yet is kept waiting (see NewcomerGrace); 0: not at all.
	Grace time.Duration
	Log   logrus.FieldLogger
}

// ServeHTTP answers one request and writes one line to the access log.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	err := h.answer(rec, r)
	if err != nil {
		answerError(rec, err)
	}
	log := h.Log.WithFields(logrus.Fields{
		"network": h.Network, "caller": r.RemoteAddr, "instance": rec.instance,
		"method": r.Method, "path": loggedPath(r.URL.Path), "status": rec.status, "bytes": rec.bytes,
		"ms": float64(time.Since(start).Microseconds()) / 1000,
	})
	if rec.status >= http.StatusInternalServerError {
		log.WithError(err).Error("metadata request not answered")
		return
	}
	log.Info("metadata request")
}

// answer writes the document, or says why not.
func (h *Handler) answer(w *recorder, r *http.Request) error {
	caller, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return fmt.Errorf("read caller's address %q: %w", r.RemoteAddr, err)
	}
	entry := h.find(r.Context(), store.Key{Network: h.Network, Address: caller.Addr().Unmap().WithZone("")})
	if entry == nil || entry.HTTP == nil {
		return errNotFound
	}
	w.instance = entry.Instance.UUID
	node := entry.HTTP.Lookup(cleanPath(r.URL.Path))
	if node == nil || node.Document() == nil {
		return errNotFound
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return errMethod
	}
	return deliver(w, r, node.Document())
}

// find looks the caller up, and waits a little for one that is not known yet.
func (h *Handler) find(ctx context.Context, k store.Key) *store.Entry {
	if e := h.Store.Lookup(k); e != nil {
		return e // nearly always: no timer for those
	}
	ctx, cancel := context.WithTimeout(ctx, h.Grace)
	defer cancel()
	for {
		changed := h.Store.Changed()
		if e := h.Store.Lookup(k); e != nil || ctx.Err() != nil {
			return e
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
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
)

// answerError is the one place where an error becomes an answer. What a guest is told never depends on
// the error's text.
func answerError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, errNotFound):
		status = http.StatusNotFound
	case errors.Is(err, errMethod):
		status = http.StatusMethodNotAllowed
		w.Header().Set("Allow", "GET, HEAD")
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
}

// WriteHeader notes the status.
func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes.
func (r *recorder) Write(p []byte) (int, error) {
	n, err := r.ResponseWriter.Write(p)
	r.bytes += n
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
