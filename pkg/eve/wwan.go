// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"net"
	"time"
)

// WwanIPType is the address family, or families, of a cellular connection.
type WwanIPType string

// WwanAuthProtocol is how a cellular connection authenticates: "", "pap", "chap" or "pap-and-chap".
type WwanAuthProtocol string

// WwanRAT is a radio access technology: "" (any), "gsm", "umts", "lte" or "5gnr".
type WwanRAT string

// WwanOpMode is what a modem is doing: "", "online", "online-and-connected", "radio-off", "offline" or "unrecognized".
type WwanOpMode string

// WwanCtrlProt is the protocol by which a modem is controlled: "", "qmi" or "mbim".
type WwanCtrlProt string

// SimType is the kind of a SIM card (EVE API, info.SimType).
type SimType int32

// Values of SimType.
const (
	SimTypeUnspecified SimType = iota
	SimTypePhysical
	SimTypeEmbedded
)

// String returns the value's name.
func (t SimType) String() string {
	return enumName(t, "SimType", 0, "Unspecified", "Physical", "Embedded")
}

// BearerType is what a cellular connection is for (EVE API, common.BearerType). It is only passed on, hence no names.
type BearerType int32

// String returns the value's number with its type.
func (t BearerType) String() string { return enumName(t, "BearerType", 0) }

// WwanStatus is the state of the cellular modems. Topic of wwan, keyed by GlobalKey.
type WwanStatus struct {
	DPCKey            string
	DPCTimestamp      time.Time
	RSConfigTimestamp time.Time
	Networks          []WwanNetworkStatus
}

// WwanNetworkStatus is the state of one modem.
type WwanNetworkStatus struct {
	LogicalLabel     string
	PhysAddrs        WwanPhysAddrs
	Module           WwanCellModule
	SimCards         []WwanSimCard
	ConfigError      string
	ProbeError       string
	CurrentProvider  WwanProvider
	VisibleProviders []WwanProvider
	CurrentRATs      []WwanRAT
	ConnectedAt      uint64 // seconds since 1970
	IPSettings       WwanIPSettings
	LocationTracking bool
	Bearers          []WwanBearer
	Profiles         []WwanProfile
}

// WwanPhysAddrs says where a modem is.
type WwanPhysAddrs struct {
	Interface string
	USB       string
	PCI       string
	Dev       string
}

// WwanCellModule is what a modem says about itself.
type WwanCellModule struct {
	Name            string
	IMEI            string
	Model           string
	Manufacturer    string
	Revision        string
	ControlProtocol WwanCtrlProt
	OpMode          WwanOpMode
}

// WwanSimCard is one slot of a modem, and the card in it.
type WwanSimCard struct {
	Name          string
	SlotNumber    uint8
	SlotActivated bool
	ICCID         string
	IMSI          string
	Type          SimType
	State         string
}

// WwanProvider is a cellular network.
type WwanProvider struct {
	PLMN           string
	Description    string
	CurrentServing bool
	Roaming        bool
	Forbidden      bool
}

// WwanIPSettings is what a cellular network tells a modem to use.
type WwanIPSettings struct {
	Address    *net.IPNet
	Gateway    net.IP
	DNSServers []net.IP
	MTU        uint16 // bytes
}

// WwanBearer is one connection of a modem.
type WwanBearer struct {
	APN             string
	Type            BearerType
	IPType          WwanIPType
	Connected       bool
	ConnectionError string
	ConnectedAt     uint64 // seconds since 1970
}

// WwanProfile is one connection that a modem remembers.
type WwanProfile struct {
	Name          string
	APN           string
	BearerType    BearerType
	IPType        WwanIPType
	ForbidRoaming bool
}

// WwanMetrics counts the traffic of the cellular modems. Topic of wwan, keyed by GlobalKey.
type WwanMetrics struct {
	Networks []WwanNetworkMetrics
}

// WwanNetworkMetrics counts the traffic of one modem.
type WwanNetworkMetrics struct {
	LogicalLabel string
	PhysAddrs    WwanPhysAddrs
	PacketStats  WwanPacketStats
	SignalInfo   WwanSignalInfo
}

// WwanPacketStats counts packets.
type WwanPacketStats struct {
	RxBytes   uint64
	RxPackets uint64
	RxDrops   uint64
	TxBytes   uint64
	TxPackets uint64
	TxDrops   uint64
}

// WwanSignalInfo is the quality of a modem's signal.
type WwanSignalInfo struct {
	RSSI int32 // dBm
	RSRQ int32 // dB
	RSRP int32 // dBm
	SNR  int32 // dB
}

// LocReliability is how far a location may be trusted: "not-set", "very-low", "low", "medium" or "high".
type LocReliability string

// WwanLocationInfo is where the device is. Topic of wwan, keyed by GlobalKey.
type WwanLocationInfo struct {
	LogicalLabel          string  // of the modem that knows
	Latitude              float64 // degrees
	Longitude             float64 // degrees
	Altitude              float64 // metres
	HorizontalUncertainty float32 // metres
	HorizontalReliability LocReliability
	VerticalUncertainty   float32 // metres
	VerticalReliability   LocReliability
	UTCTimestamp          uint64 // milliseconds since 1970
}
