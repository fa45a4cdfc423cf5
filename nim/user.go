// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// dnsmasqUser is the user that Debian's and Alpine's packages make for dnsmasq.
const dnsmasqUser = "dnsmasq"

// serverUser is who the networks' servers, which guests talk to, are to run as: dnsmasq's own user, or "", who started
// them, where there is none, where the user namespace has none but root, and where none but root gets to the files in
// dir.
func serverUser(dir string) string {
	u, err := user.Lookup(dnsmasqUser)
	if err != nil {
		return ""
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil || !isMapped(uid) || !isPublic(dir) {
		return ""
	}
	return dnsmasqUser
}

// isMapped tells whether a user is one in this user namespace. The kernel's own has a single range for all.
func isMapped(uid int) bool {
	ids, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	var inside, outside, count int
	if _, err := fmt.Sscan(string(ids), &inside, &outside, &count); err != nil {
		return false
	}
	return uid >= inside && uid < inside+count
}

// isPublic tells whether anybody may pass through a folder and all above it. What is not there yet will be.
func isPublic(dir string) bool {
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		const pass fs.FileMode = 1
		if st, err := os.Stat(dir); err == nil && st.Mode()&pass == 0 {
			return false
		}
	}
	return true
}
