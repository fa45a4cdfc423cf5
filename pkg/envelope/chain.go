// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-api/go/certs"
)

// Chain is the certificates of a controller, of which one signs and the others are for the exchange of keys or lead from
// those to the root. It has been checked, and does not change.
type Chain struct {
	certs   []*certs.ZCert
	signing []byte // PEM
}

// NewChain reads a ZControllerCert and checks it as EVE does: there is one certificate that signs and at least one for the
// exchange of keys, and each of these is valid now and leads to one of the roots, over the intermediate ones where there
// are any. Beyond that every certificate has to have the hash that it is known by, which EVE takes on trust.
func NewChain(message []byte, roots *x509.CertPool, now time.Time) (*Chain, error) {
	m := &certs.ZControllerCert{}
	if err := proto.Unmarshal(message, m); err != nil {
		return nil, errors.New("controller's certificates: not a message of EVE's API")
	}
	c := &Chain{certs: m.GetCerts()}
	if err := c.check(roots, now); err != nil {
		return nil, fmt.Errorf("controller's certificates: %w", err)
	}
	return c, nil
}

// Certs returns the certificates. The caller does not change them.
func (c *Chain) Certs() []*certs.ZCert { return c.certs }

// Open is the function Open with the certificate of the chain that signs.
func (c *Chain) Open(container []byte) ([]byte, error) { return Open(container, c.signing) }

func (c *Chain) check(roots *x509.CertPool, now time.Time) error {
	intermediates := x509.NewCertPool()
	signers, exchange := 0, 0
	for i, z := range c.certs {
		own, err := named(z.GetCert(), z.GetCertHash(), z.GetHashAlgo())
		if err != nil {
			return fmt.Errorf("certificate %d: %w", i, err)
		}
		if !own {
			return fmt.Errorf("certificate %d: the hash that came with it is another's", i)
		}
		switch z.GetType() {
		case certs.ZCertType_CERT_TYPE_CONTROLLER_INTERMEDIATE:
			if !intermediates.AppendCertsFromPEM(z.GetCert()) {
				return fmt.Errorf("certificate %d: there is none in its text", i)
			}
		case certs.ZCertType_CERT_TYPE_CONTROLLER_SIGNING:
			c.signing = z.GetCert()
			signers++
		case certs.ZCertType_CERT_TYPE_CONTROLLER_ECDH_EXCHANGE:
			exchange++
		default:
			return fmt.Errorf("certificate %d: it is of unknown kind %d", i, z.GetType())
		}
	}
	switch {
	case signers == 0:
		return errors.New("there is none that signs")
	case signers > 1:
		return errors.New("there is more than one that signs")
	case exchange == 0:
		return errors.New("there is none for the exchange of keys")
	}
	return c.checkLeaves(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now,
		// What TLS asks of a server's certificate is not asked of one that signs.
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
}

// checkLeaves verifies all certificates but the intermediate ones.
func (c *Chain) checkLeaves(options x509.VerifyOptions) error {
	for i, z := range c.certs {
		if z.GetType() == certs.ZCertType_CERT_TYPE_CONTROLLER_INTERMEDIATE {
			continue
		}
		cert, err := ParseCertificate(z.GetCert())
		if err != nil {
			return fmt.Errorf("certificate %d: %w", i, err)
		}
		if _, err := cert.Verify(options); err != nil {
			return fmt.Errorf("certificate %d, %q: %w", i, cert.Subject.CommonName, timeless(err, cert))
		}
	}
	return nil
}

// timeless words the error of a certificate that is not valid now without the present time: the same trouble has the same
// text whenever it is looked at.
func timeless(err error, cert *x509.Certificate) error {
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		if e.Cert != nil {
			cert = e.Cert
		}
		return fmt.Errorf("it is valid from %s to %s, which is not now", cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
	}
	return err
}
