// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-api/go/attest"
	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-api/go/evecommon"
	eveuuid "github.com/lf-edge/eve-api/go/eveuuid"
	"github.com/lf-edge/eve-api/go/register"
	"github.com/lf-edge/eve-metadata/pkg/envelope"
)

const (
	pathV2 = "/api/v2/edgedevice/"

	// chainAge is how long the controller's certificates are taken to be those that it has (EVE, timer.cert.interval).
	chainAge = 24 * time.Hour
	// askAgain is how long after a controller has said who the device is it is asked again, when it seems to have
	// forgotten (EVE, zedagent).
	askAgain = 10 * time.Minute
)

// exchangeV2 asks a controller by version 2 of the API. What has been learnt in earlier rounds is not asked again.
func (s *session) exchangeV2(ctx context.Context) error {
	stale, err := s.knowChain(ctx)
	if err != nil {
		return err
	}
	err = s.askConfig(ctx)
	if forgotten(err) && !s.askedAt.IsZero() && s.cfg.Now().Sub(s.askedAt) >= askAgain {
		s.askedAt = s.cfg.Now()
		err = errors.Join(err, s.identify(ctx))
	}
	if err == nil {
		err = s.followCerts(ctx)
	}
	return errors.Join(stale, err)
}

// askConfig asks for the configuration, after what has to come first.
func (s *session) askConfig(ctx context.Context) error {
	if s.device == uuid.Nil || s.askedAt.IsZero() {
		if err := s.identify(ctx); err != nil {
			return err
		}
	}
	if !s.attested {
		if err := s.attest(ctx); err != nil {
			return err
		}
	}
	err := s.fetchConfig(ctx)
	if e, ok := errors.AsType[*statusError](err); !ok || e.status != http.StatusForbidden {
		return err
	}
	// The proof does not count any more: the controller has lost it, or was restarted.
	if err := s.attest(ctx); err != nil {
		return err
	}
	return s.fetchConfig(ctx)
}

// forgotten tells whether an error is what a controller says that has no such device.
func forgotten(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && (e.status == http.StatusNotFound || e.status == http.StatusUnauthorized)
}

func (s *session) fetchConfig(ctx context.Context) error {
	a, err := s.post(ctx, "config", &config.ConfigRequest{ConfigHash: s.response.GetConfigHash(), IntegrityToken: s.token}, maxConfig)
	if err != nil {
		return fmt.Errorf("ask for the configuration: %w", err)
	}
	if a.status == http.StatusNotModified && s.response != nil {
		s.confirm()
		return nil
	}
	payload, err := s.accept(ctx, a)
	if err != nil {
		return fmt.Errorf("ask for the configuration: %w", err)
	}
	return s.take(a.body, payload)
}

// knowChain makes the controller's certificates known. The first error says that they are not those of the day, and what
// is known of old has to do; the second one that there are none.
func (s *session) knowChain(ctx context.Context) (stale, err error) {
	if s.chain != nil && !s.chainAt.IsZero() && s.cfg.Now().Sub(s.chainAt) < chainAge {
		return nil, nil
	}
	err = s.fetchChain(ctx)
	if _, away := errors.AsType[*unreachableError](err); s.chain == nil || away {
		return nil, err
	}
	return err, nil
}

// followCerts asks for the controller's certificates when the configuration says that they are others by now. What the first
// configuration of a run says is about those that were asked for before it.
func (s *session) followCerts(ctx context.Context) error {
	hash := s.response.GetConfig().GetControllercertConfighash()
	if hash == s.chainFor {
		return nil
	}
	if s.chainFor != "" && !s.fetched {
		if err := s.fetchChain(ctx); err != nil {
			return err
		}
	}
	s.chainFor = hash
	return nil
}

// fetchChain asks for the controller's certificates. They come in an envelope that is signed with one of them, and are
// checked themselves.
func (s *session) fetchChain(ctx context.Context) error {
	s.fetched = true
	chain, err := s.askChain(ctx)
	if err != nil {
		return fmt.Errorf("ask for the controller's certificates: %w", err)
	}
	var old []*certs.ZCert
	if s.chain != nil {
		old = s.chain.Certs()
	}
	s.chain, s.chainAt = chain, s.cfg.Now()
	s.retire(old)
	s.dirty = true
	return nil
}

func (s *session) askChain(ctx context.Context) (*envelope.Chain, error) {
	a, err := s.link.do(ctx, request{method: http.MethodGet, path: pathV2 + "certs", limit: maxAnswer, header: s.serials()})
	if err != nil {
		return nil, err
	}
	if err := a.success(); err != nil {
		return nil, err
	}
	message, err := envelope.Unverified(a.body)
	if err != nil {
		return nil, err
	}
	roots, err := readRoots(s.cfg.RootCA)
	if err != nil {
		return nil, err
	}
	return envelope.NewChain(message, roots, s.cfg.Now())
}

// identify asks who the device is, and registers it where the controller does not know it.
func (s *session) identify(ctx context.Context) error {
	device, err := s.askDevice(ctx)
	if e, ok := errors.AsType[*statusError](err); ok && (forgotten(err) || e.status == http.StatusForbidden) {
		if s.cfg.OnboardCert == "" {
			return fmt.Errorf("the controller does not know the device's certificate: %w", err)
		}
		if err := s.register(ctx); err != nil {
			return fmt.Errorf("register the device: %w", err)
		}
		device, err = s.askDevice(ctx)
	}
	if err != nil {
		return fmt.Errorf("ask who the device is: %w", err)
	}
	if device != s.device {
		s.device, s.attested = device, false
	}
	s.askedAt = s.cfg.Now()
	return nil
}

