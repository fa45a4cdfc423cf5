// SPDX-License-Identifier: Apache-2.0

package socket_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
)

var benchTable = pubsub.Table{Agent: "a", Topic: "T"}

func benchValue(i int) string {
	return fmt.Sprintf(`{"Name":"one value of a usual size","Number":%010d,"List":[1,2,3,4,5,6,7,8],"Text":"%0512d"}`, 1_000_000_000+i, 0)
}

// The time from Set to the subscriber's handler.
func BenchmarkMemory(b *testing.B) { benchmarkDriver(b, &memory.Driver{}) }

// The same over EVE's wire, with the checkpoint file synced to disk.
func BenchmarkSocket(b *testing.B) { benchmarkDriver(b, &socket.Driver{Root: b.TempDir()}) }

func benchmarkDriver(b *testing.B, d pubsub.Driver) {
	p, err := d.Publish(benchTable)
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithCancel(b.Context())
	events, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- d.Subscribe(ctx, benchTable, func(pubsub.RawEvent) { events <- struct{}{} })
	}()
	<-events // synced
	for i := 0; b.Loop(); i++ {
		if err := p.Set("key", []byte(benchValue(i))); err != nil {
			b.Fatal(err)
		}
		<-events
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// The floor: one write and one read of the same bytes over such a socket.
func BenchmarkDatagram(b *testing.B) {
	addr := &net.UnixAddr{Name: filepath.Join(b.TempDir(), "s"), Net: "unixpacket"}
	l, err := net.ListenUnix("unixpacket", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	from, err := net.DialUnix("unixpacket", nil, addr)
	if err != nil {
		b.Fatal(err)
	}
	defer from.Close()
	to, err := l.AcceptUnix()
	if err != nil {
		b.Fatal(err)
	}
	defer to.Close()
	datagram, buf := []byte(update("T", "key", benchValue(0))), make([]byte, 1<<16)
	for b.Loop() {
		if _, err := from.Write(datagram); err != nil {
			b.Fatal(err)
		}
		if _, err := to.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}
