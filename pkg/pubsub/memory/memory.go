// SPDX-License-Identifier: Apache-2.0

// Package memory is a pubsub driver for publishers and subscribers of one
// process. What comes in and goes out is what package pubsub says; nothing is
// kept when the process ends. One process that runs all parts may use it, and so
// do the tests of every package that publishes or subscribes: it holds to the
// contract, the checks and the limits of the socket driver.
package memory

import (
	"context"
	"fmt"
	"sync"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/internal/table"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/internal/wire"
)

var _ pubsub.Driver = (*Driver)(nil)

// Driver carries tables inside one process. Its zero value is ready to use; all
// that is to meet uses the same Driver. All methods may be called from any
// goroutine.
type Driver struct {
	mu     sync.Mutex
	tables map[string]*table.Table // by pubsub.Table.Name
}

// table returns the table of a name, made at its first use.
func (d *Driver) table(t pubsub.Table) *table.Table {
	if d.tables == nil {
		d.tables = map[string]*table.Table{}
	}
	if d.tables[t.Name()] == nil {
		d.tables[t.Name()] = &table.Table{}
	}
	return d.tables[t.Name()]
}

// Publish opens a table, see pubsub.Driver.
func (d *Driver) Publish(t pubsub.Table) (pubsub.RawPublisher, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	tab := d.table(t)
	if tab.Published() {
		return nil, fmt.Errorf("open table %q: %w", t.Name(), pubsub.ErrInUse)
	}
	tab.SetPublished(true)
	return &publisher{table: t, tab: tab}, nil
}

// Subscribe follows a table, see pubsub.Driver.
func (d *Driver) Subscribe(ctx context.Context, t pubsub.Table, handle func(pubsub.RawEvent)) error {
	if err := t.Validate(); err != nil {
		return err
	}
	d.mu.Lock()
	tab := d.table(t)
	d.mu.Unlock()
	r := tab.NewReader()
	defer r.Close()
	s := subscription{handle: handle}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.Wake():
		}
		// What a publisher left behind is seen by the subscribers of a persistent
		// table at once, by others when the next publisher opens it.
		if s.synced || t.Persistent || tab.Published() {
			s.deliver(r.Next())
		}
	}
}

type subscription struct {
	handle    func(pubsub.RawEvent)
	synced    bool
	restarted int
}

func (s *subscription) deliver(c table.Changes) {
	for _, key := range c.Deleted {
		s.handle(pubsub.RawEvent{Kind: pubsub.Delete, Key: key})
	}
	for _, u := range c.Updated {
		kind := pubsub.Create
		if u.Old != nil {
			kind = pubsub.Modify
		}
		s.handle(pubsub.RawEvent{Kind: kind, Key: u.Key, Value: u.New.JSON})
	}
	if c.Published && !s.synced {
		s.synced = true
		s.handle(pubsub.RawEvent{Kind: pubsub.Synced})
	}
	if s.synced && c.Restarted != s.restarted {
		s.restarted = c.Restarted
		s.handle(pubsub.RawEvent{Kind: pubsub.Restarted, Restarted: c.Restarted})
	}
}

// publisher writes one table.
type publisher struct {
	table pubsub.Table

	mu  sync.Mutex // held over look and change
	tab *table.Table
	end bool
}

func (p *publisher) Set(key string, value []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end {
		return pubsub.ErrClosed
	}
	v, err := wire.NewValue(p.table.Topic, "/persist/pubsub-large/"+p.table.Name(), key, value)
	if err != nil {
		return err
	}
	if old := p.tab.Get(key); old == nil || string(old.JSON) != string(value) {
		p.tab.Set(key, v)
	}
	return nil
}

func (p *publisher) Delete(key string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end {
		return pubsub.ErrClosed
	}
	if p.tab.Get(key) != nil {
		p.tab.Set(key, nil)
	}
	return nil
}

func (p *publisher) Values() map[string][]byte { return p.tab.Values() }

func (p *publisher) SetRestarted(n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end {
		return pubsub.ErrClosed
	}
	if n < 0 {
		return fmt.Errorf("set restart counter to %d: %w", n, pubsub.ErrBadValue)
	}
	if p.tab.Restarted() != n {
		p.tab.SetRestarted(n)
	}
	return nil
}

func (p *publisher) Restarted() int { return p.tab.Restarted() }

func (p *publisher) Close() error { return p.finish(true) }

func (p *publisher) Detach() error { return p.finish(false) }

func (p *publisher) finish(withdraw bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end {
		return nil
	}
	p.end = true
	if withdraw {
		p.tab.Withdraw(!p.table.Persistent)
	}
	p.tab.SetPublished(false)
	return nil
}
