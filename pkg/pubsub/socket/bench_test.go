// SPDX-License-Identifier: Apache-2.0

package socket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
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

// The time from Set to the subscriber's handler, over EVE's wire and in memory.
// The floor is what EVE's pubsub promises: the value is in a file, synced and
// renamed, and the folder synced, before one datagram is written and read.
func BenchmarkDeliver(b *testing.B) {
	b.Run("synced/socket", func(b *testing.B) { benchmarkDriver(b, &socket.Driver{Root: b.TempDir()}) })
	b.Run("synced/floor", benchmarkFloor)
	b.Run("memory", func(b *testing.B) { benchmarkDriver(b, &memory.Driver{}) })
}

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

// The time of a Set that changes nothing: a feed sets all that it has whenever
// some of it changes. The floor is the comparison of the bytes.
func BenchmarkSetEqual(b *testing.B) {
	value := []byte(benchValue(0))
	b.Run("socket", func(b *testing.B) {
		p, err := (&socket.Driver{Root: b.TempDir()}).Publish(benchTable)
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		for b.Loop() {
			if err := p.Set("key", value); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor", func(b *testing.B) {
		other := bytes.Clone(value)
		for b.Loop() {
			if !bytes.Equal(value, other) {
				b.Fatal("they differ")
			}
		}
	})
}

func benchmarkFloor(b *testing.B) {
	dir := b.TempDir()
	from, to := socketPair(b, filepath.Join(dir, "s"))
	folder, err := os.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer folder.Close()
	buf := make([]byte, 1<<16)
	for i := 0; b.Loop(); i++ {
		value := benchValue(i)
		f, err := os.Create(filepath.Join(dir, "tmp"))
		if err != nil {
			b.Fatal(err)
		}
		_, err = f.WriteString(value)
		err = errors.Join(err, f.Sync(), f.Close(), os.Rename(f.Name(), filepath.Join(dir, "key.json")), folder.Sync())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := from.Write([]byte(update("T", "key", value))); err != nil {
			b.Fatal(err)
		}
		if _, err := to.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// socketPair connects two sockets of the kind that EVE uses.
func socketPair(b *testing.B, path string) (from, to *net.UnixConn) {
	b.Helper()
	addr := &net.UnixAddr{Name: path, Net: "unixpacket"}
	l, err := net.ListenUnix("unixpacket", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	if from, err = net.DialUnix("unixpacket", nil, addr); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { from.Close() })
	if to, err = l.AcceptUnix(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { to.Close() })
	return from, to
}
