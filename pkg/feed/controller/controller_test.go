// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"go.uber.org/goleak"

	"github.com/lf-edge/eve-api/go/auth"
	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/feed/controller"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
)

const (
	deviceID = "69ea1697-f9d8-4e01-9ab7-1cdcdd210e36"
	appID    = "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a device and its controller, in a bubble of time.
type world struct {
	*testing.T
	root   identity
	signer identity // the controller's first ones
	keys   identity
	server *server
	dir    string // the device's
	driver *memory.Driver
	log    *logtest.Hook
	cfg    controller.Config
	end    func()
}

// inWorld runs a test with a device that the controller knows, but has no configuration for.
func inWorld(t *testing.T, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newWorld(t)) })
}

func newWorld(t *testing.T) *world {
	t.Helper()
	later := time.Now().AddDate(1, 0, 0)
	w := &world{T: t, root: identity{}.issue(t, "root", later), dir: t.TempDir(), driver: &memory.Driver{}}
	w.signer, w.keys = w.root.issue(t, "signing", later), w.root.issue(t, "encrypt", later)
	device := identity{}.issue(t, "device", later)
	w.write("config/device.cert.pem", device.certPEM())
	w.write("config/device.key.pem", device.keyPEM(t))
	w.write("config/root-certificate.pem", w.root.certPEM())
	w.server = &server{
		t: t, device: device, signer: w.signer, uuid: deviceID, token: "token", answers: map[string]answer{},
		offered: w.chain(w.signer, w.keys),
	}
	log, hook := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	w.log = hook
	w.cfg = controller.Config{Driver: w.driver, Log: log, Root: w.dir, Server: "controller.example.com", Transport: w.server}
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name string, content []byte) {
	w.Helper()
	if err := os.MkdirAll(filepath.Dir(w.path(name)), 0o700); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(w.path(name), content, 0o600); err != nil {
		w.Fatal(err)
	}
}

// chain is a ZControllerCert with a certificate that signs and others for the exchange of keys.
func (w *world) chain(signer identity, keys ...identity) []byte {
	w.Helper()
	m := &certs.ZControllerCert{Certs: []*certs.ZCert{signer.zcert(certs.ZCertType_CERT_TYPE_CONTROLLER_SIGNING)}}
	for _, k := range keys {
		m.Certs = append(m.Certs, k.zcert(certs.ZCertType_CERT_TYPE_CONTROLLER_ECDH_EXCHANGE))
	}
	return marshal(w, m)
}

// start runs a feed until stop, and lets it do what it does at once.
func (w *world) start() {
	w.Helper()
	select {
	case <-w.begin().Ready():
	default:
		w.Error("not ready after the first attempt")
	}
}

// begin is start, for a feed that may be waiting for an answer.
func (w *world) begin() *controller.Feed {
	w.Helper()
	f, err := controller.New(w.cfg)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	w.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("run: %v", err)
		}
	})
	w.Cleanup(w.end)
	synctest.Wait()
	return f
}

// stop ends the feed and leaves what it has published.
func (w *world) stop() { w.end() }

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	time.Sleep(d) // of the bubble's time: the test does not wait
	synctest.Wait()
}

// give makes the controller have a configuration.
func (w *world) give(response *config.ConfigResponse) {
	w.server.set(func() { w.server.response = response })
}

func (w *world) vary(action string, a answer) {
	w.server.set(func() { w.server.answers[action] = a })
}

// table reads what is published in a topic.
func table[T any](w *world) map[string]T {
	w.Helper()
	got := map[string]T{}
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan error, 1)
	go func() {
		done <- pubsub.Subscribe(ctx, w.driver, pubsub.TopicOf[T](eve.AgentFeed), func(e pubsub.Event[T]) {
			if e.Kind == pubsub.Create {
				got[e.Key] = e.Value
			}
		})
	}()
	synctest.Wait()
	cancel()
	if err := <-done; err != nil {
		w.Fatal(err)
	}
	return got
}

func (w *world) status() eve.ControllerStatus { return table[eve.ControllerStatus](w)[eve.GlobalKey] }

// apps are the names of the apps that are published.
func (w *world) apps() string {
	var names []string
	for _, a := range table[eve.AppInstanceConfig](w) {
		names = append(names, a.DisplayName)
	}
	return strings.Join(names, ", ")
}

