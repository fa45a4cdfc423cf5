// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/lf-edge/eve-metadata/pkg/netns"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// shut is how long it takes to be sure that nobody answers on this machine, who would at once.
const shut = 500 * time.Millisecond

// dialer is where one can dial from.
type dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// reach connects to who greets, and returns as whom the caller is seen.
func reach(from dialer, address string) (seenAs string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), shut)
	defer cancel()
	conn, err := from.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(time.Now().Add(world.Patience)); err != nil {
		return "", err
	}
	greeting, err := io.ReadAll(conn)
	return string(greeting), err
}

// reaches says in which way a caller does not reach who greets, as somebody.
func reaches(from dialer, address, as string) error {
	seenAs, err := reach(from, address)
	if err == nil && seenAs != as {
		err = fmt.Errorf("reaches %s as %s, want as %s", address, seenAs, as)
	}
	return err
}

// inside is a dialer in the namespace at a path.
type inside string

// DialContext dials there.
func (path inside) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = netns.Do(string(path), func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}
