// SPDX-License-Identifier: Apache-2.0

package cipher_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-api/go/evecommon"

	"github.com/lf-edge/eve-metadata/pkg/cipher"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// roundTrip seals a message and opens it into another of its type.
func roundTrip(t *testing.T, s *cipher.Sealer, d *device, content proto.Message) {
	t.Helper()
	block, err := s.Seal("block", content)
	if err != nil {
		t.Fatal(err)
	}
	got := content.ProtoReflect().New().Interface()
	if err := d.opener().OpenInto(block, got); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(content, got) {
		t.Errorf("the message is another after it was sealed and opened:\n%s", cmp.Diff(content, got, protocmp.Transform()))
	}
}

// sealAndOpen is a round trip with a controller of that key.
func sealAndOpen(t *testing.T, key *ecdsa.PrivateKey) {
	t.Helper()
	d, s := newDevice(t), newSealer(t)
	s.Key, s.ControllerCert = key, selfSigned(t, key.Public(), key)
	context, err := s.Context()
	if err != nil {
		t.Fatal(err)
	}
	d.publish(context, s.ControllerCert, s.DeviceCert)
	roundTrip(t, s, d, &evecommon.EncryptionBlock{ProtectedUserData: "eA=="})
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]proto.Message{
		"a letter": &evecommon.EncryptionBlock{DsAPIKey: "x"},
		"all": &evecommon.EncryptionBlock{DsAPIKey: "1", DsPassword: "2", WifiUserName: "3", WifiPassword: "4", ProtectedUserData: "5",
			User: evecommon.EncryptionBlockUser_ENCRYPTION_BLOCK_USER_BINARY_ARTIFACT_METADATA, EncryptedData: "6",
			GzipRegistrationManifestYaml: []byte{0, 255}},
		"large":         &evecommon.EncryptionBlock{ProtectedUserData: strings.Repeat("0123456789abcde\n", 1<<16)},
		"another thing": &config.InlineOpaqueBase64Data{FileNameToUse: "cfg.bin", Base64Data: "eA=="},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			roundTrip(t, newSealer(t), newDevice(t), content)
		})
	}
}

// A controller may use whichever of its certificates, and hash the device's and its own as it says.
func TestRoundTripCertificates(t *testing.T) {
	t.Parallel()
	chain := append(pemCert(t, "encrypt.pem"), "\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"...)
	chain = append(chain, pemCert(t, "signing.pem")...)
	for name, change := range map[string]func(*cipher.Sealer){
		"signing certificate": func(s *cipher.Sealer) {
			s.Key, s.ControllerCert = pemKey(t, "signing-key.pem"), pemCert(t, "signing.pem")
		},
		"whole hash":        func(s *cipher.Sealer) { s.HashScheme = eve.HashAlgorithmSha256Bytes32 },
		"newline at end":    func(s *cipher.Sealer) { s.ControllerCert = append(s.ControllerCert, '\n') },
		"chain":             func(s *cipher.Sealer) { s.ControllerCert = chain },
		"something before":  func(s *cipher.Sealer) { s.ControllerCert = append([]byte("Bag Attributes\n"), s.ControllerCert...) },
		"device without nl": func(s *cipher.Sealer) { s.DeviceCert = bytes.TrimSpace(s.DeviceCert) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, s := newDevice(t), newSealer(t)
			change(s)
			context, err := s.Context()
			if err != nil {
				t.Fatal(err)
			}
			clear(d.controllers)
			clear(d.certs)
			d.publish(context, s.ControllerCert, s.DeviceCert)
			roundTrip(t, s, d, &evecommon.EncryptionBlock{ProtectedUserData: "eA=="})
		})
	}
}

