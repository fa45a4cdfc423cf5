// SPDX-License-Identifier: Apache-2.0

package cloudstack

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// The words of the password server's protocol.
const (
	domURequest    = "DomU_Request" // the header that says what the guest wants
	sendMyPassword = "send_my_password"
	savedPassword  = "saved_password"
	badRequest     = "bad_request"
)

// reportSubject is under what it is kept which password the guest has saved.
const reportSubject = "cloudstack-password"

// passwordServer is the guard at the password server's port, where it answers every request: all paths are
// one there. A password is offered until the guest says that it has saved it, and again only when it is
// another one. A wish that it does not know is told by the body of a 200, as in CloudStack: clients read
// the word there, and take another status for a server that fails (cloud-init's wget, cloudbase-init).
func passwordServer(r *dialect.Request) *dialect.Answer {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return dialect.RefuseMethod("GET, HEAD")
	}
	switch r.Header.Get(domURequest) {
	case sendMyPassword:
		if isOffered(r) {
			return say(r.Instance.Password)
		}
		return say([]byte(savedPassword))
	case savedPassword:
		if err := noteSaved(r); err != nil {
			a := dialect.Refuse(http.StatusInternalServerError)
			a.Err = err
			return a
		}
		return say([]byte(savedPassword))
	}
	return say([]byte(badRequest))
}

// say is an answer of one word, byte for byte: clients compare it.
func say(word []byte) *dialect.Answer {
	return &dialect.Answer{Status: http.StatusOK, Body: word}
}

// isOffered tells whether there is a password that the guest has not saved yet.
func isOffered(r *dialect.Request) bool {
	return len(r.Instance.Password) > 0 && !bytes.Equal(r.Reports.Get(reportSubject), fingerprint(r.Instance))
}

// noteSaved notes that the guest has the password of now. Where that fails, the password stays on offer.
func noteSaved(r *dialect.Request) error {
	if !isOffered(r) {
		return nil
	}
	if err := r.Reports.Put(reportSubject, fingerprint(r.Instance)); err != nil {
		return fmt.Errorf("note that instance %q has saved its password: %w", r.Instance.UUID, err)
	}
	return nil
}

// fingerprint tells passwords apart in a report that others can read, without one being guessed from it:
// its key is the instance's random seed. It is hexadecimal.
func fingerprint(in *instance.Instance) []byte {
	mac := hmac.New(sha256.New, in.RandomSeed)
	mac.Write(in.Password)
	return hex.AppendEncode(nil, mac.Sum(nil))
}
