// SPDX-License-Identifier: Apache-2.0

package cipher_test

import (
	"crypto/aes"
	stdcipher "crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/lf-edge/eve-api/go/evecommon"
)

// BenchmarkOpen opens a block, by the size of the user data in it. The floor is what cryptography it cannot do without: one
// agreement of keys, one decryption, and two hashes.
func BenchmarkOpen(b *testing.B) {
	for _, size := range []int{100, 64 << 10, 700 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			d, s := newDevice(b), newSealer(b)
			block, err := s.Seal("block", &evecommon.EncryptionBlock{ProtectedUserData: strings.Repeat("x", size)})
			if err != nil {
				b.Fatal(err)
			}
			b.Run("open", func(b *testing.B) {
				opener := d.opener()
				for b.Loop() {
					if _, err := opener.Open(block); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("floor", func(b *testing.B) { floor(b, block.InitialValue, block.CipherData) })
		})
	}
}

func floor(b *testing.B, iv, data []byte) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		point, err := key.ECDH(key.PublicKey())
		if err != nil {
			b.Fatal(err)
		}
		secret := sha256.Sum256(point)
		block, err := aes.NewCipher(secret[:])
		if err != nil {
			b.Fatal(err)
		}
		text := make([]byte, len(data))
		stdcipher.NewCFBDecrypter(block, iv).XORKeyStream(text, data) //nolint:staticcheck // EVE's mode
		sha256.Sum256(text)
	}
}