// A controller whose hash is of its certificate with the newline at its end is understood all the same.
func TestControllerHashUntrimmed(t *testing.T) {
	t.Parallel()
	d, s := newDevice(t), newSealer(t)
	other := newSealer(t)
	other.ControllerCert = append(slices.Clone(s.ControllerCert), '\n')
	// A device's certificate is hashed with its newline.
	other.DeviceCert = other.ControllerCert
	context, err := other.Context()
	if err != nil {
		t.Fatal(err)
	}
	block, err := s.Seal("block", &evecommon.EncryptionBlock{DsAPIKey: "x"})
	if err != nil {
		t.Fatal(err)
	}
	block.CipherContext.ControllerCertHash = context.DeviceCertHash
	d.publish(*block.CipherContext, other.ControllerCert, s.DeviceCert)
	if _, err := d.opener().Open(block); err != nil {
		t.Error(err)
	}
}

func TestSealRandom(t *testing.T) {
	t.Parallel()
	s, content := newSealer(t), &evecommon.EncryptionBlock{ProtectedUserData: "eA=="}
	a, err := s.Seal("a", content)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Seal("b", content)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(a.InitialValue, b.InitialValue) || bytes.Equal(a.CipherData, b.CipherData) {
		t.Error("two blocks have the same initial value or the same data")
	}
}

func TestSealRefuses(t *testing.T) {
	t.Parallel()
	p384 := newKey(t, elliptic.P384())
	for name, tt := range map[string]struct {
		change func(*cipher.Sealer)
		want   string
	}{
		"hash scheme":           {func(s *cipher.Sealer) { s.HashScheme = 9 }, "hash scheme HashAlgorithm(9) is not known"},
		"key of another":        {func(s *cipher.Sealer) { s.Key = p384 }, "controller certificate: it is not that of the key"},
		"no certificate":        {func(s *cipher.Sealer) { s.ControllerCert = nil }, "controller certificate: there is no certificate in its PEM text"},
		"no device certificate": {func(s *cipher.Sealer) { s.DeviceCert = nil }, "device certificate: there is no certificate in its PEM text"},
		"too little chance":     {func(s *cipher.Sealer) { s.Rand = &reader{[]byte("short")} }, "initial value: file already closed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSealer(t)
			tt.change(s)
			block, err := s.Seal("block", &evecommon.EncryptionBlock{DsAPIKey: "x"})
			if err == nil || err.Error() != tt.want || block != nil {
				t.Errorf("got %v, %v; want the error %q", block, err, tt.want)
			}
		})
	}
	if _, err := newSealer(t).Seal("block", &evecommon.EncryptionBlock{}); err == nil {
		t.Error("an empty message was encrypted")
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	s := newSealer(t)
	s.Rand = &reader{bytes.Repeat([]byte{7}, 16)}
	block, err := s.Seal("block", &evecommon.EncryptionBlock{DsAPIKey: "x"})
	if err != nil {
		t.Fatal(err)
	}
	want := &evecommon.CipherBlock{
		CipherContextId: s.ContextID,
		InitialValue:    bytes.Repeat([]byte{7}, 16),
		CipherData:      block.CipherData,
		ClearTextSha256: block.ClearTextHash,
	}
	if diff := cmp.Diff(want, cipher.Message(block), protocmp.Transform()); diff != "" {
		t.Errorf("block (-want +got):\n%s", diff)
	}
	context := &evecommon.CipherContext{
		ContextId:          s.ContextID,
		HashScheme:         evecommon.HashAlgorithm_HASH_ALGORITHM_SHA256_16BYTES,
		KeyExchangeScheme:  evecommon.KeyExchangeScheme_KEA_ECDH,
		EncryptionScheme:   evecommon.EncryptionScheme_SA_AES_256_CFB,
		ControllerCertHash: block.CipherContext.ControllerCertHash,
		DeviceCertHash:     block.CipherContext.DeviceCertHash,
	}
	if diff := cmp.Diff(context, cipher.ContextMessage(block.CipherContext), protocmp.Transform()); diff != "" {
		t.Errorf("context (-want +got):\n%s", diff)
	}
}
