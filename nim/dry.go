// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"context"
	"io/fs"
	"net"
	"net/netip"

	"github.com/lf-edge/eve-metadata/nim/dnsmasq"
	"github.com/lf-edge/eve-metadata/nim/plan"
)

// dryHost is a host on which nothing is there and everything works, without a trace.
type dryHost struct{}

// Names returns none.
func (dryHost) Names() ([]string, error) { return nil, nil }

// Open begins work on nothing.
func (dryHost) Open(plan.Network) (session, error) { return drySession{}, nil }

// Watch sees nothing change.
func (dryHost) Watch(ctx context.Context, _ plan.Network, _ func()) error {
	<-ctx.Done()
	return nil
}

// WatchHost sees nothing change.
func (dryHost) WatchHost(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return nil
}

// WatchNames sees nothing come or go.
func (dryHost) WatchNames(ctx context.Context, _ func(string)) error {
	<-ctx.Done()
	return nil
}

// drySession is work on nothing.
type drySession struct{}

func (drySession) Observe() (plan.Seen, error)        { return plan.Seen{}, nil }
func (drySession) ObserveOutside() (plan.Seen, error) { return plan.Seen{}, nil }
func (drySession) Apply([]plan.Step) []error          { return nil }
func (drySession) Listen(_ string, addrs ...netip.AddrPort) ([]net.Listener, error) {
	return make([]net.Listener, len(addrs)), nil
}
func (drySession) Path() string     { return "" }
func (drySession) ID() uint64       { return 0 }
func (drySession) Absence() error   { return fs.ErrNotExist }
func (drySession) Index(string) int { return 0 }
func (drySession) Close() error     { return nil }

// noServers are servers that are neither started nor stopped.
type noServers struct{}

func (noServers) Networks() ([]string, error)                      { return nil, nil }
func (noServers) Want(string, dnsmasq.Namespace, *dnsmasq.Network) {}
func (noServers) Forget(string) error                              { return nil }
func (noServers) State(string) error                               { return nil }
func (noServers) Close()                                           {}
