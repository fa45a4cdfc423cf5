// SPDX-License-Identifier: Apache-2.0

package netns

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Share makes dir a mount of its own that is shared with other mount namespaces, as ip-netns(8) does with /run/netns:
// services that were started with a mount namespace of their own then see namespaces that come and go. The directory is
// made when it is missing; one that is shared already is left as it is. Where it can not be done, namespaces work all the
// same, for those that live in the same mount namespace.
func Share(dir string) error {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return fmt.Errorf("share %q: %w", dir, err)
	}
	err := unix.Mount("", dir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // not a mount yet
		if err = unix.Mount(dir, dir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = unix.Mount("", dir, "none", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	if err != nil {
		return fmt.Errorf("share %q: %w", dir, err)
	}
	return nil
}
