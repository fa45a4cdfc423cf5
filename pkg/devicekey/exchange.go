// SPDX-License-Identifier: Apache-2.0

package devicekey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"path/filepath"

	"github.com/lf-edge/eve-metadata/pkg/atomicfile"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/share"
)

const (
	// idLen is how much of a certificate's hash is its ID.
	idLen = 16
	// temporary is how the names of files begin that are not whole yet.
	temporary = ".ecdh-"
)

// ECDHCert returns the certificate to which a controller encrypts. Where there is none, as on a machine that is no EVE
// device, it makes one and its key as EVE's tpmmgr does: in a file, signed with the device key, valid for as long as the
// device's certificate. A key that is there is kept, and of several that make one at a time all return the same.
func (k *Keys) ECDHCert() (eve.EdgeNodeCert, error) {
	text, err := readFile(k.path(ecdhCertFile))
	if errors.Is(err, fs.ErrNotExist) {
		text, err = k.makeECDH()
	}
	if err != nil {
		return eve.EdgeNodeCert{}, fmt.Errorf("ECDH certificate: %w", err)
	}
	if _, _, err := parseCert(text); err != nil {
		return eve.EdgeNodeCert{}, fmt.Errorf("ECDH certificate: %s: %w", k.path(ecdhCertFile), err)
	}
	id := sha256.Sum256(text)
	return eve.EdgeNodeCert{
		HashAlgo: eve.CertHashTypeSha256First16,
		CertID:   id[:idLen],
		CertType: eve.CertTypeEcdhXchange,
		Cert:     text,
		IsTpm:    k.inTPM() && !exists(k.path(ecdhKeyFile)),
	}, nil
}

// ShareECDH lets the members of a group decrypt with a key that is in a file, as a server of metadata does that is not root.
// Only the file's owner, or root, can let them. There is nothing to share where there is no such file.
func (k *Keys) ShareECDH(group int) error {
	path := k.path(ecdhKeyFile)
	if !exists(path) {
		return nil
	}
	const readable = 0o640
	if err := errors.Join(share.Folder(filepath.Dir(path), group), share.With(path, group, readable)); err != nil {
		return fmt.Errorf("share ECDH key: %w", err)
	}
	return nil
}

// makeECDH makes the ECDH certificate and, unless it is there, its key. The key is first: where a certificate is, its key is
// too. A node without a device key gets neither.
func (k *Keys) makeECDH() ([]byte, error) {
	signer, device, err := k.Signer()
	if err != nil {
		return nil, err
	}
	if err := share.Folder(filepath.Dir(k.path(ecdhKeyFile)), 0); err != nil {
		return nil, err
	}
	key, err := k.makeKey()
	if err != nil {
		return nil, err
	}
	der, err := certify(&key.PublicKey, signer, device)
	if err != nil {
		return nil, err
	}
	return k.keep(ecdhCertFile, &pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (k *Keys) makeKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	kept, err := k.keep(ecdhKeyFile, &pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	if err != nil {
		return nil, err
	}
	key, err = parseKey(kept)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.path(ecdhKeyFile), err)
	}
	return key, nil
}

// keep puts a file in place, readable for its owner alone, unless there is one, and returns what is there then.
func (k *Keys) keep(name string, block *pem.Block) ([]byte, error) {
	path := k.path(name)
	err := atomicfile.Create(path, temporary, pem.EncodeToMemory(block))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := atomicfile.SyncFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return readFile(path)
}

// certify makes a certificate for an ECDH key, signed with the device key.
func certify(public *ecdsa.PublicKey, signer crypto.Signer, device *x509.Certificate) ([]byte, error) {
	const serialBits = 128
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: device.Subject.Organization, CommonName: "Device ECDH certificate"},
		NotBefore:             device.NotBefore,
		NotAfter:              device.NotAfter,
		KeyUsage:              x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}, device, public, signer)
}
