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

// listen binds a table's socket. The caller holds the lock of the table's
// checkpoint folder, so only a publisher that is not ours can come in between.
func listen(path string) (l *net.UnixListener, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make folder of socket %q: %w", path, err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	err = withAddress(path, func(a *net.UnixAddr) (err error) {
		l, err = net.ListenUnix(network, a)
		return err
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %q: %w", path, pubsub.ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // it would unlink the short address
	if err := os.Chmod(path, 0o755); err != nil {
		return nil, errors.Join(fmt.Errorf("set mode of socket %q: %w", path, err), l.Close())
	}
	return l, nil
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
