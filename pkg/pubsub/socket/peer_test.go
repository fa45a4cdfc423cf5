// SPDX-License-Identifier: Apache-2.0

package socket_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
)

// patience is how long a peer waits before its test fails.
const patience = 30 * time.Second

// peer is one end of a connection that speaks the wire by hand.
type peer struct {
	t    *testing.T
	conn *net.UnixConn
}

// dialPeer connects to a table's socket as a subscriber.
func dialPeer(t *testing.T, root string, table pubsub.Table) peer {
	t.Helper()
	var conn *net.UnixConn
	err := socket.WithAddress(socketPath(root, table), func(a *net.UnixAddr) (err error) {
		conn, err = net.DialUnix("unixpacket", nil, a)
		return err
	})
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return peer{t, conn}
}

func socketPath(root string, table pubsub.Table) string {
	return root + "/var/run/" + table.Name() + ".sock"
}

func (p peer) send(datagrams ...string) {
	p.t.Helper()
	for _, d := range datagrams {
		if _, err := p.conn.Write([]byte(d)); err != nil {
			p.t.Fatalf("send %.80q: %v", d, err)
		}
	}
}

func (p peer) receive() string {
	p.t.Helper()
	buf := make([]byte, 1<<17)
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	n, err := p.conn.Read(buf)
	if err != nil {
		p.t.Fatalf("receive: %v", err)
	}
	return string(buf[:n])
}

func (p peer) expect(datagrams ...string) {
	p.t.Helper()
	for _, want := range datagrams {
		if got := p.receive(); got != want {
			p.t.Fatalf("received %.300q, want %.300q", got, want)
		}
	}
}

// expectEnd reads until the other side closes the connection and returns how many
// datagrams that took.
func (p peer) expectEnd() (datagrams int) {
	p.t.Helper()
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	for buf := make([]byte, 1<<17); ; datagrams++ {
		_, err := p.conn.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			p.t.Fatal("connection was not closed")
		}
		if err != nil {
			return datagrams // EOF, or a reset because of what was not read
		}
	}
}

// publisher is a publisher that sends what its test says.
type publisher struct {
	t        *testing.T
	listener *net.UnixListener
}

func listenPeer(t *testing.T, root string, table pubsub.Table) publisher {
	t.Helper()
	l := listenAt(t, socketPath(root, table))
	t.Cleanup(func() { _ = l.Close() })
	return publisher{t, l}
}

// listenAt makes a socket that outlives its listener.
func listenAt(t *testing.T, path string) (l *net.UnixListener) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	err := socket.WithAddress(path, func(a *net.UnixAddr) (err error) {
		l, err = net.ListenUnix("unixpacket", a)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	return l
}

// accept waits for a subscriber and its request.
func (p publisher) accept(topic string) peer {
	p.t.Helper()
	if err := p.listener.SetDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	conn, err := p.listener.AcceptUnix()
	if err != nil {
		p.t.Fatalf("accept: %v", err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	sub := peer{p.t, conn}
	sub.expect("request " + topic)
	return sub
}

func update(topic, key, value string) string {
	return "update " + topic + " " + b64(key) + " " + b64(value)
}

func remove(topic, key string) string { return "delete " + topic + " " + b64(key) }

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// quote is the JSON of the JSON of a path.
func quote(t *testing.T, path string) string {
	t.Helper()
	inner, err := json.Marshal(path)
	if err != nil {
		t.Fatal(err)
	}
	outer, err := json.Marshal(string(inner))
	if err != nil {
		t.Fatal(err)
	}
	return string(outer)
}

// largeFile writes a file of a large field and returns its path.
func largeFile(t *testing.T, root string, table pubsub.Table, name, content string) string {
	t.Helper()
	dir := root + "/persist/pubsub-large/" + table.Name()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}
