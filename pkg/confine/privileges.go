// SPDX-License-Identifier: Apache-2.0

package confine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ptr is a pointer as a system call takes it.
func ptr[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) } //nolint:gosec // a parameter of a system call

// everywhere makes a system call in every thread of the process.
func everywhere(trap, a1, a2 uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall(trap, a1, a2, 0)
	switch errno {
	case 0:
		return nil
	case unix.ENOTSUP:
		return fmt.Errorf("this program was built with cgo (make build builds without): %w", errno)
	}
	return errno
}

// dropBounding empties the bounding set, while there is the capability that it takes: what is not in it never comes back.
// Without the capability there is none of the others to lose either, and no_new_privs keeps it so.
func dropBounding() (lack string, err error) {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		there, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			return "", nil // the kernel knows no more of them
		}
		if err == nil && there == 0 {
			continue
		}
		err = everywhere(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c)
		switch {
		case errors.Is(err, unix.EPERM):
			return "the bounding set of capabilities, which takes a privilege to empty", nil
		case err != nil:
			return "", fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return "", nil
}

// dropPrivileges empties all sets of capabilities, has programs that are run give none, and hides the process's memory,
// which holds what guests are told in secret.
func dropPrivileges() (lack string, err error) {
	if err := everywhere(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL); err != nil {
		return "", fmt.Errorf("clear ambient set: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	err = everywhere(unix.SYS_CAPSET, ptr(&header), ptr(&none))
	runtime.KeepAlive(&none)
	if err != nil {
		return "", fmt.Errorf("clear capabilities: %w", err)
	}
	if err := everywhere(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return "", fmt.Errorf("set no_new_privs: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return "", fmt.Errorf("hide memory: %w", err)
	}
	return "", nil
}

// isFolder says whether there is a folder at a path.
func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
