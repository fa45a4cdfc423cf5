// SPDX-License-Identifier: Apache-2.0

package devicekey_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/pkg/devicekey"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

// Handles, as EVE has them.
const (
	endorsementHandle = 0x81000001
	identityHandle    = 0x81000003
	ecdhHandle        = 0x81000005
	deviceHandle      = 0x817fffff
)

// credentialText is what EVE makes the device key's password of; password is that.
const (
	credentialText = "0f9b6a52-8f0a-4a44-9a60-0c7a7c3a1d11"
	password       = "0f9b6a5"
)

// emulator is a node with a TPM that is run for one test.
type emulator struct {
	root string
	tpm  transport.TPM
	keys *devicekey.Keys
}

// emulate starts an empty TPM, at the place of the device.
func emulate(t *testing.T) *emulator {
	t.Helper()
	tool.Need(t, "swtpm", "swtpm")
	root := t.TempDir()
	path := filepath.Join(root, "dev/tpmrm0")
	write(t, root, "dev/state/empty", nil)
	cmd := exec.CommandContext(t.Context(), "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+filepath.Join(root, "dev/state"),
		"--server", "type=unixio,path="+path, "--flags", "not-need-init,startup-clear")
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // killed: the test's context has ended
	}()
	t.Cleanup(func() { <-ended })
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		if conn, err := new(net.Dialer).DialContext(t.Context(), "unix", path); err == nil {
			_ = conn.Close()
			break
		}
		select {
		case <-tick.C:
		case <-ended:
			t.Fatal("swtpm did not start")
		}
	}
	tpm, err := linuxudstpm.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return &emulator{root, tpm, devicekey.Open(root)}
}

// provision makes a key as EVE does, and keeps it at a handle.
func (e *emulator) provision(t *testing.T, handle tpm2.TPMHandle, hierarchy tpm2.TPMHandle, template tpm2.TPMTPublic, password string) crypto.PublicKey {
	t.Helper()
	made, err := tpm2.CreatePrimary{
		PrimaryHandle: hierarchy,
		InPublic:      tpm2.New2B(template),
		InSensitive:   tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: []byte(password)}}},
	}.Execute(e.tpm)
	if err != nil {
		t.Fatal(err)
	}
	transient := tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name}
	_, err = tpm2.EvictControl{Auth: tpm2.TPMRHOwner, ObjectHandle: transient, PersistentHandle: handle}.Execute(e.tpm)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (tpm2.FlushContext{FlushHandle: made.ObjectHandle}).Execute(e.tpm); err != nil {
		t.Fatal(err)
	}
	area, err := made.OutPublic.Contents()
	if err != nil {
		t.Fatal(err)
	}
	public, err := tpm2.Pub(*area)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// ecTemplate is EVE's for the device key and for the ECDH key, which are one key but for the password.
func ecTemplate() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{SignEncrypt: true, NoDA: true, Decrypt: true, SensitiveDataOrigin: true, UserWithAuth: true},
		Parameters:       tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256}),
	}
}

// identityTemplate is EVE's for the attestation identity key.
func identityTemplate() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, Restricted: true, SignEncrypt: true, NoDA: true,
		},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{
			Scheme: tpm2.TPMTRSAScheme{
				Scheme:  tpm2.TPMAlgRSASSA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256}),
			},
			KeyBits: 2048,
		}),
	}
}

