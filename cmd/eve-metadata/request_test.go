// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/httpd"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/store"
)

// FuzzRequest sends whatever bytes there are, as a guest of every site, to the server with all dialects.
// However they come out, the server answers as HTTP has it or closes the connection, never panics, never
// says that it failed or that one shall wait (cloud-init would, without end), and never tells what is
// another instance's.
func FuzzRequest(f *testing.F) {
	const token = "X-aws-ec2-metadata-token"
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /openstack/latest/meta_data.json HTTP/1.0\r\n\r\n",
		"HEAD //2021-03-23/meta-data/%2e%2e/./x%2F?q HTTP/1.1\r\nHost: [fe80::a9fe:a9fe%25eth0]\r\nRange: bytes=1-\r\n\r\n",
		"PUT /latest/api/token HTTP/1.1\r\nHost: a\r\n" + token + "-ttl-seconds: 21600\r\nX-Forwarded-For: b\r\n\r\n",
		"GET /latest/meta-data/ HTTP/1.1\r\nHost: a\r\n" + token + ": AAAA\r\n\r\nGET /latest/dynamic HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /openstack/2013-04-04/password HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"POST /openstack/latest/password HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n1\r\nx\r\n0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nDomU_Request: send_my_password\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://10.0.0.1/nocloud/user-data HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n",
	} {
		for site := range byte(3) {
			f.Add(site, []byte(request))
		}
	}
	world := newGuestWorld(f)
	f.Fuzz(func(t *testing.T, site byte, request []byte) {
		checkResponses(t, world.ask(t, site, request))
		for _, e := range world.log.AllEntries() {
			if e.Level <= logrus.ErrorLevel || bytes.Contains([]byte(e.Message), []byte("panic")) {
				t.Error(e.String())
			}
		}
		world.log.Reset()
	})
}

// statusLine begins a response.
var statusLine = regexp.MustCompile(`(?m)^HTTP/1\.[01] ([0-9]{3})`)

// checkResponses looks at all that came back on one connection.
func checkResponses(t *testing.T, all []byte) {
	t.Helper()
	if bytes.Contains(all, []byte(dialecttest.Secret)) {
		t.Errorf("another instance's secret:\n%s", all)
	}
	for _, at := range statusLine.FindAllSubmatchIndex(all, -1) {
		head, _, _ := bytes.Cut(all[at[0]:], []byte("\r\n\r\n"))
		switch status := string(all[at[2]:at[3]]); {
		case status == "405" && !bytes.Contains(head, []byte("\r\nAllow: ")):
			t.Errorf("405 without Allow:\n%s", head)
		case status >= "500" && status != "501" && status != "505":
			t.Errorf("the service failed:\n%s", head)
		}
	}
}

// guestWorld is the server with an endpoint at each site.
type guestWorld struct {
	sites []*net.TCPAddr
	log   *logtest.Hook
}

// newGuestWorld starts the server. The caller is Small; beside it there is Rich, whose secrets are not the
// caller's.
func newGuestWorld(f *testing.F) *guestWorld {
	f.Helper()
	s := store.New()
	for i, inst := range []*instance.Instance{dialecttest.Small(), dialecttest.Rich()} {
		inst.Adapters[0].Network = "blue"
		trees, err := msrv.RenderHTTP(dialects(), inst)
		if err != nil {
			f.Fatal(err)
		}
		s.Put(&store.Entry{Instance: inst, HTTP: trees, Keys: []store.Key{
			{Network: "blue", Address: netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + i)})},
		}})
	}
	log, hook := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel) // net/http's own words, panics among them
	w := &guestWorld{log: hook}
	for _, site := range []dialect.Site{dialect.Metadata, dialect.Router, dialect.RouterPassword} {
		l, err := (&net.ListenConfig{}).Listen(f.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			f.Fatal(err)
		}
		handler := &httpd.Handler{ // without limits on how often may be asked
			Network: "blue", Site: site, Store: s, Log: log,
			Reports: func(*instance.Instance) dialect.Reports { return &dialecttest.Reports{} },
		}
		for _, d := range dialects() {
			if s := d.At(site); s.Guard != nil {
				handler.Services = append(handler.Services, s)
			}
		}
		server := handler.NewServer()
		go func() { _ = server.Serve(l) }()
		f.Cleanup(func() { _ = server.Close() })
		w.sites = append(w.sites, l.Addr().(*net.TCPAddr))
	}
	return w
}

// ask sends bytes and returns all that comes back until the server closes the connection.
func (w *guestWorld) ask(t *testing.T, site byte, request []byte) []byte {
	t.Helper()
	conn, err := net.DialTCP("tcp", nil, w.sites[int(site)%len(w.sites)])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Ports are few and connections many: none is to linger.
	if err := conn.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = conn.Write(request) // the server need not read all
		_ = conn.CloseWrite()
	}()
	all, _ := io.ReadAll(conn) // nor end in peace
	return all
}

// A guard answers for its own dialect's paths: whatever it requires there, others are read as ever.
func TestGuardsKeepToThemselves(t *testing.T) {
	t.Parallel()
	strict := dialecttest.Rich()
	strict.Adapters[0].Tokens = instance.TokensRequired
	for _, d := range dialects() {
		for _, s := range d.HTTP {
			if s.Guard == nil || s.Render == nil {
				continue
			}
			guest := &dialecttest.Guest{Guard: s.Guard, Instance: strict}
			for _, other := range dialects() {
				if other.Name == d.Name || other.At(s.Site).Render == nil {
					continue
				}
				tree, err := other.At(s.Site).Render(strict)
				if err != nil {
					t.Fatal(err)
				}
				err = tree.Walk(func(path string, _ *document.Node) error {
					if a := guest.Ask("GET", path, ""); a != nil && path != "" {
						return fmt.Errorf("%s answers %d for /%s of %s", d.Name, a.Status, path, other.Name)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		}
	}
}
