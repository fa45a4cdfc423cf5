// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"net"

	"github.com/google/uuid"
)

// ChangeInProgressType says what zedrouter is doing with a network instance.
type ChangeInProgressType int32

// Values of ChangeInProgressType.
const (
	ChangeInProgressTypeNone ChangeInProgressType = iota
	ChangeInProgressTypeCreate
	ChangeInProgressTypeModify
	ChangeInProgressTypeDelete
)

// String returns the value's name.
func (t ChangeInProgressType) String() string {
	return enumName(t, "ChangeInProgressType", 0, "None", "Create", "Modify", "Delete")
}

// VifNameMac is one guest's interface in a network instance.
type VifNameMac struct {
	Name    string
	MacAddr net.HardwareAddr
	AppID   uuid.UUID
}

// NetworkInstanceInfo is what EVE made for a network instance.
type NetworkInstanceInfo struct {
	BridgeNum     int
	BridgeName    string // such as "bn1"
	BridgeIPAddr  net.IP
	BridgeMac     net.HardwareAddr
	BridgeIfindex int
	MirrorIfName  string                   // where EVE watches DHCP, DNS, ICMP and ARP
	IPAssignments map[string]AssignedAddrs // by MAC address as text, "02:16:3e:00:00:01"
	Vifs          []VifNameMac
	VlanMap       map[uint32]uint32 // VLAN to number of guests' interfaces in it
	NumTrunkPorts uint32
}

// IPRouteStatus is a wanted route and what became of it.
type IPRouteStatus struct {
	IPRouteConfig
	SelectedPort       string
	RunningPortProbing bool
	ErrorAndTime
}

// IPRouteInfo is a route that a network instance has.
type IPRouteInfo struct {
	IPVersion  AddressType
	DstNetwork *net.IPNet
	Gateway    net.IP
	OutputPort string    // logical label of a device's port; "": none
	GatewayApp uuid.UUID // the app instance that is the gateway; zero: none
}

// NetworkInstanceStatus is a network instance as it is. Topic of zedrouter, keyed by the network instance's UUID.
//
// Three of its own fields hide those of its NetworkInstanceConfig, in Go as in JSON: Activate (here a number that EVE
// does not use; see Activated), MTU and the error.
type NetworkInstanceStatus struct {
	NetworkInstanceConfig
	NetworkInstanceInfo
	ValidationErr      ErrorAndTime
	AllocationErr      ErrorAndTime
	Activate           uint64
	Activated          bool // the network instance exists in the host's network
	ChangeInProgress   ChangeInProgressType
	IPConflictErr      ErrorAndTime
	MTU                uint16 // bytes, as it is
	MTUConflictErr     ErrorAndTime
	Ports              []string // logical labels of the device's ports in use
	CombinedNTPServers []HostnameOrIP
	IntendedRoutes     []IPRouteStatus
	CurrentRoutes      []IPRouteInfo
	PortErr            ErrorAndTime
	ReconcileErr       ErrorAndTime
	ErrorAndTime       // of all the errors above
}
