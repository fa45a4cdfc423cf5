// SPDX-License-Identifier: Apache-2.0

package ec2_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/ec2"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

const (
	tokenPath = "/latest/api/token"
	leafPath  = "/latest/meta-data/instance-id"
	tokenName = "X-aws-ec2-metadata-token"
	ttlName   = "X-aws-ec2-metadata-token-ttl-seconds"
	forwarded = "X-Forwarded-For"
)

const (
	optional = instance.TokensOptional
	required = instance.TokensRequired
	off      = instance.TokensOff
)

// tree stands for the status of a guard that leaves a request to the tree.
const tree = 0

// newGuest is a guest in a network with a policy, at a guard of its own.
func newGuest(policy instance.TokenPolicy) *dialecttest.Guest {
	in := dialecttest.Small()
	in.Adapters[0].Tokens = policy
	return &dialecttest.Guest{Guard: ec2.Dialect().At(dialect.Metadata).Guard, Instance: in}
}

// neighbour is another guest at the same guard.
func neighbour(g *dialecttest.Guest) *dialecttest.Guest {
	in := dialecttest.Rich()
	in.Adapters[0].Tokens = g.Instance.Adapters[0].Tokens
	return &dialecttest.Guest{Guard: g.Guard, Instance: in}
}

func status(a *dialect.Answer) int {
	if a == nil {
		return tree
	}
	return a.Status
}

// getToken gets a token that is good for some seconds.
func getToken(t testing.TB, g *dialecttest.Guest, seconds int) string {
	t.Helper()
	a := g.Ask(http.MethodPut, tokenPath, "", ttlName, strconv.Itoa(seconds))
	if status(a) != http.StatusOK {
		t.Fatalf("PUT for a token is %d", status(a))
	}
	return string(a.Body)
}

// TestTokenPath holds every code of the path of tokens.
func TestTokenPath(t *testing.T) {
	t.Parallel()
	ttl := func(value string) []string { return []string{ttlName, value} }
	for _, tt := range []struct {
		name, method, path string
		header             []string
		want               int
	}{
		{"six hours", "PUT", tokenPath, ttl("21600"), 200},
		{"a second", "PUT", tokenPath, ttl("1"), 200},
		{"below ec2", "PUT", "/ec2" + tokenPath, ttl("60"), 200},
		{"a header in other letters", "PUT", tokenPath, []string{strings.ToLower(ttlName), "60"}, 200},
		{"with another token", "PUT", tokenPath, []string{ttlName, "60", tokenName, "x"}, 200},
		{"no time to live", "PUT", tokenPath, nil, 400},
		{"an empty one", "PUT", tokenPath, ttl(""), 400},
		{"none at all", "PUT", tokenPath, ttl("0"), 400},
		{"longer than six hours", "PUT", tokenPath, ttl("21601"), 400},
		{"a sign", "PUT", tokenPath, ttl("+60"), 400},
		{"below zero", "PUT", tokenPath, ttl("-60"), 400},
		{"a leading zero", "PUT", tokenPath, ttl("060"), 400},
		{"a space", "PUT", tokenPath, ttl(" 60"), 400},
		{"a fraction", "PUT", tokenPath, ttl("60.0"), 400},
		{"an underscore", "PUT", tokenPath, ttl("6_0"), 400},
		{"hexadecimal", "PUT", tokenPath, ttl("0x3c"), 400},
		{"other digits", "PUT", tokenPath, ttl("٦٠"), 400},
		{"a word", "PUT", tokenPath, ttl("hour"), 400},
		{"beyond 64 bits", "PUT", tokenPath, ttl(strings.Repeat("9", 20)), 400},
		{"very long", "PUT", tokenPath, ttl(strings.Repeat("1", 1<<16)), 400},
		{"two", "PUT", tokenPath, append(ttl("60"), ttl("60")...), 400},
		{"forwarded", "PUT", tokenPath, append(ttl("60"), forwarded, "10.0.0.1"), 403},
		{"forwarded for nobody", "PUT", tokenPath, append(ttl("60"), forwarded, ""), 403},
		{"forwarded and wrong", "PUT", tokenPath, []string{forwarded, "10.0.0.1"}, 403},
		{"of a dated version", "PUT", "/2021-03-23/api/token", ttl("60"), 403},
		{"of a dated version below ec2", "PUT", "/ec2/1.0/api/token", ttl("60"), 403},
		{"of no version", "PUT", "/2021-03-24/api/token", ttl("60"), tree},
		{"below it", "PUT", tokenPath + "/x", ttl("60"), tree},
		{"above it", "PUT", "/latest/api", ttl("60"), tree},
		{"GET", "GET", tokenPath, ttl("60"), 405},
		{"HEAD", "HEAD", tokenPath, ttl("60"), 405},
		{"POST", "POST", tokenPath, ttl("60"), 405},
		{"DELETE below ec2", "DELETE", "/ec2" + tokenPath, nil, 405},
		{"an unknown method", "put", tokenPath, ttl("60"), 405},
		{"OPTIONS", "OPTIONS", tokenPath, nil, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, policy := range []instance.TokenPolicy{optional, required} {
				g := newGuest(policy)
				a := g.Ask(tt.method, tt.path, "", tt.header...)
				if status(a) != tt.want {
					t.Errorf("policy %d: status %d, want %d", policy, status(a), tt.want)
				}
				wantAllow := tt.want == 405 || tt.method == "OPTIONS"
				if allow := a != nil && a.Header["Allow"] == "OPTIONS, PUT"; allow != wantAllow {
					t.Errorf("policy %d: Allow is there: %v, want %v", policy, allow, wantAllow)
				}
				if len(g.Counted) > 0 {
					t.Errorf("policy %d: counted %q", policy, g.Counted)
				}
			}
			if a := newGuest(off).Ask(tt.method, tt.path, "", tt.header...); a != nil {
				t.Errorf("policy off: status %d, want none but the tree's", a.Status)
			}
		})
	}
}

