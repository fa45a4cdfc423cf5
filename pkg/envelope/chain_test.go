// SPDX-License-Identifier: Apache-2.0

package envelope_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/evecommon"
	"github.com/lf-edge/eve-metadata/pkg/envelope"
)

var now = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

func recordedChain(t testing.TB) *envelope.Chain {
	t.Helper()
	payload, err := envelope.Unverified(read(t, exchange+"01-certs.response"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(recordedCert(t, "root"))
	chain, err := envelope.NewChain(payload, roots, now)
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func root(t *testing.T) authority { return authority{}.issue(t, "root", true, now.AddDate(10, 0, 0)) }

// issue makes a certificate, signed by a, or by itself where a is nobody.
func (a authority) issue(t *testing.T, name string, ca bool, until time.Time) authority {
	t.Helper()
	key := ecKey(t, elliptic.P256())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: until, IsCA: ca, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
	}
	parent, signer := a.cert, a.key
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
	return authority{cert, key}
}

func (a authority) zcert(kind certs.ZCertType) *certs.ZCert {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	hash := sha256.Sum256(text)
	return &certs.ZCert{HashAlgo: evecommon.HashAlgorithm_HASH_ALGORITHM_SHA256_16BYTES, CertHash: hash[:16], Type: kind, Cert: text}
}

const (
	signing      = certs.ZCertType_CERT_TYPE_CONTROLLER_SIGNING
	exchangeKeys = certs.ZCertType_CERT_TYPE_CONTROLLER_ECDH_EXCHANGE
	intermediate = certs.ZCertType_CERT_TYPE_CONTROLLER_INTERMEDIATE
)

func TestChain(t *testing.T) {
	t.Parallel()
	ca := root(t)
	middle := ca.issue(t, "middle", true, now.AddDate(1, 0, 0))
	later := now.AddDate(1, 0, 0)
	leaf := func(a authority, name string, until time.Time, kind certs.ZCertType) *certs.ZCert {
		return a.issue(t, name, false, until).zcert(kind)
	}
	sign, keys := leaf(ca, "sign", later, signing), leaf(ca, "keys", later, exchangeKeys)
	changed := func(change func(*certs.ZCert)) *certs.ZCert {
		z := proto.Clone(sign).(*certs.ZCert)
		change(z)
		return z
	}
	for _, tt := range []struct {
		name  string
		certs []*certs.ZCert
		want  string
	}{
		{"by the root", []*certs.ZCert{sign, keys}, ""},
		{"several for the exchange of keys", []*certs.ZCert{keys, sign, leaf(ca, "more", later, exchangeKeys)}, ""},
		{"over an intermediate one", []*certs.ZCert{leaf(middle, "sign", later, signing), keys, middle.zcert(intermediate)}, ""},
		{"intermediate one missing", []*certs.ZCert{leaf(middle, "sign", later, signing), keys},
			`certificate 0, "sign": x509: certificate signed by unknown authority`},
		{"nothing", nil, "there is none that signs"},
		{"none that signs", []*certs.ZCert{keys}, "there is none that signs"},
		{"two that sign", []*certs.ZCert{sign, keys, sign}, "there is more than one that signs"},
		{"none for the exchange of keys", []*certs.ZCert{sign}, "there is none for the exchange of keys"},
		{"of a device", []*certs.ZCert{sign, keys, leaf(ca, "device", later, certs.ZCertType_CERT_TYPE_DEVICE_ECDH_EXCHANGE)},
			"certificate 2: it is of unknown kind 13"},
		{"of another root", []*certs.ZCert{sign, leaf(root(t), "keys", later, exchangeKeys)},
			`certificate 1, "keys": x509: certificate signed by unknown authority`},
		{"expired", []*certs.ZCert{sign, leaf(ca, "keys", now.Add(-time.Second), exchangeKeys)},
			`certificate 1, "keys": it is valid from 2026-01-01T00:00:00Z to 2026-12-31T23:59:59Z, which is not now`},
		{"another's hash", []*certs.ZCert{changed(func(z *certs.ZCert) { z.CertHash = keys.CertHash }), keys},
			"certificate 0: the hash that came with it is another's"},
		{"no hash", []*certs.ZCert{changed(func(z *certs.ZCert) { z.CertHash = nil }), keys},
			"certificate 0: hash of the certificate has 0 bytes, want 16"},
		{"no text", []*certs.ZCert{changed(func(z *certs.ZCert) {
			hash := sha256.Sum256(nil)
			z.Cert, z.CertHash = nil, hash[:16]
		}), keys}, "certificate 0: not a PEM text"},
		{"an intermediate one without text", []*certs.ZCert{sign, keys, changed(func(z *certs.ZCert) {
			hash := sha256.Sum256(nil)
			z.Cert, z.CertHash, z.Type = nil, hash[:16], intermediate
		})}, "certificate 2: there is none in its text"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			message, err := proto.Marshal(&certs.ZControllerCert{Certs: tt.certs})
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AddCert(ca.cert)
			chain, err := envelope.NewChain(message, roots, now)
			if tt.want == "" {
				if err != nil || len(chain.Certs()) != len(tt.certs) {
					t.Errorf("got %v, %v", chain, err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), "controller's certificates: "+tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	if _, err := envelope.NewChain([]byte("?"), nil, now); err == nil || err.Error() != "controller's certificates: not a message of EVE's API" {
		t.Errorf("garbage: got %v", err)
	}
}

// FuzzChain: no message makes the check fall over, and what passes can be used.
func FuzzChain(f *testing.F) {
	payload, err := envelope.Unverified(read(f, exchange+"01-certs.response"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Add([]byte{})
	roots := x509.NewCertPool()
	roots.AddCert(recordedCert(f, "root"))
	config := read(f, exchange+"12-config.response")
	f.Fuzz(func(t *testing.T, b []byte) {
		chain, err := envelope.NewChain(b, roots, now)
		if err != nil {
			return
		}
		if len(chain.Certs()) < 2 {
			t.Errorf("passed with %d certificates", len(chain.Certs()))
		}
		_, _ = chain.Open(config)
	})
}
