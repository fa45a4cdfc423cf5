// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// pathOfSysctl returns the file of a parameter. It shows that of the namespace which the calling thread is in. A dot in the
// name of an interface is a slash in that of its parameter, as sysctl(8) has it.
func pathOfSysctl(name string) string {
	return "/proc/sys/" + strings.NewReplacer(".", "/", "/", ".").Replace(name)
}

// maxSysctl is longer than the values of the parameters that plans are made of.
const maxSysctl = 64

// readSysctl returns a parameter of the calling thread's namespace.
func readSysctl(name string) (value string, err error) {
	buf := make([]byte, maxSysctl)
	n := 0
	err = withSysctl(name, unix.O_RDONLY, func(fd int) (err error) {
		n, err = unix.Read(fd, buf)
		return err
	})
	return string(bytes.TrimSpace(buf[:max(n, 0)])), err
}

// writeSysctl sets a parameter of the calling thread's namespace, unless the kernel does not have it.
func writeSysctl(name, value string) error {
	return tolerate(withSysctl(name, unix.O_WRONLY, func(fd int) error {
		_, err := unix.Write(fd, []byte(value))
		return err
	}), fs.ErrNotExist)
}

// withSysctl opens a parameter. It does without package os, whose files are made for being waited for.
func withSysctl(name string, mode int, f func(fd int) error) (err error) {
	fd, err := unix.Open(pathOfSysctl(name), mode|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	return f(fd)
}
