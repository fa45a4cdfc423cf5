// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/base64"
	"fmt"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// appDoc is one app manifest: what it says, and what it means. The networks of the adapters are not known yet: other
// files may have them (see link).
type appDoc struct {
	*document
	app    *App
	id     uuid.UUID
	config eve.AppInstanceConfig
	meta   eve.InstanceMetadata
}

// app checks a decoded manifest and says what it means to EVE.
func (doc *document) readApp(a *App) appDoc {
	id := doc.identity(kindApp, a.Name, a.UUID, a.Version)
	r := appDoc{document: doc, app: a, id: id}
	r.config = eve.AppInstanceConfig{
		UUIDandVersion:      eve.UUIDandVersion{UUID: id, Version: strconv.FormatUint(uint64(a.Version), 10)},
		DisplayName:         a.Name,
		VolumeRefConfigList: []eve.VolumeRefConfig{},
		Activate:            a.Activate,
		CloudInitVersion:    a.CloudInitVersion,
		IsDesignatedNodeID:  true,
	}
	r.config.CipherBlockID = id.String()
	if a.CloudInitVersion == 0 {
		doc.problem("cloudInitVersion", "0 is not a version: count from 1")
	}
	r.config.MetaDataType = choose(doc, "metadataType", a.MetadataType, []choice[eve.MetaDataType]{
		{metadataDrive, eve.MetaDataDrive}, {metadataNone, eve.MetaDataNone},
		{metadataOpenStack, eve.MetaDataOpenStack}, {metadataMultipart, eve.MetaDataDriveMultipart},
		{metadataConfigDrive, eve.MetaDataDrive},
	})
	r.config.FixedResources = doc.resources(a)
	if data := doc.contentOf("userData", "userDataFile", "userDataBase64", a.UserData, a.UserDataFile, a.UserDataBase64); len(data) > 0 {
		text := base64.StdEncoding.EncodeToString(data)
		r.config.CloudInitUserData = &text
	}
	r.meta = doc.metadata(a, id)
	for i := range a.Adapters {
		config, meta := doc.adapter(fmt.Sprintf("adapters[%d]", i), a.Adapters[i])
		config.IntfOrder = uint32(i + 1)
		r.config.AppNetAdapterList = append(r.config.AppNetAdapterList, config)
		r.meta.Adapters = append(r.meta.Adapters, meta)
	}
	r.meta.Bonds, r.meta.VLANs = doc.readLinks(a)
	return r
}

// resources is what the app runs in and with.
func (doc *document) resources(a *App) eve.VmConfig {
	if doc.has("vcpus") && (a.VCPUs < 1 || a.VCPUs > maxVCPUs) {
		doc.problem("vcpus", "%d is not from 1 to %d", a.VCPUs, maxVCPUs)
	}
	if a.PinCPUs && !doc.has("vcpus") {
		doc.problem("pinCPUs", "needs vcpus beside it: how many there are to pin")
	}
	return eve.VmConfig{
		VCpus: int(a.VCPUs), CPUsPinned: a.PinCPUs,
		VirtualizationMode: choose(doc, "runtime", a.Runtime, []choice[eve.VmMode]{
			{runtimeVM, eve.VmModeHVM}, {runtimeContainer, eve.VmModeNoHyper},
		}),
	}
}

// metadata is what EVE's own configuration has no place for.
func (doc *document) metadata(a *App, id uuid.UUID) eve.InstanceMetadata {
	if doc.has("hostname") {
		doc.check("hostname", checkLabel(a.Hostname))
	}
	if doc.has("domain") {
		doc.check("domain", checkDomain(a.Domain))
	}
	m := eve.InstanceMetadata{
		AppUUID:  id,
		Hostname: a.Hostname, Domain: a.Domain, LaunchIndex: a.LaunchIndex,
		AvailabilityZone: a.AvailabilityZone, Region: a.Region, ProjectID: a.Project,
		InstanceType: a.InstanceType, Image: a.Image,
		VendorData: doc.contentOf("vendorData", "vendorDataFile", "vendorDataBase64",
			a.VendorData, a.VendorDataFile, a.VendorDataBase64),
		VendorData2: doc.contentOf("vendorData2", "vendorData2File", "vendorData2Base64",
			a.VendorData2, a.VendorData2File, a.VendorData2Base64),
		Tags: a.Tags, SecurityGroups: a.SecurityGroups,
		Password: doc.password(a.Password, a.PasswordFile),
	}
	if a.MetadataType == metadataConfigDrive {
		m.Drive = eve.DriveConfig
	}
	if doc.has("datasource") {
		m.Datasource = choose(doc, "datasource", a.Datasource, words("openstack", "ec2", "nocloud", "cloudstack"))
	}
	for name := range a.Tags {
		if name == "" {
			doc.problem("tags", "a tag needs a name")
		}
	}
	unique(doc, "securityGroups[%d]", a.SecurityGroups, func(s string) string { return s })
	for i, k := range a.SSHKeys {
		m.SSHKeys = append(m.SSHKeys, doc.sshKey(fmt.Sprintf("sshKeys[%d]", i), k))
	}
	unique(doc, "sshKeys[%d].name", a.SSHKeys, func(k SSHKey) string { return k.Name })
	for i, b := range a.BlockDevices {
		m.BlockDevices = append(m.BlockDevices, doc.blockDevice(fmt.Sprintf("blockDevices[%d]", i), b))
	}
	unique(doc, "blockDevices[%d].name", a.BlockDevices, func(b BlockDevice) string { return b.Name })
	for i, f := range a.Files {
		m.Files = append(m.Files, doc.injected(fmt.Sprintf("files[%d]", i), f))
	}
	unique(doc, "files[%d].path", a.Files, func(f File) string { return f.Path })
	return m
}

