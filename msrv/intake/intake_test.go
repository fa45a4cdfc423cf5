// SPDX-License-Identifier: Apache-2.0

package intake_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"go.uber.org/goleak"

	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/intake"
	"github.com/lf-edge/eve-metadata/msrv/store"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
	"github.com/lf-edge/eve-metadata/pkg/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink tells what it is told, a line each.
type sink chan string

func (s sink) Put(i *instance.Instance) {
	s <- fmt.Sprintf("put %s at %v", i.Hostname, addresses(i))
}
func (s sink) Remove(uuid string) { s <- "remove " + uuid }
func (s sink) Complete(exists func(string) bool) {
	s <- fmt.Sprintf("complete, app %v, other %v", exists(appID), exists(otherID))
}
func (s sink) Synced() { s <- "synced" }

// bus is the five topics, open for writing.
type bus struct {
	apps            *pubsub.Publication[eve.AppInstanceConfig]
	metadata        *pubsub.Publication[eve.InstanceMetadata]
	networkMetadata *pubsub.Publication[eve.NetworkMetadata]
	status          *pubsub.Publication[eve.AppNetworkStatus]
	networks        *pubsub.Publication[eve.NetworkInstanceStatus]
}

func publish[T any](t *testing.T, d pubsub.Driver, agent string, opts ...pubsub.TopicOption) *pubsub.Publication[T] {
	t.Helper()
	p, err := pubsub.NewPublication(d, pubsub.TopicOf[T](agent, opts...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func newBus(t *testing.T, d pubsub.Driver) bus {
	t.Helper()
	return bus{
		apps:            publish[eve.AppInstanceConfig](t, d, eve.AgentFeed),
		metadata:        publish[eve.InstanceMetadata](t, d, eve.AgentFeed),
		networkMetadata: publish[eve.NetworkMetadata](t, d, eve.AgentFeed),
		status:          publish[eve.AppNetworkStatus](t, d, eve.AgentNim, pubsub.Persistent()),
		networks:        publish[eve.NetworkInstanceStatus](t, d, eve.AgentNim),
	}
}

func set[T any](t *testing.T, p *pubsub.Publication[T], key string, v T) {
	t.Helper()
	if err := p.Set(key, v); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, d pubsub.Driver) sink {
	t.Helper()
	log, _ := logtest.NewNullLogger()
	s := make(sink)
	in := intake.New(intake.Config{Driver: d, Topics: topics.Own(), Sink: s, Log: log})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for {
			select {
			case <-s: // nobody listens any more
			case err := <-done:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
				return
			}
		}
	})
	return s
}

// expect takes lines until the wanted one. The only others there may be are removals of what nobody
// was told of: facts that are not complete yet.
func (s sink) expect(t *testing.T, want string) {
	t.Helper()
	for got := range s {
		if got == want {
			return
		}
		if got != "remove "+appID {
			t.Fatalf("told %q, want %q", got, want)
		}
	}
}

// addresses are those among an instance's keys.
func addresses(i *instance.Instance) (keys []store.Key) {
	return slices.DeleteFunc(intake.Keys(i), func(k store.Key) bool { return !k.Address.IsValid() })
}

const guest = "put web-gw-1 at [" + blueID + " 10.11.12.2]"

func blue() eve.NetworkInstanceStatus { return network(blueID, "10.11.12.0/24", "10.11.12.1", nil) }

func onBlue(mac string) eve.AppNetworkStatus {
	return eve.AppNetworkStatus{AppNetAdapterList: []eve.AppNetAdapterStatus{
		vif("eth0", blueID, mac, addr("10.11.12.2", eve.AddressSourceInternalDHCP)),
	}}
}

func withAdapter() eve.AppInstanceConfig {
	return app(func(a *eve.AppInstanceConfig) {
		a.AppNetAdapterList = []eve.AppNetAdapterConfig{{Name: "eth0", Network: uuid.MustParse(blueID)}}
	})
}

// Whatever the order in which the topics come in, the instance is told of when it is whole.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	steps := []func(*testing.T, bus){
		func(t *testing.T, b bus) { set(t, b.apps, appID, withAdapter()) },
		func(t *testing.T, b bus) { set(t, b.status, appID, onBlue("02:16:3e:00:00:01")) },
		func(t *testing.T, b bus) { set(t, b.networks, blueID, blue()) },
	}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			t.Parallel()
			d := &memory.Driver{}
			b := newBus(t, d)
			s := start(t, d)
			s.expect(t, "synced")
			for _, i := range order {
				steps[i](t, b)
			}
			s.expect(t, guest)
		})
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	d := &memory.Driver{}
	b := newBus(t, d)
	set(t, b.apps, appID, withAdapter())
	set(t, b.status, appID, onBlue("02:16:3e:00:00:01"))
	set(t, b.networks, blueID, blue())
	s := start(t, d)
	s.expect(t, guest)
	s.expect(t, "synced")

	set(t, b.metadata, appID, eve.InstanceMetadata{Hostname: "renamed"})
	s.expect(t, "put renamed at ["+blueID+" 10.11.12.2]")
	if err := b.metadata.Delete(appID); err != nil {
		t.Fatal(err)
	}
	s.expect(t, guest)

	moved := onBlue("02:16:3e:00:00:01")
	moved.AppNetAdapterList[0].AssignedAddresses.IPv4Addrs[0].Address = net.ParseIP("10.11.12.3")
	set(t, b.status, appID, moved)
	s.expect(t, "put web-gw-1 at ["+blueID+" 10.11.12.3]")

	off := withAdapter()
	off.Activate = false
	set(t, b.apps, appID, off)
	if got := <-s; got != "remove "+appID {
		t.Errorf("app switched off: told %q", got)
	}
	set(t, b.apps, appID, withAdapter())
	s.expect(t, "put web-gw-1 at ["+blueID+" 10.11.12.3]")

	// A change of the network reaches the apps in it, and so does one of what is said about it.
	wider := blue()
	wider.DomainName = "wide.example"
	set(t, b.networks, blueID, wider)
	s.expect(t, "put web-gw-1 at ["+blueID+" 10.11.12.3]")
	for _, said := range []eve.NetworkMetadata{
		{Tokens: eve.TokensOff}, {SearchDomains: []string{"more.example"}}, {},
	} {
		set(t, b.networkMetadata, blueID, said)
		s.expect(t, "put web-gw-1 at ["+blueID+" 10.11.12.3]")
	}

	if err := b.apps.Delete(appID); err != nil {
		t.Fatal(err)
	}
	if got := <-s; got != "remove "+appID {
		t.Errorf("app deleted: told %q", got)
	}
}

