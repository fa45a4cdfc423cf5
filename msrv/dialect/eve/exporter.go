// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
)

// ExporterAddress is where a node has Prometheus' node exporter (EVE, msrv).
const ExporterAddress = "127.0.0.1:9100"

const (
	// exporterRate and exporterBurst are how often a guest may ask, per second for ever and at once on top (EVE, msrv; there
	// it is the address that counts). The exporter reads a thousand files each time.
	exporterRate  = 1
	exporterBurst = 10
	// exporterTimeout is how long one answer may take, until the guest has all of it.
	exporterTimeout = time.Minute
)

// Exporter lets guests read the node's own metrics, from its node exporter. A guest reaches nothing else by it: neither host
// nor path of the request matter. Make one with NewExporter; it may be shared by any number of goroutines.
type Exporter struct {
	target    url.URL
	transport *http.Transport
	limits    *limits
}

// NewExporter returns the way to an exporter, at "host:port". It connects to it no sooner than a guest asks.
func NewExporter(address string) *Exporter {
	return &Exporter{
		target: url.URL{Scheme: "http", Host: address, Path: "/metrics"},
		// Without a proxy, whatever the environment says, and compressed or not as the guest wants it.
		transport: &http.Transport{IdleConnTimeout: exporterTimeout, DisableCompression: true},
		limits:    newLimits(exporterRate, exporterBurst),
	}
}

// exporterRoutes is the one path, with the methods that HTTP has for one: the exporter makes no difference between them.
func exporterRoutes(c Config) []route {
	if c.Exporter == nil {
		return nil
	}
	methods := make(map[string]handler)
	for _, m := range []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
	} {
		methods[m] = c.Exporter.metrics
	}
	return []route{{path: "metrics", methods: methods}}
}

// metrics passes a request on; 429 for a guest that asks too often, and 502 without a word where the exporter is away.
func (e *Exporter) metrics(r *dialect.Request, _ string) *dialect.Answer {
	if a := e.limits.refuse(r); a != nil {
		return a
	}
	return stream(func(w http.ResponseWriter, req *http.Request) (err error) {
		ctx, cancel := context.WithTimeout(req.Context(), exporterTimeout)
		defer cancel()
		proxy := httputil.ReverseProxy{
			Rewrite:   e.rewrite,
			Transport: e.transport,
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, failure error) {
				err = failure
				w.WriteHeader(http.StatusBadGateway)
			},
			ErrorLog: log.New(io.Discard, "", 0), // of connections that broke in the middle of an answer
		}
		proxy.ServeHTTP(w, req.WithContext(ctx))
		return err
	})
}

// rewrite makes the request that the exporter sees. Of the guest's it has the method, the query, which chooses among metrics,
// and the headers that are meant for the server, but not one to speak another protocol.
func (e *Exporter) rewrite(p *httputil.ProxyRequest) {
	target := e.target
	target.RawQuery = p.Out.URL.RawQuery
	p.Out.URL, p.Out.Host = &target, ""
	p.Out.Body, p.Out.ContentLength = nil, 0
	p.Out.Header.Del("Connection")
	p.Out.Header.Del("Upgrade")
}
