// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"io"
	"math/big"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/lf-edge/eve-api/go/auth"
	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	exchange = "../../../tests/conformance/eveapi/testdata/exchange/"
	pki      = "../../envelope/testdata/pki/"
)

// recordedStep is a request that was recorded, with its answer.
type recordedStep struct {
	path     string
	file     string // "": there was no body of the request, or none that was recorded
	sender   string
	status   int
	response string // file; "" for none
	tokens   bool   // the recorded request has the token and the hash that this one has
}

// recorded is Adam as it was recorded: it wants the requests that there were, in the order of this device.
type recorded struct {
	t *testing.T

	mu    sync.Mutex
	steps []recordedStep
}

// expect makes steps be what is to come.
func (r *recorded) expect(steps []recordedStep) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = steps
}

// left is how many steps are still to come.
func (r *recorded) left() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.steps)
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r *recorded) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.steps) == 0 {
		r.t.Errorf("asked for %s at the end", req.URL.Path)
		return refusal(http.StatusNotFound), nil
	}
	step := r.steps[0]
	r.steps = r.steps[1:]
	if want := "/api/v2/edgedevice/" + step.path; req.URL.Path != want || req.URL.Host != "controller.example.com" {
		r.t.Errorf("asked for %s, want %s", req.URL, want)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.compare(step, body)
	if step.response == "" {
		return refusal(step.status), nil
	}
	return reply(step.status, protobufType, readFile(r.t, exchange+step.response)), nil
}

// compare holds a request against the recorded one. Signatures are never the same twice: both have to be the sender's.
func (r *recorded) compare(step recordedStep, body []byte) {
	if step.file == "" {
		if len(body) > 0 {
			r.t.Errorf("%s: has a body of %d bytes", step.path, len(body))
		}
		return
	}
	block, _ := pem.Decode(readFile(r.t, pki+step.sender+".pem"))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		r.t.Fatal(err)
	}
	var want, got auth.AuthContainer
	unmarshal(r.t, readFile(r.t, exchange+step.file), &want)
	unmarshal(r.t, body, &got)
	for _, e := range []*auth.AuthContainer{&want, &got} {
		digest, s := sha256.Sum256(e.GetProtectedPayload().GetPayload()), e.GetSignatureHash()
		if !ecdsa.Verify(cert.PublicKey.(*ecdsa.PublicKey), digest[:], new(big.Int).SetBytes(s[:32]), new(big.Int).SetBytes(s[32:])) {
			r.t.Errorf("%s: the signature is not that of %s", step.file, step.sender)
		}
		e.SignatureHash = nil
		if !step.tokens {
			var m config.ConfigRequest
			unmarshal(r.t, e.GetProtectedPayload().GetPayload(), &m)
			m.IntegrityToken, m.ConfigHash = nil, ""
			e.ProtectedPayload.Payload = marshal(r.t, &m)
		}
	}
	if diff := cmp.Diff(&want, &got, protocmp.Transform()); diff != "" {
		r.t.Errorf("%s (-want +got):\n%s", step.file, diff)
	}
}

