// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/netns"
)

// Apply carries out the steps, all of them on the session's namespace, in their order, and returns a StepError for each
// that failed. What is there already when it should be made, and what is gone already when it should be removed, is no
// failure; whether it is right shows the next Observe. A step on something that could not be made before is left out:
// its error would hide the cause.
func (s *Session) Apply(steps []plan.Step) []error {
	var errs []error
	failed := map[string]bool{}
	for _, step := range steps {
		_, link := step.On()
		if failed[""] || failed[link] {
			continue
		}
		if err := s.apply(step); err != nil {
			errs = append(errs, &StepError{Step: step, Err: err})
			failed[link] = true
		}
	}
	return errs
}

func (s *Session) apply(step plan.Step) error {
	switch step.(type) {
	case plan.NetnsAdd:
		return s.addNamespace()
	case plan.NetnsDel:
		return errors.Join(s.Close(), netns.Delete(s.path))
	}
	if s.ns == nil {
		return fs.ErrNotExist
	}
	switch step := step.(type) {
	case plan.LinkAdd:
		return tolerate(s.addLink(step), unix.EEXIST)
	case plan.LinkDel:
		return tolerate(s.delLink(step.Link), fs.ErrNotExist, unix.ENODEV)
	case plan.LinkSet:
		return s.setLink(step)
	case plan.AddrAdd:
		return tolerate(s.addAddr(step), unix.EEXIST)
	case plan.AddrDel:
		return tolerate(s.delAddr(step), fs.ErrNotExist, unix.EADDRNOTAVAIL, unix.ENODEV)
	}
	return fmt.Errorf("do a %T: %w", step, errors.ErrUnsupported)
}

// tolerate returns err unless it is one of those.
func tolerate(err error, those ...error) error {
	for _, e := range those {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

func (s *Session) addNamespace() error {
	if s.share != "" {
		_ = netns.Share(s.share) // where that is not allowed, the namespace can be made all the same
	}
	if err := netns.Create(s.path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return errors.Join(s.Close(), s.open())
}

func (s *Session) addLink(step plan.LinkAdd) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = step.Link, step.MTU
	if step.MAC != (plan.MAC{}) {
		attrs.HardwareAddr = step.MAC.HardwareAddr()
	}
	var link netlink.Link
	switch step.Kind {
	case "bridge":
		link = &netlink.Bridge{LinkAttrs: attrs}
	case string(plan.Veth):
		link = &netlink.Veth{LinkAttrs: attrs, PeerName: step.Peer, PeerHardwareAddr: step.PeerMAC.HardwareAddr(), PeerTxQLen: -1}
	case string(plan.Tap):
		return s.ns.Do(func() error { return addTap(step.Link) })
	default:
		return fmt.Errorf("make a %q: %w", step.Kind, errors.ErrUnsupported)
	}
	if err := s.handle.LinkAdd(link); err != nil {
		return err
	}
	if i := link.Attrs().Index; i != 0 {
		s.index[step.Link] = i
	}
	return nil
}

// link returns what netlink needs to name an interface; the error is fs.ErrNotExist when there is none of that name.
func (s *Session) link(name string) (netlink.Link, error) {
	if i := s.index[name]; i != 0 {
		return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: name, Index: i}}, nil
	}
	l, err := s.handle.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, fmt.Errorf("find interface %q: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("find interface %q: %w", name, err)
	}
	s.index[name] = l.Attrs().Index
	return l, nil
}

func (s *Session) delLink(name string) error {
	l, err := s.link(name)
	if err != nil {
		return err
	}
	delete(s.index, name)
	return s.handle.LinkDel(l)
}

func (s *Session) setLink(step plan.LinkSet) error {
	l, err := s.link(step.Link)
	if err != nil {
		return err
	}
	if step.MAC != (plan.MAC{}) {
		if err := s.handle.LinkSetHardwareAddr(l, step.MAC.HardwareAddr()); err != nil {
			return fmt.Errorf("set MAC address: %w", err)
		}
	}
	if step.MTU != 0 {
		if err := s.handle.LinkSetMTU(l, step.MTU); err != nil {
			return fmt.Errorf("set MTU: %w", err)
		}
	}
	if step.Master != "" {
		master, err := s.link(step.Master)
		if err != nil {
			return err
		}
		if err := s.handle.LinkSetMasterByIndex(l, master.Attrs().Index); err != nil {
			return fmt.Errorf("set master: %w", err)
		}
	}
	if step.Up {
		if err := s.handle.LinkSetUp(l); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
	}
	return nil
}

func (s *Session) addAddr(step plan.AddrAdd) error {
	l, err := s.link(step.Link)
	if err != nil {
		return err
	}
	a := address(step.Prefix)
	mark(a, step.Link)
	return s.handle.AddrAdd(l, a)
}

func (s *Session) delAddr(step plan.AddrDel) error {
	l, err := s.link(step.Link)
	if err != nil {
		return err
	}
	return s.handle.AddrDel(l, address(step.Prefix))
}

func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: &net.IPNet{
		IP:   p.Addr().AsSlice(),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}}
	if p.Addr().IsLinkLocalUnicast() {
		a.Scope = unix.RT_SCOPE_LINK // RFC 3927, 2.7: never the source of what leaves the link
	}
	return a
}
