// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/lf-edge/eve-api/go/auth"
	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/config"
	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-metadata/pkg/cipher"
	"github.com/lf-edge/eve-metadata/pkg/devicekey"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	feed "github.com/lf-edge/eve-metadata/pkg/feed/controller"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
	"github.com/lf-edge/eve-metadata/tests/controller"
)

// A device that the controller does not know comes in by itself, and publishes what it is told.
func TestFeedOnboards(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.configure("one", "two")
		r.start()
		r.await(controller.Settings, http.StatusOK)
		r.expect("at first", "one", "two")
		r.expectWell("at first")

		var steps []string
		ids := map[string]bool{}
		for _, rq := range r.Requests() {
			steps = append(steps, rq.Action+" "+http.StatusText(rq.Status))
			id := rq.Header.Get("X-Request-Id")
			if _, err := uuid.Parse(id); err != nil || ids[id] {
				t.Errorf("%s: request id is %q", rq.Action, id)
			}
			ids[id] = true
			if unnamed := rq.Action == controller.Register || rq.Action == controller.UUID; unnamed != (rq.Header.Get("X-Serial-Number") == serial) && rq.Action != controller.Certs {
				t.Errorf("%s: serial number is %q", rq.Action, rq.Header.Get("X-Serial-Number"))
			}
		}
		want := []string{
			"certs OK", "uuid Unauthorized", "register Created", "uuid OK",
			"attest Created", "attest Created", "attest Created", "config OK",
		}
		if diff := cmp.Diff(want, steps); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}

		d := r.Devices()[0]
		if len(d.Certs) != 1 || d.Certs[0].GetType() != certs.ZCertType_CERT_TYPE_DEVICE_ECDH_EXCHANGE ||
			!bytes.Equal(d.Certs[0].GetCert(), readFile(t, r.path("persist/certs/ecdh.cert.pem"))) {
			t.Errorf("certificates of the device are %v", d.Certs)
		}
		if s := r.status(); s.DeviceUUID != d.UUID || s.APIVersion != 2 || s.Server != r.Addr() {
			t.Errorf("status is %+v", s)
		}
		if node := r.node.get()[eve.GlobalKey]; node.DeviceName != "hall7-node2" || node.EnterpriseName != "Example GmbH" {
			t.Errorf("node is %+v", node)
		}
		if n := len(r.nets.get()); n != 1 {
			t.Errorf("%d networks", n)
		}
		r.expectCerts("at first", r.PKI().Signing, r.PKI().Encrypt)
		ours := r.ours.get()
		if len(ours) != 1 {
			t.Errorf("device certificates are %v", ours)
		}
		for key, cert := range ours {
			if key != hex.EncodeToString(cert.CertID) || !bytes.Equal(cert.Cert, d.Certs[0].GetCert()) {
				t.Errorf("device certificate %s is %+v", key, cert)
			}
		}
	})
}

// expectCerts compares the controller's certificates that are published.
func (r *rig) expectCerts(what string, want ...controller.Identity) {
	r.t.Helper()
	texts := map[string]bool{}
	for _, id := range want {
		texts[string(id.PEM)] = true
	}
	got := map[string]bool{}
	for key, cert := range r.theirs.get() {
		got[string(cert.Cert)] = true
		if key != hex.EncodeToString(cert.CertHash) {
			r.t.Errorf("%s: certificate with hash %x is published as %s", what, cert.CertHash, key)
		}
	}
	if !maps.Equal(texts, got) {
		r.t.Errorf("%s: controller's certificates (-want +got):\n%s", what, cmp.Diff(texts, got))
	}
}

