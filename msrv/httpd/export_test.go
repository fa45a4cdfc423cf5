// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/lf-edge/eve-metadata/msrv/store"
)

// Allow counts a request of an instance.
func (l *Limits) Allow(uuid string) bool { return l.allow(uuid) }

// Len is how many instances are kept.
func (l *Limits) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.instances)
}

// From makes a request one of a connection that comes from there.
func From(r *http.Request, address string, mac store.MAC) *http.Request {
	c := &counted{from: origin{netip.MustParseAddr(address), mac}}
	return r.WithContext(context.WithValue(r.Context(), connectionKey{}, c))
}

// SourceMAC reads the sender out of a saved SYN.
func SourceMAC(syn []byte) store.MAC { return sourceMAC(syn) }
