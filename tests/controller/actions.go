// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/google/uuid"
	"github.com/lf-edge/eve-api/go/attest"
	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-api/go/evecommon"
	eveuuid "github.com/lf-edge/eve-api/go/eveuuid"
	"github.com/lf-edge/eve-api/go/register"
	"google.golang.org/protobuf/proto"
)

// accept takes what comes: a test finds it in the Request.
func accept(*Controller, *request) (proto.Message, error) { return nil, nil }

func (c *Controller) giveCerts(*request) (proto.Message, error) {
	m := &certs.ZControllerCert{}
	for _, cert := range c.certs {
		m.Certs = append(m.Certs, &certs.ZCert{
			HashAlgo: evecommon.HashAlgorithm_HASH_ALGORITHM_SHA256_16BYTES,
			CertHash: hashOf(cert.PEM),
			Type:     cert.Type,
			Cert:     cert.PEM,
		})
	}
	return m, nil
}

// register takes a device in that is expected: 403 if it is not, and 409 if it has been taken in already, or another one
// with its right to it.
func (c *Controller) register(rq *request) (proto.Message, error) {
	var m register.ZRegisterMsg
	if err := unmarshal(rq, &m); err != nil {
		return nil, err
	}
	cert := parseCert(m.GetPemCert())
	if cert == nil {
		return nil, refuse(http.StatusBadRequest, "certificate of the device is not base64 of PEM text")
	}
	by, ok := c.right(rq, m.GetSerial(), m.GetSoftSerial())
	if !ok {
		return nil, refuse(http.StatusForbidden, "serial %q is not expected with onboarding certificate %q",
			m.GetSerial(), rq.cert.Subject.CommonName)
	}
	for _, d := range c.devices {
		if d.Cert.Equal(cert) || by.serial != AnySerial && d.by == by {
			return nil, refuse(http.StatusConflict, "serial %q has registered before", m.GetSerial())
		}
	}
	id, err := uuid.NewRandomFromReader(c.random)
	if err != nil {
		return nil, fmt.Errorf("name device: %w", err)
	}
	c.devices = append(c.devices, &device{Device: Device{UUID: id, Cert: cert}, by: by})
	return nil, nil
}

// right finds the right by which a device with one of the serials registers.
func (c *Controller) right(rq *request, serials ...string) (onboarding, bool) {
	for _, serial := range serials {
		for _, o := range c.expected {
			if o.permits(rq.cert, serial) {
				return o, true
			}
		}
	}
	return onboarding{}, false
}

func (c *Controller) giveName(rq *request) (proto.Message, error) {
	return &eveuuid.UuidResponse{Uuid: rq.device.UUID.String()}, unmarshal(rq, &eveuuid.UuidRequest{})
}

func (c *Controller) giveBareConfig(rq *request) (proto.Message, error) {
	return c.configOf(rq.device)
}

// giveConfig answers 404 without a configuration, before it looks at the integrity token, and 304 if the device has the
// configuration already.
func (c *Controller) giveConfig(rq *request) (proto.Message, error) {
	var m config.ConfigRequest
	if err := unmarshal(rq, &m); err != nil {
		return nil, err
	}
	cfg, err := c.configOf(rq.device)
	if err != nil {
		return nil, err
	}
	if rq.Version == 2 && (rq.device.token == "" || string(m.GetIntegrityToken()) != rq.device.token) {
		return nil, refuse(http.StatusForbidden, "the integrity token is not the device's")
	}
	hash, err := configHash(cfg)
	if err != nil {
		return nil, err
	}
	if m.GetConfigHash() == hash {
		return nil, refuse(http.StatusNotModified, "not modified")
	}
	return &config.ConfigResponse{Config: cfg, ConfigHash: hash}, nil
}

// configHash names a configuration as Adam does: by its Go struct's JSON.
func configHash(cfg *config.EdgeDevConfig) (string, error) {
	b, err := json.Marshal(cfg)
	if err != nil {
		return "", fmt.Errorf("hash configuration: %w", err)
	}
	sum := sha256.Sum256(b)
	return base64.URLEncoding.EncodeToString(sum[:]), nil
}

// attest goes through the steps in which a device without a TPM gets its token. Adam does not insist on their order.
func (c *Controller) attest(rq *request) (proto.Message, error) {
	var m attest.ZAttestReq
	if err := unmarshal(rq, &m); err != nil {
		return nil, err
	}
	switch m.GetReqType() {
	case attest.ZAttestReqType_ATTEST_REQ_CERT:
		rq.device.Certs = m.GetCerts()
		return &attest.ZAttestResponse{RespType: attest.ZAttestRespType_ATTEST_RESP_CERT}, nil
	case attest.ZAttestReqType_ATTEST_REQ_NONCE:
		nonce, err := c.digits(nonceSize)
		return &attest.ZAttestResponse{
			RespType: attest.ZAttestRespType_ATTEST_RESP_NONCE,
			Nonce:    &attest.ZAttestNonceResp{Nonce: []byte(nonce)},
		}, err
	case attest.ZAttestReqType_ATTEST_REQ_QUOTE:
		return c.judge(rq.device, m.GetQuote())
	default:
		return nil, refuse(http.StatusBadRequest, "attestation has no %v here", m.GetReqType())
	}
}

// judge says what a quote is worth. One without registers is that of a device without a TPM; there is nothing here to
// check any other with.
func (c *Controller) judge(d *device, quote *attest.ZAttestQuote) (*attest.ZAttestResponse, error) {
	verdict := &attest.ZAttestQuoteResp{Response: attest.ZAttestResponseCode_Z_ATTEST_RESPONSE_CODE_QUOTE_FAILED}
	if len(quote.GetPcrValues()) == 0 {
		if d.token == "" {
			token, err := c.digits(tokenSize)
			if err != nil {
				return nil, err
			}
			d.token = token
		}
		verdict.Response = attest.ZAttestResponseCode_Z_ATTEST_RESPONSE_CODE_SUCCESS
		verdict.IntegrityToken = []byte(d.token)
	}
	return &attest.ZAttestResponse{
		RespType:  attest.ZAttestRespType_ATTEST_RESP_QUOTE_RESP,
		QuoteResp: verdict,
	}, nil
}