// What changes at the controller changes here, and what stays is not told again.
func TestFeedFollows(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.configure("one")
		r.start()
		r.await(controller.Settings, http.StatusOK)
		first := r.status()
		events := r.apps.count()
		r.await(controller.Settings, http.StatusNotModified)
		if r.apps.count() != events {
			t.Error("what has not changed is published again")
		}
		if s := r.status(); !s.LastContact.After(first.LastContact) || s.ConfigTime != first.ConfigTime {
			t.Errorf("status is %+v, and was %+v", s, first)
		}
		// Another hash of the same: it is taken, and nobody else has to know.
		cfg := r.configOf("one")
		cfg.ConfigTimestamp = nil
		cfg.Manufacturer = "other"
		r.setConfig(cfg)
		r.await(controller.Settings, http.StatusOK)
		if r.apps.count() != events || r.status().ConfigHash == first.ConfigHash {
			t.Errorf("%d events, want %d; status is %+v", r.apps.count(), events, r.status())
		}
		// The same hash, from a controller that does not know 304.
		r.Vary(controller.Settings, r.repeated())
		r.fresh()
		r.await(controller.Settings, http.StatusOK)
		r.expectWell("the same once more")
		if r.apps.count() != events {
			t.Error("the same hash is published again")
		}
		r.Vary(controller.Settings)
		for _, apps := range [][]string{{"one", "two"}, {"two"}, nil, {"three"}} {
			r.configure(apps...)
			r.await(controller.Settings, http.StatusOK)
			r.expect("changed", apps...)
			r.expectWell("changed")
		}
	})
}

// repeated answers with the configuration whatever the device has.
func (r *rig) repeated() controller.Variation {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			q.Body = io.NopCloser(bytes.NewReader(r.forgetful(q.Body)))
			next.ServeHTTP(w, q)
		})
	}
}

// forgetful makes of a device's question for its configuration one of a device that has none.
func (r *rig) forgetful(body io.Reader) []byte {
	b, err := io.ReadAll(body)
	if err != nil {
		panic(err)
	}
	var e auth.AuthContainer
	var q config.ConfigRequest
	if err := errors.Join(proto.Unmarshal(b, &e), proto.Unmarshal(e.GetProtectedPayload().GetPayload(), &q)); err != nil {
		panic(err)
	}
	q.ConfigHash = ""
	payload, err := proto.Marshal(&q)
	if err != nil {
		panic(err)
	}
	if b, err = devicekey.Open(r.root).Sign(payload); err != nil {
		panic(err)
	}
	return b
}

// Whatever is wrong with an answer, what was in force stays, the reason is told once, and the next good answer counts.
func TestFeedRefuses(t *testing.T) {
	t.Parallel()
	stranger, err := controller.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	payload := func(change func(*config.ConfigResponse)) func(*rig) controller.Variation {
		return func(r *rig) controller.Variation { return r.Payload(edited(change)) }
	}
	always := func(v controller.Variation) func(*rig) controller.Variation {
		return func(*rig) controller.Variation { return v }
	}
	for name, tt := range map[string]struct {
		v      func(*rig) controller.Variation
		status int
		wrong  string
	}{
		"wrong signature": {always(controller.WrongSignature(stranger.Signing)), http.StatusOK, "the signature is wrong"},
		"other signer":    {always(controller.SignedBy(stranger.Signing)), http.StatusOK, "certificate is another one"},
		"garbage":         {always(controller.Garbage()), http.StatusOK, "not a message of EVE's API"},
		"truncated":       {always(controller.Truncated()), http.StatusOK, "not a message of EVE's API"},
		"cut off":         {always(controller.CutOff()), http.StatusOK, "unexpected EOF"},
		"dropped":         {always(controller.Drop()), 0, "EOF"},
		"unavailable":     {always(controller.Status(http.StatusServiceUnavailable)), http.StatusServiceUnavailable, "503"},
		"elsewhere":       {always(controller.Status(http.StatusFound)), http.StatusFound, "302"},
		"error":           {always(controller.Status(http.StatusInternalServerError)), http.StatusInternalServerError, "500"},
		"deleted":         {always(controller.Status(http.StatusNotFound)), http.StatusNotFound, "404"},
		"no envelope":     {always(controller.Body(func([]byte) []byte { return nil })), http.StatusOK, "there is no message in it"},
		"empty":           {payload(func(m *config.ConfigResponse) { m.Config = nil }), http.StatusOK, "there is none in the answer"},
		"of another": {
			payload(func(m *config.ConfigResponse) { m.Config.Id.Uuid = "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001" }), http.StatusOK,
			"it is of device",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.configure("one")
				r.start()
				r.await(controller.Settings, http.StatusOK)
				r.configure("two")
				r.Vary(controller.Settings, tt.v(r))
				r.fresh()
				for range 3 {
					r.await(controller.Settings, tt.status)
					r.expect("meanwhile", "one")
					r.expectTold("meanwhile", tt.wrong, 1)
				}
				r.Vary(controller.Settings)
				r.fresh()
				r.await(controller.Settings, http.StatusOK)
				r.expect("afterwards", "two")
				r.expectWell("afterwards")
			})
		})
	}
}

