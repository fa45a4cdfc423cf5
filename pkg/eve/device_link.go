// SPDX-License-Identifier: Apache-2.0

package eve

import "net"

// L2LinkType is the kind of a port that is no physical one.
type L2LinkType uint8

// Values of L2LinkType.
const (
	L2LinkTypeNone L2LinkType = iota // a physical port
	L2LinkTypeVLAN
	L2LinkTypeBond
)

// String returns the value's name.
func (t L2LinkType) String() string { return enumName(t, "L2LinkType", 0, "None", "VLAN", "Bond") }

// L2LinkConfig says what a port that is no physical one is made of.
type L2LinkConfig struct {
	L2Type L2LinkType `json:",omitempty"`
	VLAN   VLANConfig `json:",omitempty"`
	Bond   BondConfig `json:",omitempty"`
}

// VLANConfig makes a port one VLAN of another port.
type VLANConfig struct {
	ParentPort string `json:",omitempty"` // a Logicallabel
	ID         uint16 `json:",omitempty"`
}

// BondMode is the policy of a bond.
type BondMode uint8

// Values of BondMode.
const (
	BondModeUnspecified BondMode = iota
	BondModeBalanceRR
	BondModeActiveBackup
	BondModeBalanceXOR
	BondModeBroadcast
	BondMode802Dot3AD
	BondModeBalanceTLB
	BondModeBalanceALB
)

// String returns the value's name.
func (m BondMode) String() string {
	return enumName(m, "BondMode", 0, "Unspecified", "BalanceRR", "ActiveBackup", "BalanceXOR", "Broadcast", "802Dot3AD",
		"BalanceTLB", "BalanceALB")
}

// LacpRate is how often the link partner shall send LACP packets.
type LacpRate uint8

// Values of LacpRate.
const (
	LacpRateUnspecified LacpRate = iota
	LacpRateSlow
	LacpRateFast
)

// String returns the value's name.
func (r LacpRate) String() string { return enumName(r, "LacpRate", 0, "Unspecified", "Slow", "Fast") }

// BondConfig makes a port a bond of others.
type BondConfig struct {
	AggregatedPorts []string       `json:",omitempty"` // Logicallabels
	Mode            BondMode       `json:",omitempty"`
	LacpRate        LacpRate       `json:",omitempty"`
	MIIMonitor      BondMIIMonitor `json:",omitempty"`
	ARPMonitor      BondArpMonitor `json:",omitempty"`
}

// BondMIIMonitor is the wanted monitoring of a bond's members by carrier. Times are in milliseconds.
type BondMIIMonitor struct {
	Enabled   bool   `json:",omitempty"`
	Interval  uint32 `json:",omitempty"`
	UpDelay   uint32 `json:",omitempty"`
	DownDelay uint32 `json:",omitempty"`
}

// BondArpMonitor is the wanted monitoring of a bond's members by ARP. Times are in milliseconds.
type BondArpMonitor struct {
	Enabled   bool     `json:",omitempty"`
	Interval  uint32   `json:",omitempty"`
	IPTargets []net.IP `json:",omitempty"`
}

// BondStatus is a bond as it is.
type BondStatus struct {
	Mode         BondMode
	ActiveMember string // a Logicallabel
	MIIMonitor   BondMIIMonitorStatus
	ARPMonitor   BondARPMonitorStatus
	LACP         BondLACPStatus
	Members      []BondMemberStatus
}

// BondMIIMonitorStatus is the monitoring of a bond's members by carrier. Times are in milliseconds.
type BondMIIMonitorStatus struct {
	Enabled         bool
	PollingInterval uint32
	UpDelay         uint32
	DownDelay       uint32
}

// BondARPMonitorStatus is the monitoring of a bond's members by ARP. Times are in milliseconds.
type BondARPMonitorStatus struct {
	Enabled         bool
	PollingInterval uint32
	IPTargets       []net.IP
	MissedMax       uint32
}

// BondLACPStatus is what a bond and its partner agreed on.
type BondLACPStatus struct {
	Enabled            bool
	LACPRate           LacpRate
	ActiveAggregatorID uint16
	PartnerMAC         net.HardwareAddr
	ActorKey           uint16
	PartnerKey         uint16
}

// BondMemberStatus is one member of a bond. LACP is nil in bonds without it.
type BondMemberStatus struct {
	Logicallabel string
	MIIUp        bool
	LACP         *BondMemberLACPStatus
}

// BondLACPChurnState says whether a member's link stays in its aggregation.
type BondLACPChurnState uint8

// Values of BondLACPChurnState.
const (
	BondLACPChurnNone BondLACPChurnState = iota
	BondLACPChurnMonitoring
	BondLACPChurnChurned
)

// String returns the value's name.
func (s BondLACPChurnState) String() string {
	return enumName(s, "BondLACPChurnState", 0, "None", "Monitoring", "Churned")
}

// BondMemberLACPStatus is what LACP says about one member of a bond.
type BondMemberLACPStatus struct {
	AggregatorID      uint16
	ActorChurnState   BondLACPChurnState
	PartnerChurnState BondLACPChurnState
}
