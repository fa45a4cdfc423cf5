// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lf-edge/eve-api/go/attest"
	"github.com/lf-edge/eve-api/go/auth"
	"github.com/lf-edge/eve-api/go/config"
	eveuuid "github.com/lf-edge/eve-api/go/eveuuid"
	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-metadata/pkg/devicekey"
	"github.com/lf-edge/eve-metadata/tests/controller"
)

// node is the one whose files the program makes.
type node struct {
	t      *testing.T
	folder string
	url    string
	client *http.Client
	log    *buffer
}

// start runs the program until the test, or stop, ends it.
func start(t *testing.T, folder string) (n *node, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	n = &node{t: t, folder: folder, log: &buffer{}}
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-listen", "127.0.0.1:0", folder}, w, n.log)
		w.CloseWithError(err)
		ended <- err
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	_, args, _ := strings.Cut(line, "--server ")
	server, _, _ := strings.Cut(args, " ")
	n.url = "https://" + server + "/api/v2/edgedevice/"
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(n.file("node/config/root-certificate.pem"))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	n.client = &http.Client{Transport: transport}
	stop = sync.OnceFunc(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("end: %v", err)
		}
	})
	t.Cleanup(stop)
	return n, stop
}

func (n *node) file(name string) []byte {
	n.t.Helper()
	b, err := os.ReadFile(filepath.Join(n.folder, name))
	if err != nil {
		n.t.Fatal(err)
	}
	return b
}

func (n *node) write(name, content string) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.folder, name), []byte(content), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// ask posts q, reads the answer into m, and returns the status.
func (n *node) ask(path string, q, m proto.Message) int {
	n.t.Helper()
	payload, err := proto.Marshal(q)
	if err != nil {
		n.t.Fatal(err)
	}
	body, err := devicekey.Open(filepath.Join(n.folder, "node")).Sign(payload)
	if err != nil {
		n.t.Fatal(err)
	}
	resp, err := n.client.Post(n.url+path, controller.MediaType, bytes.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	if resp.StatusCode/100 == 2 {
		var e auth.AuthContainer
		if err := proto.Unmarshal(answer, &e); err != nil {
			n.t.Fatal(err)
		}
		if err := proto.Unmarshal(e.GetProtectedPayload().GetPayload(), m); err != nil {
			n.t.Fatal(err)
		}
	}
	return resp.StatusCode
}

// name asks who the node is.
func (n *node) name() string {
	n.t.Helper()
	var m eveuuid.UuidResponse
	if status := n.ask("uuid", &eveuuid.UuidRequest{}, &m); status != http.StatusOK {
		n.t.Fatalf("uuid: %d; log:\n%s", status, n.log)
	}
	return m.GetUuid()
}

// token attests.
func (n *node) token() []byte {
	n.t.Helper()
	var m attest.ZAttestResponse
	n.ask("id/"+n.name()+"/attest", &attest.ZAttestReq{ReqType: attest.ZAttestReqType_ATTEST_REQ_QUOTE}, &m)
	return m.GetQuoteResp().GetIntegrityToken()
}

func TestRun(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	n, stop := start(t, folder)
	name, token := n.name(), n.token()
	binary, err := proto.Marshal(&config.EdgeDevConfig{DeviceName: "binary"})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		file, content string
		status        int
		device        string // name in the configuration
	}{
		{status: http.StatusNotFound},
		{"config.pb", string(binary), http.StatusOK, "binary"},
		{"config.json", `{"deviceName": "one"}`, http.StatusOK, "one"},
		{"config.json", `{"device_name": "two"}`, http.StatusOK, "two"},
		{"config.json", `{"deviceNamee": "three"}`, http.StatusOK, "two"},
		{status: http.StatusOK, device: "two"},
		{"config.json", `{"deviceName": "four"}`, http.StatusOK, "four"},
		{"config.json", `{"deviceNamee": "three"}`, http.StatusOK, "four"},
	} {
		if step.file != "" {
			n.write(step.file, step.content)
		}
		var m config.ConfigResponse
		status := n.ask("id/"+name+"/config", &config.ConfigRequest{IntegrityToken: token}, &m)
		if got := m.GetConfig().GetDeviceName(); status != step.status || got != step.device {
			t.Errorf("%s %s: %d %q, want %d %q", step.file, step.content, status, got, step.status, step.device)
		}
	}
	stop()
	for told, want := range map[string]int{"neither": 1, `unknown field "deviceNamee"`: 2} {
		if c := strings.Count(n.log.String(), told); c != want {
			t.Errorf("told %d times of %s, want %d; log:\n%s", c, told, want, n.log)
		}
	}

	key := n.file("pki/signing-key.pem")
	n, _ = start(t, folder)
	if again := n.name(); again != name {
		t.Errorf("the node is %s now, and was %s", again, name)
	}
	if !bytes.Equal(key, n.file("pki/signing-key.pem")) {
		t.Error("the second start made new keys")
	}
}

// The README's configuration is one that the program takes.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	n, _ := start(t, t.TempDir())
	n.write("config.json", example)
	var m config.ConfigResponse
	status := n.ask("id/"+n.name()+"/config", &config.ConfigRequest{IntegrityToken: n.token()}, &m)
	if status != http.StatusOK || m.GetConfig().GetApps()[0].GetDisplayname() != "app-1" {
		t.Errorf("%d %v; log:\n%s", status, m.GetConfig(), n.log)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	broken := t.TempDir()
	if err := os.MkdirAll(filepath.Join(broken, "pki"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"root", "server", "signing", "encrypt", "onboard"} {
		for _, file := range []string{name + ".pem", name + "-key.pem"} {
			if err := os.WriteFile(filepath.Join(broken, "pki", file), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	partial := t.TempDir()
	if err := os.Mkdir(filepath.Join(partial, "pki"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-listen", "127.0.0.1:0", partial}, "no such file"},
		{nil, "want one folder, not 0"},
		{[]string{"-listen", "8443", t.TempDir()}, "missing port in address"},
		{[]string{"-listen", "127.0.0.1:0", broken}, "load PKI: "},
		{[]string{"-listen", "192.0.2.1:1", t.TempDir()}, "cannot assign requested address"},
	} {
		err := run(t.Context(), tt.args, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error is %v, want %q", tt.args, err, tt.want)
		}
	}
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
