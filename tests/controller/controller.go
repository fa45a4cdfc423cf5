// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/config"
)

// headerTimeout is how long a client may take to ask.
const headerTimeout = 10 * time.Second

// Config is what a controller starts from. The zero value will do.
type Config struct {
	// PKI is its certificates and keys; nil for new ones.
	PKI *PKI
	// Listen opens its listener, at each Start: in another network namespace, say. nil for a free port of 127.0.0.1,
	// which stays the same.
	Listen func() (net.Listener, error)
	// Random is what names of devices, nonces and integrity tokens are made of; nil for crypto/rand.
	Random io.Reader
	// Log is told of each request; nil for nobody.
	Log func(Request)
}

// Cert is a certificate that /certs delivers.
type Cert struct {
	Type certs.ZCertType
	Identity
}

// Controller is one. Its methods may be called at any time and from any goroutine.
type Controller struct {
	pki     *PKI
	listen  func() (net.Listener, error)
	random  io.Reader
	log     func(Request)
	handler http.Handler

	mu         sync.Mutex
	server     *http.Server // nil: stopped
	addr       string       // where it listens, or did last
	signer     Identity
	certs      []Cert
	expected   []onboarding
	devices    []*device
	fallback   *config.EdgeDevConfig // of devices that have none
	variations map[string][]Variation
	requests   []Request
	came       chan struct{} // closed, and made anew, when a request is added
}

// New makes a controller that does not listen yet.
func New(cfg Config) (*Controller, error) {
	if cfg.PKI == nil {
		pki, err := NewPKI()
		if err != nil {
			return nil, err
		}
		cfg.PKI = pki
	}
	c := &Controller{
		pki:    cfg.PKI,
		listen: cfg.Listen,
		random: cfg.Random,
		log:    cfg.Log,
		addr:   "127.0.0.1:0",
		signer: cfg.PKI.Signing,
		certs: []Cert{
			{certs.ZCertType_CERT_TYPE_CONTROLLER_SIGNING, cfg.PKI.Signing},
			{certs.ZCertType_CERT_TYPE_CONTROLLER_ECDH_EXCHANGE, cfg.PKI.Encrypt},
		},
		variations: map[string][]Variation{},
		came:       make(chan struct{}),
	}
	if c.listen == nil {
		c.listen = c.listenAgain
	}
	if c.random == nil {
		c.random = rand.Reader
	}
	if c.log == nil {
		c.log = func(Request) {}
	}
	c.handler = c.routes()
	return c, nil
}

// Start runs a controller for a test, until the test ends.
func Start(t testing.TB, cfg Config) *Controller {
	t.Helper()
	c, err := New(cfg)
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatalf("start controller: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Errorf("stop controller: %v", err)
		}
	})
	return c
}

// Start listens and serves, in the background. After a Stop it goes on with all it knew, at the same address.
func (c *Controller) Start() error {
	l, err := c.listen()
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           c.handler,
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          log.New(io.Discard, "", 0), // of handshakes that fail, which tests want
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			ClientAuth: tls.RequestClientCert, // version 1 of the API looks at it
			Certificates: []tls.Certificate{{
				Certificate: [][]byte{c.pki.Server.Cert.Raw}, PrivateKey: c.pki.Server.Key,
			}},
		},
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server != nil {
		return errors.Join(errRunning, l.Close())
	}
	c.server, c.addr = server, l.Addr().String()
	go func() { _ = server.ServeTLS(l, "", "") }() // it ends at Stop, or with the listener
	return nil
}

var errRunning = errors.New("the controller runs already")

// listenAgain listens where it did last.
func (c *Controller) listenAgain() (net.Listener, error) {
	var l net.ListenConfig
	return l.Listen(context.Background(), "tcp", c.Addr())
}

// Stop ends all connections, and listens no more. A controller that does not run is left alone.
func (c *Controller) Stop() error {
	c.mu.Lock()
	server := c.server
	c.server = nil
	c.mu.Unlock()
	if server == nil {
		return nil
	}
	return server.Close()
}

// Addr is where the controller listens, as host:port: the content of a device's /config/server.
func (c *Controller) Addr() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addr
}

