// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/lf-edge/eve-api/go/attest"
	"github.com/lf-edge/eve-api/go/auth"
	"github.com/lf-edge/eve-api/go/config"
	eveuuid "github.com/lf-edge/eve-api/go/eveuuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/lf-edge/eve-metadata/tests/controller"
)

// recorded is where the exchange between a device and Adam is.
const recorded = "../conformance/eveapi/testdata/"

// world is the controller of the recorded exchange, as it was before the first request.
type world struct {
	*controller.Controller
	client *http.Client
}

// newWorld makes the controller that has Adam's keys, and throws the dice as Adam did.
func newWorld(t *testing.T) *world {
	t.Helper()
	pki, err := controller.LoadPKI("testdata/pki")
	if err != nil {
		t.Fatal(err)
	}
	var name eveuuid.UuidResponse
	var nonce, quote attest.ZAttestResponse
	payloadOf(t, "exchange/05-uuid.response", &name)
	payloadOf(t, "exchange/10-attest-nonce.response", &nonce)
	payloadOf(t, "exchange/11-attest-quote.response", &quote)
	id := uuid.MustParse(name.GetUuid())
	dice := append(id[:], unhex(t, nonce.GetNonce().GetNonce())...)
	dice = append(dice, unhex(t, quote.GetQuoteResp().GetIntegrityToken())...)
	w := &world{Controller: controller.Start(t, controller.Config{PKI: pki, Random: bytes.NewReader(dice)})}
	w.client = newClient(t, w.PKI(), func(c *tls.Config) {
		c.Time = func() time.Time { return pki.Server.Cert.NotBefore.Add(time.Hour) }
	})
	return w
}

// TestReplay sends what the device sent. Each answer has to be Adam's, but for the signature, which is never the same
// twice.
func TestReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const device = "id/69ea1697-f9d8-4e01-9ab7-1cdcdd210e36/"
	for _, step := range []struct {
		before  func(*testing.T)
		path    string
		request string // file; "": a GET
		status  int
		body    string // of an answer without an envelope
		answer  string // file
	}{
		{path: "certs", status: http.StatusOK, answer: "01-certs"},
		{path: "register", request: "02-register-refused", status: http.StatusForbidden, body: "Forbidden\n"},
		{
			before: func(*testing.T) { w.Expect(w.PKI().Onboard.Cert, "S1") },
			path:   "register", request: "04-register", status: http.StatusCreated,
		},
		{path: "uuid", request: "05-uuid", status: http.StatusOK, answer: "05-uuid"},
		{path: device + "config", request: "06-config-none", status: http.StatusNotFound, body: "Not Found\n"},
		{
			before: w.setRecordedConfig,
			path:   device + "config", request: "08-config-unattested", status: http.StatusForbidden, body: "Forbidden\n",
		},
		{path: device + "attest", request: "09-attest-cert", status: http.StatusCreated, answer: "09-attest-cert"},
		{path: device + "attest", request: "10-attest-nonce", status: http.StatusCreated, answer: "10-attest-nonce"},
		{path: device + "attest", request: "11-attest-quote", status: http.StatusCreated, answer: "11-attest-quote"},
		{path: device + "config", request: "12-config", status: http.StatusOK, answer: "12-config"},
		{path: device + "config", request: "13-config-unchanged", status: http.StatusNotModified},
		{
			before: w.setChangedConfig,
			path:   device + "config", request: "15-config-changed", status: http.StatusOK, answer: "15-config-changed",
		},
		// Not recorded, and known of Adam.
		{path: "register", request: "04-register", status: http.StatusConflict, body: "Conflict\n"},
		{path: "nothing", status: http.StatusNotFound, body: "Not Found\n"},
	} {
		if step.before != nil {
			step.before(t)
		}
		var body []byte
		if step.request != "" {
			body = read(t, "exchange/"+step.request+".request")
		}
		got := w.ask(t, step.path, body)
		what := step.path + " " + step.request
		want := answer{status: step.status, body: step.body}
		switch {
		case step.answer != "":
			want.mediaType = controller.MediaType
		case step.body != "":
			want.mediaType = "text/plain; charset=utf-8"
		}
		if step.answer != "" {
			checkEnvelope(t, what, read(t, "exchange/"+step.answer+".response"), []byte(got.body), w.PKI().Signing.Cert)
			got.body = ""
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); diff != "" {
			t.Fatalf("%s (-want +got):\n%s\nRequests: %v", what, diff, w.Requests())
		}
	}
	if certs := w.Devices()[0].Certs; len(certs) != 1 || !bytes.HasPrefix(certs[0].GetCert(), []byte("-----BEGIN")) {
		t.Errorf("certificates of the device: %v", certs)
	}
}

