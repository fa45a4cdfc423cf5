// SPDX-License-Identifier: Apache-2.0

package cloudstack_test

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/cloudstack"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// reportSubject is under what the saved password is noted: it outlives the process, so that the name is
// part of the contract.
const reportSubject = "cloudstack-password"

func guest(password string) *dialecttest.Guest {
	in := dialecttest.Small()
	if password != "" {
		in.Password = instance.Opaque(password)
	}
	return &dialecttest.Guest{Guard: cloudstack.Dialect().At(dialect.RouterPassword).Guard, Instance: in}
}

// ask sends a wish and returns status and body.
func ask(g *dialecttest.Guest, method, wish string) string {
	a := g.Ask(method, "/", "", "DomU_Request", wish)
	if a == nil {
		return "no answer"
	}
	return fmt.Sprintf("%d %s", a.Status, a.Body)
}

func TestPasswordWishes(t *testing.T) {
	t.Parallel()
	const password = "pass word\n"
	for _, tt := range []struct {
		name, method, path string
		header             []string
		want               string
		allow              string
	}{
		{"the password", "GET", "/", []string{"DomU_Request", "send_my_password"}, "200 " + password, ""},
		{"any path", "GET", "/latest/meta-data", []string{"DomU_Request", "send_my_password"}, "200 " + password, ""},
		{"any case of the header", "GET", "/", []string{"DOMU_request", "send_my_password"}, "200 " + password, ""},
		{"HEAD", "HEAD", "/", []string{"DomU_Request", "send_my_password"}, "200 " + password, ""},
		{"saved", "GET", "/", []string{"DomU_Request", "saved_password"}, "200 saved_password", ""},
		{"two wishes", "GET", "/", []string{"DomU_Request", "send_my_password", "DomU_Request", "saved_password"}, "200 " + password, ""},
		{"another wish", "GET", "/", []string{"DomU_Request", "save_password"}, "200 bad_request", ""},
		{"another case of a wish", "GET", "/", []string{"DomU_Request", "Send_My_Password"}, "200 bad_request", ""},
		{"an empty wish", "GET", "/", []string{"DomU_Request", ""}, "200 bad_request", ""},
		{"no wish", "GET", "/", nil, "200 bad_request", ""},
		{"another header", "GET", "/", []string{"DomU-Request", "send_my_password"}, "200 bad_request", ""},
		{"POST", "POST", "/", []string{"DomU_Request", "save_password"}, "405 405 Method Not Allowed\n", "GET, HEAD"},
		{"POST of a known wish", "POST", "/", []string{"DomU_Request", "send_my_password"}, "405 405 Method Not Allowed\n", "GET, HEAD"},
		{"OPTIONS", "OPTIONS", "/", nil, "405 405 Method Not Allowed\n", "GET, HEAD"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := guest(password).Ask(tt.method, tt.path, "", tt.header...)
			if a == nil {
				t.Fatal("no answer")
			}
			if diff := cmp.Diff(tt.want, fmt.Sprintf("%d %s", a.Status, a.Body)); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if a.Header["Allow"] != tt.allow || a.Type != "" || a.Err != nil {
				t.Errorf("answer %+v, want Allow %q, plain text and no error", a, tt.allow)
			}
		})
	}
}

// TestPasswordLifecycle follows one guest: a password is offered until it is saved, and then a new one.
func TestPasswordLifecycle(t *testing.T) {
	t.Parallel()
	const send, saved, none = "send_my_password", "saved_password", "200 saved_password"
	g := guest("first")
	for i, step := range []struct{ method, wish, password, want string }{
		{"GET", send, "first", "200 first"},
		{"GET", send, "first", "200 first"}, // still: the answer may have got lost
		{"GET", "nonsense", "first", "200 bad_request"},
		{"POST", saved, "first", "405 405 Method Not Allowed\n"},
		{"GET", send, "first", "200 first"},
		{"GET", saved, "first", none},
		{"GET", send, "first", none},
		{"GET", saved, "first", none},
		{"GET", send, "second", "200 second"},
		{"HEAD", saved, "second", none},
		{"GET", send, "second", none},
		{"GET", send, "", none},
		{"GET", saved, "", none},
		{"GET", send, "second", none}, // nothing was saved in between
		{"GET", send, "first", "200 first"},
	} {
		g.Instance.Password = instance.Opaque(step.password)
		if got := ask(g, step.method, step.wish); got != step.want {
			t.Errorf("step %d, %s %s: %q, want %q", i, step.method, step.wish, got, step.want)
		}
	}
}

// TestPasswordReport holds what is kept: a fingerprint of 64 hexadecimal digits that nobody can make
// without the instance's seed, and nothing for a guest that has no password.
func TestPasswordReport(t *testing.T) {
	t.Parallel()
	fingerprint := func(password string, seed string) string {
		g := guest(password)
		g.Instance.RandomSeed = instance.Opaque(seed)
		ask(g, "GET", "saved_password")
		return string(g.Reports.Get(reportSubject))
	}
	a := fingerprint("first", "seed")
	if raw, err := hex.DecodeString(a); err != nil || len(raw) != 32 {
		t.Errorf("report %q is no hash", a)
	}
	if a != fingerprint("first", "seed") {
		t.Error("one password has two fingerprints")
	}
	if a == fingerprint("second", "seed") || a == fingerprint("first", "other seed") {
		t.Error("two passwords or two seeds have one fingerprint")
	}
	if got := fingerprint("", "seed"); got != "" {
		t.Errorf("report %q without a password", got)
	}
}