func (w *world) certs() []string { return slices.Sorted(maps.Keys(table[eve.ControllerCert](w))) }

// is compares what is, which the first argument names, with what should be.
func (w *world) is(what, want, got any) {
	w.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("%v (-want +got):\n%s", what, diff)
	}
}

// said are the errors in the log since the last call.
func (w *world) said() []string {
	var said []string
	for _, e := range w.log.AllEntries() {
		if err, ok := e.Data[logrus.ErrorKey].(error); ok {
			said = append(said, err.Error())
		}
	}
	w.log.Reset()
	return said
}

const (
	firstRequests = "certs OK, uuid OK, attest OK, attest OK, attest OK, config OK"
	unmodified    = "config Not Modified"
)

func TestFirstConfiguration(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.give(configuration("web", w.keys))
		begin := time.Now()
		w.start()
		w.is("requests", firstRequests, w.server.requests(all))
		w.is("apps", "web", w.apps())
		w.is("status", eve.ControllerStatus{
			Server: "controller.example.com", DeviceUUID: [16]byte(mustHex("69ea1697f9d84e019ab71cdcdd210e36")), APIVersion: 2,
			ConfigHash: "hash of web", ConfigTime: begin.UTC(), LastContact: begin.UTC(),
		}, w.status())
		keys := []string{hex.EncodeToString(w.signer.hash()[:16]), hex.EncodeToString(w.keys.hash()[:16])}
		slices.Sort(keys)
		w.is("certificates", keys, w.certs())
		w.is("the device's certificates", 1, len(table[eve.EdgeNodeCert](w)))
		w.is("what was said", []string(nil), w.said())

		w.pass(time.Minute)
		w.is("requests in a minute", unmodified, w.server.requests(1))
		w.is("contact", true, w.status().LastContact.After(begin))

		w.give(configuration("db", w.keys))
		w.pass(time.Minute)
		w.is("apps after a change", "db", w.apps())
		w.is("hash after a change", "hash of db", w.status().ConfigHash)
	})
}

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// TestInterval: the wait is between 0.3 and 1 of what the configuration says.
func TestInterval(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, item string
		most       time.Duration
	}{
		{"default", "", time.Minute},
		{"configured", "600", 10 * time.Minute},
		{"too short", "1", time.Minute},
		{"too long", "3601", time.Minute},
		{"no number", "often", time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				c := configuration("web", w.keys)
				c.Config.ConfigItems = []*config.ConfigItem{{Key: "other", Value: "7"}, {Key: "timer.config.interval", Value: tt.item}}
				w.give(c)
				w.start()
				w.server.requests(all)
				w.pass(tt.most*3/10 - time.Second)
				w.is("requests before the time", "", w.server.requests(all))
				w.pass(tt.most*7/10 + time.Second)
				w.is("requests within it", unmodified, w.server.requests(1))
			})
		})
	}
}

// TestHeaders: every request has an ID of its own, and says the serials for as long as the device has no UUID.
func TestHeaders(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.Serial, w.cfg.SoftSerial = "S1", "soft"
		w.give(configuration("web", w.keys))
		w.start()
		ids := map[string]bool{}
		for i, h := range w.server.headers {
			ids[h.Get("X-Request-Id")] = true
			named := i < 2 // certs, uuid
			w.is(i, named, h.Get("X-Serial-Number") == "S1" && h.Get("X-Soft-Serial") == "soft")
			w.is(i, i > 0, h.Get("Content-Type") == protobufType)
		}
		w.is("IDs", len(w.server.headers), len(ids))
	})
}

