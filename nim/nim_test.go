// SPDX-License-Identifier: Apache-2.0

package nim_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"go.uber.org/goleak"

	"github.com/lf-edge/eve-metadata/nim"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/nim/plan/plantest"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
	"github.com/lf-edge/eve-metadata/pkg/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a manager on a kernel of memory, in a bubble of time of its own: after settle nothing is left to be done until
// time passes.
type bench struct {
	t        *testing.T
	driver   *memory.Driver
	topics   topics.Set  // that the managers follow
	full     atomic.Bool // nothing that a manager publishes gets to the disk
	kernel   *plantest.Kernel
	fake     *nim.Fake // of the manager that runs
	board    *endpoint.Board
	listen   func(netip.AddrPort) (net.Listener, error) // nil: everything works
	log      *logtest.Hook
	manager  *nim.Manager
	networks *pubsub.Publication[eve.NetworkInstanceConfig]
	apps     *pubsub.Publication[eve.AppInstanceConfig]
	metadata *pubsub.Publication[eve.InstanceMetadata]
	about    *pubsub.Publication[eve.NetworkMetadata]
	state    struct {
		sync.Mutex
		networks    map[string]eve.NetworkInstanceStatus
		apps        map[string]eve.AppNetworkStatus
		attachments map[string]eve.NetworkAttachment
	}
}

func withBench(t *testing.T, test func(b *bench)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, driver: &memory.Driver{}, kernel: plantest.New(nil), board: endpoint.NewBoard()}
		b.state.networks, b.state.apps = map[string]eve.NetworkInstanceStatus{}, map[string]eve.AppNetworkStatus{}
		b.state.attachments = map[string]eve.NetworkAttachment{}
		b.networks = publish[eve.NetworkInstanceConfig](b)
		b.apps = publish[eve.AppInstanceConfig](b)
		b.metadata = publish[eve.InstanceMetadata](b)
		b.about = publish[eve.NetworkMetadata](b)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		watch(ctx, b, topics.Own().NetworkStatus, b.state.networks)
		watch(ctx, b, topics.Own().AppStatus, b.state.apps)
		watch(ctx, b, nim.AttachmentTopic(), b.state.attachments)
		test(b)
	})
}

func publish[T any](b *bench) *pubsub.Publication[T] {
	p, err := pubsub.NewPublication(b.driver, pubsub.TopicOf[T](eve.AgentFeed))
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func watch[T any](ctx context.Context, b *bench, topic pubsub.Topic[T], to map[string]T) {
	go func() {
		err := pubsub.Subscribe(ctx, b.driver, topic, func(e pubsub.Event[T]) {
			b.state.Lock()
			defer b.state.Unlock()
			switch e.Kind {
			case pubsub.Create, pubsub.Modify:
				to[e.Key] = e.Value
			case pubsub.Delete:
				delete(to, e.Key)
			}
		})
		if err != nil {
			b.t.Errorf("watch %s: %v", topic.Name(), err)
		}
	}()
}

// network returns the published state of a network, given its name.
func (b *bench) network(name string) eve.NetworkInstanceStatus {
	b.state.Lock()
	defer b.state.Unlock()
	return b.state.networks[key(name)]
}

// app returns the published state of an app instance, given its name.
func (b *bench) app(name string) eve.AppNetworkStatus {
	b.state.Lock()
	defer b.state.Unlock()
	return b.state.apps[key(name)]
}

// attachment returns where a network is published to be, given its name.
func (b *bench) attachment(name string) eve.NetworkAttachment {
	b.state.Lock()
	defer b.state.Unlock()
	return b.state.attachments[key(name)]
}

// allApps returns the published state of all app instances, by UUID.
func (b *bench) allApps() map[string]eve.AppNetworkStatus {
	b.state.Lock()
	defer b.state.Unlock()
	return maps.Clone(b.state.apps)
}

// start runs a manager and returns what stops it.
func (b *bench) start() (stop func()) {
	b.t.Helper()
	log, hook := logtest.NewNullLogger()
	b.log = hook
	m, err := nim.New(nim.Config{Driver: disk{b.driver, &b.full}, Topics: b.topics, Board: b.board, Log: log, DryRun: true})
	if err != nil {
		b.t.Fatal(err)
	}
	b.fake = m.OnFake(b.kernel, func(addr netip.AddrPort) (net.Listener, error) {
		if b.listen != nil {
			return b.listen(addr)
		}
		return newListener(), nil
	})
	b.manager = m
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	return func() {
		b.t.Helper()
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("run manager: %v", err)
		}
	}
}

