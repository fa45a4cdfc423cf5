// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
)

// Provision makes, below a root, the files of a device that is to register with this controller, as EVE's installer and
// the device's first boot leave them, and expects it. It has no TPM: its keys are in files.
func (c *Controller) Provision(root, serial string) error {
	onboard := c.pki.Onboard
	device, err := create(template("device", x509.KeyUsageDigitalSignature), nil)
	if err != nil {
		return err
	}
	ecdh, err := create(template("ecdh", x509.KeyUsageKeyAgreement), nil)
	if err != nil {
		return err
	}
	config, certs := filepath.Join(root, "config"), filepath.Join(root, "persist", "certs")
	err = errors.Join(
		os.MkdirAll(config, 0o755),
		os.MkdirAll(certs, 0o755),
		os.WriteFile(filepath.Join(config, "server"), []byte(c.Addr()+"\n"), 0o644),
		os.WriteFile(filepath.Join(config, "root-certificate.pem"), c.pki.Root.File(), 0o644),
		os.WriteFile(filepath.Join(config, "soft_serial"), []byte(serial+"\n"), 0o644),
		onboard.Save(filepath.Join(config, "onboard.cert.pem"), filepath.Join(config, "onboard.key.pem")),
		device.Save(filepath.Join(config, "device.cert.pem"), filepath.Join(config, "device.key.pem")),
		ecdh.Save(filepath.Join(certs, "ecdh.cert.pem"), filepath.Join(certs, "ecdh.key.pem")),
	)
	if err != nil {
		return err
	}
	c.Expect(onboard.Cert, serial)
	return nil
}
