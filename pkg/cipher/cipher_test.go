// SPDX-License-Identifier: Apache-2.0

package cipher_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"flag"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/cipher"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file, or writes the file.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(read(t, file)), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// pemKey is a key as EVE keeps it: PEM, SEC 1.
func pemKey(t testing.TB, file string) *ecdsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode(read(t, filepath.Join("testdata/eve-keys", file)))
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemCert(t testing.TB, file string) []byte {
	t.Helper()
	return read(t, filepath.Join("testdata/eve-keys", file))
}

// topics reads a topic as EVE recorded it, by key.
func topics[T any](t testing.TB, agent, topic string) map[string]T {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../eve/testdata/eve-topics", agent, topic, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s/%s: %d files, %v", agent, topic, len(files), err)
	}
	values := make(map[string]T)
	for _, file := range files {
		var v T
		if err := json.Unmarshal(read(t, file), &v); err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		values[name[:len(name)-len(".json")]] = v
	}
	return values
}

// device is the device whose topics were recorded, with its certificates and its key.
type device struct {
	controllers map[string]eve.ControllerCert
	certs       map[string]eve.EdgeNodeCert
	key         *ecdsa.PrivateKey
	counters    *cipher.Counters
}

// then is the time of whatever is counted.
var then = time.Date(2026, 11, 20, 8, 52, 13, 0, time.UTC)

func newDevice(t testing.TB) *device {
	t.Helper()
	return &device{
		controllers: topics[eve.ControllerCert](t, "zedagent", "ControllerCert"),
		certs:       topics[eve.EdgeNodeCert](t, "tpmmgr", "EdgeNodeCert"),
		key:         pemKey(t, "ecdh.key.pem"),
		counters:    cipher.NewCounters("mdsrv", func() time.Time { return then }),
	}
}

func (d *device) opener() *cipher.Opener {
	return &cipher.Opener{
		ControllerCert: func(hash []byte) (eve.ControllerCert, bool) {
			cert, ok := d.controllers[hex.EncodeToString(hash)]
			return cert, ok
		},
		DeviceCert: func(hash []byte) (eve.EdgeNodeCert, bool) {
			cert, ok := d.certs[hex.EncodeToString(hash)]
			return cert, ok
		},
		ECDH: func(_ eve.EdgeNodeCert, peer *ecdsa.PublicKey) (x, y *big.Int, err error) {
			return cipher.SharedPoint(d.key, peer)
		},
		Counters: d.counters,
	}
}

// publish makes certificates known by the hashes of a context, whatever they are.
func (d *device) publish(context eve.CipherContext, controller, device []byte) {
	d.controllers[hex.EncodeToString(context.ControllerCertHash)] = eve.ControllerCert{Cert: controller}
	d.certs[hex.EncodeToString(context.DeviceCertHash)] = eve.EdgeNodeCert{Cert: device}
}

// newSealer is the controller of that device, which encrypts with its certificate for that.
func newSealer(t testing.TB) *cipher.Sealer {
	t.Helper()
	return &cipher.Sealer{
		ContextID:      "6f1f6a4c-77a2-5a5b-9c55-1f4f3c2b1a00",
		Key:            pemKey(t, "encrypt-key.pem"),
		ControllerCert: pemCert(t, "encrypt.pem"),
		DeviceCert:     pemCert(t, "ecdh.cert.pem"),
	}
}

// selfSigned makes a certificate of a key, in PEM.
func selfSigned(t testing.TB, public, private any) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// What EVE's agents published, the device decrypts to what the controller had encrypted.
func TestRecorded(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	for name, block := range recorded(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content, err := d.opener().Open(&block)
			if err != nil {
				t.Fatal(err)
			}
			text, err := base64.StdEncoding.DecodeString(content.GetProtectedUserData())
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "testdata/user-data.golden", string(text))
		})
	}
}

