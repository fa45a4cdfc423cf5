// SPDX-License-Identifier: Apache-2.0

package eve

import "time"

// HashAlgorithm says how a certificate's hash is made (EVE API, common.HashAlgorithm).
type HashAlgorithm int32

// Values of HashAlgorithm.
const (
	HashAlgorithmInvalid       HashAlgorithm = iota
	HashAlgorithmSha256Bytes16               // the first 16 bytes of SHA-256
	HashAlgorithmSha256Bytes32               // all of SHA-256
)

// String returns the value's name.
func (h HashAlgorithm) String() string {
	return enumName(h, "HashAlgorithm", 0, "HASH_ALGORITHM_INVALID", "HASH_ALGORITHM_SHA256_16BYTES",
		"HASH_ALGORITHM_SHA256_32BYTES")
}

// KeyExchangeScheme says how controller and device agree on a key (EVE API, common.KeyExchangeScheme).
type KeyExchangeScheme int32

// Values of KeyExchangeScheme.
const (
	KeyExchangeNone KeyExchangeScheme = iota
	KeyExchangeECDH
)

// String returns the value's name.
func (k KeyExchangeScheme) String() string {
	return enumName(k, "KeyExchangeScheme", 0, "KEA_NONE", "KEA_ECDH")
}

// EncryptionScheme says how the data of a CipherBlockStatus is encrypted (EVE API, common.EncryptionScheme).
type EncryptionScheme int32

// Values of EncryptionScheme.
const (
	EncryptionNone EncryptionScheme = iota
	EncryptionAES256CFB
)

// String returns the value's name.
func (e EncryptionScheme) String() string {
	return enumName(e, "EncryptionScheme", 0, "SA_NONE", "SA_AES_256_CFB")
}

// CipherContext names the two certificates and the methods that belong to encrypted data.
// Topic of zedagent, keyed by ContextID; every CipherBlockStatus also carries a copy.
type CipherContext struct {
	ContextID          string
	HashScheme         HashAlgorithm
	KeyExchangeScheme  KeyExchangeScheme
	EncryptionScheme   EncryptionScheme
	ControllerCertHash []byte // ControllerCert.CertHash
	DeviceCertHash     []byte // EdgeNodeCert.CertID
	ErrorAndTime
}

// CipherBlockStatus is one encrypted object, such as the user data of an app instance.
// IsCipher is false, and the rest mostly empty, where the controller encrypted nothing.
// Topic of the agents that decrypt, keyed by CipherBlockID; also part of other topics.
type CipherBlockStatus struct {
	CipherBlockID   string
	CipherContextID string
	InitialValue    []byte // the cipher's initialisation vector
	CipherData      []byte `json:"pubsub-large-CipherData"` // an encrypted EncryptionBlock of the EVE API
	ClearTextHash   []byte // SHA-256 of the decrypted data
	IsCipher        bool
	CipherContext   *CipherContext
	ErrorAndTime
}

// CipherMetrics counts an agent's decryptions. Topic of agents that decrypt, keyed by GlobalKey.
type CipherMetrics struct {
	AgentName    string
	FailureCount uint64
	SuccessCount uint64
	LastFailure  time.Time
	LastSuccess  time.Time
	TypeCounters []uint64 // by kind of outcome
}
