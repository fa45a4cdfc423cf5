// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"slices"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// The words in which guests read of modems and of where the node is are those that EVE documents (ECO-METADATA.md), and that
// its topics were published with once. The topics have other names by now; guests have not.

// location is a WwanLocationInfo.
type location struct {
	LogicalLabel          string             `json:"logical-label"`
	Latitude              float64            `json:"latitude"`
	Longitude             float64            `json:"longitude"`
	Altitude              float64            `json:"altitude"`
	HorizontalUncertainty float32            `json:"horizontal-uncertainty"`
	HorizontalReliability eve.LocReliability `json:"horizontal-reliability"`
	VerticalUncertainty   float32            `json:"vertical-uncertainty"`
	VerticalReliability   eve.LocReliability `json:"vertical-reliability"`
	UTCTimestamp          uint64             `json:"utc-timestamp"`
}

func newLocation(l eve.WwanLocationInfo) location { return location(l) }

// modems is a WwanStatus.
type modems struct {
	Networks []modem `json:"networks"`
}

type modem struct {
	LogicalLabel string     `json:"logical-label"`
	PhysAddrs    physAddrs  `json:"physical-addrs"`
	Module       cellModule `json:"cellular-module"`
	SIMCards     []simCard  `json:"sim-cards"`
	ConfigError  string     `json:"config-error"`
	ProbeError   string     `json:"probe-error"`
	// Providers are what the documentation has: all that are in reach, of which one is marked as the current one. The two
	// fields after it came later and say the same.
	Providers        []provider    `json:"providers"`
	CurrentProvider  provider      `json:"current-provider"`
	VisibleProviders []provider    `json:"visible-providers"`
	CurrentRATs      []eve.WwanRAT `json:"current-rats"`
	ConnectedAt      uint64        `json:"connected-at"`
}

type physAddrs struct {
	Interface string `json:"interface"`
	USB       string `json:"usb"`
	PCI       string `json:"pci"`
	Dev       string `json:"dev,omitempty"`
}

// cellModule has no name: that is between EVE and its controller, as is a SIM card's.
type cellModule struct {
	IMEI            string           `json:"imei"`
	Model           string           `json:"model"`
	Manufacturer    string           `json:"manufacturer"`
	Revision        string           `json:"revision"`
	ControlProtocol eve.WwanCtrlProt `json:"control-protocol"`
	OpMode          eve.WwanOpMode   `json:"operating-mode"`
}

type simCard struct {
	SlotNumber    uint8  `json:"slot-number"`
	SlotActivated bool   `json:"slot-activated"`
	ICCID         string `json:"iccid,omitempty"` // of no card there is none
	IMSI          string `json:"imsi,omitempty"`
	State         string `json:"state"`
}

type provider struct {
	PLMN           string `json:"plmn"`
	Description    string `json:"description"`
	CurrentServing bool   `json:"current-serving"`
	Roaming        bool   `json:"roaming"`
	Forbidden      bool   `json:"forbidden"`
}

func newModems(s eve.WwanStatus) modems {
	return modems{each(s.Networks, newModem)}
}

func newModem(n eve.WwanNetworkStatus) modem {
	visible := each(n.VisibleProviders, newProvider)
	current := newProvider(n.CurrentProvider)
	all := visible
	if current.PLMN != "" && !slices.ContainsFunc(visible, func(p provider) bool { return p.CurrentServing }) {
		all = append(slices.Clone(visible), current)
	}
	return modem{
		LogicalLabel: n.LogicalLabel, PhysAddrs: physAddrs(n.PhysAddrs),
		Module: cellModule{
			IMEI: n.Module.IMEI, Model: n.Module.Model, Manufacturer: n.Module.Manufacturer, Revision: n.Module.Revision,
			ControlProtocol: n.Module.ControlProtocol, OpMode: n.Module.OpMode,
		},
		SIMCards: each(n.SimCards, newSIMCard), ConfigError: n.ConfigError, ProbeError: n.ProbeError,
		Providers: all, CurrentProvider: current, VisibleProviders: visible,
		CurrentRATs: each(n.CurrentRATs, func(r eve.WwanRAT) eve.WwanRAT { return r }), ConnectedAt: n.ConnectedAt,
	}
}

func newSIMCard(c eve.WwanSimCard) simCard {
	return simCard{SlotNumber: c.SlotNumber, SlotActivated: c.SlotActivated, ICCID: c.ICCID, IMSI: c.IMSI, State: c.State}
}

func newProvider(p eve.WwanProvider) provider { return provider(p) }

// modemMetrics is a WwanMetrics.
type modemMetrics struct {
	Networks []modemMetric `json:"networks"`
}

type modemMetric struct {
	LogicalLabel string      `json:"logical-label"`
	PhysAddrs    physAddrs   `json:"physical-addrs"`
	PacketStats  packetStats `json:"packet-stats"`
	SignalInfo   signalInfo  `json:"signal-info"`
}

type packetStats struct {
	RxBytes   uint64 `json:"rx-bytes"`
	RxPackets uint64 `json:"rx-packets"`
	RxDrops   uint64 `json:"rx-drops"`
	TxBytes   uint64 `json:"tx-bytes"`
	TxPackets uint64 `json:"tx-packets"`
	TxDrops   uint64 `json:"tx-drops"`
}

type signalInfo struct {
	RSSI int32 `json:"rssi"`
	RSRQ int32 `json:"rsrq"`
	RSRP int32 `json:"rsrp"`
	SNR  int32 `json:"snr"`
}

func newModemMetrics(m eve.WwanMetrics) modemMetrics {
	return modemMetrics{each(m.Networks, func(n eve.WwanNetworkMetrics) modemMetric {
		return modemMetric{
			LogicalLabel: n.LogicalLabel, PhysAddrs: physAddrs(n.PhysAddrs),
			PacketStats: packetStats(n.PacketStats), SignalInfo: signalInfo(n.SignalInfo),
		}
	})}
}

// each words every element of a list. The result is never nil: in JSON it is a list.
func each[T, W any](list []T, word func(T) W) []W {
	words := make([]W, len(list))
	for i := range list {
		words[i] = word(list[i])
	}
	return words
}
