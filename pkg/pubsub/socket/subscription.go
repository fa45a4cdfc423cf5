// SPDX-License-Identifier: Apache-2.0

package socket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/internal/wire"
)

// subscription follows a table through its socket. It runs in the goroutine of
// Driver.Subscribe alone.
type subscription struct {
	driver *Driver
	table  pubsub.Table
	paths  paths
	state  *tracker

	unwatched bool // that nothing can be watched was reported

	broken map[string]struct{} // keys whose last update was unusable
	resync time.Duration       // the wait before the table is asked for anew for them
}

// run connects, and connects again, until ctx ends.
func (s *subscription) run(ctx context.Context) error {
	alert := s.driver.watcher.open()
	defer alert.close()
	delay := time.Duration(0)
	for ctx.Err() == nil {
		// Watched before it is tried: a socket that appears in between is not missed.
		s.watch(alert)
		began := time.Now()
		err := s.connect(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if !expected(err) {
			s.driver.report(s.table, fmt.Errorf("follow %q: %w", s.paths.socket, err))
		}
		if delay *= 2; time.Since(began) >= steady {
			delay = 0
			continue
		}
		delay = min(max(delay, s.driver.times.minRedial()), s.driver.times.maxRedial())
		if wait(ctx, alert, delay) {
			delay = 0 // a socket exists a moment before it can be connected to
		}
	}
	return nil
}

func (s *subscription) watch(alert *alert) {
	err := alert.point(s.paths.socket)
	if err != nil && !s.unwatched {
		s.driver.report(s.table, fmt.Errorf("watch for socket %q: %w", s.paths.socket, err)) // the timer still works
	}
	s.unwatched = err != nil
}

// expected says whether a connection ended for the reason that connections
// usually end for: there is no publisher, or no longer.
func expected(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) ||
		errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, errResync)
}

// errResync ends a connection in order to get the whole table anew.
var errResync = errors.New("table has unusable updates")

// connect follows the table over one connection until that ends.
func (s *subscription) connect(ctx context.Context) (err error) {
	conn, err := dial(s.paths.socket)
	if err != nil {
		return err
	}
	shut := func() { _ = conn.Close() } // nothing is written that could be lost
	defer shut()
	defer context.AfterFunc(ctx, shut)()
	if _, err := conn.Write(wire.Request(s.table.Topic)); err != nil {
		return err
	}
	clear(s.broken)
	buf := make([]byte, pubsub.MaxDatagram+1)
	for ctx.Err() == nil {
		n, err := conn.Read(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if len(s.broken) > 0 {
				return errResync
			}
			err = conn.SetReadDeadline(time.Time{})
		case err == nil:
			err = s.datagram(conn, buf[:n])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// datagram handles one message. Its error ends the connection.
func (s *subscription) datagram(conn *net.UnixConn, b []byte) error {
	m, err := wire.Parse(b)
	if len(b) > pubsub.MaxDatagram {
		err = fmt.Errorf("receive %q: truncated: %w", m.Command, wire.ErrMalformed)
	}
	if err == nil {
		err = s.message(m)
	}
	if err == nil {
		delete(s.broken, m.Key)
		return nil
	}
	s.driver.report(s.table, err)
	if m.Command != wire.CommandUpdate || m.Key == "" {
		return nil
	}
	// The value before stays in force. EVE's publisher sends the value again at
	// the table's next change; ours does not, so ask for it after a while.
	s.state.keep(m.Key)
	if len(s.broken) > 0 {
		s.broken[m.Key] = struct{}{}
		return nil
	}
	s.broken[m.Key] = struct{}{}
	s.resync = min(max(2*s.resync, s.driver.times.minResync()), maxResync)
	return conn.SetReadDeadline(time.Now().Add(s.resync))
}

// message applies a message. It goes by the command alone: a topic that is not
// the table's is taken all the same, as EVE's subscriber does.
func (s *subscription) message(m wire.Message) error {
	switch m.Command {
	case wire.CommandHello:
		// A counter that is 0 is not told. The publisher may be the next one, which has not said everything until it says so.
		s.state.restart(0)
		s.state.begin()
		if m.Persistent != "" && m.Persistent != strconv.FormatBool(s.table.Persistent) {
			return fmt.Errorf("publisher is persistent: %s, subscriber is persistent: %t: %w",
				m.Persistent, s.table.Persistent, pubsub.ErrBadTable)
		}
	case wire.CommandUpdate:
		value, err := wire.Resolve(m.Value, s.take)
		if err != nil {
			return fmt.Errorf("drop update of key %q: %w", m.Key, err)
		}
		return s.state.update(m.Key, value)
	case wire.CommandDelete:
		s.state.delete(m.Key)
	case wire.CommandComplete:
		s.state.complete()
	case wire.CommandRestarted:
		s.state.restart(m.Restarted)
	default:
		return fmt.Errorf("pass over command %q: %w", m.Command, wire.ErrMalformed)
	}
	return nil
}

// take reads and removes the file of a large field, which is one of the table's
// own. A file that stays is an untidiness, no reason to do without the value.
func (s *subscription) take(path string) ([]byte, error) {
	content, err := readLarge(s.paths.large, path)
	if rmErr := removeLarge(s.paths.large, path); err == nil {
		s.driver.report(s.table, rmErr)
	}
	return content, err
}

// wait returns after a time, at an alert, or when ctx ends, and whether it was an alert.
func wait(ctx context.Context, alert *alert, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-alert.c:
		return true
	}
	return false
}
