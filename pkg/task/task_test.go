// SPDX-License-Identifier: Apache-2.0

package task_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/lf-edge/eve-metadata/pkg/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a task that a test moves along.
type fake struct {
	name  string
	ready task.Ready
	end   chan error // what Run returns; nothing: it waits for its context
}

func newFake(name string) *fake { return &fake{name: name, end: make(chan error, 1)} }

func (f *fake) Run(ctx context.Context) error {
	select {
	case err := <-f.end:
		return err
	case <-ctx.Done():
		return nil
	}
}

func (f *fake) Ready() <-chan struct{} { return f.ready.Done() }
func (f *fake) String() string         { return f.name }

func isReady(t task.Task) bool {
	select {
	case <-t.Ready():
		return true
	default:
		return false
	}
}

func TestGroupIsReadyWithTheLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newFake("a"), newFake("b")
		g := task.NewGroup("both", a, task.NewGroup("inner", b))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx) }()
		b.ready.Set()
		synctest.Wait()
		if isReady(g) {
			t.Error("ready before all tasks are")
		}
		a.ready.Set()
		a.ready.Set()
		synctest.Wait()
		if !isReady(g) {
			t.Error("not ready though all tasks are")
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("cancelled group returned %v", err)
		}
	})
}

func TestFirstErrorEndsAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		a, b, c := newFake("a"), newFake("b"), newFake("c")
		g := task.NewGroup("all", a, b, c)
		done := make(chan error, 1)
		go func() { done <- g.Run(t.Context()) }()
		c.end <- nil // done, and no reason for others to end
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("group ended with a task that had done its work: %v", err)
		default:
		}
		b.end <- broken
		err := <-done
		if !errors.Is(err, broken) {
			t.Errorf("group returned %v, want %v", err, broken)
		}
		if want := "run b: broken"; err.Error() != want {
			t.Errorf("error reads %q, want %q", err, want)
		}
		if isReady(g) {
			t.Error("ready though no task ever was")
		}
	})
}

func TestEmptyGroup(t *testing.T) {
	t.Parallel()
	g := task.NewGroup("none")
	if err := g.Run(t.Context()); err != nil {
		t.Errorf("group without tasks returned %v", err)
	}
	if got, want := task.NewGroup("both", newFake("a"), newFake("b")).String(), "both (a, b)"; got != want {
		t.Errorf("name %q, want %q", got, want)
	}
}