// PKI is what the controller started with, which rotations leave as it is.
func (c *Controller) PKI() *PKI { return c.pki }

// SetSigner has envelopes signed by another identity from now on. What /certs delivers does not follow.
func (c *Controller) SetSigner(id Identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signer = id
}

// SetCerts replaces what /certs delivers. The configuration tells devices that it changed.
func (c *Controller) SetCerts(certs ...Cert) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.certs = slices.Clone(certs)
}

// Certs is what /certs delivers.
func (c *Controller) Certs() []Cert {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.certs)
}

// RotateSigning has envelopes signed with a new certificate, which /certs delivers in place of the old one: devices take
// exactly one.
func (c *Controller) RotateSigning() error {
	id, err := c.pki.Root.Issue("signing", x509.KeyUsageDigitalSignature)
	if err != nil {
		return err
	}
	c.SetSigner(id)
	c.offer(Cert{certs.ZCertType_CERT_TYPE_CONTROLLER_SIGNING, id}, false)
	return nil
}

// RotateEncrypt has Encrypt use a new certificate, which /certs delivers: before the old one if that is to be kept, so
// that what was encrypted with it can still be read, and else in its place.
func (c *Controller) RotateEncrypt(keep bool) error {
	id, err := c.pki.Root.Issue("encrypt", x509.KeyUsageKeyAgreement)
	if err != nil {
		return err
	}
	c.offer(Cert{certs.ZCertType_CERT_TYPE_CONTROLLER_ECDH_EXCHANGE, id}, keep)
	return nil
}

// offer puts a certificate before those of its type, or in their place.
func (c *Controller) offer(cert Cert, keep bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := func(old Cert) bool { return old.Type == cert.Type }
	at := max(slices.IndexFunc(c.certs, of), 0)
	all := slices.Insert(slices.Clone(c.certs), at, cert)
	if !keep {
		rest := slices.DeleteFunc(all[at+1:], of)
		all = all[:at+1+len(rest)]
	}
	c.certs = all
}

// certsHash is what tells devices that /certs has changed: as Adam makes it, of the texts as files have them.
func (c *Controller) certsHash() string {
	h := sha256.New()
	for _, cert := range c.certs {
		h.Write(cert.File())
	}
	return base64.URLEncoding.EncodeToString(h.Sum(nil))
}

// Expect lets a device with the serial number register with an onboarding certificate.
func (c *Controller) Expect(onboard *x509.Certificate, serial string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expected = append(c.expected, onboarding{onboard, serial})
}

// Add lets a device in that does not have to register.
func (c *Controller) Add(id uuid.UUID, cert *x509.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.devices = append(c.devices, &device{Device: Device{UUID: id, Cert: cert}})
}

// Devices are those that registered or were added, in that order.
func (c *Controller) Devices() []Device {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]Device, len(c.devices))
	for i, d := range c.devices {
		all[i] = d.Device
	}
	return all
}

// SetConfig gives a device a configuration, or takes it away when that is nil; uuid.Nil stands for all devices that have
// none of their own. Without an id in it, it gets the device's. The caller must not change it any more.
func (c *Controller) SetConfig(id uuid.UUID, cfg *config.EdgeDevConfig) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id == uuid.Nil {
		c.fallback = cfg
		return nil
	}
	d, err := c.named(id)
	if err != nil {
		return err
	}
	if own := cfg.GetId().GetUuid(); own != "" && own != id.String() {
		return fmt.Errorf("configuration is of device %s, not of %s", own, id)
	}
	d.config = cfg
	return nil
}

// ExpireToken makes the integrity token that a device was given worth nothing: it has to attest anew.
func (c *Controller) ExpireToken(id uuid.UUID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.named(id)
	if err == nil {
		d.token = ""
	}
	return err
}

var errNoDevice = errors.New("there is no such device")

func (c *Controller) named(id uuid.UUID) (*device, error) {
	for _, d := range c.devices {
		if d.UUID == id {
			return d, nil
		}
	}
	return nil, fmt.Errorf("device %s: %w", id, errNoDevice)
}
