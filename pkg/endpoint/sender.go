// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/pkg/share"
	"github.com/lf-edge/eve-metadata/pkg/task"
)

// SocketPath is where the manager hands out endpoints, below a root.
func SocketPath(root string) string { return filepath.Join(root, "/run/mdnim/endpoints.sock") }

// seqpacket is Go's name for SOCK_SEQPACKET on unix sockets: one write, one datagram.
const seqpacket = "unixpacket"

// writeTimeout is how long a receiver may take nothing, while there is something for it, before its connection is dropped.
// It connects again, and gets the set as it is then.
const writeTimeout = 10 * time.Second

// maxServers is how many servers are served at a time. There is one, or two for a moment while it starts again; one that
// somebody has taken over must not use up the manager's descriptors.
const maxServers = 16

// Sender hands the endpoints of a board, sockets included, to servers in other processes. It is a task.Task.
type Sender struct {
	// Board has the endpoints. Their listeners are TCP sockets of package net.
	Board *Board
	// Known is closed once the board has all endpoints that there are. Until then nobody is told of any: what an earlier
	// manager handed out would be taken for gone. Nil: it is so from the start.
	Known <-chan struct{}
	// Path is where the socket is that servers connect to; see SocketPath. There is nobody else on it: what an earlier
	// process left is replaced.
	Path string
	// Group is let in beside root and the process's own user; 0 for nobody.
	Group int
	Log   logrus.FieldLogger

	ready task.Ready
}

// String names the task.
func (*Sender) String() string { return "endpoints for other processes" }

// Ready is closed when servers can connect.
func (s *Sender) Ready() <-chan struct{} { return s.ready.Done() }

// Run serves servers until ctx ends, and returns nil then. None of them makes another one, or who posts on the board, wait;
// who comes while there are too many is hung up on. When ctx has ended, no endpoint is taken away from them: the next process goes on from there.
func (s *Sender) Run(ctx context.Context) error {
	l, err := s.listen()
	if err != nil {
		return fmt.Errorf("hand out endpoints: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // nothing is lost with it
	defer stop()
	var serving sync.WaitGroup
	defer serving.Wait()
	servable, cancel := context.WithCancel(ctx)
	defer cancel()
	places := make(chan struct{}, maxServers)
	s.ready.Set()
	for {
		conn, err := l.AcceptUnix()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close() // it has heard nothing yet
			}
			return nil
		}
		if err != nil {
			_ = l.Close() // the other error says more
			return fmt.Errorf("hand out endpoints: %w", err)
		}
		select {
		case places <- struct{}{}:
			serving.Go(func() {
				s.serve(servable, conn)
				<-places
			})
		default:
			_ = conn.Close() // nothing was said
		}
	}
}

// listen opens the socket for those who are let in.
func (s *Sender) listen() (*net.UnixListener, error) {
	if err := share.Folder(filepath.Dir(s.Path), s.Group); err != nil {
		return nil, err
	}
	if err := os.Remove(s.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var l *net.UnixListener
	err := within(s.Path, func(path string) (err error) {
		l, err = net.ListenUnix(seqpacket, &net.UnixAddr{Name: path, Net: seqpacket})
		return err
	})
	if err != nil {
		return nil, err
	}
	// The next process may be there before this one is gone: its socket is not ours to remove.
	l.SetUnlinkOnClose(false)
	if s.Group != 0 {
		err = share.With(s.Path, s.Group, 0o660)
	} else {
		err = os.Chmod(s.Path, 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// serve tells one server the set and what becomes of it, until ctx or the connection ends.
func (s *Sender) serve(ctx context.Context, conn *net.UnixConn) {
	if err := s.admit(conn); err != nil {
		s.Log.WithError(err).Warn("endpoints not handed out")
		_ = conn.Close() // nothing was said
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	reading.Go(func() { // a server says nothing; that reading ends means that it has gone
		defer cancel()
		_, _ = conn.Read(make([]byte, 1))
	})
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		stop()
		_ = conn.Close() // what was sent is sent
		reading.Wait()
		cancel()
	}()
	if s.Known != nil {
		select {
		case <-s.Known:
		case <-ctx.Done():
			return
		}
	}
	told := teller{conn: conn, ids: map[net.Listener]uint64{}}
	for set := range s.Board.Watch(ctx) {
		// Asked once more, after the set was taken: a manager that ends posts an empty one, and ctx has ended before that.
		if ctx.Err() != nil {
			return
		}
		if err := told.tell(set); err != nil {
			if ctx.Err() == nil {
				s.Log.WithError(err).Warn("server of endpoints dropped")
			}
			return
		}
	}
}

// admit says whether the endpoints are for the peer.
func (s *Sender) admit(conn *net.UnixConn) error {
	peer, err := credentials(conn)
	if err != nil {
		return err
	}
	if peer.Uid != 0 && int(peer.Uid) != os.Geteuid() && (s.Group == 0 || int(peer.Gid) != s.Group) {
		return fmt.Errorf("process %d of user %d and group %d is not let in", peer.Pid, peer.Uid, peer.Gid)
	}
	return nil
}

// teller is what one server has been told.
type teller struct {
	conn *net.UnixConn
	ids  map[net.Listener]uint64
	last uint64
	told bool // a set
}

// tell sends what is different now. What is gone goes first: the address may be another socket's now.
func (t *teller) tell(set []Endpoint) error {
	wanted := make(map[net.Listener]Endpoint, len(set))
	for _, e := range set {
		wanted[e.Listener] = e
	}
	changed := !t.told
	for l, id := range t.ids {
		if _, there := wanted[l]; there {
			continue
		}
		changed = true
		delete(t.ids, l)
		if err := t.send(message{Remove: id}, nil); err != nil {
			return err
		}
	}
	for _, e := range set {
		if t.ids[e.Listener] != 0 {
			continue
		}
		changed = true
		if err := t.add(e); err != nil {
			return err
		}
	}
	if !changed {
		return nil
	}
	t.told = true
	return t.send(message{Complete: true}, nil)
}

// add sends an endpoint. One that was closed meanwhile is left out: the board has another set by now.
func (t *teller) add(e Endpoint) error {
	fd, err := duplicate(e.Listener)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("hand out %s: %w", e.Address, err)
	}
	defer unix.Close(fd) //nolint:errcheck // a copy, of which nothing can be lost
	t.last++
	if err := t.send(message{Add: newAddition(t.last, e)}, unix.UnixRights(fd)); err != nil {
		return err
	}
	t.ids[e.Listener] = t.last
	return nil
}

func (t *teller) send(m message, rights []byte) error {
	datagram, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := t.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, _, err = t.conn.WriteMsgUnix(datagram, rights, nil)
	return err
}

// duplicate returns a descriptor of a listener of its own: the listener may be closed while the copy is under way.
func duplicate(l net.Listener) (fd int, err error) {
	c, ok := l.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("%T has no descriptor", l)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	controlErr := raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	if controlErr != nil {
		return -1, controlErr
	}
	return fd, err
}

// credentials are those of the process at the other end, when it connected or listened.
func credentials(conn *net.UnixConn) (peer *unix.Ucred, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	controlErr := raw.Control(func(fd uintptr) {
		peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return peer, errors.Join(controlErr, err)
}

// maxAddress is the longest address of a unix socket, in bytes: sun_path of unix(7) less its final zero.
const maxAddress = 107

// within calls f with a path of a socket that is short enough for an address: one that goes through an open folder if the
// path itself is too long.
func within(path string, f func(string) error) error {
	if len(path) <= maxAddress {
		return f(path)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}
