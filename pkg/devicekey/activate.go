// SPDX-License-Identifier: Apache-2.0

package devicekey

import (
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// MaxHashed is how many bytes Activate signs: every TPM hashes as many at once.
const MaxHashed = 1024

// sizeLen is the length of the size in front of a TPM2B structure.
const sizeLen = 2

// credential is what a verifier makes a challenge of.
type credential struct{ ek, aik, name []byte }

// Credential returns the public areas (TPMT_PUBLIC) of the TPM's endorsement key and of its attestation identity key, and
// the name of the latter (TPM2B_NAME, the size in front): what a verifier makes a credential for this TPM of.
func (k *Keys) Credential() (ek, aik, aikName []byte, err error) {
	c, err := inTurn(k, readCredential)
	return c.ek, c.aik, c.name, err
}

func readCredential(t transport.TPM) (credential, error) {
	ek, err := readPublic(t, endorsementKey)
	if err != nil {
		return credential{}, err
	}
	aik, err := readPublic(t, identityKey)
	if err != nil {
		return credential{}, err
	}
	return credential{ek.area, aik.area, tpm2.Marshal(aik.name)}, nil
}

// proof is what an activation gives.
type proof struct{ secret, signature []byte }

// Activate opens a verifier's challenge, a TPM2B_ID_OBJECT and a TPM2B_ENCRYPTED_SECRET (TPM2_MakeCredential's), with the
// endorsement key, which the TPM does only for a challenge to the attestation identity key that is beside it. It signs data,
// of at most MaxHashed bytes, with that identity key: RSASSA-PKCS1-v1_5 over SHA-256. The TPM refuses data that looks like
// what it attests itself, so no quote can be forged with it.
func (k *Keys) Activate(challenge, encrypted, data []byte) (secret, signature []byte, err error) {
	switch {
	case len(challenge) < sizeLen || len(encrypted) < sizeLen:
		return nil, nil, errors.New("activate credential: credential or secret is too short to have a size in front")
	case len(data) > MaxHashed:
		return nil, nil, fmt.Errorf("activate credential: data of %d bytes, more than %d", len(data), MaxHashed)
	}
	p, err := inTurn(k, func(t transport.TPM) (proof, error) {
		// What the size says does not count, as for EVE: the challenge is authenticated as a whole.
		return activate(t, challenge[sizeLen:], encrypted[sizeLen:], data)
	})
	return p.secret, p.signature, err
}

func activate(t transport.TPM, challenge, encrypted, data []byte) (proof, error) {
	ek, err := readPublic(t, endorsementKey)
	if err != nil {
		return proof{}, err
	}
	key, err := readPublic(t, identityKey)
	if err != nil {
		return proof{}, err
	}
	aik := key.with(tpm2.PasswordAuth(nil))
	opened, err := tpm2.ActivateCredential{
		ActivateHandle: aik,
		KeyHandle:      ek.with(endorsementAuth()),
		CredentialBlob: tpm2.TPM2BIDObject{Buffer: challenge},
		Secret:         tpm2.TPM2BEncryptedSecret{Buffer: encrypted},
	}.Execute(t)
	if err != nil {
		return proof{}, fmt.Errorf("activate credential: %w", err)
	}
	signature, err := signRSA(t, aik, data)
	if err != nil {
		return proof{}, err
	}
	return proof{opened.CertInfo.Buffer, signature}, nil
}

// endorsementAuth is a session that meets the policy of the TCG's template for endorsement keys: the caller knows the secret
// of the endorsement hierarchy, which EVE leaves empty.
func endorsementAuth() tpm2.Session {
	const nonceLen = 16
	return tpm2.Policy(tpm2.TPMAlgSHA256, nonceLen, func(t transport.TPM, session tpm2.TPMISHPolicy, nonce tpm2.TPM2BNonce) error {
		_, err := tpm2.PolicySecret{
			AuthHandle:    tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
			PolicySession: session,
			NonceTPM:      nonce,
		}.Execute(t)
		return err
	})
}

// signRSA signs data with the attestation identity key. The TPM hashes the data itself: a restricted key signs nothing else.
func signRSA(t transport.TPM, aik tpm2.AuthHandle, data []byte) ([]byte, error) {
	hashed, err := tpm2.Hash{
		Data: tpm2.TPM2BMaxBuffer{Buffer: data}, HashAlg: tpm2.TPMAlgSHA256, Hierarchy: tpm2.TPMRHOwner,
	}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("hash data: %w", err)
	}
	r, err := tpm2.Sign{
		KeyHandle:  aik,
		Digest:     hashed.OutHash,
		InScheme:   tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}, // the key's own
		Validation: hashed.Validation,
	}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("sign with the key at %#x: %w", identityKey, err)
	}
	signature, err := r.Signature.Signature.RSASSA()
	if err != nil {
		return nil, fmt.Errorf("sign with the key at %#x: %w", identityKey, err)
	}
	return signature.Sig.Buffer, nil
}
