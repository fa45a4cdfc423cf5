// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// table is one published table.
type table struct {
	topic string
	files checkpoint
	large string // folder of large fields

	mu        sync.Mutex
	values    map[string][]byte
	restarted int
	wakers    map[chan struct{}]struct{} // of the connections
}

// open starts to publish a table with what its files have, below the root that is the working folder. The restart counter is cleared, which is the first thing that
// an agent of EVE's does with its publications.
func open(root, agent, topic string, persistent bool) (*table, error) {
	name := agent + "/" + topic
	dir := filepath.Join("var/run", name)
	socket := dir + ".sock"
	if persistent {
		dir = filepath.Join("persist/status", name)
	}
	t := &table{
		topic: topic, files: checkpoint{dir, persistent}, large: filepath.Join(root, "persist/pubsub-large", name),
		wakers: make(map[chan struct{}]struct{}),
	}
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return nil, err
	}
	listener, err := listen(socket)
	if err != nil {
		return nil, err
	}
	if t.values, t.restarted, err = t.files.load(); err != nil {
		return nil, err
	}
	go t.accept(listener)
	return t, t.setRestarted(0)
}

// listen takes a table's socket. Who answers there already is another publisher; who does not, is dead.
func listen(path string) (*net.UnixListener, error) {
	address := &net.UnixAddr{Name: path, Net: "unixpacket"}
	if _, err := os.Lstat(path); err == nil {
		if conn, err := net.DialUnix(address.Net, nil, address); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("can not publish %s since it is already used", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return net.ListenUnix(address.Net, address)
}

func (t *table) accept(listener *net.UnixListener) {
	for {
		conn, err := listener.AcceptUnix()
		if err != nil {
			fatal(err)
		}
		go func() {
			err := t.serve(conn)
			fmt.Fprintln(os.Stderr, t.topic+":", errors.Join(err, conn.Close()))
		}()
	}
}

// set publishes a value. Connections may send it before it is on the disk.
func (t *table) set(key string, value []byte) error {
	t.mu.Lock()
	same := bytes.Equal(t.values[key], value)
	t.values[key] = value
	t.mu.Unlock()
	if same {
		return nil
	}
	t.wake()
	return t.files.write(key, value)
}

// remove withdraws a value, which has to be there.
func (t *table) remove(key string) error {
	t.mu.Lock()
	_, known := t.values[key]
	delete(t.values, key)
	t.mu.Unlock()
	if !known {
		return fmt.Errorf("key %q of %s does not exist", key, t.topic)
	}
	t.wake()
	return t.files.remove(key)
}

func (t *table) setRestarted(n int) error {
	t.mu.Lock()
	same := t.restarted == n
	t.restarted = n
	t.mu.Unlock()
	if same {
		return nil
	}
	t.wake()
	return t.files.setRestarted(n)
}

// wake tells every connection that something has changed, unless it has been told already: what changes meanwhile is sent
// as one.
func (t *table) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for waker := range t.wakers {
		select {
		case waker <- struct{}{}:
		default:
		}
	}
}

func (t *table) join() chan struct{} {
	waker := make(chan struct{}, 1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wakers[waker] = struct{}{}
	return waker
}

func (t *table) leave(waker chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.wakers, waker)
}

func (t *table) snapshot() (values map[string][]byte, restarted int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.values), t.restarted
}
