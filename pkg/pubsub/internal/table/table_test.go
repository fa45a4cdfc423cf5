// SPDX-License-Identifier: Apache-2.0

package table_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/pubsub/internal/table"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/internal/wire"
)

func value(json string) *wire.Value { return &wire.Value{JSON: []byte(json)} }

// show is changes as text.
func show(c table.Changes) []string {
	var lines []string
	for _, key := range c.Deleted {
		lines = append(lines, "delete "+key)
	}
	for _, u := range c.Updated {
		old := "nothing"
		if u.Old != nil {
			old = string(u.Old.JSON)
		}
		lines = append(lines, fmt.Sprintf("update %s %s from %s", u.Key, u.New.JSON, old))
	}
	return append(lines, fmt.Sprintf("restarted %d", c.Restarted))
}

func TestReader(t *testing.T) {
	t.Parallel()
	var tab table.Table
	tab.Set("a", value("1"))
	r := tab.NewReader()
	defer r.Close()
	for _, c := range []struct {
		name   string
		change func()
		want   []string
	}{
		{"what is there at first", func() {}, []string{"update a 1 from nothing", "restarted 0"}},
		{"sorted and merged", func() {
			tab.Set("c", value("2"))
			tab.Set("b", value("1"))
			tab.Set("c", value("3"))
			tab.SetRestarted(4)
		}, []string{"update b 1 from nothing", "update c 3 from nothing", "restarted 4"}},
		{"deletes are apart from updates", func() {
			tab.Set("d", value("1"))
			tab.Set("c", nil)
			tab.Set("b", nil)
			tab.Set("a", value("2"))
		}, []string{"delete b", "delete c", "update a 2 from 1", "update d 1 from nothing", "restarted 4"}},
		{"there and back is no change", func() {
			tab.Set("a", value("9"))
			tab.Set("a", value("2"))
			tab.Set("e", value("1"))
			tab.Set("e", nil)
			tab.Set("d", nil)
			tab.Set("d", value("1"))
		}, []string{"restarted 4"}},
		{"withdrawn, keys stay", func() { tab.Withdraw(false) }, []string{"restarted 0"}},
		{"withdrawn", func() { tab.Withdraw(true) }, []string{"delete a", "delete d", "restarted 0"}},
	} {
		c.change()
		select {
		case <-r.Wake():
		default:
			if len(c.want) > 1 {
				t.Errorf("%s: reader was not woken", c.name)
			}
		}
		if diff := cmp.Diff(c.want, show(r.Next())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestReadersAreIndependent(t *testing.T) {
	t.Parallel()
	var tab table.Table
	one, two := tab.NewReader(), tab.NewReader()
	defer two.Close()
	tab.Set("a", value("1"))
	one.Next()
	one.Close()
	tab.Set("a", value("2"))
	if diff := cmp.Diff([]string{"update a 2 from nothing", "restarted 0"}, show(two.Next())); diff != "" {
		t.Errorf("second reader (-want +got):\n%s", diff)
	}
}
