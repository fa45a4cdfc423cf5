// SPDX-License-Identifier: Apache-2.0

package devicekey_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-api/go/auth"
	"github.com/lf-edge/eve-metadata/pkg/devicekey"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

func TestECDHFile(t *testing.T) {
	t.Parallel()
	ours, peer := generate(t, elliptic.P256()), generate(t, elliptic.P256())
	cert := certificate(t, &ours.PublicKey)
	wantX, wantY := shared(t, &ours.PublicKey, peer)
	for _, tt := range []struct {
		name  string
		key   []byte
		isTPM bool
	}{
		{"SEC 1", sec1(t, ours, "EC PRIVATE KEY"), false},
		{"SEC 1 as EVE calls it", sec1(t, ours, "PRIVATE KEY"), false},
		{"PKCS #8", pkcs8(t, ours), false},
		{"a certificate of a TPM that the node does not use", pkcs8(t, ours), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			write(t, root, ecdhKey, tt.key)
			x, y, err := devicekey.Open(root).ECDH(edgeNodeCert(cert, tt.isTPM), &peer.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			if x.Cmp(wantX) != 0 || y.Cmp(wantY) != 0 {
				t.Errorf("point is %x, %x; the peer's is %x, %x", x, y, wantX, wantY)
			}
		})
	}
}

func TestECDHRefuses(t *testing.T) {
	t.Parallel()
	ours, peer := generate(t, elliptic.P256()), generate(t, elliptic.P256())
	cert, key := certificate(t, &ours.PublicKey), pkcs8(t, ours)
	other, rsaKey := generate(t, elliptic.P384()), generateRSA(t)
	offCurve := &ecdsa.PublicKey{Curve: elliptic.P256(), X: peer.X, Y: peer.X} //nolint:staticcheck // there is no other way to be wrong
	for _, tt := range []struct {
		name string
		cert []byte
		key  []byte // nil for no file
		peer *ecdsa.PublicKey
		want string
	}{
		{"no key", cert, nil, &peer.PublicKey, "ecdh.key.pem: no such file"},
		{"no PEM", cert, []byte("-----BEGIN\n"), &peer.PublicKey, "ecdh.key.pem: not a PEM file"},
		{"PEM of no key", cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("no key")}), &peer.PublicKey, "neither an EC private key (SEC 1) nor"},
		{"RSA", cert, pkcs8(t, rsaKey), &peer.PublicKey, "ecdh.key.pem: a *rsa.PrivateKey"},
		{"somebody else's", cert, pkcs8(t, peer), &peer.PublicKey, "ecdh.key.pem: the key does not belong to the certificate"},
		{"another curve", cert, pkcs8(t, other), &peer.PublicKey, "does not belong"},
		{"no certificate", nil, key, &peer.PublicKey, "device certificate ce47: not a PEM file"},
		{"PEM of no certificate", pkcs8(t, ours), key, &peer.PublicKey, "device certificate ce47: x509: "},
		{"a certificate for RSA", certificate(t, &rsaKey.PublicKey), key, &peer.PublicKey, "the certificate's key is RSA"},
		{"a certificate for another curve", certificate(t, &other.PublicKey), key, &peer.PublicKey, "not an EC key on P-256"},
		{"a peer on another curve", cert, key, &other.PublicKey, "peer: not a key on P-256"},
		{"a peer beside the curve", cert, key, offCurve, "peer: "},
		{"no peer", cert, key, nil, "peer: not a key on P-256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			if tt.key != nil {
				write(t, root, ecdhKey, tt.key)
			}
			x, y, err := devicekey.Open(root).ECDH(edgeNodeCert(tt.cert, false), tt.peer)
			if err == nil || !strings.Contains(err.Error(), tt.want) || x != nil || y != nil {
				t.Errorf("point is %v, %v, error %v; want one with %q", x, y, err, tt.want)
			}
		})
	}
}

// TestNoFile has something else be where a key should: nobody waits for what does not come.
func TestNoFile(t *testing.T) {
	t.Parallel()
	ours, peer := generate(t, elliptic.P256()), generate(t, elliptic.P256())
	cert := edgeNodeCert(certificate(t, &ours.PublicKey), false)
	for _, tt := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }, "ecdh.key.pem: prw------- is no file"},
		{"folder", func(path string) error { return os.Mkdir(path, 0o700) }, "ecdh.key.pem: drwx------ is no file"},
		{"device without an end", func(path string) error { return os.Symlink("/dev/zero", path) }, "is no file"},
		{"too large", func(path string) error { return os.WriteFile(path, make([]byte, 1<<20), 0o600) }, "ecdh.key.pem: too large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			path := filepath.Join(root, ecdhKey)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			_, _, err := devicekey.Open(root).ECDH(cert, &peer.PublicKey)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestSignerFile(t *testing.T) {
	t.Parallel()
	key := generate(t, elliptic.P256())
	good, goodCert := sec1(t, key, "PRIVATE KEY"), certificate(t, &key.PublicKey)
	for _, tt := range []struct {
		name      string
		cert, key []byte
		want      string // "" for no error
	}{
		{"good", goodCert, good, ""},
		{"somebody else's key", goodCert, pkcs8(t, generate(t, elliptic.P256())), "device.key.pem: the key does not belong to the certificate"},
		{"no certificate", nil, good, "device.cert.pem: no such file"},
		{"garbage for a certificate", []byte("garbage"), good, "device.cert.pem: not a PEM file"},
		{"nothing", nil, nil, "device.cert.pem: no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for name, content := range map[string][]byte{deviceCert: tt.cert, deviceKey: tt.key} {
				if content != nil {
					write(t, root, name, content)
				}
			}
			signer, cert, err := devicekey.Open(root).Signer()
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || signer != nil || cert != nil {
					t.Fatalf("error is %v, want one with %q and nothing else", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			verify(t, cert, signer)
		})
	}
}

