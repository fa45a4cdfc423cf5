// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"math"
	"net/http"
	"strconv"
	"sync"

	"golang.org/x/time/rate"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
)

// limits keep one guest from using up what costs the node time: so many requests a second for ever, and so many at once on
// top, each instance for itself. They are used by any number of goroutines. Make them with newLimits.
type limits struct {
	rate  rate.Limit
	burst int

	mu        sync.Mutex
	instances map[string]*rate.Limiter // by UUID
	pruneAt   int                      // at how many of them those that are idle go
}

// minPrune is the least number of instances at which the idle ones are forgotten.
const minPrune = 64

func newLimits(perSecond rate.Limit, burst int) *limits {
	return &limits{rate: perSecond, burst: burst, instances: make(map[string]*rate.Limiter), pruneAt: minPrune}
}

// refuse is the answer to a guest that asks too often; nil to go on.
func (l *limits) refuse(r *dialect.Request) *dialect.Answer {
	if l.of(r.Instance.UUID).Allow() {
		return nil
	}
	a := dialect.Refuse(http.StatusTooManyRequests)
	a.Header = map[string]string{"Retry-After": strconv.Itoa(int(math.Ceil(1 / float64(l.rate))))}
	return a
}

// of is the limiter of an instance.
func (l *limits) of(uuid string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.instances[uuid]; known != nil {
		return known
	}
	if len(l.instances) >= l.pruneAt {
		l.prune()
	}
	fresh := rate.NewLimiter(l.rate, l.burst)
	l.instances[uuid] = fresh
	return fresh
}

// prune forgets the limiters that are as good as new, those of instances that are gone among them.
func (l *limits) prune() {
	for uuid, limiter := range l.instances {
		if limiter.Tokens() >= float64(l.burst) {
			delete(l.instances, uuid)
		}
	}
	l.pruneAt = max(minPrune, 2*len(l.instances))
}

// places keep one guest from having too much done for it at the same time, each instance for itself. They are used by any
// number of goroutines. Make them with newPlaces.
type places struct {
	each int

	mu    sync.Mutex
	taken map[string]int // by UUID
}

func newPlaces(each int) *places { return &places{each: each, taken: make(map[string]int)} }

// take takes one of an instance's places, until leave is called; nil when it has none left.
func (p *places) take(uuid string) (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken[uuid] >= p.each {
		return nil
	}
	p.taken[uuid]++
	return func() { p.leave(uuid) }
}

func (p *places) leave(uuid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken[uuid]--; p.taken[uuid] == 0 {
		delete(p.taken, uuid)
	}
}
