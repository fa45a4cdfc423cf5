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

// unusable says why a guest cannot have an address in a network; "" when it can.
func unusable(addr netip.Addr, n eve.NetworkInstanceConfig) string {
	if n.Subnet == nil {
		return fmt.Sprintf("%v cannot be fixed: nothing is known of the addresses in network %q", addr, n.DisplayName)
	}
	subnet := eve.Prefix(n.Subnet)
	if subnet.Addr().Is4() != addr.Is4() {
		return fmt.Sprintf("%v is not of the family of %v, the subnet of network %q", addr, subnet, n.DisplayName)
	}
	if !subnet.Contains(addr) {
		return fmt.Sprintf("%v is not in %v, the subnet of network %q", addr, subnet, n.DisplayName)
	}
	if eve.Addr(n.Gateway) == addr {
		return fmt.Sprintf("%v is the gateway of network %q", addr, n.DisplayName)
	}
	if addr == subnet.Addr() || addr.Is4() && !subnet.Contains(addr.Next()) {
		return fmt.Sprintf("%v is not the address of one host in network %q", addr, n.DisplayName)
	}
	return ""
}
