// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"net"
	"time"

	"github.com/google/uuid"
)

// InstanceMetadata is what a guest's metadata may say and EVE's configuration does not carry.
// Topic of AgentFeed, keyed by the app instance's UUID. It is this project's own, not one of EVE's, and follows the same
// rules of JSON. Every field is optional: the zero value adds nothing to what the app instance's configuration says.
//
// Limits are those of EVE's pubsub: each large field less than 1 MiB of JSON, all the rest together about 48 kB.
type InstanceMetadata struct {
	AppUUID          uuid.UUID
	Hostname         string // without domain; "": made from the app instance's name
	Domain           string
	LaunchIndex      uint32 // of this instance among those started together
	AvailabilityZone string
	Region           string
	ProjectID        string
	InstanceType     string
	Image            string
	SSHKeys          []SSHKey
	VendorData       []byte `json:"pubsub-large-VendorData"`
	VendorData2      []byte `json:"pubsub-large-VendorData2"`
	Tags             map[string]string
	SecurityGroups   []string
	BlockDevices     []BlockDevice
	Files            []InjectedFile
	Adapters         []AdapterMetadata
	Bonds            []BondMetadata
	VLANs            []VLANMetadata
	Password         string // of the guest's administrator; "": none
	Drive            string // DriveConfig in place of the NoCloud drive of MetaDataDrive; "": that one
	Datasource       string // dialect that the guest's image asks over HTTP: "ec2"; "": what goes without saying
}

// DriveConfig is the word for a ConfigDrive in InstanceMetadata.Drive. EVE's MetaDataType has no value for it.
const DriveConfig = "configdrive"

// SSHKey is a public key that may log in to the guest.
type SSHKey struct {
	Name      string
	PublicKey string // one line of an authorized_keys file
}

// BlockDevice describes one of the guest's disks.
type BlockDevice struct {
	Name   string // the disk's role in EC2's words: "root", "ami", "ephemeral0", "swap", "ebs1"
	Device string // as the guest names it: "/dev/vda"
	Bus    string
	Serial string
	Tags   []string
}

// InjectedFile is a file that the guest finds among its metadata.
type InjectedFile struct {
	Path    string // absolute, in the guest
	Content []byte `json:"pubsub-large-Content"`
}

// AdapterMetadata adds to one network adapter of the app instance.
type AdapterMetadata struct {
	Name          string // the AppNetAdapterConfig's
	StaticIPv4    bool   // the guest is told a fixed IPv4 configuration, not to ask DHCP; without an address: none
	StaticIPv6    bool   // the same for IPv6
	IPv6          net.IP // wanted address; nil: none, or the one that was assigned
	MTU           uint16 // bytes; 0: the network's
	Routes        []Route
	DNSServers    []net.IP
	SearchDomains []string
	Tags          []string
	Port          string // the guest's port on a bridge of others, "nbu1x1"; "": not known
}

// BondMetadata joins network adapters of the app instance in the guest. The bond has the MAC address and the addresses of
// the first of them.
type BondMetadata struct {
	Name     string
	Mode     string   // in the kernel's words: "active-backup"
	Adapters []string // names of AppNetAdapterConfigs
	MTU      uint16   // bytes; 0: the first adapter's
}

// VLANMetadata is a VLAN that the guest makes on one of its network adapters or bonds. What is in it is nothing of EVE's:
// addresses are those that the guest is told of, or another's to give.
type VLANMetadata struct {
	Name          string
	On            string           // name of an adapter or a bond
	ID            uint16           // 1 to 4094
	MAC           net.HardwareAddr // nil: that of what it is on
	MTU           uint16           // bytes; 0: that of what it is on
	IPv4          VLANAddress
	IPv6          VLANAddress
	Routes        []Route
	DNSServers    []net.IP
	SearchDomains []string
}

// VLANAddress is how a VLAN is addressed in one family.
type VLANAddress struct {
	Method  string     // one of the words below; "": not at all
	Address *net.IPNet // the guest's own, with the length of its subnet; of MethodStatic
	Gateway net.IP     // nil: none
}

// The words of VLANAddress.Method.
const (
	MethodStatic = "static"
	MethodDHCP   = "dhcp"
	MethodSLAAC  = "slaac"
)

