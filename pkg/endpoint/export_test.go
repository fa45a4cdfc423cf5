// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"encoding/json"
	"net"
)

// MaxMessage is the largest datagram that is read.
const MaxMessage = maxMessage

// MaxServers is how many servers are served at a time.
const MaxServers = maxServers

// Parse reads a datagram, and returns it as it would be sent.
func Parse(datagram []byte) ([]byte, error) {
	m, err := parse(datagram)
	if err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

// ErrMalformed is what Parse says of what is none of ours.
var ErrMalformed = errMalformed

// Handover is a listener whose socket can be replaced.
type Handover = handover

// NewHandover returns one.
func NewHandover(l *net.TCPListener) *Handover { return newHandover(l) }

// Replace replaces its socket.
func (h *handover) Replace(l *net.TCPListener) { h.replace(l) }