// TestRefused: whatever is wrong with an answer, what was in force stays, and the reason is said once.
func TestRefused(t *testing.T) {
	t.Parallel()
	body := func(change func(w *world, right []byte) []byte) func(*world) answer {
		return func(w *world) answer {
			return func(*http.Response) (*http.Response, error) {
				return reply(http.StatusOK, protobufType, change(w, w.signer.seal(w, marshal(w, configuration("evil", w.keys))))), nil
			}
		}
	}
	status := func(code int) func(*world) answer {
		return func(*world) answer {
			return func(*http.Response) (*http.Response, error) { return refusal(code), nil }
		}
	}
	config := func(c *config.ConfigResponse) func(*world) answer {
		return body(func(w *world, _ []byte) []byte { return w.signer.seal(w, marshal(w, c)) })
	}
	other := configuration("evil", identity{}.issue(t, "any", time.Now().AddDate(1, 0, 0)))
	other.Config.Id.Uuid = appID
	for _, tt := range []struct {
		name   string
		answer func(*world) answer
		want   string
	}{
		{"garbage", body(func(*world, []byte) []byte { return []byte("<html>") }), "ask for the configuration: container: not a message of EVE's API"},
		{"nothing", body(func(*world, []byte) []byte { return nil }), "ask for the configuration: container: there is no message in it"},
		{"truncated", body(func(_ *world, b []byte) []byte { return b[:len(b)-7] }), "ask for the configuration: container: not a message of EVE's API"},
		{"too large", func(*world) answer {
			return func(r *http.Response) (*http.Response, error) {
				r.StatusCode, r.ContentLength = http.StatusOK, 64<<20+1
				return r, nil
			}
		},
			"ask for the configuration: the controller's answer is larger than 67108864 bytes"},
		{"another signature", body(func(w *world, b []byte) []byte {
			var e auth.AuthContainer
			unmarshal(w, b, &e)
			e.SignatureHash[0]++
			return marshal(w, &e)
		}), "ask for the configuration: container: the signature is wrong"},
		{"signed by another one", body(func(w *world, _ []byte) []byte {
			evil := w.root.issue(w, "evil", time.Now().AddDate(1, 0, 0))
			return evil.seal(w, marshal(w, configuration("evil", w.keys)))
		}), "ask for the configuration: container: the sender's certificate is another one"},
		{"in no envelope", body(func(w *world, _ []byte) []byte { return marshal(w, configuration("evil", w.keys)) }), ""},
		{"signed nonsense", body(func(w *world, _ []byte) []byte { return w.signer.seal(w, []byte("<html>")) }), "configuration: not a message of EVE's API"},
		{"no configuration", config(nil), "configuration: there is none in the answer"},
		{"of another device", config(other), `configuration: it is of device "` + appID + `"`},
		{"a page", func(*world) answer {
			return func(*http.Response) (*http.Response, error) {
				return reply(http.StatusOK, "text/html; charset=utf-8", []byte("<html>")), nil
			}
		}, `ask for the configuration: the controller's answer is "text/html", want application/x-proto-binary`},
		{"elsewhere", func(*world) answer {
			return func(*http.Response) (*http.Response, error) {
				r := refusal(http.StatusFound)
				r.Header.Set("Location", "https://evil.example.com/")
				return r, nil
			}
		}, "ask for the configuration: the controller answers 302 Found"},
		{"upgrade", status(http.StatusServiceUnavailable), "ask for the configuration: the controller answers 503 Service Unavailable"},
		{"forbidden", status(http.StatusForbidden), "ask for the configuration: the controller answers 403 Forbidden"},
		{"not found", status(http.StatusNotFound), "ask for the configuration: the controller answers 404 Not Found"},
		{"away", func(*world) answer {
			return func(*http.Response) (*http.Response, error) { return nil, errors.New("connection refused") }
		}, "ask for the configuration: the controller is not reached: connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.give(configuration("web", w.keys))
				w.start()
				w.server.requests(all)
				w.vary("config", tt.answer(w))
				w.pass(10 * time.Minute)
				said := w.said()
				if len(said) != 1 || tt.want != "" && said[0] != tt.want {
					w.Fatalf("said %q, want once %s", said, tt.want)
				}
				w.is("apps", "web", w.apps())
				got := w.status()
				w.is("error", said[0], got.Error)
				w.is("hash", "hash of web", got.ConfigHash)
				w.is("since", true, time.Since(got.ErrorTime) > 8*time.Minute)

				w.vary("config", nil)
				w.pass(10 * time.Minute)
				w.is("error after all is well", eve.ErrorAndTime{}, w.status().ErrorAndTime)
				w.is("apps after all is well", "web", w.apps())
			})
		})
	}
}

// TestBackOff: the longer a controller fails, the less it is asked.
func TestBackOff(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.give(configuration("web", w.keys))
		w.start()
		w.vary("config", func(*http.Response) (*http.Response, error) { return refusal(http.StatusServiceUnavailable), nil })
		w.pass(time.Hour)
		w.server.requests(all)
		w.pass(time.Hour)
		if n := strings.Count(w.server.requests(all), "config"); n < 6 || n > 20 {
			w.Errorf("%d requests in an hour, want one in 3 to 10 minutes", n)
		}
		w.vary("config", nil)
		w.pass(10 * time.Minute)
		w.server.requests(all)
		w.pass(time.Hour)
		if n := strings.Count(w.server.requests(all), "config"); n < 60 || n > 200 {
			w.Errorf("%d requests in an hour when all is well again, want one in 18 to 60 seconds", n)
		}
	})
}

