// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/lf-edge/eve-api/go/attest"
	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-api/go/evecommon"
	eveuuid "github.com/lf-edge/eve-api/go/eveuuid"
	"github.com/lf-edge/eve-api/go/register"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/lf-edge/eve-metadata/pkg/cipher"
	"github.com/lf-edge/eve-metadata/pkg/envelope"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/tests/controller"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRegister(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*device, *register.ZRegisterMsg)
		want   int
	}{
		"expected":        {want: http.StatusCreated},
		"other serial":    {func(_ *device, m *register.ZRegisterMsg) { m.Serial = "S2" }, http.StatusForbidden},
		"soft serial":     {func(_ *device, m *register.ZRegisterMsg) { m.Serial, m.SoftSerial = "", serial }, http.StatusCreated},
		"no certificate":  {func(_ *device, m *register.ZRegisterMsg) { m.PemCert = nil }, http.StatusBadRequest},
		"PEM, not base64": {func(d *device, m *register.ZRegisterMsg) { m.PemCert = d.file("config/device.cert.pem") }, http.StatusBadRequest},
		"any serial": {func(d *device, m *register.ZRegisterMsg) {
			d.Expect(d.PKI().Onboard.Cert, controller.AnySerial)
			m.Serial = "S2"
		}, http.StatusCreated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, controller.Start(t, controller.Config{}))
			m := d.registration()
			if tt.change != nil {
				tt.change(d, m)
			}
			if got := d.register(m); got.status != tt.want {
				t.Errorf("register: %+v, want %d; requests: %v", got, tt.want, d.Requests())
			}
			registered := 0
			if tt.want == http.StatusCreated {
				registered = 1
			}
			if n := len(d.Devices()); n != registered {
				t.Errorf("%d devices, want %d", n, registered)
			}
		})
	}
}

