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

func hardware(network string, last byte) store.Key {
	return store.Key{Network: network, MAC: store.MAC{2, 0x16, 0x3e, 0, 0, last}}
}

func only(network string) store.Key { return store.Key{Network: network} }

func entry(uuid string, keys ...store.Key) *store.Entry {
	return &store.Entry{Instance: &instance.Instance{UUID: uuid, Name: uuid}, Keys: keys}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		do     func(s *store.Store)
		want   map[store.Key]string // "" = nobody, "?" = disputed
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
			want:   map[store.Key]string{key("blue", "10.0.0.5"): "?", key("blue", "10.0.0.6"): "b"},
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
		{
			name: "MAC addresses are each network's own too",
			do: func(s *store.Store) {
				s.Put(entry("a", hardware("blue", 1), hardware("green", 2)))
				s.Put(entry("b", hardware("green", 1)))
			},
			want: map[store.Key]string{
				hardware("blue", 1): "a", hardware("green", 1): "b", hardware("green", 2): "a", hardware("blue", 2): "",
				only("blue"): "",
			},
			length: 2,
		},
		{
			name: "a network's only instance, until there are two",
			do: func(s *store.Store) {
				s.Put(entry("a", only("blue"), only("green")))
				s.Put(entry("b", only("green"), only("red")))
				s.Put(entry("c", only("red")))
				s.Remove("c")
			},
			want:   map[store.Key]string{only("blue"): "a", only("green"): "?", only("red"): "b", only("black"): ""},
			length: 2,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := store.New()
			test.do(s)
			for k, want := range test.want {
				got := ""
				switch e, claimed := s.Lookup(k); {
				case e != nil:
					got = e.Instance.UUID
				case claimed:
					got = "?"
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
	if got := s.Put(entry("a", only("blue"), hardware("blue", 1), key("blue", "10.0.0.5"))); got != nil {
		t.Errorf("first claim disputed: %v", got)
	}
	got := s.Put(entry("b", only("blue"), hardware("blue", 1), key("blue", "10.0.0.5"), key("blue", "10.0.0.6")))
	if want := "[blue 02:16:3e:00:00:01 blue 10.0.0.5]"; fmt.Sprint(got) != want {
		t.Errorf("disputed = %v, want %s", got, want)
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
				if e, _ := s.Lookup(k); e != nil && e.Instance.UUID != id {
					t.Errorf("Lookup(%v) = %s", k, e.Instance.UUID)
				}
			}
		})
	}
	wg.Wait()
}

// What one change costs does not depend on how many instances there are.
func BenchmarkPut(b *testing.B) {
	for _, n := range []int{1, 4000} {
		b.Run(fmt.Sprintf("instances=%d", n), func(b *testing.B) {
			s := store.New()
			addr := netip.MustParseAddr("10.0.0.1")
			put := func(i int) {
				s.Put(entry(fmt.Sprint(i), only("blue"), store.Key{Network: "blue", Address: addr}))
			}
			for i := range n {
				put(i)
				addr = addr.Next()
			}
			for b.Loop() {
				put(0)
			}
		})
	}
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
				if e, _ := s.Lookup(k); e == nil {
					b.Fatal("lost")
				}
			}
		})
	}
}
