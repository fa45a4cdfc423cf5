// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"
)

// Sizes in bytes of the key, and of a token before and after it is written as text.
const (
	keySize    = 32                 // AES-256
	sealedSize = 12 + 8 + 16        // GCM's nonce, the time of the token's end, GCM's tag
	tokenSize  = sealedSize * 4 / 3 // in base64, without a remainder
)

// tokenPurpose stands before the instance in what a token is bound to.
const tokenPurpose = "ec2 session token of "

// mint makes tokens and tells its own from all others. It keeps none of them: a token is the time of its
// end, sealed with a key that dies with the mint and bound to the instance that it was made for. Any number
// may be good at once, at no cost.
//
// The nonces are random, which is good for 2^32 tokens under one key (NIST SP 800-38D section 8.3). Beyond
// that there is a chance, 2^-32 at first, that guests could forge what they may have for the asking.
type mint struct {
	aead  cipher.AEAD
	clock func() time.Duration
}

// newMint makes a mint with a key of its own. The clock only has to go forward.
func newMint(clock func() time.Duration) *mint {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails (package crypto/rand)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(fmt.Sprintf("ec2: make cipher: %v", err))
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(fmt.Sprintf("ec2: make GCM: %v", err))
	}
	return &mint{aead: aead, clock: clock}
}

// sinceNow is a clock that starts now and that nobody sets: time.Since is monotonic.
func sinceNow() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// issue makes a token that is good for an instance and for some time.
func (m *mint) issue(instance string, ttl time.Duration) string {
	end := binary.BigEndian.AppendUint64(nil, uint64(m.clock()+ttl))
	sealed := m.aead.Seal(nil, nil, end, boundTo(instance)) //nolint:gosec // it makes the nonce itself
	return base64.RawURLEncoding.EncodeToString(sealed)
}

// isGood tells whether a token was made here, for the instance, and has not come to its end. It costs the
// same whatever a guest sends: one of another length is not read at all.
func (m *mint) isGood(token, instance string) bool {
	if len(token) != tokenSize {
		return false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return false
	}
	end, err := m.aead.Open(nil, nil, sealed, boundTo(instance))
	return err == nil && m.clock() < time.Duration(binary.BigEndian.Uint64(end))
}

// boundTo is what is sealed with a token but is not in it.
func boundTo(instance string) []byte { return []byte(tokenPurpose + instance) }