// TestNoTokenInTree holds that the tree answers 404 for the path of tokens where there are none.
func TestNoTokenInTree(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"latest/api/token", "latest/api", "ec2/latest/api/token", "2021-03-23/api/token"} {
		if got := body(t, dialecttest.Rich(), path); got != "404" {
			t.Errorf("/%s is %q", path, got)
		}
	}
}

// TestTokenAnswer holds what comes with a token.
func TestTokenAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		limit, hop int
	}{
		{"no limit is set", 0, 2},
		{"EC2's own", 1, 1},
		{"the highest", 64, 64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGuest(optional)
			g.Instance.Adapters[0].HopLimit = tt.limit
			a := g.Ask("PUT", tokenPath, "", ttlName, "300")
			want := &dialect.Answer{
				Status: http.StatusOK, Header: map[string]string{ttlName: "300"}, Body: a.Body, HopLimit: tt.hop,
			}
			if diff := cmp.Diff(want, a); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if again := getToken(t, g, 300); len(a.Body) != 48 || again == string(a.Body) {
				t.Errorf("tokens %q and %q", a.Body, again)
			}
		})
	}
	t.Run("no adapter", func(t *testing.T) {
		t.Parallel()
		g := newGuest(optional)
		g.Instance = dialecttest.Empty()
		if a := g.Ask("PUT", tokenPath, "", ttlName, "300"); status(a) != http.StatusOK || a.HopLimit != 2 {
			t.Errorf("answer %+v", a)
		}
		if a := g.Ask("GET", leafPath, ""); a != nil {
			t.Errorf("GET without a token is %d", a.Status)
		}
	})
}

