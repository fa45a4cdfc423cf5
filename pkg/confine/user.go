// SPDX-License-Identifier: Apache-2.0

package confine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// User is a user and its group.
type User struct {
	Name     string
	UID, GID int
}

// Lookup finds a user by name or number.
func Lookup(name string) (*User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		byID, idErr := user.LookupId(name)
		if idErr != nil {
			return nil, err
		}
		u = byID
	}
	uid, uidErr := strconv.Atoi(u.Uid)
	gid, gidErr := strconv.Atoi(u.Gid)
	return &User{Name: u.Username, UID: uid, GID: gid}, errors.Join(uidErr, gidErr)
}

// LookupGroup finds a group's number by its name or number.
func LookupGroup(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		byID, idErr := user.LookupGroupId(name)
		if idErr != nil {
			return 0, err
		}
		g = byID
	}
	return strconv.Atoi(g.Gid)
}

// String names the user.
func (u User) String() string { return u.Name }

// Here says whether the user namespace has the user and its group: that of an ordinary user has one of each.
func (u User) Here() bool {
	return mapped("/proc/self/uid_map", u.UID) && mapped("/proc/self/gid_map", u.GID)
}

// mapped says whether an id is in a map as user_namespaces(7) has them: first id inside, first outside, number.
func mapped(path string, id int) bool {
	content, err := os.ReadFile(path)
	if err != nil {
		return true // a kernel without user namespaces has all ids
	}
	return inMap(string(content), id)
}

func inMap(content string, id int) bool {
	for line := range strings.Lines(content) {
		var first, outside, n int64
		if _, err := fmt.Sscan(line, &first, &outside, &n); err == nil && int64(id) >= first && int64(id)-first < n {
			return true
		}
	}
	return false
}

// give makes the user the owner of a folder and of all that is in it, unless the folder is the user's already: what is in
// it then is the user's doing, and root had better not follow that. Nothing outside of the folder is touched.
func give(path string, u User) error {
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // it was read
	info, err := root.Stat(".")
	if err != nil {
		return err
	}
	if int(info.Sys().(*syscall.Stat_t).Uid) == u.UID {
		return nil
	}
	var below []string
	err = fs.WalkDir(root.FS(), ".", func(at string, _ fs.DirEntry, err error) error {
		below = append(below, at)
		return err
	})
	if err != nil {
		return err
	}
	for _, at := range slices.Backward(below) { // the folder last: it says that all is done
		if err := root.Lchown(at, u.UID, u.GID); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// become changes the user in all threads.
func become(u User) error {
	if u.UID == os.Getuid() && u.GID == os.Getgid() {
		return nil
	}
	if err := syscall.Setgroups([]int{u.GID}); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if err := syscall.Setresgid(u.GID, u.GID, u.GID); err != nil {
		return fmt.Errorf("set group %d: %w", u.GID, err)
	}
	if err := syscall.Setresuid(u.UID, u.UID, u.UID); err != nil {
		return fmt.Errorf("set user %d: %w", u.UID, err)
	}
	return nil
}

// followParent asks for SIGTERM when the parent dies. What was asked for before, the kernel has forgotten with the user.
func (p Policy) followParent() (lack string, err error) {
	if p.Parent == 0 {
		return "", nil
	}
	if err := everywhere(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM)); err != nil {
		return "", err
	}
	if os.Getppid() != p.Parent {
		return "", errors.New("it has died")
	}
	return "", nil
}
