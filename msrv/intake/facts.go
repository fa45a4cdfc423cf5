// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/store"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// RandomSeedSize is how many bytes of random seed an instance gets: as many as Nova gives.
const RandomSeedSize = 512

// Facts are the values of the topics that together make one Instance.
type Facts struct {
	App      eve.AppInstanceConfig
	Metadata eve.InstanceMetadata // the zero value where there is none
	Status   eve.AppNetworkStatus // the zero value where there is none yet
	// Networks are the app networks that Status speaks of, by UUID; one may be missing.
	Networks map[uuid.UUID]eve.NetworkInstanceStatus
	// NetworkMetadata is what else is said about these networks, by UUID; most may be missing.
	NetworkMetadata map[uuid.UUID]eve.NetworkMetadata
	// Opened is the app's user data where it is encrypted; nil: there is nothing to open it with.
	Opened *Opened
	// Device says that EVE's own agents speak: what they have their own rules for goes by these. Multipart is the node's
	// setting that every drive is made of the parts of its user data.
	Device, Multipart bool
	// Architecture is the processor's in Go's words; "" when not known.
	Architecture string
	// Secret is the device's secret, out of which random seeds are made; nil for none.
	Secret []byte
}

// Opened is what became of encrypted user data.
type Opened struct {
	UserData string // base64; "" for none
	Err      error
}

// failed tells whether it could not be opened.
func (o *Opened) failed() bool { return o != nil && o.Err != nil }

// Join makes the neutral Instance out of what the topics say. It does no I/O, keeps no reference to
// what it was given but content, and never fails: what cannot be read is left out or, for user data,
// becomes the instance's UserDataFault.
func Join(f Facts) *instance.Instance {
	inst := &instance.Instance{Architecture: f.Architecture}
	inst.Hostname = eve.Hostname(&f.App, &f.Metadata)
	fromApp(inst, &f)
	fromMetadata(inst, &f.Metadata)
	fromStatus(inst, &f)
	addBonds(inst, f.Metadata.Bonds)
	addVLANs(inst, f.Metadata.VLANs)
	if inst.Domain == "" {
		inst.Domain = firstDomain(&f)
	}
	if len(f.Secret) > 0 {
		inst.RandomSeed = randomSeed(f.Secret, inst.UUID)
	}
	return inst
}

// Keys are what an instance is known by: the networks that it is in, and in each the MAC and IP addresses that
// it has there.
func Keys(inst *instance.Instance) []store.Key {
	var keys []store.Key
	for _, a := range inst.Adapters {
		if a.Kind != instance.Card {
			continue // a bond has an address of one of its cards; what is in a VLAN is in no app network
		}
		keys = append(keys, store.Key{Network: a.Network})
		if len(a.MAC) == len(store.MAC{}) {
			keys = append(keys, store.Key{Network: a.Network, MAC: store.MAC(a.MAC)})
		}
		for _, p := range []instance.Addressing{a.IPv4, a.IPv6} {
			if p.Address.IsValid() {
				keys = append(keys, store.Key{Network: a.Network, Address: p.Address.Addr()})
			}
		}
	}
	return keys
}

// randomSeed derives an instance's seed from the device's secret (RFC 5869), so that it is the same in
// every rendering, differs between instances and devices, and tells nothing of the secret.
func randomSeed(secret []byte, appUUID string) instance.Opaque {
	seed, err := hkdf.Key(sha256.New, secret, nil, "random_seed "+appUUID, RandomSeedSize)
	if err != nil {
		// Only a length over 255 hashes is refused, which the constant rules out.
		panic(fmt.Sprintf("intake: derive random seed: %v", err))
	}
	return seed
}

// firstDomain is the domain of the first adapter's network that has one.
func firstDomain(f *Facts) string {
	for _, a := range f.Status.AppNetAdapterList {
		if d := eve.Domain(f.Networks[a.Network].DomainName); d != "" {
			return d
		}
	}
	return ""
}

