// SPDX-License-Identifier: Apache-2.0

package cipher

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// digest is the hash by which a certificate is known.
func digest(scheme eve.HashAlgorithm, pemText []byte) ([]byte, error) {
	sum := sha256.Sum256(pemText)
	switch scheme {
	case eve.HashAlgorithmSha256Bytes16:
		return sum[:16], nil
	case eve.HashAlgorithmSha256Bytes32:
		return sum[:], nil
	default:
		return nil, fmt.Errorf("hash scheme %v is not known", scheme)
	}
}

// trimmed is a controller's certificate as its hash is made of it: without the newlines at its end. A device's is hashed
// as its file has it.
func trimmed(pemText []byte) []byte { return bytes.TrimRight(pemText, "\r\n") }

// verifyHash tells whether one of the texts has the hash.
func verifyHash(scheme eve.HashAlgorithm, hash []byte, pemTexts ...[]byte) error {
	for _, text := range pemTexts {
		sum, err := digest(scheme, text)
		if err != nil {
			return err
		}
		if bytes.Equal(sum, hash) {
			return nil
		}
	}
	return errors.New("it is another one that was published under this hash")
}

// publicKey returns the key of a chain's first certificate, which is the chain's own.
func publicKey(pemText []byte) (*ecdsa.PublicKey, error) {
	cert, err := firstCertificate(pemText)
	if err != nil {
		return nil, err
	}
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("its key is one of %v: it has to be of ECDSA", cert.PublicKeyAlgorithm)
	}
	if key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("its key is of the curve %s: it has to be of P-256", key.Params().Name)
	}
	return key, nil
}

func firstCertificate(pemText []byte) (*x509.Certificate, error) {
	for {
		var block *pem.Block
		block, pemText = pem.Decode(pemText)
		if block == nil {
			return nil, errors.New("there is no certificate in its PEM text")
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
}
