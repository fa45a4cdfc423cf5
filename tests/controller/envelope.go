// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"

	"github.com/lf-edge/eve-api/go/auth"
	"github.com/lf-edge/eve-api/go/evecommon"
	"google.golang.org/protobuf/proto"
)

// Lengths of the two kinds of hashes of certificates, and of the halves of a P-256 signature.
const (
	shortHash = 16
	longHash  = sha256.Size
	half      = 32
)

// seal puts a payload into an envelope as Adam does: the signer is named by the whole hash of its certificate's text.
func seal(payload []byte, by Identity) (*auth.AuthContainer, error) {
	digest := sha256.Sum256(payload)
	r, s, err := ecdsa.Sign(rand.Reader, by.Key, digest[:])
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	name := sha256.Sum256(by.PEM)
	return &auth.AuthContainer{
		ProtectedPayload: &auth.AuthBody{Payload: payload},
		Algo:             evecommon.HashAlgorithm_HASH_ALGORITHM_SHA256_32BYTES,
		SenderCertHash:   name[:],
		SignatureHash:    append(r.FillBytes(make([]byte, half)), s.FillBytes(make([]byte, half))...),
	}, nil
}

// unseal reads an envelope and finds its sender's certificate with the function. It returns the payload if that has the
// sender's signature: r and s, of 32 bytes each, as EVE sends them. Adam takes ASN.1 as well.
func unseal(b []byte, sender func(*auth.AuthContainer) *x509.Certificate) ([]byte, error) {
	var e auth.AuthContainer
	if err := proto.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("read envelope: %w", err)
	}
	if e.GetProtectedPayload() == nil {
		return nil, errors.New("envelope has no payload")
	}
	cert := sender(&e)
	if cert == nil {
		return nil, errUnknownSender
	}
	payload := e.GetProtectedPayload().GetPayload()
	if !signed(payload, e.GetSignatureHash(), cert) {
		return nil, fmt.Errorf("envelope is not signed by its sender, %q", cert.Subject.CommonName)
	}
	return payload, nil
}

var errUnknownSender = errors.New("envelope is of an unknown sender")

func signed(payload, signature []byte, cert *x509.Certificate) bool {
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || len(signature) != 2*half {
		return false
	}
	digest := sha256.Sum256(payload)
	r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
	return ecdsa.Verify(key, digest[:], r, s)
}

// isOf tells whether an envelope names a device's certificate, which it does by a hash of the binary form.
func isOf(e *auth.AuthContainer, cert *x509.Certificate) bool {
	sum := sha256.Sum256(cert.Raw)
	switch e.GetAlgo() {
	case evecommon.HashAlgorithm_HASH_ALGORITHM_SHA256_16BYTES:
		return bytes.Equal(e.GetSenderCertHash(), sum[:shortHash])
	case evecommon.HashAlgorithm_HASH_ALGORITHM_SHA256_32BYTES:
		return bytes.Equal(e.GetSenderCertHash(), sum[:longHash])
	}
	return false
}
