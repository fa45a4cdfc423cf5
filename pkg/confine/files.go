// SPDX-License-Identifier: Apache-2.0

package confine

import (
	"fmt"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// What may be done in folders.
const (
	toRead = ll.AccessFSReadFile | ll.AccessFSReadDir | ll.AccessFSResolveUnix
	toTake = toRead | ll.AccessFSRemoveFile
	toUse  = ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSIoctlDev
	toOwn  = toTake | ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSRemoveDir |
		ll.AccessFSMakeDir | ll.AccessFSMakeReg | ll.AccessFSMakeSock
)

// wholeVersion is the version of Landlock from which on connecting to sockets is restricted too, and thus all that there
// is to restrict here.
const wholeVersion = 9

// restrictFiles leaves the process its folders and files, and no TCP port to bind, or to connect to but its own. An older
// kernel restricts less.
func (p Policy) restrictFiles() (lack string, err error) {
	version, err := ll.LandlockGetABIVersion()
	if err != nil {
		return "Landlock, which this kernel does not have", nil //nolint:nilerr // the error says no more than that
	}
	rules := []landlock.Rule{
		landlock.PathAccess(toOwn, p.Own...),
		landlock.PathAccess(toRead, p.Read...),
		landlock.PathAccess(toTake, p.Take...),
		landlock.PathAccess(toUse, p.Devices...).IgnoreIfMissing(),
	}
	for _, path := range p.Files {
		access := landlock.AccessFSSet(ll.AccessFSReadFile)
		if isFolder(path) {
			access |= ll.AccessFSReadDir
		}
		rules = append(rules, landlock.PathAccess(access, path).IgnoreIfMissing())
	}
	for _, port := range p.Connect {
		rules = append(rules, landlock.ConnectTCP(port))
	}
	err = landlock.V11.BestEffort().Restrict(rules...)
	if err != nil || version >= wholeVersion {
		return "", err
	}
	return fmt.Sprintf("the newer part of Landlock: this kernel has version %d of %d", version, wholeVersion), nil
}
