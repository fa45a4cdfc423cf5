// SPDX-License-Identifier: Apache-2.0

// Package devicekey uses the edge node's private keys, wherever they are: in files, or in the TPM, which gives none away.
//
// In come a peer's public key, a digest or a credential; out comes what only the owner of the key can make of it. The keys,
// their places and the choice between file and TPM are EVE's (tpmmgr and evetpm). Nothing is read before it is needed, and no
// key is kept afterwards, so a key that comes late or changes is used from then on. All methods may be called from any
// goroutine.
//
// Every error names the file, or the TPM and the key's handle. None tells a secret.
package devicekey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/lf-edge/eve-metadata/pkg/envelope"
)

// Files, below the root, as EVE names them.
const (
	deviceCertFile = "/config/device.cert.pem"
	deviceKeyFile  = "/config/device.key.pem"
	credentialFile = "/config/tpm_credential"
	ecdhCertFile   = "/persist/certs/ecdh.cert.pem"
	ecdhKeyFile    = "/persist/certs/ecdh.key.pem"
	tpmFile        = "/dev/tpmrm0"
)

// Patience is how long a caller waits for the TPM, its turn included. The slowest of what is asked takes a discrete TPM two
// or three seconds.
const Patience = 10 * time.Second

// pause is how long nobody waits for a TPM after somebody did in vain.
const pause = 10 * time.Second

// Keys are the keys of the node whose files are below a root.
type Keys struct {
	root       string
	deviceCert string // file
	deviceKey  string // file
	soft       bool   // the device key is in its file and nowhere else
	patience   time.Duration
	pause      time.Duration
	turn       chan struct{} // holds a token while the TPM is in use
	silence    silence       // of the TPM
}

// Open returns the keys of the node whose files are below root, "" on a device. It touches no file.
func Open(root string) *Keys {
	return &Keys{
		root:       root,
		deviceCert: filepath.Join(root, deviceCertFile),
		deviceKey:  filepath.Join(root, deviceKeyFile),
		patience:   Patience,
		pause:      pause,
		turn:       make(chan struct{}, 1),
	}
}

// OpenDevice is Open for a device whose certificate and key are in other files than EVE's. Such a key is never looked for in
// the TPM.
func OpenDevice(root, certFile, keyFile string) *Keys {
	k := Open(root)
	k.deviceCert, k.deviceKey, k.soft = certFile, keyFile, true
	return k
}

// Signer returns the device key and its certificate. The key signs SHA-256 digests, with ECDSA in ASN.1, in memory or in the
// TPM; one in a file is known to be the certificate's, of one in the TPM each signature makes sure.
func (k *Keys) Signer() (crypto.Signer, *x509.Certificate, error) {
	cert, public, err := readCert(k.deviceCert)
	if err != nil {
		return nil, nil, err
	}
	if k.inTPM() {
		return &tpmSigner{keys: k, public: public}, cert, nil
	}
	key, err := readKey(k.deviceKey, public)
	if err != nil {
		return nil, nil, err
	}
	return key, cert, nil
}

// Sign returns a payload in an AuthContainer of the EVE API, signed with the device key as all that the device tells its
// controller is.
func (k *Keys) Sign(payload []byte) (container []byte, err error) {
	signer, cert, err := k.Signer()
	if err != nil {
		return nil, err
	}
	return envelope.Seal(payload, cert, signer)
}

// inTPM tells whether the node uses its TPM: it then has a certificate for a device key that is in no file.
func (k *Keys) inTPM() bool { return !k.soft && exists(k.deviceCert) && !exists(k.deviceKey) }

func (k *Keys) path(name string) string { return filepath.Join(k.root, name) }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// readCert reads a certificate, the first in a file, and its public key.
func readCert(path string) (*x509.Certificate, *ecdsa.PublicKey, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	cert, public, err := parseCert(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return cert, public, nil
}

// parseCert takes the first certificate of a PEM text. Its key is on P-256, as all of EVE's are.
func parseCert(text []byte) (*x509.Certificate, *ecdsa.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, nil, errNoPEM
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, nil, err
	}
	public, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, nil, fmt.Errorf("the certificate's key is %s, and not an EC key on P-256", cert.PublicKeyAlgorithm)
	}
	return cert, public, nil
}

// readKey reads the private key that belongs to a certificate's public one.
func readKey(path string, public *ecdsa.PublicKey) (*ecdsa.PrivateKey, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !key.PublicKey.Equal(public) {
		return nil, fmt.Errorf("%s: %w", path, errForeign)
	}
	return key, nil
}

var (
	errNoPEM   = errors.New("not a PEM file")
	errForeign = errors.New("the key does not belong to the certificate")
)

// parseKey takes the first key of a PEM text, in SEC 1's or PKCS #8's form. What the text calls the form does not count: EVE
// calls both PRIVATE KEY.
func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errNoPEM
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("neither an EC private key (SEC 1) nor a private key in PKCS #8")
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a %T, and not an EC private key", key)
	}
	return ec, nil
}
