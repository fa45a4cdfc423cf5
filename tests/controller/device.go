// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"crypto/x509"
	"encoding/hex"
	"io"
	"net/http"

	"github.com/google/uuid"
	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/config"
	"google.golang.org/protobuf/proto"
)

// Lengths in hexadecimal digits, as Adam has them.
const (
	nonceSize = 12
	tokenSize = 128
)

// Device is what a controller knows about one.
type Device struct {
	UUID  uuid.UUID
	Cert  *x509.Certificate
	Certs []*certs.ZCert // that it brought when it attested
}

// device is one, with what is between it and the controller.
type device struct {
	Device
	by     onboarding // how it registered
	token  string     // "": it has not attested
	config *config.EdgeDevConfig
}

// onboarding is a right to register.
type onboarding struct {
	cert   *x509.Certificate
	serial string
}

// AnySerial is the serial number that stands for all, and for any number of devices.
const AnySerial = "*"

// permits tells whether a device may register by it.
func (o onboarding) permits(cert *x509.Certificate, serial string) bool {
	return o.cert.Equal(cert) && (o.serial == serial || o.serial == AnySerial)
}

// configOf is a device's configuration as it is delivered. One that has none is refused.
func (c *Controller) configOf(d *device) (*config.EdgeDevConfig, error) {
	cfg := d.config
	if cfg == nil {
		cfg = c.fallback
	}
	if cfg == nil {
		return nil, refuse(http.StatusNotFound, "the device has no configuration")
	}
	cfg = proto.CloneOf(cfg)
	if cfg.Id == nil {
		cfg.Id = &config.UUIDandVersion{}
	}
	if cfg.Id.Uuid == "" {
		cfg.Id.Uuid = d.UUID.String()
	}
	cfg.ControllercertConfighash = c.certsHash()
	return cfg, nil
}

// digits makes a random number of that many hexadecimal digits.
func (c *Controller) digits(n int) (string, error) {
	b := make([]byte, n/2)
	if _, err := io.ReadFull(c.random, b); err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}
