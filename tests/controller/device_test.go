// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/lf-edge/eve-api/go/attest"
	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/config"
	eveuuid "github.com/lf-edge/eve-api/go/eveuuid"
	"github.com/lf-edge/eve-api/go/register"
	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-metadata/pkg/devicekey"
	"github.com/lf-edge/eve-metadata/pkg/envelope"
	"github.com/lf-edge/eve-metadata/tests/controller"
)

// serial is that of all devices here.
const serial = "S1"

// device is one that does each step when it is told to, and each one that it should not do.
type device struct {
	*controller.Controller
	t      *testing.T
	root   string
	keys   *devicekey.Keys
	client *http.Client
	id     string
	token  []byte
}

// newDevice makes one that the controller expects.
func newDevice(t *testing.T, c *controller.Controller) *device {
	t.Helper()
	root := t.TempDir()
	if err := c.Provision(root, serial); err != nil {
		t.Fatal(err)
	}
	return &device{Controller: c, t: t, root: root, keys: devicekey.Open(root), client: newClient(t, c.PKI())}
}

// newMember makes one that has registered and attested.
func newMember(t *testing.T, c *controller.Controller) *device {
	t.Helper()
	d := newDevice(t, c)
	if got := d.register(d.registration()); got.status != http.StatusCreated {
		t.Fatalf("register: %+v", got)
	}
	d.learn()
	d.attest()
	return d
}

// registration is the message with which it registers.
func (d *device) registration() *register.ZRegisterMsg {
	return &register.ZRegisterMsg{PemCert: []byte(base64Of(d.file("config/device.cert.pem"))), Serial: serial}
}

func (d *device) register(m *register.ZRegisterMsg) answer {
	d.t.Helper()
	onboard := d.PKI().Onboard
	body, err := envelope.SealOnboarding(d.marshal(m), onboard.File(), onboard.Key)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.post("register", body)
}

// learn asks for its name.
func (d *device) learn() {
	d.t.Helper()
	var m eveuuid.UuidResponse
	d.must("uuid", http.StatusOK, &eveuuid.UuidRequest{}, &m)
	d.id = m.GetUuid()
}

// attest brings its certificate and takes the token.
func (d *device) attest() {
	d.t.Helper()
	cert := &certs.ZCert{
		Type: certs.ZCertType_CERT_TYPE_DEVICE_ECDH_EXCHANGE, Cert: d.file("persist/certs/ecdh.cert.pem"),
	}
	var m attest.ZAttestResponse
	for _, q := range []*attest.ZAttestReq{
		{ReqType: attest.ZAttestReqType_ATTEST_REQ_CERT, Certs: []*certs.ZCert{cert}},
		{ReqType: attest.ZAttestReqType_ATTEST_REQ_NONCE},
		{ReqType: attest.ZAttestReqType_ATTEST_REQ_QUOTE, Quote: &attest.ZAttestQuote{}},
	} {
		d.must(d.path("attest"), http.StatusCreated, q, &m)
	}
	d.token = m.GetQuoteResp().GetIntegrityToken()
}

// askConfig asks for what is other than what the hash stands for.
func (d *device) askConfig(hash string) answer {
	d.t.Helper()
	return d.ask(d.path("config"), &config.ConfigRequest{ConfigHash: hash, IntegrityToken: d.token})
}

// config asks for its configuration and gets it.
func (d *device) config() *config.ConfigResponse {
	d.t.Helper()
	var m config.ConfigResponse
	d.must(d.path("config"), http.StatusOK, &config.ConfigRequest{IntegrityToken: d.token}, &m)
	return &m
}

func (d *device) path(action string) string { return "id/" + d.id + "/" + action }

// must asks for what it gets.
func (d *device) must(path string, status int, q, m proto.Message) {
	d.t.Helper()
	got := d.ask(path, q)
	if got.status != status || got.mediaType != controller.MediaType {
		d.t.Fatalf("%s: %+v; requests: %v", path, got, d.Requests())
	}
	d.open(got, m)
}

// open reads an answer with the certificate that the controller signs with now.
func (d *device) open(a answer, m proto.Message) {
	d.t.Helper()
	payload, err := envelope.Open([]byte(a.body), d.signing())
	if err != nil {
		d.t.Fatal(err)
	}
	unmarshal(d.t, payload, m)
}

// signing is the certificate for signing that /certs delivers.
func (d *device) signing() []byte {
	d.t.Helper()
	for _, cert := range d.certs() {
		if cert.GetType() == certs.ZCertType_CERT_TYPE_CONTROLLER_SIGNING {
			return cert.GetCert()
		}
	}
	d.t.Fatal("there is no certificate for signing")
	return nil
}

// certs are those that /certs delivers. The envelope is not verified, as EVE does not.
func (d *device) certs() []*certs.ZCert {
	d.t.Helper()
	payload, err := envelope.Unverified([]byte(ask(d.t, d.client, d.url(2, "certs"), nil).body))
	if err != nil {
		d.t.Fatal(err)
	}
	var m certs.ZControllerCert
	unmarshal(d.t, payload, &m)
	return m.GetCerts()
}

// ask posts a message in an envelope of its own.
func (d *device) ask(path string, m proto.Message) answer {
	d.t.Helper()
	return d.post(path, d.seal(m))
}

func (d *device) seal(m proto.Message) []byte {
	d.t.Helper()
	body, err := d.keys.Sign(d.marshal(m))
	if err != nil {
		d.t.Fatal(err)
	}
	return body
}

func (d *device) post(path string, body []byte) answer {
	d.t.Helper()
	return ask(d.t, d.client, d.url(2, path), body)
}

// try asks for the configuration where an answer need not come.
func (d *device) try(ctx context.Context) (answer, error) {
	d.t.Helper()
	body := d.seal(&config.ConfigRequest{IntegrityToken: d.token})
	return try(ctx, d.client, d.url(2, d.path("config")), body)
}

func (d *device) url(version int, path string) string {
	return "https://" + d.Addr() + "/api/v" + string('0'+rune(version)) + "/edgedevice/" + path
}

// shown is a client that shows a certificate of the device's when it connects.
func (d *device) shown(cert, key string) *http.Client {
	d.t.Helper()
	pair, err := tls.X509KeyPair(d.file(cert), d.file(key))
	if err != nil {
		d.t.Fatal(err)
	}
	return newClient(d.t, d.PKI(), func(c *tls.Config) { c.Certificates = []tls.Certificate{pair} })
}

func (d *device) file(name string) []byte {
	d.t.Helper()
	b, err := os.ReadFile(filepath.Join(d.root, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

func (d *device) marshal(m proto.Message) []byte {
	d.t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}
