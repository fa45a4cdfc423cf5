// SPDX-License-Identifier: Apache-2.0

// Package envelope seals what a device tells its controller and opens what the controller answers: the AuthContainer of
// version 2 of EVE's API, which is signed on both ways, so that a message can be trusted whatever carried it and wherever
// it was kept meanwhile.
//
// In come a message's bytes and a key, out goes a container; and back, with the controller's certificate. How the
// controller's certificates lead to the root that a device trusts is a Chain. The callers are the feed from a controller
// and the part of the device that signs for guests.
//
// # Names of certificates
//
// A container names its sender by a hash, and the two sides do not hash the same thing (EVE, controllerconn): a device's
// name is SHA-256 of its certificate's DER form, a controller's is SHA-256 of the PEM text that it delivered, of which
// the first 16 bytes do as well.
package envelope

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-api/go/auth"
	"github.com/lf-edge/eve-api/go/evecommon"
)

var (
	// ErrSender says that a container was signed by somebody else than the certificate's owner. A controller that has a
	// new certificate is told by it: it is time to ask for its certificates.
	ErrSender = errors.New("the sender's certificate is another one")
	// ErrSignature says that a signature is not that of the certificate's owner, or of another message.
	ErrSignature = errors.New("the signature is wrong")
)

// Seal returns a message in a container, as a device sends it. The certificate is the device's own, and the signer has
// its key, ECDSA (EVE's devices have P-256) or RSA.
func Seal(payload []byte, cert *x509.Certificate, signer crypto.Signer) ([]byte, error) {
	return seal(payload, cert, signer, nil)
}

// SealOnboarding is Seal for a registration, by which a controller learns of a device: the container is signed with an
// onboarding certificate, of which the text comes along, because the controller may know many.
func SealOnboarding(payload, certPEM []byte, signer crypto.Signer) ([]byte, error) {
	cert, err := ParseCertificate(certPEM)
	if err != nil {
		return nil, fmt.Errorf("onboarding certificate: %w", err)
	}
	return seal(payload, cert, signer, []byte(base64.StdEncoding.EncodeToString(certPEM)))
}

func seal(payload []byte, cert *x509.Certificate, signer crypto.Signer, senderCert []byte) ([]byte, error) {
	signature, err := sign(payload, cert, signer)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(cert.Raw)
	container, err := proto.Marshal(&auth.AuthContainer{
		ProtectedPayload: &auth.AuthBody{Payload: payload},
		Algo:             evecommon.HashAlgorithm_HASH_ALGORITHM_SHA256_32BYTES,
		SenderCertHash:   hash[:],
		SignatureHash:    signature,
		SenderCert:       senderCert,
	})
	if err != nil {
		return nil, fmt.Errorf("encode container: %w", err)
	}
	return container, nil
}

// Open returns the message in a container that a controller sent. The certificate is the text of the controller's
// signing certificate, as the controller delivered it.
//
// The error wraps ErrSender when the container names another certificate, and ErrSignature when it was not signed with
// this one's key. Containers whose message is encrypted, which controllers do not send to a device, are refused.
func Open(container, certPEM []byte) ([]byte, error) {
	c, err := decode(container)
	if err != nil {
		return nil, err
	}
	known, err := named(certPEM, c.GetSenderCertHash(), c.GetAlgo())
	if err != nil {
		return nil, fmt.Errorf("container: %w", err)
	}
	if !known {
		return nil, fmt.Errorf("container: %w", ErrSender)
	}
	cert, err := ParseCertificate(certPEM)
	if err != nil {
		return nil, fmt.Errorf("controller's signing certificate: %w", err)
	}
	payload := c.GetProtectedPayload().GetPayload()
	if err := verify(payload, c.GetSignatureHash(), cert.PublicKey); err != nil {
		return nil, fmt.Errorf("container: %w", err)
	}
	return payload, nil
}

// Unverified returns the message in a container without a look at its signature. There is one message that is read so,
// the controller's certificates: they are what a signature is checked with, and prove themselves (see Chain).
func Unverified(container []byte) ([]byte, error) {
	c, err := decode(container)
	if err != nil {
		return nil, err
	}
	return c.GetProtectedPayload().GetPayload(), nil
}

func decode(container []byte) (*auth.AuthContainer, error) {
	c := &auth.AuthContainer{}
	if err := proto.Unmarshal(container, c); err != nil {
		return nil, errors.New("container: not a message of EVE's API") // protobuf's own words are not always the same
	}
	if c.GetProtectedPayload() == nil {
		return nil, errors.New("container: there is no message in it")
	}
	return c, nil
}

// named tells whether a hash is that of a controller's certificate. The text counts as it was delivered, and without white
// space around it: controllers trim one and not the other. The error says that it is no hash.
func named(certPEM, hash []byte, algo evecommon.HashAlgorithm) (bool, error) {
	var size int
	switch algo {
	case evecommon.HashAlgorithm_HASH_ALGORITHM_SHA256_16BYTES:
		size = 16
	case evecommon.HashAlgorithm_HASH_ALGORITHM_SHA256_32BYTES:
		size = sha256.Size
	default:
		return false, fmt.Errorf("hash of the certificate is of unknown kind %d", algo)
	}
	if len(hash) != size {
		return false, fmt.Errorf("hash of the certificate has %d bytes, want %d", len(hash), size)
	}
	delivered, trimmed := sha256.Sum256(certPEM), sha256.Sum256(bytes.TrimSpace(certPEM))
	return bytes.Equal(hash, delivered[:size]) || bytes.Equal(hash, trimmed[:size]), nil
}

// ParseCertificate reads the first certificate of a PEM text, which is the one that the text is about.
func ParseCertificate(certPEM []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return nil, errors.New("not a PEM text")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	return cert, nil
}
