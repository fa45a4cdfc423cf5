// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-api/go/attest"
	"github.com/lf-edge/eve-api/go/auth"
	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-api/go/evecommon"
	eveuuid "github.com/lf-edge/eve-api/go/eveuuid"
)

const protobufType = "application/x-proto-binary"

// identity is a certificate and its key.
type identity struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate signed by an authority, or by itself where that is nobody.
func (i identity) issue(t testing.TB, name string, until time.Time) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"127.0.0.1", "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until, IsCA: i.key == nil, BasicConstraintsValid: true,
	}
	parent, signer := i.cert, i.key
	if signer == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return identity{cert, key}
}

func (i identity) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})
}

func (i identity) keyPEM(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

// hash is the name of a controller's certificate.
func (i identity) hash() []byte {
	sum := sha256.Sum256(bytes.TrimSpace(i.certPEM()))
	return sum[:]
}

func (i identity) zcert(kind certs.ZCertType) *certs.ZCert {
	return &certs.ZCert{
		HashAlgo: evecommon.HashAlgorithm_HASH_ALGORITHM_SHA256_16BYTES, CertHash: i.hash()[:16], Type: kind,
		Cert: bytes.TrimSpace(i.certPEM()),
	}
}

// seal makes an envelope as a controller does.
func (i identity) seal(t testing.TB, payload []byte) []byte {
	t.Helper()
	digest := sha256.Sum256(payload)
	r, s, err := ecdsa.Sign(rand.Reader, i.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return marshal(t, &auth.AuthContainer{
		ProtectedPayload: &auth.AuthBody{Payload: payload},
		Algo:             evecommon.HashAlgorithm_HASH_ALGORITHM_SHA256_32BYTES,
		SenderCertHash:   i.hash(),
		SignatureHash:    append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...),
	})
}

// signed tells whether a device made an envelope.
func (i identity) signed(e *auth.AuthContainer) bool {
	digest := sha256.Sum256(e.GetProtectedPayload().GetPayload())
	name, s := sha256.Sum256(i.cert.Raw), e.GetSignatureHash()
	return bytes.Equal(e.GetSenderCertHash(), name[:]) && len(s) == 64 && ecdsa.Verify(&i.key.PublicKey, digest[:],
		new(big.Int).SetBytes(s[:32]), new(big.Int).SetBytes(s[32:]))
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unmarshal(t testing.TB, b []byte, m proto.Message) {
	t.Helper()
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
}

// server is a controller without a network: it answers as version 2 of the API does.
type server struct {
	t       *testing.T
	device  identity
	onboard identity

	mu       sync.Mutex
	signer   identity
	offered  []byte // ZControllerCert
	uuid     string // "": the device is not known
	serial   string // with which it may register
	token    string
	response *config.ConfigResponse // nil: there is none
	answers  map[string]answer      // of an action, in place of the right ones
	asked    []string               // the actions, and the answers' status
	headers  []http.Header
}

// answer makes an answer out of the right one.
type answer func(*http.Response) (*http.Response, error)

func reply(status int, kind string, body []byte) *http.Response {
	header := http.Header{}
	if kind != "" {
		header.Set("Content-Type", kind)
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(body))}
}

func refusal(status int) *http.Response {
	return reply(status, "text/plain", []byte(http.StatusText(status)))
}

// set changes the server.
func (s *server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// all is every request.
const all = 1 << 30

// requests returns what was asked since the last call, no more than the first n of it, in one line.
func (s *server) requests(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := strings.Join(s.asked[:min(n, len(s.asked))], ", ")
	s.asked, s.headers = nil, nil
	return asked
}

func (s *server) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	action := strings.TrimPrefix(req.URL.Path, "/api/v2/edgedevice/")
	action = strings.TrimPrefix(action, "id/"+s.uuid+"/")
	resp := s.right(action, body)
	if vary := s.answers[action]; vary != nil {
		resp, err = vary(resp)
	}
	status := "lost"
	if err == nil {
		status = http.StatusText(resp.StatusCode)
	}
	s.asked = append(s.asked, action+" "+status)
	s.headers = append(s.headers, req.Header.Clone())
	return resp, err
}

func (s *server) right(action string, body []byte) *http.Response {
	var e auth.AuthContainer
	unmarshal(s.t, body, &e)
	sender := s.device
	if action == "register" {
		sender = s.onboard
	}
	if action != "certs" && !sender.signed(&e) {
		s.t.Errorf("%s: the envelope is not the device's", action)
	}
	payload := e.GetProtectedPayload().GetPayload()
	switch action {
	case "certs":
		return s.give(s.offered)
	case "uuid":
		if s.uuid == "" {
			return refusal(http.StatusUnauthorized)
		}
		return s.give(marshal(s.t, &eveuuid.UuidResponse{Uuid: s.uuid}))
	case "register":
		if s.serial == "" {
			return refusal(http.StatusForbidden)
		}
		s.uuid = deviceID
		return reply(http.StatusCreated, "", nil)
	case "attest":
		return s.attest(payload)
	case "config":
		return s.config(payload)
	}
	return refusal(http.StatusNotFound)
}

func (s *server) give(payload []byte) *http.Response {
	return reply(http.StatusOK, protobufType, s.signer.seal(s.t, payload))
}

func (s *server) attest(payload []byte) *http.Response {
	var m attest.ZAttestReq
	unmarshal(s.t, payload, &m)
	r := &attest.ZAttestResponse{}
	if m.GetReqType() == attest.ZAttestReqType_ATTEST_REQ_QUOTE {
		r.QuoteResp = &attest.ZAttestQuoteResp{
			Response:       attest.ZAttestResponseCode_Z_ATTEST_RESPONSE_CODE_SUCCESS,
			IntegrityToken: []byte(s.token),
		}
	}
	return s.give(marshal(s.t, r))
}

func (s *server) config(payload []byte) *http.Response {
	var m config.ConfigRequest
	unmarshal(s.t, payload, &m)
	switch {
	case s.response == nil:
		return refusal(http.StatusNotFound)
	case string(m.GetIntegrityToken()) != s.token:
		return refusal(http.StatusForbidden)
	case m.GetConfigHash() == s.response.GetConfigHash():
		return reply(http.StatusNotModified, "", nil)
	}
	return s.give(marshal(s.t, s.response))
}

// configuration is one with an app of the given name, and user data that is encrypted with a certificate.
func configuration(app string, with identity) *config.ConfigResponse {
	return &config.ConfigResponse{ConfigHash: "hash of " + app, Config: &config.EdgeDevConfig{
		Id:                       &config.UUIDandVersion{Uuid: deviceID, Version: "1"},
		ControllercertConfighash: hex.EncodeToString(with.hash()),
		Apps: []*config.AppInstanceConfig{{
			Uuidandversion: &config.UUIDandVersion{Uuid: appID, Version: "1"}, Displayname: app,
			CipherData: &evecommon.CipherBlock{CipherContextId: "context", CipherData: []byte("secret")},
		}},
		CipherContexts: []*evecommon.CipherContext{{ContextId: "context", ControllerCertHash: with.hash()[:16]}},
	}}
}