// An answer of any size is not read to its end.
func TestFeedTooLarge(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.configure("one")
		r.start()
		r.await(controller.Settings, http.StatusOK)
		r.configure("two")
		r.Vary(controller.Settings, controller.Huge(65<<20))
		r.fresh()
		r.await(controller.Settings, http.StatusOK)
		r.expect("too large", "one")
		r.expectTold("too large", "larger than", 1)
	})
}

// Whatever is wrong with /certs, the certificates that are known stay.
func TestFeedRefusesCerts(t *testing.T) {
	t.Parallel()
	stranger, err := controller.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	const (
		signing = certs.ZCertType_CERT_TYPE_CONTROLLER_SIGNING
		encrypt = certs.ZCertType_CERT_TYPE_CONTROLLER_ECDH_EXCHANGE
	)
	for name, tt := range map[string]struct {
		certs func(*rig) []controller.Cert
		wrong string
	}{
		"of a stranger": {func(*rig) []controller.Cert {
			return []controller.Cert{{Type: signing, Identity: stranger.Signing}, {Type: encrypt, Identity: stranger.Encrypt}}
		}, "certificate 0"},
		"two that sign": {func(r *rig) []controller.Cert {
			return append(r.Certs(), controller.Cert{Type: signing, Identity: r.PKI().Server})
		}, "sign"},
		"none that signs": {func(r *rig) []controller.Cert { return r.Certs()[1:] }, "sign"},
		"none to encrypt": {func(r *rig) []controller.Cert { return r.Certs()[:1] }, "exchange"},
		"none":            {func(*rig) []controller.Cert { return nil }, "sign"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.configure("one")
				r.start()
				r.await(controller.Settings, http.StatusOK)
				good := r.Certs()
				r.SetCerts(tt.certs(r)...)
				r.configure("one", "two")
				r.fresh()
				r.await(controller.Certs, http.StatusOK)
				synctest.Wait()
				r.expectTold("meanwhile", tt.wrong, 1)
				r.expect("meanwhile", "one", "two") // it is signed as it should be
				r.expectCerts("meanwhile", r.PKI().Signing, r.PKI().Encrypt)
				r.SetCerts(good...)
				r.fresh()
				r.await(controller.Settings, http.StatusOK)
				r.expectWell("afterwards")
			})
		})
	}
}

