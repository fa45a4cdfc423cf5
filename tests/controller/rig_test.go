// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/lf-edge/eve-api/go/config"
	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	feed "github.com/lf-edge/eve-metadata/pkg/feed/controller"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
	"github.com/lf-edge/eve-metadata/pkg/topics"
	"github.com/lf-edge/eve-metadata/tests/controller"
)

// rig is a device with the real feed, and its controller.
type rig struct {
	*controller.Controller
	t    *testing.T
	wire wire
	root string
	api  int // version of the API that the feed speaks; 0: its own choice
	n    int // of the requests, those that a test has waited for
	// patience is how long await waits: longer than the feed after failures, and shorter than a day.
	patience time.Duration

	*run
}

// run is one run of the feed, and what it published.
type run struct {
	stop   func()
	log    *test.Hook
	apps   *table[eve.AppInstanceConfig]
	nets   *table[eve.NetworkInstanceConfig]
	node   *table[eve.EdgeNodeInfo]
	theirs *table[eve.ControllerCert]
	ours   *table[eve.EdgeNodeCert]
	state  *table[eve.ControllerStatus]
}

// inBubble runs a test with a rig that the controller expects. Time does not pass but for the feed's timers.
func inBubble(t *testing.T, f func(*rig)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, root: t.TempDir(), patience: time.Hour}
		r.Controller = controller.Start(t, controller.Config{Listen: r.wire.listen})
		if err := r.Provision(r.root, serial); err != nil {
			t.Fatal(err)
		}
		f(r)
	})
}

// start runs the feed until stop or the test ends it.
func (r *rig) start() {
	r.t.Helper()
	log, hook := test.NewNullLogger()
	log.SetOutput(io.Discard)
	driver := &memory.Driver{}
	transport := &http.Transport{
		DialContext:     r.wire.dial,
		TLSClientConfig: &tls.Config{RootCAs: pool(r.PKI().Root), Certificates: []tls.Certificate{r.deviceCert()}},
	}
	cfg := feed.Config{
		Driver:      driver,
		Log:         log,
		Root:        r.root,
		Server:      r.Addr(),
		API:         r.api,
		OnboardCert: r.path("config/onboard.cert.pem"),
		OnboardKey:  r.path("config/onboard.key.pem"),
		Serial:      serial,
		Transport:   transport,
	}
	if r.api == feed.V1 {
		cfg.OnboardCert, cfg.OnboardKey = "", ""
	}
	f, err := feed.New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	own := topics.Own()
	r.run = &run{log: hook}
	var tasks sync.WaitGroup
	r.apps = follow(ctx, r.t, &tasks, driver, own.Apps)
	r.nets = follow(ctx, r.t, &tasks, driver, own.Networks)
	r.node = follow(ctx, r.t, &tasks, driver, own.Node)
	r.theirs = follow(ctx, r.t, &tasks, driver, own.ControllerCerts)
	r.ours = follow(ctx, r.t, &tasks, driver, own.DeviceCerts)
	r.state = follow(ctx, r.t, &tasks, driver, pubsub.TopicOf[eve.ControllerStatus](eve.AgentFeed))
	tasks.Go(func() {
		if err := f.Run(ctx); err != nil {
			r.t.Errorf("feed: %v", err)
		}
	})
	r.stop = sync.OnceFunc(func() {
		cancel()
		tasks.Wait()
		transport.CloseIdleConnections()
	})
	r.t.Cleanup(r.stop)
}

func (r *rig) path(name string) string { return filepath.Join(r.root, name) }

func (r *rig) deviceCert() tls.Certificate {
	r.t.Helper()
	pair, err := tls.LoadX509KeyPair(r.path("config/device.cert.pem"), r.path("config/device.key.pem"))
	if err != nil {
		r.t.Fatal(err)
	}
	return pair
}

// await waits for an action to be answered with a status, after what was waited for before, and for what comes of it.
func (r *rig) await(action string, status int) controller.Request {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), r.patience)
	defer cancel()
	rq, n, err := r.Wait(ctx, r.n, action, status)
	if err != nil {
		r.t.Fatalf("%v\nstatus: %+v\nlog: %v", err, r.status(), r.told())
	}
	r.n = n
	synctest.Wait()
	return rq
}

