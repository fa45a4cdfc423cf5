// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/msrv/drive"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
	"github.com/lf-edge/eve-metadata/pkg/topics"
	"github.com/lf-edge/eve-metadata/tests/program"
)

const (
	// patience ends a test that waits for something that does not come. It is not waited for otherwise.
	patience = time.Minute
	// glance is how often a test looks for what it waits for.
	glance = 25 * time.Millisecond
)

// world is a folder of manifests, the service that runs on it, and what that logs.
type world struct {
	t         testing.TB
	binary    string
	root      string // of the service's state
	manifests string
	journal   journal
	service   *program.Service
}

// newWorld saves manifests, by name of file. No service runs yet.
func newWorld(t testing.TB, binary string, files map[string]string) *world {
	t.Helper()
	w := &world{t: t, binary: binary, root: t.TempDir(), manifests: filepath.Join(t.TempDir(), "manifests")}
	if err := os.MkdirAll(filepath.Join(w.manifests, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		w.save(name, text)
	}
	t.Cleanup(func() {
		if err := program.Clean(context.Background(), w.root); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of the service:\n%s", &w.journal)
		}
	})
	return w
}

// start starts the service, with further arguments, and returns when it is ready.
func (w *world) start(args ...string) {
	w.t.Helper()
	w.startWhile(func() {}, w.binary, append([]string{"--manifests", w.manifests}, args...)...)
}

// startWhile starts the service by a command that runs it, and returns when something else was done meanwhile and the service
// is ready, for which it may need that.
func (w *world) startWhile(do func(), command string, args ...string) {
	w.t.Helper()
	args = append([]string{"--log-format", "json"}, args...)
	started := make(chan struct{})
	var service *program.Service
	var err error
	go func() {
		defer close(started)
		service, err = program.Start(w.t.Context(), &w.journal, command, w.root, args...)
	}()
	w.t.Cleanup(func() {
		if <-started; service != nil {
			_ = service.Kill() // unless it has ended already
		}
	})
	do()
	if <-started; err != nil {
		w.t.Fatal(err)
	}
	w.service = service
}

// crash kills the service.
func (w *world) crash() {
	w.t.Helper()
	if err := w.service.Kill(); err != nil {
		w.t.Fatal(err)
	}
}

// save writes a manifest as editors do: all of it, then its name.
func (w *world) save(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.manifests, name)
	if err := os.WriteFile(path+"~", []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		w.t.Fatal(err)
	}
}

// remove removes a manifest.
func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.manifests, name)); err != nil {
		w.t.Fatal(err)
	}
}

// run runs another command of the binary on the manifests and returns what it prints.
func (w *world) run(args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.binary, append(args, "--manifests", w.manifests)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, &stderr)
	}
	return out, nil
}

// await returns when ok does not object any more.
func (w *world) await(what string, ok func() error) {
	w.t.Helper()
	await(w.t, what, ok)
}

func await(t testing.TB, what string, ok func() error) {
	t.Helper()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	late := time.After(patience)
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

// awaitLog returns when a line was logged that has all the fields. Those of text need only be part of
// the line's.
func (w *world) awaitLog(fields map[string]any) {
	w.t.Helper()
	w.awaitLogs(1, fields)
}

// awaitLogs is awaitLog for a number of lines.
func (w *world) awaitLogs(n int, fields map[string]any) {
	w.t.Helper()
	w.await("log", func() error {
		if got := w.journal.count(fields); got < n {
			return fmt.Errorf("%d lines have %v, want %d", got, fields, n)
		}
		return nil
	})
}

// apps returns the state of the apps' adapters by the apps' names.
func (w *world) apps() map[string]eve.AppNetworkStatus {
	w.t.Helper()
	apps := make(map[string]eve.AppNetworkStatus)
	for _, app := range published(w, topics.Own().AppStatus) {
		apps[app.DisplayName] = app
	}
	return apps
}

// network returns the state of an app network.
func (w *world) network(name string) eve.NetworkInstanceStatus {
	w.t.Helper()
	for _, network := range published(w, topics.Own().NetworkStatus) {
		if network.NetworkInstanceConfig.DisplayName == name {
			return network
		}
	}
	w.t.Fatalf("nothing is published of network %s", name)
	panic("not reached")
}

// networkError says in which way a network's error is not one with such a text, or, for "", that it has one.
func (w *world) networkError(network, text string) error {
	w.t.Helper()
	if got := w.network(network).ErrorAndTime.Error; (got == "") != (text == "") || !strings.Contains(got, text) {
		return fmt.Errorf("error of network %s is %q, want one with %q", network, got, text)
	}
	return nil
}

// published returns all that a topic has.
func published[T any](w *world, topic pubsub.Topic[T]) (values []T) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	synced := false
	err := pubsub.Subscribe(ctx, &socket.Driver{Root: w.root}, topic, func(e pubsub.Event[T]) {
		switch e.Kind {
		case pubsub.Create, pubsub.Modify:
			values = append(values, e.Value)
		case pubsub.Synced:
			synced = true
			cancel()
		}
	})
	if err != nil || !synced {
		w.t.Fatalf("read %s: %v", topic.Name(), errors.Join(err, context.Cause(ctx)))
	}
	return values
}

// drive returns the image of an app's drive; nil when it has none.
func (w *world) drive(uuid string) []byte {
	w.t.Helper()
	image, err := os.ReadFile(drive.Path(msrv.Drives(w.root), uuid))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return image
}

// onDrive returns a file of an app's drive, as libarchive reads it.
func (w *world) onDrive(uuid, file string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	return exec.CommandContext(ctx, "bsdtar", "-xOf", drive.Path(msrv.Drives(w.root), uuid), file).Output()
}

// journal is the service's log, a JSON object on each line.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write notes what is logged.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// String returns the whole log.
func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// count counts the lines that have all the fields.
func (j *journal) count(fields map[string]any) int {
	n := 0
	for line := range strings.Lines(j.String()) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) == nil && has(entry, fields) { // the last line may be half written
			n++
		}
	}
	return n
}

func has(entry, fields map[string]any) bool {
	for name, want := range fields {
		part, isText := want.(string)
		text, _ := entry[name].(string)
		if isText && !strings.Contains(text, part) || !isText && !cmp.Equal(entry[name], want) {
			return false
		}
	}
	return true
}

// The manifests of the scenarios.

// netYAML is an app network.
func netYAML(name, subnet string) string {
	return fmt.Sprintf("kind: network\nname: %s\nsubnet: %s\n", name, subnet)
}

// appYAML is a container with one adapter and user data that says whose it is. A line of more replaces
// what is there of that name.
func appYAML(name, network, address string, more ...string) string {
	fields := map[string]string{
		"name": name, "uuid": uuidOf(name), "runtime": "container", "metadataType": "openstack",
		"adapters": fmt.Sprintf("[{name: eth0, network: %s, ipv4: %q}]", network, address),
		"userData": "I am " + name,
	}
	for _, line := range more {
		key, value, _ := strings.Cut(line, ": ")
		fields[key] = value
	}
	if _, other := fields["userDataFile"]; other {
		delete(fields, "userData")
	}
	text := "kind: app\n"
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		text += key + ": " + fields[key] + "\n"
	}
	return text
}

// uuidOf is the UUID of an app of that name.
func uuidOf(name string) string { return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)).String() }
