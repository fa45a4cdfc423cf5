// SPDX-License-Identifier: Apache-2.0

package cipher_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-api/go/evecommon"

	"github.com/lf-edge/eve-metadata/pkg/cipher"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// secret is what no error may hold.
const secret = "c2VjcmV0"

// sealed is a block with the secret.
func sealed(t testing.TB) *eve.CipherBlockStatus {
	t.Helper()
	s := newSealer(t)
	s.Rand = &reader{bytes.Repeat([]byte{7}, 16)}
	block, err := s.Seal("c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001", &evecommon.EncryptionBlock{ProtectedUserData: secret})
	if err != nil {
		t.Fatal(err)
	}
	return block
}

// A refusal is what can be wrong with a block, or around it.
type refusal struct {
	name   string
	change func(*device, *cipher.Opener, *eve.CipherBlockStatus)
}

// block is a refusal of the block itself.
func block(name string, change func(*eve.CipherBlockStatus)) refusal {
	return refusal{name, func(_ *device, _ *cipher.Opener, b *eve.CipherBlockStatus) { change(b) }}
}

// controller is a refusal of the controller's certificate: it is published, and the block names it by its right hash.
func controller(name string, cert []byte) refusal {
	return refusal{name, func(d *device, _ *cipher.Opener, b *eve.CipherBlockStatus) {
		context, _ := (&cipher.Sealer{ControllerCert: cert}).Context()
		b.CipherContext.ControllerCertHash = context.ControllerCertHash
		d.controllers[hex.EncodeToString(context.ControllerCertHash)] = eve.ControllerCert{Cert: cert}
	}}
}

// agreed is a refusal of what the keeper of the device's key answers.
func agreed(name string, x, y *big.Int, err error) refusal {
	return refusal{name, func(_ *device, o *cipher.Opener, _ *eve.CipherBlockStatus) {
		o.ECDH = func(eve.EdgeNodeCert, *ecdsa.PublicKey) (*big.Int, *big.Int, error) { return x, y, err }
	}}
}

func refusals(t *testing.T) []refusal {
	t.Helper()
	p384, p256 := newKey(t, elliptic.P384()), newKey(t, elliptic.P256())
	edPublic, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return []refusal{
		block("not encrypted", func(b *eve.CipherBlockStatus) { b.IsCipher = false }),
		block("publisher's problem", func(b *eve.CipherBlockStatus) { b.Error = "context \"x\" not found" }),
		block("no context", func(b *eve.CipherBlockStatus) { b.CipherContext = nil }),
		block("no key exchange", func(b *eve.CipherBlockStatus) { b.CipherContext.KeyExchangeScheme = eve.KeyExchangeNone }),
		block("unknown key exchange", func(b *eve.CipherBlockStatus) { b.CipherContext.KeyExchangeScheme = 7 }),
		block("no encryption", func(b *eve.CipherBlockStatus) { b.CipherContext.EncryptionScheme = eve.EncryptionNone }),
		block("unknown encryption", func(b *eve.CipherBlockStatus) { b.CipherContext.EncryptionScheme = 7 }),
		block("no hash scheme", func(b *eve.CipherBlockStatus) { b.CipherContext.HashScheme = eve.HashAlgorithmInvalid }),
		block("unknown hash scheme", func(b *eve.CipherBlockStatus) { b.CipherContext.HashScheme = 7 }),
		block("other hash scheme", func(b *eve.CipherBlockStatus) { b.CipherContext.HashScheme = eve.HashAlgorithmSha256Bytes32 }),
		block("no initial value", func(b *eve.CipherBlockStatus) { b.InitialValue = nil }),
		block("long initial value", func(b *eve.CipherBlockStatus) { b.InitialValue = append(b.InitialValue, 0) }),
		block("no hash", func(b *eve.CipherBlockStatus) { b.ClearTextHash = nil }),
		block("short hash", func(b *eve.CipherBlockStatus) { b.ClearTextHash = b.ClearTextHash[:16] }),
		block("wrong hash", func(b *eve.CipherBlockStatus) { b.ClearTextHash[31] ^= 1 }),
		block("no data", func(b *eve.CipherBlockStatus) { b.CipherData = nil }),
		block("cut data", func(b *eve.CipherBlockStatus) { b.CipherData = b.CipherData[:len(b.CipherData)-1] }),
		block("no controller certificate", func(b *eve.CipherBlockStatus) { b.CipherContext.ControllerCertHash = nil }),
		block("unknown controller certificate", func(b *eve.CipherBlockStatus) { b.CipherContext.ControllerCertHash[0] ^= 1 }),
		block("unknown device certificate", func(b *eve.CipherBlockStatus) { b.CipherContext.DeviceCertHash[0] ^= 1 }),
		block("signing certificate", func(b *eve.CipherBlockStatus) {
			b.CipherContext.ControllerCertHash, _ = hex.DecodeString("78837ccaabad441b9bf08c3b99c7b7b9")
		}),
		controller("no PEM", []byte("certificate")),
		controller("a key in place of a certificate", []byte("-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n")),
		controller("broken certificate", []byte("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n")),
		controller("other algorithm", selfSigned(t, edPublic, edPrivate)),
		controller("other curve", selfSigned(t, p384.Public(), p384)),
		{"another controller's certificate", func(d *device, _ *cipher.Opener, b *eve.CipherBlockStatus) {
			d.publish(*b.CipherContext, selfSigned(t, p256.Public(), p256), pemCert(t, "ecdh.cert.pem"))
		}},
		{"another device's certificate", func(d *device, _ *cipher.Opener, b *eve.CipherBlockStatus) {
			d.publish(*b.CipherContext, pemCert(t, "encrypt.pem"), selfSigned(t, p256.Public(), p256))
		}},
		{"device certificate without its newline", func(d *device, _ *cipher.Opener, b *eve.CipherBlockStatus) {
			d.publish(*b.CipherContext, pemCert(t, "encrypt.pem"), bytes.TrimSpace(pemCert(t, "ecdh.cert.pem")))
		}},
		{"device certificate by its hash without its newline", func(d *device, _ *cipher.Opener, b *eve.CipherBlockStatus) {
			context, _ := (&cipher.Sealer{DeviceCert: bytes.TrimSpace(pemCert(t, "ecdh.cert.pem"))}).Context()
			b.CipherContext.DeviceCertHash = context.DeviceCertHash
			d.publish(*b.CipherContext, pemCert(t, "encrypt.pem"), pemCert(t, "ecdh.cert.pem"))
		}},
		{"device certificate of another curve", func(d *device, _ *cipher.Opener, b *eve.CipherBlockStatus) {
			cert := selfSigned(t, p384.Public(), p384)
			context, _ := (&cipher.Sealer{DeviceCert: cert}).Context()
			b.CipherContext.DeviceCertHash = context.DeviceCertHash
			d.certs[hex.EncodeToString(context.DeviceCertHash)] = eve.EdgeNodeCert{Cert: cert}
		}},
		{"another key", func(d *device, _ *cipher.Opener, _ *eve.CipherBlockStatus) { d.key = p256 }},
		agreed("no key", nil, nil, fmt.Errorf("open ecdh.key.pem: %w", fs.ErrNotExist)),
		agreed("no point", nil, nil, nil),
		agreed("negative point", big.NewInt(-1), big.NewInt(1), nil),
		agreed("large point", new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1), nil),
		agreed("point off the curve", big.NewInt(1), big.NewInt(1), nil),
		agreed("infinity", new(big.Int), new(big.Int), nil),
	}
}

