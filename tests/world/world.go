// SPDX-License-Identifier: Apache-2.0

// Package world is where the built service runs in tests: a folder of manifests with what the service makes of them, or a
// machine of its own.
//
// In come a binary and manifests; out go the service, to be started, killed and waited for, what it logs and publishes, and
// network namespaces that play machines. Tests of the whole service call it, whatever their guests are made of.
package world

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lf-edge/eve-metadata/tests/program"
)

// World is a folder of manifests, the service that runs on it, and what that logs.
type World struct {
	T         testing.TB
	Binary    string
	Root      string // of the service's state
	Manifests string // where they are
	Journal   Journal
	Service   *program.Service // once it was started
}

// New saves manifests, by name of file. No service runs yet.
func New(t testing.TB, binary string, files map[string]string) *World {
	t.Helper()
	w := &World{T: t, Binary: binary, Root: t.TempDir(), Manifests: filepath.Join(t.TempDir(), "manifests")}
	if err := os.MkdirAll(filepath.Join(w.Manifests, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		w.Save(name, text)
	}
	t.Cleanup(func() {
		if err := program.Clean(context.Background(), w.Root); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of the service:\n%s", &w.Journal)
		}
	})
	return w
}

// Start starts the service, with further arguments, and returns when it is ready.
func (w *World) Start(args ...string) {
	w.T.Helper()
	w.StartWhile(func() {}, w.Binary, append([]string{"--manifests", w.Manifests}, args...)...)
}

// StartWhile starts the service by a command that runs it, and returns when something else was done meanwhile and the service
// is ready, for which it may need that.
func (w *World) StartWhile(do func(), command string, args ...string) {
	w.T.Helper()
	args = append([]string{"--log-format", "json"}, args...)
	started := make(chan struct{})
	var service *program.Service
	var err error
	go func() {
		defer close(started)
		service, err = program.Start(w.T.Context(), &w.Journal, command, w.Root, args...)
	}()
	w.T.Cleanup(func() {
		if <-started; service != nil {
			_ = service.Kill() // unless it has ended already
		}
	})
	do()
	if <-started; err != nil {
		w.T.Fatal(err)
	}
	w.Service = service
}

// Crash kills the service.
func (w *World) Crash() {
	w.T.Helper()
	if err := w.Service.Kill(); err != nil {
		w.T.Fatal(err)
	}
}

// Save writes a manifest as editors do: all of it, then its name.
func (w *World) Save(name, text string) {
	w.T.Helper()
	path := filepath.Join(w.Manifests, name)
	if err := os.WriteFile(path+"~", []byte(text), 0o600); err != nil {
		w.T.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		w.T.Fatal(err)
	}
}

// Remove removes a manifest.
func (w *World) Remove(name string) {
	w.T.Helper()
	if err := os.Remove(filepath.Join(w.Manifests, name)); err != nil {
		w.T.Fatal(err)
	}
}

// Run runs another command of the binary on the manifests and returns what it prints.
func (w *World) Run(args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(w.T.Context(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.Binary, append(args, "--manifests", w.Manifests)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, &stderr)
	}
	return out, nil
}

// Await returns when ok does not object any more.
func (w *World) Await(what string, ok func() error) {
	w.T.Helper()
	Await(w.T, what, ok)
}

// AwaitLog returns when a line was logged that has all the fields. Those of text need only be part of
// the line's.
func (w *World) AwaitLog(fields map[string]any) {
	w.T.Helper()
	w.AwaitLogs(1, fields)
}

// AwaitLogs is AwaitLog for a number of lines.
func (w *World) AwaitLogs(n int, fields map[string]any) {
	w.T.Helper()
	w.Await("log", func() error {
		if got := w.Journal.Count(fields); got < n {
			return fmt.Errorf("%d lines have %v, want %d", got, fields, n)
		}
		return nil
	})
}
