// SPDX-License-Identifier: Apache-2.0

// Package cipher is EVE's object-level encryption: what a controller encrypts for one device alone, such as the user data
// of an app, so that nobody on the way can read it (EVE, OBJECT-LEVEL-ENCRYPTION.md, and pillar's cipher, whose bytes
// differ from that document in the mode).
//
// In come an [eve.CipherBlockStatus], as it stands in EVE's topics, and the ways to the certificates and the key that it
// names; out comes the message that it holds. An [Opener] decrypts; a [Sealer] encrypts, for tests and tools.
//
// How it is done:
//
//   - Controller and device agree on a point of the curve P-256 (ECDH) by the key of one's certificate and the other's.
//     The key is SHA-256 of the whole point, X and Y, each of 32 bytes.
//   - The data is a message of protobuf, encrypted with AES-256 in CFB mode with 128 bits of feedback.
//   - SHA-256 of the message travels with it in the clear. It is the one thing that shows a wrong key and damaged data,
//     hence it has to be there.
//   - Certificates are found by the hash of their PEM text and by nothing else: which purpose a certificate was made for
//     does not matter. That a certificate has the hash it was found by is verified here, whoever published it.
//
// Whatever is wrong is an [*Error], which says what and of which kind; it never holds anything of the clear text. Nothing
// is half right: a block gives all that is in it, or an error.
package cipher

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
)

// sizeCoordinate is that of a coordinate of a point of P-256, in bytes.
const sizeCoordinate = 32

// SharedPoint is what ECDH with a key in software and another's public key comes to: the whole point, of which EVE's key
// is made. It is the same for both sides. Both keys have to be of P-256, and the public one a point of it.
func SharedPoint(key *ecdsa.PrivateKey, peer *ecdsa.PublicKey) (x, y *big.Int, err error) {
	if key.Curve != elliptic.P256() || peer.Curve != elliptic.P256() {
		return nil, nil, errors.New("both keys have to be of the curve P-256")
	}
	scalar, err := key.Bytes()
	if err != nil {
		return nil, nil, fmt.Errorf("private key: %w", err)
	}
	point, err := peer.Bytes() // 4, X, Y; an error for what is not on the curve, and for the point at infinity
	if err != nil {
		return nil, nil, fmt.Errorf("public key: %w", err)
	}
	px := new(big.Int).SetBytes(point[1 : 1+sizeCoordinate])
	py := new(big.Int).SetBytes(point[1+sizeCoordinate:])
	// crypto/ecdh has X only. This is the same code below it, in constant time, and the point was verified above, which
	// is what its deprecation is about.
	x, y = elliptic.P256().ScalarMult(px, py, scalar) //nolint:staticcheck // nothing else in the standard library gives Y
	return x, y, nil
}

// contentKey derives the key of the data from the shared point. The point comes from whoever keeps the key, and may be a
// TPM's: what is not a point of the curve is refused.
func contentKey(x, y *big.Int) ([]byte, error) {
	point := make([]byte, 1+2*sizeCoordinate)
	point[0] = 4 // uncompressed (SEC 1, 2.3.3)
	for i, c := range []*big.Int{x, y} {
		if c == nil || c.Sign() < 0 || c.BitLen() > 8*sizeCoordinate {
			return nil, errors.New("the agreed point is not on the curve P-256")
		}
		c.FillBytes(point[1+i*sizeCoordinate:][:sizeCoordinate])
	}
	if _, err := ecdh.P256().NewPublicKey(point); err != nil {
		return nil, fmt.Errorf("the agreed point is not on the curve P-256: %w", err)
	}
	key := sha256.Sum256(point[1:])
	return key[:], nil
}

// encrypted and decrypted are data passed through AES in CFB mode. The key is contentKey's; the initialisation vector, iv,
// has to be of aes.BlockSize.
//
// The standard library calls CFB deprecated because it does not notice changed data, which here is what the hash is for.
// It is the one mode that EVE has, and the library's is tested, hence it and not one of our own.
func encrypted(key, iv, data []byte) ([]byte, error) {
	return through(cipher.NewCFBEncrypter, key, iv, data) //nolint:staticcheck // EVE's format, see above
}

func decrypted(key, iv, data []byte) ([]byte, error) {
	return through(cipher.NewCFBDecrypter, key, iv, data) //nolint:staticcheck // EVE's format, see above
}

func through(mode func(cipher.Block, []byte) cipher.Stream, key, iv, data []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(data))
	mode(block, iv).XORKeyStream(out, data)
	return out, nil
}