// Whatever is wrong is said, of the right kind, counted once, and gives nothing.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	var said strings.Builder
	for _, tt := range refusals(t) {
		d, b := newDevice(t), sealed(t)
		o := d.opener()
		tt.change(d, o, b)
		content, err := o.Open(b)
		var failure *cipher.Error
		if !errors.As(err, &failure) || content != nil {
			t.Errorf("%s: got %v, %v", tt.name, content, err)
			continue
		}
		if failure.Block != b.CipherBlockID {
			t.Errorf("%s: the error names block %q", tt.name, failure.Block)
		}
		if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the secret: %v", tt.name, err)
		}
		want := eve.CipherMetrics{AgentName: "mdsrv", FailureCount: 1, LastFailure: then, TypeCounters: make([]uint64, 8)}
		want.TypeCounters[failure.Kind] = 1
		if diff := cmp.Diff(want, d.counters.Metrics()); diff != "" {
			t.Errorf("%s: counters (-want +got):\n%s", tt.name, diff)
		}
		fmt.Fprintf(&said, "%s\n\t%v: %s\n", tt.name, failure.Kind, masked(failure.Err.Error(), b.CipherContext))
	}
	golden(t, "testdata/refusals.golden", said.String())
}

// masked replaces the hashes of certificates, some of which are others in every run.
func masked(text string, context *eve.CipherContext) string {
	if context == nil || context.ControllerCertHash == nil {
		return text
	}
	return strings.NewReplacer(
		hex.EncodeToString(context.ControllerCertHash), "<controller's>",
		hex.EncodeToString(context.DeviceCertHash), "<device's>",
	).Replace(text)
}

