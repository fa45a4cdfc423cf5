// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"net"
	"net/netip"

	"github.com/lf-edge/eve-metadata/nim/plan"
)

// dryHost is a host on which nothing is there and everything works, without a trace.
type dryHost struct{}

// Names returns none.
func (dryHost) Names() ([]string, error) { return nil, nil }

// Open begins work on nothing.
func (dryHost) Open(string) (session, error) { return drySession{}, nil }

// drySession is work on nothing.
type drySession struct{}

func (drySession) Observe() (plan.Seen, error) { return plan.Seen{}, nil }
func (drySession) Apply([]plan.Step) []error   { return nil }
func (drySession) Listen(addrs ...netip.AddrPort) ([]net.Listener, error) {
	return make([]net.Listener, len(addrs)), nil
}
func (drySession) ID() uint64       { return 0 }
func (drySession) Index(string) int { return 0 }
func (drySession) Close() error     { return nil }
