// SPDX-License-Identifier: Apache-2.0

package cipher

import (
	"crypto/aes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"math/big"

	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-api/go/evecommon"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// Opener decrypts what was encrypted for this device. Its functions are called anew for every block, so that what they
// find may come, change and vanish; all but Counters are needed. It is for many goroutines if they are.
type Opener struct {
	// ControllerCert and DeviceCert find a certificate by its hash; false: there is none, yet.
	ControllerCert func(hash []byte) (eve.ControllerCert, bool)
	DeviceCert     func(hash []byte) (eve.EdgeNodeCert, bool)
	// ECDH agrees on a point by the private key of the device's certificate and the controller's public key, which is a
	// point of P-256.
	ECDH func(cert eve.EdgeNodeCert, peer *ecdsa.PublicKey) (x, y *big.Int, err error)
	// Counters counts how it went; nil: nobody does.
	Counters *Counters
}

// Open decrypts a block that holds an EncryptionBlock, as they all do but for patch envelopes' files. The error is an
// *Error.
func (o *Opener) Open(block *eve.CipherBlockStatus) (*evecommon.EncryptionBlock, error) {
	var content evecommon.EncryptionBlock
	if err := o.OpenInto(block, &content); err != nil {
		return nil, err
	}
	return &content, nil
}

// OpenInto decrypts a block that holds whichever message. What is in the message is of no use after an error, which is an
// *Error.
func (o *Opener) OpenInto(block *eve.CipherBlockStatus, content proto.Message) error {
	err := o.open(block, content)
	if err != nil {
		o.Counters.outcome(err.Kind)
		return err
	}
	o.Counters.success()
	return nil
}

// open is OpenInto, not counted.
func (o *Opener) open(block *eve.CipherBlockStatus, content proto.Message) *Error {
	plain, err := o.decrypt(block)
	if err == nil {
		err = unmarshal(plain, content)
	}
	if err != nil {
		err.Block = block.CipherBlockID
	}
	return err
}

func unmarshal(plain []byte, content proto.Message) *Error {
	if err := proto.Unmarshal(plain, content); err != nil {
		return failed(UnmarshalFailed, "what was decrypted is not a %s: %w", content.ProtoReflect().Descriptor().Name(), err)
	}
	return nil
}

func (o *Opener) decrypt(block *eve.CipherBlockStatus) ([]byte, *Error) {
	if err := check(block); err != nil {
		return nil, err
	}
	key, failure := o.key(block.CipherContext)
	if failure != nil {
		return nil, failure
	}
	plain, err := decrypted(key, block.InitialValue, block.CipherData)
	if err != nil {
		return nil, failed(DecryptFailed, "%w", err)
	}
	sum := sha256.Sum256(plain)
	if subtle.ConstantTimeCompare(sum[:], block.ClearTextHash) != 1 {
		return nil, failed(DecryptFailed, "what was decrypted does not have the block's hash: the key is another, or the data is damaged")
	}
	return plain, nil
}

// check tells what is wrong with a block as far as that can be seen without a key.
func check(block *eve.CipherBlockStatus) *Error {
	switch context := block.CipherContext; {
	case !block.IsCipher:
		return failed(Invalid, "it is not encrypted")
	case block.Error != "":
		return failed(NotReady, "its publisher says %q", block.Error)
	case context == nil:
		return failed(NotReady, "its cipher context %q is not there", block.CipherContextID)
	case context.KeyExchangeScheme != eve.KeyExchangeECDH:
		return failed(DecryptFailed, "cipher context %q: key exchange scheme %v is not known", context.ContextID, context.KeyExchangeScheme)
	case context.EncryptionScheme != eve.EncryptionAES256CFB:
		return failed(DecryptFailed, "cipher context %q: encryption scheme %v is not known", context.ContextID, context.EncryptionScheme)
	case len(context.ControllerCertHash) == 0 || len(context.DeviceCertHash) == 0:
		return failed(DecryptFailed, "cipher context %q: it does not name both certificates", context.ContextID)
	case len(block.InitialValue) != aes.BlockSize:
		return failed(DecryptFailed, "its initial value has %d bytes: it has to have %d", len(block.InitialValue), aes.BlockSize)
	case len(block.ClearTextHash) != sha256.Size:
		return failed(DecryptFailed, "its hash of the clear text has %d bytes: it has to have %d", len(block.ClearTextHash), sha256.Size)
	case len(block.CipherData) == 0:
		return failed(DecryptFailed, "there is no data in it")
	}
	return nil
}

// key is the key of the data that belongs to a context.
func (o *Opener) key(context *eve.CipherContext) ([]byte, *Error) {
	peer, failure := o.controllerKey(context)
	if failure != nil {
		return nil, failure
	}
	cert, failure := o.deviceCert(context)
	if failure != nil {
		return nil, failure
	}
	x, y, err := o.ECDH(cert, peer)
	if err != nil {
		return nil, failed(DecryptFailed, "device certificate %x: agree on a key: %w", context.DeviceCertHash, err)
	}
	key, err := contentKey(x, y)
	if err != nil {
		return nil, failed(DecryptFailed, "device certificate %x: %w", context.DeviceCertHash, err)
	}
	return key, nil
}

// controllerKey is the public key of the certificate that the context names as the controller's.
func (o *Opener) controllerKey(context *eve.CipherContext) (*ecdsa.PublicKey, *Error) {
	hash := context.ControllerCertHash
	cert, ok := o.ControllerCert(hash)
	if !ok {
		return nil, failed(NotReady, "controller certificate %x is not there", hash)
	}
	err := verifyHash(context.HashScheme, hash, trimmed(cert.Cert), cert.Cert)
	if err != nil {
		return nil, failed(DecryptFailed, "controller certificate %x: %w", hash, err)
	}
	key, err := publicKey(cert.Cert)
	if err != nil {
		return nil, failed(DecryptFailed, "controller certificate %x: %w", hash, err)
	}
	return key, nil
}

// deviceCert is the certificate that the context names as the device's, fit for ECDH.
func (o *Opener) deviceCert(context *eve.CipherContext) (eve.EdgeNodeCert, *Error) {
	hash := context.DeviceCertHash
	cert, ok := o.DeviceCert(hash)
	if !ok {
		return cert, failed(NotReady, "device certificate %x is not there", hash)
	}
	err := verifyHash(context.HashScheme, hash, cert.Cert)
	if err == nil {
		_, err = publicKey(cert.Cert)
	}
	if err != nil {
		return cert, failed(DecryptFailed, "device certificate %x: %w", hash, err)
	}
	return cert, nil
}

// UserData is the rule for an app's user data: what of its config's block and of its clear text counts. Both stand side by
// side in eve.AppInstanceConfig and in eve.AppNetworkConfig. It returns base64 text, unread, as the controller had it; ""
// says that there is no user data.
//
//   - A block that is not encrypted: the clear text, if there is any.
//   - One whose publisher says that it has a problem with it (its Error): the clear text in its place; without any, an
//     *Error of kind MissingFallback.
//   - Any other: what it holds, and no clear text beside it counts. One that holds no user data says that there is none:
//     it was decrypted, and its hash was right, so that this is what the controller meant. When it cannot be decrypted,
//     that is an *Error and never a guest without user data, which would boot as if it had been given none (EVE's does).
func (o *Opener) UserData(block *eve.CipherBlockStatus, clearText *string) (string, error) {
	text := ""
	if clearText != nil {
		text = *clearText
	}
	switch {
	case !block.IsCipher && text == "":
		o.Counters.outcome(NoData)
	case !block.IsCipher:
		o.Counters.outcome(NoCipher)
	case block.Error != "" && text == "":
		o.Counters.outcome(MissingFallback)
		return "", &Error{Kind: MissingFallback, Block: block.CipherBlockID, Err: fmt.Errorf("its publisher says %q, and there is no clear text in its place", block.Error)}
	case block.Error != "":
		o.Counters.outcome(CleartextFallback)
	default:
		return o.protectedUserData(block)
	}
	return text, nil
}

// protectedUserData is the user data that an encrypted block holds.
func (o *Opener) protectedUserData(block *eve.CipherBlockStatus) (string, error) {
	content, err := o.Open(block)
	if err != nil {
		return "", err
	}
	if content.GetProtectedUserData() == "" {
		o.Counters.outcome(NoData)
	}
	return content.GetProtectedUserData(), nil
}