// verify has a signer sign, and checks that with its certificate.
func verify(t *testing.T, cert *x509.Certificate, signer crypto.Signer) {
	t.Helper()
	digest := sha256.Sum256([]byte("what is said"))
	signature, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	public := cert.PublicKey.(*ecdsa.PublicKey)
	if !ecdsa.VerifyASN1(public, digest[:], signature) {
		t.Errorf("signature %x is not that of the certificate's key", signature)
	}
	if !public.Equal(signer.Public()) {
		t.Errorf("the signer's public key is not the certificate's")
	}
}

// A container is what a controller can verify: the certificate's hash, and the signature over the payload.
func TestSign(t *testing.T) {
	t.Parallel()
	key := generate(t, elliptic.P256())
	root, text := t.TempDir(), certificate(t, &key.PublicKey)
	write(t, root, deviceKey, pkcs8(t, key))
	write(t, root, deviceCert, text)
	container, err := devicekey.Open(root).Sign([]byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	checkContainer(t, container, parse(t, text), "payload")

	if container, err := devicekey.Open(t.TempDir()).Sign([]byte("payload")); err == nil || container != nil {
		t.Errorf("without a key: container %x, error %v", container, err)
	}
}

func checkContainer(t *testing.T, container []byte, cert *x509.Certificate, payload string) {
	t.Helper()
	var c auth.AuthContainer
	if err := proto.Unmarshal(container, &c); err != nil {
		t.Fatal(err)
	}
	if got := c.GetProtectedPayload().GetPayload(); string(got) != payload {
		t.Errorf("payload is %q, want %q", got, payload)
	}
	if hash := sha256.Sum256(cert.Raw); !bytes.HasPrefix(hash[:], c.GetSenderCertHash()) || len(c.GetSenderCertHash()) == 0 {
		t.Errorf("hash of the sender's certificate is %x, want %x", c.GetSenderCertHash(), hash)
	}
	digest := sha256.Sum256([]byte(payload))
	if !ecdsa.VerifyASN1(cert.PublicKey.(*ecdsa.PublicKey), digest[:], asn1Signature(t, c.GetSignatureHash())) {
		t.Errorf("signature %x is not that of the certificate's key", c.GetSignatureHash())
	}
}

// device makes a node with a device key in a file.
func device(t *testing.T) (root string, cert *x509.Certificate) {
	t.Helper()
	key := generate(t, elliptic.P256())
	root = t.TempDir()
	text := certificate(t, &key.PublicKey)
	write(t, root, deviceKey, sec1(t, key, "EC PRIVATE KEY"))
	write(t, root, deviceCert, text)
	return root, parse(t, text)
}

func TestECDHCert(t *testing.T) {
	t.Parallel()
	root, device := device(t)
	keys := devicekey.Open(root)
	made, err := keys.ECDHCert()
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(made.Cert)
	want := eve.EdgeNodeCert{HashAlgo: eve.CertHashTypeSha256First16, CertID: id[:16], CertType: eve.CertTypeEcdhXchange, Cert: made.Cert}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("certificate (-want +got):\n%s", diff)
	}
	cert := parse(t, made.Cert)
	if err := cert.CheckSignatureFrom(device); err != nil {
		t.Errorf("signed with the device key: %v", err)
	}
	if !cert.NotBefore.Equal(device.NotBefore) || !cert.NotAfter.Equal(device.NotAfter) {
		t.Errorf("valid from %s to %s, the device's from %s to %s", cert.NotBefore, cert.NotAfter, device.NotBefore, device.NotAfter)
	}
	for _, name := range []string{ecdhCert, ecdhKey} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, error %v; want mode 0600", name, info, err)
		}
	}
	peer := generate(t, elliptic.P256())
	wantX, _ := shared(t, cert.PublicKey.(*ecdsa.PublicKey), peer)
	if x, _, err := keys.ECDH(made, &peer.PublicKey); err != nil || x.Cmp(wantX) != 0 {
		t.Errorf("ECDH with it is %v, want %v; error %v", x, wantX, err)
	}
	if again, err := devicekey.Open(root).ECDHCert(); err != nil || !cmp.Equal(made, again) {
		t.Errorf("the next time it is %v, error %v", again, err)
	}
}