// TestPasswordReportFails holds that a password which could not be noted as saved stays on offer, and that
// the password is in no message.
func TestPasswordReportFails(t *testing.T) {
	t.Parallel()
	g := guest(dialecttest.Secret)
	g.Reports.Err = errors.New("disk is full")
	a := g.Ask("GET", "/", "", "DomU_Request", "saved_password")
	if a == nil || a.Status != http.StatusInternalServerError || !errors.Is(a.Err, g.Reports.Err) {
		t.Fatalf("answer %+v, want status 500 and the reason", a)
	}
	if !strings.Contains(a.Err.Error(), g.Instance.UUID) {
		t.Errorf("error %q does not name the instance", a.Err)
	}
	if strings.Contains(a.Err.Error()+string(a.Body), dialecttest.Secret) {
		t.Errorf("the password is in %q or %q", a.Err, a.Body)
	}
	if got, want := ask(g, "GET", "send_my_password"), "200 "+dialecttest.Secret; got != want {
		t.Errorf("answer %q, want %q", got, want)
	}
	g.Reports.Err = nil
	ask(g, "GET", "saved_password")
	g.Reports.Err = errors.New("disk is full again")
	if got, want := ask(g, "GET", "saved_password"), "200 saved_password"; got != want {
		t.Errorf("answer %q to what is noted already, want %q", got, want)
	}
}

// TestPasswordInParallel asks from many goroutines, which is how the carrier does; the race detector looks
// on.
func TestPasswordInParallel(t *testing.T) {
	t.Parallel()
	g := guest("first")
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if got := ask(g, "GET", "send_my_password"); got != "200 first" && got != "200 saved_password" {
				t.Errorf("answer %q", got)
			}
			ask(g, "GET", "saved_password")
			if got := ask(g, "GET", "send_my_password"); got != "200 saved_password" {
				t.Errorf("answer %q after it was saved", got)
			}
		})
	}
	wg.Wait()
}

// passwordServer serves a guest's guard on a real connection.
func passwordServer(t *testing.T, g *dialecttest.Guest) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := g.Guard(&dialect.Request{
			Instance: g.Instance, Method: r.Method, Path: strings.Trim(r.URL.Path, "/"), Header: r.Header, Body: r.Body, Reports: &g.Reports,
		})
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Body)
	}))
	t.Cleanup(s.Close)
	return s
}

// TestPasswordOnTheWire sends the header as clients spell it, byte by byte: a server may take an underscore
// in a name for an error, or spell the name in another way.
func TestPasswordOnTheWire(t *testing.T) {
	t.Parallel()
	s := passwordServer(t, guest("first"))
	for name, request := range map[string]string{
		"wget":           "GET / HTTP/1.1\r\nHost: 10.0.0.1:8080\r\nDomU_Request: send_my_password\r\nConnection: close\r\n\r\n",
		"HTTP/1.0":       "GET / HTTP/1.0\r\nDomU_Request: send_my_password\r\n\r\n",
		"in lower case":  "GET / HTTP/1.0\r\ndomu_request:send_my_password\r\n\r\n",
		"in upper case":  "GET / HTTP/1.0\r\nDOMU_REQUEST:  send_my_password  \r\n\r\n",
		"no end of line": "GET /?a=b HTTP/1.0\nDomU_Request: send_my_password\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK || string(body) != "first" {
				t.Errorf("answer %d %q, %v", resp.StatusCode, body, err)
			}
		})
	}
}

// FuzzPassword holds that every request has an answer, and that the password is told to nobody who does
// not ask for it or has it.
func FuzzPassword(f *testing.F) {
	f.Add("GET", "/", "DomU_Request", "send_my_password", "secret", false)
	f.Add("GET", "/x/../y", "domu_request", "saved_password", "secret", true)
	f.Add("HEAD", "", "DomU_Request", "bad_request", "", false)
	f.Add("P\xff\n", "//\x00", "", "\x00", "saved_password", true)
	f.Fuzz(func(t *testing.T, method, path, name, wish, password string, failing bool) {
		g := guest("")
		g.Instance.Password = instance.Opaque(password)
		if failing {
			g.Reports.Err = errors.New("disk is full")
		}
		a := g.Ask(method, path, wish, name, wish)
		if a == nil {
			t.Fatal("no answer")
		}
		reads := method == "GET" || method == "HEAD"
		isWish := http.CanonicalHeaderKey(name) == http.CanonicalHeaderKey("DomU_Request")
		want := "405 405 Method Not Allowed\n"
		switch {
		case !reads:
		case isWish && wish == "send_my_password" && password != "":
			want = "200 " + password
		case isWish && wish == "saved_password" && failing && password != "":
			want = "500 500 Internal Server Error\n"
		case isWish && (wish == "send_my_password" || wish == "saved_password"):
			want = "200 saved_password"
		default:
			want = "200 bad_request"
		}
		if diff := cmp.Diff(want, fmt.Sprintf("%d %s", a.Status, a.Body)); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
		saved := reads && isWish && wish == "saved_password" && password != "" && !failing
		if kept := g.Reports.Get(reportSubject) != nil; kept != saved {
			t.Errorf("a report is kept: %v, want %v", kept, saved)
		}
	})
}