// TestTokenLost: a controller that does not know the integrity token any more is given a new proof.
func TestTokenLost(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.give(configuration("web", w.keys))
		w.start()
		w.server.requests(all)
		w.server.set(func() { w.server.token = "another" })
		w.pass(time.Minute)
		w.is("requests", "config Forbidden, attest OK, attest OK, attest OK, config Not Modified", w.server.requests(5))
		w.is("said", []string(nil), w.said())
	})
}

// TestTooLarge: an answer that does not say how large it is is not read to its end.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.vary("certs", func(*http.Response) (*http.Response, error) {
			return reply(http.StatusOK, protobufType, make([]byte, 1<<20+1)), nil
		})
		w.start()
		w.is("said", []string{"ask for the controller's certificates: the controller's answer is larger than 1048576 bytes"}, w.said())
	})
}

func TestAttestationRefused(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.vary("attest", func(*http.Response) (*http.Response, error) { return w.server.give(nil), nil })
		w.start()
		w.is("said", []string{"attest: the controller does not accept a device without a TPM: Z_ATTEST_RESPONSE_CODE_INVALID"}, w.said())
		w.is("error", true, w.status().Error != "")
	})
}

// TestNoConfiguration: a device without a configuration asks on at the usual times, and who it is now and then.
func TestNoConfiguration(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.start()
		w.is("said", []string{"ask for the configuration: the controller answers 404 Not Found"}, w.said())
		w.server.requests(all)
		w.pass(time.Hour)
		asked := w.server.requests(all)
		if n := strings.Count(asked, "config"); n < 60 || n > 200 {
			w.Errorf("%d requests in an hour, want one in 18 to 60 seconds", n)
		}
		if n := strings.Count(asked, "uuid"); n < 5 || n > 6 {
			w.Errorf("asked %d times in an hour who it is, want once in 10 minutes", n)
		}
		w.give(configuration("web", w.keys))
		w.pass(time.Minute)
		w.is("apps", "web", w.apps())
	})
}

// TestNewName: a device that was made anew at the controller has a new UUID, and another configuration.
func TestNewName(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.give(configuration("web", w.keys))
		w.start()
		c := configuration("db", w.keys)
		c.Config.Id.Uuid = appID
		w.server.set(func() { w.server.uuid, w.server.response = appID, c })
		w.pass(12 * time.Minute)
		w.is("apps", "db", w.apps())
		w.is("name", appID, w.status().DeviceUUID.String())
	})
}

func TestOnboarding(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		onboard := identity{}.issue(w, "onboard", time.Now().AddDate(1, 0, 0))
		w.write("onboard.cert.pem", onboard.certPEM())
		w.write("onboard.key.pem", onboard.keyPEM(w))
		w.server.uuid, w.server.onboard = "", onboard
		w.give(configuration("web", w.keys))
		w.start()
		w.is("not configured", []string{"the controller does not know the device's certificate: the controller answers 401 Unauthorized"}, w.said())
		w.stop()

		w.cfg.OnboardCert, w.cfg.OnboardKey, w.cfg.Serial = w.path("onboard.cert.pem"), w.path("onboard.key.pem"), "S1"
		w.server.requests(all)
		w.start()
		w.is("requests when refused", "certs OK, uuid Unauthorized, register Forbidden", w.server.requests(all))
		w.is("refused", []string{"register the device: the controller answers 403 Forbidden"}, w.said())
		w.server.set(func() { w.server.serial = "S1" })
		w.pass(10 * time.Second)
		w.is("requests", "uuid Unauthorized, register Created, uuid OK, attest OK, attest OK, attest OK, config OK", w.server.requests(all))
		w.is("apps", "web", w.apps())
		w.stop()

		w.vary("register", func(*http.Response) (*http.Response, error) { return refusal(http.StatusConflict), nil })
		w.server.set(func() { w.server.uuid, w.server.serial = "", "" })
		w.start()
		w.is("requests after a conflict", "certs OK, uuid Unauthorized, register Conflict, uuid Unauthorized", w.server.requests(all))
		w.is("conflict", []string{"ask who the device is: the controller answers 401 Unauthorized"}, w.said())
		w.is("apps after a conflict", "web", w.apps())
	})
}

