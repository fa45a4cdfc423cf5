// SPDX-License-Identifier: Apache-2.0

// Package kernel is the only one that talks netlink: it reports what the kernel has of an app network (package plan's
// Seen), carries out a plan's steps, opens the sockets that guests ask at, and tells when somebody has changed something.
// Package nim calls it.
//
// Each network is worked on through a Session: its namespace, and one netlink socket for each subsystem that is needed,
// opened in that namespace, so that no call after that has to enter it. A managed network's session reaches the host's own
// namespace likewise, for the other end of an uplink. Entering is left for what netlink can not do: taps, parameters
// (sysctl) and listening sockets.
//
// All of it needs CAP_NET_ADMIN and CAP_SYS_ADMIN, if only those of a user namespace.
package kernel

import (
	"fmt"
	"path/filepath"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/netns"
)

// dirMode is what ip-netns(8) gives its directory.
const dirMode = 0o755

// Kernel is the app networks' namespaces under a root directory.
type Kernel struct {
	dir string
	// share the directory with other mount namespaces, as ip-netns(8) does. Under a root of its own nobody else looks.
	share bool
}

// New returns the kernel's side of the namespaces in root's directory run/netns, which for root "" is ip-netns(8)'s own.
// It opens and makes nothing.
func New(root string) *Kernel {
	return &Kernel{dir: filepath.Join("/", root, "run/netns"), share: root == ""}
}

// Dir returns the directory of the namespaces.
func (k *Kernel) Dir() string { return k.dir }

// Path returns the path of a namespace, given its name.
func (k *Kernel) Path(name string) string { return filepath.Join(k.dir, name) }

// Names returns the names of the namespaces that are ours, sorted.
func (k *Kernel) Names() ([]string, error) {
	all, err := netns.List(k.dir)
	if err != nil {
		return nil, err
	}
	var ours []string
	for _, name := range all {
		if plan.IsNamespace(name) {
			ours = append(ours, name)
		}
	}
	return ours, nil
}

// StepError is a step that failed.
type StepError struct {
	Step plan.Step
	Err  error
}

// Error names the step as ip(8) would be told it.
func (e *StepError) Error() string { return fmt.Sprintf("%s: %v", e.Step, e.Err) }

// Unwrap returns what went wrong.
func (e *StepError) Unwrap() error { return e.Err }

// NetworkPath returns the path of an app network's namespace, given its network instance's UUID.
func (k *Kernel) NetworkPath(network string) string { return k.Path(plan.NamespaceName(network)) }
