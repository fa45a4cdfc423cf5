// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/lf-edge/eve-metadata/nim"
	"github.com/lf-edge/eve-metadata/nim/intake"
	"github.com/lf-edge/eve-metadata/nim/kernel"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
	"github.com/lf-edge/eve-metadata/pkg/topics"
	"github.com/lf-edge/eve-metadata/tests/netns/guestns"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
)

// patience ends a test that waits for something that does not come. It is not waited for otherwise.
const patience = time.Minute

// world is a feed, a manager that can be stopped and started again, and an eye on what it publishes.
type world struct {
	t      testing.TB
	root   string
	driver pubsub.Driver
	topics topics.Set // that its managers follow
	board  *endpoint.Board
	log    *logrus.Logger // of the managers
	logged *logtest.Hook

	networks *pubsub.Publication[eve.NetworkInstanceConfig]
	apps     *pubsub.Publication[eve.AppInstanceConfig]
	metadata *pubsub.Publication[eve.InstanceMetadata]
	about    *pubsub.Publication[eve.NetworkMetadata]

	mu       sync.Mutex
	netState map[string]eve.NetworkInstanceStatus
	appState map[string]eve.AppNetworkStatus
	changed  chan struct{}

	stop func()
}

// drivers are the ways in which topics are carried.
func drivers() map[string]func(root string) pubsub.Driver {
	return map[string]func(string) pubsub.Driver{
		"memory": func(string) pubsub.Driver { return &memory.Driver{} },
		"socket": func(root string) pubsub.Driver { return &socket.Driver{Root: root} },
	}
}

func quiet() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

// newWorld opens the feed's topics. No manager runs yet.
func newWorld(t testing.TB, driver func(root string) pubsub.Driver) *world {
	t.Helper()
	sandbox.Need(t)
	w := &world{
		t: t, root: t.TempDir(), board: endpoint.NewBoard(), stop: func() {},
		netState: map[string]eve.NetworkInstanceStatus{}, appState: map[string]eve.AppNetworkStatus{},
		changed: make(chan struct{}, 1),
	}
	w.driver = driver(w.root)
	w.log, w.logged = logtest.NewNullLogger()
	w.networks = publish[eve.NetworkInstanceConfig](w)
	w.apps = publish[eve.AppInstanceConfig](w)
	w.metadata = publish[eve.InstanceMetadata](w)
	w.about = publish[eve.NetworkMetadata](w)
	watch(w, topics.Own().NetworkStatus, w.netState)
	watch(w, topics.Own().AppStatus, w.appState)
	w.answer()
	t.Cleanup(func() {
		w.stop()
		if err := nim.Remove(context.Background(), w.config()); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return w
}

func publish[T any](w *world) *pubsub.Publication[T] {
	p, err := pubsub.NewPublication(w.driver, pubsub.TopicOf[T](eve.AgentFeed))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = p.Close() })
	return p
}

// watch keeps a copy of a topic.
func watch[T any](w *world, topic pubsub.Topic[T], to map[string]T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- pubsub.Subscribe(ctx, w.driver, topic, func(e pubsub.Event[T]) {
			w.mu.Lock()
			defer w.mu.Unlock()
			switch e.Kind {
			case pubsub.Create, pubsub.Modify:
				to[e.Key] = e.Value
			case pubsub.Delete:
				delete(to, e.Key)
			}
			w.poke()
		})
	}()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("watch %s: %v", topic.Name(), err)
		}
	})
}

func (w *world) poke() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// answer accepts on every socket on the board, and tells who connects the name of the socket's network.
func (w *world) answer() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		known := map[net.Listener]bool{}
		for set := range w.board.Watch(ctx) {
			for _, e := range set {
				if !known[e.Listener] {
					known[e.Listener] = true
					wg.Go(func() { answerOne(e) })
				}
			}
			w.poke()
		}
	})
	w.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

func answerOne(e endpoint.Endpoint) {
	for {
		conn, err := e.Listener.Accept()
		if err != nil {
			return // closed by the manager
		}
		_, _ = io.WriteString(conn, e.Network)
		_ = conn.Close()
	}
}

// await returns when ok does not object any more. It is asked again after each change of what the manager publishes.
func (w *world) await(what string, ok func() error) {
	w.t.Helper()
	late := time.After(patience)
	for {
		err := func() error {
			w.mu.Lock()
			defer w.mu.Unlock()
			return ok()
		}()
		if err == nil {
			return
		}
		select {
		case <-w.changed:
		case <-late:
			w.t.Fatalf("%s: %v", what, err)
		}
	}
}

// start runs a manager, until w.stop, and waits until it is ready.
func (w *world) start() {
	w.t.Helper()
	ready, ended := w.run()
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		w.t.Fatalf("manager ended: %v", err)
	case <-time.After(patience):
		w.t.Fatal("manager is not ready")
	}
}

