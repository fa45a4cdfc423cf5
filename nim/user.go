// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lf-edge/eve-metadata/pkg/confine"
)

// dnsmasqUser is the user that Debian's and Alpine's packages make for dnsmasq.
const dnsmasqUser = "dnsmasq"

// serverUser is who the networks' servers, which guests talk to, are to run as: dnsmasq's own user, or "", who started
// them, where there is none, where the user namespace has none but root, and where none but root gets to the files in
// dir.
func serverUser(dir string) string {
	u, err := confine.Lookup(dnsmasqUser)
	if err != nil || !u.Here() || !isPublic(dir) {
		return ""
	}
	return dnsmasqUser
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
