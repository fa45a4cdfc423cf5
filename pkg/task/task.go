// SPDX-License-Identifier: Apache-2.0

// Package task runs the long-lived parts of a process together.
//
// In come tasks: a feed, the network manager, a server. They run side by side until the context ends or one of them
// fails; out comes the first failure, with the name of the task that it belongs to, and one signal that says when all of
// them are ready. Only commands call it.
package task

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Task is a long-lived part of a process.
type Task interface {
	// Run blocks until ctx ends, and then returns nil, or until the task can not go on. It owns every goroutine that it
	// starts: when Run has returned, none of them is left. Run is called once.
	Run(ctx context.Context) error
	// Ready is closed once the task does what it is there for. It stays open for good when Run ends before that.
	Ready() <-chan struct{}
	// String names the task in errors and logs.
	String() string
}

// Group is a Task made of others.
type Group struct {
	name  string
	tasks []Task
	ready Ready
}

// NewGroup returns a group of tasks. It starts nothing. The group is ready when all of its tasks are; a group without
// tasks is ready when it runs.
func NewGroup(name string, tasks ...Task) *Group {
	return &Group{name: name, tasks: tasks}
}

// Run runs all tasks until ctx ends or one of them returns an error. That error cancels the others and is returned, with
// the task's name, when they all have ended. A task that returns nil has done its work and ends alone.
func (g *Group) Run(ctx context.Context) error {
	eg, ctx := errgroup.WithContext(ctx)
	for _, t := range g.tasks {
		eg.Go(func() error {
			if err := t.Run(ctx); err != nil {
				return fmt.Errorf("run %s: %w", t, err)
			}
			return nil
		})
	}
	// Outside of eg: it waits for tasks that may have ended without ever being ready.
	waitCtx, cancel := context.WithCancel(ctx)
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		g.awaitReady(waitCtx)
	}()
	err := eg.Wait()
	cancel()
	<-waited
	return err
}

// awaitReady sets the group's own signal once all tasks are ready, unless ctx ends before.
func (g *Group) awaitReady(ctx context.Context) {
	for _, t := range g.tasks {
		select {
		case <-t.Ready():
		case <-ctx.Done():
			return
		}
	}
	g.ready.Set()
}

// Ready is closed when all tasks are ready.
func (g *Group) Ready() <-chan struct{} { return g.ready.Done() }

// String names the group and its tasks.
func (g *Group) String() string {
	names := make([]string, len(g.tasks))
	for i, t := range g.tasks {
		names[i] = t.String()
	}
	return g.name + " (" + strings.Join(names, ", ") + ")"
}
