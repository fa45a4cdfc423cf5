// SPDX-License-Identifier: Apache-2.0

package socket

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/lf-edge/eve-metadata/pkg/pubsub/internal/table"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/internal/wire"
)

// acceptPause is the wait after an error of accept(2), such as too many open files.
const acceptPause = 100 * time.Millisecond

// accept serves subscribers until the listener is closed.
func (p *publisher) accept() {
	for {
		conn, err := p.listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.report(fmt.Errorf("accept subscriber: %w", err))
			select {
			case <-p.stop:
				return
			case <-time.After(acceptPause):
			}
			continue
		}
		if !p.admit(conn) {
			_ = conn.Close() // nothing was said yet
			continue
		}
		p.wg.Go(func() {
			defer p.dismiss(conn)
			if err := p.serve(conn); err != nil {
				p.report(fmt.Errorf("serve subscriber: %w", err))
			}
		})
	}
}

func (p *publisher) admit(conn *net.UnixConn) bool {
	p.connMu.Lock()
	defer p.connMu.Unlock()
	if len(p.conns) >= maxConnections || !p.closeBy.IsZero() {
		return false
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *publisher) dismiss(conn *net.UnixConn) {
	p.connMu.Lock()
	defer p.connMu.Unlock()
	delete(p.conns, conn)
	_ = conn.Close() // all that was to be sent is sent, or cannot be
}

// hurry gives all connections a last, short time.
func (p *publisher) hurry() {
	p.connMu.Lock()
	defer p.connMu.Unlock()
	p.closeBy = time.Now().Add(closeTimeout)
	for conn := range p.conns {
		_ = conn.SetWriteDeadline(p.closeBy) // fails on a closed connection only
	}
}

// deadline sets the time until which the next datagram must have been taken.
func (p *publisher) deadline(conn *net.UnixConn) error {
	p.connMu.Lock()
	defer p.connMu.Unlock()
	if !p.closeBy.IsZero() {
		return conn.SetWriteDeadline(p.closeBy)
	}
	return conn.SetWriteDeadline(time.Now().Add(p.driver.times.writeTimeout()))
}

// serve feeds one subscriber until it goes or the publisher ends. That a
// subscriber goes, or says what no subscriber says, is no error.
func (p *publisher) serve(conn *net.UnixConn) error {
	gone := make(chan struct{})
	asked := make(chan struct{})
	p.wg.Go(func() { p.listenTo(conn, asked, gone) })
	select {
	case <-gone:
		return nil
	case <-p.stop:
		return nil
	case <-asked:
	}
	// From here on only the state is looked at: a subscriber that is slow costs
	// one datagram, however often the table changes meanwhile.
	reader := p.state.NewReader()
	defer reader.Close()
	s := sender{publisher: p, conn: conn}
	if err := s.write(wire.Hello(p.table.Topic, p.table.Persistent)); err != nil {
		return unlessGone(err)
	}
	for last := false; !last; {
		select {
		case <-gone:
			return nil
		case <-p.stop:
			last = true
		case <-reader.Wake():
		}
		if err := s.send(reader.Next()); err != nil {
			return unlessGone(err)
		}
	}
	return nil
}

// listenTo reads the one request of a subscriber and closes asked, then waits for
// the subscriber to go and closes gone.
func (p *publisher) listenTo(conn *net.UnixConn, asked, gone chan<- struct{}) {
	defer close(gone)
	buf := make([]byte, maxRequest)
	_ = conn.SetReadDeadline(time.Now().Add(requestTimeout)) // fails on a closed connection only
	n, err := conn.Read(buf)
	if err != nil || string(buf[:n]) != string(wire.Request(p.table.Topic)) {
		return
	}
	close(asked)
	_ = conn.SetReadDeadline(time.Time{})
	for err == nil {
		_, err = conn.Read(buf) // what it may say has no meaning
	}
}

// unlessGone returns err, or nil if it says that the subscriber is gone: that
// subscribers go is no trouble.
func unlessGone(err error) error {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

// sender writes the messages of one connection.
type sender struct {
	publisher *publisher
	conn      *net.UnixConn
	complete  bool
	restarted int
}

// send sends changes in EVE's order: deletes, updates, once `complete`, and the
// restart counter if it moved.
func (s *sender) send(c table.Changes) error {
	topic := s.publisher.table.Topic
	for _, key := range c.Deleted {
		if err := s.write(wire.Delete(topic, key)); err != nil {
			return err
		}
	}
	for _, u := range c.Updated {
		if err := s.update(u); err != nil {
			return err
		}
	}
	if !s.complete {
		s.complete = true
		if err := s.write(wire.Complete(topic)); err != nil {
			return err
		}
	}
	if c.Restarted == s.restarted {
		return nil
	}
	s.restarted = c.Restarted
	return s.write(wire.Restarted(topic, c.Restarted))
}

func (s *sender) update(u table.Change) error {
	paths, err := writeLarge(s.publisher.paths.large, u.New.Large, s.publisher.driver.Group)
	if err != nil {
		return fmt.Errorf("send key %q: %w", u.Key, err)
	}
	err = s.write(wire.Update(s.publisher.table.Topic, u.Key, u.New.Form(paths)))
	if err != nil {
		removeAll(paths)
	}
	return err
}

func (s *sender) write(datagram []byte) error {
	if err := s.publisher.deadline(s.conn); err != nil {
		return err
	}
	_, err := s.conn.Write(datagram)
	return err
}
