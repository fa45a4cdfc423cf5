// SPDX-License-Identifier: Apache-2.0

package httpd_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
)

// request sends a request as an address and returns what is answered. An answer that is broken off is its beginning.
func request(h http.Handler, method, path, from string) (w *httptest.ResponseRecorder, broken any) {
	r := httptest.NewRequest(method, "http://169.254.169.254"+path, nil)
	r.RemoteAddr = from
	w = httptest.NewRecorder()
	defer func() { broken = recover() }()
	h.ServeHTTP(w, r)
	return w, nil
}

// Who is not to read metadata over HTTP is answered by the services that answer always, and by no other.
func TestAlways(t *testing.T) {
	t.Parallel()
	h, _ := newGuarded(t)
	h.Services = append(h.Services, dialect.Service{Always: true, Guard: func(r *dialect.Request) *dialect.Answer {
		if r.Path != "always" {
			return nil
		}
		return &dialect.Answer{Status: http.StatusOK, Body: []byte(r.Instance.UUID + " from " + r.Remote.String())}
	}})
	for _, c := range []struct {
		from, path, want string
		status           int
	}{
		{"10.0.0.8:1", "/always", "u-2 from 10.0.0.8:1", 200},
		{"[::ffff:10.0.0.8]:1", "/always", "u-2 from 10.0.0.8:1", 200},
		{"10.0.0.5:7", "/always", "u-1 from 10.0.0.5:7", 200},
		{"10.0.0.8:1", "/kept", "404 Not Found\n", 404},
		{"10.0.0.9:1", "/always", "404 Not Found\n", 404},
	} {
		w, _ := request(h, http.MethodGet, c.path, c.from)
		if w.Code != c.status || w.Body.String() != c.want {
			t.Errorf("%s %s: %d %q, want %d %q", c.from, c.path, w.Code, w.Body, c.status, c.want)
		}
	}
}

// An answer of a handler's is counted and logged, with what went wrong; also one that is broken off.
func TestHandlerAnswers(t *testing.T) {
	t.Parallel()
	for _, breaks := range []bool{false, true} {
		h, hook := newGuarded(t)
		h.Services = services(func(*dialect.Request) *dialect.Answer {
			return &dialect.Answer{Err: errors.New("half of it is missing"), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusAccepted)
				_, _ = io.WriteString(w, "half")
				if breaks {
					panic(http.ErrAbortHandler)
				}
			})}
		})
		w, broken := request(h, http.MethodGet, "/", "10.0.0.5:1")
		if w.Code != http.StatusAccepted || w.Body.String() != "half" || (broken != nil) != breaks {
			t.Errorf("breaks %v: %d %q, broken off: %v", breaks, w.Code, w.Body, broken)
		}
		last := hook.LastEntry()
		if last == nil || last.Data["status"] != http.StatusAccepted || last.Data["bytes"] != 4 {
			t.Errorf("breaks %v: logged %v", breaks, last)
		}
	}
}