// The controller's certificates change, in whichever order the controller goes about it.
func TestFeedRotation(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.configure("one")
		r.start()
		r.await(controller.Settings, http.StatusOK)

		if err := r.RotateSigning(); err != nil {
			t.Fatal(err)
		}
		signing := r.Certs()[0].Identity
		r.configure("two")
		r.await(controller.Certs, http.StatusOK)
		r.expect("signing", "two")
		r.expectWell("signing")
		r.expectCerts("signing", signing, r.PKI().Encrypt)

		// Envelopes have it before /certs.
		next, err := r.PKI().Root.Issue("signing", x509.KeyUsageDigitalSignature)
		if err != nil {
			t.Fatal(err)
		}
		r.SetSigner(next)
		r.configure("three")
		r.fresh()
		for range 2 {
			r.await(controller.Certs, http.StatusOK)
			r.expect("not in /certs yet", "two")
			r.expectTold("not in /certs yet", "certificate is another one", 1)
		}
		offered := r.Certs()
		offered[0].Identity = next
		r.SetCerts(offered...)
		r.fresh()
		r.await(controller.Certs, http.StatusOK)
		r.expect("in /certs by now", "three")
		r.expectWell("in /certs by now")

		// /certs has it before envelopes. What is signed with the old one does not count any more.
		last, err := r.PKI().Root.Issue("signing", x509.KeyUsageDigitalSignature)
		if err != nil {
			t.Fatal(err)
		}
		offered[0].Identity = last
		r.SetCerts(offered...)
		r.await(controller.Certs, http.StatusOK) // the configuration says that they are others
		r.await(controller.Settings, http.StatusNotModified)
		r.expectCerts("not in envelopes yet", last, r.PKI().Encrypt)
		r.configure("four")
		r.fresh()
		r.await(controller.Settings, http.StatusOK)
		r.expect("not in envelopes yet", "three")
		r.expectTold("not in envelopes yet", "certificate is another one", 2)
		r.SetSigner(last)
		r.fresh()
		r.await(controller.Settings, http.StatusOK)
		r.expect("in envelopes by now", "four")
		r.expectWell("in envelopes by now")

		// Over an authority in between.
		middle, err := r.PKI().Root.Issue("intermediate", x509.KeyUsageCertSign)
		if err != nil {
			t.Fatal(err)
		}
		below, err := middle.Issue("signing", x509.KeyUsageDigitalSignature)
		if err != nil {
			t.Fatal(err)
		}
		offered[0].Identity = below
		r.SetCerts(append(offered, controller.Cert{Type: certs.ZCertType_CERT_TYPE_CONTROLLER_INTERMEDIATE, Identity: middle})...)
		r.SetSigner(below)
		r.configure("five")
		r.fresh()
		r.await(controller.Settings, http.StatusOK)
		r.expect("intermediate", "five")
		r.expectWell("intermediate")
	})
}

// The configuration's word is enough to ask for the certificates, and is taken once.
func TestFeedCertsHash(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.configure("one")
		r.start()
		r.await(controller.Settings, http.StatusOK)
		r.configure("two")
		r.Vary(controller.Settings, r.Payload(edited(func(m *config.ConfigResponse) {
			m.Config.ControllercertConfighash = "other"
		})))
		r.fresh()
		r.await(controller.Certs, http.StatusOK)
		n := r.n
		for range 3 {
			r.await(controller.Settings, http.StatusNotModified)
		}
		for _, rq := range r.Requests()[n:] {
			if rq.Action == controller.Certs {
				t.Error("it asks for the certificates again and again")
			}
		}
		r.expect("other certificates", "two")
		r.expectWell("other certificates")
	})
}

// Once a day the certificates are asked for though nothing says that they are others.
func TestFeedAsksCertsDaily(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.configure("one")
		r.start()
		r.await(controller.Settings, http.StatusOK)
		start := time.Now()
		r.patience = 25 * time.Hour
		r.await(controller.Certs, http.StatusOK)
		if d := time.Since(start); d < 24*time.Hour-time.Minute {
			t.Errorf("after %v", d)
		}
	})
}