// A right to register is used once, and a device registers once, unless the right is for any serial: that is for many
// devices.
func TestRegisterAgain(t *testing.T) {
	t.Parallel()
	c := controller.Start(t, controller.Config{})
	one, other := newDevice(t, c), newDevice(t, c)
	for _, step := range []struct {
		d      *device
		serial string
		want   int
	}{
		{one, serial, http.StatusCreated},
		{one, serial, http.StatusConflict},
		{other, serial, http.StatusConflict},
		{other, "S9", http.StatusForbidden},
		{nil, controller.AnySerial, 0},
		{one, "S9", http.StatusConflict},
		{other, "S9", http.StatusCreated},
	} {
		if step.d == nil {
			c.Expect(c.PKI().Onboard.Cert, step.serial)
			continue
		}
		m := step.d.registration()
		m.Serial = step.serial
		expectStatus(t, "register with "+step.serial, step.d.register(m), step.want)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	d := newDevice(t, controller.Start(t, controller.Config{}))
	d.register(d.registration())
	d.learn()
	expectStatus(t, "without a configuration", d.askConfig(""), http.StatusNotFound)
	if err := d.SetConfig(uuid.Nil, &config.EdgeDevConfig{DeviceName: "one"}); err != nil {
		t.Fatal(err)
	}
	expectStatus(t, "before it attests", d.askConfig(""), http.StatusForbidden)
	d.attest()
	first := d.config()
	want := &config.EdgeDevConfig{
		Id:                       &config.UUIDandVersion{Uuid: d.id},
		DeviceName:               "one",
		ControllercertConfighash: first.GetConfig().GetControllercertConfighash(),
	}
	if diff := cmp.Diff(want, first.GetConfig(), protocmp.Transform()); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	expectStatus(t, "the same", d.askConfig(first.GetConfigHash()), http.StatusNotModified)

	id := uuid.MustParse(d.id)
	if err := d.SetConfig(id, &config.EdgeDevConfig{DeviceName: "own"}); err != nil {
		t.Fatal(err)
	}
	if name := d.config().GetConfig().GetDeviceName(); name != "own" {
		t.Errorf("configuration of its own: it is %q", name)
	}
	if err := d.ExpireToken(id); err != nil {
		t.Fatal(err)
	}
	expectStatus(t, "token expired", d.askConfig(""), http.StatusForbidden)
	old := d.token
	d.attest()
	if bytes.Equal(old, d.token) {
		t.Error("the new token is the old one")
	}
	expectStatus(t, "new token", d.askConfig(""), http.StatusOK)
	d.token = old
	expectStatus(t, "old token", d.askConfig(""), http.StatusForbidden)

	foreign := &config.EdgeDevConfig{Id: &config.UUIDandVersion{Uuid: uuid.NewString()}}
	if err := d.SetConfig(id, foreign); err == nil {
		t.Error("a device has another one's configuration")
	}
	if err := d.SetConfig(uuid.New(), foreign); err == nil {
		t.Error("a device that there is not has a configuration")
	}
	if err := d.ExpireToken(uuid.New()); err == nil {
		t.Error("a device that there is not has a token")
	}
}

// What no device of EVE's sends is refused, rather than understood.
func TestStrict(t *testing.T) {
	t.Parallel()
	c := controller.Start(t, controller.Config{})
	d, other := newMember(t, c), newDevice(t, c)
	attestation := func(m *attest.ZAttestReq) answer { return d.ask(d.path("attest"), m) }
	expectStatus(t, "device that is not known", other.ask("uuid", &eveuuid.UuidRequest{}), http.StatusUnauthorized)
	expectStatus(t, "empty body", d.post("uuid", []byte{}), http.StatusUnauthorized)
	expectStatus(t, "no envelope", d.post("uuid", []byte("<html>")), http.StatusUnauthorized)
	expectStatus(t, "path of another", d.ask("id/"+uuid.NewString()+"/config", &config.ConfigRequest{}), http.StatusBadRequest)
	expectStatus(t, "body of any size", d.post("uuid", make([]byte, 1<<21)), http.StatusBadRequest)
	expectStatus(t, "no step", attestation(&attest.ZAttestReq{}), http.StatusBadRequest)
	expectStatus(t, "information", d.ask(d.path("info"), &config.ConfigRequest{}), http.StatusCreated)
	expectStatus(t, "another method", ask(t, d.client, d.url(2, "uuid"), nil), http.StatusNotFound)

	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url(2, "uuid"), bytes.NewReader(d.seal(&eveuuid.UuidRequest{})))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/octet-stream")
	resp, err := d.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	expectStatus(t, "content type", answer{status: resp.StatusCode}, http.StatusUnsupportedMediaType)

	var m attest.ZAttestResponse
	quote := &attest.ZAttestQuote{PcrValues: []*attest.TpmPCRValue{{Index: 1, Value: []byte("x")}}}
	d.open(attestation(&attest.ZAttestReq{ReqType: attest.ZAttestReqType_ATTEST_REQ_QUOTE, Quote: quote}), &m)
	if q := m.GetQuoteResp(); q.GetResponse() != attest.ZAttestResponseCode_Z_ATTEST_RESPONSE_CODE_QUOTE_FAILED || q.GetIntegrityToken() != nil {
		t.Errorf("quote of a TPM that nobody knows: %v", q)
	}
}

// Version 1 goes by the connection's certificate, and has neither envelopes nor attestation.
func TestVersion1(t *testing.T) {
	t.Parallel()
	d := newDevice(t, controller.Start(t, controller.Config{}))
	asOnboard := d.shown("config/onboard.cert.pem", "config/onboard.key.pem")
	asDevice := d.shown("config/device.cert.pem", "config/device.key.pem")
	if err := d.SetConfig(uuid.Nil, &config.EdgeDevConfig{DeviceName: "one"}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		client *http.Client
		path   string
		body   proto.Message // nil: GET
		want   int
	}{
		{d.client, "ping", nil, http.StatusUnauthorized},
		{asDevice, "ping", nil, http.StatusUnauthorized},
		{asDevice, "register", d.registration(), http.StatusForbidden},
		{asOnboard, "register", d.registration(), http.StatusCreated},
		{asOnboard, "ping", nil, http.StatusUnauthorized},
		{asDevice, "ping", nil, http.StatusOK},
	} {
		var body []byte
		if step.body != nil {
			body = d.marshal(step.body)
		}
		expectStatus(t, step.path, ask(t, step.client, d.url(1, step.path), body), step.want)
	}
	var name eveuuid.UuidResponse
	unmarshal(t, []byte(ask(t, asDevice, d.url(1, "uuid"), []byte{}).body), &name)
	if name.GetUuid() != d.Devices()[0].UUID.String() {
		t.Errorf("name is %q", name.GetUuid())
	}
	var got config.ConfigResponse
	unmarshal(t, []byte(ask(t, asDevice, d.url(1, "config"), []byte{}).body), &got)
	var bare config.EdgeDevConfig
	unmarshal(t, []byte(ask(t, asDevice, d.url(1, "config"), nil).body), &bare)
	if diff := cmp.Diff(&bare, got.GetConfig(), protocmp.Transform()); diff != "" || bare.GetDeviceName() != "one" {
		t.Errorf("configuration (-bare +with its hash):\n%s", diff)
	}
	q := d.marshal(&config.ConfigRequest{ConfigHash: got.GetConfigHash()})
	expectStatus(t, "the same", ask(t, asDevice, d.url(1, "config"), q), http.StatusNotModified)
}

