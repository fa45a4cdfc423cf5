// SPDX-License-Identifier: Apache-2.0

// Package instance holds the neutral Instance: all that any dialect can say about one guest.
//
// The intake builds an Instance out of topics; dialects render it; nothing here knows a cloud's field
// names, a transport or the rest of the project. An Instance is built once per change and never
// altered afterwards, so that it may be read by any number of goroutines without a lock.
package instance

import (
	"fmt"
	"net"
	"net/netip"
)

// Opaque is content that is passed on byte for byte and never printed: user data, vendor data, files.
// nil means "there is none"; an empty, non-nil value is content of no bytes.
type Opaque []byte

// String tells the length, never the content.
func (o Opaque) String() string { return fmt.Sprintf("(%d bytes)", len(o)) }

// GoString does for %#v what String does for %v.
func (o Opaque) GoString() string { return o.String() }

// Instance is one guest: a virtual machine or a container that EVE calls an app instance.
type Instance struct {
	// UUID is the app's UUID, lower case, with dashes. Unique and never empty.
	UUID string
	// Version changes exactly when the guest shall do its first-boot work again at its next boot
	// (EVE: CloudInitVersion, or the config's version where that is 0). Never empty.
	Version string
	// Name is the display name: free text, made for people.
	Name string
	// Hostname is the name of the host without its domain, a valid DNS label. Never empty.
	Hostname string
	// Domain is the DNS domain, without a leading or final dot; "" when there is none.
	Domain string

	LaunchIndex      int
	AvailabilityZone string
	Region           string
	ProjectID        string
	InstanceType     string
	Image            string
	// Architecture is the processor's in Go's words: "amd64", "arm64"; "" when not known.
	Architecture string
	// Container tells a container from a virtual machine.
	Container bool
	// DedicatedCPUs are the guest's processors, counted from 0, that share their real one with nobody.
	DedicatedCPUs []int

	Keys           []Key
	Tags           map[string]string
	SecurityGroups []string
	BlockDevices   []BlockDevice
	Files          []File
	Adapters       []Adapter

	// UserData is what the controller wants the guest to act on, decoded, untouched otherwise.
	UserData Opaque
	// UserDataFault says why there should be user data but is none (it did not decode or decrypt);
	// "" when all is well. Where it is set, a guest gets an error and never an empty answer.
	UserDataFault string
	// VendorData and VendorData2 are the platform's own; the second is applied after the first.
	VendorData  Opaque
	VendorData2 Opaque

	// Password is what the guest's administrator shall log in with; nil for none. A guest asks for it, or
	// makes one up itself and reports it.
	Password Opaque

	// RandomSeed is 512 bytes, fixed per instance and device, that a guest may feed its random number
	// generator with; nil when no device secret is at hand.
	RandomSeed Opaque

	// Drive is the drive that the instance wants; HTTP tells whether it may ask over the network.
	Drive DriveKind
	HTTP  bool
	// Datasource is the dialect that the guest's image is to ask over HTTP, by its name; "" for what goes
	// without saying: the drive where there is one, OpenStack's otherwise. It decides what the firmware
	// says, not what is served.
	Datasource string
}

// String names the instance for logs; it never prints content.
func (i *Instance) String() string { return fmt.Sprintf("%s (%s)", i.Name, i.UUID) }

// FQDN is the hostname with its domain, or the bare hostname where there is none.
func (i *Instance) FQDN() string {
	if i.Domain == "" {
		return i.Hostname
	}
	return i.Hostname + "." + i.Domain
}

// ID is the identity by which a guest decides whether it has met this instance before: EVE's rule,
// UUID "/" Version. It differs from the UUID that the firmware shows on purpose: cloud-init asks
// nothing more at a reboot when the two are equal, and would never see a new Version.
func (i *Instance) ID() string { return i.UUID + "/" + i.Version }

// DriveKind is which drive, if any, an instance wants.
type DriveKind int

// The kinds of drive. DriveNoCloudMultipart is EVE's: the parts of a MIME multipart user data are the
// files of the drive.
const (
	DriveNone DriveKind = iota
	DriveNoCloud
	DriveNoCloudMultipart
	DriveConfig
)

// String is the kind as manifests and messages spell it.
func (k DriveKind) String() string {
	switch k {
	case DriveNone:
		return "none"
	case DriveNoCloud:
		return "nocloud"
	case DriveNoCloudMultipart:
		return "nocloud-multipart"
	case DriveConfig:
		return "configdrive"
	}
	return fmt.Sprintf("drive kind %d", int(k))
}

// Key is one SSH public key with the name its owner gave it, as both came: dialects see to it that
// clients can read them.
type Key struct {
	Name string
	Data string // as in authorized_keys
}

// File is a file that the platform puts into the guest.
type File struct {
	Path    string // absolute path in the guest
	Content Opaque
}

// BlockDevice is a disk as the guest will name it.
type BlockDevice struct {
	Name   string // its role in EC2's words: "ami", "root", "ephemeral0", "swap", "ebs1"
	Device string // "/dev/vda"
	Bus    string // "virtio", "scsi", …; "" when unknown
	Serial string
	Tags   []string
}

// Adapter is one network card of the guest, or what the guest makes out of its cards.
type Adapter struct {
	// Name is the controller's name of the adapter; the guest's kernel may call it otherwise.
	Name string
	// Kind tells a card from a bond and a VLAN. Cards come first in an instance's list, and what an adapter
	// is made of stands before it.
	Kind AdapterKind
	// Over are the names of the adapters that a bond joins, or of the one that a VLAN is on.
	Over []string
	// BondMode is the bond's in the kernel's words: "active-backup", "802.3ad", …
	BondMode string
	// VLAN is the VLAN's number, 1 to 4094.
	VLAN int
	// Network identifies the app network: the UUID of EVE's network instance.
	Network     string
	NetworkName string
	// Port is the host's end, a tap or veth; "" when not known. OtherPort is the one that it may be instead; "" for none.
	Port, OtherPort string
	// MAC is the hardware address that the guest sees; nil when not known.
	MAC net.HardwareAddr
	// MTU in bytes; 0 when not known.
	MTU         int
	IPv4        Addressing
	IPv6        Addressing
	Nameservers []netip.Addr
	Search      []string
	Tags        []string
	// Tokens and HopLimit are the network's policy for session tokens (EC2's IMDSv2). HopLimit is the IP
	// time to live of an answer with a token, 1 to 64; 0 when nobody said.
	Tokens   TokenPolicy
	HopLimit int
}

// AdapterKind is what an adapter is.
type AdapterKind int

// The kinds of adapter.
const (
	Card AdapterKind = iota
	Bond
	VLAN
)

// TokenPolicy is whether a guest has to prove with a session token that it asks itself.
type TokenPolicy int

// The policies. TokensOptional: a guest may ask without one, but not with a wrong one. TokensOff: there
// are none.
const (
	TokensOptional TokenPolicy = iota
	TokensRequired
	TokensOff
)

// Method is how a guest gets an address of one family.
type Method int

// The methods. None: the family is not in use on this adapter.
const (
	None Method = iota
	Static
	DHCP
	SLAAC
)

// Addressing is what an adapter has in one address family.
type Addressing struct {
	Method Method
	// Address is the guest's address with the length of its subnet. It is known for DHCP too, where
	// the service hands the address out itself; the zero Prefix when not known.
	Address netip.Prefix
	// Gateway is the default router; the zero Addr when there is none.
	Gateway netip.Addr
	Routes  []Route
}

// Route is a route beside the default one.
type Route struct {
	Dst netip.Prefix
	Via netip.Addr
}