// disk is a driver whose publishers can not write while the disk is full.
type disk struct {
	pubsub.Driver
	full *atomic.Bool
}

func (d disk) Publish(t pubsub.Table) (pubsub.RawPublisher, error) {
	p, err := d.Driver.Publish(t)
	return publisher{p, d.full}, err
}

type publisher struct {
	pubsub.RawPublisher
	full *atomic.Bool
}

func (p publisher) Set(key string, value []byte) error {
	if p.full.Load() {
		return syscall.ENOSPC
	}
	return p.RawPublisher.Set(key, value)
}

func (p publisher) Delete(key string) error {
	if p.full.Load() {
		return syscall.EROFS
	}
	return p.RawPublisher.Delete(key)
}

// listener accepts nobody.
type listener struct {
	net.Listener
	closed chan struct{}
}

func newListener() *listener { return &listener{closed: make(chan struct{})} }

func (l *listener) Close() error {
	close(l.closed)
	return nil
}

func (b *bench) must(errs ...error) {
	b.t.Helper()
	if err := errors.Join(errs...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) complete() {
	b.t.Helper()
	b.must(b.networks.SignalRestarted(), b.metadata.SignalRestarted(), b.about.SignalRestarted(), b.apps.SignalRestarted())
}

func (b *bench) ready() bool {
	select {
	case <-b.manager.Ready():
		return true
	default:
		return false
	}
}

// errors returns the logged messages above Info, each with its error.
func (b *bench) errors() (all []string) {
	for _, e := range b.log.AllEntries() {
		if e.Level < logrus.InfoLevel {
			all = append(all, fmt.Sprintf("%s: %v", e.Message, e.Data["error"]))
		}
	}
	b.log.Reset()
	return all
}

var metadataPrefix = netip.MustParsePrefix("169.254.169.254/32")

func id(name string) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)) }
func key(name string) string   { return id(name).String() }

func network(name string) eve.NetworkInstanceConfig {
	return eve.NetworkInstanceConfig{
		UUIDandVersion: eve.UUIDandVersion{UUID: id(name)}, DisplayName: name, Type: eve.NetworkInstanceTypeLocal, Activate: true,
		Subnet: &net.IPNet{IP: net.IPv4(10, 0, 0, 0).To4(), Mask: net.CIDRMask(16, 32)}, Gateway: net.IPv4(10, 0, 0, 1),
	}
}

func app(name string, networks ...string) eve.AppInstanceConfig {
	a := eve.AppInstanceConfig{UUIDandVersion: eve.UUIDandVersion{UUID: id(name)}, DisplayName: name, Activate: true,
		FixedResources: eve.VmConfig{VirtualizationMode: eve.VmModeNoHyper}}
	for i, n := range networks {
		a.AppNetAdapterList = append(a.AppNetAdapterList, eve.AppNetAdapterConfig{Name: fmt.Sprintf("eth%d", i), Network: id(n)})
	}
	return a
}

func (b *bench) setNetwork(names ...string) {
	b.t.Helper()
	for _, name := range names {
		b.must(b.networks.Set(key(name), network(name)))
	}
}

func (b *bench) setApp(a eve.AppInstanceConfig) {
	b.t.Helper()
	b.must(b.apps.Set(a.UUIDandVersion.UUID.String(), a))
}

// Ready means that the feed has told everything and that everything has been tried.
func TestReady(t *testing.T) {
	withBench(t, func(b *bench) {
		stop := b.start()
		defer stop()
		synctest.Wait()
		if b.ready() {
			t.Error("ready before the feed has told anything")
		}
		b.setNetwork("blue")
		synctest.Wait()
		if b.ready() {
			t.Error("ready before the feed has told everything")
		}
		if b.kernel.ID(plan.NamespaceName(key("blue"))) == 0 {
			t.Error("what is wanted for sure is not made before the feed has told everything")
		}
		b.complete()
		synctest.Wait()
		if !b.ready() {
			t.Error("not ready when the feed has told everything")
		}
	})
}

