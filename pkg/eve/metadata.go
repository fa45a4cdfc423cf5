// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"net"

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
}

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
	StaticIPv4    bool   // the guest is told a fixed IPv4 configuration, not to ask DHCP
	StaticIPv6    bool   // the same for IPv6
	IPv6          net.IP // wanted address; nil: none, or the one that was assigned
	MTU           uint16 // bytes; 0: the network's
	Routes        []Route
	DNSServers    []net.IP
	SearchDomains []string
	Tags          []string
}

// Route is a route that the guest is told of.
type Route struct {
	Dst     *net.IPNet
	Gateway net.IP
}
