// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"strconv"
	"strings"
)

const (
	maxDatagram = 65535 // bytes; the agent dies of one that is as large
	maxRequest  = 255   // bytes that are read of a request, more than there are in a good one
)

// connection is a subscriber's.
type connection struct {
	*table
	conn *net.UnixConn
	sent map[string][]byte // values as they were sent
}

// serve sends a subscriber all that there is and then what changes, until it goes. That it has gone is seen only when
// there is something to send.
func (t *table) serve(conn *net.UnixConn) error {
	request := make([]byte, maxRequest)
	n, err := conn.Read(request)
	if err != nil {
		return err
	}
	if string(request[:n]) != "request "+t.topic {
		return fmt.Errorf("invalid request %.80q", request[:n])
	}
	c := &connection{t, conn, make(map[string][]byte)}
	if err := c.send("hello", strconv.FormatBool(t.files.persistent)); err != nil {
		return err
	}
	waker := t.join()
	defer t.leave(waker)
	restarted, err := c.sendTable()
	if err == nil {
		err = c.send("complete")
	}
	if err == nil && restarted != 0 {
		err = c.send("restarted", strconv.Itoa(restarted))
	}
	for last := restarted; err == nil; last = restarted {
		<-waker
		restarted, err = c.sendTable()
		if err == nil && restarted != last {
			err = c.send("restarted", strconv.Itoa(restarted))
		}
	}
	return err
}

// sendTable sends what differs from what was sent: deletions, and then values. A value is compared, in the order of
// its struct, with the sorted one that was sent, so that nearly all of them differ each time (EVE pubsub).
func (c *connection) sendTable() (restarted int, err error) {
	values, restarted := c.snapshot()
	for key := range c.sent {
		if _, there := values[key]; there {
			continue
		}
		delete(c.sent, key)
		if err := c.send("delete", encode([]byte(key))); err != nil {
			return 0, err
		}
	}
	for key, value := range values {
		if bytes.Equal(c.sent[key], value) {
			continue
		}
		onWire, err := cutOut(value, c.large)
		if err != nil {
			fatal(err)
		}
		c.sent[key] = onWire
		if err := c.send("update", encode([]byte(key)), encode(onWire)); err != nil {
			return 0, err
		}
	}
	return restarted, nil
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func (c *connection) send(verb string, words ...string) error {
	datagram := strings.Join(append([]string{verb, c.topic}, words...), " ")
	if len(datagram) >= maxDatagram {
		fatal(fmt.Errorf("too large message of %d bytes for %s", len(datagram), c.topic))
	}
	_, err := c.conn.Write([]byte(datagram))
	return err
}
