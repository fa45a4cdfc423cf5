// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/eve"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/pkg/devicekey"
)

const (
	signer     = "/eve/v1/tpm/signer"
	activation = "/eve/v1/tpm/activatecredential/" // as EVE needs it
	maxSigned  = 65535
)

var _ eve.Keys = (*devicekey.Keys)(nil)

// fakeKeys say what they were told, or fail.
type fakeKeys struct{ err error }

func (k fakeKeys) Sign(payload []byte) ([]byte, error) {
	if k.err != nil {
		return nil, k.err
	}
	return append([]byte("signed:"), payload...), nil
}

func (k fakeKeys) Credential() (ek, aik, aikName []byte, err error) {
	return []byte("the ek"), []byte("the aik"), []byte("its name"), k.err
}

func (k fakeKeys) Activate(challenge, encrypted, data []byte) (secret, signature []byte, err error) {
	return fmt.Appendf(nil, "%s+%s", challenge, encrypted), fmt.Appendf(nil, "sig:%s", data), k.err
}

func TestTPM(t *testing.T) {
	t.Parallel()
	const failed = "500 \n" + `{"message": "Operation failed"}`
	for _, tt := range []struct {
		name, method, path, body string
		keys                     error
		want                     string   // status and type, then the body, if any
		counted                  []string // events
		fault                    string   // what the log has; "" for nothing
	}{
		{
			"sign", "POST", signer, "payload", nil,
			"200 application/x-proto-binary\nsigned:payload", []string{"eve_signed"}, "",
		},
		{"sign nothing", "POST", signer, "", nil, "200 application/x-proto-binary\nsigned:", []string{"eve_signed"}, ""},
		{
			"sign as much as is signed", "POST", signer, strings.Repeat("x", maxSigned), nil,
			"200 application/x-proto-binary\nsigned:" + strings.Repeat("x", maxSigned), []string{"eve_signed"}, "",
		},
		{"sign too much", "POST", signer, strings.Repeat("x", maxSigned+1), nil, "400 \nAt most 65535 bytes are signed.\n", nil, ""},
		{
			"sign without a key", "POST", signer, "payload", errors.New("no key at /config"),
			"500 \n500 Internal Server Error\n", nil, "sign for a guest: no key at /config",
		},
		{"read what is signed", "GET", signer, "", nil, "405 \n405 Method Not Allowed\n", nil, ""},
		{
			"what a challenge is made of", "GET", activation, "", nil,
			"200 application/json\n" + `{"ek":"dGhlIGVr","aikpub":"dGhlIGFpaw==","aikname":"aXRzIG5hbWU="}`, nil, "",
		},
		{"no TPM to challenge", "GET", activation, "", errors.New("no TPM"), failed, nil, "tell a guest the node's keys: no TPM"},
		{
			"a challenge", "POST", activation, `{"data":"ZGF0YQ==","cred":"Y3JlZA==","secret":"c2VjcmV0"}`, nil,
			"200 application/json\n" + `{"secret":"Y3JlZCtzZWNyZXQ=","sig":"c2lnOmRhdGE="}`, []string{"eve_activated"}, "",
		},
		{
			"without the slash", "POST", strings.TrimSuffix(activation, "/"), `{"data":"","cred":"Y3JlZA==","secret":"c2VjcmV0"}`, nil,
			"200 application/json\n" + `{"secret":"Y3JlZCtzZWNyZXQ=","sig":"c2lnOg=="}`, []string{"eve_activated"}, "",
		},
		{
			"a challenge that the TPM refuses", "POST", activation, `{}`, errors.New("TPM_RC_INTEGRITY"),
			failed, nil, "answer a guest's challenge: TPM_RC_INTEGRITY",
		},
		{"a challenge that is no JSON", "POST", activation, `cred=`, nil, failed, nil, "read a guest's challenge: invalid character"},
		{"a challenge that is no base64", "POST", activation, `{"cred":"!"}`, nil, failed, nil, "read a guest's challenge: illegal base64"},
		{"no challenge", "POST", activation, ``, nil, failed, nil, "read a guest's challenge: unexpected end"},
		{
			"a challenge that is too large", "POST", activation, strings.Repeat(" ", maxSigned-1) + "{}", nil,
			"400 \n" + `{"message": "Operation failed"}`, nil, "",
		},
		{"change a credential", "PUT", activation, "", nil, "405 \n405 Method Not Allowed\n", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := proving(fakeKeys{tt.keys})
			a := g.Ask(tt.method, tt.path, tt.body)
			if a == nil {
				t.Fatal("no answer")
			}
			if got := fmt.Sprintf("%d %s\n%s", a.Status, a.Type, a.Body); got != tt.want {
				t.Errorf("answer is\n%s\nwant\n%s", got, tt.want)
			}
			if fault := fmt.Sprint(a.Err); (a.Err == nil) != (tt.fault == "") || !strings.Contains(fault, tt.fault) && tt.fault != "" {
				t.Errorf("log has %v, want %q", a.Err, tt.fault)
			}
			if !slices.Equal(g.Counted, tt.counted) {
				t.Errorf("counted %q, want %q", g.Counted, tt.counted)
			}
		})
	}
}

