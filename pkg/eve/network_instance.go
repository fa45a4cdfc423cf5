// SPDX-License-Identifier: Apache-2.0

package eve

import "net"

// NetworkInstanceType is the kind of a network instance (EVE API, config.ZNetworkInstType).
type NetworkInstanceType int32

// Values of NetworkInstanceType. A Local one has EVE's gateway, DNS and DHCP; a Switch is a bridge to the outside.
const (
	NetworkInstanceTypeSwitch      NetworkInstanceType = 1
	NetworkInstanceTypeLocal       NetworkInstanceType = 2
	NetworkInstanceTypeCloud       NetworkInstanceType = 3
	NetworkInstanceTypeHoneyPot    NetworkInstanceType = 5
	NetworkInstanceTypeTransparent NetworkInstanceType = 6
)

// String returns the value's name.
func (t NetworkInstanceType) String() string {
	return enumName(t, "NetworkInstanceType", 1, "Switch", "Local", "Cloud", "", "HoneyPot", "Transparent")
}

// AddressType is the address family of a network instance (EVE API, config.AddressType).
type AddressType int32

// Values of AddressType. AddressTypeNone belongs to switches, which leave addresses to others.
const (
	AddressTypeNone AddressType = iota
	AddressTypeIPV4
	AddressTypeIPV6
	AddressTypeCryptoIPV4
	AddressTypeCryptoIPV6
)

// String returns the value's name.
func (t AddressType) String() string {
	return enumName(t, "AddressType", 0, "None", "IPV4", "IPV6", "CryptoIPV4", "CryptoIPV6")
}

// HostnameOrIP is a server's name or address as text. EVE's type of this name keeps the two apart inside, yet its JSON
// is the plain string.
type HostnameOrIP string

// IPRange is a range of addresses, both ends included. An end without address is absent in JSON.
type IPRange struct {
	Start net.IP `json:",omitempty"`
	End   net.IP `json:",omitempty"`
}

// DNSNameToIP is a static record of a network instance's DNS server.
type DNSNameToIP struct {
	HostName string   `json:",omitempty"`
	IPs      []net.IP `json:",omitempty"`
}

// ConnectivityProbeMethod says how a probe of a device's port is made.
type ConnectivityProbeMethod uint8

// Values of ConnectivityProbeMethod.
const (
	ConnectivityProbeMethodNone ConnectivityProbeMethod = iota
	ConnectivityProbeMethodICMP
	ConnectivityProbeMethodTCP
)

// String returns the value's name.
func (m ConnectivityProbeMethod) String() string {
	return enumName(m, "ConnectivityProbeMethod", 0, "None", "ICMP", "TCP")
}

// ConnectivityProbe is a probe of a host through a device's port.
type ConnectivityProbe struct {
	Method    ConnectivityProbeMethod
	ProbeHost string
	ProbePort uint16
}

// NIPortProbe says how EVE finds out which of several ports a route should use.
type NIPortProbe struct {
	EnabledGwPing    bool
	GwPingMaxCost    uint8
	UserDefinedProbe ConnectivityProbe
}

// IPRouteConfig is a route that the controller wants in a network instance.
type IPRouteConfig struct {
	DstNetwork               *net.IPNet
	Gateway                  net.IP
	OutputPortLabel          string
	PortProbe                NIPortProbe
	PreferLowerCost          bool
	PreferStrongerWwanSignal bool
}

// STPConfig is the spanning tree of a switch network instance.
type STPConfig struct {
	PortsWithBpduGuard string // label of ports
}

// VlanAccessPort makes ports of a switch network instance members of one VLAN.
type VlanAccessPort struct {
	VlanID    uint16
	PortLabel string
}

// NetworkInstanceConfig is a network instance, that is an app network, as the controller wants it.
// Topic of zedagent, keyed by the network instance's UUID.
type NetworkInstanceConfig struct {
	UUIDandVersion
	DisplayName         string
	Type                NetworkInstanceType
	Activate            bool
	PortLabel           string // of the device's ports that it may use; "": none
	IpType              AddressType
	Subnet              *net.IPNet
	Gateway             net.IP
	DomainName          string
	NtpServers          []HostnameOrIP
	DnsServers          []net.IP
	DhcpRange           IPRange
	DnsNameToIPList     []DNSNameToIP
	MTU                 uint16 // bytes; 0: 1500
	PropagateConnRoutes bool
	StaticRoutes        []IPRouteConfig
	EnableFlowlog       bool
	STPConfig           STPConfig
	VlanAccessPorts     []VlanAccessPort
	ForwardLLDP         bool
	ErrorAndTime
}
