// SPDX-License-Identifier: Apache-2.0

package task

import "sync"

// Ready is a signal that is given once and seen by all who wait for it, before or after. The zero value has not been
// given. It must not be copied.
type Ready struct {
	mu sync.Mutex
	ch chan struct{}
	ok bool
}

// Set gives the signal. Further calls do nothing.
func (r *Ready) Set() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ok {
		return
	}
	r.ok = true
	close(r.channel())
}

// IsSet tells whether the signal has been given.
func (r *Ready) IsSet() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ok
}

// Done returns the channel that Set closes; always the same one.
func (r *Ready) Done() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.channel()
}

func (r *Ready) channel() chan struct{} {
	if r.ch == nil {
		r.ch = make(chan struct{})
	}
	return r.ch
}