// NetworkMetadata is what there is to say of an app network and EVE's configuration does not carry. Topic of AgentFeed,
// keyed by the network instance's UUID; this project's own, like InstanceMetadata.
type NetworkMetadata struct {
	NetworkUUID uuid.UUID
	Tokens      string // EC2's session tokens, one of the words below; "": optional
	HopLimit    uint8  // IP time to live of an answer with a token, 1 to 64; 0: not said

	// Where the network is when others made it: at most one of the two is said. Without, it is made.
	Namespace string // absolute path of a network namespace that the guest is in
	Bridge    string // name of a bridge in the host's own namespace, "bn1", that guests are on

	// A subnet of IPv6 beside the config's own of IPv4.
	Subnet6    *net.IPNet // nil: none
	Gateway6   net.IP     // nil: the subnet's first address
	DhcpRange6 IPRange
	// SLAAC has guests make their IPv6 addresses themselves (RFC 4862), each its own out of its MAC address (RFC 4291,
	// appendix A), in whichever subnet is one of IPv6; otherwise they get them by DHCPv6.
	SLAAC bool

	NoDHCP        bool     // addresses are handed out by somebody else's server, and routers advertised by others
	NoDNS         bool     // guests ask the config's DnsServers themselves, rather than the network's own server
	LeaseTime     uint32   // of DHCP, in seconds, 120 at least; 0: an hour
	SearchDomains []string // besides the config's DomainName
	NamePrefix    string   // of guests' names in DNS
	NameOrder     []string // which names a guest has in DNS, the first of them in reverse; see the words below; none: domain, base
}

// The words of NetworkMetadata.NameOrder.
const (
	NameBase   = "base"   // the guest's hostname
	NamePrefix = "prefix" // NamePrefix and the hostname; left out without a prefix
	NameDomain = "domain" // prefix, hostname and the network's domain; left out without a domain
)

// DefaultLeaseTime is that of DHCP where none was said, in seconds; MinLeaseTime is the shortest that dnsmasq has.
const (
	DefaultLeaseTime = 3600
	MinLeaseTime     = 120
)

// The words of NetworkMetadata.Tokens.
const (
	TokensOptional = "optional"
	TokensRequired = "required"
	TokensOff      = "off"
)

// NetworkAttachment says where an app network is, for whoever has to take it away when nothing else is known of it any
// more. Topic of AgentNim, keyed by the network instance's UUID.
type NetworkAttachment struct {
	NetworkUUID uuid.UUID
	Namespace   string // path of the namespace of others that it is in; "": none
	Bridge      string // bridge of others that it is on; "": none
	Transit     int    // number of its uplink among the host's, from 1; 0: it has none
}

// InstanceReport is one thing that a guest has said. Topic of AgentServe, kept over reboots, keyed by the app instance's
// UUID, a dot, and the subject.
type InstanceReport struct {
	AppUUID    uuid.UUID
	Subject    string // "openstack-password"
	InstanceID string // of the instance that said it: another version of the app has not said anything yet
	Value      []byte `json:"pubsub-large-Value"`
	Time       time.Time
}

// InstanceLaunch is what whoever starts an app instance's virtual machine needs for the guest to find its metadata. Topic
// of AgentServe, keyed by the app instance's UUID: the companion of AppNetworkStatus, which has the adapters.
type InstanceLaunch struct {
	UUIDandVersion UUIDandVersion
	DisplayName    string
	Datasource     string                    // that the firmware of Firmware[Datasource] makes the guest choose; "drive" for that
	Drive          string                    // path of the drive's image; "": none
	Firmware       map[string]LaunchFirmware // by datasource
	QEMU           []string                  // arguments of qemu-system-*
	Libvirt        string                    // elements of a libvirt domain, XML
}

// LaunchFirmware is what the SMBIOS tables have to say. What is "" is left to the hypervisor.
type LaunchFirmware struct {
	UUID     string // type 1
	Product  string // type 1
	Serial   string // type 1
	AssetTag string // type 3
}

// Route is a route that the guest is told of.
type Route struct {
	Dst     *net.IPNet
	Gateway net.IP
}

// ControllerStatus says how a feed gets on with its controller. Topic of AgentFeed, keyed by GlobalKey.
type ControllerStatus struct {
	Server       string    // host or host:port
	DeviceUUID   uuid.UUID // as the controller calls the device; nil UUID: not known yet
	APIVersion   int       // of the controller's API, 1 or 2
	ConfigHash   string    // of the configuration that is in force; "": there is none
	ConfigTime   time.Time // when that was received
	FromFile     bool      // it is the last good one of an earlier run, and the controller has not confirmed it yet
	LastContact  time.Time // when the controller last answered as it should
	ErrorAndTime           // what is wrong now; what was in force before stays
}