func (s *session) askDevice(ctx context.Context) (uuid.UUID, error) {
	a, err := s.send(ctx, "uuid", &eveuuid.UuidRequest{}, maxAnswer, s.serials())
	if err != nil {
		return uuid.Nil, err
	}
	var reply eveuuid.UuidResponse
	if err := s.read(ctx, a, &reply); err != nil {
		return uuid.Nil, err
	}
	device, err := uuid.Parse(reply.GetUuid())
	if err != nil || device == uuid.Nil {
		return uuid.Nil, fmt.Errorf("%q is not a UUID", reply.GetUuid())
	}
	return device, nil
}

// register makes the device known to the controller, which then has another one to give a name to. That it is known
// already is as good.
func (s *session) register(ctx context.Context) error {
	text, signer, err := readOnboarding(s.cfg.OnboardCert, s.cfg.OnboardKey)
	if err != nil {
		return err
	}
	device := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.link.cert.Raw})
	payload, err := proto.Marshal(&register.ZRegisterMsg{
		PemCert: []byte(base64.StdEncoding.EncodeToString(device)), Serial: s.cfg.Serial, SoftSerial: s.cfg.SoftSerial,
	})
	if err != nil {
		return err
	}
	container, err := envelope.SealOnboarding(payload, text, signer)
	if err != nil {
		return err
	}
	a, err := s.link.do(ctx, request{method: http.MethodPost, path: pathV2 + "register", body: container, limit: maxAnswer, header: s.serials()})
	if err != nil || a.status == http.StatusConflict {
		return err
	}
	return a.success()
}

// attest proves what the device runs, in EVE's three steps. This is no EVE, and proves nothing: it sends a quote without
// registers, as a device without a TPM does. The controller learns the certificate to encrypt user data to by it.
func (s *session) attest(ctx context.Context) error {
	s.attested = false
	cert, err := s.keys.ECDHCert()
	if err != nil {
		return err
	}
	steps := []*attest.ZAttestReq{
		{ReqType: attest.ZAttestReqType_ATTEST_REQ_CERT, Certs: []*certs.ZCert{{
			HashAlgo:   evecommon.HashAlgorithm_HASH_ALGORITHM_SHA256_16BYTES,
			CertHash:   cert.CertID,
			Type:       certs.ZCertType_CERT_TYPE_DEVICE_ECDH_EXCHANGE,
			Cert:       cert.Cert,
			Attributes: &certs.ZCertAttr{IsTpm: cert.IsTpm},
		}}},
		{ReqType: attest.ZAttestReqType_ATTEST_REQ_NONCE},
		{ReqType: attest.ZAttestReqType_ATTEST_REQ_QUOTE, Quote: &attest.ZAttestQuote{}},
	}
	var reply attest.ZAttestResponse
	for _, step := range steps {
		a, err := s.post(ctx, "attest", step, maxAnswer)
		if err == nil {
			err = s.read(ctx, a, &reply)
		}
		if err != nil {
			return fmt.Errorf("attest: %w", err)
		}
	}
	if code := reply.GetQuoteResp().GetResponse(); code != attest.ZAttestResponseCode_Z_ATTEST_RESPONSE_CODE_SUCCESS {
		return fmt.Errorf("attest: the controller does not accept a device without a TPM: %v", code)
	}
	s.token, s.attested = reply.GetQuoteResp().GetIntegrityToken(), true
	return nil
}

// post sends a message of the device that the controller knows by its UUID.
func (s *session) post(ctx context.Context, action string, m proto.Message, limit int64) (*answer, error) {
	return s.send(ctx, "id/"+s.device.String()+"/"+action, m, limit, nil)
}

func (s *session) send(ctx context.Context, action string, m proto.Message, limit int64, header map[string]string) (*answer, error) {
	payload, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	container, err := envelope.Seal(payload, s.link.cert, s.link.signer)
	if err != nil {
		return nil, err
	}
	return s.link.do(ctx, request{method: http.MethodPost, path: pathV2 + action, body: container, limit: limit, header: header})
}

// serials are the headers by which EVE's devices say who they are, for as long as they have no UUID.
func (s *session) serials() map[string]string {
	header := map[string]string{}
	if s.device != uuid.Nil {
		return header
	}
	if s.cfg.Serial != "" {
		header["X-Serial-Number"] = s.cfg.Serial
	}
	if s.cfg.SoftSerial != "" {
		header["X-Soft-Serial"] = s.cfg.SoftSerial
	}
	return header
}

// read decodes the message in an answer.
func (s *session) read(ctx context.Context, a *answer, m proto.Message) error {
	payload, err := s.accept(ctx, a)
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(payload, m); err != nil {
		return errors.New("the message in the answer does not decode")
	}
	return nil
}

// accept returns the message in an answer that the controller has signed. A controller that has a new certificate since is
// asked for it, once in a round.
func (s *session) accept(ctx context.Context, a *answer) ([]byte, error) {
	if err := a.success(); err != nil {
		return nil, err
	}
	payload, err := s.chain.Open(a.body)
	if !errors.Is(err, envelope.ErrSender) || s.fetched {
		return payload, err
	}
	if err := s.fetchChain(ctx); err != nil {
		return nil, err
	}
	return s.chain.Open(a.body)
}
