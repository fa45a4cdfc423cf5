// SPDX-License-Identifier: Apache-2.0

package eve

// ServesDHCP says whether an app network has its own DHCP server, which also advertises its router in IPv6. What others
// made is served by others.
func ServesDHCP(network *NetworkInstanceConfig, m *NetworkMetadata) bool {
	return serves(network, m) && !m.NoDHCP
}

// ServesDNS says whether an app network has its own DNS server, at its gateways, which guests are then told to ask.
func ServesDNS(network *NetworkInstanceConfig, m *NetworkMetadata) bool {
	return serves(network, m) && !m.NoDNS
}

// serves says whether an app network has an address for servers of its own to be reached at.
func serves(network *NetworkInstanceConfig, m *NetworkMetadata) bool {
	return network.Type == NetworkInstanceTypeLocal && (network.Subnet != nil || m.Subnet6 != nil) &&
		m.Namespace == "" && m.Bridge == ""
}