func TestECDHInTPM(t *testing.T) {
	t.Parallel()
	node := emulate(t)
	ours := node.provision(t, ecdhHandle, tpm2.TPMRHOwner, ecTemplate(), "").(*ecdsa.PublicKey)
	device := generate(t, elliptic.P256())
	write(t, node.root, deviceCert, certificate(t, &device.PublicKey)) // and no key: it uses its TPM
	peer := generate(t, elliptic.P256())
	wantX, wantY := shared(t, ours, peer)
	cert := edgeNodeCert(certificate(t, ours), true)

	t.Run("the peer finds the same point", func(t *testing.T) {
		t.Parallel()
		x, y, err := node.keys.ECDH(cert, &peer.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		if x.Cmp(wantX) != 0 || y.Cmp(wantY) != 0 {
			t.Errorf("point is %x, %x; the peer's is %x, %x", x, y, wantX, wantY)
		}
	})
	t.Run("many at the same time", func(t *testing.T) {
		t.Parallel()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if x, _, err := node.keys.ECDH(cert, &peer.PublicKey); err != nil || x.Cmp(wantX) != 0 {
					t.Errorf("x is %v, want %v; error %v", x, wantX, err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("another key's certificate", func(t *testing.T) {
		t.Parallel()
		const want = "key at 0x81000005: the key does not belong to the certificate"
		_, _, err := node.keys.ECDH(edgeNodeCert(certificate(t, &peer.PublicKey), true), &peer.PublicKey)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want one with %q", err, want)
		}
	})
	t.Run("a certificate for a file", func(t *testing.T) {
		t.Parallel()
		_, _, err := node.keys.ECDH(edgeNodeCert(certificate(t, ours), false), &peer.PublicKey)
		if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "ecdh.key.pem") {
			t.Errorf("error is %v, want that there is no key in a file", err)
		}
	})
}

func TestSignerInTPM(t *testing.T) {
	t.Parallel()
	node := emulate(t)
	public := node.provision(t, deviceHandle, tpm2.TPMRHOwner, ecTemplate(), password).(*ecdsa.PublicKey)
	text := certificate(t, public)
	write(t, node.root, deviceCert, text)
	signer, cert, err := node.keys.Signer()
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(nil)

	const refused = "sign with the key at 0x817fffff: TPM_RC_BAD_AUTH"
	if _, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256); err == nil || !strings.Contains(err.Error(), refused) {
		t.Errorf("without the password: error %v, want one with %q", err, refused)
	}
	write(t, node.root, "config/tpm_credential", []byte(credentialText))
	verify(t, cert, signer)

	container, err := node.keys.Sign([]byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	checkContainer(t, container, parse(t, text), "payload")

	if _, err := signer.Sign(rand.Reader, digest[:], crypto.SHA384); err == nil {
		t.Error("signed a digest that is not SHA-256's")
	}
	if _, err := signer.Sign(rand.Reader, digest[1:], crypto.SHA256); err == nil {
		t.Error("signed a digest that is too short")
	}
	other := generate(t, elliptic.P256())
	write(t, node.root, deviceCert, certificate(t, &other.PublicKey))
	const foreign = "key at 0x817fffff: the key does not belong to the certificate"
	if _, err := node.keys.Sign([]byte("payload")); err == nil || !strings.Contains(err.Error(), foreign) {
		t.Errorf("with another's certificate: error %v, want one with %q", err, foreign)
	}
}

// What tpmmgr publishes on a device with a TPM, and what it makes where the TPM has the device key alone.
func TestECDHCertWithTPM(t *testing.T) {
	t.Parallel()
	node := emulate(t)
	public := node.provision(t, deviceHandle, tpm2.TPMRHOwner, ecTemplate(), "").(*ecdsa.PublicKey)
	text := certificate(t, public)
	write(t, node.root, deviceCert, text)
	made, err := node.keys.ECDHCert()
	if err != nil {
		t.Fatal(err)
	}
	if err := parse(t, made.Cert).CheckSignatureFrom(parse(t, text)); err != nil || made.IsTpm {
		t.Errorf("signed by the TPM's device key: %v; in the TPM: %t, want it in a file", err, made.IsTpm)
	}
	if err := os.Remove(filepath.Join(node.root, ecdhKey)); err != nil {
		t.Fatal(err)
	}
	if cert, err := node.keys.ECDHCert(); err != nil || !cert.IsTpm {
		t.Errorf("without a key in a file: in the TPM: %t, want so; error %v", cert.IsTpm, err)
	}
}

// TestActivate is the whole of it, with a verifier's part done as one does it: in software.
func TestActivate(t *testing.T) {
	t.Parallel()
	node := emulate(t)
	node.provision(t, endorsementHandle, tpm2.TPMRHEndorsement, tpm2.RSAEKTemplate, "")
	node.provision(t, identityHandle, tpm2.TPMRHOwner, identityTemplate(), "")
	v := newVerifier(t, node.keys)
	challenge, encrypted := v.challenge(t, v.name, "the verifier's secret")

	t.Run("proves itself", func(t *testing.T) {
		t.Parallel()
		secret, signature, err := node.keys.Activate(challenge, encrypted, []byte("data to sign"))
		if err != nil {
			t.Fatal(err)
		}
		if string(secret) != "the verifier's secret" {
			t.Errorf("secret is %q", secret)
		}
		digest := sha256.Sum256([]byte("data to sign"))
		if err := rsa.VerifyPKCS1v15(v.aik, crypto.SHA256, digest[:], signature); err != nil {
			t.Error(err)
		}
	})
	other := bytes.Clone(v.name)
	other[len(other)-1] ^= 1
	foreign, foreignSecret := v.challenge(t, other, "for another key")
	quote := binary.BigEndian.AppendUint32(nil, uint32(tpm2.TPMGeneratedValue))
	for _, tt := range []struct {
		name                       string
		challenge, encrypted, data []byte
		want                       string
	}{
		{"a challenge to another key", foreign, foreignSecret, nil, "activate credential: TPM_RC_INTEGRITY"},
		{"a challenge that was changed", append(bytes.Clone(challenge[:len(challenge)-1]), ^challenge[len(challenge)-1]), encrypted, nil, "activate credential: TPM_RC"},
		{"nothing", nil, nil, nil, "too short"},
		{"sizes and nothing behind", []byte{0, 0}, []byte{0, 0}, nil, "activate credential: TPM_RC"},
		{"more than any TPM takes", make([]byte, 20_000), make([]byte, 20_000), nil, "TPM "},
		{"too much to sign", challenge, encrypted, make([]byte, devicekey.MaxHashed+1), "data of 1025 bytes, more than 1024"},
		{"what looks like the TPM's own word", challenge, encrypted, quote, "sign with the key at 0x81000003: TPM_RC_TICKET"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			secret, signature, err := node.keys.Activate(tt.challenge, tt.encrypted, tt.data)
			if err == nil || !strings.Contains(err.Error(), tt.want) || secret != nil || signature != nil {
				t.Errorf("secret %q, signature %x, error %v; want an error with %q alone", secret, signature, err, tt.want)
			}
		})
	}
	t.Run("as much as any TPM hashes", func(t *testing.T) {
		t.Parallel()
		if _, _, err := node.keys.Activate(challenge, encrypted, make([]byte, devicekey.MaxHashed)); err != nil {
			t.Error(err)
		}
	})
}

// verifier is who challenges a TPM to prove that it has both of its keys.
type verifier struct {
	ek   tpm2.LabeledEncapsulationKey
	aik  *rsa.PublicKey
	name []byte
}

// newVerifier reads the keys, and checks of the identity key what there is to check.
func newVerifier(t *testing.T, keys *devicekey.Keys) *verifier {
	t.Helper()
	ekArea, aikArea, sized, err := keys.Credential()
	if err != nil {
		t.Fatal(err)
	}
	name, err := tpm2.Unmarshal[tpm2.TPM2BName](sized)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(aikArea)
	if want := append(binary.BigEndian.AppendUint16(nil, uint16(tpm2.TPMAlgSHA256)), digest[:]...); !bytes.Equal(name.Buffer, want) {
		t.Errorf("name of the identity key is %x, want %x", name.Buffer, want)
	}
	aik, err := tpm2.Unmarshal[tpm2.TPMTPublic](aikArea)
	if err != nil {
		t.Fatal(err)
	}
	if a := aik.ObjectAttributes; !a.FixedTPM || !a.Restricted || !a.FixedParent || !a.SensitiveDataOrigin {
		t.Errorf("attributes of the identity key are %+v", a)
	}
	public, err := tpm2.Pub(*aik)
	if err != nil {
		t.Fatal(err)
	}
	ek, err := tpm2.Unmarshal[tpm2.TPMTPublic](ekArea)
	if err != nil {
		t.Fatal(err)
	}
	encapsulation, err := tpm2.ImportEncapsulationKey(ek)
	if err != nil {
		t.Fatal(err)
	}
	return &verifier{encapsulation, public.(*rsa.PublicKey), name.Buffer}
}

// challenge is one that only a TPM with a key of that name can open.
func (v *verifier) challenge(t *testing.T, name []byte, secret string) (challenge, encrypted []byte) {
	t.Helper()
	challenge, encrypted, err := tpm2.CreateCredential(rand.Reader, v.ek, name, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return tpm2.Marshal(tpm2.TPM2BIDObject{Buffer: challenge}), tpm2.Marshal(tpm2.TPM2BEncryptedSecret{Buffer: encrypted})
}

// A TPM whose keys are gone, and what is no TPM at all.
func TestTPMRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, device string // what the device is a link to; "" for nothing
		want         string
	}{
		{"no TPM", "", "no such file or directory"},
		{"a file", "/etc/passwd", "neither a device nor a socket, but -rw-r--r--"},
		{"a folder", "/dev", "neither a device nor a socket, but d"},
		{"a device with no answer", "/dev/null", "EOF"},
		{"a device that answers with zeros", "/dev/zero", "0x81000001"},
		{"a device that takes nothing", "/dev/full", "no space left on device"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			if tt.device != "" {
				link(t, root, tt.device)
			}
			ek, _, _, err := devicekey.Open(root).Credential()
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "dev/tpmrm0") || ek != nil {
				t.Errorf("key %x, error %v; want one with the device's name and %q", ek, err, tt.want)
			}
		})
	}
	t.Run("a TPM without keys", func(t *testing.T) {
		t.Parallel()
		node := emulate(t)
		const want = "read the key at 0x81000001: TPM_RC_HANDLE"
		if _, _, _, err := node.keys.Credential(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
		if _, _, err := node.keys.Activate([]byte{0, 0}, []byte{0, 0}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	})
}

// link makes a file the TPM of a node.
func link(t *testing.T, root, target string) {
	t.Helper()
	write(t, root, "dev/empty", nil)
	if err := os.Symlink(target, filepath.Join(root, "dev/tpmrm0")); err != nil {
		t.Fatal(err)
	}
}

// A TPM that never answers, as a device whose reads block and as a socket, costs patience and nothing else.
func TestStuckTPM(t *testing.T) {
	t.Parallel()
	t.Run("device", func(t *testing.T) {
		t.Parallel()
		root := t.TempDir()
		master, path := terminal(t)
		link(t, root, path)
		keys := devicekey.Open(root)
		keys.SetPatience(50 * time.Millisecond)
		keys.SetPause(0)
		_, _, _, err := keys.Credential()
		wantError(t, err, "no answer for 50ms")
		_, _, _, err = keys.Credential()
		wantError(t, err, "busy for 50ms") // the first is still at it: the kernel lets go of nothing
		if err := master.Close(); err != nil {
			t.Fatal(err)
		}
		keys.SetPatience(time.Minute)
		_, _, _, err = keys.Credential()
		wantError(t, err, "dev/tpmrm0") // gone: an answer at last
	})
	t.Run("socket", func(t *testing.T) {
		t.Parallel()
		root := t.TempDir()
		listen(t, root, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
		keys := devicekey.Open(root)
		keys.SetPatience(50 * time.Millisecond)
		keys.SetPause(0)
		for range 2 { // a connection is given up, so the next has its turn
			_, _, _, err := keys.Credential()
			wantError(t, err, "no answer for 50ms")
		}
	})
	t.Run("many callers", func(t *testing.T) {
		t.Parallel()
		root := t.TempDir()
		var asked atomic.Int32
		listen(t, root, func(conn net.Conn) {
			asked.Add(1)
			_, _ = io.Copy(io.Discard, conn)
		})
		keys := devicekey.Open(root)
		keys.SetPatience(50 * time.Millisecond)
		keys.SetPause(time.Hour)
		_, _, _, err := keys.Credential()
		wantError(t, err, "no answer for 50ms")
		for range 100 { // that do not wait one after the other
			_, _, _, err := keys.Credential()
			wantError(t, err, "no answer 0s ago")
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("the TPM was asked %d times, want once", n)
		}
	})
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want one with %q", err, want)
	}
}

// terminal is a device that keeps its readers waiting, until its other end is closed.
func terminal(t *testing.T) (master *os.File, path string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, fs.ErrNotExist) {
		t.Skipf("there are no terminals here, and no other device that does not answer: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	return master, filepath.Join("/dev/pts", big.NewInt(int64(number)).String())
}

// listen is a TPM at a socket, of which a function serves each connection.
func listen(t *testing.T, root string, serve func(net.Conn)) {
	t.Helper()
	write(t, root, "dev/empty", nil)
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(root, "dev/tpmrm0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			}()
		}
	}()
}

// One caller at a time: the others wait, and no TPM sees two connections.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	var open atomic.Int32
	listen(t, root, func(conn net.Conn) {
		if open.Add(1) > 1 {
			t.Error("two connections at the same time")
		}
		grace, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond) // for a second one to come
		defer cancel()
		<-grace.Done()
		open.Add(-1)                                                      // before the answer: the next comes when that is there
		_, _ = conn.Write([]byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 1, 0x01}) // TPM_RC_FAILURE
	})
	keys := devicekey.Open(root)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			_, _, _, err := keys.Credential()
			wantError(t, err, "TPM_RC_FAILURE")
		})
	}
	wg.Wait()
}

// asn1Signature is a signature of the EVE API, r and s of one length, as Go has them.
func asn1Signature(t *testing.T, raw []byte) []byte {
	t.Helper()
	half := len(raw) / 2
	r, s := new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])
	signature, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	return signature
}
