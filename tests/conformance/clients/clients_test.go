// SPDX-License-Identifier: Apache-2.0

// Package clients_test has real clients read what the built service serves.
//
// Purpose: what counts is what the client understood, not what we think that we said. The clients run in
// each guest's network namespace against the running service, and on the drives that it wrote:
//
//   - cloud-init's datasources OpenStack, ConfigDrive, EC2 (as for a stranger and as for Amazon), NoCloud
//     (over HTTP and from the drive) and CloudStack, with its network renderers;
//   - the AWS SDKs' clients for Go, JavaScript and Python (botocore and boto), Canonical's ec2metadata,
//     Amazon's ec2-metadata, Chef's ohai and Puppet's facter;
//   - Ignition, as it asks on OpenStack, on EC2 and in CloudStack;
//   - curl, which fetches every name that is listed, in every spelling.
//
// Network: app networks which all have the same subnet, each with another policy for session tokens. Every
// guest is in a namespace of its own, wired as its runtime would wire it.
//
// Phases: start the service; attach the guests; let every client read and compare; kill -9 the service,
// start it again, and compare once more.
package clients_test

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lf-edge/eve-metadata/msrv/launch"
	"github.com/lf-edge/eve-metadata/nim"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
	"github.com/lf-edge/eve-metadata/pkg/topics"
	"github.com/lf-edge/eve-metadata/tests/netns/guestns"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
	"github.com/lf-edge/eve-metadata/tests/program"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

// clientLimit is how long a client may take. The longest that one waits by itself, for an answer that it
// does not like, is two minutes.
const clientLimit = 3 * time.Minute

// world is the running service and its guests.
type world struct {
	binary, root string
	args         []string // of the service
	service      *program.Service
	guests       map[string]*guest // by "app adapter"
	launches     map[string]eve.InstanceLaunch
}

// guest is one adapter of an app, in a namespace of its own.
type guest struct {
	*guestns.Guest
	app    string
	nics   map[string]string // all adapters of the app: MAC to name
	status eve.AppNetAdapterStatus
}

// newWorld starts the service with arguments and attaches a guest to every adapter that there is.
func newWorld(t *testing.T, args ...string) *world {
	t.Helper()
	sandbox.Need(t)
	w := &world{binary: program.Build(t), root: t.TempDir(), args: args}
	t.Cleanup(func() {
		if err := program.Clean(context.Background(), w.root); err != nil {
			t.Error(err)
		}
	})
	w.start(t)
	w.attach(t)
	w.launches = collect(t, w, launch.Topic())
	return w
}

func (w *world) start(t *testing.T) {
	t.Helper()
	var log bytes.Buffer
	service, err := program.Start(t.Context(), &log, w.binary, w.root, w.args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	w.service = service
	t.Cleanup(func() {
		_ = service.Kill() // unless it has ended already
		if t.Failed() {
			t.Logf("log of the service:\n%s", &log)
		}
	})
}

// restart kills the service and starts it again.
func (w *world) restart(t *testing.T) {
	t.Helper()
	if err := w.service.Kill(); err != nil {
		t.Fatal(err)
	}
	w.start(t)
}

// attach makes a guest of every adapter.
func (w *world) attach(t *testing.T) {
	t.Helper()
	w.guests = make(map[string]*guest)
	for _, app := range collect(t, w, topics.Own().AppStatus) {
		nics := make(map[string]string)
		for _, a := range app.AppNetAdapterList {
			nics[a.VifInfo.Mac.String()] = a.Name
			name := app.DisplayName + " " + a.Name
			ns, err := guestns.New(filepath.Join(w.root, strings.ReplaceAll(name, " ", "-")), a, nim.NamespacePath(w.root, a.Network.String()))
			if err != nil {
				t.Fatalf("attach %s: %v", name, err)
			}
			t.Cleanup(func() {
				if err := ns.Close(); err != nil {
					t.Error(err)
				}
			})
			w.guests[name] = &guest{Guest: ns, app: app.DisplayName, nics: nics, status: a}
		}
	}
}

// collect returns what a topic of the service holds, by key.
func collect[T any](t *testing.T, w *world, topic pubsub.Topic[T]) map[string]T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	values, synced := make(map[string]T), false
	err := pubsub.Subscribe(ctx, &socket.Driver{Root: w.root}, topic, func(e pubsub.Event[T]) {
		switch e.Kind {
		case pubsub.Synced:
			synced = true
			cancel()
		case pubsub.Delete:
			delete(values, e.Key)
		default:
			values[e.Key] = e.Value
		}
	})
	if err != nil || !synced {
		t.Fatalf("read topic: %v, all of it: %t", err, synced)
	}
	return values
}

// run runs a program in the guest, with a text to read, and returns what it writes.
func (g *guest) run(t *testing.T, stdin, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientLimit)
	defer cancel()
	cmd := g.Command(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, &stderr, out)
	}
	return out
}