// What is encrypted for the device can be decrypted, also after the controller has another certificate.
func TestFeedSecret(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.configure("one")
		r.start()
		r.await(controller.Settings, http.StatusOK)
		plain := r.configOf("secret")
		secret := plain.GetApps()[0].GetUserData()
		encrypt := func() {
			t.Helper()
			cfg, err := r.Encrypt(r.Devices()[0].UUID, plain)
			if err != nil {
				t.Fatal(err)
			}
			r.setConfig(cfg)
		}
		expectSecret := func(what string) {
			t.Helper()
			r.expect(what, "secret")
			r.expectWell(what)
			for _, app := range r.apps.get() {
				if app.CloudInitUserData != nil {
					t.Errorf("%s: clear text is %q", what, *app.CloudInitUserData)
				}
				got, err := r.opener().UserData(&app.CipherBlockStatus, app.CloudInitUserData)
				if err != nil || got != secret {
					t.Errorf("%s: user data is %q, %v", what, got, err)
				}
			}
		}
		encrypt()
		r.await(controller.Settings, http.StatusOK)
		expectSecret("at first")

		// The new certificate is there, and what the old one is needed for.
		if err := r.RotateEncrypt(true); err != nil {
			t.Fatal(err)
		}
		r.await(controller.Certs, http.StatusOK)
		expectSecret("old certificate kept")
		if err := r.RotateEncrypt(false); err != nil {
			t.Fatal(err)
		}
		r.await(controller.Certs, http.StatusOK)
		expectSecret("old certificate gone")
		encrypt()
		r.fresh()
		r.await(controller.Settings, http.StatusOK)
		expectSecret("encrypted anew")
		r.expectCerts("encrypted anew", r.PKI().Signing, r.Certs()[1].Identity)

		// The same from a file.
		if err := r.RotateEncrypt(false); err != nil {
			t.Fatal(err)
		}
		r.await(controller.Certs, http.StatusOK)
		r.stop()
		if err := r.Stop(); err != nil {
			t.Fatal(err)
		}
		r.start()
		synctest.Wait()
		r.expect("from a file", "secret")
		for _, app := range r.apps.get() {
			if got, err := r.opener().UserData(&app.CipherBlockStatus, nil); err != nil || got != secret {
				t.Errorf("from a file: user data is %q, %v", got, err)
			}
		}
	})
}

// opener decrypts with what is published and the device's key, as the metadata server does.
func (r *rig) opener() *cipher.Opener {
	theirs, ours := r.theirs.get(), r.ours.get()
	return &cipher.Opener{
		ControllerCert: func(hash []byte) (eve.ControllerCert, bool) {
			cert, ok := theirs[hex.EncodeToString(hash)]
			return cert, ok
		},
		DeviceCert: func(hash []byte) (eve.EdgeNodeCert, bool) {
			cert, ok := ours[hex.EncodeToString(hash)]
			return cert, ok
		},
		ECDH: devicekey.Open(r.root).ECDH,
	}
}

// A device that starts while the controller is away goes by what it was told last, and says so.
func TestFeedCheckpoint(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.configure("one")
		r.start()
		r.await(controller.Settings, http.StatusOK)
		before := r.status()
		r.stop()
		if err := r.Stop(); err != nil {
			t.Fatal(err)
		}

		r.start()
		synctest.Wait()
		r.expect("controller is away", "one")
		r.expectTold("controller is away", "connection refused", 1)
		if s := r.status(); !s.FromFile || s.ConfigHash != before.ConfigHash || s.ConfigTime != before.ConfigTime || s.DeviceUUID != before.DeviceUUID {
			t.Errorf("status is %+v, and was %+v", s, before)
		}
		if err := r.Controller.Start(); err != nil {
			t.Fatal(err)
		}
		r.fresh()
		r.await(controller.Settings, http.StatusNotModified)
		r.expectWell("controller is back")
		r.stop()

		// The controller has changed its mind meanwhile.
		r.configure("two")
		r.start()
		r.await(controller.Settings, http.StatusOK)
		r.expect("changed meanwhile", "two")
		r.expectWell("changed meanwhile")
	})
}

// otherwise is a checkpoint in which the app has another name, under the controller's signature.
func otherwise(b []byte) []byte {
	var c map[string]any
	var e auth.AuthContainer
	if err := json.Unmarshal(b, &c); err != nil {
		panic(err)
	}
	message, err := base64.StdEncoding.DecodeString(c["Message"].(string))
	if err := errors.Join(err, proto.Unmarshal(message, &e)); err != nil {
		panic(err)
	}
	e.ProtectedPayload.Payload = bytes.Replace(e.GetProtectedPayload().GetPayload(), []byte("one"), []byte("two"), 1)
	if c["Message"], err = proto.Marshal(&e); err != nil {
		panic(err)
	}
	if b, err = json.Marshal(c); err != nil {
		panic(err)
	}
	return b
}

