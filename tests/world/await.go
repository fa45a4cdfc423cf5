// SPDX-License-Identifier: Apache-2.0

package world

import (
	"testing"
	"time"
)

const (
	// Patience ends a test that waits for something that does not come. It is not waited for otherwise.
	Patience = time.Minute
	// Glance is how often a test looks for what it waits for.
	Glance = 25 * time.Millisecond
)

// Await returns when ok does not object any more.
func Await(t testing.TB, what string, ok func() error) {
	t.Helper()
	tick := time.NewTicker(Glance)
	defer tick.Stop()
	late := time.After(Patience)
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// Must fails the test if there is something to say.
func Must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}
