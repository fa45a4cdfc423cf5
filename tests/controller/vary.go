// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"

	"github.com/lf-edge/eve-api/go/auth"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Variation is what can go wrong with an answer: it stands between the request and the handler that would answer it as
// it should be.
type Variation func(http.Handler) http.Handler

// Vary has the answers to an action spoiled, by the last of the variations last; none ends it.
func (c *Controller) Vary(action string, v ...Variation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.variations[action] = slices.Clone(v)
}

func (c *Controller) variationsOf(action string) []Variation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.variations[action]
}

// Status refuses with a status, whatever is asked.
func Status(status int) Variation {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeError(w, status) })
	}
}

// Drop ends the connection without an answer.
func Drop() Variation {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	}
}

// Hold answers when the channel is closed, if whoever asked is still there.
func Hold(until <-chan struct{}) Variation {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-until:
				next.ServeHTTP(w, r)
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			}
		})
	}
}

// Body changes the bytes of answers that have any. The status stays.
func Body(change func([]byte) []byte) Variation {
	return rewrite(func(w http.ResponseWriter, status int, body []byte) {
		if len(body) > 0 {
			body = change(body)
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	})
}

// Garbage replaces answers by bytes that are no envelope.
func Garbage() Variation {
	return Body(func([]byte) []byte { return []byte("<html><body>Please log in to this hotel's network</body></html>") })
}

// Huge makes answers n bytes longer, with a field at their end that no envelope has: what comes before it is as it
// should be.
func Huge(n int) Variation {
	return Body(func(b []byte) []byte {
		const unknown = 15
		return protowire.AppendBytes(protowire.AppendTag(b, unknown, protowire.BytesType), make([]byte, n))
	})
}

// CutOff ends the connection in the middle of answers.
func CutOff() Variation {
	return rewrite(func(w http.ResponseWriter, status int, body []byte) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
}

// Truncated leaves the end of answers out, and says so to nobody.
func Truncated() Variation {
	return Body(func(b []byte) []byte { return b[:len(b)/2] })
}

// Envelope changes answers that have an envelope, after it was signed.
func Envelope(change func(*auth.AuthContainer)) Variation {
	return Body(func(b []byte) []byte {
		var e auth.AuthContainer
		if err := proto.Unmarshal(b, &e); err != nil {
			return b // it has none
		}
		change(&e)
		return must(marshal(&e))
	})
}

// WrongSignature has answers signed, in the name of the controller, by somebody else.
func WrongSignature(by Identity) Variation {
	return Envelope(func(e *auth.AuthContainer) {
		e.SignatureHash = must(seal(e.GetProtectedPayload().GetPayload(), by)).GetSignatureHash()
	})
}

// SignedBy has answers signed by another identity, in its own name.
func SignedBy(by Identity) Variation {
	return Envelope(func(e *auth.AuthContainer) {
		other := must(seal(e.GetProtectedPayload().GetPayload(), by))
		e.SenderCertHash, e.SignatureHash = other.GetSenderCertHash(), other.GetSignatureHash()
	})
}

// Payload changes the message that is in an answer, which is signed after that.
func (c *Controller) Payload(change func([]byte) []byte) Variation {
	return Envelope(func(e *auth.AuthContainer) {
		c.mu.Lock()
		signer := c.signer
		c.mu.Unlock()
		anew := must(seal(change(e.GetProtectedPayload().GetPayload()), signer))
		proto.Reset(e)
		proto.Merge(e, anew)
	})
}

// rewrite lets the handler answer, and write something else.
func rewrite(write func(w http.ResponseWriter, status int, body []byte)) Variation {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			draft := &draft{header: w.Header()}
			next.ServeHTTP(draft, r)
			w.Header().Del("Content-Length")
			write(w, draft.status, draft.body.Bytes())
		})
	}
}

// draft is an answer that is not on its way yet.
type draft struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (d *draft) Header() http.Header         { return d.header }
func (d *draft) WriteHeader(status int)      { d.status = status }
func (d *draft) Write(b []byte) (int, error) { return d.body.Write(b) }

// must is for what does not go wrong. If it does, the server drops the connection, and a test sees that.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