// A failure is told in the status, logged once, tried again later and later, and is over when it is over.
func TestRetry(t *testing.T) {
	withBench(t, func(b *bench) {
		began := time.Now()
		attempts := make(chan time.Duration, 100)
		var repaired atomic.Bool
		b.kernel.Fail = func(s plan.Step) error {
			if add, ok := s.(plan.AddrAdd); ok && !repaired.Load() && add.Prefix == metadataPrefix {
				attempts <- time.Since(began)
				return errors.New("no such luck")
			}
			return nil
		}
		b.setNetwork("blue")
		b.setApp(app("web", "blue"))
		b.complete()
		stop := b.start()
		defer stop()
		time.Sleep(10 * time.Second) // of the bubble's time: the test does not wait
		synctest.Wait()
		s := b.network("blue")
		if !strings.Contains(s.ReconcileErr.Error, "addr add 169.254.169.254/32 dev br0: no such luck") || s.Error != s.ReconcileErr.Error {
			t.Errorf("error in the status is %q and %q", s.ReconcileErr.Error, s.Error)
		}
		if got := s.ReconcileErr.ErrorTime.Sub(began); got > 0 {
			t.Errorf("error is said to be %v younger than it is", got)
		}
		if got := b.errors(); len(got) != 1 {
			t.Errorf("logged %q, want one error", got)
		}
		for i, want := range []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second} {
			if got := <-attempts; got != want {
				t.Errorf("attempt %d after %v, want %v", i, got, want)
			}
		}
		if more := len(attempts); more > 0 {
			t.Errorf("%d attempts more than there should be", more)
		}
		if !b.app("web").Activated {
			t.Error("the port is not there, though nothing was wrong with it")
		}
		repaired.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := b.network("blue"); s.Error != "" || s.ReconcileErr.Error != "" || !s.Activated {
			t.Errorf("after the repair the status is %+v", s)
		}
		b.kernel.Steps()
		time.Sleep(time.Hour)
		synctest.Wait()
		if steps := b.kernel.Steps(); len(steps) > 0 {
			t.Errorf("steps with nothing to do: %v", steps)
		}
	})
}

// What happens meanwhile does not put off the next attempt.
func TestRetryIsNotPutOff(t *testing.T) {
	withBench(t, func(b *bench) {
		var freed atomic.Bool
		b.listen = func(addr netip.AddrPort) (net.Listener, error) {
			if addr.Port() == 8080 && !freed.Load() {
				return nil, syscall.EADDRINUSE
			}
			return newListener(), nil
		}
		b.setNetwork("blue")
		b.complete()
		stop := b.start()
		defer stop()
		for i := range 10 {
			synctest.Wait()
			b.setApp(app(fmt.Sprint(i), "blue"))
		}
		synctest.Wait()
		freed.Store(true)
		time.Sleep(time.Second) // of the bubble's time
		synctest.Wait()
		if s := b.network("blue"); s.Error != "" {
			t.Errorf("after a second the error is %q", s.Error)
		}
	})
}

// An adapter that can not be had does not keep the others from being served.
func TestAdapterFails(t *testing.T) {
	withBench(t, func(b *bench) {
		vm := app("vm", "blue")
		vm.FixedResources.VirtualizationMode = eve.VmModeHVM
		b.kernel.Fail = func(s plan.Step) error {
			if add, ok := s.(plan.LinkAdd); ok && add.Kind == "tap" {
				return errors.New("no taps here")
			}
			return nil
		}
		b.setNetwork("blue")
		b.setApp(vm)
		b.setApp(app("web", "blue", "blue", "nowhere"))
		b.complete()
		stop := b.start()
		defer stop()
		synctest.Wait()
		if s := b.app("vm"); s.Activated || !strings.Contains(s.Error, "no taps here") || s.AppNetAdapterList[0].VifInfo.Mac != nil ||
			len(s.AppNetAdapterList[0].AssignedAddresses.IPv4Addrs) != 1 {
			t.Errorf("state of vm is %+v", s)
		}
		web := b.app("web")
		for i, want := range []bool{true, true, false} {
			if a := web.AppNetAdapterList[i]; (a.VifInfo.Mac != nil) != want || (a.Error == "") != want {
				t.Errorf("adapter %d of web is %+v", i, a)
			}
		}
		if !web.Activated || !strings.Contains(web.Error, "no such network instance") {
			t.Errorf("state of web is %+v", web)
		}
	})
}

