// SPDX-License-Identifier: Apache-2.0

package manifest

import "github.com/lf-edge/eve-metadata/pkg/eve"

// What people write. The yaml tags are the names of the fields; the schema (see Schema) describes them to editors, and a
// test holds the two together. Every field but kind and name may be left out.

// App is a manifest of kind "app": one app instance, the guest, and all that its metadata says.
type App struct {
	Kind             string `yaml:"kind"`
	Name             string `yaml:"name"`
	UUID             string `yaml:"uuid"`             // default: made from the name
	Version          uint32 `yaml:"version"`          // of the configuration; default 1
	CloudInitVersion uint32 `yaml:"cloudInitVersion"` // default 1; a change makes the guest do its first-boot work again
	MetadataType     string `yaml:"metadataType"`     // drive (default), none, openstack, drive-multipart, configdrive
	Datasource       string `yaml:"datasource"`       // openstack, ec2, nocloud, cloudstack; default: what goes without saying
	Runtime          string `yaml:"runtime"`          // vm (default), container
	Activate         bool   `yaml:"activate"`         // default true
	VCPUs            uint16 `yaml:"vcpus"`
	PinCPUs          bool   `yaml:"pinCPUs"` // the guest shares its processors with nobody

	Hostname string `yaml:"hostname"` // default: made from the name
	Domain   string `yaml:"domain"`

	SSHKeys      []SSHKey `yaml:"sshKeys"`
	Password     Secret   `yaml:"password"`
	PasswordFile string   `yaml:"passwordFile"` // relative to the manifest

	UserData          Content `yaml:"userData"`
	UserDataFile      string  `yaml:"userDataFile"` // relative to the manifest
	UserDataBase64    Content `yaml:"userDataBase64"`
	VendorData        Content `yaml:"vendorData"`
	VendorDataFile    string  `yaml:"vendorDataFile"`
	VendorDataBase64  Content `yaml:"vendorDataBase64"`
	VendorData2       Content `yaml:"vendorData2"`
	VendorData2File   string  `yaml:"vendorData2File"`
	VendorData2Base64 Content `yaml:"vendorData2Base64"`

	AvailabilityZone string `yaml:"availabilityZone"`
	Region           string `yaml:"region"`
	Project          string `yaml:"project"`
	InstanceType     string `yaml:"instanceType"`
	Image            string `yaml:"image"`
	LaunchIndex      uint32 `yaml:"launchIndex"`

	Tags           map[string]string `yaml:"tags"`
	SecurityGroups []string          `yaml:"securityGroups"`
	BlockDevices   []BlockDevice     `yaml:"blockDevices"`
	Files          []File            `yaml:"files"`
	Adapters       []Adapter         `yaml:"adapters"`
	Bonds          []Bond            `yaml:"bonds"`
	VLANs          []VLAN            `yaml:"vlans"`
}

// SSHKey is a public key that may log in to the guest.
type SSHKey struct {
	Name string `yaml:"name"`
	Key  string `yaml:"key"` // "type base64 comment", one line
}

// BlockDevice is one of the guest's disks.
type BlockDevice struct {
	Name   string   `yaml:"name"`   // its role in EC2's words: root, ami, ephemeral0, swap, ebs1
	Device string   `yaml:"device"` // "/dev/vda"
	Bus    string   `yaml:"bus"`
	Serial string   `yaml:"serial"`
	Tags   []string `yaml:"tags"`
}

// File is put into the guest; exactly one of Text, File and Base64 is given.
type File struct {
	Path   string  `yaml:"path"` // absolute, in the guest
	Text   Content `yaml:"text"`
	File   string  `yaml:"file"` // relative to the manifest
	Base64 Content `yaml:"base64"`
}

// Adapter is one network card of the guest. IPv4 and IPv6 are "dhcp", "none", or an address, of which the guest is then
// told as a fixed configuration; not said means "what the network hands out", or, in one that says slaac, what the guest
// makes of its MAC address: that is for the network to say, whose router tells all guests the same.
type Adapter struct {
	Name    string   `yaml:"name"`
	Network string   `yaml:"network"` // name or UUID of a network
	MAC     string   `yaml:"mac"`
	IPv4    string   `yaml:"ipv4"`
	IPv6    string   `yaml:"ipv6"`
	MTU     uint16   `yaml:"mtu"`
	Routes  []Route  `yaml:"routes"`
	DNS     []string `yaml:"dns"`
	Search  []string `yaml:"search"`
	Tags    []string `yaml:"tags"`
	Port    string   `yaml:"port"` // name of the port that the guest is on, on a bridge of others
}

// Bond joins adapters in the guest. It has the MAC address and the addresses of the first of them.
type Bond struct {
	Name     string   `yaml:"name"`
	Mode     string   `yaml:"mode"`
	Adapters []string `yaml:"adapters"` // names
	MTU      uint16   `yaml:"mtu"`      // default: the first adapter's
}

