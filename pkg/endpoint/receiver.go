// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/pkg/task"
)

// minRedial and maxRedial bound the wait before a manager that is away is tried again.
const (
	minRedial = 10 * time.Millisecond
	maxRedial = time.Second
)

// Receiver posts on a board the endpoints that a manager in another process hands out. While there is no manager, those of
// the last one stay and can be accepted on: the sockets live for as long as one process has them. It is a task.Task.
type Receiver struct {
	Board *Board
	// Path is where the manager's socket is; see SocketPath.
	Path string
	Log  logrus.FieldLogger

	ready   task.Ready
	present map[addition]*handover // what was posted last; the id is 0
}

// String names the task.
func (*Receiver) String() string { return "endpoints of another process" }

// Ready is closed when the first set of endpoints has been posted.
func (r *Receiver) Ready() <-chan struct{} { return r.ready.Done() }

// Run receives until ctx ends, and returns nil then. It closes its copies of the sockets; the manager has its own.
func (r *Receiver) Run(ctx context.Context) error {
	defer func() {
		r.Board.Post(nil)
		for _, h := range r.present {
			_ = h.Close() // a copy, of which nothing can be lost
		}
	}()
	delay := minRedial
	for said := ""; ctx.Err() == nil; {
		complete, err := r.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		if complete {
			delay, said = minRedial, ""
		}
		if why := err.Error(); why != said {
			r.Log.WithError(err).Warn("no manager hands out endpoints; those that are here stay")
			said = why
		}
		pause(ctx, delay)
		delay = min(2*delay, maxRedial)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// follow receives over one connection until that ends, and returns why it did, and whether there was a whole set.
func (r *Receiver) follow(ctx context.Context) (complete bool, err error) {
	conn, err := dial(r.Path)
	if err != nil {
		return false, err
	}
	defer conn.Close()                                          //nolint:errcheck // nothing is written
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // nothing is written
	defer stop()
	s := session{wanted: map[uint64]addition{}, fresh: map[uint64]*net.TCPListener{}}
	defer s.discard()
	for {
		m, socket, err := receive(conn)
		if err == nil {
			err = s.take(m, socket)
		}
		if err != nil {
			return complete, err
		}
		if m.Complete {
			r.apply(&s)
			complete = true
		}
	}
}

// dial connects to the manager: root, or somebody who is who we are.
func dial(path string) (conn *net.UnixConn, err error) {
	err = within(path, func(path string) (err error) {
		conn, err = net.DialUnix(seqpacket, nil, &net.UnixAddr{Name: path, Net: seqpacket})
		return err
	})
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, errAway
		}
		return nil, err
	}
	peer, err := credentials(conn)
	if err == nil && peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {
		err = fmt.Errorf("%q is served by user %d", path, peer.Uid)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// errAway is the usual reason why there is no connection, or no longer.
var errAway = errors.New("it is not running")

// receive reads a message. With an endpoint comes its socket, with everything else none.
func receive(conn *net.UnixConn) (m message, socket *net.TCPListener, err error) {
	buf := make([]byte, maxMessage+1)
	oob := make([]byte, unix.CmsgSpace(4*4))
	n, oobn, flags, _, readErr := conn.ReadMsgUnix(buf, oob)
	fds, err := descriptors(oob[:oobn])
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd) // what is used is a copy
		}
	}()
	switch {
	case errors.Is(readErr, io.EOF):
		return message{}, nil, errAway
	case readErr != nil:
		return message{}, nil, readErr
	case err != nil:
		return message{}, nil, err
	case flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC) != 0:
		return message{}, nil, fmt.Errorf("%w: truncated", errMalformed)
	}
	if m, err = parse(buf[:n]); err != nil {
		return message{}, nil, err
	}
	switch {
	case m.Add == nil && len(fds) == 0:
		return m, nil, nil
	case m.Add != nil && len(fds) == 1:
		socket, err = listener(fds[0])
		return m, socket, err
	}
	return message{}, nil, fmt.Errorf("%w: %d descriptors", errMalformed, len(fds))
}

// descriptors returns those that came with a message, also with an error.
func descriptors(oob []byte) (fds []int, err error) {
	controls, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	for i := range controls {
		some, parseErr := unix.ParseUnixRights(&controls[i])
		fds, err = append(fds, some...), errors.Join(err, parseErr)
	}
	return fds, err
}

// listener makes a listener of a copy of a descriptor, which has to be a listening TCP socket.
func listener(fd int) (*net.TCPListener, error) {
	accepts, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return nil, fmt.Errorf("%w: no socket: %w", errMalformed, err)
	}
	if accepts == 0 {
		return nil, fmt.Errorf("%w: a socket that does not listen", errMalformed)
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), "endpoint")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%w: a socket of %s", errMalformed, l.Addr().Network()), l.Close())
	}
	return tcp, nil
}

// session is what was said over one connection.
type session struct {
	wanted map[uint64]addition         // all that there is, by id
	fresh  map[uint64]*net.TCPListener // sockets that came since the last complete set
}

// take notes a message.
func (s *session) take(m message, socket *net.TCPListener) error {
	switch {
	case m.Add != nil:
		_, there := s.wanted[m.Add.ID]
		if there || len(s.wanted) >= maxEndpoints {
			return errors.Join(fmt.Errorf("%w: endpoint %d is one too many", errMalformed, m.Add.ID), socket.Close())
		}
		s.wanted[m.Add.ID], s.fresh[m.Add.ID] = *m.Add, socket
	case m.Remove != 0:
		if _, there := s.wanted[m.Remove]; !there {
			return fmt.Errorf("%w: endpoint %d is not there", errMalformed, m.Remove)
		}
		delete(s.wanted, m.Remove)
		s.drop(m.Remove)
	}
	return nil
}

// drop closes a socket that was not used yet.
func (s *session) drop(id uint64) {
	if socket := s.fresh[id]; socket != nil {
		_ = socket.Close() // a copy
	}
	delete(s.fresh, id)
}

// discard closes all sockets that were not used yet.
func (s *session) discard() {
	for id := range s.fresh {
		s.drop(id)
	}
}

// apply posts the set that a session has now. An endpoint that is still there, be it with another socket, is the same one
// for those who serve it.
func (r *Receiver) apply(s *session) {
	next := make(map[addition]*handover, len(s.wanted))
	set := make([]Endpoint, 0, len(s.wanted))
	for id, a := range s.wanted {
		socket := s.fresh[id]
		delete(s.fresh, id)
		a.ID = 0
		h, e := next[a], a.endpoint()
		if h == nil {
			h = r.present[a]
		}
		switch {
		case h == nil:
			h = newHandover(socket)
		case socket != nil:
			h.replace(socket)
		}
		if next[a] == nil {
			e.Listener = h
			set = append(set, e)
		}
		next[a] = h
	}
	r.Board.Post(set)
	for a, h := range r.present {
		if next[a] == nil {
			_ = h.Close() // a copy; whoever accepts there is told that it is closed
		}
	}
	r.present = next
	r.ready.Set()
}
