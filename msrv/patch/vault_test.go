// SPDX-License-Identifier: Apache-2.0

package patch_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/gob"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-api/go/evecommon"

	dialect "github.com/lf-edge/eve-metadata/msrv/dialect/eve"
	"github.com/lf-edge/eve-metadata/msrv/patch"
	"github.com/lf-edge/eve-metadata/pkg/cipher"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// keys are those of a controller and a device.
type keys struct {
	controller, device         *ecdsa.PrivateKey
	controllerCert, deviceCert []byte
	away                       atomic.Bool // the certificates are not there
	agreed                     atomic.Int64
}

func newKeys(t testing.TB) *keys {
	t.Helper()
	k := &keys{}
	k.controller, k.controllerCert = newCert(t)
	k.device, k.deviceCert = newCert(t)
	return k
}

func newCert(t testing.TB) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// opener is the device's. It trusts that a hash is that of its one certificate, which the Opener verifies.
func (k *keys) opener() *cipher.Opener {
	return &cipher.Opener{
		ControllerCert: func([]byte) (eve.ControllerCert, bool) {
			return eve.ControllerCert{Cert: k.controllerCert}, !k.away.Load()
		},
		DeviceCert: func([]byte) (eve.EdgeNodeCert, bool) { return eve.EdgeNodeCert{Cert: k.deviceCert}, true },
		ECDH: func(_ eve.EdgeNodeCert, peer *ecdsa.PublicKey) (x, y *big.Int, err error) {
			k.agreed.Add(1)
			return cipher.SharedPoint(k.device, peer)
		},
	}
}

// seal is what the controller encrypts.
func (k *keys) seal(t testing.TB, id string, content proto.Message) *eve.CipherBlockStatus {
	t.Helper()
	s := cipher.Sealer{ContextID: "6f1f6a4c", Key: k.controller, ControllerCert: k.controllerCert, DeviceCert: k.deviceCert}
	block, err := s.Seal(id, content)
	if err != nil {
		t.Fatal(err)
	}
	return block
}

// The types that zedagent writes by encoding/gob, which goes by the names of fields (EVE, pillar's types).
type (
	pillarBlock struct {
		CipherBlockID, CipherContextID          string
		InitialValue, CipherData, ClearTextHash []byte
		IsCipher                                bool
		CipherContext                           *pillarContext
		ErrorAndTime
	}
	pillarContext struct {
		ContextID                                       string
		HashScheme, KeyExchangeScheme, EncryptionScheme int32
		ControllerCertHash, DeviceCertHash              []byte
		ErrorAndTime
	}
	ErrorAndTime     struct{ ErrorDescription }
	ErrorDescription struct {
		Error               string
		ErrorTime           time.Time
		ErrorSeverity       int32
		ErrorRetryCondition string
		ErrorEntities       []*pillarEntity
	}
	pillarEntity struct {
		EntityType int32
		EntityID   string
	}
)