// TestPolicies holds what becomes of a GET and a HEAD with and without a token.
func TestPolicies(t *testing.T) {
	t.Parallel()
	const none, bad = "ec2_no_token", "ec2_bad_token"
	for _, tt := range []struct {
		name   string
		policy instance.TokenPolicy
		tokens []string // "good" stands for one that is
		want   int
		count  string
	}{
		{"off, none", off, nil, tree, ""},
		{"off, a wrong one", off, []string{"x"}, tree, ""},
		{"optional, none", optional, nil, tree, none},
		{"optional, a good one", optional, []string{"good"}, tree, ""},
		{"optional, a wrong one", optional, []string{"x"}, 401, bad},
		{"optional, an empty one", optional, []string{""}, 401, bad},
		{"optional, two", optional, []string{"good", "good"}, 401, bad},
		{"required, none", required, nil, 401, none},
		{"required, a good one", required, []string{"good"}, tree, ""},
		{"required, a wrong one", required, []string{"x"}, 401, bad},
		{"required, an empty one", required, []string{""}, 401, bad},
		{"required, two", required, []string{"good", "x"}, 401, bad},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, method := range []string{"GET", "HEAD"} {
				g := newGuest(tt.policy)
				var header []string
				for _, token := range tt.tokens {
					if token == "good" {
						token = getToken(t, g, 60)
					}
					header = append(header, tokenName, token)
				}
				a := g.Ask(method, leafPath, "", header...)
				if status(a) != tt.want {
					t.Errorf("%s: status %d, want %d", method, status(a), tt.want)
				}
				if a != nil && string(a.Body) != "401 Unauthorized\n" {
					t.Errorf("%s: body %q", method, a.Body)
				}
				if got := strings.Join(g.Counted, " "); got != tt.count {
					t.Errorf("%s: counted %q, want %q", method, got, tt.count)
				}
			}
		})
	}
}

// TestScope holds which requests want a token where one is required: those of EC2's paths alone.
func TestScope(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/", tree}, // cloudbase-init's probe
		{"GET", "/ec2", tree},
		{"GET", "/openstack", tree},
		{"GET", "/openstack/latest/meta_data.json", tree},
		{"GET", "/nocloud/meta-data", tree},
		{"GET", "/latest2/meta-data", tree},
		{"GET", "/2021-03-24/meta-data", tree},
		{"GET", "/meta-data/latest", tree},
		{"GET", "/ec2/openstack/latest", tree},
		{"GET", "/latest", 401},
		{"GET", "/ec2/latest", 401},
		{"GET", "/latest/nothing/of/the/kind", 401},
		{"GET", "/latest/api/tokens", 401},
		{"GET", "/2021-03-23/api/token", 401},
		{"HEAD", "/1.0/user-data", 401},
		{"POST", leafPath, tree}, // the carrier's to refuse
		{"OPTIONS", leafPath, tree},
	} {
		if got := status(newGuest(required).Ask(tt.method, tt.path, "")); got != tt.want {
			t.Errorf("%s %s: status %d, want %d", tt.method, tt.path, got, tt.want)
		}
	}
}