// A config that became wrong leaves the last good state in force and says so.
func TestInvalidNetwork(t *testing.T) {
	withBench(t, func(b *bench) {
		b.setNetwork("blue")
		b.setApp(app("web", "blue"))
		b.complete()
		stop := b.start()
		defer stop()
		synctest.Wait()
		before := b.app("web").AppNetAdapterList[0]
		b.kernel.Steps()
		n := network("blue")
		n.Gateway = net.IPv4(192, 0, 2, 1)
		b.must(b.networks.Set(key("blue"), n))
		synctest.Wait()
		s := b.network("blue")
		if !strings.Contains(s.ValidationErr.Error, "gateway 192.0.2.1") || !s.Activated || !s.BridgeIPAddr.Equal(net.IPv4(10, 0, 0, 1)) {
			t.Errorf("state of network is %+v", s)
		}
		after := b.app("web").AppNetAdapterList[0]
		if after.Error == "" {
			t.Error("the adapter does not say that its network is wrong")
		}
		after.Error = ""
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("adapter (-before +after):\n%s", diff)
		}
		if steps := b.kernel.Steps(); len(steps) > 0 {
			t.Errorf("steps: %v", steps)
		}
	})
}

// Addresses survive whatever happens to the kernel, because the status is kept.
func TestAddressesSurviveReboot(t *testing.T) {
	withBench(t, func(b *bench) {
		b.setNetwork("blue")
		for i := range 20 {
			b.setApp(app(fmt.Sprint(i), "blue"))
		}
		b.complete()
		stop := b.start()
		synctest.Wait()
		before := addresses(b)
		stop()
		b.kernel = plantest.New(nil)
		b.must(b.apps.Delete(key("0"))) // its leaving must not move the others
		stop = b.start()
		defer stop()
		synctest.Wait()
		delete(before, key("0"))
		if diff := cmp.Diff(before, addresses(b)); diff != "" {
			t.Errorf("addresses (-before +after):\n%s", diff)
		}
	})
}

func addresses(b *bench) map[string]string {
	all := map[string]string{}
	for app, s := range b.allApps() {
		a := s.AppNetAdapterList[0]
		all[app] = fmt.Sprint(a.VifInfo.Mac, a.AssignedAddresses, a.VifUsed)
	}
	return all
}

// A change to one app instance is work on its networks only.
func TestOneAppOneNetwork(t *testing.T) {
	withBench(t, func(b *bench) {
		b.setNetwork("blue", "green", "red")
		b.setApp(app("web", "blue"))
		b.complete()
		stop := b.start()
		defer stop()
		synctest.Wait()
		b.kernel.Steps()
		b.setApp(app("web", "green"))
		synctest.Wait()
		touched := map[string]bool{}
		for _, s := range b.kernel.Steps() {
			ns, _ := s.On()
			touched[plan.NetworkOf(ns)] = true
		}
		if diff := cmp.Diff(map[string]bool{key("blue"): true, key("green"): true}, touched); diff != "" {
			t.Errorf("touched networks (-want +got):\n%s", diff)
		}
	})
}