// keep writes a block as zedagent does, and returns its path.
func keep(t testing.TB, root, name string, b *eve.CipherBlockStatus) string {
	t.Helper()
	var text bytes.Buffer
	p := pillarBlock{
		CipherBlockID: b.CipherBlockID, CipherContextID: b.CipherContextID, InitialValue: b.InitialValue, CipherData: b.CipherData,
		ClearTextHash: b.ClearTextHash, IsCipher: b.IsCipher, CipherContext: &pillarContext{
			ContextID: b.CipherContext.ContextID, HashScheme: int32(b.CipherContext.HashScheme),
			KeyExchangeScheme: int32(b.CipherContext.KeyExchangeScheme), EncryptionScheme: int32(b.CipherContext.EncryptionScheme),
			ControllerCertHash: b.CipherContext.ControllerCertHash, DeviceCertHash: b.CipherContext.DeviceCertHash,
		},
	}
	p.ErrorDescription.Error = b.Error
	if err := gob.NewEncoder(&text).Encode(p); err != nil {
		t.Fatal(err)
	}
	path := "/persist/patchEnvelopesCache/" + name
	file := filepath.Join(root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, text.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

func encInline(path string) eve.BinaryCipherBlob {
	return eve.BinaryCipherBlob{EncType: eve.BlobEncrytedTypeInline, EncURL: path, EncFileName: filepath.Base(path)}
}

// newSecret is a world with keys, a root, and one envelope of which all is encrypted.
func newSecret(t *testing.T) (w *world, k *keys, root string, e eve.PatchEnvelopeInfo) {
	t.Helper()
	k, root = newKeys(t), t.TempDir()
	w = newWorld(t, func(c *patch.Config) { c.Opener, c.Root = k.opener(), root })
	said := *k.seal(t, "artifactMeta", &evecommon.EncryptionBlock{
		User: evecommon.EncryptionBlockUser_ENCRYPTION_BLOCK_USER_BINARY_ARTIFACT_METADATA, EncryptedData: "c2VjcmV0IG1ldGE=",
	})
	plain := blob("cfg.bin")
	plain.EncArtifactMeta = said
	e = active(firmware, "4", plain)
	e.VolumeRefs = []eve.BinaryBlobVolumeRef{{FileName: "model.bin", ImageName: "model", ImageID: volumeID, EncArtifactMeta: said}}
	inline := encInline(keep(t, root, "encInline", k.seal(t, "encInline", &config.InlineOpaqueBase64Data{
		Base64Data: "c2VjcmV0", FileNameToUse: "key.txt", Base64MetaData: new("bWV0YQ=="),
	})))
	inline.EncArtifactMeta = said
	volume := eve.BinaryCipherBlob{
		EncType: eve.BlobEncrytedTypeVolume, EncFileName: "encVolume", ArtifactMetaData: "cGxhaW4=",
		EncURL: keep(t, root, "encVolume", k.seal(t, "encVolume", &config.ExternalOpaqueBinaryBlob{
			ImageName: "secret model", FileNameToUse: new("secret.bin"), BlobMetaData: new("bWV0YQ=="), ImageId: volumeID,
		})),
	}
	e.CipherBlobs = []eve.BinaryCipherBlob{inline, volume}
	w.source.volume(1, nil)
	w.source.content()
	return w, k, root, e
}

// TestEncrypted holds what becomes of what came encrypted: for guests all of it in the clear, and on the bus nothing.
func TestEncrypted(t *testing.T) {
	t.Parallel()
	w, k, _, e := newSecret(t)
	w.source.say(e)
	p := w.Of(web)[0]
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	location := "/persist/vault/volumes/" + volumeID + "#1.raw"
	const meta = "c2VjcmV0IG1ldGE="
	want := []dialect.PatchFile{
		{BinaryBlobCompleted: eve.BinaryBlobCompleted{FileName: "cfg.bin", FileSha: "9f86d081", FileMetadata: "bWV0YQ==", ArtifactMetadata: meta, URL: "/persist/cache/cfg.bin", Size: 4}},
		{BinaryBlobCompleted: eve.BinaryBlobCompleted{FileName: "model.bin", FileSha: "d2371d63", ArtifactMetadata: meta, URL: location, Size: 672}},
		{
			BinaryBlobCompleted: eve.BinaryBlobCompleted{FileName: "key.txt", FileSha: "1c1185e02ff3e23b3e5a1c5bc86cf15d4126caa3dcde0fdb6e93adc4deec119e", FileMetadata: "bWV0YQ==", ArtifactMetadata: meta, Size: 8},
			Text:                []byte("c2VjcmV0"),
		},
		{BinaryBlobCompleted: eve.BinaryBlobCompleted{FileName: "secret.bin", FileSha: "d2371d63", FileMetadata: "bWV0YQ==", ArtifactMetadata: "cGxhaW4=", URL: location, Size: 672}},
	}
	if diff := cmp.Diff(want, p.Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	volumes := []eve.BinaryBlobVolumeRef{
		{FileName: "model.bin", ImageName: "model", ImageID: volumeID, ArtifactMetadata: meta},
		{FileName: "secret.bin", ImageName: "secret model", ImageID: volumeID, FileMetadata: "bWV0YQ==", ArtifactMetadata: "cGxhaW4="},
	}
	if diff := cmp.Diff(volumes, p.Volumes); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	stop := w.run(t)
	_ = w.info(t, firmware+"v4")
	published := w.bus.published("PatchEnvelopeInfo")
	for _, secret := range []string{meta, "c2VjcmV0", "key.txt", "secret.bin", "secret model"} {
		if strings.Contains(published, secret) {
			t.Errorf("published in the clear: %s", secret)
		}
	}
	if !strings.Contains(published, `"State":5,"BinaryBlobs":[`) || !strings.Contains(published, `"fileName":"model.bin"`) {
		t.Errorf("published %s", published)
	}
	stop()
	if n := k.agreed.Load(); n != 3 {
		t.Errorf("%d times a key was agreed on for 3 blocks", n)
	}
}

// TestEncryptedAtFault holds that what cannot be decrypted is a fault that says why, without anything that is secret.
func TestEncryptedAtFault(t *testing.T) {
	t.Parallel()
	write := func(t *testing.T, root, text string) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, "block"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "/block"
	}
	for name, tt := range map[string]struct {
		blob func(*testing.T, *keys, string) eve.BinaryCipherBlob
		want string
	}{
		"file is missing":        {func(*testing.T, *keys, string) eve.BinaryCipherBlob { return encInline("/gone") }, `file "gone": open`},
		"file of another folder": {func(*testing.T, *keys, string) eve.BinaryCipherBlob { return encInline("/../x") }, "not an absolute path"},
		"file is none of a block": {func(t *testing.T, _ *keys, root string) eve.BinaryCipherBlob {
			return encInline(write(t, root, "text"))
		}, "read /block: no encrypted block"},
		"file is empty": {func(t *testing.T, _ *keys, root string) eve.BinaryCipherBlob { return encInline(write(t, root, "")) }, "read /block: no encrypted block: EOF"},
		"file is too large": {func(t *testing.T, _ *keys, root string) eve.BinaryCipherBlob {
			return encInline(write(t, root, strings.Repeat("x", 1<<20+1)))
		}, "read /block: 1048577 bytes are more than an encrypted file may have"},
		"another's": {func(t *testing.T, _ *keys, root string) eve.BinaryCipherBlob {
			return encInline(keep(t, root, "x", newKeys(t).seal(t, "x", &config.InlineOpaqueBase64Data{Base64Data: "secret"})))
		}, `encrypted block "x"`},
		"its publisher has a problem": {func(t *testing.T, k *keys, root string) eve.BinaryCipherBlob {
			b := k.seal(t, "x", &config.InlineOpaqueBase64Data{Base64Data: "secret"})
			b.Error = "no cipher context"
			return encInline(keep(t, root, "x", b))
		}, "no cipher context"},
		"not encrypted": {func(t *testing.T, k *keys, root string) eve.BinaryCipherBlob {
			b := k.seal(t, "x", &config.InlineOpaqueBase64Data{Base64Data: "secret"})
			b.IsCipher = false
			return encInline(keep(t, root, "x", b))
		}, "it is not encrypted"},
		"without a name": {func(t *testing.T, k *keys, root string) eve.BinaryCipherBlob {
			return encInline(keep(t, root, "x", k.seal(t, "x", &config.InlineOpaqueBase64Data{Base64Data: "secret"})))
		}, `file "": it is no name of a file`},
		"of a kind that is not known": {func(t *testing.T, k *keys, root string) eve.BinaryCipherBlob {
			b := encInline(keep(t, root, "x", k.seal(t, "x", &config.InlineOpaqueBase64Data{Base64Data: "secret"})))
			b.EncType = 7
			return b
		}, "encrypted in a way that is not known: BlobEncrytedType(7)"},
		"what is said about it": {func(t *testing.T, k *keys, root string) eve.BinaryCipherBlob {
			b := encInline(keep(t, root, "x", k.seal(t, "x", &config.InlineOpaqueBase64Data{Base64Data: "secret", FileNameToUse: "f"})))
			b.EncArtifactMeta = *newKeys(t).seal(t, "meta", &evecommon.EncryptionBlock{EncryptedData: "secret"})
			return b
		}, `file "f": encrypted block "meta"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, k, root, _ := newSecret(t)
			e := active(firmware, "4", blob("cfg.bin"))
			e.CipherBlobs = []eve.BinaryCipherBlob{tt.blob(t, k, root)}
			w.source.say(e)
			p := w.Of(web)[0]
			if p.Err == nil || !strings.Contains(p.Err.Error(), tt.want) || !strings.Contains(p.Err.Error(), firmware) {
				t.Errorf("error %v, want %s", p.Err, tt.want)
			}
			if len(p.Files) > 0 || strings.Contains(p.Err.Error(), "secret") {
				t.Errorf("%d files, error %v", len(p.Files), p.Err)
			}
			stop := w.run(t)
			if info := w.info(t, firmware+"v4"); info.State != eve.PatchEnvelopeStateError || !strings.Contains(strings.Join(info.Errors, " "), tt.want) {
				t.Errorf("published as %v: %v", info.State, info.Errors)
			}
			stop()
		})
	}
}

// TestEncryptedTwice holds that a block is read as what each envelope says that it is.
func TestEncryptedTwice(t *testing.T) {
	t.Parallel()
	w, k, root, _ := newSecret(t)
	path := keep(t, root, "x", k.seal(t, "x", &config.InlineOpaqueBase64Data{Base64Data: "text", FileNameToUse: "name"}))
	e := active(firmware, "4")
	e.CipherBlobs = []eve.BinaryCipherBlob{encInline(path), {EncType: eve.BlobEncrytedTypeVolume, EncURL: path}}
	w.source.say(e)
	p := w.Of(web)[0]
	if p.Err != nil || len(p.Files) != 1 || string(p.Files[0].Text) != "text" || len(p.Volumes) != 1 || p.Volumes[0].ImageName != "text" {
		t.Errorf("%+v", p)
	}
}

// TestEncryptedRetried holds that a block which could not be decrypted is tried again, and not each time that a guest asks.
func TestEncryptedRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, k, _, e := newSecret(t)
		w.source.say(e)
		k.away.Store(true)
		if w.Of(web)[0].Err == nil {
			t.Fatal("decrypted without a certificate")
		}
		k.away.Store(false)
		<-time.After(patch.RetryAfter - 1)
		if w.Of(web)[0].Err == nil {
			t.Error("tried again at once")
		}
		<-time.After(1)
		if err := w.Of(web)[0].Err; err != nil {
			t.Errorf("not tried again: %v", err)
		}
	})
}

// TestEncryptedForgotten holds that nothing decrypted stays in memory without its envelope, and all of it with that.
func TestEncryptedForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, k, _, e := newSecret(t)
		w.source.say(e)
		stop := w.run(t)
		<-time.After(10 * patch.LookInterval)
		synctest.Wait()
		if n := k.agreed.Load(); n != 3 {
			t.Errorf("%d times a key was agreed on while the envelope was there", n)
		}
		w.source.say()
		<-time.After(3 * patch.LookInterval)
		w.source.say(e)
		<-time.After(patch.LookInterval)
		synctest.Wait()
		if n := k.agreed.Load(); n != 6 {
			t.Errorf("%d times a key was agreed on, and once more when the envelope came again", n)
		}
		stop()
	})
}

// FuzzDecodeBlock holds that a file which is no block is an error, whatever is in it.
func FuzzDecodeBlock(f *testing.F) {
	k, root := newKeys(f), f.TempDir()
	path := keep(f, root, "x", k.seal(f, "x", &config.InlineOpaqueBase64Data{Base64Data: "secret"}))
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		block, err := patch.DecodeBlock(bytes.NewReader(text))
		if (block == nil) != (err != nil) {
			t.Errorf("block %v, error %v", block, err)
		}
	})
}
