// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// addrOf returns an address of a topic; the zero one for none. It reports false for what is neither.
func addrOf(ip net.IP) (netip.Addr, bool) {
	a := eve.Addr(ip)
	return a, a.IsValid() || len(ip) == 0
}

// prefixOf returns a subnet of a topic. It reports false for none and for one whose mask has holes.
func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	p := eve.Prefix(n)
	return p.Masked(), p.IsValid()
}

// addrsOf returns the addresses of a list, without what is none.
func addrsOf(ips []net.IP) []netip.Addr {
	var all []netip.Addr
	for _, ip := range ips {
		if a := eve.Addr(ip); a.IsValid() {
			all = append(all, a)
		}
	}
	return all
}

// wish fills in which addresses the config of an adapter wants.
func wish(c *plan.Claim, a Adapter, subnets plan.Subnets) error {
	mac, err := plan.MACFrom(a.Config.AppMacAddr)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	c.MAC = mac
	for i, ip := range []net.IP{a.Config.AppIPAddr, a.Metadata.IPv6} {
		addr, ok := addrOf(ip)
		if !ok || i == 1 && addr.Is4() || addr.IsValid() && !addr.IsGlobalUnicast() && !addr.IsLinkLocalUnicast() {
			return fmt.Errorf("%w: address %q is not one for a guest", ErrInvalid, ip)
		}
		switch {
		case !addr.IsValid():
		case isMetadataAddress(addr):
			return fmt.Errorf("%w: address %s is the metadata service's", ErrInvalid, addr)
		case addr.Is4():
			c.IPv4 = addr
		default:
			c.IPv6 = addr
		}
	}
	// A fixed configuration without an address is none.
	c.NoIPv4 = a.Metadata.StaticIPv4 && !c.IPv4.IsValid()
	c.NoIPv6 = a.Metadata.StaticIPv6 && !c.IPv6.IsValid()
	if c.IPv4.IsValid() && !subnets.IPv4.Prefix.IsValid() && subnets.IPv6.Prefix.IsValid() {
		return fmt.Errorf("%w: address %s in subnet %s: %w", ErrInvalid, c.IPv4, subnets.IPv6.Prefix, plan.ErrOutside)
	}
	return nil
}
