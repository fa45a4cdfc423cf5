// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/lf-edge/eve-api/go/auth"
	"google.golang.org/protobuf/proto"
)

// MediaType is that of all bodies.
const MediaType = "application/x-proto-binary"

// maxBody is how much a request may bring.
const maxBody = 1 << 20

// Actions of the API: the last elements of their paths.
const (
	Certs    = "certs"
	Register = "register"
	UUID     = "uuid"
	Settings = "config" // Config is something else here
	Attest   = "attest"
	Info     = "info"
	Metrics  = "metrics"
	Ping     = "ping"
)

// asker is who may do an action.
type asker int

const (
	anybody  asker = iota
	newcomer       // who shows an onboarding certificate
	member         // a device that is known
)

// action is one of the API's.
type action struct {
	version int
	pattern string // of http.ServeMux, below the version's root
	name    string
	who     asker
	status  int // of an answer
	// do makes the answer, without an envelope; nil for an answer of no body. The error is a refusal, or one of
	// the controller's own. It is called with the controller locked.
	do func(*Controller, *request) (proto.Message, error)
}

var actions = []action{
	{2, "GET %s/certs", Certs, anybody, http.StatusOK, (*Controller).giveCerts},
	{2, "GET %s/ping", Ping, anybody, http.StatusOK, accept},
	{2, "POST %s/register", Register, newcomer, http.StatusCreated, (*Controller).register},
	{2, "POST %s/uuid", UUID, member, http.StatusOK, (*Controller).giveName},
	{2, "POST %s/id/{device}/config", Settings, member, http.StatusOK, (*Controller).giveConfig},
	{2, "POST %s/id/{device}/attest", Attest, member, http.StatusCreated, (*Controller).attest},
	{2, "POST %s/id/{device}/info", Info, member, http.StatusCreated, accept},
	{2, "POST %s/id/{device}/metrics", Metrics, member, http.StatusCreated, accept},
	{1, "GET %s/ping", Ping, member, http.StatusOK, accept},
	{1, "POST %s/register", Register, newcomer, http.StatusCreated, (*Controller).register},
	{1, "POST %s/uuid", UUID, member, http.StatusOK, (*Controller).giveName},
	{1, "GET %s/config", Settings, member, http.StatusOK, (*Controller).giveBareConfig},
	{1, "POST %s/config", Settings, member, http.StatusOK, (*Controller).giveConfig},
	{1, "POST %s/info", Info, member, http.StatusCreated, accept},
	{1, "POST %s/metrics", Metrics, member, http.StatusCreated, accept},
}

// refusal is an answer that is no success, and, for who reads a test's output, the reason.
type refusal struct {
	status int
	reason string
}

func (r refusal) Error() string { return r.reason }

func refuse(status int, format string, args ...any) error {
	return refusal{status, fmt.Sprintf(format, args...)}
}

// request is a Request on its way.
type request struct {
	Request
	action *action
	device *device           // if it is a member's
	cert   *x509.Certificate // if it is a newcomer's: what it onboards with
}

func (c *Controller) routes() http.Handler {
	mux := http.NewServeMux()
	for i := range actions {
		a := &actions[i]
		pattern := fmt.Sprintf(a.pattern, fmt.Sprintf("/api/v%d/edgedevice", a.version))
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { c.serve(a, w, r) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { writeError(w, http.StatusNotFound) })
	return mux
}

// serve answers a request, with the variations of its action, and records it.
func (c *Controller) serve(a *action, w http.ResponseWriter, r *http.Request) {
	rq := &request{action: a, Request: Request{Version: a.version, Action: a.name, Header: r.Header}}
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.answer(rq, w, r); err != nil {
			rq.Refused = err.Error()
			writeError(w, statusOf(err))
		}
	})
	for _, v := range c.variationsOf(a.name) {
		h = v(h)
	}
	// It has come as a whole before it is answered: only then does the server see that who asked has gone.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		rq.Refused = fmt.Sprintf("read body: %v", err)
		h = Status(http.StatusBadRequest)(h)
	}
	rq.Body, r.Body = body, io.NopCloser(bytes.NewReader(body))
	out := &recorder{ResponseWriter: w}
	defer func() { // also if a variation aborts it
		rq.Status = out.status
		c.record(rq.Request)
	}()
	h.ServeHTTP(out, r)
}

