// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// sign signs a message. An ECDSA signature is its two numbers, each as long as the curve's order and one behind the other;
// an RSA signature is one of PKCS #1 version 1.5 (EVE, controllerconn).
func sign(payload []byte, cert *x509.Certificate, signer crypto.Signer) ([]byte, error) {
	public, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(signer.Public()) {
		return nil, errors.New("sign: the key does not belong to the certificate")
	}
	digest := sha256.Sum256(payload)
	signature, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	switch key := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return raw(signature, size(key))
	case *rsa.PublicKey:
		return signature, nil
	default:
		return nil, fmt.Errorf("sign: EVE has no signatures by a %T", key)
	}
}

// verify checks a signature as sign makes it. Nothing else is taken for one: EVE reads no ASN.1 either.
func verify(payload, signature []byte, key crypto.PublicKey) error {
	digest := sha256.Sum256(payload)
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		n := size(key)
		if len(signature) != 2*n {
			return fmt.Errorf("%w: it has %d bytes, want %d", ErrSignature, len(signature), 2*n)
		}
		r, s := new(big.Int).SetBytes(signature[:n]), new(big.Int).SetBytes(signature[n:])
		if !ecdsa.Verify(key, digest[:], r, s) {
			return ErrSignature
		}
		return nil
	case *rsa.PublicKey:
		if rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) != nil {
			return ErrSignature
		}
		return nil
	default:
		return fmt.Errorf("EVE has no signatures by a %T", key)
	}
}

// size returns how many bytes one number of a signature has.
func size(key *ecdsa.PublicKey) int { return (key.Params().N.BitLen() + 7) / 8 }

// raw turns an ECDSA signature in ASN.1, as Go and TPMs' libraries make it, into its two numbers.
func raw(signature []byte, n int) ([]byte, error) {
	var v struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(signature, &v)
	if err != nil || len(rest) > 0 || v.R.Sign() <= 0 || v.S.Sign() <= 0 || v.R.BitLen() > 8*n || v.S.BitLen() > 8*n {
		return nil, errors.New("sign: the key made something that is no signature")
	}
	out := make([]byte, 2*n)
	v.R.FillBytes(out[:n])
	v.S.FillBytes(out[n:])
	return out, nil
}
