// SPDX-License-Identifier: Apache-2.0

package devicekey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"math/big"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/lf-edge/eve-metadata/pkg/cipher"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// ECDH returns the point that the private key of one of the node's certificates and a peer's public key have in common, with
// both coordinates: EVE makes its keys of both. The key is in the TPM if the certificate says so and the node uses its TPM,
// otherwise in EVE's file.
func (k *Keys) ECDH(cert eve.EdgeNodeCert, peer *ecdsa.PublicKey) (x, y *big.Int, err error) {
	_, public, err := parseCert(cert.Cert)
	if err != nil {
		return nil, nil, fmt.Errorf("ECDH: device certificate %x: %w", cert.CertID, err)
	}
	theirs, err := pointOf(peer)
	if err != nil {
		return nil, nil, fmt.Errorf("ECDH: peer: %w", err)
	}
	var shared point
	if cert.IsTpm && k.inTPM() {
		shared, err = inTurn(k, func(t transport.TPM) (point, error) { return agree(t, public, theirs) })
	} else {
		shared, err = k.multiply(public, peer)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("ECDH: %w", err)
	}
	return shared.x, shared.y, nil
}

// point is a point on P-256.
type point struct{ x, y *big.Int }

// pointOf is that of a public key. It is an error if it is not on the curve, which would give the private key away.
func pointOf(key *ecdsa.PublicKey) (point, error) {
	if key == nil || key.Curve != elliptic.P256() {
		return point{}, errors.New("not a key on P-256")
	}
	encoded, err := key.Bytes() // SEC 1: 4, x, y
	if err != nil {
		return point{}, err
	}
	x, y := encoded[1:][:coordinateLen], encoded[1:][coordinateLen:]
	return point{new(big.Int).SetBytes(x), new(big.Int).SetBytes(y)}, nil
}

// coordinateLen is that of a coordinate on P-256, in bytes.
const coordinateLen = 32

// multiply is ECDH with the key in EVE's file.
func (k *Keys) multiply(public, peer *ecdsa.PublicKey) (point, error) {
	key, err := readKey(k.path(ecdhKeyFile), public)
	if err != nil {
		return point{}, err
	}
	x, y, err := cipher.SharedPoint(key, peer)
	if err != nil {
		return point{}, fmt.Errorf("%s: %w", k.path(ecdhKeyFile), err)
	}
	return point{x, y}, nil
}

// agree is ECDH with the key in the TPM (TPM2_ECDH_ZGen).
func agree(t transport.TPM, public *ecdsa.PublicKey, theirs point) (point, error) {
	key, err := own(t, ecdhKey, public, nil)
	if err != nil {
		return point{}, err
	}
	r, err := tpm2.ECDHZGen{KeyHandle: key, InPoint: tpm2.New2B(tpm2.TPMSECCPoint{
		X: coordinate(theirs.x), Y: coordinate(theirs.y),
	})}.Execute(t)
	if err != nil {
		return point{}, fmt.Errorf("agree with the key at %#x: %w", ecdhKey, err)
	}
	shared, err := r.OutPoint.Contents()
	if err != nil {
		return point{}, fmt.Errorf("agree with the key at %#x: %w", ecdhKey, err)
	}
	return point{number(shared.X), number(shared.Y)}, nil
}

func coordinate(n *big.Int) tpm2.TPM2BECCParameter {
	return tpm2.TPM2BECCParameter{Buffer: n.FillBytes(make([]byte, coordinateLen))}
}
