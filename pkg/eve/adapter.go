// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"net"

	"github.com/google/uuid"
)

// ACEDirection says which way a flow must begin for an ACE to see it.
type ACEDirection uint8

// Values of ACEDirection.
const (
	AceDirBoth ACEDirection = iota
	AceDirIngress
	AceDirEgress
)

// String returns the value's name.
func (d ACEDirection) String() string {
	return enumName(d, "ACEDirection", 0, "Both", "Ingress", "Egress")
}

// ACE is one entry of an adapter's access control list: Actions for what all of Matches agree on.
type ACE struct {
	Matches []ACEMatch
	Actions []ACEAction
	Name    string
	RuleID  int32
	Dir     ACEDirection
}

// ACEMatch is one condition of an ACE, such as {"ip", "0.0.0.0/0"} or {"lport", "2222"}.
type ACEMatch struct {
	Type  string // ip, host, eidset, protocol, lport, fport, adapter
	Value string
}

// ACEAction is what an ACE does; the zero value lets the packets pass.
type ACEAction struct {
	Drop       bool
	Limit      bool
	LimitRate  int    // packets per LimitUnit
	LimitUnit  string // "s", "m" or "h"
	LimitBurst int    // packets
	PortMap    bool
	TargetPort int // the guest's port, with PortMap
}

// AppNetAdapterConfig is one network adapter that the controller wants an app instance to have.
type AppNetAdapterConfig struct {
	Name            string           // of the adapter, unique in its app instance
	AppMacAddr      net.HardwareAddr // nil: EVE makes one
	AppIPAddr       net.IP           // nil: EVE takes one from the network instance's range
	IntfOrder       uint32
	Error           string    // why the configuration could not be read
	Network         uuid.UUID // the NetworkInstanceConfig
	ACLs            []ACE
	AccessVlanID    uint32 // of a switch network instance; 0: none
	IfIdx           uint32 // tells apart adapters of one app instance in one network instance
	AllowToDiscover bool   // the guest may ask for other app instances' addresses
}

// PodIPAddress is an address that a pod's network plugin wants (Kubernetes flavour of EVE).
type PodIPAddress struct {
	Address *net.IPNet
	Gateway net.IP
}

// PodRoute is a route that a pod's network plugin wants (Kubernetes flavour of EVE).
type PodRoute struct {
	Dst *net.IPNet
	GW  net.IP
}

// PodDNS is what a pod's resolver uses (Kubernetes flavour of EVE).
type PodDNS struct {
	Nameservers []string
	Domain      string
	Search      []string
	Options     []string
}

// PodIPAMConfig is the addressing of one interface of a pod (Kubernetes flavour of EVE).
type PodIPAMConfig struct {
	IPs    []PodIPAddress
	Routes []PodRoute
	DNS    PodDNS
}

// PodVIF is the pod's side of a virtual interface (Kubernetes flavour of EVE).
type PodVIF struct {
	GuestIfName string
	IPAM        PodIPAMConfig
}

// VifConfig is the host's side of a guest's network adapter.
type VifConfig struct {
	Bridge   string // name of the host's bridge
	Vif      string // wanted name of the host's interface
	Mac      net.HardwareAddr
	MTU      uint16 // bytes
	PodVif   PodVIF
	VifOrder uint32
}

// VifInfo adds to a VifConfig what became of it.
type VifInfo struct {
	VifConfig
	VifUsed string // actual name of the host's interface
}

// AddressSource says where a guest's address is known from. Each value is a bit of its own.
type AddressSource uint8

// Values of AddressSource.
const (
	AddressSourceUndefined    AddressSource = 0
	AddressSourceEVEInternal  AddressSource = 1 << 1 // used by EVE itself
	AddressSourceInternalDHCP AddressSource = 1 << 2 // EVE's own DHCP server
	AddressSourceExternalDHCP AddressSource = 1 << 3 // another DHCP server, on a switch network instance
	AddressSourceSLAAC        AddressSource = 1 << 4 // the guest, by stateless autoconfiguration
	AddressSourceStatic       AddressSource = 1 << 5 // the guest's own static configuration
)

// String returns the value's name.
func (s AddressSource) String() string {
	switch s {
	case AddressSourceUndefined:
		return "Undefined"
	case AddressSourceEVEInternal:
		return "EVEInternal"
	case AddressSourceInternalDHCP:
		return "InternalDHCP"
	case AddressSourceExternalDHCP:
		return "ExternalDHCP"
	case AddressSourceSLAAC:
		return "SLAAC"
	case AddressSourceStatic:
		return "Static"
	}
	return enumName(s, "AddressSource", 0)
}

// AssignedAddr is an address that a guest has.
type AssignedAddr struct {
	Address    net.IP
	AssignedBy AddressSource
}

// AssignedAddrs are the addresses of one guest's adapter. On EVE it stays empty until EVE has seen the guest's lease
// or, on a switch network instance, its packets.
type AssignedAddrs struct {
	IPv4Addrs []AssignedAddr
	IPv6Addrs []AssignedAddr
}

// AppNetAdapterStatus is one network adapter as it is. Its MTU is that of the VifConfig.
type AppNetAdapterStatus struct {
	AppNetAdapterConfig
	VifInfo
	BridgeMac         net.HardwareAddr
	BridgeIPAddr      net.IP // of EVE's DNS and DHCP servers
	AssignedAddresses AssignedAddrs
	IPv4Assigned      bool
	IPAddrMisMatch    bool // the guest uses another address than AppIPAddr
	HostName          string
}