// TestRotation: when the controller has another certificate to sign with, its certificates are asked for once and its
// answer counts. Those that user data is still encrypted with stay, and go when it is not any more.
func TestRotation(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.give(configuration("web", w.keys))
		w.start()
		w.server.requests(all)
		later := time.Now().AddDate(1, 0, 0)
		signer, keys := w.root.issue(w, "signing", later), w.root.issue(w, "encrypt", later)
		second := configuration("db", w.keys)
		w.server.set(func() { w.server.signer, w.server.offered, w.server.response = signer, w.chain(signer, keys), second })
		w.pass(time.Minute)
		w.is("requests", "config OK, certs OK", w.server.requests(2))
		w.is("apps", "db", w.apps())
		names := func(list ...identity) (names []string) {
			for _, i := range list {
				names = append(names, hex.EncodeToString(i.hash()[:16]))
			}
			slices.Sort(names)
			return names
		}
		w.is("certificates", names(signer, keys, w.keys), w.certs())
		w.stop()

		w.vary("certs", func(*http.Response) (*http.Response, error) { return nil, errors.New("away") })
		w.start()
		w.is("certificates of an earlier run", names(signer, keys, w.keys), w.certs())
		w.vary("certs", nil)
		w.give(configuration("cache", keys))
		w.pass(2 * time.Minute)
		w.is("apps when nothing is encrypted with the old one", "cache", w.apps())
		w.is("certificates when nothing is encrypted with the old one", names(signer, keys), w.certs())
		w.is("said", []string{"ask for the controller's certificates: the controller is not reached: away"}, w.said())
	})
}

// TestCertsAreFollowed: new certificates are asked for when the configuration says that there are some, and once a day.
func TestCertsAreFollowed(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.give(configuration("web", w.keys))
		w.start()
		w.server.requests(all)
		keys := w.root.issue(w, "encrypt", time.Now().AddDate(1, 0, 0))
		w.server.set(func() { w.server.offered = w.chain(w.signer, w.keys, keys) })
		c := configuration("db", w.keys)
		c.Config.ControllercertConfighash = "another"
		w.give(c)
		w.pass(time.Minute)
		w.is("requests", "config OK, certs OK", w.server.requests(2))
		w.is("certificates", 3, len(w.certs()))
		w.pass(23 * time.Hour)
		w.is("within a day", 0, strings.Count(w.server.requests(all), "certs"))
		w.pass(2 * time.Hour)
		w.is("after a day", 1, strings.Count(w.server.requests(all), "certs"))
	})
}

// TestBadChain: certificates that do not lead to the root are refused, and the old ones go on to count.
func TestBadChain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		offer      func(w *world, evil, expired identity) []byte
	}{
		{"another root", `certificate 0, "evil": x509: certificate signed by unknown authority`,
			func(w *world, evil, _ identity) []byte { return w.chain(evil, w.keys) }},
		{"expired", `certificate 1, "expired": it is valid from 1999-12-31T23:00:00Z to 2000-01-01T01:00:00Z, which is not now`,
			func(w *world, _, expired identity) []byte { return w.chain(w.signer, expired) }},
		{"none for the exchange of keys", "there is none for the exchange of keys",
			func(w *world, _, _ identity) []byte { return w.chain(w.signer) }},
		{"garbage", "not a message of EVE's API", func(*world, identity, identity) []byte { return []byte("<html>") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.give(configuration("web", w.keys))
				w.start()
				evil := identity{}.issue(w, "ca", time.Now().AddDate(1, 0, 0)).issue(w, "evil", time.Now().AddDate(1, 0, 0))
				expired := w.root.issue(w, "expired", time.Now().Add(time.Hour))
				w.pass(2 * time.Hour)
				w.server.set(func() { w.server.offered = tt.offer(w, evil, expired) })
				w.pass(24 * time.Hour)
				said := w.said()
				if len(said) != 1 || !strings.HasPrefix(said[0], "ask for the controller's certificates: controller's certificates: "+tt.want) {
					w.Errorf("said %q, want %s", said, tt.want)
				}
				w.give(configuration("db", w.keys))
				w.pass(time.Hour)
				w.is("apps", "db", w.apps())
				w.stop()

				w.server.requests(all)
				w.start() // what was kept still counts
				w.is("apps of the next run", "db", w.apps())
			})
		})
	}
}

