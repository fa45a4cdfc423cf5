// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"net"
	"time"
)

// DevicePortConfigVersion counts the changes of meaning of a port's configuration. It is only passed on, hence no names.
type DevicePortConfigVersion uint32

// String returns the value's number with its type.
func (v DevicePortConfigVersion) String() string { return enumName(v, "DevicePortConfigVersion", 0) }

// DPCState says how far nim has come in trying a configuration of the device's ports.
type DPCState uint8

// Values of DPCState.
const (
	DPCStateNone DPCState = iota
	DPCStateFail
	DPCStateFailWithIPAndDNS
	DPCStateSuccess
	DPCStateIPDNSWait
	DPCStatePCIWait
	DPCStateIntfWait
	DPCStateRemoteWait
	DPCStateAsyncWait
	DPCStateWwanWait
)

// String returns the value's name.
func (s DPCState) String() string {
	return enumName(s, "DPCState", 0, "DPC_NONE", "DPC_FAIL", "DPC_FAIL_WITH_IPANDDNS", "DPC_SUCCESS", "DPC_IPDNS_WAIT",
		"DPC_PCI_WAIT", "DPC_INTF_WAIT", "DPC_REMOTE_WAIT", "DPC_ASYNC_WAIT", "DPC_WWAN_WAIT")
}

// RadioSilence is the state of a request to transmit nothing by radio.
type RadioSilence struct {
	Imposed           bool
	ChangeInProgress  bool
	ChangeRequestedAt time.Time
	ConfigError       string
}

// DeviceNetworkStatus is the state of the device's own ports. Topic of EVE's nim, keyed by GlobalKey.
type DeviceNetworkStatus struct {
	DPCKey       string
	Version      DevicePortConfigVersion
	Testing      bool
	State        DPCState
	CurrentIndex int
	RadioSilence RadioSilence
	Ports        []NetworkPortStatus
}

// DhcpType says how a port gets its IPv4 address (EVE API, config.DHCPType).
type DhcpType uint8

// Values of DhcpType. The number 3 is not used any more.
const (
	DhcpTypeNOOP   DhcpType = 0
	DhcpTypeStatic DhcpType = 1
	DhcpTypeNone   DhcpType = 2
	DhcpTypeClient DhcpType = 4
)

// String returns the value's name.
func (t DhcpType) String() string {
	return enumName(t, "DhcpType", 0, "NOOP", "Static", "None", "", "Client")
}

// NetworkType is the address family, or families, of a port.
type NetworkType uint8

// Values of NetworkType.
const (
	NetworkTypeNOOP      NetworkType = 0
	NetworkTypeIPv4      NetworkType = 4
	NetworkTypeIpv4Only  NetworkType = 5
	NetworkTypeIPV6      NetworkType = 6
	NetworkTypeIpv6Only  NetworkType = 7
	NetworkTypeDualStack NetworkType = 8
)

// String returns the value's name.
func (t NetworkType) String() string {
	return enumName(t, "NetworkType", 0, "NOOP", "", "", "", "IPv4", "Ipv4Only", "IPV6", "Ipv6Only", "DualStack")
}

// NetworkPortStatus is one port of the device. A network instance's Ports name it by its Logicallabel.
type NetworkPortStatus struct {
	IfName           string
	Phylabel         string
	Logicallabel     string
	PciLong          string
	SharedLabels     []string
	Alias            string
	IsMgmt           bool // may be used to reach the controller
	IsL3Port         bool
	InvalidConfig    bool
	Cost             uint8
	Dhcp             DhcpType
	Type             NetworkType
	ConfiguredSubnet *net.IPNet
	ConfiguredIP     net.IP
	IgnoredDhcpIPs   bool
	IPv4Subnet       *net.IPNet
	IPv6Subnets      []*net.IPNet
	DomainName       string
	DNSServers       []net.IP
	NtpServers       []HostnameOrIP
	AddrInfoList     []AddrInfo
	ClusterIPAddr    net.IP
	DefaultRouters   []net.IP
	Up               bool
	MacAddr          net.HardwareAddr
	MTU              uint16 // bytes
	WirelessCfg      WirelessConfig
	WirelessStatus   WirelessStatus
	PNAC             PNACStatus
	BondStatus       BondStatus
	ConfigSource     PortConfigSource
	ProxyConfig
	L2LinkConfig
	TestResults
	LpsConfigError string
}

