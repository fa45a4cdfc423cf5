// SPDX-License-Identifier: Apache-2.0

package envelope_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/lf-edge/eve-api/go/auth"
	"github.com/lf-edge/eve-api/go/evecommon"
	"github.com/lf-edge/eve-metadata/pkg/envelope"
)

// exchange is where an exchange with a controller was recorded, and pki has its keys.
const (
	exchange = "../../tests/conformance/eveapi/testdata/exchange/"
	pki      = "testdata/pki/"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func recordedCert(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	cert, err := envelope.ParseCertificate(read(t, pki+name+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func recordedKey(t testing.TB, name string) crypto.Signer {
	t.Helper()
	block, _ := pem.Decode(read(t, pki+name+"-key.pem"))
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer)
}

func container(t testing.TB, b []byte) *auth.AuthContainer {
	t.Helper()
	c := &auth.AuthContainer{}
	if err := proto.Unmarshal(b, c); err != nil {
		t.Fatal(err)
	}
	return c
}

// signed tells whether a container bears a device's signature. It has nothing of the package.
func signed(c *auth.AuthContainer, cert *x509.Certificate) bool {
	digest := sha256.Sum256(c.GetProtectedPayload().GetPayload())
	s := c.GetSignatureHash()
	return len(s) == 64 && ecdsa.Verify(cert.PublicKey.(*ecdsa.PublicKey), digest[:],
		new(big.Int).SetBytes(s[:32]), new(big.Int).SetBytes(s[32:]))
}

// TestSealIsAsRecorded: what a device sent is made again out of its payload; only the signature is another one.
func TestSealIsAsRecorded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ file, sender string }{
		{"02-register-refused", "onboard"},
		{"04-register", "onboard"},
		{"05-uuid", "device"},
		{"06-config-none", "device"},
		{"08-config-unattested", "device"},
		{"09-attest-cert", "device"},
		{"10-attest-nonce", "device"},
		{"11-attest-quote", "device"},
		{"12-config", "device"},
		{"13-config-unchanged", "device"},
		{"15-config-changed", "device"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			want := container(t, read(t, exchange+tt.file+".request"))
			payload := want.GetProtectedPayload().GetPayload()
			cert, key := recordedCert(t, tt.sender), recordedKey(t, tt.sender)
			sealed, err := envelope.Seal(payload, cert, key)
			if tt.sender == "onboard" {
				sealed, err = envelope.SealOnboarding(payload, read(t, pki+"onboard.pem"), key)
			}
			if err != nil {
				t.Fatal(err)
			}
			got := container(t, sealed)
			for what, c := range map[string]*auth.AuthContainer{"recorded": want, "sealed": got} {
				if !signed(c, cert) {
					t.Errorf("%s: the signature is not the sender's", what)
				}
			}
			want.SignatureHash, got.SignatureHash = nil, nil
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("container (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOpenRecorded opens what the controller sent.
func TestOpenRecorded(t *testing.T) {
	t.Parallel()
	chain := recordedChain(t)
	for _, file := range []string{"01-certs", "05-uuid", "09-attest-cert", "10-attest-nonce", "11-attest-quote", "12-config", "15-config-changed"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			b := read(t, exchange+file+".response")
			got, err := chain.Open(b)
			if err != nil {
				t.Fatal(err)
			}
			if want := container(t, b).GetProtectedPayload().GetPayload(); !bytes.Equal(want, got) || len(got) == 0 {
				t.Errorf("got %x, want %x", got, want)
			}
		})
	}
}

// self makes a certificate of a key, signed by itself.
func self(t testing.TB, key crypto.Signer) (*x509.Certificate, []byte) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "signer"}, NotAfter: time.Now().Add(time.Hour),
	}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	cert, err := envelope.ParseCertificate(text)
	if err != nil {
		t.Fatal(err)
	}
	return cert, text
}

