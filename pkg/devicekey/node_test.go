// SPDX-License-Identifier: Apache-2.0

package devicekey_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// Files of a node, as EVE names them.
const (
	deviceCert = "config/device.cert.pem"
	deviceKey  = "config/device.key.pem"
	ecdhCert   = "persist/certs/ecdh.cert.pem"
	ecdhKey    = "persist/certs/ecdh.key.pem"
)

// write puts a file below a root.
func write(t *testing.T, root, name string, content []byte) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func generate(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func generateRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certificate is one for a public key, as PEM; who signed it matters to nobody here.
func certificate(t *testing.T, public crypto.PublicKey) []byte {
	t.Helper()
	now := time.Now()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"Example"}, CommonName: "EVE"},
		NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(20, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "issuer"}}, public, generate(t, elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func parse(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("no PEM: %q", text)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// sec1 and pkcs8 are the forms in which keys are kept. Type is what PEM calls them.
func sec1(t *testing.T, key *ecdsa.PrivateKey, typ string) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
}

func pkcs8(t *testing.T, key crypto.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// point is the point of a public key.
func point(t *testing.T, key *ecdsa.PublicKey) (x, y *big.Int) {
	t.Helper()
	encoded, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return new(big.Int).SetBytes(encoded[1:33]), new(big.Int).SetBytes(encoded[33:])
}

// shared is what a private key and a peer's public one have in common, made from the peer's side of it.
func shared(t *testing.T, ours *ecdsa.PublicKey, peer *ecdsa.PrivateKey) (x, y *big.Int) {
	t.Helper()
	scalar, err := peer.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	ox, oy := point(t, ours)
	return elliptic.P256().ScalarMult(ox, oy, scalar) //nolint:staticcheck // crypto/ecdh has no y
}

func edgeNodeCert(text []byte, isTPM bool) eve.EdgeNodeCert {
	return eve.EdgeNodeCert{CertID: []byte{0xce, 0x47}, CertType: eve.CertTypeEcdhXchange, Cert: text, IsTpm: isTPM}
}
