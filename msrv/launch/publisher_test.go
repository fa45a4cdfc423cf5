// SPDX-License-Identifier: Apache-2.0

package launch_test

import (
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/launch"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
)

func newPublisher(t *testing.T, d pubsub.Driver) *launch.Publisher {
	t.Helper()
	p, err := launch.NewPublisher(d, dialects())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// published is the topic once its publisher is closed.
func published(t *testing.T, d pubsub.Driver, p *launch.Publisher) map[string]eve.InstanceLaunch {
	t.Helper()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	pub, err := pubsub.NewPublication(d, launch.Topic())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := pub.Detach(); err != nil {
			t.Error(err)
		}
	}()
	return pub.Table()
}

func TestPublisher(t *testing.T) {
	t.Parallel()
	var d memory.Driver
	small, rich, empty := dialecttest.Small(), dialecttest.Rich(), dialecttest.Empty()
	p := newPublisher(t, &d)
	if _, err := launch.NewPublisher(&d, nil); !errors.Is(err, pubsub.ErrInUse) {
		t.Errorf("a second publisher: %v", err)
	}
	if err := errors.Join(p.Put(small, ""), p.Put(rich, "/d.iso"), p.Put(empty, ""), p.Remove(small.UUID), p.Prune(), p.Remove("nobody")); err != nil {
		t.Fatal(err)
	}
	want := map[string]eve.InstanceLaunch{
		rich.UUID:  launch.Of(dialects(), rich, "/d.iso"),
		empty.UUID: launch.Of(dialects(), empty, ""),
	}
	if diff := cmp.Diff(want, published(t, &d, p)); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}

	p = newPublisher(t, &d) // another run
	if err := p.Put(rich, ""); err != nil {
		t.Fatal(err)
	}
	want[rich.UUID] = launch.Of(dialects(), rich, "")
	if diff := cmp.Diff(want, published(t, &d, p)); diff != "" {
		t.Errorf("before all is known, what there was stays (-want +got):\n%s", diff)
	}

	p = newPublisher(t, &d)
	if err := errors.Join(p.Put(rich, ""), p.Prune()); err != nil {
		t.Fatal(err)
	}
	delete(want, empty.UUID)
	if diff := cmp.Diff(want, published(t, &d, p)); diff != "" {
		t.Errorf("after all is known (-want +got):\n%s", diff)
	}
}

func TestPublisherTooLarge(t *testing.T) {
	t.Parallel()
	var d memory.Driver
	in := dialecttest.Small()
	in.Adapters = nil
	for i := range 1000 {
		in.Adapters = append(in.Adapters, instance.Adapter{Port: fmt.Sprint("nb", i), MAC: net.HardwareAddr{2, 0, 0, 0, byte(i >> 8), byte(i)}})
	}
	p := newPublisher(t, &d)
	if err := p.Put(in, "/d.iso"); !errors.Is(err, pubsub.ErrTooLarge) {
		t.Errorf("error %v", err)
	}
	want := launch.Of(dialects(), in, "/d.iso")
	want.QEMU, want.Libvirt = nil, ""
	if diff := cmp.Diff(want, published(t, &d, p)[in.UUID]); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}
