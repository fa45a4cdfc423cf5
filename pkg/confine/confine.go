// SPDX-License-Identifier: Apache-2.0

// Package confine takes from a process what it does not need any more, for good: the server that guests can talk to has
// nothing to give away.
//
// In comes what the process still needs, a user and folders; afterwards the process has these and no more, in all of its
// threads. Each of the measures stands alone, so that one that a kernel does not have leaves the others:
//
//   - a user, its group and no other, and no capability, nor a way to get one back (capabilities(7));
//   - a file system of nothing but its folders, where it has a mount namespace of its own (mount_namespaces(7));
//   - no_new_privs: no program that is run gives privileges; and memory that other processes of the user cannot look at;
//   - Landlock: no file outside of the folders can be opened, and no TCP port bound, or connected to but those that are
//     said (landlock(7));
//   - seccomp: no system call but those that a server in Go makes (seccomp(2)).
//
// What is open stays open: descriptors that were opened before, or that others hand over, are what the process serves.
// The command calls it, once, when the privileged part of its start is over.
package confine

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/lf-edge/eve-metadata/pkg/share"
)

// Policy is what a process keeps.
type Policy struct {
	// User is who the process becomes; nil: it stays who it is. Only root can become somebody else.
	User *User
	// Own are the folders in which it makes, changes and removes what it likes. They are made, and given to User with all
	// that is in them, if the process may.
	Own []string
	// Read are the folders of others, in which it reads files and connects to sockets. They have to be there, or are made
	// for Group to read.
	Read []string
	// Take are the folders of others in which it reads and removes files.
	Take []string
	// Files are files of others, and folders, that it reads if they are there at the start. It connects to no socket there.
	Files []string
	// Devices are those that it reads and writes, if they are there at the start.
	Devices []string
	// Connect are TCP ports that it connects to, over IPv4.
	Connect []uint16
	// Group is who may read the folders of Read and Take that are made.
	Group int
	// Parent is the process with which this one is to end; 0 for none.
	Parent int
	// Root is an empty folder, outside of all others here, which becomes the root of a process that has a mount namespace of
	// its own: it then sees nothing but the policy's files. "": it sees what it saw.
	Root string
}

// Apply confines the process. It returns what could not be done because the kernel or the user namespace does not have it,
// which leaves the rest in force. An error says that the process is not confined as it should be and had better end.
func (p Policy) Apply() (lacking []string, err error) {
	if p.User != nil && !p.User.Here() {
		lacking = append(lacking, fmt.Sprintf("user %s, whom this user namespace does not have", p.User))
		p.User = nil
	}
	if err := p.makeFolders(); err != nil {
		return nil, fmt.Errorf("confine: %w", err)
	}
	for _, measure := range []struct {
		name string
		take func() (lack string, err error)
	}{
		{"enter a root of its own", p.enterRoot},
		{"drop capabilities", dropBounding},
		{"change user", p.changeUser},
		{"drop privileges", dropPrivileges},
		{"end with the parent", p.followParent},
		{"restrict files", p.restrictFiles},
		{"restrict system calls", p.restrictCalls},
	} {
		lack, err := measure.take()
		if err != nil {
			return lacking, fmt.Errorf("confine: %s: %w", measure.name, err)
		}
		if lack != "" {
			lacking = append(lacking, lack)
		}
	}
	return lacking, nil
}

// makeFolders makes the folders while the process is who it was at its start. Rules of Landlock are about folders that are
// there.
func (p Policy) makeFolders() error {
	var errs []error
	for _, path := range p.Own {
		errs = append(errs, p.makeOwn(path))
	}
	for _, path := range append(append([]string{}, p.Read...), p.Take...) {
		if isFolder(path) {
			continue
		}
		if err := share.Folder(path, p.Group); err != nil {
			errs = append(errs, fmt.Errorf("make folder, which is another process's to make: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (p Policy) makeOwn(path string) error {
	if !isFolder(path) {
		if err := share.Folder(path, 0); err != nil {
			return err
		}
	}
	if p.User == nil {
		return nil
	}
	return give(path, *p.User)
}

// changeUser becomes the user.
func (p Policy) changeUser() (lack string, err error) {
	if p.User == nil {
		return "", nil
	}
	return "", become(*p.User)
}

// Folders is a list of folders below a root.
func Folders(root string, paths ...string) []string {
	all := make([]string, len(paths))
	for i, p := range paths {
		all[i] = filepath.Join("/", root, p)
	}
	return all
}