// config is that of the world's managers.
func (w *world) config() nim.Config {
	return nim.Config{Driver: w.driver, Topics: w.topics, Root: w.root, Board: w.board, Log: w.log}
}

// run runs a manager until w.stop.
func (w *world) run() (ready <-chan struct{}, ended chan error) {
	w.t.Helper()
	m, err := nim.New(w.config())
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("run manager: %v", err)
		}
		w.stop = func() {}
	}
	return m.Ready(), done
}

// complete says that the feed has told everything.
func (w *world) complete() {
	w.t.Helper()
	err := errors.Join(w.networks.SignalRestarted(), w.apps.SignalRestarted(), w.metadata.SignalRestarted(), w.about.SignalRestarted())
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) setNetwork(n eve.NetworkInstanceConfig) {
	w.t.Helper()
	if err := w.networks.Set(n.UUID.String(), n); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) setApp(a eve.AppInstanceConfig) {
	w.t.Helper()
	if err := w.apps.Set(a.UUIDandVersion.UUID.String(), a); err != nil {
		w.t.Fatal(err)
	}
}

// awaitApp returns an app instance's state once that suits.
func (w *world) awaitApp(app eve.AppInstanceConfig, suits func(eve.AppNetworkStatus) bool) eve.AppNetworkStatus {
	w.t.Helper()
	var s eve.AppNetworkStatus
	w.await("state of app instance "+app.DisplayName, func() error {
		var ok bool
		if s, ok = w.appState[app.UUIDandVersion.UUID.String()]; ok && suits(s) {
			return nil
		}
		return fmt.Errorf("it is %s", asJSON(s))
	})
	return s
}

// attached tells whether all of an app instance's adapters are there.
func attached(s eve.AppNetworkStatus) bool {
	for _, a := range s.AppNetAdapterList {
		if a.VifUsed == "" {
			return false
		}
	}
	return s.Activated
}

func asJSON(v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// guest starts a guest on the only adapter of an app instance.
func (w *world) guest(app eve.AppInstanceConfig) *guestns.Guest {
	w.t.Helper()
	s := w.awaitApp(app, attached)
	port := s.AppNetAdapterList[0]
	g, err := guestns.New(filepath.Join(w.root, "guests", app.DisplayName), port, nim.NamespacePath(w.root, port.Network.String()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := g.Close(); err != nil {
			w.t.Errorf("close guest: %v", err)
		}
	})
	return g
}

// ask returns who answers a guest at the metadata address.
func (w *world) ask(g *guestns.Guest) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := g.DialContext(ctx, "tcp", "169.254.169.254:80")
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err := errors.Join(err, conn.Close()); err != nil {
		w.t.Fatal(err)
	}
	return string(answer)
}

// seen returns what the kernel has of a network, and the namespace's identity.
func (w *world) seen(n eve.NetworkInstanceConfig) (plan.Namespace, uint64) {
	w.t.Helper()
	ns, id, err := w.look(n)
	if err != nil {
		w.t.Fatal(err)
	}
	return ns, id
}

// look is seen for those who can not rely on nothing being changed meanwhile.
func (w *world) look(n eve.NetworkInstanceConfig) (ns plan.Namespace, id uint64, err error) {
	name := plan.NamespaceName(n.UUID.String())
	s, err := kernel.New(w.root).Open(plan.Network{Namespace: name, Bridge: plan.Bridge{Name: intake.BridgeName}})
	if err != nil {
		return ns, 0, err
	}
	seen, err := s.Observe()
	return seen[name], s.ID(), errors.Join(err, s.Close())
}

// The configs of the tests.

func localNetwork(name, subnet string) eve.NetworkInstanceConfig {
	p := netip.MustParsePrefix(subnet)
	return eve.NetworkInstanceConfig{
		UUIDandVersion: eve.UUIDandVersion{UUID: uuid.NewSHA1(uuid.NameSpaceOID, []byte("network "+name)), Version: "1"},
		DisplayName:    name, Type: eve.NetworkInstanceTypeLocal, Activate: true, IpType: eve.AddressTypeIPV4,
		Subnet:  &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())},
		Gateway: p.Addr().Next().AsSlice(),
	}
}

func container(name string, networks ...eve.NetworkInstanceConfig) eve.AppInstanceConfig {
	a := eve.AppInstanceConfig{
		UUIDandVersion: eve.UUIDandVersion{UUID: uuid.NewSHA1(uuid.NameSpaceOID, []byte("app "+name)), Version: "1"},
		DisplayName:    name, Activate: true,
		FixedResources: eve.VmConfig{VirtualizationMode: eve.VmModeNoHyper},
	}
	for i, n := range networks {
		a.AppNetAdapterList = append(a.AppNetAdapterList, eve.AppNetAdapterConfig{Name: fmt.Sprintf("eth%d", i), Network: n.UUID})
	}
	return a
}