func TestRotate(t *testing.T) {
	t.Parallel()
	d := newMember(t, controller.Start(t, controller.Config{}))
	if err := d.SetConfig(uuid.Nil, &config.EdgeDevConfig{}); err != nil {
		t.Fatal(err)
	}
	const (
		signing = certs.ZCertType_CERT_TYPE_CONTROLLER_SIGNING
		encrypt = certs.ZCertType_CERT_TYPE_CONTROLLER_ECDH_EXCHANGE
	)
	pki := d.PKI()
	hash := d.config().GetConfig().GetControllercertConfighash()
	for _, step := range []struct {
		name   string
		rotate func() error
		types  []certs.ZCertType
		last   []byte // certificate that is the last one then; nil: a new one
	}{
		{"as it starts", func() error { return nil }, []certs.ZCertType{signing, encrypt}, pki.Encrypt.PEM},
		{"signing", d.RotateSigning, []certs.ZCertType{signing, encrypt}, pki.Encrypt.PEM},
		{"encrypt, old one kept", func() error { return d.RotateEncrypt(true) }, []certs.ZCertType{signing, encrypt, encrypt}, pki.Encrypt.PEM},
		{"encrypt", func() error { return d.RotateEncrypt(false) }, []certs.ZCertType{signing, encrypt}, nil},
	} {
		before := d.signing()
		if err := step.rotate(); err != nil {
			t.Fatal(err)
		}
		var types []certs.ZCertType
		h := sha256.New()
		for _, cert := range d.certs() {
			types = append(types, cert.GetType())
			sum := sha256.Sum256(cert.GetCert())
			if !bytes.Equal(sum[:16], cert.GetCertHash()) {
				t.Errorf("%s: hash of a certificate is %x", step.name, cert.GetCertHash())
			}
			fmt.Fprintf(h, "%s\n", cert.GetCert())
		}
		if diff := cmp.Diff(step.types, types); diff != "" {
			t.Errorf("%s: certificates (-want +got):\n%s", step.name, diff)
		}
		all := d.certs()
		if last := all[len(all)-1].GetCert(); bytes.Equal(last, pki.Encrypt.PEM) != (step.last != nil) {
			t.Errorf("%s: the last certificate is\n%s", step.name, last)
		}
		if anew := !bytes.Equal(before, d.signing()); anew != (step.name == "signing") {
			t.Errorf("%s: new certificate for signing: %v", step.name, anew)
		}
		got := d.config().GetConfig().GetControllercertConfighash() // opens with what /certs delivers
		if want := base64.URLEncoding.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%s: hash of the certificates is %s, want %s", step.name, got, want)
		}
		if anew := got != hash; anew != (step.name != "as it starts") {
			t.Errorf("%s: new hash of the certificates: %v", step.name, anew)
		}
		hash = got
	}
}

