// SPDX-License-Identifier: Apache-2.0

// Package sandbox lets tests work on network namespaces without touching the machine they run on.
//
// In comes a package's TestMain; the test binary then runs once more in a mount and a network namespace of its own, and,
// when the user is not root, as root of a user namespace. Whatever a test makes there is gone when the binary ends, however
// it ends.
package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/lf-edge/eve-metadata/tests/tool"
)

// inside is set in the environment of the second run: "yes", or why it is not inside.
const inside = "EVE_METADATA_TEST_SANDBOX"

// Main is a TestMain: it runs the tests in the sandbox and fails when they leave goroutines behind. Where the kernel
// forbids the sandbox, it runs them outside, and Need skips those that need it.
func Main(m *testing.M) {
	if os.Getenv(inside) != "" {
		goleak.VerifyTestMain(m)
		return
	}
	err := run(exec.Command("/proc/self/exe", os.Args[1:]...))
	var exit *exec.ExitError
	switch {
	case err == nil:
		os.Exit(0)
	case errors.As(err, &exit):
		os.Exit(max(1, exit.ExitCode()))
	}
	if err := os.Setenv(inside, err.Error()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// run runs the command in namespaces of its own.
func run(cmd *exec.Cmd) error {
	// The child is to die with this process; the kernel takes the thread that started it for the parent.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.Env = append(os.Environ(), inside+"=yes")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		Pdeathsig:    syscall.SIGKILL,
	}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}}
	}
	return cmd.Run()
}

// Need skips a test that is not in the sandbox, and says why it is not. For root that is a failure: a machine on which
// these tests are silently left out would prove nothing.
func Need(t testing.TB) {
	t.Helper()
	if why := os.Getenv(inside); why != "yes" {
		if os.Geteuid() == 0 {
			tool.Missing(t, "root can not make network namespaces here: "+why)
		}
		t.Skipf("network namespaces can not be made here, neither as root nor in a user namespace: %s", why)
	}
}

// NeedTap skips a test that needs taps where they can not be made: in a user namespace of somebody who may not open
// /dev/net/tun, or on a machine without it.
func NeedTap(t testing.TB) {
	t.Helper()
	Need(t)
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("taps can not be made here: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