func (c *Controller) answer(rq *request, w http.ResponseWriter, r *http.Request) error {
	var err error
	if rq.Body, err = io.ReadAll(r.Body); err != nil {
		return err
	}
	answer, err := c.do(rq, r)
	if err != nil {
		return err
	}
	if answer != nil {
		w.Header().Set("Content-Type", MediaType)
	}
	w.WriteHeader(rq.action.status)
	_, _ = w.Write(answer) //nolint:gosec // a message, and no page; who went away gets none
	return nil
}

// do finds out who asks, and returns the answer's bytes.
func (c *Controller) do(rq *request, r *http.Request) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.identify(rq, r); err != nil {
		return nil, err
	}
	m, err := rq.action.do(c, rq)
	if err != nil || m == nil {
		return nil, err
	}
	payload, err := marshal(m)
	if err != nil || rq.Version == 1 {
		return payload, err
	}
	e, err := seal(payload, c.signer)
	if err != nil {
		return nil, err
	}
	return marshal(e)
}

// identify finds who asks and the payload.
func (c *Controller) identify(rq *request, r *http.Request) error {
	if r.Method == http.MethodPost && r.Header.Get("Content-Type") != MediaType {
		return refuse(http.StatusUnsupportedMediaType, "content type is %q", r.Header.Get("Content-Type"))
	}
	if rq.action.who == anybody {
		return nil
	}
	err := c.authenticate(rq, r)
	if err != nil {
		return err
	}
	if rq.device == nil {
		return nil
	}
	rq.Device = rq.device.UUID
	if id := r.PathValue("device"); id != "" && id != rq.Device.String() {
		return refuse(http.StatusBadRequest, "device %s asks at the path of %s", rq.Device, id)
	}
	return nil
}

// authenticate goes by the certificate of the connection in version 1, and by the envelope in version 2.
func (c *Controller) authenticate(rq *request, r *http.Request) (err error) {
	if rq.Version == 2 {
		rq.Payload, err = unseal(rq.Body, func(e *auth.AuthContainer) *x509.Certificate { return c.sender(rq, e) })
		if err != nil {
			return refuse(http.StatusUnauthorized, "%v", err)
		}
		return nil
	}
	if len(r.TLS.PeerCertificates) == 0 {
		return refuse(http.StatusUnauthorized, "there is no client certificate")
	}
	rq.Payload, rq.cert = rq.Body, r.TLS.PeerCertificates[0]
	if rq.action.who == newcomer {
		return nil
	}
	if rq.device = c.find(rq.cert.Equal); rq.device == nil {
		return refuse(http.StatusUnauthorized, "client certificate %q is of no device", rq.cert.Subject.CommonName)
	}
	return nil
}

// sender finds the certificate that an envelope says it is of, which only a newcomer's brings along.
func (c *Controller) sender(rq *request, e *auth.AuthContainer) *x509.Certificate {
	if rq.action.who == newcomer {
		if cert := parseCert(e.GetSenderCert()); cert != nil && isOf(e, cert) {
			rq.cert = cert
		}
		return rq.cert
	}
	rq.device = c.find(func(cert *x509.Certificate) bool { return isOf(e, cert) })
	if rq.device == nil {
		return nil
	}
	return rq.device.Cert
}

func (c *Controller) find(is func(*x509.Certificate) bool) *device {
	for _, d := range c.devices {
		if is(d.Cert) {
			return d
		}
	}
	return nil
}

// parseCert reads what certificates in messages are: base64 of PEM text. nil: it is something else.
func parseCert(text []byte) *x509.Certificate {
	raw, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return cert
}

// marshal makes the same bytes of the same message each time.
func marshal(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

func unmarshal(rq *request, m proto.Message) error {
	if err := proto.Unmarshal(rq.Payload, m); err != nil {
		return refuse(http.StatusBadRequest, "read %s: %v", m.ProtoReflect().Descriptor().Name(), err)
	}
	return nil
}

func statusOf(err error) int {
	if r, ok := errors.AsType[refusal](err); ok {
		return r.status
	}
	return http.StatusInternalServerError
}

// writeError answers as Adam does: with the name of the status, and not with the reason.
func writeError(w http.ResponseWriter, status int) {
	if status == http.StatusNotModified {
		w.WriteHeader(status)
		return
	}
	http.Error(w, http.StatusText(status), status)
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets a variation flush.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// hashOf names a certificate as /certs does.
func hashOf(text []byte) []byte {
	sum := sha256.Sum256(text)
	return sum[:shortHash]
}
