// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits on how often may be asked: so many requests a second for ever, and so many at once on top. They
// stop a guest that asks in a loop, and no guest that boots: one boot asks some hundred times, all that a
// rich instance can read, in every version, is some thousand documents, and 200 guests that boot together
// and crawl all of it twice stay below.
const (
	InstanceRate  = 500
	InstanceBurst = 20_000
	NetworkRate   = 20_000
	NetworkBurst  = 2_000_000
	// StrangerRate and StrangerBurst are for all callers of a network together that nobody knows.
	StrangerRate  = 200
	StrangerBurst = 2_000
	// RefusalInterval is how long the access log is silent about refusals after one of the same kind: who is
	// told 429 asks again at once, and would fill the log with megabytes a second.
	RefusalInterval = time.Second
)

// Limits are the limits of one network, over all its endpoints and both IP versions: what counts is the
// instance, not the address. It is used by any number of goroutines. nil limits nothing.
type Limits struct {
	strangers, network *rate.Limiter
	refusals, borrows  rate.Sometimes // that are logged

	mu        sync.Mutex
	instances map[string]*rate.Limiter // by UUID
	pruneAt   int                      // at how many of them those that are idle go
}

// minPrune is the least number of instances at which the idle ones are forgotten.
const minPrune = 64

// NewLimits returns the limits of a network in which nobody has asked yet.
func NewLimits() *Limits {
	return &Limits{
		strangers: rate.NewLimiter(StrangerRate, StrangerBurst),
		network:   rate.NewLimiter(NetworkRate, NetworkBurst),
		refusals:  rate.Sometimes{Interval: RefusalInterval},
		borrows:   rate.Sometimes{Interval: RefusalInterval},
		instances: make(map[string]*rate.Limiter),
		pruneAt:   minPrune,
	}
}

// allowStranger counts a request of a caller that nobody knows, and tells whether to go on with it.
func (l *Limits) allowStranger() bool { return l == nil || l.strangers.Allow() }

// allow counts a request of an instance. One that asks too often does not use up what is the others'.
func (l *Limits) allow(uuid string) bool { return l == nil || l.of(uuid).Allow() && l.network.Allow() }

// borrowed logs that a caller bears what is another's, unless that was logged a moment ago.
func (l *Limits) borrowed(log func()) {
	if l == nil {
		log()
		return
	}
	l.borrows.Do(log)
}

// of is the limiter of an instance.
func (l *Limits) of(uuid string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.instances[uuid]; r != nil {
		return r
	}
	if len(l.instances) >= l.pruneAt {
		l.prune()
	}
	r := rate.NewLimiter(InstanceRate, InstanceBurst)
	l.instances[uuid] = r
	return r
}

// prune forgets the limiters that are as good as new, those of instances that are gone among them.
func (l *Limits) prune() {
	for uuid, r := range l.instances {
		if r.Tokens() >= InstanceBurst {
			delete(l.instances, uuid)
		}
	}
	l.pruneAt = max(minPrune, 2*len(l.instances))
}
