// SPDX-License-Identifier: Apache-2.0

package cipher_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/lf-edge/eve-metadata/pkg/cipher"
	"github.com/lf-edge/eve-metadata/pkg/devicekey"
)

// With the device's key where EVE keeps it in software, in either form of PEM, the recorded blocks are decrypted.
func TestSoftwareKey(t *testing.T) {
	t.Parallel()
	pkcs8, err := x509.MarshalPKCS8PrivateKey(pemKey(t, "ecdh.key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string][]byte{
		"SEC 1":  pemCert(t, "ecdh.key.pem"),
		"PKCS#8": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			o := newDevice(t).opener()
			o.ECDH = devicekey.Open(root).ECDH
			block := sealed(t)
			var failure *cipher.Error
			if _, err := o.Open(block); !errors.As(err, &failure) || failure.Kind != cipher.DecryptFailed || !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("without a key: got %v", err)
			}
			keep(t, filepath.Join(root, "persist/certs/ecdh.key.pem"), key)
			if got, err := o.UserData(block, nil); got != secret || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func keep(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
