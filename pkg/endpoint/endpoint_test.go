// SPDX-License-Identifier: Apache-2.0

package endpoint_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/lf-edge/eve-metadata/pkg/endpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func set(networks ...string) []endpoint.Endpoint {
	all := make([]endpoint.Endpoint, len(networks))
	for i, n := range networks {
		all[i].Network = n
	}
	return all
}

func names(set []endpoint.Endpoint) []string {
	all := make([]string, len(set))
	for i, e := range set {
		all[i] = e.Network
	}
	return all
}

// Who watches sees the newest set, and none of those that were replaced while it was busy.
func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := endpoint.NewBoard()
		ctx, cancel := context.WithCancel(t.Context())
		got, more := make(chan []string), make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for s := range b.Watch(ctx) {
				got <- names(s)
				<-more
			}
		}()
		synctest.Wait()
		select {
		case s := <-got:
			t.Fatalf("saw %q before anything was posted", s)
		default:
		}
		expect := func(want ...string) {
			t.Helper()
			if diff := cmp.Diff(append([]string{}, want...), <-got); diff != "" {
				t.Errorf("set (-want +got):\n%s", diff)
			}
		}
		b.Post(nil)
		expect()
		b.Post(set("blue"))
		b.Post(set("green"))
		b.Post(set("blue", "green"))
		more <- struct{}{}
		expect("blue", "green")
		cancel()
		more <- struct{}{}
		<-done
	})
}

func TestWatchEndsEarly(t *testing.T) {
	t.Parallel()
	b := endpoint.NewBoard()
	b.Post(set("blue"))
	for s := range b.Watch(t.Context()) {
		if len(s) != 1 {
			t.Errorf("set of %d, want 1", len(s))
		}
		break
	}
}

// The board keeps a copy of what is posted.
func TestPostCopies(t *testing.T) {
	t.Parallel()
	b := endpoint.NewBoard()
	if s, _ := b.Snapshot(); s != nil {
		t.Errorf("set before the first post is %v, want nil", s)
	}
	mine := set("blue")
	b.Post(mine)
	mine[0].Network = "green"
	s, changed := b.Snapshot()
	if diff := cmp.Diff([]string{"blue"}, names(s)); diff != "" {
		t.Errorf("set (-want +got):\n%s", diff)
	}
	b.Post(nil)
	<-changed
	if s, _ := b.Snapshot(); s == nil || len(s) != 0 {
		t.Errorf("set after posting nothing is %v, want an empty one", s)
	}
}