// What could not be told because the disk was full is told once there is room, without any other change; the log says it
// once.
func TestDiskFull(t *testing.T) {
	withBench(t, func(b *bench) {
		b.setNetwork("blue", "green")
		b.setApp(app("web", "blue"))
		b.setApp(app("db", "green"))
		b.complete()
		stop := b.start()
		defer stop()
		synctest.Wait()
		b.full.Store(true)
		b.setApp(app("edge", "blue"))
		b.must(b.apps.Delete(key("db")))
		synctest.Wait()
		b.must(b.networks.Delete(key("green")))
		time.Sleep(10 * time.Minute) // of the bubble's time
		synctest.Wait()
		if got := len(b.allApps()); got != 2 {
			t.Errorf("%d app instances are known while the disk is full, want 2", got)
		}
		logged := b.errors()
		slices.Sort(logged)
		if once := slices.Compact(slices.Clone(logged)); len(once) < 4 || len(once) != len(logged) {
			t.Errorf("logged %q, want errors on two networks and two app instances, none twice", logged)
		}
		b.full.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		var apps []string
		for _, s := range b.allApps() {
			apps = append(apps, s.DisplayName)
		}
		slices.Sort(apps)
		if diff := cmp.Diff([]string{"edge", "web"}, apps); diff != "" {
			t.Errorf("app instances that are known (-want +got):\n%s", diff)
		}
		if s := b.network("blue"); len(s.Vifs) != 2 {
			t.Errorf("blue has %d ports, want 2", len(s.Vifs))
		}
		if s := b.network("green"); s.DisplayName != "" {
			t.Errorf("green is still known: %+v", s)
		}
	})
}

// More ports than a topic's value can list are not listed, and are there all the same.
func TestManyPorts(t *testing.T) {
	withBench(t, func(b *bench) {
		b.setNetwork("blue")
		for i := range nim.MaxListedPorts + 1 {
			b.setApp(app(fmt.Sprint(i), "blue"))
		}
		b.complete()
		stop := b.start()
		defer stop()
		synctest.Wait()
		if s := b.network("blue"); len(s.Vifs) != 0 || !s.Activated || s.Error != "" {
			t.Errorf("state of network is %+v", s)
		}
		if n := len(b.allApps()); n != nim.MaxListedPorts+1 {
			t.Errorf("%d app instances, want %d", n, nim.MaxListedPorts+1)
		}
		b.must(b.apps.Delete(key("0")))
		synctest.Wait()
		if s := b.network("blue"); len(s.Vifs) != nim.MaxListedPorts || len(s.IPAssignments) != nim.MaxListedPorts {
			t.Errorf("%d ports and %d addresses listed, want %d", len(s.Vifs), len(s.IPAssignments), nim.MaxListedPorts)
		}
	})
}

// However many adapters fail, the network's status gets through pubsub and the log stays readable, and each app instance
// is told its own error.
func TestManyErrors(t *testing.T) {
	withBench(t, func(b *bench) {
		const adapters = 1000
		b.kernel.Fail = func(s plan.Step) error {
			if set, ok := s.(plan.LinkSet); ok && set.Master != "" {
				return errors.New("exchange full")
			}
			return nil
		}
		n := network("blue") // and a range with too few addresses
		n.DhcpRange = eve.IPRange{Start: net.IPv4(10, 0, 0, 2), End: net.IPv4(10, 0, 0, 101)}
		b.must(b.networks.Set(key("blue"), n))
		for i := range adapters {
			b.setApp(app(fmt.Sprint(i), "blue"))
		}
		b.complete()
		stop := b.start()
		defer stop()
		synctest.Wait()
		s := b.network("blue")
		for _, want := range []struct {
			what, text, more string
			got              eve.ErrorAndTime
		}{
			{"AllocationErr", "no free address is left", "\nand 884 more", s.AllocationErr},
			{"ReconcileErr", "exchange full", "\nand 984 more", s.ReconcileErr},
		} {
			if !strings.HasSuffix(want.got.Error, want.more) || strings.Count(want.got.Error, want.text) != 16 {
				t.Errorf("%s is %q", want.what, want.got.Error)
			}
		}
		full, exhausted := 0, 0
		for _, s := range b.allApps() {
			if strings.Contains(s.Error, "exchange full") {
				full++
			}
			if strings.Contains(s.Error, "no free address is left") {
				exhausted++
			}
		}
		if full != adapters || exhausted != adapters-100 {
			t.Errorf("%d app instances are told of the bridge and %d of the range, want %d and %d", full, exhausted, adapters, adapters-100)
		}
		for _, line := range b.errors() {
			if len(line) > 4096 {
				t.Errorf("%d bytes in one line of the log", len(line))
			}
		}
	})
}