// In a namespace of others a guest has its adapter even while nobody knows the MAC address; it is told of when the network
// is known too.
func TestNamespaceOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &memory.Driver{}
		b := newBus(t, d)
		set(t, b.apps, appID, withAdapter())
		set(t, b.status, appID, onBlue(""))
		set(t, b.networkMetadata, blueID, eve.NetworkMetadata{Namespace: "/run/netns/pod"})
		s := start(t, d)
		s.tells(t, "remove "+appID, "synced")
		set(t, b.networks, blueID, blue())
		s.tells(t, guest)
	})
}

// A network's state changes with every guest in it. The others are not put again for that.
func TestNoDifference(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &memory.Driver{}
		b := newBus(t, d)
		set(t, b.apps, appID, withAdapter())
		set(t, b.status, appID, onBlue("02:16:3e:00:00:01"))
		set(t, b.networks, blueID, blue())
		s := start(t, d)
		s.expect(t, guest)
		s.expect(t, "synced")
		busier := blue()
		busier.Vifs = []eve.VifNameMac{{Name: "nb1"}}
		set(t, b.networks, blueID, busier)
		synctest.Wait()
		select {
		case got := <-s:
			t.Errorf("told %q of what makes no difference", got)
		default:
		}
		busier.DomainName = "wide.example"
		set(t, b.networks, blueID, busier)
		s.expect(t, guest)
	})
}

// Before every topic has told its first state nobody can be told from one that is gone, or be known in
// full: a service that starts again must not take a drive away and write it anew.
func TestTopicStillMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &memory.Driver{}
		set(t, publish[eve.AppInstanceConfig](t, d, eve.AgentFeed), appID, withAdapter())
		set(t, publish[eve.AppNetworkStatus](t, d, eve.AgentNim, pubsub.Persistent()), appID, onBlue("02:16:3e:00:00:01"))
		set(t, publish[eve.NetworkInstanceStatus](t, d, eve.AgentNim), blueID, blue())
		publish[eve.InstanceMetadata](t, d, eve.AgentFeed)
		s := start(t, d)
		synctest.Wait()
		select {
		case got := <-s:
			t.Errorf("told %q before there was any metadata of networks", got)
		default:
		}
		publish[eve.NetworkMetadata](t, d, eve.AgentFeed)
		s.expect(t, guest)
		s.expect(t, "synced")
	})
}

// Who is only switched off, or not told of yet, is not gone for good.
func TestComplete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &memory.Driver{}
		b := newBus(t, d)
		for _, id := range []string{appID, otherID} {
			off := app(func(a *eve.AppInstanceConfig) { a.UUIDandVersion.UUID, a.Activate = uuid.MustParse(id), false })
			set(t, b.apps, id, off)
		}
		s := start(t, d)
		s.tells(t, "remove "+appID, "remove "+otherID, "synced")
		must(t, b.apps.SignalRestarted())
		s.tells(t, "complete, app true, other true")

		set(t, b.apps, appID, app(nil))
		s.tells(t, "put web-gw-1 at []")
		must(t, b.apps.Delete(otherID))
		s.tells(t, "remove "+otherID, "complete, app true, other false")

		// A feed that starts again may not have read all yet.
		must(t, b.apps.ClearRestarted())
		must(t, b.apps.Delete(appID))
		s.tells(t, "remove "+appID)
		must(t, b.apps.SignalRestarted())
		s.tells(t, "complete, app false, other false")
		must(t, b.apps.SignalRestarted())
		s.tells(t)
	})
}

func (s sink) tells(t *testing.T, want ...string) {
	t.Helper()
	tells(t, s, want...)
}

// tells takes exactly the lines that there are to be told now. It needs a bubble of synctest.
func tells(t *testing.T, lines <-chan string, want ...string) {
	t.Helper()
	var got []string
	for {
		synctest.Wait()
		select {
		case line := <-lines:
			got = append(got, line)
			continue
		default:
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("told (-want +got):\n%s", diff)
		}
		return
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An app under another's key, or a network under no UUID, must not become anybody's metadata.
func TestKeyThatContradicts(t *testing.T) {
	t.Parallel()
	d := &memory.Driver{}
	b := newBus(t, d)
	s := start(t, d)
	s.expect(t, "synced")
	set(t, b.networks, "not-a-uuid", blue())
	set(t, b.apps, blueID, app(nil))
	if got := <-s; got != "remove "+blueID {
		t.Errorf("told %q of an app under another's key", got)
	}
	set(t, b.apps, appID, app(nil)) // no adapters: whole by itself
	s.expect(t, "put web-gw-1 at []")
}