// TestRecorded goes the way of a device from its registration to a changed configuration, as it was recorded with Adam.
// What is published in the end is in testdata.
func TestRecorded(t *testing.T) {
	t.Parallel()
	const device = "id/" + deviceID + "/"
	certs := recordedStep{"certs", "", "", http.StatusOK, "01-certs.response", true}
	unknown := recordedStep{"uuid", "05-uuid.request", "device", http.StatusUnauthorized, "", true}
	attest := []recordedStep{
		{device + "attest", "09-attest-cert.request", "device", http.StatusCreated, "09-attest-cert.response", true},
		{device + "attest", "10-attest-nonce.request", "device", http.StatusCreated, "10-attest-nonce.response", true},
		{device + "attest", "11-attest-quote.request", "device", http.StatusCreated, "11-attest-quote.response", true},
	}
	rounds := [][]recordedStep{
		{certs, unknown, {"register", "02-register-refused.request", "onboard", http.StatusForbidden, "", true}},
		slices.Concat([]recordedStep{
			unknown,
			{"register", "04-register.request", "onboard", http.StatusCreated, "", true},
			{"uuid", "05-uuid.request", "device", http.StatusOK, "05-uuid.response", true},
		}, attest, []recordedStep{
			{device + "config", "06-config-none.request", "device", http.StatusNotFound, "", false},
		}),
		slices.Concat([]recordedStep{
			{device + "config", "08-config-unattested.request", "device", http.StatusForbidden, "", false},
		}, attest, []recordedStep{
			{device + "config", "12-config.request", "device", http.StatusOK, "12-config.response", true},
		}),
		{{device + "config", "13-config-unchanged.request", "device", http.StatusNotModified, "", true}},
		// The configuration says so of the certificates.
		{{device + "config", "15-config-changed.request", "device", http.StatusOK, "15-config-changed.response", false}},
	}
	inWorld(t, func(w *world) {
		for _, f := range [][2]string{
			{"device.pem", "config/device.cert.pem"}, {"device-key.pem", "config/device.key.pem"}, {"root.pem", "config/root-certificate.pem"},
			{"ecdh.pem", "persist/certs/ecdh.cert.pem"}, {"ecdh-key.pem", "persist/certs/ecdh.key.pem"},
		} {
			w.write(f[1], readFile(w, pki+f[0]))
		}
		server := &recorded{t: w.T}
		begin := time.Now()
		w.cfg.Now = func() time.Time { return time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Since(begin)) }
		w.cfg.Transport = server
		w.cfg.OnboardCert, w.cfg.OnboardKey, w.cfg.Serial = pki+"onboard.pem", pki+"onboard-key.pem", "S1"
		for i, round := range rounds {
			server.expect(round)
			if i == 0 {
				w.start()
			}
			for range 60 { // until the next round, and not until the one after that
				if server.left() == 0 {
					break
				}
				w.pass(time.Second)
			}
			w.is(round[0].path, 0, server.left())
		}
		w.is("problems in the end", "", w.status().Error)
		w.golden("testdata/recorded.golden.json", map[string]any{
			"AppInstanceConfig":     table[eve.AppInstanceConfig](w),
			"AppNetworkConfig":      table[eve.AppNetworkConfig](w),
			"CipherContext":         table[eve.CipherContext](w),
			"ControllerCert":        table[eve.ControllerCert](w),
			"EdgeNodeCert":          table[eve.EdgeNodeCert](w),
			"EdgeNodeInfo":          table[eve.EdgeNodeInfo](w),
			"NetworkInstanceConfig": table[eve.NetworkInstanceConfig](w),
		})
	})
}

func (w *world) golden(name string, v any) {
	w.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		w.Fatal(err)
	}
	b = append(b, '\n')
	if *update {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			w.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(readFile(w, name)), string(b)); diff != "" {
		w.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// FuzzAnswers: no answer, signed or not, makes the feed fall over; and of what the controller has not signed it publishes
// nothing, nor forgets what it has.
func FuzzAnswers(f *testing.F) {
	for i, name := range []string{"01-certs", "05-uuid", "11-attest-quote", "12-config"} {
		b := readFile(f, exchange+name+".response")
		var e auth.AuthContainer
		unmarshal(f, b, &e)
		f.Add(uint8(i), false, b)
		f.Add(uint8(i), true, e.GetProtectedPayload().GetPayload())
	}
	f.Fuzz(func(t *testing.T, which uint8, signed bool, body []byte) {
		inWorld(t, func(w *world) {
			w.give(configuration("web", w.keys))
			w.start()
			w.stop()
			actions := []string{"certs", "uuid", "attest", "config"}
			w.vary(actions[int(which)%len(actions)], func(*http.Response) (*http.Response, error) {
				if signed {
					return w.server.give(body), nil
				}
				return reply(http.StatusOK, protobufType, bytes.Clone(body)), nil
			})
			w.server.set(func() { w.server.token = "another" })
			w.start()
			w.pass(time.Minute)
			if got := w.apps(); !signed && got != "web" {
				t.Errorf("published %q", got)
			}
		})
	})
}
