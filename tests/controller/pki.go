// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime is how long certificates are valid, counted from an hour ago: clocks of devices may be behind.
const lifetime = 10 * 365 * 24 * time.Hour

// Identity is a certificate with its key, which is on P-256: EVE encrypts with no other.
type Identity struct {
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
	// PEM is the certificate's text with no white space around it: what /certs delivers, and what envelopes hash.
	PEM []byte
}

// PKI is what a controller is known by. The root is all that a device needs beforehand.
type PKI struct {
	Root    Identity // issued all others; devices have it in /config/root-certificate.pem
	Server  Identity // of the HTTPS server
	Signing Identity // signs envelopes
	Encrypt Identity // agrees on keys for what only the device may read
	Onboard Identity // with which devices register
}

// NewPKI makes one in memory. The server's certificate is for the hosts, names or addresses, and for this machine itself.
func NewPKI(hosts ...string) (*PKI, error) {
	root, err := newRoot()
	if err != nil {
		return nil, err
	}
	p := &PKI{Root: root}
	hosts = append([]string{"localhost", "127.0.0.1", "::1"}, hosts...)
	for _, x := range []struct {
		to    *Identity
		name  string
		usage x509.KeyUsage
		hosts []string
	}{
		{&p.Server, "server", x509.KeyUsageDigitalSignature, hosts},
		{&p.Signing, "signing", x509.KeyUsageDigitalSignature, nil},
		{&p.Encrypt, "encrypt", x509.KeyUsageKeyAgreement, nil},
		{&p.Onboard, "onboard", x509.KeyUsageDigitalSignature, nil},
	} {
		if *x.to, err = root.Issue(x.name, x.usage, x.hosts...); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// files are the names of a PKI's files without ".pem" and "-key.pem".
func (p *PKI) files() map[string]*Identity {
	return map[string]*Identity{
		"root": &p.Root, "server": &p.Server, "signing": &p.Signing, "encrypt": &p.Encrypt, "onboard": &p.Onboard,
	}
}

// LoadPKI reads one from a folder: root.pem, root-key.pem, and so on for server, signing, encrypt and onboard.
func LoadPKI(dir string) (*PKI, error) {
	p := &PKI{}
	for name, to := range p.files() {
		id, err := LoadIdentity(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("load PKI: %w", err)
		}
		*to = id
	}
	return p, nil
}

// Save writes it into a folder, for LoadPKI. Keys are for the owner only.
func (p *PKI) Save(dir string) error {
	for name, id := range p.files() {
		if err := id.Save(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+"-key.pem")); err != nil {
			return fmt.Errorf("save PKI: %w", err)
		}
	}
	return nil
}

// LoadIdentity reads path.pem and path-key.pem.
func LoadIdentity(path string) (Identity, error) {
	pair, err := tls.LoadX509KeyPair(path+".pem", path+"-key.pem")
	if err != nil {
		return Identity{}, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return Identity{}, fmt.Errorf("%s.pem: its key is not on P-256", path)
	}
	return newIdentity(pair.Leaf, key), nil
}

// Save writes the certificate and the key to files.
func (id Identity) Save(cert, key string) error {
	der, err := x509.MarshalECPrivateKey(id.Key)
	if err != nil {
		return fmt.Errorf("key of %s: %w", cert, err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	return errors.Join(os.WriteFile(cert, id.File(), 0o644), os.WriteFile(key, text, 0o600))
}

// File is the certificate's text as a file has it, with the newline at its end.
func (id Identity) File() []byte { return append(bytes.Clone(id.PEM), '\n') }

// Issue makes a certificate that this one vouches for: of an authority if it is to sign certificates, of a server if it
// has hosts.
func (id Identity) Issue(name string, usage x509.KeyUsage, hosts ...string) (Identity, error) {
	t := template(name, usage)
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	if len(hosts) > 0 {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	return create(t, &id)
}

// newRoot makes a certificate that vouches for itself.
func newRoot() (Identity, error) { return create(template("root", x509.KeyUsageCertSign), nil) }

func template(name string, usage x509.KeyUsage) *x509.Certificate {
	start := time.Now().Add(-time.Hour)
	return &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"eve-metadata test"}, CommonName: name},
		NotBefore:             start,
		NotAfter:              start.Add(lifetime),
		KeyUsage:              usage,
		IsCA:                  usage&x509.KeyUsageCertSign != 0,
		BasicConstraintsValid: true,
	}
}

// create makes what the template says; a nil issuer is the new certificate itself.
func create(t *x509.Certificate, issuer *Identity) (Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Identity{}, fmt.Errorf("issue %s: %w", t.Subject.CommonName, err)
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return Identity{}, fmt.Errorf("issue %s: %w", t.Subject.CommonName, err)
	}
	if issuer == nil {
		issuer = &Identity{Cert: t, Key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, issuer.Cert, key.Public(), issuer.Key)
	if err != nil {
		return Identity{}, fmt.Errorf("issue %s: %w", t.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return Identity{}, fmt.Errorf("issue %s: %w", t.Subject.CommonName, err)
	}
	return newIdentity(cert, key), nil
}

func newIdentity(cert *x509.Certificate, key *ecdsa.PrivateKey) Identity {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	return Identity{Cert: cert, Key: key, PEM: bytes.TrimSpace(text)}
}