// answer makes a container as a controller does out of one of a device: they differ in the sender's name only.
func answer(t testing.TB, payload []byte, key crypto.Signer, cert *x509.Certificate, change func(*auth.AuthContainer)) []byte {
	t.Helper()
	sealed, err := envelope.Seal(payload, cert, key)
	if err != nil {
		t.Fatal(err)
	}
	c := container(t, sealed)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	hash := sha256.Sum256(bytes.TrimSpace(text))
	c.SenderCertHash = hash[:]
	if change != nil {
		change(c)
	}
	b, err := proto.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestKinds seals and opens with all kinds of keys and names.
func TestKinds(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		key    crypto.Signer
		text   func([]byte) []byte
		change func(*auth.AuthContainer)
		size   int
	}{
		{"P-256", ecKey(t, elliptic.P256()), bytes.TrimSpace, nil, 64},
		{"P-384", ecKey(t, elliptic.P384()), bytes.TrimSpace, nil, 96},
		{"RSA", rsaKey, bytes.TrimSpace, nil, 256},
		{"delivered with a line's end, named without", ecKey(t, elliptic.P256()), bytes.Clone, nil, 64},
		{"named with half of the hash", ecKey(t, elliptic.P256()), bytes.TrimSpace, func(c *auth.AuthContainer) {
			c.SenderCertHash, c.Algo = c.SenderCertHash[:16], evecommon.HashAlgorithm_HASH_ALGORITHM_SHA256_16BYTES
		}, 64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cert, text := self(t, tt.key)
			for range 20 { // among so many, some numbers of a signature are shorter than the others
				b := answer(t, []byte("hello"), tt.key, cert, tt.change)
				if n := len(container(t, b).GetSignatureHash()); n != tt.size {
					t.Fatalf("signature has %d bytes, want %d", n, tt.size)
				}
				if got, err := envelope.Open(b, tt.text(text)); err != nil || string(got) != "hello" {
					t.Fatalf("got %q, %v", got, err)
				}
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	key := ecKey(t, elliptic.P256())
	cert, text := self(t, key)
	other := ecKey(t, elliptic.P256())
	otherCert, _ := self(t, other)
	good := answer(t, []byte("hello"), key, cert, nil)
	with := func(change func(*auth.AuthContainer)) []byte { return answer(t, []byte("hello"), key, cert, change) }
	for _, tt := range []struct {
		name      string
		container []byte
		cert      []byte
		is        error
		want      string
	}{
		{"nothing", nil, text, nil, "container: there is no message in it"},
		{"garbage", []byte("<html>"), text, nil, "container: not a message of EVE's API"},
		{"truncated", good[:len(good)-1], text, nil, "container: not a message of EVE's API"},
		{"no payload", with(func(c *auth.AuthContainer) { c.ProtectedPayload = nil }), text, nil, "container: there is no message in it"},
		{"another payload", with(func(c *auth.AuthContainer) { c.ProtectedPayload.Payload = []byte("hullo") }), text,
			envelope.ErrSignature, "container: the signature is wrong"},
		{"another's certificate", answer(t, []byte("hello"), other, otherCert, nil), text,
			envelope.ErrSender, "container: the sender's certificate is another one"},
		{"another's key", with(func(c *auth.AuthContainer) {
			c.SignatureHash = container(t, answer(t, []byte("hello"), other, otherCert, nil)).SignatureHash
		}), text, envelope.ErrSignature, "container: the signature is wrong"},
		{"no signature", with(func(c *auth.AuthContainer) { c.SignatureHash = nil }), text,
			envelope.ErrSignature, "container: the signature is wrong: it has 0 bytes, want 64"},
		{"signature in ASN.1", with(func(c *auth.AuthContainer) {
			digest := sha256.Sum256([]byte("hello"))
			c.SignatureHash, _ = key.Sign(rand.Reader, digest[:], crypto.SHA256)
			c.SignatureHash = append(c.SignatureHash, make([]byte, 72-len(c.SignatureHash))...)
		}), text, envelope.ErrSignature, "container: the signature is wrong: it has 72 bytes, want 64"},
		{"zeros for a signature", with(func(c *auth.AuthContainer) { c.SignatureHash = make([]byte, 64) }), text,
			envelope.ErrSignature, "container: the signature is wrong"},
		{"unknown hash", with(func(c *auth.AuthContainer) { c.Algo = 7 }), text, nil, "container: hash of the certificate is of unknown kind 7"},
		{"no hash", with(func(c *auth.AuthContainer) { c.SenderCertHash = nil }), text, nil,
			"container: hash of the certificate has 0 bytes, want 32"},
		{"half of a hash for all of it", with(func(c *auth.AuthContainer) { c.SenderCertHash = c.SenderCertHash[:16] }), text, nil,
			"container: hash of the certificate has 16 bytes, want 32"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			payload, err := envelope.Open(tt.container, tt.cert)
			if payload != nil || err == nil || err.Error() != tt.want {
				t.Errorf("got %q, %v, want %s", payload, err, tt.want)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
		})
	}
}

// broken is a key that fails, or makes nonsense.
type broken struct {
	crypto.Signer
	signature []byte
	err       error
}

func (b broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return b.signature, b.err }

func TestSealRefuses(t *testing.T) {
	t.Parallel()
	key := ecKey(t, elliptic.P256())
	cert, _ := self(t, key)
	for _, tt := range []struct {
		name   string
		signer crypto.Signer
		want   string
	}{
		{"another's key", ecKey(t, elliptic.P256()), "sign: the key does not belong to the certificate"},
		{"a key that fails", broken{key, nil, errors.New("TPM is gone")}, "sign: TPM is gone"},
		{"a key that makes nonsense", broken{key, []byte("?"), nil}, "sign: the key made something that is no signature"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, err := envelope.Seal([]byte("hello"), cert, tt.signer); err == nil || err.Error() != tt.want {
				t.Errorf("got %x, %v, want %s", got, err, tt.want)
			}
		})
	}
	if _, err := envelope.SealOnboarding(nil, []byte("?"), key); err == nil || !strings.Contains(err.Error(), "onboarding certificate: not a PEM text") {
		t.Errorf("no certificate for the onboarding: got %v", err)
	}
}

// FuzzOpen: whatever comes, only what the controller signed is opened.
func FuzzOpen(f *testing.F) {
	for _, name := range []string{"01-certs", "05-uuid", "12-config"} {
		f.Add(read(f, exchange+name+".response"))
	}
	f.Add([]byte{})
	text := bytes.TrimSpace(read(f, pki+"signing.pem"))
	cert := recordedCert(f, "signing")
	f.Fuzz(func(t *testing.T, b []byte) {
		payload, err := envelope.Open(b, text)
		if err != nil {
			if payload != nil {
				t.Error("refused, and yet opened")
			}
			return
		}
		c := container(t, b)
		if !signed(c, cert) || !bytes.Equal(payload, c.GetProtectedPayload().GetPayload()) {
			t.Errorf("opened %q, which the controller has not signed", payload)
		}
	})
}