// The reason can be asked for.
func TestOpenReason(t *testing.T) {
	t.Parallel()
	o := newDevice(t).opener()
	agreed("", nil, nil, fs.ErrNotExist).change(nil, o, nil)
	if _, err := o.Open(sealed(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want one with the reason in it", err)
	}
}

// sealRaw is a block that holds the bytes, whatever they are.
func sealRaw(t testing.TB, raw []byte) *eve.CipherBlockStatus {
	t.Helper()
	var content evecommon.EncryptionBlock
	content.ProtoReflect().SetUnknown(raw)
	block, err := newSealer(t).Seal("raw", &content)
	if err != nil {
		t.Fatal(err)
	}
	return block
}

// What is decrypted and is no message is not shown in the error.
func TestOpenNoMessage(t *testing.T) {
	t.Parallel()
	content, err := newDevice(t).opener().Open(sealRaw(t, []byte("\xff"+secret)))
	var failure *cipher.Error
	if !errors.As(err, &failure) || failure.Kind != cipher.UnmarshalFailed || strings.Contains(err.Error(), secret) || content != nil {
		t.Errorf("got %v, %v", content, err)
	}
}

// A bit that is another one, anywhere, is noticed.
func TestOpenFlippedBit(t *testing.T) {
	t.Parallel()
	d, whole := newDevice(t), sealed(t)
	for name, field := range map[string]func(*eve.CipherBlockStatus) []byte{
		"InitialValue":       func(b *eve.CipherBlockStatus) []byte { return b.InitialValue },
		"CipherData":         func(b *eve.CipherBlockStatus) []byte { return b.CipherData },
		"ClearTextHash":      func(b *eve.CipherBlockStatus) []byte { return b.ClearTextHash },
		"ControllerCertHash": func(b *eve.CipherBlockStatus) []byte { return b.CipherContext.ControllerCertHash },
		"DeviceCertHash":     func(b *eve.CipherBlockStatus) []byte { return b.CipherContext.DeviceCertHash },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for bit := range 8 * len(field(whole)) {
				b := clone(t, whole)
				field(b)[bit/8] ^= 1 << (bit % 8)
				if content, err := d.opener().Open(b); err == nil || content != nil {
					t.Errorf("bit %d: got %v, %v", bit, content, err)
				}
			}
		})
	}
	if _, err := d.opener().Open(clone(t, whole)); err != nil {
		t.Errorf("with no bit changed: %v", err)
	}
}

// clone copies a block by the JSON of its topic.
func clone(t testing.TB, block *eve.CipherBlockStatus) *eve.CipherBlockStatus {
	t.Helper()
	text, err := json.Marshal(block)
	if err != nil {
		t.Fatal(err)
	}
	var c eve.CipherBlockStatus
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return &c
}

func TestUserData(t *testing.T) {
	t.Parallel()
	text, empty := "dGV4dA==", ""
	other, err := newSealer(t).Seal("block", &evecommon.EncryptionBlock{DsPassword: "x"})
	if err != nil {
		t.Fatal(err)
	}
	changed := func(change func(*eve.CipherBlockStatus)) *eve.CipherBlockStatus {
		b := sealed(t)
		change(b)
		return b
	}
	failed := changed(func(b *eve.CipherBlockStatus) { b.Error = "no context" })
	broken := changed(func(b *eve.CipherBlockStatus) { b.ClearTextHash[0] ^= 1 })
	early := changed(func(b *eve.CipherBlockStatus) { b.CipherContext = nil })
	const none = cipher.Kind(255)
	for name, tt := range map[string]struct {
		block *eve.CipherBlockStatus
		clear *string
		want  string
		err   bool
		kind  cipher.Kind // that is counted, if any
		ok    uint64      // successes counted
	}{
		"nothing":                    {&eve.CipherBlockStatus{}, nil, "", false, cipher.NoData, 0},
		"empty":                      {&eve.CipherBlockStatus{}, &empty, "", false, cipher.NoData, 0},
		"clear":                      {&eve.CipherBlockStatus{}, &text, text, false, cipher.NoCipher, 0},
		"clear, error":               {&eve.CipherBlockStatus{ErrorAndTime: failed.ErrorAndTime}, &text, text, false, cipher.NoCipher, 0},
		"encrypted":                  {sealed(t), nil, secret, false, none, 1},
		"encrypted, clear beside":    {sealed(t), &text, secret, false, none, 1},
		"encrypted, none in it":      {other, nil, "", false, cipher.NoData, 1},
		"none in it, clear beside":   {other, &text, "", false, cipher.NoData, 1},
		"error":                      {failed, nil, "", true, cipher.MissingFallback, 0},
		"error, clear empty":         {failed, &empty, "", true, cipher.MissingFallback, 0},
		"error, clear beside":        {failed, &text, text, false, cipher.CleartextFallback, 0},
		"broken":                     {broken, nil, "", true, cipher.DecryptFailed, 0},
		"broken, clear beside":       {broken, &text, "", true, cipher.DecryptFailed, 0},
		"no context, clear beside":   {early, &text, "", true, cipher.NotReady, 0},
		"no message, nothing beside": {sealRaw(t, []byte{255}), nil, "", true, cipher.UnmarshalFailed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t)
			got, err := d.opener().UserData(tt.block, tt.clear)
			if got != tt.want || (err != nil) != tt.err {
				t.Errorf("got %q, %v", got, err)
			}
			var failure *cipher.Error
			if tt.err && (!errors.As(err, &failure) || failure.Kind != tt.kind || failure.Block != tt.block.CipherBlockID) {
				t.Errorf("got the error %#v, want one of kind %v", err, tt.kind)
			}
			want := eve.CipherMetrics{AgentName: "mdsrv", SuccessCount: tt.ok, TypeCounters: make([]uint64, 8)}
			if tt.ok > 0 {
				want.LastSuccess = then
			}
			if tt.kind != none {
				want.TypeCounters[tt.kind] = 1
			}
			if tt.kind != none && tt.kind != cipher.NoData {
				want.FailureCount, want.LastFailure = 1, then
			}
			if diff := cmp.Diff(want, d.counters.Metrics()); diff != "" {
				t.Errorf("counters (-want +got):\n%s", diff)
			}
		})
	}
}