// TestNothingIsOpen holds that no document of the tree but the lists of versions is read without a token
// where one is required.
func TestNothingIsOpen(t *testing.T) {
	t.Parallel()
	g := newGuest(required)
	token := getToken(t, g, 60)
	err := render(t, g.Instance).Walk(func(path string, _ *document.Node) error {
		want := http.StatusUnauthorized
		if path == "" || path == "ec2" {
			want = tree
		}
		if got := status(g.Ask("GET", path, "")); got != want {
			return fmt.Errorf("GET /%s: status %d, want %d", path, got, want)
		}
		if a := g.Ask("GET", path, "", tokenName, token); a != nil {
			return fmt.Errorf("GET /%s with a token: status %d", path, a.Status)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	now := 5 * time.Hour
	g := newGuest(required)
	g.Guard = ec2.NewGuard(func() time.Duration { return now })
	short, long := getToken(t, g, 1), getToken(t, g, 21600)
	for _, tt := range []struct {
		after       time.Duration
		short, long int
	}{
		{0, tree, tree},
		{time.Second - 1, tree, tree},
		{time.Second, 401, tree},
		{6*time.Hour - 1, 401, tree},
		{6 * time.Hour, 401, 401},
		{1000 * time.Hour, 401, 401},
	} {
		now = 5*time.Hour + tt.after
		gotShort := status(g.Ask("GET", leafPath, "", tokenName, short))
		gotLong := status(g.Ask("GET", leafPath, "", tokenName, long))
		if gotShort != tt.short || gotLong != tt.long {
			t.Errorf("after %v: statuses %d and %d, want %d and %d", tt.after, gotShort, gotLong, tt.short, tt.long)
		}
	}
}

// TestForeignTokens holds that a token is good where it was made and for whom, and nothing like it is.
func TestForeignTokens(t *testing.T) {
	t.Parallel()
	g := newGuest(optional)
	good := getToken(t, g, 60)
	bad := map[string]string{
		"another instance's": getToken(t, neighbour(g), 60),
		"another process's":  getToken(t, newGuest(optional), 60),
		"a byte short":       good[1:],
		"a byte long":        good + "A",
		"padded":             good + "=",
		"twice as long":      good + good,
		"very long":          strings.Repeat(good, 1000),
		"with a line break":  good[:47] + "\n",
		"of other bytes":     strings.Repeat("\xff", 48),
		"of zeros":           strings.Repeat("A", 48),
	}
	for i := range good {
		other := byte('A')
		if good[i] == other {
			other = 'B'
		}
		bad[fmt.Sprintf("altered at %d", i)] = good[:i] + string(other) + good[i+1:]
	}
	for name, token := range bad {
		if got := status(g.Ask("GET", leafPath, "", tokenName, token)); got != http.StatusUnauthorized {
			t.Errorf("%s: status %d", name, got)
		}
	}
	if a := g.Ask("GET", leafPath, "", tokenName, good); a != nil {
		t.Errorf("the good one: status %d", a.Status)
	}
}

// TestLongTokenIsNotRead holds that what is longer than a token is refused before anything is made of it.
// It is not parallel to others, whose allocations would count.
func TestLongTokenIsNotRead(t *testing.T) {
	g := newGuest(required)
	allocations := func(token string) float64 {
		r := &dialect.Request{
			Instance: g.Instance, Adapter: &g.Instance.Adapters[0], Method: "GET", Path: strings.Trim(leafPath, "/"),
			Header: http.Header{http.CanonicalHeaderKey(tokenName): {token}}, Count: func(string) {},
		}
		return testing.AllocsPerRun(100, func() { g.Guard(r) })
	}
	long, wrong := allocations(strings.Repeat("A", 1<<16)), allocations(strings.Repeat("A", 48))
	if long >= wrong {
		t.Errorf("a long token takes %v allocations, one of the right length %v", long, wrong)
	}
}

// TestManyAtATime holds that guests do not get in one another's way; the race detector watches.
func TestManyAtATime(t *testing.T) {
	t.Parallel()
	first := newGuest(required)
	var mu sync.Mutex
	var all []string
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			g := newGuest(required)
			g.Guard = first.Guard
			for range 200 {
				token := getToken(t, g, 60)
				if a := g.Ask("GET", leafPath, "", tokenName, token); a != nil {
					t.Errorf("status %d", a.Status)
				}
				mu.Lock()
				all = append(all, token)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != 8*200 {
		t.Errorf("%d tokens are different, want %d", n, 8*200)
	}
}

// TestOverHTTP does what a guest's client does, through net/http's own reading of a request.
func TestOverHTTP(t *testing.T) {
	t.Parallel()
	g := newGuest(required)
	root := render(t, g.Instance)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.Trim(r.URL.Path, "/")
		a := g.Guard(&dialect.Request{
			Instance: g.Instance, Adapter: &g.Instance.Adapters[0], Method: r.Method, Path: path, Header: r.Header,
			Body: r.Body, Count: func(string) {},
		})
		if a == nil {
			a = &dialect.Answer{Status: http.StatusOK, Body: root.Lookup(path).Document().Body()}
		}
		for name, value := range a.Header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Body)
	}))
	t.Cleanup(server.Close)
	ask := func(method, path string, header ...string) (int, string, http.Header) {
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Add(header[i], header[i+1])
		}
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text), resp.Header
	}
	code, token, header := ask("PUT", tokenPath, strings.ToLower(ttlName), "60")
	if code != 200 || header.Get(ttlName) != "60" {
		t.Fatalf("PUT: status %d, time to live %q", code, header.Get(ttlName))
	}
	id := body(t, g.Instance, strings.Trim(leafPath, "/"))
	for _, tt := range []struct {
		name, method, path string
		header             []string
		code               int
		text               string
	}{
		{"a good token", "GET", leafPath, []string{tokenName, token}, 200, id},
		{"in small letters", "GET", leafPath, []string{strings.ToLower(tokenName), token}, 200, id},
		{"HEAD", "HEAD", leafPath, []string{tokenName, token}, 200, ""},
		{"forwarded", "GET", leafPath, []string{tokenName, token, forwarded, "10.0.0.1"}, 200, id},
		{"sent twice", "GET", leafPath, []string{tokenName, token, tokenName, token}, 401, "401 Unauthorized\n"},
		{"two in one line", "GET", leafPath, []string{tokenName, token + ", " + token}, 401, "401 Unauthorized\n"},
		{"none", "HEAD", leafPath, nil, 401, ""},
		{"the list of versions", "GET", "/ec2/", nil, 200, body(t, g.Instance, "ec2")},
		{"a forwarded PUT", "PUT", tokenPath, []string{ttlName, "60", forwarded, ""}, 403, "403 Forbidden\n"},
	} {
		code, text, _ := ask(tt.method, tt.path, tt.header...)
		if code != tt.code || text != tt.text {
			t.Errorf("%s: %d %q, want %d %q", tt.name, code, text, tt.code, tt.text)
		}
	}
}

