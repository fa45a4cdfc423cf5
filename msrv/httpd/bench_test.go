// SPDX-License-Identifier: Apache-2.0

package httpd_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/httpd"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/store"
)

// What a request costs over a connection that stays open, beside the least that net/http can do: a
// handler that writes the same bytes and knows nobody.
func BenchmarkServe(b *testing.B) {
	body := []byte(strings.Repeat("x", 1<<10))
	s := store.New()
	s.Put(&store.Entry{
		Instance: &instance.Instance{UUID: "u-1"},
		HTTP: atMetadata(document.Directory(nil, document.Entry{Name: "openstack", Node: document.Directory(nil,
			document.Entry{Name: "latest", Node: document.Directory(nil,
				document.Entry{Name: "user_data", Node: document.File(document.New(document.TypeText, body))})})})),
		Keys: []store.Key{{Network: "blue", Address: netip.MustParseAddr("127.0.0.1")}},
	})
	log := logrus.New()
	log.SetOutput(io.Discard)
	for name, handler := range map[string]http.Handler{
		"handler": &httpd.Handler{Network: "blue", Store: s, Log: log},
		"floor":   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }),
	} {
		b.Run(name, func(b *testing.B) {
			server := httptest.NewServer(handler)
			defer server.Close()
			client := server.Client()
			for b.Loop() {
				res, err := client.Get(server.URL + "/openstack/latest/user_data")
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, res.Body)
				if err := res.Body.Close(); err != nil {
					b.Fatal(err)
				}
				if err != nil || n != int64(len(body)) {
					b.Fatalf("%d bytes, %v", n, err)
				}
			}
		})
	}
}
