// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

const (
	// patience is how long one request may take, the answer included.
	patience = time.Minute
	// dialPatience is how long it may take until there is a connection.
	dialPatience = 20 * time.Second
	// maxConfig is the largest configuration that is read. Each app may have a megabyte of user data.
	maxConfig = 64 << 20
	// maxAnswer is the largest of all other answers that is read.
	maxAnswer = 1 << 20
	// maxHeader is the largest header of an answer.
	maxHeader = 64 << 10

	protobufType = "application/x-proto-binary"
)

// deviceKeys are the device's (pkg/devicekey).
type deviceKeys interface {
	Signer() (crypto.Signer, *x509.Certificate, error)
	ECDHCert() (eve.EdgeNodeCert, error)
	ShareECDH(group int) error
}

// link is the way to the server, and who goes it.
type link struct {
	client *http.Client
	base   string
	cert   *x509.Certificate // the device's
	signer crypto.Signer
}

// connect reads the files that say who the device is and whom it trusts.
func (s *session) connect() error {
	if s.link != nil {
		return nil
	}
	signer, cert, err := s.keys.Signer()
	if err != nil {
		return fmt.Errorf("device key: %w", err)
	}
	transport := s.cfg.Transport
	if transport == nil {
		if transport, err = s.newTransport(cert, signer); err != nil {
			return err
		}
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a controller is where one was told it is
	}}
	s.link = &link{client: client, base: s.base, cert: cert, signer: signer}
	return nil
}

func (s *session) disconnect() {
	if s.link != nil {
		s.link.client.CloseIdleConnections()
		s.link = nil
	}
}

func (s *session) newTransport(cert *x509.Certificate, signer crypto.Signer) (*http.Transport, error) {
	roots, err := s.tlsRoots()
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: dialPatience}).DialContext,
		TLSClientConfig: &tls.Config{
			MinVersion:   tls.VersionTLS12,
			RootCAs:      roots,
			Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: signer, Leaf: cert}},
		},
		TLSHandshakeTimeout:    dialPatience,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true, // what is read is what is counted
	}, nil
}

// tlsRoots are those that the server's certificate may lead to (EVE, controllerconn).
func (s *session) tlsRoots() (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	if s.cfg.API == V2 {
		system, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("the system's root certificates: %w", err)
		}
		roots = system
	}
	for _, file := range []string{s.cfg.RootCA, s.cfg.TLSRoot} {
		if err := addRoots(roots, file); err != nil {
			return nil, err
		}
	}
	return roots, nil
}

// readRoots reads a file of root certificates.
func readRoots(file string) (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	return roots, addRoots(roots, file)
}

func addRoots(roots *x509.CertPool, file string) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("root certificate: %w", err)
	}
	if !roots.AppendCertsFromPEM(text) {
		return fmt.Errorf("root certificate: there is none in %s", file)
	}
	return nil
}

// request is one question to the controller.
type request struct {
	method string
	path   string // after the base
	body   []byte
	limit  int64             // of the answer, in bytes
	header map[string]string // what is said beside it
}

// answer is a controller's.
type answer struct {
	status int
	body   []byte
}

// do asks. The error is an *unreachableError where there was no answer, and another one where it was of no use; a status
// that is no success is none.
func (l *link) do(ctx context.Context, r request) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, l.base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Request-Id", uuid.NewString())
	if r.method == http.MethodPost {
		req.Header.Set("Content-Type", protobufType)
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, &unreachableError{err}
	}
	defer func() { _ = resp.Body.Close() }()
	var body []byte
	if resp.ContentLength <= r.limit { // it is -1 where it was not said
		if body, err = io.ReadAll(io.LimitReader(resp.Body, r.limit+1)); err != nil {
			return nil, &unreachableError{err}
		}
	}
	if max(resp.ContentLength, int64(len(body))) > r.limit {
		return nil, fmt.Errorf("the controller's answer is larger than %d bytes", r.limit)
	}
	a := &answer{status: resp.StatusCode, body: body}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); a.ok() && len(body) > 0 && kind != protobufType {
		return nil, fmt.Errorf("the controller's answer is %q, want %s", kind, protobufType)
	}
	return a, nil
}

// ok tells whether the status is a success.
func (a *answer) ok() bool { return a.status >= 200 && a.status < 300 }

// success returns a *statusError when the status is none.
func (a *answer) success() error {
	if a.ok() {
		return nil
	}
	return &statusError{a.status}
}

// statusError is an answer that is no success.
type statusError struct{ status int }

func (e *statusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the controller answers %d %s", e.status, http.StatusText(e.status)))
}

// unreachableError is an answer that did not come. Its text has nothing in it that changes from one attempt to the next,
// such as the time or a port of ours.
type unreachableError struct{ err error }

func (e *unreachableError) Unwrap() error { return e.err }

func (e *unreachableError) Error() string {
	text := "the controller is not reached: "
	if errors.Is(e.err, context.DeadlineExceeded) {
		return text + "there is no answer within " + patience.String()
	}
	if d, ok := errors.AsType[*net.DNSError](e.err); ok {
		if d.IsTimeout {
			return text + "no answer to who is " + d.Name
		}
		return text + "lookup " + d.Name + ": " + d.Err
	}
	if c, ok := errors.AsType[x509.CertificateInvalidError](e.err); ok && c.Reason == x509.Expired && c.Cert != nil {
		return text + fmt.Sprintf("its certificate is valid from %s to %s, which is not now",
			c.Cert.NotBefore.UTC().Format(time.RFC3339), c.Cert.NotAfter.UTC().Format(time.RFC3339))
	}
	if o, ok := errors.AsType[*net.OpError](e.err); ok {
		return text + o.Op + ": " + o.Err.Error()
	}
	if u, ok := errors.AsType[*url.Error](e.err); ok {
		return text + u.Err.Error()
	}
	return text + e.err.Error()
}

// readOnboarding reads an onboarding certificate's text and its key.
func readOnboarding(cert, key string) ([]byte, crypto.Signer, error) {
	text, err := os.ReadFile(cert)
	if err != nil {
		return nil, nil, err
	}
	keyText, err := os.ReadFile(key)
	if err != nil {
		return nil, nil, err
	}
	pair, err := tls.X509KeyPair(text, keyText)
	if err != nil {
		return nil, nil, fmt.Errorf("%s, %s: %w", cert, key, err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("%s: a key that does not sign", key)
	}
	return text, signer, nil
}

// parseServer returns the URL of a server and its host.
func parseServer(server string) (base, host string, err error) {
	text := server
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err == nil && u.User != nil {
		return "", "", errors.New("server: a user and a password do not belong into its URL")
	}
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return "", "", fmt.Errorf("server %q is no host, host:port or https URL of one", server)
	}
	return "https://" + u.Host, u.Host, nil
}
