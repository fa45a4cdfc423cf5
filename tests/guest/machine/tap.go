// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/pkg/netns"
)

// TapOf is the tap that one of QEMU's arguments names; "" for none.
func TapOf(arg string) string {
	if !strings.HasPrefix(arg, "tap,") {
		return ""
	}
	_, tap, _ := strings.Cut(arg, "ifname=")
	tap, _, _ = strings.Cut(tap, ",")
	return tap
}

// OpenTaps opens the taps that arguments of QEMU's name, as the service words them, each in the network namespace whose path is
// said of it. Out come the arguments with descriptors in place of names (Config.Files), so that a guest can have taps in
// several namespaces: QEMU finds by name only those in its own.
func OpenTaps(args []string, namespaceOf func(tap string) (path string, err error)) (opened []string, files []*os.File, err error) {
	const first = 3 // descriptor that QEMU has after its input and output
	for _, arg := range args {
		if tap := TapOf(arg); tap != "" {
			f, err := openTap(tap, namespaceOf)
			if err != nil {
				for _, f := range files {
					err = errors.Join(err, f.Close())
				}
				return nil, nil, fmt.Errorf("open tap %s: %w", tap, err)
			}
			arg = strings.Replace(arg, "ifname="+tap+",script=no,downscript=no", fmt.Sprintf("fd=%d", first+len(files)), 1)
			files = append(files, f)
		}
		opened = append(opened, arg)
	}
	return opened, files, nil
}

func openTap(tap string, namespaceOf func(tap string) (path string, err error)) (f *os.File, err error) {
	namespace, err := namespaceOf(tap)
	if err != nil {
		return nil, err
	}
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
	return f, err
}