// fresh forgets the requests that came up to now.
func (r *rig) fresh() {
	synctest.Wait()
	r.n = len(r.Requests())
}

// configure gives all devices a configuration with apps of these names.
func (r *rig) configure(apps ...string) {
	r.t.Helper()
	r.setConfig(r.configOf(apps...))
}

func (r *rig) setConfig(cfg *config.EdgeDevConfig) {
	r.t.Helper()
	if err := r.SetConfig(uuid.Nil, cfg); err != nil {
		r.t.Fatal(err)
	}
}

// configOf is the recorded configuration with apps of these names, of which none is encrypted.
func (r *rig) configOf(apps ...string) *config.EdgeDevConfig {
	r.t.Helper()
	cfg := &config.EdgeDevConfig{}
	if err := json.Unmarshal(read(r.t, "config-put.json"), cfg); err != nil {
		r.t.Fatal(err)
	}
	plain := cfg.GetApps()[1]
	cfg.Id, cfg.CipherContexts, cfg.Apps = nil, nil, nil
	for _, name := range apps {
		app := proto.CloneOf(plain)
		app.Displayname = name
		app.Uuidandversion.Uuid = uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)).String()
		cfg.Apps = append(cfg.Apps, app)
	}
	return cfg
}

// expect compares the names of the apps that are published.
func (r *rig) expect(what string, apps ...string) {
	r.t.Helper()
	var got []string
	for _, a := range r.apps.get() {
		got = append(got, a.DisplayName)
	}
	slices.Sort(got)
	if !slices.Equal(got, apps) {
		r.t.Errorf("%s: apps are %q, want %q; status: %+v; requests: %v", what, got, apps, r.status(), r.Requests())
	}
}

// expectWell checks that nothing is wrong.
func (r *rig) expectWell(what string) {
	r.t.Helper()
	if s := r.status(); s.Error != "" || s.FromFile || s.ConfigHash == "" {
		r.t.Errorf("%s: status is %+v", what, s)
	}
}

// expectTold checks that the status says what is wrong, and that the log has said so n times.
func (r *rig) expectTold(what, wrong string, n int) {
	r.t.Helper()
	if s := r.status(); !strings.Contains(s.Error, wrong) || s.ErrorTime.IsZero() {
		r.t.Errorf("%s: status says %q, want %q", what, s.Error, wrong)
	}
	times := 0
	for _, line := range r.told() {
		if strings.Contains(line, wrong) {
			times++
		}
	}
	if times != n {
		r.t.Errorf("%s: %q is said %d times in the log, want %d: %q", what, wrong, times, n, r.told())
	}
}

// told is what is wrong according to the log.
func (r *rig) told() []string {
	var lines []string
	for _, e := range r.log.AllEntries() {
		if e.Level > logrus.WarnLevel {
			continue
		}
		line, err := e.String()
		if err != nil {
			r.t.Error(err)
		}
		lines = append(lines, line)
	}
	return lines
}

func (r *rig) status() eve.ControllerStatus { return r.state.get()[eve.GlobalKey] }

// table is what a subscriber of a topic knows.
type table[T any] struct {
	mu     sync.Mutex
	values map[string]T
	events int
}

func (t *table[T]) get() map[string]T {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.values)
}

// count is how many events there were.
func (t *table[T]) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.events
}

func (t *table[T]) event(e pubsub.Event[T]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e.Kind {
	case pubsub.Create, pubsub.Modify:
		t.values[e.Key] = e.Value
		t.events++
	case pubsub.Delete:
		delete(t.values, e.Key)
		t.events++
	}
}

// follow subscribes to a topic until ctx ends.
func follow[T any](ctx context.Context, t *testing.T, tasks *sync.WaitGroup, d pubsub.Driver, topic pubsub.Topic[T]) *table[T] {
	tab := &table[T]{values: map[string]T{}}
	tasks.Go(func() {
		if err := pubsub.Subscribe(ctx, d, topic, tab.event); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("follow %s: %v", topic.Name(), err)
		}
	})
	return tab
}