// recorded are the encrypted blocks among the recorded topics.
func recorded(t testing.TB) map[string]eve.CipherBlockStatus {
	t.Helper()
	blocks := make(map[string]eve.CipherBlockStatus)
	for key, app := range topics[eve.AppInstanceConfig](t, "zedagent", "AppInstanceConfig") {
		blocks["zedagent "+key] = app.CipherBlockStatus
	}
	for key, app := range topics[eve.AppNetworkConfig](t, "zedmanager", "AppNetworkConfig") {
		blocks["zedmanager "+key] = app.CipherBlockStatus
	}
	for name, block := range blocks {
		if !block.IsCipher {
			delete(blocks, name)
		}
	}
	if len(blocks) < 3 {
		t.Fatalf("%d encrypted blocks among the recorded topics", len(blocks))
	}
	return blocks
}

// The bytes are EVE's own: with the same initial value, the same message is encrypted to the recorded block and context.
func TestSealRecorded(t *testing.T) {
	t.Parallel()
	want := recorded(t)["zedagent c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001"]
	content, err := newDevice(t).opener().Open(&want)
	if err != nil {
		t.Fatal(err)
	}
	s := newSealer(t)
	s.ControllerCert = append(s.ControllerCert, '\n') // its hash is made without
	s.Rand = &reader{want.InitialValue}
	got, err := s.Seal(want.CipherBlockID, content)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("block (-recorded +got):\n%s", diff)
	}
	context := topics[eve.CipherContext](t, "zedagent", "CipherContext")[want.CipherContextID]
	if diff := cmp.Diff(&context, got.CipherContext); diff != "" {
		t.Errorf("context (-recorded +got):\n%s", diff)
	}
}

// Both sides come to the same point, also where a coordinate begins with zeros.
func TestSharedPoint(t *testing.T) {
	t.Parallel()
	device := pemKey(t, "ecdh.key.pem")
	short := 0
	for i := range 600 {
		seed := sha256.Sum256([]byte{byte(i >> 8), byte(i)})
		peer, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
		if err != nil {
			t.Fatal(err)
		}
		x, y, err := cipher.SharedPoint(device, &peer.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		if x.BitLen() <= 248 || y.BitLen() <= 248 {
			short++
			sealAndOpen(t, peer)
		}
		xx, yy, err := cipher.SharedPoint(peer, &device.PublicKey)
		if err != nil || x.Cmp(xx) != 0 || y.Cmp(yy) != 0 {
			t.Fatalf("key %x: (%x, %x) and (%x, %x), %v", seed, x, y, xx, yy, err)
		}
		// crypto/ecdh has X as well.
		own, _ := device.ECDH()
		public, _ := peer.PublicKey.ECDH()
		if want, err := own.ECDH(public); err != nil || new(big.Int).SetBytes(want).Cmp(x) != 0 {
			t.Fatalf("key %x: X is %x, want %x, %v", seed, x, want, err)
		}
	}
	if short == 0 {
		t.Error("no point with a short coordinate was among them")
	}
}

func TestSharedPointRefuses(t *testing.T) {
	t.Parallel()
	p256, p384 := pemKey(t, "ecdh.key.pem"), newKey(t, elliptic.P384())
	point := func(x, y int64) *ecdsa.PublicKey {
		//nolint:staticcheck // what cannot be parsed can still be made so
		return &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(x), Y: big.NewInt(y)}
	}
	zero := &ecdsa.PrivateKey{PublicKey: p256.PublicKey, D: new(big.Int)} //nolint:staticcheck // the same
	for name, tt := range map[string]struct {
		key  *ecdsa.PrivateKey
		peer *ecdsa.PublicKey
		want string // how the error begins
	}{
		"private key of another curve": {p384, &p256.PublicKey, "both keys have to be of the curve P-256"},
		"public key of another curve":  {p256, &p384.PublicKey, "both keys have to be of the curve P-256"},
		"off the curve":                {p256, point(1, 1), "public key: "},
		"infinity":                     {p256, point(0, 0), "public key: "},
		"negative":                     {p256, point(-1, 1), "public key: "},
		"zero":                         {zero, &p256.PublicKey, "private key: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, y, err := cipher.SharedPoint(tt.key, tt.peer)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || x != nil || y != nil {
				t.Errorf("got (%v, %v), %v; want the error %q", x, y, err, tt.want)
			}
		})
	}
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// reader gives its bytes once.
type reader struct{ rest []byte }

func (r *reader) Read(p []byte) (int, error) {
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	if n == 0 {
		return 0, os.ErrClosed
	}
	return n, nil
}