// Envelopes may be signed with what /certs does not deliver yet, and /certs deliver what does not sign yet.
func TestRotateInSteps(t *testing.T) {
	t.Parallel()
	d := newMember(t, controller.Start(t, controller.Config{}))
	if err := d.SetConfig(uuid.Nil, &config.EdgeDevConfig{}); err != nil {
		t.Fatal(err)
	}
	old, hash := d.signing(), d.config().GetConfig().GetControllercertConfighash()
	id, err := d.PKI().Root.Issue("signing", x509.KeyUsageDigitalSignature)
	if err != nil {
		t.Fatal(err)
	}
	d.SetSigner(id)
	got := d.askConfig("")
	if _, err := envelope.Open([]byte(got.body), old); !errors.Is(err, envelope.ErrSender) {
		t.Errorf("open with the old certificate: %v", err)
	}
	payload, err := envelope.Open([]byte(got.body), id.PEM)
	if err != nil {
		t.Fatal(err)
	}
	var m config.ConfigResponse
	unmarshal(t, payload, &m)
	if m.GetConfig().GetControllercertConfighash() != hash || !bytes.Equal(d.signing(), old) {
		t.Error("/certs has followed by itself")
	}
	offered := d.Certs()
	offered[0].Identity = id
	d.SetCerts(offered...)
	if d.config().GetConfig().GetControllercertConfighash() == hash {
		t.Error("the configuration does not tell that /certs is other")
	}
}

func TestVary(t *testing.T) {
	t.Parallel()
	stranger, err := controller.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	d := newMember(t, controller.Start(t, controller.Config{}))
	if err := d.SetConfig(uuid.Nil, &config.EdgeDevConfig{DeviceName: "one"}); err != nil {
		t.Fatal(err)
	}
	whole := len(d.askConfig("").body)
	renamed := d.Payload(edited(func(m *config.ConfigResponse) { m.Config.DeviceName = "two" }))
	for _, tt := range []struct {
		name    string
		v       []controller.Variation
		status  int    // 0: no answer
		failure error  // of the exchange, or of Open
		text    string // of that error, where it is of no kind
	}{
		{name: "none", status: http.StatusOK},
		{name: "status", v: []controller.Variation{controller.Status(http.StatusServiceUnavailable)}, status: http.StatusServiceUnavailable, text: "not a message"},
		{name: "drop", v: []controller.Variation{controller.Drop()}, failure: io.EOF},
		{name: "cut off", v: []controller.Variation{controller.CutOff()}, failure: io.ErrUnexpectedEOF},
		{name: "truncated", v: []controller.Variation{controller.Truncated()}, status: http.StatusOK, text: "not a message"},
		{name: "garbage", v: []controller.Variation{controller.Garbage()}, status: http.StatusOK, text: "not a message"},
		{name: "wrong signature", v: []controller.Variation{controller.WrongSignature(stranger.Signing)}, status: http.StatusOK, failure: envelope.ErrSignature},
		{name: "signed by another", v: []controller.Variation{controller.SignedBy(stranger.Signing)}, status: http.StatusOK, failure: envelope.ErrSender},
		{name: "huge", v: []controller.Variation{controller.Huge(1 << 20)}, status: http.StatusOK},
		{name: "payload", v: []controller.Variation{renamed}, status: http.StatusOK},
		{name: "one of another", v: []controller.Variation{renamed, controller.WrongSignature(stranger.Signing)}, status: http.StatusOK, failure: envelope.ErrSignature},
	} {
		d.Vary(controller.Settings, tt.v...)
		got, err := d.try(t.Context())
		var payload []byte
		if err == nil {
			payload, err = envelope.Open([]byte(got.body), d.signing())
			if got.status != tt.status {
				t.Errorf("%s: status is %d", tt.name, got.status)
			}
		}
		switch {
		case !errors.Is(err, tt.failure) && tt.text == "":
			t.Errorf("%s: error is %v, want %v", tt.name, err, tt.failure)
		case tt.text != "" && (err == nil || !strings.Contains(err.Error(), tt.text)):
			t.Errorf("%s: error is %v, want %q", tt.name, err, tt.text)
		}
		if tt.name == "huge" && len(got.body) < whole+1<<20 {
			t.Errorf("huge: %d bytes", len(got.body))
		}
		var m config.ConfigResponse
		unmarshal(t, payload, &m)
		want := ""
		if err == nil {
			want = map[bool]string{true: "two", false: "one"}[tt.name == "payload"]
		}
		if name := m.GetConfig().GetDeviceName(); name != want {
			t.Errorf("%s: device is %q", tt.name, name)
		}
	}
	d.Vary(controller.Settings)
	expectStatus(t, "afterwards", d.askConfig(""), http.StatusOK)
}

