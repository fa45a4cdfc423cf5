// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/lf-edge/eve-metadata/tests/netns/guestns"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

// Machine is a network namespace that plays a whole machine, such as the one that the service runs on, or one outside.
type Machine struct {
	*guestns.Guest
	T testing.TB
}

// NewMachine makes one, which goes with the test.
func NewMachine(t testing.TB) *Machine {
	t.Helper()
	return MachineAt(t, filepath.Join(t.TempDir(), "machine"))
}

// MachineAt is NewMachine for a namespace at a path.
func MachineAt(t testing.TB, path string) *Machine {
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
	return MachineOf(t, g)
}

// MachineOf is a namespace that is there as a machine.
func MachineOf(t testing.TB, g *guestns.Guest) *Machine { return &Machine{g, t} }

// Sh runs a script there and returns what it prints. The first command that fails ends it and the test.
func (m *Machine) Sh(format string, args ...any) string {
	m.T.Helper()
	ctx, cancel := context.WithTimeout(m.T.Context(), Patience)
	defer cancel()
	script := fmt.Sprintf(format, args...)
	out, err := m.Command(ctx, "sh", "-ec", script).CombinedOutput()
	if err != nil {
		m.T.Fatalf("%s\n%v\n%s", script, err, out)
	}
	return string(out)
}

// Program returns a program that runs another one there, with the arguments that it is given.
func (m *Machine) Program(name string) string {
	m.T.Helper()
	path := filepath.Join(m.T.TempDir(), "program")
	script := fmt.Sprintf("#!/bin/sh\nexec nsenter --net='%s' -- '%s' \"$@\"\n", m.Path(), name)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		m.T.Fatal(err)
	}
	return path
}

// Serve runs a program there until the test ends.
func (m *Machine) Serve(name string, args ...string) {
	m.T.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := m.Command(ctx, name, args...)
	if err := cmd.Start(); err != nil {
		m.T.Fatal(err)
	}
	m.T.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
}

// Greet accepts connections at an address and tells each caller as whom it is seen.
func (m *Machine) Greet(address string) {
	m.T.Helper()
	var listener net.Listener
	if err := m.Do(func() (err error) {
		listener, err = net.Listen("tcp", address)
		return err
	}); err != nil {
		m.T.Fatal(err)
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
	m.T.Cleanup(func() {
		_ = listener.Close()
		done.Wait()
	})
}
