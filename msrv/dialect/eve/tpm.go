// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
)

const (
	// maxSigned is how much a guest may have signed, and how much it may send to prove the node, in bytes (EVE, msrv).
	maxSigned = 65535
	// keysRate and keysBurst are how often a guest may have the node's keys used. A TPM takes up to seconds for one use, has
	// one user at a time, and is the node's own before it is the guests'.
	keysRate  = 1
	keysBurst = 10
	// typeProto is the media type of EVE's messages.
	typeProto = "application/x-proto-binary"
)

// What is counted: uses of the node's keys by guests.
const (
	countSigned    = "eve_signed"
	countActivated = "eve_activated"
)

// Keys are what the node proves itself with. All methods may be called from any goroutine, and come back in a time that a
// guest can wait. Their errors are for the log.
type Keys interface {
	// Sign returns the payload in an AuthContainer (EVE API), signed with the device key.
	Sign(payload []byte) (container []byte, err error)
	// Credential returns what a verifier challenges the node's TPM with: the public areas of its endorsement key and of its
	// attestation identity key (TPMT_PUBLIC each), and the latter's name (TPM2B_NAME, with its size in front).
	Credential() (ek, aik, aikName []byte, err error)
	// Activate opens a challenge, a TPM2B_ID_OBJECT and a TPM2B_ENCRYPTED_SECRET as TPM2_MakeCredential makes them, and
	// signs data with the attestation identity key: RSASSA-PKCS1-v1_5 over SHA-256.
	Activate(challenge, encrypted, data []byte) (secret, signature []byte, err error)
}

// tpmRoutes are those by which a guest proves to others on which node it runs.
func tpmRoutes(c Config) []route {
	if c.Keys == nil {
		return nil
	}
	p := prover{keys: c.Keys, limits: newLimits(keysRate, keysBurst)}
	return []route{
		post("eve/v1/tpm/signer", p.sign),
		{path: "eve/v1/tpm/activatecredential", methods: map[string]handler{
			http.MethodGet:  p.credential,
			http.MethodPost: p.activate,
		}},
	}
}

// prover uses the node's keys for guests, each in its measure.
type prover struct {
	keys   Keys
	limits *limits
}

// sign answers with what the guest sends, in an AuthContainer that the device has signed. The signature says that the bytes
// passed through this node, and no more: neither which guest sent them, nor that the device means them. It is the same key
// and the same form in which the device speaks to its controller, so a verifier must not take a payload for the device's own
// word unless it was the device that brought it. EVE signs anything here, and so guests rely on it; it is counted.
func (p prover) sign(r *dialect.Request, _ string) *dialect.Answer {
	if a := p.limits.refuse(r); a != nil {
		return a
	}
	payload, err := r.ReadBody(maxSigned)
	switch {
	case errors.Is(err, dialect.ErrTooLarge):
		a := dialect.Refuse(http.StatusBadRequest)
		a.Body = fmt.Appendf(nil, "At most %d bytes are signed.\n", maxSigned)
		return a
	case err != nil: // the guest stopped in the middle of it
		return dialect.Refuse(http.StatusBadRequest)
	}
	container, err := p.keys.Sign(payload)
	if err != nil {
		return failed(fmt.Errorf("sign for a guest: %w", err))
	}
	r.Count(countSigned)
	return &dialect.Answer{Status: http.StatusOK, Type: typeProto, Body: container}
}

// The messages of an activation, in the order in which they are exchanged (EVE, msrv). Bytes are base64 in JSON.
type (
	credential struct {
		EK      []byte `json:"ek"`
		AIKPub  []byte `json:"aikpub"`
		AIKName []byte `json:"aikname"`
	}
	challenge struct {
		Data   []byte `json:"data"`
		Cred   []byte `json:"cred"`
		Secret []byte `json:"secret"`
	}
	proof struct {
		Secret []byte `json:"secret"`
		Sig    []byte `json:"sig"`
	}
)

// credential answers with what a verifier makes a challenge of.
func (p prover) credential(r *dialect.Request, _ string) *dialect.Answer {
	if a := p.limits.refuse(r); a != nil {
		return a
	}
	ek, aik, name, err := p.keys.Credential()
	if err != nil {
		return notProven(http.StatusInternalServerError, fmt.Errorf("tell a guest the node's keys: %w", err))
	}
	return sayJSON(http.StatusOK, credential{ek, aik, name})
}

// activate answers a verifier's challenge, and signs the data that comes with it. Who reads the secret knows that the guest
// runs on the node whose TPM has both keys. The identity key is a restricted one: it vouches for nothing that looks like
// the TPM's own word, so a guest can forge no quote of the node's.
func (p prover) activate(r *dialect.Request, _ string) *dialect.Answer {
	if a := p.limits.refuse(r); a != nil {
		return a
	}
	body, err := r.ReadBody(maxSigned)
	if errors.Is(err, dialect.ErrTooLarge) {
		return notProven(http.StatusBadRequest, nil)
	}
	var c challenge
	if err == nil {
		err = json.Unmarshal(body, &c)
	}
	if err != nil {
		return notProven(http.StatusInternalServerError, fmt.Errorf("read a guest's challenge: %w", err))
	}
	secret, signature, err := p.keys.Activate(c.Cred, c.Secret, c.Data)
	if err != nil {
		return notProven(http.StatusInternalServerError, fmt.Errorf("answer a guest's challenge: %w", err))
	}
	r.Count(countActivated)
	return sayJSON(http.StatusOK, proof{secret, signature})
}

// notProven is EVE's answer to whatever goes wrong with an activation: JSON that says it is text.
func notProven(status int, err error) *dialect.Answer {
	return &dialect.Answer{Status: status, Body: []byte(`{"message": "Operation failed"}`), Err: err}
}
