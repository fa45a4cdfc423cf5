// SPDX-License-Identifier: Apache-2.0

package cipher

import (
	"slices"
	"sync"
	"time"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// Counters counts an agent's decryptions, for the topic eve.CipherMetrics. It is for many goroutines.
//
// SuccessCount counts the blocks that were decrypted. TypeCounters counts, by Kind, what else there is to say, and
// FailureCount all of them but NoData: clear text counts as a failure too, to encrypt, as it does on EVE. A block that was
// not decrypted counts once and never as a success, as it does on EVE; one that was decrypted and holds no user data
// counts as a success and as NoData.
type Counters struct {
	now func() time.Time

	mu      sync.Mutex
	metrics eve.CipherMetrics
}

// NewCounters returns the counters of an agent, all of them zero. The time of what is counted is now's, as a rule time.Now.
func NewCounters(agent string, now func() time.Time) *Counters {
	return &Counters{now: now, metrics: eve.CipherMetrics{AgentName: agent, TypeCounters: make([]uint64, kinds)}}
}

// Metrics returns what has been counted.
func (c *Counters) Metrics() eve.CipherMetrics {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.metrics
	m.TypeCounters = slices.Clone(m.TypeCounters)
	return m
}

// success counts a block that was decrypted; nil counters count nothing.
func (c *Counters) success() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metrics.SuccessCount++
	c.metrics.LastSuccess = c.now()
}

// outcome counts what else there is to say; nil counters count nothing.
func (c *Counters) outcome(k Kind) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metrics.TypeCounters[k]++
	if k != NoData {
		c.metrics.FailureCount++
		c.metrics.LastFailure = c.now()
	}
}