// TestAwayAtStart: a run begins with what the last one had, and says so until the controller has confirmed it.
func TestAwayAtStart(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		away := func(*http.Response) (*http.Response, error) { return nil, errors.New("connection refused") }
		w.vary("certs", away)
		w.start()
		w.is("without a file", "", w.apps())
		w.is("status without a file", false, w.status().FromFile)
		w.stop()

		w.vary("certs", nil)
		w.give(configuration("web", w.keys))
		received := time.Now().UTC()
		w.start()
		w.stop()
		w.said()

		w.pass(time.Hour)
		w.driver = &memory.Driver{} // the device was off
		w.cfg.Driver = w.driver
		w.vary("certs", away)
		w.start()
		w.is("apps", "web", w.apps())
		got := w.status()
		w.is("said", []string{"ask for the controller's certificates: the controller is not reached: connection refused"}, w.said())
		w.is("status", []any{true, "hash of web", received, deviceID, time.Time{}},
			[]any{got.FromFile, got.ConfigHash, got.ConfigTime, got.DeviceUUID.String(), got.LastContact})

		w.vary("certs", nil)
		w.server.requests(all)
		w.pass(10 * time.Second)
		w.is("requests", "certs OK, uuid OK, attest OK, attest OK, attest OK, config Not Modified", w.server.requests(all))
		w.is("status when confirmed", false, w.status().FromFile)
	})
}

// TestClockIsSetLater: what was kept is looked at again when the time is right.
func TestClockIsSetLater(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.give(configuration("web", w.keys))
		w.start()
		w.stop()
		w.driver = &memory.Driver{}
		w.cfg.Driver = w.driver
		w.vary("certs", func(*http.Response) (*http.Response, error) { return nil, errors.New("away") })
		set := time.Now().Add(time.Minute)
		w.cfg.Now = func() time.Time {
			if time.Now().Before(set) {
				return time.Unix(0, 0)
			}
			return time.Now()
		}
		w.start()
		w.is("apps in 1970", "", w.apps())
		w.pass(10 * time.Minute)
		w.is("apps", "web", w.apps())
	})
}

const stateFile = "persist/mdfeed/controller/checkpoint.json"

// TestKept: what was kept is checked like an answer.
func TestKept(t *testing.T) {
	t.Parallel()
	replace := func(from, to string) func(*world, []byte) []byte {
		return func(_ *world, b []byte) []byte { return []byte(strings.Replace(string(b), from, to, 1)) }
	}
	for _, tt := range []struct {
		name, want string
		change     func(*world, []byte) []byte
	}{
		{"untouched", "", func(_ *world, b []byte) []byte { return b }},
		{"cut off", "it does not decode", func(_ *world, b []byte) []byte { return b[:len(b)/2] }},
		{"empty", "it does not decode", func(*world, []byte) []byte { return nil }},
		{"an empty object", "it came by version 0 of the API", func(*world, []byte) []byte { return []byte("{}") }},
		{"of another version of the API", "it came by version 1 of the API", replace(`"API":2`, `"API":1`)},
		{"message tampered with", "container: ", func(w *world, b []byte) []byte {
			i := strings.Index(string(b), `"Message":"`) + 40
			b[i] ^= 1
			return b
		}},
		{"certificates of another root", "controller's certificates: ", func(w *world, b []byte) []byte {
			w.write("config/root-certificate.pem", identity{}.issue(w, "root", time.Now().AddDate(1, 0, 0)).certPEM())
			return b
		}},
		{"no root", "root certificate: open ", func(w *world, b []byte) []byte {
			if err := os.Remove(w.path("config/root-certificate.pem")); err != nil {
				w.Fatal(err)
			}
			return b
		}},
		{"expired", "controller's certificates: ", func(w *world, b []byte) []byte {
			w.pass(400 * 24 * time.Hour)
			return b
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.give(configuration("web", w.keys))
				w.start()
				w.stop()
				content, err := os.ReadFile(w.path(stateFile))
				if err != nil {
					w.Fatal(err)
				}
				// Others have folders on the way there, and pass.
				for _, of := range []struct {
					name string
					mode os.FileMode
				}{
					{stateFile, 0o600},
					{"persist/mdfeed/controller", os.ModeDir | 0o700},
					{"persist/mdfeed", os.ModeDir | 0o755},
				} {
					info, err := os.Stat(w.path(of.name))
					if err != nil {
						w.Fatal(err)
					}
					w.is("mode of "+of.name, of.mode, info.Mode())
				}
				w.write(stateFile, tt.change(w, content))
				w.write("persist/mdfeed/controller/.checkpoint-12345", []byte("a crash left me"))

				w.driver = &memory.Driver{}
				w.cfg.Driver = w.driver
				w.vary("certs", func(*http.Response) (*http.Response, error) { return nil, errors.New("away") })
				w.start()
				said := w.said()
				want := "the configuration that was kept in " + w.path(stateFile) + ": " + tt.want
				if tt.want == "" {
					w.is("apps", "web", w.apps())
					w.is("said", 1, len(said))
				} else if len(said) != 2 || !strings.HasPrefix(said[0], want) {
					w.Errorf("said %q, want %s", said, want)
				}
				w.is("published", tt.want == "", w.apps() != "")
				w.is("from file", tt.want == "", w.status().FromFile)
				if _, err := os.Stat(w.path("persist/mdfeed/controller/.checkpoint-12345")); !errors.Is(err, os.ErrNotExist) {
					w.Errorf("what a crash left is still there: %v", err)
				}
				w.pass(time.Hour)
				w.is("said again", []string(nil), w.said())
			})
		})
	}
}

