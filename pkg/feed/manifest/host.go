// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"net/netip"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// host is one thing by which an adapter is known in its network.
type host struct {
	field string // of the manifest: ".mac", ".ipv4", ".ipv6"
	name  string // as text
	addr  netip.Addr
}

// hosts returns the MAC and the fixed addresses of an adapter, as far as it has any.
func hosts(a eve.AppNetAdapterConfig, m eve.AdapterMetadata) []host {
	var hs []host
	if len(a.AppMacAddr) > 0 {
		hs = append(hs, host{field: ".mac", name: a.AppMacAddr.String()})
	}
	if addr := eve.Addr(a.AppIPAddr); addr.IsValid() {
		hs = append(hs, host{".ipv4", addr.String(), addr})
	}
	if addr := eve.Addr(m.IPv6); addr.IsValid() {
		hs = append(hs, host{".ipv6", addr.String(), addr})
	}
	return hs
}

// owner names an adapter in messages.
func owner(app eve.AppInstanceConfig, a eve.AppNetAdapterConfig) string {
	return fmt.Sprintf("adapter %q of app %q", a.Name, app.DisplayName)
}

// adapterMetadata returns what is said about an adapter; the zero value when nothing is.
func adapterMetadata(m eve.InstanceMetadata, name string) eve.AdapterMetadata {
	for _, a := range m.Adapters {
		if a.Name == name {
			return a
		}
	}
	return eve.AdapterMetadata{}
}

// unusable says why a guest cannot have an address in a network; "" when it can. Where others made the network, nothing
// need be known of the addresses that they give.
func unusable(addr netip.Addr, n network) string {
	name := n.config.DisplayName
	subnet, gateway := n.subnet(addr)
	switch {
	case !subnet.IsValid() && n.place() != "":
		return ""
	case !subnet.IsValid() && n.config.Subnet == nil:
		return fmt.Sprintf("%v cannot be fixed: nothing is known of the addresses in network %q", addr, name)
	case !subnet.IsValid():
		return fmt.Sprintf("%v is not of the family of %v, the subnet of network %q", addr, eve.Prefix(n.config.Subnet), name)
	case !subnet.Contains(addr):
		return fmt.Sprintf("%v is not in %v, the subnet of network %q", addr, subnet, name)
	case gateway == addr:
		return fmt.Sprintf("%v is the gateway of network %q", addr, name)
	case addr == subnet.Addr() || addr.Is4() && !subnet.Contains(addr.Next()):
		return fmt.Sprintf("%v is not the address of one host in network %q", addr, name)
	}
	return ""
}

// subnet returns the network's subnet of an address's family, and the gateway there; not valid where there is none.
func (n network) subnet(addr netip.Addr) (subnet netip.Prefix, gateway netip.Addr) {
	if p := eve.Prefix(n.config.Subnet); p.Addr().BitLen() == addr.BitLen() {
		return p, eve.Addr(n.config.Gateway)
	}
	if p := eve.Prefix(n.meta.Subnet6); p.Addr().BitLen() == addr.BitLen() {
		return p, eve.Addr(n.meta.Gateway6)
	}
	return netip.Prefix{}, netip.Addr{}
}
