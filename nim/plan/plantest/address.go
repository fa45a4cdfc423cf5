// SPDX-License-Identifier: Apache-2.0

package plantest

import (
	"net/netip"
	"slices"

	"github.com/lf-edge/eve-metadata/nim/plan"
)

func findAddr(l plan.Link, p netip.Prefix) int {
	return slices.IndexFunc(l.Addresses, func(a plan.Address) bool { return a.Prefix == p })
}

// delAddr removes the address at i. As Linux does by default (net.ipv4.conf.*.promote_secondaries), the first IPv4
// address of a subnet takes the later ones along.
func delAddr(addrs []plan.Address, i int) []plan.Address {
	gone := addrs[i].Prefix
	first := slices.IndexFunc(addrs, func(a plan.Address) bool { return a.Prefix.Masked() == gone.Masked() })
	if !gone.Addr().Is4() || first != i {
		return slices.Delete(addrs, i, i+1)
	}
	return slices.DeleteFunc(addrs, func(a plan.Address) bool { return a.Prefix.Masked() == gone.Masked() })
}