// AddrInfo is one address of a port.
type AddrInfo struct {
	Addr             net.IP
	Mask             net.IPMask
	Geo              IPInfo // where the address is thought to be
	LastGeoTimestamp time.Time
}

// IPInfo is what the service ipinfo.io says about an address.
type IPInfo struct {
	IP       string `json:"ip"`
	Hostname string `json:"hostname"`
	City     string `json:"city"`
	Region   string `json:"region"`
	Country  string `json:"country"`
	Loc      string `json:"loc"`
	Org      string `json:"org"`
	Postal   string `json:"postal"`
}

// SupplicantState is the state of IEEE 802.1X on a port (EVE API, info.SupplicantState). It is only passed on, hence no
// names.
type SupplicantState int32

// String returns the value's number with its type.
func (s SupplicantState) String() string { return enumName(s, "SupplicantState", 0) }

// PNACStatus is the state of port-based access control (IEEE 802.1X).
type PNACStatus struct {
	Enabled           bool
	State             SupplicantState
	LastAuthTimestamp time.Time
	Error             ErrorDescription
}

// NetworkConfigOrigin says who configured a port (EVE API, common.NetworkConfigOrigin). It is only passed on, hence no
// names.
type NetworkConfigOrigin uint8

// String returns the value's number with its type.
func (o NetworkConfigOrigin) String() string { return enumName(o, "NetworkConfigOrigin", 0) }

// PortConfigSource says where a port's configuration comes from. SubmittedAt is always present in JSON: EVE's omitempty
// has no effect on a time.
type PortConfigSource struct {
	Origin      NetworkConfigOrigin `json:",omitempty"`
	SubmittedAt time.Time           `json:",omitempty"`
}

// NetworkProxyType is the protocol of a proxy (EVE API, config.ProxyProto).
type NetworkProxyType uint8

// Values of NetworkProxyType.
const (
	NetworkProxyTypeHTTP NetworkProxyType = iota
	NetworkProxyTypeHTTPS
	NetworkProxyTypeSOCKS
	NetworkProxyTypeFTP
	NetworkProxyTypeNOPROXY
)

// String returns the value's name.
func (t NetworkProxyType) String() string {
	return enumName(t, "NetworkProxyType", 0, "HTTP", "HTTPS", "SOCKS", "FTP", "NOPROXY")
}

// ProxyEntry is one proxy.
type ProxyEntry struct {
	Type   NetworkProxyType `json:"type,omitempty"`
	Server string           `json:"server,omitempty"`
	Port   uint32           `json:"port,omitempty"`
}

// ProxyConfig are a port's proxies.
type ProxyConfig struct {
	Proxies            []ProxyEntry `json:",omitempty"`
	Exceptions         string       `json:",omitempty"` // hosts without proxy, separated by commas
	Pacfile            string       `json:",omitempty"` // base64 of a proxy auto-configuration script
	NetworkProxyEnable bool         `json:",omitempty"` // look for such a script in the network
	NetworkProxyURL    string       `json:",omitempty"` // of such a script
	WpadURL            string       `json:",omitempty"` // of the script that was found
	ProxyCertPEM       [][]byte     `json:"pubsub-large-ProxyCertPEM"`
}

// TestResults say when a port last worked and did not.
type TestResults struct {
	LastFailed    time.Time
	LastSucceeded time.Time
	LastError     string
	LastWarning   string
}