// What was kept is believed only if the controller has signed it.
func TestFeedCheckpointForged(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]func([]byte) []byte{
		"cut off": func(b []byte) []byte { return b[:len(b)/2] },
		"empty":   func([]byte) []byte { return nil },
		"other":   otherwise,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.configure("one")
				r.start()
				r.await(controller.Settings, http.StatusOK)
				r.stop()
				if err := r.Stop(); err != nil {
					t.Fatal(err)
				}
				file := r.path("persist/" + eve.AgentFeed + "/controller/checkpoint.json")
				before := readFile(t, file)
				after := forge(before)
				if bytes.Equal(before, after) {
					t.Fatalf("%s is as it was: %s", file, before)
				}
				if err := os.WriteFile(file, after, 0o600); err != nil {
					t.Fatal(err)
				}
				r.start()
				synctest.Wait()
				r.expect("forged")
				r.expectTold("forged", "was kept", 1)
				if err := r.Controller.Start(); err != nil {
					t.Fatal(err)
				}
				r.await(controller.Settings, http.StatusOK)
				r.expect("controller is back", "one")
				r.expectWell("controller is back")
			})
		})
	}
}

// A token that does not count any more is fetched anew, and nobody has to know.
func TestFeedTokenLost(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.configure("one")
		r.start()
		r.await(controller.Settings, http.StatusOK)
		if err := r.ExpireToken(r.Devices()[0].UUID); err != nil {
			t.Fatal(err)
		}
		r.configure("two")
		r.await(controller.Settings, http.StatusForbidden)
		r.await(controller.Attest, http.StatusCreated)
		r.await(controller.Settings, http.StatusOK)
		r.expect("new token", "two")
		r.expectWell("new token")
		if told := r.told(); len(told) != 0 {
			t.Errorf("log: %q", told)
		}
		// One that never counts is a problem, and no loop.
		r.Vary(controller.Settings, controller.Status(http.StatusForbidden))
		r.fresh()
		r.await(controller.Settings, http.StatusForbidden)
		r.await(controller.Settings, http.StatusForbidden)
		r.expect("refused", "two")
		r.expectTold("refused", "403", 1)
		n := len(r.Requests())
		r.await(controller.Settings, http.StatusForbidden)
		if d := len(r.Requests()) - n; d > 5 {
			t.Errorf("%d requests in one round", d)
		}
	})
}

// A controller that does not expect the device refuses it, until it does.
func TestFeedNotExpected(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.Vary(controller.Register, controller.Status(http.StatusForbidden))
		r.configure("one")
		r.start()
		for range 2 {
			r.await(controller.Register, http.StatusForbidden)
			r.expectTold("not expected", "register", 1)
		}
		r.Vary(controller.Register)
		r.await(controller.Settings, http.StatusOK)
		r.expect("expected", "one")
		r.expectWell("expected")
	})
}

// A controller that has no configuration yet is asked again at the usual times.
func TestFeedNoConfig(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start()
		r.await(controller.Settings, http.StatusNotFound)
		r.expect("none")
		start := time.Now()
		r.await(controller.Settings, http.StatusNotFound)
		if d := time.Since(start); d > feed.DefaultInterval {
			t.Errorf("asked again after %v", d)
		}
		r.configure("one")
		r.await(controller.Settings, http.StatusOK)
		r.expect("there is one", "one")
		r.expectWell("there is one")
	})
}

// An answer that does not come keeps nothing from going on.
func TestFeedHeld(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.configure("one")
		r.start()
		r.await(controller.Settings, http.StatusOK)
		r.configure("two")
		never := make(chan struct{})
		r.Vary(controller.Settings, controller.Hold(never))
		r.fresh()
		r.await(controller.Settings, 0)
		r.expect("held", "one")
		r.expectTold("held", "not reached", 1)
		r.Vary(controller.Settings)
		r.await(controller.Settings, http.StatusOK)
		r.expect("let go", "two")
		r.expectWell("let go")
	})
}

