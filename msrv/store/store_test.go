// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/store"
)

func key(network, addr string) store.Key {
	return store.Key{Network: network, Address: netip.MustParseAddr(addr)}
}

func entry(uuid string, keys ...store.Key) *store.Entry {
	return &store.Entry{Instance: &instance.Instance{UUID: uuid, Name: uuid}, Keys: keys}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		do     func(s *store.Store)
		want   map[store.Key]string // "" = nobody
		length int
	}{
		{
			name: "nothing known",
			do:   func(*store.Store) {},
			want: map[store.Key]string{key("blue", "10.0.0.5"): ""},
		},
		{
			name: "equal addresses in two networks are two instances",
			do: func(s *store.Store) {
				s.Put(entry("a", key("blue", "10.0.0.5")))
				s.Put(entry("b", key("green", "10.0.0.5")))
			},
			want: map[store.Key]string{
				key("blue", "10.0.0.5"):  "a",
				key("green", "10.0.0.5"): "b",
				key("red", "10.0.0.5"):   "",
			},
			length: 2,
		},
		{
			name: "an instance with two adapters is found on both",
			do: func(s *store.Store) {
				s.Put(entry("a", key("blue", "10.0.0.5"), key("green", "fd00::5")))
			},
			want: map[store.Key]string{
				key("blue", "10.0.0.5"): "a", key("green", "fd00::5"): "a", key("blue", "fd00::5"): "",
			},
			length: 1,
		},
		{
			name: "a moved instance leaves its old address",
			do: func(s *store.Store) {
				s.Put(entry("a", key("blue", "10.0.0.5")))
				s.Put(entry("a", key("blue", "10.0.0.6")))
			},
			want:   map[store.Key]string{key("blue", "10.0.0.5"): "", key("blue", "10.0.0.6"): "a"},
			length: 1,
		},
		{
			name: "a disputed address serves nobody",
			do: func(s *store.Store) {
				s.Put(entry("a", key("blue", "10.0.0.5")))
				s.Put(entry("b", key("blue", "10.0.0.5"), key("blue", "10.0.0.6")))
			},
			want:   map[store.Key]string{key("blue", "10.0.0.5"): "", key("blue", "10.0.0.6"): "b"},
			length: 2,
		},
		{
			name: "a dispute ends when one side goes",
			do: func(s *store.Store) {
				s.Put(entry("a", key("blue", "10.0.0.5")))
				s.Put(entry("b", key("blue", "10.0.0.5")))
				s.Remove("a")
			},
			want:   map[store.Key]string{key("blue", "10.0.0.5"): "b"},
			length: 1,
		},
		{
			name: "a removed instance is nobody's",
			do: func(s *store.Store) {
				s.Put(entry("a", key("blue", "10.0.0.5")))
				s.Remove("a")
				s.Remove("never known")
			},
			want: map[store.Key]string{key("blue", "10.0.0.5"): ""},
		},
		{
			name: "one key claimed twice by one instance is no dispute",
			do: func(s *store.Store) {
				s.Put(entry("a", key("blue", "10.0.0.5"), key("blue", "10.0.0.5")))
			},
			want:   map[store.Key]string{key("blue", "10.0.0.5"): "a"},
			length: 1,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := store.New()
			test.do(s)
			for k, want := range test.want {
				got := ""
				if e := s.Lookup(k); e != nil {
					got = e.Instance.UUID
				}
				if got != want {
					t.Errorf("Lookup(%v) = %q, want %q", k, got, want)
				}
			}
			if got := s.Len(); got != test.length {
				t.Errorf("Len() = %d, want %d", got, test.length)
			}
		})
	}
}

func TestPutReportsDisputes(t *testing.T) {
	t.Parallel()
	s := store.New()
	if got := s.Put(entry("a", key("blue", "10.0.0.5"))); got != nil {
		t.Errorf("first claim disputed: %v", got)
	}
	got := s.Put(entry("b", key("blue", "10.0.0.5"), key("blue", "10.0.0.6")))
	if len(got) != 1 || got[0] != key("blue", "10.0.0.5") {
		t.Errorf("disputed = %v, want the one address that both claim", got)
	}
}

// Readers run beside writers; the race detector judges, and no reader may see another's entry.
func TestConcurrentReaders(t *testing.T) {
	t.Parallel()
	s := store.New()
	var wg sync.WaitGroup
	for g := range 4 {
		k := key(fmt.Sprintf("net%d", g), "10.0.0.5")
		id := fmt.Sprintf("id%d", g)
		wg.Go(func() {
			for range 500 {
				s.Put(entry(id, k))
				s.Remove(id)
			}
		})
		wg.Go(func() {
			for range 2000 {
				if e := s.Lookup(k); e != nil && e.Instance.UUID != id {
					t.Errorf("Lookup(%v) = %s", k, e.Instance.UUID)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 4000} {
		b.Run(fmt.Sprintf("instances=%d", n), func(b *testing.B) {
			s := store.New()
			addr := netip.MustParseAddr("10.0.0.1")
			for i := range n {
				s.Put(entry(fmt.Sprint(i), store.Key{Network: "blue", Address: addr}))
				addr = addr.Next()
			}
			k := key("blue", "10.0.0.1")
			b.ResetTimer()
			for b.Loop() {
				if s.Lookup(k) == nil {
					b.Fatal("lost")
				}
			}
		})
	}
}