// The board has the sockets of each network that there is, and sockets that are not on it are closed.
func TestBoard(t *testing.T) {
	withBench(t, func(b *bench) {
		b.setNetwork("blue", "green")
		b.complete()
		stop := b.start()
		synctest.Wait()
		first, changed := b.board.Snapshot()
		of := func(network, gateway string) []string {
			id := key(network)
			return append(atMetadata(id), id+" 1 "+gateway+":80", id+" 2 "+gateway+":8080")
		}
		want := slices.Concat(of("blue", "10.0.0.1"), of("green", "10.0.0.1"))
		slices.Sort(want)
		if diff := cmp.Diff(want, names(first)); diff != "" {
			t.Errorf("endpoints (-want +got):\n%s", diff)
		}
		b.setApp(app("web", "blue"))
		synctest.Wait()
		select {
		case <-changed:
			t.Error("the board was told of a change that is none")
		default:
		}
		b.must(b.kernel.Apply(plan.NetnsDel{Netns: plan.NamespaceName(key("blue"))}), b.apps.Delete(key("web")))
		synctest.Wait()
		second, _ := b.board.Snapshot()
		if diff := cmp.Diff(want, names(second)); diff != "" {
			t.Errorf("endpoints (-want +got):\n%s", diff)
		}
		for i := range first {
			if same := first[i].Listener == second[i].Listener; same != (first[i].Network == key("green")) {
				t.Errorf("socket of %s is the same: %v", first[i].Network, same)
			}
		}
		n := network("green")
		n.Activate = false
		b.must(b.networks.Set(key("green"), n))
		synctest.Wait()
		third, _ := b.board.Snapshot()
		if diff := cmp.Diff(of("blue", "10.0.0.1"), names(third)); diff != "" {
			t.Errorf("endpoints (-want +got):\n%s", diff)
		}
		stop()
		for _, e := range slices.Concat(first, second) {
			<-e.Listener.(*listener).closed
		}
		if last, _ := b.board.Snapshot(); len(last) != 0 {
			t.Errorf("endpoints after the end: %v", names(last))
		}
	})
}

// A network's sockets do not depend on one another: one that cannot be opened is told and tried again while guests ask at
// the others, and a new gateway moves those of the router alone.
func TestSockets(t *testing.T) {
	withBench(t, func(b *bench) {
		b.setNetwork("blue")
		b.complete()
		var freed atomic.Bool
		b.listen = func(addr netip.AddrPort) (net.Listener, error) {
			if addr.Port() == 8080 && !freed.Load() {
				return nil, fmt.Errorf("listen %s: %w", addr, syscall.EADDRINUSE)
			}
			return newListener(), nil
		}
		stop := b.start()
		defer stop()
		synctest.Wait()
		id := key("blue")
		first, _ := b.board.Snapshot()
		if diff := cmp.Diff(append(atMetadata(id), id+" 1 10.0.0.1:80"), names(first)); diff != "" {
			t.Errorf("endpoints (-want +got):\n%s", diff)
		}
		if s := b.network("blue"); !s.Activated || !strings.Contains(s.Error, "listen 10.0.0.1:8080: address already in use") {
			t.Errorf("activated %t, error %q", s.Activated, s.Error)
		}
		freed.Store(true)
		time.Sleep(time.Minute) // of the bubble's time
		synctest.Wait()
		second, _ := b.board.Snapshot()
		if s := b.network("blue"); s.Error != "" || len(second) != 5 {
			t.Errorf("error %q, endpoints %v", s.Error, names(second))
		}
		n := network("blue")
		n.Gateway = net.IPv4(10, 0, 0, 254)
		b.must(b.networks.Set(id, n))
		synctest.Wait()
		third, _ := b.board.Snapshot()
		want := append(atMetadata(id), id+" 1 10.0.0.254:80", id+" 2 10.0.0.254:8080")
		if diff := cmp.Diff(want, names(third)); diff != "" {
			t.Errorf("endpoints (-want +got):\n%s", diff)
		}
		for i, same := range []bool{true, true, true, false, false} {
			if got := second[i].Listener == third[i].Listener; got != same {
				t.Errorf("socket %d is the same: %t, want %t", i, got, same)
			}
		}
		// On another bridge of that name, all of them are opened anew.
		b.must(b.fake.Disturb(plan.LinkDel{Netns: plan.NamespaceName(id), Link: "br0"}))
		time.Sleep(time.Second)
		synctest.Wait()
		fourth, _ := b.board.Snapshot()
		if diff := cmp.Diff(want, names(fourth)); diff != "" {
			t.Errorf("endpoints on another bridge (-want +got):\n%s", diff)
		}
		for i, e := range fourth {
			if e.Listener == third[i].Listener {
				t.Errorf("socket %d is on the bridge that has gone", i)
			}
		}
	})
}