// VLAN is one that the guest makes on an adapter or a bond. IPv4 is "dhcp", "none" (the default), or an address with its
// prefix length; IPv6 may be "slaac" as well. What is in a VLAN is nothing of the app networks'.
type VLAN struct {
	Name     string   `yaml:"name"` // default: "ON.ID"
	On       string   `yaml:"on"`   // name of an adapter or a bond
	ID       uint16   `yaml:"id"`
	MAC      string   `yaml:"mac"` // default: that of what it is on
	IPv4     string   `yaml:"ipv4"`
	IPv6     string   `yaml:"ipv6"`
	Gateway4 string   `yaml:"gateway4"`
	Gateway6 string   `yaml:"gateway6"`
	MTU      uint16   `yaml:"mtu"` // default: that of what it is on
	Routes   []Route  `yaml:"routes"`
	DNS      []string `yaml:"dns"`
	Search   []string `yaml:"search"`
}

// Route is a route beside the default one.
type Route struct {
	To  string `yaml:"to"`  // "10.1.0.0/16"
	Via string `yaml:"via"` // "10.11.12.7"
}

// Network is a manifest of kind "network": one app network.
type Network struct {
	Kind    string `yaml:"kind"`
	Name    string `yaml:"name"`
	UUID    string `yaml:"uuid"`    // default: made from the name
	Version uint32 `yaml:"version"` // of the configuration; default 1
	Type    string `yaml:"type"`    // local (default), switch
	Attach  Attach `yaml:"attach"`  // default: the network is made
	Port    string `yaml:"port"`    // default: nothing leads out
	MTU     uint16 `yaml:"mtu"`     // default 1500

	Subnet     string    `yaml:"subnet"`
	Gateway    string    `yaml:"gateway"` // default: the first host of the subnet
	DHCPRange  DHCPRange `yaml:"dhcpRange"`
	Subnet6    string    `yaml:"subnet6"` // of IPv6, beside one of IPv4
	Gateway6   string    `yaml:"gateway6"`
	DHCPRange6 DHCPRange `yaml:"dhcpRange6"`
	SLAAC      bool      `yaml:"slaac"` // guests make their IPv6 addresses themselves

	DHCP      string              `yaml:"dhcp"`      // serve (default), none
	LeaseTime string              `yaml:"leaseTime"` // "10m"; default an hour
	NTP       []string            `yaml:"ntp"`
	Routes    []Route             `yaml:"routes"`
	DNSServer string              `yaml:"dnsServer"` // serve (default), none
	DNS       []string            `yaml:"dns"`       // servers that it asks; without it, that guests ask
	Domain    string              `yaml:"domain"`
	Search    []string            `yaml:"search"` // besides the domain
	Names     Names               `yaml:"names"`
	Hosts     map[string][]string `yaml:"hosts"` // names that the network's DNS server answers

	Tokens   string `yaml:"tokens"`   // of EC2's guests: optional (default), required, off
	HopLimit uint8  `yaml:"hopLimit"` // of an answer with a token; default: not said
}

// Attach is where a network is that others made; exactly one of the two is given.
type Attach struct {
	Namespace string `yaml:"namespace"` // path of the network namespace that its guest is in
	Bridge    string `yaml:"bridge"`    // name of the host's bridge that its guests are on
}

// DHCPRange is the part of a subnet that addresses are handed out from, both ends included.
type DHCPRange struct {
	Start string `yaml:"start"`
	End   string `yaml:"end"`
}

// Names is what guests are called in DNS.
type Names struct {
	Prefix string   `yaml:"prefix"`
	Order  []string `yaml:"order"` // of base, prefix, domain; default: domain, base
}

// Content is a text that may be long and may have line breaks; other texts are short, and one line.
type Content string

// Secret is a short text that no message shows.
type Secret string

// The values of kind, metadataType, runtime, type, dhcp, dnsServer and the addressing methods. Those of datasource, mode,
// tokens and names.order are the words of the topics.
const (
	kindApp     = "app"
	kindNetwork = "network"

	metadataDrive       = "drive"
	metadataNone        = "none"
	metadataOpenStack   = "openstack"
	metadataMultipart   = "drive-multipart"
	metadataConfigDrive = "configdrive"

	runtimeVM        = "vm"
	runtimeContainer = "container"

	networkLocal  = "local"
	networkSwitch = "switch"

	serverOurs = "serve"
	serverNone = "none"

	addressDHCP  = "dhcp"
	addressSLAAC = "slaac"
	addressNone  = "none"
)

// newApp and newNetwork hold every default that a manifest has.
func newApp() *App {
	return &App{Version: 1, CloudInitVersion: 1, MetadataType: metadataDrive, Runtime: runtimeVM, Activate: true}
}

func newNetwork() *Network {
	return &Network{
		Version: 1, Type: networkLocal, MTU: defaultMTU, DHCP: serverOurs, DNSServer: serverOurs, Tokens: eve.TokensOptional,
	}
}
