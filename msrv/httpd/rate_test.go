// SPDX-License-Identifier: Apache-2.0

package httpd_test

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/msrv/httpd"
)

// asks sends n requests at once and returns how many got each status.
func asks(h *httpd.Handler, n int, caller string) map[int]int {
	got := make(map[int]int)
	for range n {
		r := httptest.NewRequest("GET", "http://169.254.169.254/latest/user-data", nil)
		r.RemoteAddr = caller
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got[w.Code]++
		if retry := w.Header().Get("Retry-After"); (retry != "") != (w.Code == 429) {
			got[-1]++
		}
	}
	return got
}

// A guest that asks in a loop is told so, whichever of its addresses it asks from, and only it; a second
// later it may go on.
func TestRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, _ := newGuarded(t)
		h.Services, h.Limits = nil, httpd.NewLimits()
		other := *h // another endpoint of the same network
		burst := httpd.InstanceBurst
		got := asks(h, burst-10, "10.0.0.5:1")
		check(t, "a burst", got, fmt.Sprintf("map[200:%d]", burst-10))
		check(t, "the rest of it, over IPv6 at another endpoint", asks(&other, 20, "[fe80::6]:1"), "map[200:10 429:10]")
		check(t, "another instance", asks(h, 5, "10.0.0.8:1"), "map[404:5]")
		<-time.After(time.Second) // of the bubble's clock
		check(t, "a second later", asks(h, httpd.InstanceRate+5, "10.0.0.5:1"), fmt.Sprintf("map[200:%d 429:5]", httpd.InstanceRate))
	})
}

// Callers that nobody knows share one limit, and take nothing from those that are known.
func TestRateOfStrangers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, _ := newGuarded(t)
		h.Services, h.Limits = nil, httpd.NewLimits()
		for i := range httpd.StrangerBurst / 100 {
			check(t, "strangers", asks(h, 100, fmt.Sprintf("10.0.1.%d:1", i)), "map[404:100]")
		}
		check(t, "one more", asks(h, 1, "10.0.2.1:1"), "map[429:1]")
		check(t, "one that is known", asks(h, 1, "10.0.0.5:1"), "map[200:1]")
	})
}

// A guest that goes on although it is told to wait does not fill the log.
func TestRefusalsInLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, hook := newHandler(t)
		h.Limits = httpd.NewLimits()
		asks(h, httpd.InstanceBurst, "10.0.0.5:1")
		for range 3 {
			hook.Reset()
			asks(h, httpd.InstanceRate+100, "10.0.0.5:1")
			lines := map[logrus.Level]int{}
			for _, e := range hook.AllEntries() {
				lines[e.Level]++
			}
			if lines[logrus.WarnLevel] != 1 {
				t.Errorf("%d refusals are logged in a second, want 1", lines[logrus.WarnLevel])
			}
			<-time.After(httpd.RefusalInterval) // of the bubble's clock
		}
	})
}

func check(t *testing.T, what string, got map[int]int, want string) {
	t.Helper()
	if fmt.Sprint(got) != want {
		t.Errorf("%s: %v, want %s", what, got, want)
	}
}

// What is kept of instances that are gone does not grow for ever.
func TestLimitsForget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := httpd.NewLimits()
		for i := range 10_000 {
			if !l.Allow(fmt.Sprint("app-", i)) {
				t.Fatal("a first request is too many")
			}
			<-time.After(time.Second) // of the bubble's clock: each is as good as new when the next comes
		}
		if n := l.Len(); n > 128 {
			t.Errorf("%d instances are kept", n)
		}
	})
}

// Two hundred guests that boot at once, and each crawl all of a rich instance twice, are not told to wait.
func TestBootStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const guests, requests = 200, 2 * 4_000
		l := httpd.NewLimits()
		for n := range requests {
			for i := range guests {
				if !l.Allow(fmt.Sprint("app-", i)) {
					t.Fatalf("request %d of guest %d is too many", n, i)
				}
			}
		}
	})
}
