// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/netns"
)

// ownNamespace is the process's own namespace, whichever thread asks.
const ownNamespace = "/proc/self/ns/net"

// Session is work on one network. It is used by one goroutine, and closed by it.
type Session struct {
	place plan.Network
	path  string
	share string // directory to be shared before the namespace is made; "": none
	here  *space // nil while the namespace is not there
	why   error  // it is not
	host  *space // the host's own namespace; nil until it is needed
}

// space is what is open of one namespace.
type space struct {
	ns     *netns.Namespace
	handle *netlink.Handle
	rules  *rules // nil until they are needed
	// index of the interfaces that are known by name; what is missing is asked for.
	index map[string]int
}

// errHost says that a namespace which is to be a guest's own is the host's.
var errHost = errors.New("it is the host's own")

// Open returns a session on a network, of which its place counts: namespace, way of attachment, name of the bridge, and
// whether there is to be an uplink. The namespace may be missing; see Absence.
func (k *Kernel) Open(place plan.Network) (*Session, error) {
	s := &Session{place: place, path: k.pathOf(place)}
	if k.share {
		s.share = k.dir
	}
	if s.why = s.open(); s.why != nil && !isAbsence(s.why) {
		return nil, s.why
	}
	return s, nil
}

// isAbsence tells whether an error says that there is no namespace that could be worked on.
func isAbsence(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, netns.ErrNotNamespace) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, errHost)
}

// pathOf returns the path of a network's namespace.
func (k *Kernel) pathOf(place plan.Network) string {
	switch place.Attach {
	case plan.Existing:
		return place.Namespace
	case plan.OnBridge:
		return ownNamespace
	case plan.Managed:
	}
	return k.Path(place.Namespace)
}

func (s *Session) open() error {
	here, err := openSpace(s.path)
	if err != nil {
		return err
	}
	if s.place.Attach == plan.Existing {
		if err := notHost(here); err != nil {
			return errors.Join(err, here.close())
		}
	}
	s.here = here
	return nil
}

// notHost refuses the host's own namespace, in which not one guest is but all that there are.
func notHost(s *space) error {
	own, err := netns.ID(ownNamespace)
	if err == nil && own == s.ns.ID() {
		err = fmt.Errorf("open namespace %q: %w", s.ns.Path(), errHost)
	}
	return err
}

func openSpace(path string) (*space, error) {
	ns, err := netns.Open(path)
	if err != nil {
		return nil, err
	}
	handle, err := netlink.NewHandleAt(ns.Handle(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open netlink in %q: %w", path, err), ns.Close())
	}
	return &space{ns: ns, handle: handle, index: map[string]int{}}, nil
}

func (s *space) close() error {
	s.handle.Close()
	if s.rules != nil {
		return errors.Join(s.rules.close(), s.ns.Close())
	}
	return s.ns.Close()
}

// Close ends the session. The namespace stays.
func (s *Session) Close() error {
	var errs []error
	for _, space := range []*space{s.here, s.host} {
		if space != nil {
			errs = append(errs, space.close())
		}
	}
	s.here, s.host = nil, nil
	return errors.Join(errs...)
}

// space returns what is open of a namespace, given the name that plans have for it; the error is fs.ErrNotExist when it is
// missing.
func (s *Session) space(name string) (_ *space, err error) {
	if name != plan.Host || s.place.Attach == plan.OnBridge {
		if s.here == nil {
			return nil, fs.ErrNotExist
		}
		return s.here, nil
	}
	if s.host == nil {
		s.host, err = openSpace(ownNamespace)
	}
	return s.host, err
}

// nft returns the namespace's nftables.
func (s *space) nft() (_ *rules, err error) {
	if s.rules == nil {
		s.rules, err = openRules(s.ns)
	}
	return s.rules, err
}

// Path returns the path of the namespace, to be entered by who runs something in it.
func (s *Session) Path() string { return s.path }

// ID returns the namespace's identity, which changes when it is deleted and made again; 0 when it is missing.
func (s *Session) ID() uint64 {
	if s.here == nil {
		return 0
	}
	return s.here.ns.ID()
}

// Absence says why the namespace is not there; nil when it is. The error is fs.ErrNotExist when there is nothing at its path.
func (s *Session) Absence() error { return s.why }

// Index returns the index of an interface in the namespace as the session last saw it; 0 when it did not see it.
func (s *Session) Index(link string) int {
	if s.here == nil {
		return 0
	}
	return s.here.index[link]
}
