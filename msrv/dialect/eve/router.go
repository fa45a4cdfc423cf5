// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
)

// handler answers one request. Below is what follows the path of its route; "" where the route is the whole path.
type handler func(r *dialect.Request, below string) *dialect.Answer

// route is a path without slashes at its ends, and what is there, by method. What answers GET answers HEAD too.
type route struct {
	path    string
	below   bool // paths below this one are its own as well
	methods map[string]handler
}

// get is a route that guests read.
func get(path string, h handler) route {
	return route{path: path, methods: map[string]handler{http.MethodGet: h}}
}

// post is a route that guests write.
func post(path string, h handler) route {
	return route{path: path, methods: map[string]handler{http.MethodPost: h}}
}

// router finds the handler of a request.
type router []route

// newRouter makes the routes of all that there is to speak of.
func newRouter(c Config) router {
	return slices.Concat(nodeRoutes(c), appRoutes(c), blobRoutes(c), patchRoutes(c), tpmRoutes(c), exporterRoutes(c))
}

// answer is the guard: nil for paths that are none of EVE's, 405 for a method that a path does not have.
func (rt router) answer(r *dialect.Request) *dialect.Answer {
	for _, route := range rt {
		below, ok := route.match(r.Path)
		if !ok {
			continue
		}
		method := r.Method
		if method == http.MethodHead && route.methods[method] == nil {
			method = http.MethodGet
		}
		if h := route.methods[method]; h != nil {
			return h(r, below)
		}
		return dialect.RefuseMethod(strings.Join(route.allowed(), ", "))
	}
	return nil
}

// match tells whether a path is the route's, and what follows it.
func (r route) match(path string) (below string, ok bool) {
	if path == r.path {
		return "", true
	}
	below, ok = strings.CutPrefix(path, r.path+"/")
	return below, ok && r.below
}

// allowed are the methods of a route, as the header Allow has them.
func (r route) allowed() []string {
	methods := slices.Collect(maps.Keys(r.methods))
	if r.methods[http.MethodGet] != nil && r.methods[http.MethodHead] == nil {
		methods = append(methods, http.MethodHead)
	}
	slices.Sort(methods)
	return methods
}

// empty is an answer with no body.
func empty(status int) *dialect.Answer { return &dialect.Answer{Status: status} }

// sayJSON is an answer in JSON: a document where all is well.
func sayJSON(status int, v any) *dialect.Answer {
	doc, err := document.JSON(v)
	switch {
	case err != nil:
		return failed(err)
	case status == http.StatusOK:
		return &dialect.Answer{Document: doc}
	}
	return &dialect.Answer{Status: status, Type: doc.Type(), Body: doc.Body()}
}

// refusal is how EVE says why, where guests read JSON.
type refusal struct {
	Message string `json:"message"`
}

// failed is the answer where the service did. The guest is told nothing of the reason.
func failed(err error) *dialect.Answer {
	a := dialect.Refuse(http.StatusInternalServerError)
	a.Err = err
	return a
}
