// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"testing"

	"github.com/lf-edge/eve-api/go/evecommon"

	"github.com/lf-edge/eve-metadata/pkg/cipher"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/tests/evedevice"
)

// Seal encrypts user data for an app as the controller does with one of its keys, "signing" or "encrypt".
func Seal(t testing.TB, a *App, key, text string) *eve.CipherBlockStatus {
	t.Helper()
	block, _ := pem.Decode(evedevice.Key(t, key+"-key.pem"))
	private, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sealer := cipher.Sealer{
		ContextID: "6f1f6a4c-77a2-5a5b-9c55-1f4f3c2b1a01", Key: private,
		ControllerCert: evedevice.Key(t, key+".pem"), DeviceCert: evedevice.Key(t, "ecdh.cert.pem"),
	}
	sealed, err := sealer.Seal(a.Key(), &evecommon.EncryptionBlock{
		ProtectedUserData: base64.StdEncoding.EncodeToString([]byte(text)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}
