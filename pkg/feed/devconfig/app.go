// SPDX-License-Identifier: Apache-2.0

package devconfig

import (
	"net"
	"time"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-api/go/evecommon"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// app reads one app instance.
func (p *parser) app(what string, id uuid.UUID, c *config.AppInstanceConfig) eve.AppInstanceConfig {
	a := eve.AppInstanceConfig{
		UUIDandVersion:      eve.UUIDandVersion{UUID: id, Version: c.GetUuidandversion().GetVersion()},
		DisplayName:         c.GetDisplayname(),
		FixedResources:      resources(c.GetFixedresources()),
		DisableLogs:         c.GetFixedresources().GetDisableLogs(),
		VolumeRefConfigList: p.volumes(what, id, c.GetVolumeRefList()),
		Activate:            c.GetActivate(),
		IoAdapterList:       p.ioAdapters(what, c.GetAdapters()),
		RestartCmd:          command(c.GetRestart()),
		PurgeCmd:            command(c.GetPurge()),
		RemoteConsole:       c.GetRemoteConsole(),
		CollectStatsIPAddr:  net.ParseIP(c.GetCollectStatsIPAddr()),
		CipherBlockStatus:   p.cipherBlock(what, id, c.GetCipherData()),
		MetaDataType:        eve.MetaDataType(clamp(int64(c.GetMetaDataType()))),
		ProfileList:         c.GetProfileList(),
		Delay:               time.Duration(c.GetStartDelayInSeconds()) * time.Second,
		Service:             c.GetService(),
		CloudInitVersion:    c.GetCloudInitVersion(),
		Snapshot:            snapshot(c.GetSnapshot()),
		// Outside of a cluster, every node is the designated one.
		IsDesignatedNodeID:  c.GetDesignatedNodeId() == "" || c.GetDesignatedNodeId() == p.config.GetId().GetUuid(),
		AffinityType:        eve.Affinity(clamp(int64(c.GetAffinity()))),
		DeploymentType:      eve.AppRuntimeType(c.GetRuntimeType()),
		ControllerBootOrder: eve.BootOrder(c.GetFixedresources().GetBootOrder()),
	}
	if data := c.GetUserData(); data != "" {
		a.CloudInitUserData = &data
	}
	a.AppNetAdapterList = p.adapters(c)
	for _, adapter := range a.AppNetAdapterList {
		if adapter.Error != "" {
			a.Errors = append(a.Errors, adapter.Error)
			p.note("%s: %s", what, adapter.Error)
		}
	}
	return a
}

// appNetwork is the part of an app that concerns its network and its metadata (EVE, zedmanager).
func appNetwork(a eve.AppInstanceConfig) eve.AppNetworkConfig {
	return eve.AppNetworkConfig{
		UUIDandVersion:    a.UUIDandVersion,
		DisplayName:       a.DisplayName,
		Activate:          a.Activate,
		GetStatsIPAddr:    a.CollectStatsIPAddr,
		AppNetAdapterList: a.AppNetAdapterList,
		CloudInitUserData: a.CloudInitUserData,
		CipherBlockStatus: a.CipherBlockStatus,
		MetaDataType:      a.MetaDataType,
		DeploymentType:    a.DeploymentType,
	}
}

// clamp keeps an enumeration's value from a newer API from turning into a known one: EVE's own type has one byte.
func clamp(v int64) uint8 {
	const most = 255
	if v < 0 || v > most {
		return most
	}
	return uint8(v)
}

// resources copies what zedagent copies. What a controller may say beyond that (extra kernel arguments, device trees, raw
// interrupts and memory) never reaches a domain on EVE.
func resources(c *config.VmConfig) eve.VmConfig {
	return eve.VmConfig{
		Kernel:                       c.GetKernel(),
		Ramdisk:                      c.GetRamdisk(),
		Memory:                       int(c.GetMemory()),
		MaxMem:                       int(c.GetMaxmem()),
		VCpus:                        int(c.GetVcpus()),
		MaxCpus:                      int(c.GetMaxcpus()),
		RootDev:                      c.GetRootdev(),
		BootLoader:                   c.GetBootloader(),
		VirtualizationMode:           eve.VmMode(clamp(int64(c.GetVirtualizationMode()))),
		EnableVnc:                    c.GetEnableVnc(),
		VncDisplay:                   c.GetVncDisplay(),
		VncPasswd:                    c.GetVncPasswd(),
		CPUsPinned:                   c.GetPinCpu(),
		VMMMaxMem:                    int(c.GetVmmMaxmem()),
		EnableVncShimVM:              c.GetEnableVncShimVm(),
		EnforceNetworkInterfaceOrder: c.GetEnforceNetworkInterfaceOrder(),
		EnableOemWinLicenseKey:       c.GetEnableOemWinLicenseKey(),
		DisableVirtualTPM:            c.GetDisableVtpm(),
		BootOrder:                    eve.BootOrder(c.GetBootOrder()),
	}
}

func command(c *config.InstanceOpsCmd) eve.AppInstanceOpsCmd {
	return eve.AppInstanceOpsCmd{Counter: c.GetCounter(), ApplyTime: c.GetOpsTime()}
}

func (p *parser) volumes(what string, app uuid.UUID, list []*config.VolumeRef) []eve.VolumeRefConfig {
	volumes := make([]eve.VolumeRefConfig, len(list))
	for i, v := range list {
		id, err := uuid.Parse(v.GetUuid())
		if err != nil {
			p.note("%s: volume %d: %q is not a UUID", what, i, v.GetUuid())
		}
		volumes[i] = eve.VolumeRefConfig{
			VolumeID:          id,
			GenerationCounter: v.GetGenerationCount(),
			AppUUID:           app,
			MountDir:          v.GetMountDir(),
		}
	}
	return volumes
}

func snapshot(c *config.SnapshotConfig) eve.SnapshotConfig {
	if c == nil {
		return eve.SnapshotConfig{}
	}
	s := eve.SnapshotConfig{
		ActiveSnapshot: c.GetActiveSnapshot(),
		MaxSnapshots:   c.GetMaxSnapshots(),
		RollbackCmd:    command(c.GetRollbackCmd()),
		Snapshots:      make([]eve.SnapshotDesc, len(c.GetSnapshots())),
	}
	for i, d := range c.GetSnapshots() {
		s.Snapshots[i] = eve.SnapshotDesc{SnapshotID: d.GetId(), SnapshotType: eve.SnapshotType(d.GetType())}
	}
	return s
}

// ioAdapters reads the hardware that an app is given. A virtual function whose VLAN cannot be is left out.
func (p *parser) ioAdapters(what string, list []*config.Adapter) []eve.IoAdapter {
	var adapters []eve.IoAdapter
	for _, c := range list {
		a := eve.IoAdapter{Type: eve.IoType(clamp(int64(c.GetType()))), Name: c.GetName(), IntfOrder: c.GetInterfaceOrder()}
		if vf := c.GetEthVf(); vf != nil && c.GetType() == evecommon.PhyIoType_PhyIoNetEthVF {
			const maxVLAN = 4094 // IEEE 802.1Q
			if vf.GetVlanId() > maxVLAN {
				p.note("%s: adapter %q: %d is not a VLAN", what, c.GetName(), vf.GetVlanId())
				continue
			}
			mac, err := net.ParseMAC(vf.GetMac())
			if err != nil {
				p.note("%s: adapter %q: %q is not a MAC address", what, c.GetName(), vf.GetMac())
			}
			a.EthVf = eve.EthVF{Mac: mac.String(), VlanID: uint16(vf.GetVlanId())}
		}
		adapters = append(adapters, a)
	}
	return adapters
}

// cipherBlock reads encrypted user data. It is marked as such only with data and a context to decrypt it with; that the
// context is not known is seen by whoever decrypts (EVE, zedagent).
func (p *parser) cipherBlock(what string, app uuid.UUID, c *evecommon.CipherBlock) eve.CipherBlockStatus {
	b := eve.CipherBlockStatus{CipherBlockID: app.String()}
	if c == nil {
		return b
	}
	b.CipherContextID = c.GetCipherContextId()
	b.InitialValue = c.GetInitialValue()
	b.CipherData = c.GetCipherData()
	b.ClearTextHash = c.GetClearTextSha256()
	b.IsCipher = len(b.CipherData) > 0 && b.CipherContextID != ""
	if !b.IsCipher {
		return b
	}
	b.CipherContext = p.contexts[b.CipherContextID]
	if b.CipherContext == nil {
		p.note("%s: there is no cipher context %q", what, b.CipherContextID)
	}
	return b
}
