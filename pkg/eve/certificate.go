// SPDX-License-Identifier: Apache-2.0

package eve

// ZCertType is what a controller's certificate is for (EVE API, certs.ZCertType).
type ZCertType int32

// Values of ZCertType. Those from 10 on are the device's.
const (
	ZCertTypeControllerNone          ZCertType = 0
	ZCertTypeControllerSigning       ZCertType = 1
	ZCertTypeControllerIntermediate  ZCertType = 2
	ZCertTypeControllerECDHExchange  ZCertType = 3
	ZCertTypeDeviceOnboarding        ZCertType = 10
	ZCertTypeDeviceRestrictedSigning ZCertType = 11
	ZCertTypeDeviceEndorsementRSA    ZCertType = 12
	ZCertTypeDeviceECDHExchange      ZCertType = 13
)

// String returns the value's name.
func (t ZCertType) String() string {
	return enumName(t, "ZCertType", 0, "CERT_TYPE_CONTROLLER_NONE", "CERT_TYPE_CONTROLLER_SIGNING",
		"CERT_TYPE_CONTROLLER_INTERMEDIATE", "CERT_TYPE_CONTROLLER_ECDH_EXCHANGE", "", "", "", "", "", "",
		"CERT_TYPE_DEVICE_ONBOARDING", "CERT_TYPE_DEVICE_RESTRICTED_SIGNING", "CERT_TYPE_DEVICE_ENDORSEMENT_RSA",
		"CERT_TYPE_DEVICE_ECDH_EXCHANGE")
}

// ControllerCert is a certificate of the controller. Topic of zedagent, keyed by CertHash in hexadecimal.
type ControllerCert struct {
	HashAlgo HashAlgorithm
	Type     ZCertType
	Cert     []byte // PEM, a chain with its own certificate first
	CertHash []byte
}

// CertHashType says how an EdgeNodeCert's CertID is made.
type CertHashType uint8

// Values of CertHashType.
const (
	CertHashTypeNone          CertHashType = iota
	CertHashTypeSha256First16              // the first 16 bytes of SHA-256
)

// String returns the value's name.
func (t CertHashType) String() string {
	return enumName(t, "CertHashType", 0, "None", "Sha256First16")
}

// CertType is what a device's certificate is for.
type CertType uint8

// Values of CertType.
const (
	CertTypeNone CertType = iota
	CertTypeOnboarding
	CertTypeRestrictSigning
	CertTypeEk
	CertTypeEcdhXchange
)

// String returns the value's name.
func (t CertType) String() string {
	return enumName(t, "CertType", 0, "None", "Onboarding", "RestrictSigning", "Ek", "EcdhXchange")
}

// CertMetaDataType says what a CertMetaData holds.
type CertMetaDataType uint8

// Values of CertMetaDataType.
const (
	CertMetaDataTypeNone CertMetaDataType = iota
	CertMetaDataTypeTpm2Public
)

// String returns the value's name.
func (t CertMetaDataType) String() string {
	return enumName(t, "CertMetaDataType", 0, "None", "Tpm2Public")
}

// CertMetaData is more about a device's certificate.
type CertMetaData struct {
	Type CertMetaDataType
	Data []byte
}

// EdgeNodeCert is a certificate of the device. Topic of tpmmgr, persistent, keyed by CertID in hexadecimal.
type EdgeNodeCert struct {
	HashAlgo      CertHashType
	CertID        []byte // the certificate's hash
	CertType      CertType
	Cert          []byte // PEM
	IsTpm         bool   // the private key never leaves the TPM
	MetaDataItems []CertMetaData
}