func (doc *document) sshKey(at string, k SSHKey) eve.SSHKey {
	if doc.required(at+".name", k.Name) && strings.ContainsRune(k.Name, '=') {
		doc.problem(at+".name", "%q has a = in it, which divides number and name in EC2's list of keys", k.Name)
	}
	if doc.required(at+".key", k.Key) {
		doc.check(at+".key", checkSSHKey(k.Key))
	}
	return eve.SSHKey{Name: k.Name, PublicKey: strings.Join(strings.Fields(k.Key), " ")}
}

func (doc *document) blockDevice(at string, b BlockDevice) eve.BlockDevice {
	doc.required(at+".name", b.Name)
	if doc.required(at+".device", b.Device) && !absolute(b.Device) {
		doc.problem(at+".device", "%q is not the path of a device, such as /dev/vda", b.Device)
	}
	return eve.BlockDevice{Name: b.Name, Device: b.Device, Bus: b.Bus, Serial: b.Serial, Tags: b.Tags}
}

func (doc *document) injected(at string, f File) eve.InjectedFile {
	if doc.required(at+".path", f.Path) && !absolute(f.Path) {
		doc.problem(at+".path", "%q is not an absolute path without . and ..", f.Path)
	}
	data := doc.contentOf(at+".text", at+".file", at+".base64", f.Text, f.File, f.Base64)
	if !doc.has(at+".text") && !doc.has(at+".file") && !doc.has(at+".base64") {
		doc.problem(at, "has no content: give one of text, file and base64")
	}
	return eve.InjectedFile{Path: f.Path, Content: data}
}

// absolute says whether a path in the guest is the one way to write it.
func absolute(p string) bool { return path.IsAbs(p) && path.Clean(p) == p && p != "/" }

func (doc *document) adapter(at string, a Adapter) (eve.AppNetAdapterConfig, eve.AdapterMetadata) {
	config := eve.AppNetAdapterConfig{Name: a.Name}
	meta := eve.AdapterMetadata{Name: a.Name, MTU: a.MTU, SearchDomains: a.Search, Tags: a.Tags, Port: a.Port}
	doc.required(at+".name", a.Name)
	doc.required(at+".network", a.Network)
	if doc.has(at + ".mac") {
		mac, err := parseMAC(a.MAC)
		doc.check(at+".mac", err)
		config.AppMacAddr = mac
	}
	config.AppIPAddr, meta.StaticIPv4 = doc.method(at+".ipv4", a.IPv4, true)
	meta.IPv6, meta.StaticIPv6 = doc.method(at+".ipv6", a.IPv6, false)
	doc.mtu(at+".mtu", a.MTU)
	meta.Routes = doc.toldRoutes(at+".routes", a.Routes)
	meta.DNSServers = doc.addresses(at+".dns", a.DNS)
	doc.domains(at+".search", a.Search)
	if doc.has(at + ".port") {
		doc.check(at+".port", checkInterface(a.Port))
	}
	return config, meta
}

// toldRoutes are the routes of a list as InstanceMetadata has them.
func (doc *document) toldRoutes(at string, list []Route) []eve.Route {
	var told []eve.Route
	for _, r := range doc.routes(at, list) {
		told = append(told, eve.Route{Dst: ipNet(r.to), Gateway: r.via.AsSlice()})
	}
	return told
}

// method reads how an adapter gets its address: "dhcp", "none" or the address. In the topic, no address and not static
// is whatever the network assigns, and static without an address is none at all.
func (doc *document) method(at, s string, v4 bool) (ip net.IP, static bool) {
	if !doc.has(at) || s == addressDHCP {
		return nil, false
	}
	if s == addressNone {
		return nil, true
	}
	if s == addressSLAAC && !v4 {
		doc.problem(at, "slaac is for the network to say: a router tells all guests the same")
		return nil, false
	}
	addr, err := parseAddr(s)
	family := "IPv6"
	if v4 {
		family = "IPv4"
	}
	if err != nil || addr.Is4() != v4 || addr.IsLoopback() || addr.IsLinkLocalUnicast() || slices.Contains(metadataAddresses(), addr) {
		doc.problem(at, "%q is not dhcp, none, or an %s address", shortened(s), family)
		return nil, false
	}
	return addr.AsSlice(), true
}
