// SPDX-License-Identifier: Apache-2.0

// Package socket is the pubsub driver of an EVE device: the sockets, the
// messages and the files of EVE's agents. It subscribes to what EVE's agents
// publish, and EVE's agents can subscribe to what it publishes. Publishers and
// subscribers of two processes meet at a root folder, "" on a device.
//
// What comes in: tables to publish, and datagrams and files of other publishers.
// What goes out: datagrams, checkpoint files and large-field files, and events
// to the handlers of subscriptions. The command makes the one Driver of a
// process; everything else sees pubsub.Driver.
//
// Where EVE's rules leave room, this driver does more than EVE's:
//
//   - A subscriber that lost its publisher, and finds it or the next one, is told
//     of the keys that went in between. EVE's keeps them for ever.
//   - It connects when the publisher's socket appears, not within ten seconds.
//   - A publisher sends what changed, not the whole table at every change.
//   - Integers keep all their digits on the wire.
//   - A value too large for the wire is an error of Set, not the end of the process.
package socket

import (
	"context"
	"path/filepath"
	"time"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// Limits and times of this driver.
const (
	// maxConnections bounds the subscribers of one table.
	maxConnections = 256
	// maxKeys bounds the keys that a subscriber keeps of one table.
	maxKeys = 1 << 16
	// maxCheckpoint is the largest checkpoint file that is read, in bytes.
	maxCheckpoint = 16 << 20
	// writeTimeout is how long a subscriber may take no datagram, while there is
	// one for it, before its connection is dropped.
	writeTimeout = 10 * time.Second
	// closeTimeout is how long Close and Detach wait for subscribers.
	closeTimeout = time.Second
	// requestTimeout is how long a new connection may take to say what it wants.
	requestTimeout = 10 * time.Second
	// maxRequest is how much of a `request` is read, in bytes (EVE pubsub).
	maxRequest = 255
	// minRedial and maxRedial bound the wait before a publisher is tried again
	// without a sign of it. EVE's subscriber tries every ten seconds.
	minRedial = 20 * time.Millisecond
	maxRedial = 10 * time.Second
	// steady is how long a connection lasts before its end causes a new one at once.
	steady = time.Second
	// minResync and maxResync bound the wait before a table is asked for anew
	// because an update of it was unusable.
	minResync = 10 * time.Second
	maxResync = 10 * time.Minute
	// staleLarge is the age at which a publisher removes large-field files that
	// no subscriber took: those of subscribers, and of a publisher, that crashed.
	staleLarge = 10 * time.Minute
)

// clientAgent is the agent whose tables are read from their files: it exits once
// the device is onboarded, and nothing listens on its sockets (EVE pubsub).
const clientAgent = "zedclient"

var _ pubsub.Driver = (*Driver)(nil)

// Driver speaks EVE's pubsub below a root folder. Its zero value works on the
// device itself. A Driver is not copied after its first use.
type Driver struct {
	// Root is put in front of /var/run, /run and /persist.
	Root string
	// Group may follow what is published, beside the publisher's own user and
	// root: it may connect to the sockets, read the files of persistent tables,
	// and take those of large fields. 0: nobody else may, as with EVE's agents.
	Group int
	// Report, if set, is called with what goes wrong while a table is served or
	// followed and has no caller to be returned to: a subscriber that was dropped
	// because it takes nothing, an update whose large-field file is missing, a
	// file that cannot be read. It is called from several goroutines at once.
	Report func(pubsub.Table, error)

	times   times
	watcher watcher
}

// times are the waits that tests shorten; zero means the constant.
type times struct{ write, resync, redial, stale time.Duration }

func (t times) writeTimeout() time.Duration { return orDefault(t.write, writeTimeout) }
func (t times) minResync() time.Duration    { return orDefault(t.resync, minResync) }
func (t times) minRedial() time.Duration    { return orDefault(t.redial, minRedial) }
func (t times) maxRedial() time.Duration    { return orDefault(t.redial, maxRedial) }
func (t times) staleLarge() time.Duration   { return orDefault(t.stale, staleLarge) }

func orDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

func (d *Driver) report(t pubsub.Table, err error) {
	if err != nil && d.Report != nil {
		d.Report(t, err)
	}
}

// paths are the places of one table.
type paths struct {
	socket string // "" for the global agent, which has none
	dir    string // checkpoint files
	large  string // files of large fields
}

// largeRoot is where all publishers put large fields. EVE wipes it at boot.
func (d *Driver) largeRoot() string { return d.Root + "/persist/pubsub-large" }

// paths returns the places of a table, absolute: the large ones are sent to
// subscribers, which may run in another folder.
func (d *Driver) paths(t pubsub.Table) (paths, error) {
	if d.Root != "" && !filepath.IsAbs(d.Root) {
		return paths{}, errRelativeRoot
	}
	p := paths{
		socket: filepath.Join(d.Root, "/var/run", t.Name()+".sock"),
		dir:    filepath.Join(d.Root, "/var/run", t.Name()),
		large:  filepath.Join(d.largeRoot(), t.Name()),
	}
	switch {
	case t.Agent == "":
		p.socket, p.dir = "", filepath.Join(d.Root, "/run/global", t.Name())
	case t.Persistent:
		p.dir = filepath.Join(d.Root, "/persist/status", t.Name())
	}
	return p, nil
}

// Subscribe follows a table, see pubsub.Driver. The tables of the global agent
// and of EVE's onboarding client are read from their files. A persistent table's
// files are read at once, before there is a publisher.
func (d *Driver) Subscribe(ctx context.Context, t pubsub.Table, handle func(pubsub.RawEvent)) error {
	if err := t.Validate(); err != nil {
		return err
	}
	p, err := d.paths(t)
	if err != nil {
		return err
	}
	state := newTracker(handle)
	if t.Agent == "" || t.Agent == clientAgent {
		return (&folder{driver: d, table: t, dir: p.dir, state: state}).run(ctx)
	}
	if t.Persistent {
		f := folder{driver: d, table: t, dir: p.dir, state: state}
		_ = f.load() // reported by itself
	}
	return (&subscription{driver: d, table: t, paths: p, state: state, broken: map[string]struct{}{}}).run(ctx)
}
