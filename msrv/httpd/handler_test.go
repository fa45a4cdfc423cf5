// SPDX-License-Identifier: Apache-2.0

package httpd_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/httpd"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/store"
)

const secret = "s3cret user data"

// atMetadata is a tree at the metadata address.
func atMetadata(n *document.Node) map[dialect.Site]*document.Node {
	return map[dialect.Site]*document.Node{dialect.Metadata: n}
}

// tree is what the known caller of the tests reads.
func tree() *document.Node {
	return document.Directory(document.Text("latest"),
		document.Entry{Name: "latest", Node: document.Directory(document.Text("meta-data/\nuser-data"),
			document.Entry{Name: "meta-data", Node: document.Directory(nil,
				document.Entry{Name: "instance-id", Node: document.File(document.Text("i-1"))},
				document.Entry{Name: "a b", Node: document.File(document.Text("spaced"))})},
			document.Entry{Name: "user-data", Node: document.File(document.New(document.TypeBytes, []byte(secret)))},
			document.Entry{Name: "empty", Node: document.File(document.Text(""))},
			document.Entry{Name: "broken", Node: document.File(document.Faulty("key is gone"))},
		)})
}

func newHandler(t testing.TB) (*httpd.Handler, *logtest.Hook) {
	t.Helper()
	s := store.New()
	s.Put(&store.Entry{
		Instance: &instance.Instance{UUID: "u-1", Name: "one"},
		HTTP:     atMetadata(tree()),
		Keys: []store.Key{
			{Network: "blue", Address: netip.MustParseAddr("10.0.0.5")},
			{Network: "blue", Address: netip.MustParseAddr("fe80::5")},
		},
	})
	s.Put(&store.Entry{
		Instance: &instance.Instance{UUID: "u-2", Name: "no metadata wanted"},
		Keys:     []store.Key{{Network: "blue", Address: netip.MustParseAddr("10.0.0.6")}},
	})
	log, hook := logtest.NewNullLogger()
	return &httpd.Handler{Network: "blue", Store: s, Log: log}, hook
}

func TestHandler(t *testing.T) {
	t.Parallel()
	type want struct {
		status int
		body   string
		header map[string]string
	}
	tests := []struct {
		name   string
		method string
		target string
		caller string
		header map[string]string
		want   want
	}{
		{name: "leaf", target: "/latest/meta-data/instance-id",
			want: want{200, "i-1", map[string]string{"Content-Type": document.TypeText, "Content-Length": "3"}}},
		{name: "root listing", target: "/", want: want{status: 200, body: "latest"}},
		{name: "directory with slash", target: "/latest/", want: want{status: 200, body: "meta-data/\nuser-data"}},
		{name: "directory without slash", target: "/latest", want: want{status: 200, body: "meta-data/\nuser-data"}},
		{name: "leaf with slash", target: "/latest/user-data/", want: want{status: 200, body: secret}},
		{name: "doubled slashes", target: "//latest///user-data", want: want{status: 200, body: secret}},
		{name: "dots", target: "/latest/./x/../user-data", want: want{status: 200, body: secret}},
		{name: "dots beyond the root", target: "/../../latest/user-data", want: want{status: 200, body: secret}},
		{name: "escapes", target: "/latest%2Fmeta-data/a%20b", want: want{status: 200, body: "spaced"}},
		{name: "query is ignored", target: "/latest/user-data?x=1", want: want{status: 200, body: secret}},
		{name: "empty document", target: "/latest/empty", want: want{200, "", map[string]string{"Content-Length": "0"}}},
		{name: "case matters", target: "/LATEST/user-data", want: want{status: 404, body: "404 Not Found\n"}},
		{name: "directory without listing", target: "/latest/meta-data/", want: want{status: 404, body: "404 Not Found\n"}},
		{name: "below a leaf", target: "/latest/user-data/x", want: want{status: 404, body: "404 Not Found\n"}},
		{name: "absent", target: "/openstack", want: want{status: 404, body: "404 Not Found\n"}},
		{name: "head", method: "HEAD", target: "/latest/user-data",
			want: want{200, "", map[string]string{"Content-Length": "16"}}},
		{name: "wrong method", method: "POST", target: "/latest/user-data",
			want: want{405, "405 Method Not Allowed\n", map[string]string{"Allow": "GET, HEAD"}}},
		{name: "wrong method where nothing is", method: "PUT", target: "/latest/api/token",
			want: want{status: 404, body: "404 Not Found\n"}},
		{name: "broken document", target: "/latest/broken", want: want{status: 500, body: "500 Internal Server Error\n"}},
		{name: "range", target: "/latest/user-data", header: map[string]string{"Range": "bytes=0-5"},
			want: want{206, "s3cret", map[string]string{"Content-Range": "bytes 0-5/16"}}},
		{name: "not modified", target: "/latest/user-data",
			header: map[string]string{"If-None-Match": document.New(document.TypeBytes, []byte(secret)).ETag()},
			want:   want{status: 304}},
		{name: "over IPv6, with a zone", target: "/latest/meta-data/instance-id", caller: "[fe80::5%br0]:999",
			want: want{status: 200, body: "i-1"}},
		{name: "IPv4 mapped into IPv6", target: "/latest/meta-data/instance-id", caller: "[::ffff:10.0.0.5]:999",
			want: want{status: 200, body: "i-1"}},
		{name: "unknown caller", target: "/latest/user-data", caller: "10.0.0.7:1", want: want{status: 404, body: "404 Not Found\n"}},
		{name: "unknown caller at the root", target: "/", caller: "10.0.0.7:1", want: want{status: 404, body: "404 Not Found\n"}},
		{name: "known caller without metadata", target: "/", caller: "10.0.0.6:1", want: want{status: 404, body: "404 Not Found\n"}},
		{name: "headers name nobody", target: "/latest/user-data", caller: "10.0.0.7:1",
			header: map[string]string{"X-Forwarded-For": "10.0.0.5", "X-Instance-ID": "u-1", "Forwarded": "for=10.0.0.5", "Host": "10.0.0.5"},
			want:   want{status: 404, body: "404 Not Found\n"}},
		{name: "forwarded header does no harm", target: "/latest/user-data",
			header: map[string]string{"X-Forwarded-For": "6.6.6.6"}, want: want{status: 200, body: secret}},
		{name: "no caller at all", target: "/", caller: "@", want: want{status: 500, body: "500 Internal Server Error\n"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h, _ := newHandler(t)
			method := test.method
			if method == "" {
				method = http.MethodGet
			}
			r := httptest.NewRequest(method, "http://169.254.169.254"+test.target, nil)
			r.RemoteAddr = "10.0.0.5:4711"
			if test.caller != "" {
				r.RemoteAddr = test.caller
			}
			for k, v := range test.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != test.want.status {
				t.Errorf("status = %d, want %d", w.Code, test.want.status)
			}
			if got := w.Body.String(); got != test.want.body {
				t.Errorf("body = %q, want %q", got, test.want.body)
			}
			for k, v := range test.want.header {
				if got := w.Header().Get(k); got != v {
					t.Errorf("%s = %q, want %q", k, got, v)
				}
			}
		})
	}
}

