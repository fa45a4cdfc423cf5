// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Limits on what a peer may say.
const (
	// maxMessage is the size of a message in bytes. The longest that is sent is a third of it.
	maxMessage = 1024
	// maxEndpoints is how many endpoints there may be: each costs a descriptor.
	maxEndpoints = 1 << 16
	// maxName is the longest name of a network, in bytes: a UUID as text has 36.
	maxName = 64
	// maxInterface is the longest name of an interface, in bytes (IFNAMSIZ less its final zero).
	maxInterface = 15
)

// errMalformed says that a message is none of ours.
var errMalformed = errors.New("malformed message")

// message is one datagram, as JSON: an endpoint that is there now, with its socket; one that is gone; or that what was
// said since the connection began, or since the last such message, is to be taken together.
type message struct {
	Add      *addition `json:"add,omitempty"`
	Remove   uint64    `json:"remove,omitempty"`
	Complete bool      `json:"complete,omitempty"`
}

// addition is an endpoint without its socket.
type addition struct {
	ID      uint64         `json:"id"` // from 1; names the endpoint for as long as the connection lasts
	Network string         `json:"network"`
	Role    Role           `json:"role"`
	Address netip.AddrPort `json:"address"`
	Alone   bool           `json:"alone,omitempty"`
	Ports   string         `json:"ports,omitempty"`
}

func (a addition) endpoint() Endpoint {
	return Endpoint{Network: a.Network, Role: a.Role, Address: a.Address, Alone: a.Alone, Ports: a.Ports}
}

func newAddition(id uint64, e Endpoint) *addition {
	return &addition{ID: id, Network: e.Network, Role: e.Role, Address: e.Address, Alone: e.Alone, Ports: e.Ports}
}

// parse reads a datagram. The error wraps errMalformed.
func parse(datagram []byte) (m message, err error) {
	if len(datagram) > maxMessage {
		return message{}, fmt.Errorf("%w: over %d bytes", errMalformed, maxMessage)
	}
	dec := json.NewDecoder(bytes.NewReader(datagram))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return message{}, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if dec.InputOffset() != int64(len(datagram)) {
		return message{}, fmt.Errorf("%w: more than one value", errMalformed)
	}
	if err := m.check(); err != nil {
		return message{}, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return m, nil
}

// check says what is wrong with a message: it is one of the three, and an endpoint's names can be used.
func (m message) check() error {
	said := 0
	for _, is := range []bool{m.Add != nil, m.Remove != 0, m.Complete} {
		if is {
			said++
		}
	}
	if said != 1 {
		return fmt.Errorf("%d things are said, not one", said)
	}
	if m.Add == nil {
		return nil
	}
	return m.Add.check()
}

func (a addition) check() error {
	switch {
	case a.ID == 0:
		return errors.New("no id")
	case a.Network == "" || !plain(a.Network, maxName):
		return fmt.Errorf("network %q", a.Network)
	case a.Role < Metadata || a.Role > RouterPassword:
		return fmt.Errorf("role %d", a.Role)
	case !a.Address.IsValid() || a.Address.Port() == 0 || !plain(a.Address.Addr().Zone(), maxInterface):
		return fmt.Errorf("address %q", a.Address)
	case !plain(a.Ports, maxInterface):
		return fmt.Errorf("bridge %q", a.Ports)
	}
	return nil
}

// plain says whether a name can be shown and is no longer than limit bytes.
func plain(name string, limit int) bool {
	return len(name) <= limit && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' })
}
