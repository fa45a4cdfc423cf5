// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/pkg/netns"
)

// OpenTap opens a tap in the network namespace at a path, as QEMU would if it were there, which takes the descriptor in place
// of the tap's name ("fd="). So a guest can have taps in several namespaces.
func OpenTap(namespace, tap string) (f *os.File, err error) {
	err = netns.Do(namespace, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		f = os.NewFile(uintptr(fd), "/dev/net/tun")
		request, err := unix.NewIfreq(tap)
		if err != nil {
			return errors.Join(err, f.Close())
		}
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			return errors.Join(err, f.Close())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open tap %s: %w", tap, err)
	}
	return f, nil
}
