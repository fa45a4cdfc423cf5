// SPDX-License-Identifier: Apache-2.0

package dialecttest

import (
	"net/http"
	"strings"
	"sync"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// Reports are dialect.Reports in memory, of one instance. The zero value has none.
type Reports struct {
	// Err is what Put and PutFirst fail with; nil for not at all.
	Err error

	mu     sync.Mutex
	values map[string][]byte
}

// Get returns what was put last.
func (r *Reports) Get(subject string) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.values[subject]
}

// Put keeps a value.
func (r *Reports) Put(subject string, value []byte) error { return r.put(subject, value, false) }

// PutFirst keeps a value where there is none.
func (r *Reports) PutFirst(subject string, value []byte) error { return r.put(subject, value, true) }

func (r *Reports) put(subject string, value []byte, first bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Err != nil {
		return r.Err
	}
	if _, twice := r.values[subject]; twice && first {
		return dialect.ErrReported
	}
	if r.values == nil {
		r.values = make(map[string][]byte)
	}
	r.values[subject] = value
	return nil
}

// Guest asks a dialect's guard at one site, as the carrier would.
type Guest struct {
	Guard    dialect.Guard
	Instance *instance.Instance
	Adapter  *instance.Adapter // nil: the instance's first, if it has one
	Reports  Reports
	Counted  []string // events, in their order
}

// Ask sends one request: a method, a path with or without slashes at its ends, a body, and pairs of
// header and value. It returns what the guard answers, nil for nothing; of a document also what the carrier
// makes of it.
func (g *Guest) Ask(method, path, body string, header ...string) *dialect.Answer {
	h := make(http.Header)
	for i := 0; i+1 < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	adapter := g.Adapter
	if adapter == nil && len(g.Instance.Adapters) > 0 {
		adapter = &g.Instance.Adapters[0]
	}
	a := g.Guard(&dialect.Request{
		Instance: g.Instance, Adapter: adapter, Method: method, Path: strings.Trim(path, "/"), Header: h,
		Body: strings.NewReader(body), Reports: &g.Reports, Count: func(event string) { g.Counted = append(g.Counted, event) },
	})
	if a != nil && a.Document != nil {
		a = &dialect.Answer{Document: a.Document, Status: http.StatusOK, Type: a.Document.Type(), Body: a.Document.Body()}
	}
	return a
}
