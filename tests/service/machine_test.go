// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/lf-edge/eve-metadata/pkg/netns"
	"github.com/lf-edge/eve-metadata/tests/netns/guestns"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

// machine is a network namespace that plays a whole machine, such as the one that the service runs on, or one outside.
type machine struct {
	*guestns.Guest
	t *testing.T
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	return machineAt(t, filepath.Join(t.TempDir(), "machine"))
}

func machineAt(t *testing.T, path string) *machine {
	t.Helper()
	tool.Need(t, "ip", "iproute2")
	g, err := guestns.Empty(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return &machine{g, t}
}

// sh runs a script there and returns what it prints. The first command that fails ends it and the test.
func (m *machine) sh(format string, args ...any) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	script := fmt.Sprintf(format, args...)
	out, err := m.Command(ctx, "sh", "-ec", script).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s\n%v\n%s", script, err, out)
	}
	return string(out)
}

// program returns a program that runs another one there, with the arguments that it is given.
func (m *machine) program(name string) string {
	m.t.Helper()
	path := filepath.Join(m.t.TempDir(), "program")
	script := fmt.Sprintf("#!/bin/sh\nexec nsenter --net='%s' -- '%s' \"$@\"\n", m.Path(), name)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		m.t.Fatal(err)
	}
	return path
}

// serve runs a program there until the test ends.
func (m *machine) serve(name string, args ...string) {
	m.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := m.Command(ctx, name, args...)
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
}

// greet accepts connections at an address and tells each caller as whom it is seen.
func (m *machine) greet(address string) {
	m.t.Helper()
	greetIn(m.t, m.Guest, address)
}

func greetIn(t *testing.T, g *guestns.Guest, address string) {
	t.Helper()
	var listener net.Listener
	if err := g.Do(func() (err error) {
		listener, err = net.Listen("tcp", address)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			caller := netip.MustParseAddrPort(conn.RemoteAddr().String()).Addr()
			_, _ = io.WriteString(conn, caller.Unmap().String()) // who does not read it says so
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		done.Wait()
	})
}

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
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
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