// deaf is a driver that publishes nothing: what a run does before it is killed.
type deaf struct{ memory.Driver }

type deafTable struct{ pubsub.RawPublisher }

func (d *deaf) Publish(t pubsub.Table) (pubsub.RawPublisher, error) {
	raw, err := d.Driver.Publish(t)
	return deafTable{raw}, err
}

func (deafTable) Set(string, []byte) error { return errors.New("disk is full") }

// TestKilledBeforePublishing: what was kept and not published is published by the next run.
func TestKilledBeforePublishing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.give(configuration("web", w.keys))
		w.cfg.Driver = &deaf{}
		w.start()
		w.stop()
		w.cfg.Driver = w.driver
		w.vary("certs", func(*http.Response) (*http.Response, error) { return nil, errors.New("away") })
		w.start()
		w.is("apps", "web", w.apps())
	})
}

// TestNotKept: a configuration that cannot be kept is in force all the same, and kept when it can be.
func TestNotKept(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.write("persist/mdfeed", nil)
		w.give(configuration("web", w.keys))
		w.start()
		w.is("apps", "web", w.apps())
		w.is("said, of reading and of writing", 2, len(w.said()))
		w.is("error", "keep the configuration in "+w.path(stateFile), strings.Split(w.status().Error, ":")[0])
		if err := os.Remove(w.path("persist/mdfeed")); err != nil {
			w.Fatal(err)
		}
		w.pass(time.Minute)
		if _, err := os.Stat(w.path(stateFile)); err != nil {
			w.Error(err)
		}
		w.is("error", "", w.status().Error)
	})
}

// TestHashUnchanged: an answer with the hash of what is in force changes nothing, whatever is in it.
func TestHashUnchanged(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.give(configuration("web", w.keys))
		w.start()
		c := configuration("db", w.keys)
		c.ConfigHash = "hash of web"
		w.vary("config", func(*http.Response) (*http.Response, error) { return w.server.give(marshal(w, c)), nil })
		w.pass(time.Minute)
		w.is("apps", "web", w.apps())
		w.is("said", []string(nil), w.said())
	})
}

func TestFilesMissing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ file, want string }{
		{"config/device.cert.pem", "device key: "},
		{"config/root-certificate.pem", "ask for the controller's certificates: root certificate: "},
	} {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				content, err := os.ReadFile(w.path(tt.file))
				if err != nil {
					w.Fatal(err)
				}
				if err := os.Remove(w.path(tt.file)); err != nil {
					w.Fatal(err)
				}
				w.give(configuration("web", w.keys))
				w.start()
				if said := w.said(); len(said) != 1 || !strings.HasPrefix(said[0], tt.want) || !strings.Contains(said[0], w.path(tt.file)) {
					w.Errorf("said %q, want %s and the file", said, tt.want)
				}
				w.write(tt.file, content)
				w.pass(10 * time.Second)
				w.is("apps", "web", w.apps())
			})
		})
	}
}