// What was read of the counters stays as it was, while others count.
func TestCounters(t *testing.T) {
	t.Parallel()
	d, b, none := newDevice(t), sealed(t), &eve.CipherBlockStatus{}
	before := d.counters.Metrics()
	const each = 20
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range each {
				_, _ = d.opener().UserData(b, nil)
				_, _ = d.opener().Open(none)
				_ = d.counters.Metrics()
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff(eve.CipherMetrics{AgentName: "mdsrv", TypeCounters: make([]uint64, 8)}, before); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	want := eve.CipherMetrics{
		AgentName: "mdsrv", SuccessCount: 4 * each, FailureCount: 4 * each, LastSuccess: then, LastFailure: then,
		TypeCounters: []uint64{4 * each, 0, 0, 0, 0, 0, 0, 0},
	}
	if diff := cmp.Diff(want, d.counters.Metrics()); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
}

// Without counters, all is the same.
func TestUncounted(t *testing.T) {
	t.Parallel()
	o := newDevice(t).opener()
	o.Counters = nil
	if got, err := o.UserData(sealed(t), nil); got != secret || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := o.UserData(&eve.CipherBlockStatus{IsCipher: true}, nil); got != "" || err == nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestKind(t *testing.T) {
	t.Parallel()
	var names []string
	for k := range cipher.Kind(9) {
		names = append(names, fmt.Sprintf("%d %v", k, k))
	}
	want := []string{"0 Invalid", "1 NotReady", "2 DecryptFailed", "3 UnmarshalFailed", "4 CleartextFallback",
		"5 MissingFallback", "6 NoCipher", "7 NoData", "8 Kind(8)"}
	if !slices.Equal(names, want) {
		t.Errorf("got %q", names)
	}
}

// Whatever a block, a certificate and a key agreement are, the answer is a message or an error. The certificate is known
// by its right hash, so that it is looked at.
func FuzzOpen(f *testing.F) {
	for _, b := range recorded(f) {
		f.Add(b.InitialValue, b.CipherData, b.ClearTextHash, pemCert(f, "encrypt.pem"), int32(1), int32(1), int32(1), []byte(nil), []byte(nil))
	}
	f.Add([]byte{}, []byte{0}, []byte{0}, pemCert(f, "ecdh.key.pem"), int32(2), int32(0), int32(7), []byte{1}, []byte{0})
	d := newDevice(f)
	f.Fuzz(func(t *testing.T, iv, data, hash, cert []byte, kea, scheme, hashScheme int32, x, y []byte) {
		s := newSealer(t)
		s.ControllerCert, s.HashScheme = cert, eve.HashAlgorithm(hashScheme)
		context, err := s.Context()
		if err != nil { // such a hash scheme there is none
			context.ControllerCertHash, context.DeviceCertHash = cert, cert
		}
		context.HashScheme = eve.HashAlgorithm(hashScheme)
		context.KeyExchangeScheme, context.EncryptionScheme = eve.KeyExchangeScheme(kea), eve.EncryptionScheme(scheme)
		o := d.opener()
		o.ControllerCert = func([]byte) (eve.ControllerCert, bool) { return eve.ControllerCert{Cert: cert}, true }
		if len(x) > 0 {
			agreed("", new(big.Int).SetBytes(x), new(big.Int).SetBytes(y), nil).change(nil, o, nil)
		}
		content, err := o.Open(&eve.CipherBlockStatus{InitialValue: iv, CipherData: data, ClearTextHash: hash, IsCipher: true, CipherContext: &context})
		var failure *cipher.Error
		if (content == nil) != (err != nil) || err != nil && !errors.As(err, &failure) {
			t.Errorf("got %v, %v", content, err)
		}
	})
}
