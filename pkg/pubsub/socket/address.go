// SPDX-License-Identifier: Apache-2.0

package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/share"
)

var errRelativeRoot = errors.New("root folder is not absolute")

// network is Go's name for AF_UNIX with SOCK_SEQPACKET: one write, one datagram.
const network = "unixpacket"

// maxAddress is the longest address of a unix socket, in bytes: sun_path of
// unix(7) less its final zero.
const maxAddress = 107

// withAddress calls f with an address of the socket at path that is short enough
// to be used: one that goes through an open folder if the path itself is too long.
func withAddress(path string, f func(*net.UnixAddr) error) error {
	if len(path) <= maxAddress {
		return f(&net.UnixAddr{Name: path, Net: network})
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	short := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	return f(&net.UnixAddr{Name: short, Net: network})
}

func dial(path string) (conn *net.UnixConn, err error) {
	err = withAddress(path, func(a *net.UnixAddr) (err error) {
		conn, err = net.DialUnix(network, nil, a)
		return err
	})
	return conn, err
}

// unadmitted ends the name of a socket to which nobody was let in yet.
const unadmitted = "~"

// listen binds a table's socket, for a group to connect to unless it is 0. The
// caller holds the lock of the table's checkpoint folder, so only a publisher
// that is not ours can come in between.
func listen(path string, group int) (l *net.UnixListener, err error) {
	if err := share.Folder(filepath.Dir(path), group); err != nil {
		return nil, fmt.Errorf("make folder of socket %q: %w", path, err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	if group == 0 {
		l, err = bind(path)
		if err == nil {
			err = os.Chmod(path, 0o755)
		}
	} else {
		l, err = bindFor(path, group)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		err = pubsub.ErrInUse
	}
	if err != nil {
		if l != nil {
			_ = l.Close() // the first error says more
		}
		return nil, fmt.Errorf("listen on %q: %w", path, err)
	}
	return l, nil
}

func bind(path string) (l *net.UnixListener, err error) {
	err = withAddress(path, func(a *net.UnixAddr) (err error) {
		l, err = net.ListenUnix(network, a)
		return err
	})
	if err == nil {
		l.SetUnlinkOnClose(false) // it would unlink the short address
	}
	return l, err
}

// bindFor binds a socket that a group can connect to as soon as it is there:
// a subscriber that was turned away would report that.
func bindFor(path string, group int) (*net.UnixListener, error) {
	before := path + unadmitted
	if err := removeStale(before); err != nil {
		return nil, err
	}
	l, err := bind(before)
	if err != nil {
		return nil, err
	}
	if err := share.With(before, group, 0o660); err != nil {
		return l, err
	}
	return l, os.Rename(before, path)
}

// removeStale removes a socket on which nobody listens. One that answers, even
// with a full queue, is in use.
func removeStale(path string) error {
	conn, err := dial(path)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("probe socket %q: %w", path, pubsub.ErrInUse), conn.Close())
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EPROTOTYPE):
		return fmt.Errorf("probe socket %q: %w: %w", path, err, pubsub.ErrInUse)
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("probe socket %q: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove stale socket: %w", err)
	}
	return nil
}
