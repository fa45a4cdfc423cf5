// SPDX-License-Identifier: Apache-2.0

// Package netns_test runs the manager of the app networks on the real kernel, in network namespaces that go when the tests
// do. The manager with its topics is in world_test.go.
package netns_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"github.com/lf-edge/eve-metadata/nim"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
)

// managerRoot is set in the environment of a process that is nothing but a manager, to be killed by a test.
const managerRoot = "EVE_METADATA_TEST_MANAGER_ROOT"

func TestMain(m *testing.M) {
	if root := os.Getenv(managerRoot); root != "" {
		if err := runManager(root); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	sandbox.Main(m)
}

// runManager runs a manager over the socket driver for as long as the process lives. It closes standard output when the
// manager is ready.
func runManager(root string) error {
	m, err := nim.New(nim.Config{Driver: &socket.Driver{Root: root}, Root: root, Board: endpoint.NewBoard(), Log: quiet()})
	if err != nil {
		return err
	}
	go func() {
		<-m.Ready()
		_ = os.Stdout.Close()
	}()
	return m.Run(context.Background())
}

// killedManager runs a manager in a process of its own until it is ready, and kills it.
func (w *world) killedManager() {
	w.t.Helper()
	_, kill := w.otherManager()
	kill()
}

// otherManager runs a manager in a process of its own, and returns when it is ready.
func (w *world) otherManager() (pid int, kill func()) {
	w.t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), managerRoot+"="+w.root)
	cmd.Stderr = os.Stderr
	ready, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	_, _ = ready.Read(make([]byte, 1)) // until it is closed
	return cmd.Process.Pid, sync.OnceFunc(func() {
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			w.t.Errorf("kill manager: %v", err)
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			w.t.Errorf("manager was to be killed, but it ended: %v", err)
		}
	})
}
