// SPDX-License-Identifier: Apache-2.0

package openstack_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/openstack"
)

const (
	passwordPath    = "openstack/latest/password"
	passwordSubject = "openstack-password"
	maxPassword     = 1020
)

func newGuest() *dialecttest.Guest {
	return &dialecttest.Guest{Guard: openstack.Dialect().At(dialect.Metadata).Guard, Instance: dialecttest.Small()}
}

// TestPassword goes through the life of a password, each line of a dialogue after the other.
func TestPassword(t *testing.T) {
	t.Parallel()
	type call struct {
		method, body string
		status       int
		answer       string
	}
	limit, beyond := strings.Repeat("p", maxPassword), strings.Repeat("p", maxPassword+1)
	unset := call{"GET", "", 200, ""}
	conflict := func(body string) call { return call{"POST", body, 409, "409 Conflict\n"} }
	for _, tt := range []struct {
		name  string
		calls []call
	}{
		{"nobody has posted", []call{unset, {"HEAD", "", 200, ""}}},
		{"posted once", []call{{"POST", "secret", 200, ""}, {"GET", "", 200, "secret"}, {"HEAD", "", 200, "secret"}}},
		{"posted again", []call{{"POST", "one", 200, ""}, conflict("two"), conflict(""), conflict(beyond), {"GET", "", 200, "one"}}},
		{"nothing posted", []call{{"POST", "", 200, ""}, unset, {"POST", "one", 200, ""}, {"GET", "", 200, "one"}}},
		{"as long as may be", []call{{"POST", limit, 200, ""}, {"GET", "", 200, limit}}},
		{"too long", []call{{"POST", beyond, 400, "A password has at most 1020 bytes.\n"}, unset}},
		{"no text", []call{{"POST", "\x00\xff\r\n", 200, ""}, {"GET", "", 200, "\x00\xff\r\n"}}},
		{"other methods", []call{{"PUT", "x", 405, "405 Method Not Allowed\n"}, {"DELETE", "", 405, "405 Method Not Allowed\n"}, {"get", "", 405, "405 Method Not Allowed\n"}, unset}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGuest()
			for _, want := range tt.calls {
				a := g.Ask(want.method, passwordPath, want.body)
				got := call{want.method, want.body, a.Status, string(a.Body)}
				if got != want {
					t.Errorf("answer %+v, want %+v", got, want)
				}
				if allow := a.Header["Allow"]; (a.Status == http.StatusMethodNotAllowed) != (allow == "GET, HEAD, POST") {
					t.Errorf("%s: status %d with Allow %q", want.method, a.Status, allow)
				}
				if a.Err != nil {
					t.Errorf("%s: the service failed: %v", want.method, a.Err)
				}
			}
		})
	}
}

// TestPasswordPaths holds that the guard answers for a path exactly where the tree has a password.
func TestPasswordPaths(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"openstack/2012-08-10/password":     false,
		"openstack/2013-04-04/password":     true,
		"openstack/2013-10-17/password":     true,
		"openstack/2014-01-01/password":     false,
		"openstack/2025-04-04/password":     true,
		"openstack/latest/password":         true,
		"openstack/2099-01-01/password":     false,
		"openstack/latest/password/x":       false,
		"openstack/latest/x/password":       false,
		"openstack/latest/passwords":        false,
		"openstack/latest":                  false,
		"openstack/password":                false,
		"openstack//password":               false,
		"openstack/latest/meta_data.json":   false,
		"openstack/latest/../password":      false,
		"latest/password":                   false,
		"ec2/latest/password":               false,
		"nocloud/openstack/latest/password": false,
		"":                                  false,
	} {
		g := newGuest()
		if got := g.Ask("GET", path, "") != nil; got != want {
			t.Errorf("%q is answered: %v, want %v", path, got, want)
		}
		if got := lookup(t, g.Instance, path) != nil; got != want && strings.HasSuffix(path, "/password") {
			t.Errorf("%q is in the tree: %v, want %v", path, got, want)
		}
	}
}

func TestPasswordOfAllVersionsIsOne(t *testing.T) {
	t.Parallel()
	g := newGuest()
	g.Ask("POST", "openstack/2013-04-04/password", "one")
	if got := string(g.Ask("GET", passwordPath, "").Body); got != "one" {
		t.Errorf("latest has %q", got)
	}
}

