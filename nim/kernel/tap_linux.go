// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// tunDevice makes taps. Containers without it, and user namespaces that may not open it, have veths only.
const tunDevice = "/dev/net/tun"

// addTap makes a tap in the calling thread's namespace. It is persistent: it stays when this process ends, and a
// hypervisor opens it by name. It is made with the header that virtio needs, as a hypervisor would make it.
func addTap(name string) (err error) {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", tunDevice, err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	req, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("name tap: %w", err)
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_TUN_EXCL)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		if errors.Is(err, unix.EBUSY) { // by IFF_TUN_EXCL: the name is in use
			err = unix.EEXIST
		}
		return fmt.Errorf("make tap: %w", err)
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("keep tap: %w", err)
	}
	return nil
}
