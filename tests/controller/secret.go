// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-api/go/evecommon"
	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-metadata/pkg/cipher"
)

// Encrypt returns a configuration in which the user data of all apps is for the device alone: encrypted with the
// certificate for that which the device brought when it attested, and the first one that /certs delivers.
func (c *Controller) Encrypt(id uuid.UUID, cfg *config.EdgeDevConfig) (*config.EdgeDevConfig, error) {
	sealer, err := c.sealer(id)
	if err != nil {
		return nil, fmt.Errorf("encrypt for device %s: %w", id, err)
	}
	context, err := sealer.Context()
	if err != nil {
		return nil, fmt.Errorf("encrypt for device %s: %w", id, err)
	}
	cfg = proto.CloneOf(cfg)
	cfg.CipherContexts = append(cfg.CipherContexts, cipher.ContextMessage(&context))
	for _, app := range cfg.GetApps() {
		if app.GetUserData() == "" {
			continue
		}
		block, err := sealer.Seal("", &evecommon.EncryptionBlock{ProtectedUserData: app.GetUserData()})
		if err != nil {
			return nil, fmt.Errorf("encrypt user data of app %q: %w", app.GetDisplayname(), err)
		}
		app.UserData, app.CipherData = "", cipher.Message(block)
	}
	return cfg, nil
}

func (c *Controller) sealer(id uuid.UUID) (*cipher.Sealer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.named(id)
	if err != nil {
		return nil, err
	}
	s := &cipher.Sealer{ContextID: uuid.NewString()}
	for _, cert := range d.Certs {
		if cert.GetType() == certs.ZCertType_CERT_TYPE_DEVICE_ECDH_EXCHANGE {
			s.DeviceCert = cert.GetCert()
		}
	}
	for _, cert := range c.certs {
		if cert.Type == certs.ZCertType_CERT_TYPE_CONTROLLER_ECDH_EXCHANGE && s.Key == nil {
			s.Key, s.ControllerCert = cert.Key, cert.PEM
		}
	}
	if s.DeviceCert == nil || s.Key == nil {
		return nil, errors.New("device and controller both need a certificate to encrypt with")
	}
	return s, nil
}