// atMetadata are the sockets at the metadata addresses.
func atMetadata(id string) []string {
	return []string{id + " 0 169.254.169.254:80", id + " 0 [fd00:ec2::254]:80", id + " 0 [fe80::a9fe:a9fe%br0]:80"}
}

func names(set []endpoint.Endpoint) (all []string) {
	for _, e := range set {
		all = append(all, fmt.Sprint(e.Network, " ", int(e.Role), " ", e.Address))
	}
	return all
}

// Two managers can not publish the same topics.
func TestSecondManager(t *testing.T) {
	withBench(t, func(b *bench) {
		stop := b.start()
		defer stop()
		synctest.Wait()
		log, _ := logtest.NewNullLogger()
		m, err := nim.New(nim.Config{Driver: b.driver, Board: b.board, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Run(b.t.Context()); !errors.Is(err, pubsub.ErrInUse) {
			t.Errorf("second manager: %v, want %v", err, pubsub.ErrInUse)
		}
	})
}

// A dry run tells what would be and leaves no trace: nothing is posted, and nothing of the machine is touched.
func TestDryRun(t *testing.T) {
	withBench(t, func(b *bench) {
		b.setNetwork("blue")
		b.setApp(app("web", "blue"))
		b.complete()
		log, _ := logtest.NewNullLogger()
		m, err := nim.New(nim.Config{Driver: b.driver, Root: "/proc/nowhere", Board: b.board, Log: log, DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		<-m.Ready()
		synctest.Wait()
		if s := b.app("web"); !s.Activated || s.Error != "" || len(s.AppNetAdapterList[0].AssignedAddresses.IPv4Addrs) != 1 {
			t.Errorf("state of web is %+v", s)
		}
		if set, _ := b.board.Snapshot(); len(set) != 0 {
			t.Errorf("endpoints: %v", names(set))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// An address that the config names is given by DHCP all the same, as EVE does it, unless the guest is told to configure it
// itself.
func TestAssignedBy(t *testing.T) {
	withBench(t, func(b *bench) {
		b.setNetwork("blue")
		for name, ip := range map[string]net.IP{"any": nil, "fixed": net.IPv4(10, 0, 0, 5), "static": net.IPv4(10, 0, 0, 6)} {
			a := app(name, "blue")
			a.AppNetAdapterList[0].AppIPAddr = ip
			b.setApp(a)
		}
		b.must(b.metadata.Set(key("static"), eve.InstanceMetadata{
			AppUUID: id("static"), Adapters: []eve.AdapterMetadata{{Name: "eth0", StaticIPv4: true}},
		}))
		b.complete()
		stop := b.start()
		defer stop()
		synctest.Wait()
		got := map[string]eve.AddressSource{}
		for _, name := range []string{"any", "fixed", "static"} {
			got[name] = b.app(name).AppNetAdapterList[0].AssignedAddresses.IPv4Addrs[0].AssignedBy
		}
		want := map[string]eve.AddressSource{
			"any": eve.AddressSourceInternalDHCP, "fixed": eve.AddressSourceInternalDHCP, "static": eve.AddressSourceStatic,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("where addresses come from (-want +got):\n%s", diff)
		}
	})
}