// The configuration says how often it is asked for, and devices do not all ask at the same time.
func TestFeedInterval(t *testing.T) {
	inBubble(t, func(r *rig) {
		cfg := r.configOf("one")
		cfg.ConfigItems = []*config.ConfigItem{{Key: "timer.config.interval", Value: "600"}}
		r.setConfig(cfg)
		r.start()
		r.await(controller.Settings, http.StatusOK)
		var waits []time.Duration
		for range 10 {
			start := time.Now()
			r.await(controller.Settings, http.StatusNotModified)
			waits = append(waits, time.Since(start))
		}
		slices.Sort(waits)
		if waits[0] < 3*time.Minute || waits[9] > 10*time.Minute || waits[0] == waits[9] {
			t.Errorf("it waits %v", waits)
		}
	})
}

// Version 1 has the connection for proof.
func TestFeedVersion1(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.Add(uuid.New(), mustParse(t, r.deviceCert().Certificate[0]))
		r.configure("one")
		r.api = feed.V1
		r.start()
		rq := r.await(controller.Settings, http.StatusOK)
		if rq.Version != 1 {
			t.Errorf("version %d", rq.Version)
		}
		r.expect("at first", "one")
		r.expectWell("at first")
		r.await(controller.Settings, http.StatusNotModified)
		r.configure("two")
		r.await(controller.Settings, http.StatusOK)
		r.expect("changed", "two")
		r.Vary(controller.Settings, controller.Garbage())
		r.configure("three")
		r.fresh()
		r.await(controller.Settings, http.StatusOK)
		r.expect("garbage", "two")
		r.stop()
		if err := r.Stop(); err != nil {
			t.Fatal(err)
		}
		r.start()
		synctest.Wait()
		r.expect("controller is away", "two")
	})
}

// TestFeedTLS is about the connection, with what is in the device's files: the server has to be the controller's.
func TestFeedTLS(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		forge func(t *testing.T, root string)
		api   int
		wrong string
	}{
		"version 2": {api: feed.V2},
		"version 1": {api: feed.V1},
		"other root": {
			forge: func(t *testing.T, root string) {
				t.Helper()
				other, err := controller.NewPKI()
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(root+"/config/root-certificate.pem", other.Root.File(), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			wrong: "certificate signed by unknown authority",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := controller.Start(t, controller.Config{})
			root := t.TempDir()
			if err := c.Provision(root, serial); err != nil {
				t.Fatal(err)
			}
			if tt.forge != nil {
				tt.forge(t, root)
			}
			if err := c.SetConfig(uuid.Nil, &config.EdgeDevConfig{DeviceName: "one"}); err != nil {
				t.Fatal(err)
			}
			c.Add(uuid.New(), mustParse(t, pemDER(t, readFile(t, root+"/config/device.cert.pem"))))
			log, hook := test.NewNullLogger()
			log.SetOutput(io.Discard)
			f, err := feed.New(feed.Config{Driver: &memory.Driver{}, Log: log, Root: root, Server: c.Addr(), API: tt.api})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- f.Run(ctx) }()
			<-f.Ready()
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			told := "" // that is wrong
			for _, e := range hook.AllEntries() {
				if e.Level > logrus.WarnLevel {
					continue
				}
				line, err := e.String()
				if err != nil {
					t.Fatal(err)
				}
				told += line
			}
			if (told == "") != (tt.wrong == "") || !strings.Contains(told, tt.wrong) {
				t.Errorf("log: %s", told)
			}
			if _, _, err := c.Wait(canceled(t), 0, controller.Settings, http.StatusOK); (err == nil) != (tt.wrong == "") {
				t.Errorf("requests: %v", c.Requests())
			}
		})
	}
}

// canceled is a context in which nothing is waited for.
func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pemDER(t *testing.T, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("not a PEM file")
	}
	return block.Bytes
}

func mustParse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