// fromApp fills in what EVE's AppInstanceConfig says.
func fromApp(inst *instance.Instance, f *Facts) {
	app := &f.App
	inst.UUID = app.UUIDandVersion.UUID.String()
	inst.Version = app.UUIDandVersion.Version
	if app.CloudInitVersion > 0 {
		inst.Version = strconv.FormatUint(uint64(app.CloudInitVersion), 10)
	}
	if inst.Version == "" {
		inst.Version = "0"
	}
	inst.Name = app.DisplayName
	inst.Container = app.FixedResources.VirtualizationMode == eve.VmModeNoHyper
	inst.DedicatedCPUs = dedicatedCPUs(&app.FixedResources)
	var err error
	if inst.UserData, err = userData(app, f.Opened); err != nil {
		inst.UserDataFault = err.Error()
	}
	inst.Drive, inst.HTTP = wants(app.MetaDataType)
	if f.Device {
		inst.Drive = onDevice(inst, f.Multipart)
	}
}

// onDevice is the drive that EVE gives an instance: none without user data, and none for what runs in the host's own
// kernel (EVE, domainmgr).
func onDevice(inst *instance.Instance, multipart bool) instance.DriveKind {
	switch {
	case inst.Container, inst.UserData == nil && inst.UserDataFault == "":
		return instance.DriveNone
	case multipart && inst.Drive == instance.DriveNoCloud:
		return instance.DriveNoCloudMultipart
	}
	return inst.Drive
}

// wants tells what EVE's MetaDataType asks for. An unknown type has no drive.
func wants(t eve.MetaDataType) (instance.DriveKind, bool) {
	switch t {
	case eve.MetaDataDrive:
		return instance.DriveNoCloud, true
	case eve.MetaDataDriveMultipart:
		return instance.DriveNoCloudMultipart, true
	case eve.MetaDataNone:
		return instance.DriveNone, false
	}
	return instance.DriveNone, true
}

// maxCPUs bounds what a list of processors is made for; no guest has as many.
const maxCPUs = 1024

// dedicatedCPUs are all of the guest's processors where they are pinned: EVE pins all or none.
func dedicatedCPUs(vm *eve.VmConfig) []int {
	if !vm.CPUsPinned || vm.VCpus > maxCPUs {
		return nil
	}
	var cpus []int
	for i := range vm.VCpus {
		cpus = append(cpus, i)
	}
	return cpus
}

// userData decodes the user data, which controllers send as base64. nil, without an error, means
// that there is none; an error means that there should be some.
func userData(app *eve.AppInstanceConfig, opened *Opened) (instance.Opaque, error) {
	text := ""
	switch {
	case app.IsCipher && opened == nil:
		return nil, errors.New("user data is encrypted and there is no key to read it")
	case opened.failed():
		return nil, opened.Err
	case app.IsCipher:
		text = opened.UserData
	case app.CloudInitUserData != nil:
		text = *app.CloudInitUserData
	}
	if text == "" {
		if len(app.Errors) > 0 {
			return nil, fmt.Errorf("configuration of the app instance is in error: %s", app.Errors[0])
		}
		return nil, nil
	}
	raw, err := decodeBase64(text)
	if err != nil {
		return nil, fmt.Errorf("decode user data as base64: %w", err)
	}
	return raw, nil
}

// fromMetadata fills in what our own topic says, over what EVE's says.
func fromMetadata(inst *instance.Instance, m *eve.InstanceMetadata) {
	inst.Domain = eve.Domain(m.Domain)
	inst.LaunchIndex = int(m.LaunchIndex)
	inst.AvailabilityZone, inst.Region = m.AvailabilityZone, m.Region
	inst.ProjectID = m.ProjectID
	inst.InstanceType, inst.Image = m.InstanceType, m.Image
	inst.Tags = maps.Clone(m.Tags)
	inst.SecurityGroups = m.SecurityGroups
	inst.VendorData, inst.VendorData2 = m.VendorData, m.VendorData2
	if m.Password != "" {
		inst.Password = instance.Opaque(m.Password)
	}
	if m.Drive == eve.DriveConfig && inst.Drive == instance.DriveNoCloud {
		inst.Drive = instance.DriveConfig // of the same things, for a guest that reads no other
	}
	inst.Datasource = m.Datasource
	for _, k := range m.SSHKeys {
		inst.Keys = append(inst.Keys, instance.Key{Name: k.Name, Data: k.PublicKey})
	}
	for _, b := range m.BlockDevices {
		inst.BlockDevices = append(inst.BlockDevices, instance.BlockDevice(b))
	}
	for _, file := range m.Files {
		inst.Files = append(inst.Files, instance.File{Path: file.Path, Content: file.Content})
	}
}
