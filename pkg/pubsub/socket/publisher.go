// SPDX-License-Identifier: Apache-2.0

package socket

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/internal/table"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/internal/wire"
)

// publisher writes one table to its files and, through one connection each, to
// its subscribers.
type publisher struct {
	driver *Driver
	table  pubsub.Table
	paths  paths
	state  table.Table
	wg     sync.WaitGroup
	stop   chan struct{} // closed when the publisher ends

	mu   sync.Mutex // held over look, disk and change
	disk *checkpoint
	end  bool

	connMu   sync.Mutex
	listener *net.UnixListener // nil for the global agent
	conns    map[*net.UnixConn]struct{}
	closeBy  time.Time // zero until the publisher ends
}

// Publish opens a table, see pubsub.Driver: it takes over the files that an
// earlier publisher left, and listens on the table's socket until the publisher
// is closed or detached. What is left and cannot be sent is reported.
func (d *Driver) Publish(t pubsub.Table) (pubsub.RawPublisher, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	at, err := d.paths(t)
	if err != nil {
		return nil, fmt.Errorf("open table %q: %w", t.Name(), err)
	}
	p := &publisher{driver: d, table: t, paths: at, stop: make(chan struct{}), conns: map[*net.UnixConn]struct{}{}}
	if err := p.open(); err != nil {
		return nil, fmt.Errorf("open table %q: %w", t.Name(), err)
	}
	return p, nil
}

func (p *publisher) open() (err error) {
	p.disk, err = openCheckpoint(p.paths.dir, p.table.Persistent, p.driver.Group)
	if err != nil {
		return err
	}
	// Not before the probe of the socket: the files may be another one's.
	if p.paths.socket != "" {
		p.listener, err = listen(p.paths.socket, p.driver.Group)
	}
	if err == nil {
		err = p.load()
	}
	if err != nil {
		return errors.Join(err, p.unlisten(), p.disk.close())
	}
	if removeStaleLarge(p.paths.large, p.driver.times.staleLarge()) {
		p.wg.Go(p.sweep)
	}
	if p.listener != nil {
		p.wg.Go(p.accept)
	}
	return nil
}

// load makes what the files say the table.
func (p *publisher) load() error {
	all, err := p.disk.load(p.report)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		s := all[key]
		v, err := p.value(key, s.value)
		if err != nil && len(s.backup) > 0 {
			if v, err = p.value(key, s.backup); err == nil {
				err = p.disk.promote(key, s.backup)
			}
		}
		if err != nil {
			if len(s.value) > 0 {
				p.report(fmt.Errorf("load checkpoint: %w", err))
			}
			continue
		}
		p.state.Set(key, v)
	}
	p.state.SetRestarted(readRestarted(p.paths.dir))
	return nil
}

func (p *publisher) value(key string, value []byte) (*wire.Value, error) {
	return wire.NewValue(p.table.Topic, p.paths.large, key, value)
}

func (p *publisher) report(err error) { p.driver.report(p.table, err) }

// Set stores a value, then sends it.
func (p *publisher) Set(key string, value []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end {
		return pubsub.ErrClosed
	}
	// First, because it is cheap: a feed sets all that it has whenever some of it changes.
	if old := p.state.Get(key); old != nil && bytes.Equal(old.JSON, value) {
		return nil
	}
	v, err := p.value(key, value)
	if err != nil {
		return err
	}
	if err := p.disk.write(key, value); err != nil {
		return err
	}
	p.state.Set(key, v)
	return nil
}

// Delete removes a key's files, then the key.
func (p *publisher) Delete(key string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end {
		return pubsub.ErrClosed
	}
	if wire.CheckKey(key) != nil {
		return nil // no such key can be there
	}
	// A file may be there without a value: one that could not be loaded.
	if err := p.disk.remove(key); err != nil {
		return err
	}
	if p.state.Get(key) != nil {
		p.state.Set(key, nil)
	}
	return nil
}

func (p *publisher) Values() map[string][]byte { return p.state.Values() }

func (p *publisher) Restarted() int { return p.state.Restarted() }

// SetRestarted stores the restart counter, then sends it.
func (p *publisher) SetRestarted(n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end {
		return pubsub.ErrClosed
	}
	if n < 0 {
		return fmt.Errorf("set restart counter to %d: %w", n, pubsub.ErrBadValue)
	}
	if n == p.state.Restarted() {
		return nil
	}
	if err := p.disk.setRestarted(n); err != nil {
		return err
	}
	p.state.SetRestarted(n)
	return nil
}

// Close withdraws the table, see pubsub.RawPublisher.
func (p *publisher) Close() error { return p.finish(true) }

// Detach leaves the table's files, see pubsub.RawPublisher. The socket goes.
func (p *publisher) Detach() error { return p.finish(false) }

func (p *publisher) finish(withdraw bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end {
		return nil
	}
	p.end = true
	err := p.unlisten() // first: whoever connects now would only see the end
	if withdraw {
		err = errors.Join(err, p.withdraw())
	}
	p.hurry()
	close(p.stop)
	p.wg.Wait()
	return errors.Join(err, p.disk.close())
}

// withdraw removes the files that Close removes, and the values with them.
func (p *publisher) withdraw() error {
	err := p.disk.setRestarted(0)
	if !p.table.Persistent {
		for _, key := range slices.Sorted(maps.Keys(p.state.Values())) {
			err = errors.Join(err, p.disk.remove(key))
		}
	}
	p.state.Withdraw(!p.table.Persistent)
	return err
}

func (p *publisher) unlisten() error {
	if p.listener == nil {
		return nil
	}
	err := os.Remove(p.paths.socket)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, p.listener.Close())
}
