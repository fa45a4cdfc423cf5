// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Request is one that was answered, or dropped.
type Request struct {
	Version int    // of the API
	Action  string // one of the constants
	Header  http.Header
	Device  uuid.UUID // whose it is; Nil if it is not a known device's
	Body    []byte
	Payload []byte // of the envelope, once its signature was found good
	Status  int    // of the answer; 0: it got none
	Refused string // why the answer is no success; "" for one that is, and for what a variation made of it
}

// String words it for who reads a test's output.
func (r Request) String() string {
	s := fmt.Sprintf("v%d %s: %d", r.Version, r.Action, r.Status)
	if r.Refused != "" {
		s += " (" + r.Refused + ")"
	}
	return s
}

// Requests are all that came, in the order in which they were answered. Their number is what Wait counts from.
func (c *Controller) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

func (c *Controller) record(r Request) {
	c.log(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r)
	close(c.came)
	c.came = make(chan struct{})
}

// Wait waits for a request for an action that was answered with a status, not counting the first n requests of all. It
// returns that request and the number of requests up to and with it: the n that the next Wait goes on from. The error is
// that of the context, with what came instead.
func (c *Controller) Wait(ctx context.Context, n int, action string, status int) (Request, int, error) {
	for at := n; ; {
		c.mu.Lock()
		seen, came := c.requests, c.came
		c.mu.Unlock()
		for ; at < len(seen); at++ {
			if r := seen[at]; r.Action == action && r.Status == status {
				return r, at + 1, nil
			}
		}
		select {
		case <-came:
		case <-ctx.Done():
			return Request{}, at, fmt.Errorf("wait for %s to be answered %d: %w; there were: %s",
				action, status, ctx.Err(), describe(seen[min(n, len(seen)):]))
		}
	}
}

// lastFew is how many requests an error describes.
const lastFew = 20

func describe(requests []Request) string {
	if n := len(requests); n > lastFew {
		return fmt.Sprintf("%d, and then %s", n-lastFew, describe(requests[n-lastFew:]))
	}
	words := make([]string, len(requests))
	for i, r := range requests {
		words[i] = r.String()
	}
	return strings.Join(words, "; ")
}