// edited is a change of answers that have a configuration, for Payload. It runs in the server, where a test cannot end.
func edited(change func(*config.ConfigResponse)) func([]byte) []byte {
	return func(b []byte) []byte {
		var m config.ConfigResponse
		if err := proto.Unmarshal(b, &m); err != nil {
			panic(err)
		}
		change(&m)
		b, err := proto.Marshal(&m)
		if err != nil {
			panic(err)
		}
		return b
	}
}

// An answer that is held comes when it is let go, and does not keep the controller when the device does not wait for it.
func TestHold(t *testing.T) {
	t.Parallel()
	d := newMember(t, controller.Start(t, controller.Config{}))
	if err := d.SetConfig(uuid.Nil, &config.EdgeDevConfig{}); err != nil {
		t.Fatal(err)
	}
	until := make(chan struct{})
	d.Vary(controller.Settings, controller.Hold(until))
	n := len(d.Requests())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := d.try(ctx)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("device that did not wait: %v", err)
	}
	close(until)
	expectStatus(t, "let go", d.askConfig(""), http.StatusOK)
	if _, _, err := d.Wait(t.Context(), n, controller.Settings, http.StatusOK); err != nil {
		t.Error(err)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	d := newDevice(t, controller.Start(t, controller.Config{}))
	type found struct {
		controller.Request
		n   int
		err error
	}
	waited := make(chan found)
	go func() {
		r, n, err := d.Wait(t.Context(), 0, controller.UUID, http.StatusOK)
		waited <- found{r, n, err}
	}()
	d.register(d.registration())
	d.ask("uuid", &eveuuid.UuidRequest{})
	got := <-waited
	if got.err != nil || got.n != 2 || got.Device != d.Devices()[0].UUID || got.Version != 2 {
		t.Errorf("wait: %v %d %v", got.Request, got.n, got.err)
	}
	r, n, err := d.Wait(t.Context(), 0, controller.Register, http.StatusCreated)
	if err != nil || n != 1 || len(r.Payload) == 0 || len(r.Payload) >= len(r.Body) {
		t.Errorf("wait for what has been: %v %d %v", r, n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.register(d.registration())
	_, _, err = d.Wait(ctx, 2, controller.UUID, http.StatusOK)
	const want = `wait for uuid to be answered 200: context canceled; there were: v2 register: 409 (serial "S1" has registered before)`
	if err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	c := controller.Start(t, controller.Config{})
	d := newMember(t, c)
	addr := c.Addr()
	if err := errors.Join(c.Stop(), c.Stop()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.try(t.Context()); err == nil {
		t.Error("a controller that is stopped answers")
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if c.Addr() != addr {
		t.Errorf("it listens at %s, before at %s", c.Addr(), addr)
	}
	expectStatus(t, "known device", d.askConfig(""), http.StatusNotFound)
	if err := c.Start(); err == nil {
		t.Error("it runs twice")
	}
}

// TestListen runs one at a listener of the caller's.
func TestListen(t *testing.T) {
	t.Parallel()
	var l net.Listener
	c := controller.Start(t, controller.Config{Listen: func() (_ net.Listener, err error) {
		l, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "[::1]:0")
		return l, err
	}})
	if c.Addr() != l.Addr().String() {
		t.Errorf("it listens at %s, want %s", c.Addr(), l.Addr())
	}
	expectStatus(t, "ping", ask(t, newClient(t, c.PKI()), "https://"+c.Addr()+"/api/v2/edgedevice/ping", nil), http.StatusOK)
	failed, err := controller.New(controller.Config{Listen: func() (net.Listener, error) { return nil, net.ErrClosed }})
	if err != nil {
		t.Fatal(err)
	}
	if err := failed.Start(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("start without a listener: %v", err)
	}
}

// What is encrypted here is what the device decrypts.
func TestEncrypt(t *testing.T) {
	t.Parallel()
	d := newMember(t, controller.Start(t, controller.Config{}))
	const secret = "I2Nsb3VkLWNvbmZpZw=="
	plain := &config.EdgeDevConfig{Apps: []*config.AppInstanceConfig{{Displayname: "a", UserData: secret}, {Displayname: "b"}}}
	id := uuid.MustParse(d.id)
	got, err := d.Encrypt(id, plain)
	if err != nil {
		t.Fatal(err)
	}
	if plain.GetApps()[0].GetUserData() != secret || strings.Contains(got.String(), secret) || got.GetApps()[1].GetCipherData() != nil {
		t.Errorf("encrypted: %v", got)
	}
	block, context := got.GetApps()[0].GetCipherData(), got.GetCipherContexts()[0]
	if block.GetCipherContextId() != context.GetContextId() {
		t.Errorf("context of the block is %q, want %q", block.GetCipherContextId(), context.GetContextId())
	}
	opener := &cipher.Opener{
		ControllerCert: func([]byte) (eve.ControllerCert, bool) {
			return eve.ControllerCert{HashAlgo: eve.HashAlgorithmSha256Bytes16, Cert: d.PKI().Encrypt.PEM, CertHash: context.GetControllerCertHash()}, true
		},
		DeviceCert: func([]byte) (eve.EdgeNodeCert, bool) {
			return eve.EdgeNodeCert{HashAlgo: eve.CertHashTypeSha256First16, Cert: d.file("persist/certs/ecdh.cert.pem"), CertID: context.GetDeviceCertHash()}, true
		},
		ECDH: d.keys.ECDH,
	}
	opened, err := opener.Open(&eve.CipherBlockStatus{
		CipherContextID: block.GetCipherContextId(),
		InitialValue:    block.GetInitialValue(),
		CipherData:      block.GetCipherData(),
		ClearTextHash:   block.GetClearTextSha256(),
		IsCipher:        true,
		CipherContext: &eve.CipherContext{
			ContextID:          context.GetContextId(),
			HashScheme:         eve.HashAlgorithm(context.GetHashScheme()),
			KeyExchangeScheme:  eve.KeyExchangeScheme(context.GetKeyExchangeScheme()),
			EncryptionScheme:   eve.EncryptionScheme(context.GetEncryptionScheme()),
			DeviceCertHash:     context.GetDeviceCertHash(),
			ControllerCertHash: context.GetControllerCertHash(),
		},
	})
	if err != nil || opened.GetProtectedUserData() != secret {
		t.Errorf("decrypted: %v, %v", opened, err)
	}
	if _, err := d.Encrypt(uuid.New(), plain); err == nil {
		t.Error("encrypted for a device that there is not")
	}
	stranger := uuid.New()
	d.Add(stranger, d.PKI().Onboard.Cert)
	if _, err := d.Encrypt(stranger, plain); err == nil {
		t.Error("encrypted for a device that has not attested")
	}
}

func TestPKI(t *testing.T) {
	t.Parallel()
	made, err := controller.NewPKI("controller.example", "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := made.Save(dir); err != nil {
		t.Fatal(err)
	}
	loaded, err := controller.LoadPKI(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made, loaded); diff != "" {
		t.Errorf("PKI (-made +loaded):\n%s", diff)
	}
	for _, host := range []string{"controller.example", "192.0.2.1", "localhost", "127.0.0.1", "::1"} {
		if err := loaded.Server.Cert.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if _, err := envelope.NewChain(zcerts(t, loaded.Signing, loaded.Encrypt), pool(loaded.Root), loaded.Root.Cert.NotBefore); err != nil {
		t.Errorf("chain: %v", err)
	}
	if err := os.Remove(dir + "/encrypt-key.pem"); err != nil {
		t.Fatal(err)
	}
	if _, err := controller.LoadPKI(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("load without a key: %v", err)
	}
}

// zcerts is what /certs says of a certificate for signing and one for the exchange of keys.
func zcerts(t *testing.T, signing, encrypt controller.Identity) []byte {
	t.Helper()
	m := &certs.ZControllerCert{}
	for kind, id := range map[certs.ZCertType]controller.Identity{
		certs.ZCertType_CERT_TYPE_CONTROLLER_SIGNING:       signing,
		certs.ZCertType_CERT_TYPE_CONTROLLER_ECDH_EXCHANGE: encrypt,
	} {
		sum := sha256.Sum256(id.PEM)
		m.Certs = append(m.Certs, &certs.ZCert{
			HashAlgo: evecommon.HashAlgorithm_HASH_ALGORITHM_SHA256_32BYTES, CertHash: sum[:], Type: kind, Cert: id.PEM,
		})
	}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pool(root controller.Identity) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(root.Cert)
	return p
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func expectStatus(t *testing.T, what string, got answer, want int) {
	t.Helper()
	if got.status != want {
		t.Errorf("%s: %+v, want %d", what, got, want)
	}
}
