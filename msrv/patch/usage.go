// SPDX-License-Identifier: Apache-2.0

package patch

import (
	"errors"
	"sync"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// usage counts what apps did with patch envelopes. It is for any number of goroutines, and whoever counts never waits for a
// disk.
type usage struct {
	disk sync.Mutex // held by whoever writes, so that nothing is written after it was forgotten
	pub  *pubsub.Publication[eve.PatchEnvelopeUsage]

	mu     sync.Mutex
	counts map[string]*count // by key of pub
}

// count is what one app did with one version of an envelope.
type count struct {
	eve.PatchEnvelopeUsage
	changed bool // since it was written
}

// usageKey is EVE's.
func usageKey(u *eve.PatchEnvelopeUsage) string {
	return "patchEnvelopeUsage:" + u.PatchID + "-v-" + u.Version + "-app-" + u.AppUUID
}

// add counts.
func (s *usage) add(u eve.PatchEnvelopeUsage) { s.sum(u, true) }

// sum adds to what was counted before.
func (s *usage) sum(u eve.PatchEnvelopeUsage, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := usageKey(&u)
	c := s.counts[key]
	if c == nil {
		s.counts[key] = &count{u, changed}
		return
	}
	c.PatchAPICallCount += u.PatchAPICallCount
	c.DownloadCount += u.DownloadCount
	c.changed = true
}

// open counts in what an earlier run has counted. What of it cannot be read is an error, and is removed.
func (s *usage) open(pub *pubsub.Publication[eve.PatchEnvelopeUsage]) error {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.pub = pub
	for _, u := range pub.Table() {
		s.sum(u, false)
	}
	errs := pub.Skipped()
	for _, err := range pub.Skipped() {
		if ve, ok := errors.AsType[*pubsub.ValueError](err); ok {
			errs = append(errs, pub.Delete(ve.Key))
		}
	}
	return errors.Join(errs...)
}

// close writes what has changed, and leaves all behind.
func (s *usage) close() error { return errors.Join(s.flush(), s.pub.Detach()) }

// flush writes what has changed. What cannot be written stays to be.
func (s *usage) flush() error {
	s.disk.Lock()
	defer s.disk.Unlock()
	var errs []error
	for key, u := range s.take() {
		if err := s.pub.Set(key, u); err != nil {
			u.PatchAPICallCount, u.DownloadCount = 0, 0
			s.add(u)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// take returns what has changed, which thereby has not any more.
func (s *usage) take() map[string]eve.PatchEnvelopeUsage {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := make(map[string]eve.PatchEnvelopeUsage)
	for key, c := range s.counts {
		if c.changed {
			taken[key], c.changed = c.PatchEnvelopeUsage, false
		}
	}
	return taken
}

// prune forgets what is not to be kept.
func (s *usage) prune(keep func(*eve.PatchEnvelopeUsage) bool) error {
	s.disk.Lock()
	defer s.disk.Unlock()
	var errs []error
	for _, key := range s.drop(keep) {
		if s.pub != nil {
			errs = append(errs, s.pub.Delete(key))
		}
	}
	return errors.Join(errs...)
}

func (s *usage) drop(keep func(*eve.PatchEnvelopeUsage) bool) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var dropped []string
	for key, c := range s.counts {
		if !keep(&c.PatchEnvelopeUsage) {
			dropped = append(dropped, key)
			delete(s.counts, key)
		}
	}
	return dropped
}