// A guest may be quicker than the news of it.
func TestNewcomerIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := store.New()
		log, _ := logtest.NewNullLogger()
		h := &httpd.Handler{Network: "blue", Store: s, Grace: time.Second, Log: log}
		ask := func() *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodGet, "/latest/user-data", nil)
			r.RemoteAddr = "10.0.0.5:4711"
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w
		}
		start := time.Now()
		if got := ask().Code; got != http.StatusNotFound || time.Since(start) != time.Second {
			t.Errorf("unknown caller: %d after %v, want 404 after the grace", got, time.Since(start))
		}
		answer := make(chan *httptest.ResponseRecorder)
		start = time.Now()
		go func() { answer <- ask() }()
		time.AfterFunc(300*time.Millisecond, func() {
			s.Put(&store.Entry{
				Instance: &instance.Instance{UUID: "other"}, HTTP: atMetadata(tree()),
				Keys: []store.Key{{Network: "blue", Address: netip.MustParseAddr("10.0.0.9")}},
			})
		})
		time.AfterFunc(600*time.Millisecond, func() {
			s.Put(&store.Entry{
				Instance: &instance.Instance{UUID: "u-1"}, HTTP: atMetadata(tree()),
				Keys: []store.Key{{Network: "blue", Address: netip.MustParseAddr("10.0.0.5")}},
			})
		})
		if w := <-answer; w.Code != http.StatusOK || w.Body.String() != secret || time.Since(start) != 600*time.Millisecond {
			t.Errorf("newcomer: %d %q after %v", w.Code, w.Body, time.Since(start))
		}
	})
}

// One line per request; a broken document is an error with its reason; content is never logged.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	h, hook := newHandler(t)
	for _, target := range []string{"/latest/user-data", "/latest/broken", "/" + strings.Repeat("x", 5000)} {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		r.RemoteAddr = "10.0.0.5:4711"
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	lines := hook.AllEntries()
	if len(lines) != 3 {
		t.Fatalf("%d log lines for 3 requests", len(lines))
	}
	if got := lines[0].Level; got != logrus.InfoLevel {
		t.Errorf("level of a good request = %v", got)
	}
	if got := lines[0].Data["instance"]; got != "u-1" {
		t.Errorf("instance = %v, want u-1", got)
	}
	if got := lines[1]; got.Level != logrus.ErrorLevel || !strings.Contains(got.Data[logrus.ErrorKey].(error).Error(), "key is gone") {
		t.Errorf("broken document logged as %v %v", got.Level, got.Data)
	}
	if got := lines[2].Data["path"].(string); len(got) > httpd.MaxLoggedPath+4 {
		t.Errorf("logged a path of %d bytes", len(got))
	}
	for _, l := range lines {
		text, err := l.String()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, secret) {
			t.Errorf("content in the log: %s", text)
		}
	}
}

// Whatever bytes arrive as a request, the answer is one of the documented codes and never another's data.
func FuzzHandler(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /latest%2fuser-data HTTP/1.0\r\n\r\n",
		"PUT //latest/api/token HTTP/1.1\r\nHost: [fe80::a9fe:a9fe%eth0]\r\nX-Forwarded-For: 10.0.0.5\r\n\r\n",
		"HEAD http://169.254.169.254/latest/../latest/./meta-data/ HTTP/1.1\r\nHost: x\r\nRange: bytes=5-2\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT 10.0.0.5:80 HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	allowed := map[int]bool{200: true, 206: true, 304: true, 404: true, 405: true, 412: true, 416: true, 500: true}
	f.Fuzz(func(t *testing.T, raw string, known bool) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			t.Skip("net/http refuses it before we see it")
		}
		if r.URL == nil {
			r.URL = &url.URL{}
		}
		h, _ := newHandler(t)
		r.RemoteAddr = "10.0.0.7:1"
		if known {
			r.RemoteAddr = "10.0.0.5:1"
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		res := w.Result()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if !allowed[res.StatusCode] {
			t.Errorf("status %d", res.StatusCode)
		}
		if !known && res.StatusCode != http.StatusNotFound {
			t.Errorf("unknown caller got %d %q", res.StatusCode, body)
		}
	})
}
