// SPDX-License-Identifier: Apache-2.0

package cipher

import (
	"crypto/aes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-api/go/evecommon"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// Sealer encrypts for one device as its controller does. It is for tests and tools: nothing in the service encrypts.
type Sealer struct {
	ContextID      string            // of the cipher context; any
	Key            *ecdsa.PrivateKey // that of ControllerCert
	ControllerCert []byte            // PEM
	DeviceCert     []byte            // PEM, byte for byte as the device has it
	HashScheme     eve.HashAlgorithm // 0: the first 16 bytes of SHA-256, the one that every controller uses
	Rand           io.Reader         // of the initial values; nil: crypto/rand
}

// Context returns the cipher context that all of the sealer's blocks belong to.
func (s *Sealer) Context() (eve.CipherContext, error) {
	scheme := s.HashScheme
	if scheme == eve.HashAlgorithmInvalid {
		scheme = eve.HashAlgorithmSha256Bytes16
	}
	controller, err := digest(scheme, trimmed(s.ControllerCert))
	if err != nil {
		return eve.CipherContext{}, err
	}
	device, err := digest(scheme, s.DeviceCert)
	if err != nil {
		return eve.CipherContext{}, err
	}
	return eve.CipherContext{
		ContextID:          s.ContextID,
		HashScheme:         scheme,
		KeyExchangeScheme:  eve.KeyExchangeECDH,
		EncryptionScheme:   eve.EncryptionAES256CFB,
		ControllerCertHash: controller,
		DeviceCertHash:     device,
	}, nil
}

// Seal encrypts a message, as a rule an EncryptionBlock. The block has a copy of the context, as zedagent gives it one.
// An empty message is refused: there is no encrypted data of no bytes.
func (s *Sealer) Seal(blockID string, content proto.Message) (*eve.CipherBlockStatus, error) {
	context, err := s.Context()
	if err != nil {
		return nil, err
	}
	key, err := s.key()
	if err != nil {
		return nil, err
	}
	plain, err := proto.Marshal(content)
	if err != nil {
		return nil, err
	}
	if len(plain) == 0 {
		return nil, errors.New("there is nothing to encrypt in an empty message")
	}
	iv := make([]byte, aes.BlockSize)
	if _, err := io.ReadFull(s.random(), iv); err != nil {
		return nil, fmt.Errorf("initial value: %w", err)
	}
	data, err := encrypted(key, iv, plain)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(plain)
	return &eve.CipherBlockStatus{
		CipherBlockID:   blockID,
		CipherContextID: s.ContextID,
		InitialValue:    iv,
		CipherData:      data,
		ClearTextHash:   sum[:],
		IsCipher:        true,
		CipherContext:   &context,
	}, nil
}

// key is the key of the data, from the controller's side.
func (s *Sealer) key() ([]byte, error) {
	own, err := publicKey(s.ControllerCert)
	if err != nil {
		return nil, fmt.Errorf("controller certificate: %w", err)
	}
	if !own.Equal(s.Key.Public()) {
		return nil, errors.New("controller certificate: it is not that of the key")
	}
	peer, err := publicKey(s.DeviceCert)
	if err != nil {
		return nil, fmt.Errorf("device certificate: %w", err)
	}
	x, y, err := SharedPoint(s.Key, peer)
	if err != nil {
		return nil, err
	}
	return contentKey(x, y)
}

func (s *Sealer) random() io.Reader {
	if s.Rand == nil {
		return rand.Reader
	}
	return s.Rand
}

// Message words a block as a controller sends it.
func Message(b *eve.CipherBlockStatus) *evecommon.CipherBlock {
	return &evecommon.CipherBlock{
		CipherContextId: b.CipherContextID,
		InitialValue:    b.InitialValue,
		CipherData:      b.CipherData,
		ClearTextSha256: b.ClearTextHash,
	}
}

// ContextMessage words a cipher context as a controller sends it.
func ContextMessage(c *eve.CipherContext) *evecommon.CipherContext {
	return &evecommon.CipherContext{
		ContextId:          c.ContextID,
		HashScheme:         evecommon.HashAlgorithm(c.HashScheme),
		KeyExchangeScheme:  evecommon.KeyExchangeScheme(c.KeyExchangeScheme),
		EncryptionScheme:   evecommon.EncryptionScheme(c.EncryptionScheme),
		ControllerCertHash: c.ControllerCertHash,
		DeviceCertHash:     c.DeviceCertHash,
	}
}
