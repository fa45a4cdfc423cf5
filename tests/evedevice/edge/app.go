// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"encoding/base64"
	"fmt"
	"net"
	"testing"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/tests/evedevice"
)

// App is an app as EVE's agents tell of it, with one adapter.
type App struct {
	Number, Network int
	Address         string // that it is to get
	Config          eve.AppInstanceConfig
	Status          eve.AppNetworkStatus
}

// Apps that were recorded: web-gw has encrypted user data and a drive, collector readable user data and a drive, and os-guest
// the encrypted user data without a drive.
const (
	WebGW = iota + 1
	Collector
	OSGuest
)

// EncryptedText is the user data that was recorded encrypted.
const EncryptedText = "#cloud-config\nhostname: web-gw\nusers:\n - name: ops\n" +
	"   ssh_authorized_keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample ops@edge\"]\n"

// ClearText is the user data that was recorded readable.
const ClearText = "ROLE=collector\nSITE=hall-7\n"

// NewApp makes an app of which EVE has not seen a lease yet. The first three are like those that were recorded, the others like
// collector.
func NewApp(t testing.TB, number, network int, address string) *App {
	t.Helper()
	a := &App{Number: number, Network: network, Address: address}
	like := number
	if number > OSGuest {
		like = Collector
	}
	a.Config = evedevice.Recorded[eve.AppInstanceConfig](t, eve.AgentZedagent, AppKey(like))
	a.Config.UUIDandVersion.UUID, a.Config.DisplayName = uuid.MustParse(a.Key()), a.Name()
	a.Config.AppNetAdapterList = a.Config.AppNetAdapterList[:1]
	a.Config.AppNetAdapterList[0].Network = uuid.MustParse(NetworkKey(network))
	a.Status = evedevice.Recorded[eve.AppNetworkStatus](t, eve.AgentZedrouter, AppKey(like))
	a.Status.UUIDandVersion, a.Status.DisplayName, a.Status.AppNum = a.Config.UUIDandVersion, a.Name(), number
	a.Status.AppNetAdapterList = a.Status.AppNetAdapterList[:1]
	adapter := &a.Status.AppNetAdapterList[0]
	adapter.AppNetAdapterConfig = a.Config.AppNetAdapterList[0]
	adapter.Bridge, adapter.VifInfo.Mac = bridge(network), a.MAC()
	adapter.BridgeIPAddr, adapter.HostName = net.IPv4(10, byte(network), 0, 1), a.Key()
	adapter.AssignedAddresses, adapter.IPv4Assigned = eve.AssignedAddrs{}, false
	return a.At(Port(number))
}

// AppKey is the UUID of the app of a number.
func AppKey(number int) string { return fmt.Sprintf("c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b%03d", number) }

// Key is the app's UUID.
func (a *App) Key() string { return AppKey(a.Number) }

// Name is what the app is called.
func (a *App) Name() string { return fmt.Sprintf("app-%d", a.Number) }

// MAC is that of the app's adapter.
func (a *App) MAC() net.HardwareAddr {
	return net.HardwareAddr{0x02, 0x16, 0x3e, 0, 0, byte(a.Number)}
}

// At has the app be at a port of its bridge.
func (a *App) At(port string) *App {
	adapter := &a.Status.AppNetAdapterList[0]
	adapter.Vif, adapter.VifUsed = port, port
	return a
}

// Leased has EVE have seen the app's lease.
func (a *App) Leased() *App {
	adapter := &a.Status.AppNetAdapterList[0]
	adapter.AssignedAddresses.IPv4Addrs = []eve.AssignedAddr{
		{Address: net.ParseIP(a.Address), AssignedBy: eve.AddressSourceInternalDHCP},
	}
	adapter.IPv4Assigned = true
	return a
}

// WithText gives the app readable user data.
func (a *App) WithText(text string) *App {
	a.Config.CloudInitUserData = new(base64.StdEncoding.EncodeToString([]byte(text)))
	a.Config.CipherBlockStatus = eve.CipherBlockStatus{CipherBlockID: a.Key()}
	return a
}

// Sealed gives the app encrypted user data.
func (a *App) Sealed(block *eve.CipherBlockStatus) *App {
	a.Config.CloudInitUserData, a.Config.CipherBlockStatus = nil, *block
	return a
}

// networkConfig is what zedmanager makes of the app's config.
func (a *App) networkConfig() eve.AppNetworkConfig {
	c := &a.Config
	return eve.AppNetworkConfig{
		UUIDandVersion: c.UUIDandVersion, DisplayName: c.DisplayName, Activate: c.Activate,
		AppNetAdapterList: c.AppNetAdapterList, CloudInitUserData: c.CloudInitUserData,
		CipherBlockStatus: c.CipherBlockStatus, MetaDataType: c.MetaDataType, DeploymentType: c.DeploymentType,
	}
}

// Facts are what agents tell of the app.
func (a *App) Facts() []Fact {
	return append(a.Configs(), Says(eve.AgentZedrouter, a.Key(), a.Status))
}

// Configs are what they tell of its config.
func (a *App) Configs() []Fact {
	return []Fact{Says(eve.AgentZedagent, a.Key(), a.Config), Says(eve.AgentZedmanager, a.Key(), a.networkConfig())}
}

// Gone are the facts that the app is no more.
func (a *App) Gone() []Fact {
	return []Fact{
		Forgets[eve.AppInstanceConfig](eve.AgentZedagent, a.Key()), Forgets[eve.AppNetworkConfig](eve.AgentZedmanager, a.Key()),
		Forgets[eve.AppNetworkStatus](eve.AgentZedrouter, a.Key()),
	}
}
