// SPDX-License-Identifier: Apache-2.0

package eden_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-api/go/evecommon"

	"github.com/lf-edge/eve-metadata/pkg/cipher"
	"github.com/lf-edge/eve-metadata/tests/controller"
)

// kinds are the certificates of the controller's that eden has commands for.
var kinds = map[string]struct {
	kind  certs.ZCertType
	usage x509.KeyUsage
}{
	"signing": {certs.ZCertType_CERT_TYPE_CONTROLLER_SIGNING, x509.KeyUsageDigitalSignature},
	"encrypt": {certs.ZCertType_CERT_TYPE_CONTROLLER_ECDH_EXCHANGE, x509.KeyUsageKeyAgreement},
}

// identity is the certificate that user data is encrypted with: eden takes the one that signs, unless it is told to take the
// one that is for that.
func (n *node) identity(encryptCert bool) controller.Identity {
	if encryptCert {
		return n.ids[certs.ZCertType_CERT_TYPE_CONTROLLER_ECDH_EXCHANGE]
	}
	return n.ids[certs.ZCertType_CERT_TYPE_CONTROLLER_SIGNING]
}

// issue is `eden utils gen-…-cert`.
func (n *node) issue(c *call, kind string) *cobra.Command {
	var cert, key string
	cmd := &cobra.Command{
		Use: "gen-" + kind + "-cert", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			id, err := n.ctrl.PKI().Root.Issue(kind, kinds[kind].usage)
			if err != nil {
				return err
			}
			return id.Save(c.path(cert), c.path(key))
		},
	}
	cmd.Flags().StringVarP(&cert, "out", "o", "", "certificate")
	cmd.Flags().StringVar(&key, "key-out", "", "key")
	return required(cmd, "out", "key-out")
}

// rotate is `eden adam change-…-cert`: what was encrypted with the old certificate is encrypted with the new one.
func (n *node) rotate(c *call, kind string) *cobra.Command {
	var cert, key string
	cmd := &cobra.Command{
		Use: "change-" + kind + "-cert", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			id, err := load(c.path(cert), c.path(key))
			if err != nil {
				return err
			}
			n.mu.Lock()
			defer n.mu.Unlock()
			n.progress("another certificate: %s", kind)
			return n.replace(kinds[kind].kind, id)
		},
	}
	cmd.Flags().StringVar(&cert, "cert-file", "", "certificate")
	cmd.Flags().StringVar(&key, "key-file", "", "key")
	return required(cmd, "cert-file", "key-file")
}

// required has a command refuse to run without some flags.
func required(cmd *cobra.Command, flags ...string) *cobra.Command {
	for _, flag := range flags {
		if err := cmd.MarkFlagRequired(flag); err != nil {
			panic(err)
		}
	}
	return cmd
}

func load(cert, key string) (controller.Identity, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return controller.Identity{}, err
	}
	private, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return controller.Identity{}, fmt.Errorf("%s: its key is not on P-256", cert)
	}
	text, err := os.ReadFile(cert)
	return controller.Identity{Cert: pair.Leaf, Key: private, PEM: bytes.TrimSpace(text)}, err
}

// replace changes one of the controller's certificates in the order in which eden does: the configuration first.
func (n *node) replace(kind certs.ZCertType, id controller.Identity) error {
	old, err := n.context(n.ids[kind])
	if err != nil {
		return err
	}
	n.ids[kind] = id
	for _, app := range n.config.GetApps() {
		used := n.contextOf(app)
		if used == nil || !bytes.Equal(used.GetControllerCertHash(), old.GetControllerCertHash()) {
			continue
		}
		plain, ok := n.plain[app.GetUuidandversion().GetUuid()]
		if !ok {
			return fmt.Errorf("the runner did not encrypt the user data of %s, and cannot do so again", app.GetDisplayname())
		}
		if err := n.seal(app, plain, id); err != nil {
			return err
		}
	}
	if err := n.apply(); err != nil {
		return err
	}
	all := n.ctrl.Certs()
	for i, cert := range all {
		if cert.Type == kind {
			all[i].Identity = id
		}
	}
	n.ctrl.SetCerts(all...)
	if kind == certs.ZCertType_CERT_TYPE_CONTROLLER_SIGNING {
		n.ctrl.SetSigner(id)
	}
	return nil
}

// contextOf is the context of an app's encrypted user data; nil for none.
func (n *node) contextOf(app *config.AppInstanceConfig) *evecommon.CipherContext {
	for _, context := range n.config.GetCipherContexts() {
		if app.GetCipherData() != nil && context.GetContextId() == app.GetCipherData().GetCipherContextId() {
			return context
		}
	}
	return nil
}

func (n *node) sealer(id controller.Identity) (*cipher.Sealer, error) {
	device, err := n.deviceCert()
	return &cipher.Sealer{ContextID: uuid.NewString(), Key: id.Key, ControllerCert: id.PEM, DeviceCert: device}, err
}

// context is that of what is encrypted with a certificate of the controller's for the device.
func (n *node) context(id controller.Identity) (*evecommon.CipherContext, error) {
	sealer, err := n.sealer(id)
	if err != nil {
		return nil, err
	}
	context, err := sealer.Context()
	return cipher.ContextMessage(&context), err
}

// seal encrypts user data, in base64 as apps have it, and makes it an app's.
func (n *node) seal(app *config.AppInstanceConfig, plain string, id controller.Identity) error {
	sealer, err := n.sealer(id)
	if err != nil {
		return err
	}
	context, err := n.context(id)
	if err != nil {
		return err
	}
	for _, old := range n.config.GetCipherContexts() {
		if bytes.Equal(old.GetControllerCertHash(), context.GetControllerCertHash()) && bytes.Equal(old.GetDeviceCertHash(), context.GetDeviceCertHash()) {
			sealer.ContextID = old.GetContextId()
			context = nil
			break
		}
	}
	if context != nil {
		context.ContextId = sealer.ContextID
		n.config.CipherContexts = append(n.config.CipherContexts, context)
	}
	block, err := sealer.Seal("", &evecommon.EncryptionBlock{ProtectedUserData: plain})
	if err != nil {
		return errors.Join(fmt.Errorf("encrypt user data of %s", app.GetDisplayname()), err)
	}
	app.UserData, app.CipherData = "", cipher.Message(block)
	n.plain[app.GetUuidandversion().GetUuid()] = plain
	return nil
}

// clone is a copy that nobody else changes.
func clone(c *config.EdgeDevConfig) *config.EdgeDevConfig { return proto.CloneOf(c) }