// TestDeviceElsewhere: the device's certificate and key may be in other files than EVE's.
func TestDeviceElsewhere(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.DeviceCert, w.cfg.DeviceKey, w.cfg.RootCA = w.path("a.pem"), w.path("b.pem"), w.path("c.pem")
		for from, to := range map[string]string{
			"config/device.cert.pem": w.cfg.DeviceCert, "config/device.key.pem": w.cfg.DeviceKey, "config/root-certificate.pem": w.cfg.RootCA,
		} {
			if err := os.Rename(w.path(from), to); err != nil {
				w.Fatal(err)
			}
		}
		w.give(configuration("web", w.keys))
		w.start()
		w.is("apps", "web", w.apps())
		w.is("the device's certificates", 1, len(table[eve.EdgeNodeCert](w)))
		w.is("said", []string(nil), w.said())
	})
}

func TestWithdraw(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.Withdraw = true
		w.give(configuration("web", w.keys))
		w.start()
		w.stop()
		for _, topic := range []pubsub.Table{
			pubsub.TopicOf[eve.AppInstanceConfig](eve.AgentFeed).Table, pubsub.TopicOf[eve.ControllerStatus](eve.AgentFeed).Table,
		} {
			raw, err := w.driver.Publish(topic)
			if err != nil {
				w.Fatal(err)
			}
			w.is(topic.Topic, 0, len(raw.Values()))
			if err := raw.Close(); err != nil {
				w.Fatal(err)
			}
		}
	})
}

func TestInUse(t *testing.T) {
	t.Parallel()
	for _, table := range []pubsub.Table{
		pubsub.TopicOf[eve.AppInstanceConfig](eve.AgentFeed).Table, pubsub.TopicOf[eve.ControllerStatus](eve.AgentFeed).Table,
	} {
		t.Run(table.Topic, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				raw, err := w.driver.Publish(table)
				if err != nil {
					w.Fatal(err)
				}
				f, err := controller.New(w.cfg)
				if err != nil {
					w.Fatal(err)
				}
				if err := f.Run(w.Context()); !errors.Is(err, pubsub.ErrInUse) {
					w.Errorf("got %v, want %v", err, pubsub.ErrInUse)
				}
				if err := raw.Close(); err != nil {
					w.Fatal(err)
				}
				w.start() // what was opened before is free again
			})
		})
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	log, _ := logtest.NewNullLogger()
	for _, tt := range []struct {
		name   string
		change func(*controller.Config)
		want   string
	}{
		{"a host", func(*controller.Config) {}, ""},
		{"a port", func(c *controller.Config) { c.Server = "10.0.0.1:8443" }, ""},
		{"IPv6", func(c *controller.Config) { c.Server = "[fd00::1]:8443" }, ""},
		{"a URL", func(c *controller.Config) { c.Server = "https://controller.example.com/" }, ""},
		{"no server", func(c *controller.Config) { c.Server = "" }, `server "" is no host, host:port or https URL of one`},
		{"no TLS", func(c *controller.Config) { c.Server = "http://c" }, `server "http://c" is no host, host:port or https URL of one`},
		{"a path", func(c *controller.Config) { c.Server = "c/api" }, `server "c/api" is no host, host:port or https URL of one`},
		{"a password", func(c *controller.Config) { c.Server = "https://a:b@c" }, "server: a user and a password do not belong into its URL"},
		{"no driver", func(c *controller.Config) { c.Driver = nil }, "it needs a driver and a log"},
		{"version 3", func(c *controller.Config) { c.API = 3 }, "there is no version 3 of the API"},
		{"half a device", func(c *controller.Config) { c.DeviceCert = "x" }, "the device's certificate and key go together"},
		{"half an onboarding", func(c *controller.Config) { c.OnboardKey = "x" }, "the onboarding certificate and key go together"},
		{"onboarding in version 1", func(c *controller.Config) { c.API, c.OnboardKey, c.OnboardCert = 1, "x", "y" }, "onboarding needs version 2 of the API"},
		{"negative interval", func(c *controller.Config) { c.Interval = -1 }, "interval -1ns is shorter than 100ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := controller.Config{Driver: &memory.Driver{}, Log: log, Server: "controller.example.com"}
			tt.change(&cfg)
			_, err := controller.New(cfg)
			got := ""
			if err != nil {
				got = strings.TrimPrefix(err.Error(), "configure controller feed: ")
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