// Of a crash between the two files the key is left, and is the certificate's afterwards.
func TestECDHCertKeepsTheKey(t *testing.T) {
	t.Parallel()
	root, _ := device(t)
	key := generate(t, elliptic.P256())
	write(t, root, ecdhKey, sec1(t, key, "EC PRIVATE KEY"))
	made, err := devicekey.Open(root).ECDHCert()
	if err != nil {
		t.Fatal(err)
	}
	if !key.PublicKey.Equal(parse(t, made.Cert).PublicKey) {
		t.Error("the certificate is for another key than the one that is there")
	}
}

func TestECDHCertAtTheSameTime(t *testing.T) {
	t.Parallel()
	root, _ := device(t)
	var certs [8]eve.EdgeNodeCert
	var wg sync.WaitGroup
	for i := range certs {
		wg.Go(func() {
			var err error
			if certs[i], err = devicekey.Open(root).ECDHCert(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	peer := generate(t, elliptic.P256())
	for _, c := range certs {
		if !bytes.Equal(c.Cert, certs[0].Cert) {
			t.Fatalf("two certificates: %s%s", c.Cert, certs[0].Cert)
		}
	}
	if _, _, err := devicekey.Open(root).ECDH(certs[0], &peer.PublicKey); err != nil {
		t.Error(err)
	}
}

// Only the key and its folder are shared, and only with the group.
func TestShareECDH(t *testing.T) {
	t.Parallel()
	root, _ := device(t)
	keys := devicekey.Open(root)
	made, err := keys.ECDHCert()
	if err != nil {
		t.Fatal(err)
	}
	group := groupOfOurs()
	for _, when := range []string{"at first", "again"} {
		if err := keys.ShareECDH(group); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		for name, want := range map[string]fs.FileMode{
			"persist": fs.ModeDir | 0o755, filepath.Dir(ecdhKey): fs.ModeDir | 0o750, ecdhKey: 0o640, ecdhCert: 0o600, deviceKey: 0o600,
		} {
			info, err := os.Stat(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			gid := int(info.Sys().(*syscall.Stat_t).Gid)
			if shared := info.Mode()&0o040 != 0 && info.Mode()&0o004 == 0; info.Mode() != want || shared && gid != group {
				t.Errorf("%s: %s has mode %v and group %d, want %v, of group %d where it is shared", when, name, info.Mode(), gid, want, group)
			}
		}
	}
	if again, err := keys.ECDHCert(); err != nil || !cmp.Equal(made, again) {
		t.Errorf("afterwards the certificate is %v, error %v", again, err)
	}
	peer := generate(t, elliptic.P256())
	if _, _, err := keys.ECDH(made, &peer.PublicKey); err != nil {
		t.Error(err)
	}
}

// groupOfOurs is a group that a file can be given to.
func groupOfOurs() int {
	if os.Geteuid() == 0 {
		return 1 // root can give to any
	}
	return os.Getgid()
}

// Where there is no key in a file, as with a TPM, nothing is made. What cannot be shared is an error that says so.
func TestShareECDHRefuses(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := devicekey.Open(root).ShareECDH(groupOfOurs()); err != nil {
		t.Errorf("without a key: %v", err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("without a key: there is %v, error %v", left, err)
	}
	if os.Geteuid() == 0 {
		return // who can give to any group
	}
	write(t, root, ecdhKey, []byte("key"))
	const foreign = 1
	if err := devicekey.Open(root).ShareECDH(foreign); err == nil || !strings.Contains(err.Error(), "share ECDH key: ") {
		t.Errorf("with a foreign group: %v", err)
	}
	if info, err := os.Stat(filepath.Join(root, ecdhKey)); err != nil || info.Mode() != 0o600 {
		t.Errorf("with a foreign group the key is %v, error %v", info, err)
	}
}

func TestECDHCertRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, file, want string
		device           bool
	}{
		{"no device key", "", "device.cert.pem: no such file", false},
		{"a certificate that is none", ecdhCert, "ecdh.cert.pem: not a PEM file", true},
		{"a key that is none", ecdhKey, "ecdh.key.pem: not a PEM file", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			if tt.device {
				root, _ = device(t)
			}
			if tt.file != "" {
				write(t, root, tt.file, []byte("garbage"))
			}
			if cert, err := devicekey.Open(root).ECDHCert(); err == nil || !strings.Contains(err.Error(), tt.want) || cert.Cert != nil {
				t.Errorf("certificate %v, error %v; want one with %q", cert, err, tt.want)
			}
			if tt.file == "" {
				if _, err := os.Stat(filepath.Join(root, ecdhKey)); err == nil {
					t.Error("left a key behind")
				}
				return
			}
			if got, err := os.ReadFile(filepath.Join(root, tt.file)); err != nil || string(got) != "garbage" {
				t.Errorf("%s is %q, error %v: changed", tt.file, got, err)
			}
		})
	}
}