// TestReplayForged sends recorded requests with one bit changed: whatever it is, it is not the device's any more.
func TestReplayForged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Expect(w.PKI().Onboard.Cert, "S1")
	if got := w.ask(t, "register", read(t, "exchange/04-register.request")); got.status != http.StatusCreated {
		t.Fatalf("register: %+v", got)
	}
	for name, flip := range map[string]func(*auth.AuthContainer){
		"payload":   func(e *auth.AuthContainer) { e.ProtectedPayload.Payload = append(e.ProtectedPayload.Payload, 0) },
		"sender":    func(e *auth.AuthContainer) { e.SenderCertHash[0] ^= 1 },
		"algorithm": func(e *auth.AuthContainer) { e.Algo-- },
		"signature": func(e *auth.AuthContainer) { e.SignatureHash[40] ^= 1 },
		"unsigned":  func(e *auth.AuthContainer) { e.SignatureHash = nil },
		"shortened": func(e *auth.AuthContainer) { e.SignatureHash = e.SignatureHash[1:] },
		"empty":     func(e *auth.AuthContainer) { proto.Reset(e) },
	} {
		var e auth.AuthContainer
		unmarshal(t, read(t, "exchange/05-uuid.request"), &e)
		flip(&e)
		b, err := proto.Marshal(&e)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.ask(t, "uuid", b); got.status != http.StatusUnauthorized || got.body != "Unauthorized\n" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// setRecordedConfig gives the device what the administrator gave Adam: the JSON of the Go struct.
func (w *world) setRecordedConfig(t *testing.T) {
	t.Helper()
	cfg := &config.EdgeDevConfig{}
	if err := json.Unmarshal(read(t, "config-put.json"), cfg); err != nil {
		t.Fatal(err)
	}
	w.setConfig(t, cfg)
}

func (w *world) setChangedConfig(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile("testdata/config-changed.pb")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &config.EdgeDevConfig{}
	unmarshal(t, b, cfg)
	w.setConfig(t, cfg)
}

func (w *world) setConfig(t *testing.T, cfg *config.EdgeDevConfig) {
	t.Helper()
	if err := w.SetConfig(w.Devices()[0].UUID, cfg); err != nil {
		t.Fatal(err)
	}
}

// answer is one, as far as it does not change.
type answer struct {
	status    int
	mediaType string
	body      string
}

// ask posts a body to version 2 of the API, or gets, without one.
func (w *world) ask(t *testing.T, path string, body []byte) answer {
	t.Helper()
	return ask(t, w.client, "https://"+w.Addr()+"/api/v2/edgedevice/"+path, body)
}

func ask(t *testing.T, client *http.Client, url string, body []byte) answer {
	t.Helper()
	got, err := try(t.Context(), client, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// try is ask where an answer need not come.
func try(ctx context.Context, client *http.Client, url string, body []byte) (answer, error) {
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		r.Header.Set("Content-Type", controller.MediaType)
	}
	resp, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header.Get("Content-Type"), string(b)}, err
}

// newClient trusts the PKI's root and nobody else.
func newClient(t *testing.T, pki *controller.PKI, options ...func(*tls.Config)) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(pki.Root.Cert)
	c := &tls.Config{RootCAs: roots}
	for _, o := range options {
		o(c)
	}
	transport := &http.Transport{TLSClientConfig: c}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// checkEnvelope compares envelopes, and has the signature be right in place of the same.
func checkEnvelope(t *testing.T, what string, want, got []byte, signer *x509.Certificate) {
	t.Helper()
	var w, g auth.AuthContainer
	unmarshal(t, want, &w)
	unmarshal(t, got, &g)
	for _, e := range []*auth.AuthContainer{&w, &g} {
		digest := sha256.Sum256(e.GetProtectedPayload().GetPayload())
		s := e.GetSignatureHash()
		if len(s) != 64 {
			t.Fatalf("%s: signature has %d bytes", what, len(s))
		}
		r, s2 := new(big.Int).SetBytes(s[:32]), new(big.Int).SetBytes(s[32:])
		if !ecdsa.Verify(signer.PublicKey.(*ecdsa.PublicKey), digest[:], r, s2) {
			t.Errorf("%s: signature is not the controller's", what)
		}
		e.SignatureHash = nil
	}
	if diff := cmp.Diff(&w, &g, protocmp.Transform()); diff != "" {
		t.Errorf("%s: envelope (-recorded +got):\n%s", what, diff)
	}
}

func payloadOf(t *testing.T, file string, m proto.Message) {
	t.Helper()
	var e auth.AuthContainer
	unmarshal(t, read(t, file), &e)
	unmarshal(t, e.GetProtectedPayload().GetPayload(), m)
}

func unmarshal(t *testing.T, b []byte, m proto.Message) {
	t.Helper()
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
}

func unhex(t *testing.T, digits []byte) []byte {
	t.Helper()
	b, err := hex.DecodeString(string(digits))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(recorded + file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