// proving is a guest of a node with keys.
func proving(keys eve.Keys) *dialecttest.Guest {
	return &dialecttest.Guest{
		Guard:    eve.Dialect(eve.Config{Keys: keys}).At(dialect.Metadata).Guard,
		Instance: &instance.Instance{UUID: "2f6d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c01"},
	}
}

func TestNoKeys(t *testing.T) {
	t.Parallel()
	g := proving(nil)
	for _, path := range []string{signer, activation} {
		if a := g.Ask("POST", path, "{}"); a != nil {
			t.Errorf("%s of a node without keys is answered: %+v", path, a)
		}
	}
}

// A guest that stops in the middle of what it sends gets nothing signed.
func TestBrokenOff(t *testing.T) {
	t.Parallel()
	guard := proving(fakeKeys{}).Guard
	for path, want := range map[string]int{signer: http.StatusBadRequest, activation: http.StatusInternalServerError} {
		a := guard(&dialect.Request{
			Instance: &instance.Instance{UUID: "one"}, Method: "POST", Path: strings.Trim(path, "/"),
			Body:  io.MultiReader(strings.NewReader("{"), iotest.ErrReader(io.ErrUnexpectedEOF)),
			Count: func(event string) { t.Errorf("%s: counted %s", path, event) },
		})
		if a == nil || a.Status != want {
			t.Errorf("%s: answer %+v, want status %d", path, a, want)
		}
	}
}

// The keys are lent to each guest in its measure: what one uses up is not another's.
func TestKeysAreLimited(t *testing.T) {
	t.Parallel()
	g := proving(fakeKeys{})
	ask := func(uuid, method, path string) *dialect.Answer {
		g.Instance = &instance.Instance{UUID: uuid}
		return g.Ask(method, path, "{}")
	}
	start, allowed := time.Now(), 0
	greed := func(i int) {
		if a := ask("greedy", "POST", []string{signer, activation}[i%2]); a.Status == http.StatusOK {
			allowed++
		}
	}
	for i := range 30 {
		greed(i)
	}
	for i := range 200 { // so many that guests are forgotten, but not who has used up what is his
		if a := ask(fmt.Sprintf("modest-%d", i), "GET", activation); a.Status != http.StatusOK {
			t.Fatalf("guest %d: status %d", i, a.Status)
		}
		greed(i)
	}
	if most := 11 + int(time.Since(start).Seconds()); allowed < 10 || allowed > most {
		t.Errorf("%d requests of one guest were answered, want from 10 to %d", allowed, most)
	}
	refused := ask("greedy", "GET", activation)
	if refused.Status != http.StatusTooManyRequests || refused.Header["Retry-After"] != "1" {
		t.Errorf("the greedy guest's answer is %+v, want 429 with Retry-After", refused)
	}
}

// FuzzActivate holds that whatever a guest sends is answered, in one of EVE's ways.
func FuzzActivate(f *testing.F) {
	for _, body := range []string{
		`{"data":"ZGF0YQ==","cred":"Y3JlZA==","secret":"c2VjcmV0"}`, `{"data":null}`, `{"cred":[1,2]}`, `{`, `[]`, `{"secret":"\ud800"}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		a := proving(fakeKeys{}).Ask("POST", activation, body)
		switch {
		case a == nil:
			t.Fatal("no answer")
		case a.Status == http.StatusOK && a.Type == "application/json" && a.Err == nil:
		case a.Status == http.StatusInternalServerError && a.Err != nil:
		case a.Status == http.StatusBadRequest && len(body) > maxSigned:
		default:
			t.Errorf("answer is %+v", a)
		}
	})
}