// FuzzGuard holds what is true of the guard whatever a guest sends.
func FuzzGuard(f *testing.F) {
	f.Add("PUT", "latest/api/token", "", "60", "", 0)
	f.Add("GET", "ec2/latest/meta-data/", "x", "", "10.0.0.1", 1)
	f.Add("OPTIONS", "2021-03-23/api/token", strings.Repeat("A", 48), "021600", "", 2)
	shared := newGuest(optional).Guard
	versions := body(f, dialecttest.Small(), "")
	f.Fuzz(func(t *testing.T, method, path, token, ttl, from string, policy int) {
		g := newGuest(instance.TokenPolicy(policy))
		g.Guard = shared
		var header []string
		for name, value := range map[string]string{tokenName: token, ttlName: ttl, forwarded: from} {
			if value != "" {
				header = append(header, name, value)
			}
		}
		a := g.Ask(method, path, "", header...)
		elements := strings.Split(strings.TrimPrefix(strings.Trim(path, "/"), "ec2/"), "/")
		ours := slices.Contains(strings.Split(versions, "\n"), elements[0])
		isToken := slices.Equal(elements[1:], []string{"api", "token"})
		switch {
		case a == nil:
			if ours && !isToken && instance.TokenPolicy(policy) == required && (method == "GET" || method == "HEAD") {
				t.Errorf("%s %q without a good token is answered", method, path)
			}
		case !ours || instance.TokenPolicy(policy) == off:
			t.Errorf("%s %q: status %d for what is none of the guard's", method, path, a.Status)
		case a.Status == http.StatusOK && method == "PUT":
			if !isToken || elements[0] != "latest" || from != "" || a.Header[ttlName] != ttl {
				t.Errorf("a token for PUT %q, forwarded for %q, time to live %q", path, from, ttl)
			}
			if a := g.Ask("GET", leafPath, "", tokenName, string(a.Body)); a != nil {
				t.Errorf("the new token %q gets %d", a.Body, a.Status)
			}
		case a.Status == http.StatusOK && method != "OPTIONS" || a.Status >= http.StatusInternalServerError:
			t.Errorf("%s %q: status %d", method, path, a.Status)
		}
	})
}

// BenchmarkGuard is what a token costs, made and looked at. A wrong one costs no more than a good one, and
// one that is too long next to nothing.
func BenchmarkGuard(b *testing.B) {
	g := newGuest(required)
	good := getToken(b, g, 21600)
	for _, bb := range []struct {
		name, method, path string
		header             []string
	}{
		{"issue", "PUT", tokenPath, []string{ttlName, "60"}},
		{"good", "GET", leafPath, []string{tokenName, good}},
		{"bad", "GET", leafPath, []string{tokenName, strings.Repeat("A", len(good))}},
		{"long", "GET", leafPath, []string{tokenName, strings.Repeat("A", 1<<16)}},
		{"not EC2's", "GET", "/openstack/latest/meta_data.json", nil},
	} {
		b.Run(bb.name, func(b *testing.B) {
			header := make(http.Header)
			for i := 0; i < len(bb.header); i += 2 {
				header.Set(bb.header[i], bb.header[i+1])
			}
			r := &dialect.Request{
				Instance: g.Instance, Adapter: &g.Instance.Adapters[0], Method: bb.method,
				Path: strings.Trim(bb.path, "/"), Header: header, Count: func(string) {},
			}
			b.ReportAllocs()
			for b.Loop() {
				g.Guard(r)
			}
		})
	}
}