// together is a body that comes when those of all guests are waited for.
type together struct {
	io.Reader
	arrive func()
	all    *sync.WaitGroup
}

func (b *together) Read(p []byte) (int, error) {
	b.arrive()
	b.all.Wait()
	return b.Reader.Read(p)
}

// TestPasswordRace holds that of requests that come at once exactly one is told that its password stands.
func TestPasswordRace(t *testing.T) {
	t.Parallel()
	const requests = 32
	g := newGuest()
	var answers [requests]int
	var all, done sync.WaitGroup
	all.Add(requests)
	for i := range requests {
		done.Go(func() {
			arrive := sync.OnceFunc(all.Done)
			defer arrive() // the others do not wait for one that is answered unread
			body := &together{strings.NewReader(strconv.Itoa(i)), arrive, &all}
			answers[i] = g.Guard(&dialect.Request{
				Instance: g.Instance, Method: "POST", Path: passwordPath, Body: body, Reports: &g.Reports,
			}).Status
		})
	}
	done.Wait()
	kept, err := strconv.Atoi(string(g.Reports.Get(passwordSubject)))
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range answers {
		want := http.StatusConflict
		if i == kept {
			want = http.StatusOK
		}
		if got != want {
			t.Errorf("request %d is answered %d, want %d; the password is that of %d", i, got, want, kept)
		}
	}
}

// latecomer is Reports of a guest whose other request is faster.
type latecomer struct{ dialecttest.Reports }

func (l *latecomer) PutFirst(string, []byte) error { return dialect.ErrReported }

func TestPasswordFailures(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk is full")
	for _, tt := range []struct {
		name string
		req  dialect.Request
		want int
		err  error
	}{
		{"not kept", dialect.Request{Body: strings.NewReader("x"), Reports: &dialecttest.Reports{Err: broken}}, 500, broken},
		{"guest gone", dialect.Request{Body: iotest.ErrReader(errors.New("reset")), Reports: &dialecttest.Reports{}}, 400, nil},
		{"no body", dialect.Request{Reports: &dialecttest.Reports{}}, 200, nil},
		{"another was faster", dialect.Request{Body: strings.NewReader("x"), Reports: &latecomer{}}, 409, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.req.Method, tt.req.Path, tt.req.Instance = "POST", passwordPath, dialecttest.Small()
			a := openstack.Dialect().At(dialect.Metadata).Guard(&tt.req)
			if a.Status != tt.want || !errors.Is(a.Err, tt.err) {
				t.Errorf("status %d with %v, want %d with %v", a.Status, a.Err, tt.want, tt.err)
			}
			if strings.Contains(string(a.Body), broken.Error()) {
				t.Errorf("the guest is told %q", a.Body)
			}
			if tt.req.Reports.Get(passwordSubject) != nil {
				t.Error("a password is kept")
			}
		})
	}
}

// FuzzPassword holds that the guard answers for passwords and nothing else, with one of its answers, and
// keeps what it says it does.
func FuzzPassword(f *testing.F) {
	root, err := openstack.Dialect().At(dialect.Metadata).Render(dialecttest.Small())
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range []string{passwordPath, "/openstack/2013-04-04/password/", "openstack/2012-08-10/password", "openstack", ""} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", ""} {
			f.Add(method, path, "secret")
		}
	}
	f.Add("POST", passwordPath, strings.Repeat("p", maxPassword+1))
	statuses := map[string][]int{"GET": {200}, "HEAD": {200}, "POST": {200, 400}}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		g := newGuest()
		a := g.Ask(method, path, body)
		path = strings.Trim(path, "/")
		if mine := root.Lookup(path) != nil && strings.HasSuffix(path, "/password"); (a != nil) != mine {
			t.Fatalf("%q is answered with %+v; there is a password: %v", path, a, mine)
		}
		if a == nil {
			return
		}
		want, ok := statuses[method]
		if !ok {
			want = []int{405}
		}
		if !slices.Contains(want, a.Status) || a.Err != nil {
			t.Errorf("%s is answered with %d (%v), want one of %v", method, a.Status, a.Err, want)
		}
		kept := ""
		if method == "POST" && len(body) <= maxPassword {
			kept = body
		}
		if diff := cmp.Diff(kept, string(g.Ask("GET", path, "").Body)); diff != "" {
			t.Errorf("password (-want +got):\n%s", diff)
		}
	})
}
