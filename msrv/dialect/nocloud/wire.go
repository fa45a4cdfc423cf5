// SPDX-License-Identifier: Apache-2.0

package nocloud

// What stands in the documents. Both are YAML by their definition and are written as JSON, which YAML
// contains: strings are then quoted whatever they look like ("0123" stays a string), and the guests that
// read nothing but JSON (CirrOS) can read them too. No list and no object is ever null.

// metaDataFile is the file meta-data.
type metaDataFile struct {
	InstanceID       string   `json:"instance-id"`
	LocalHostname    string   `json:"local-hostname,omitempty"`
	PublicKeys       []string `json:"public-keys,omitempty"`
	AvailabilityZone string   `json:"availability-zone,omitempty"`
	Region           string   `json:"region,omitempty"`
	InstanceType     string   `json:"instance-type,omitempty"`
	LaunchIndex      int      `json:"launch-index"`
}

// networkConfigFile is the file network-config in version 2, netplan's.
type networkConfigFile struct {
	Version   int                 `json:"version"`
	Ethernets map[string]ethernet `json:"ethernets"`
	Bonds     map[string]bond     `json:"bonds,omitempty"`
	VLANs     map[string]vlan     `json:"vlans,omitempty"`
}

// ethernet is one card, found by its address and left with the name that the guest's kernel gave it.
type ethernet struct {
	Match match `json:"match"`
	settings
}

type match struct {
	MACAddress string `json:"macaddress"`
}

// bond joins cards.
type bond struct {
	Interfaces []string       `json:"interfaces"`
	Parameters bondParameters `json:"parameters"`
	MACAddress string         `json:"macaddress"`
	settings
}

type bondParameters struct {
	Mode               string `json:"mode"`
	MIIMonitorInterval string `json:"mii-monitor-interval"` // milliseconds; a text by cloud-init's schema
}

// vlan is on a card or a bond.
type vlan struct {
	ID         int    `json:"id"`
	Link       string `json:"link"`
	MACAddress string `json:"macaddress,omitempty"`
	settings
}

// settings are what any of them can have.
type settings struct {
	MTU         int          `json:"mtu,omitempty"`
	DHCP4       bool         `json:"dhcp4,omitempty"`
	DHCP6       bool         `json:"dhcp6,omitempty"`
	AcceptRA    bool         `json:"accept-ra,omitempty"`
	Addresses   []string     `json:"addresses,omitempty"`
	Gateway6    string       `json:"gateway6,omitempty"`
	Routes      []route      `json:"routes,omitempty"`
	Nameservers *nameservers `json:"nameservers,omitempty"`
}

type route struct {
	To  string `json:"to"`
	Via string `json:"via"`
}

type nameservers struct {
	Addresses []string `json:"addresses,omitempty"`
	Search    []string `json:"search,omitempty"`
}

// networkConfigV1File is the file network-config in version 1, cloud-init's own.
type networkConfigV1File struct {
	Version int        `json:"version"`
	Config  []deviceV1 `json:"config"`
}

// deviceV1 is a card, a bond or a VLAN, by its type.
type deviceV1 struct {
	Type           string      `json:"type"`
	Name           string      `json:"name"`
	MACAddress     string      `json:"mac_address,omitempty"`
	MTU            int         `json:"mtu,omitempty"`
	BondInterfaces []string    `json:"bond_interfaces,omitempty"`
	Params         *bondParams `json:"params,omitempty"`
	VLANLink       string      `json:"vlan_link,omitempty"`
	VLANID         int         `json:"vlan_id,omitempty"`
	Subnets        []subnet    `json:"subnets,omitempty"`
}

type bondParams struct {
	Mode       string `json:"bond-mode"`
	MIIMonitor int    `json:"bond-miimon"`
}

type subnet struct {
	Type        string    `json:"type"`
	Address     string    `json:"address,omitempty"`
	Gateway     string    `json:"gateway,omitempty"`
	Routes      []routeV1 `json:"routes,omitempty"`
	Nameservers []string  `json:"dns_nameservers,omitempty"`
	Search      []string  `json:"dns_search,omitempty"`
}

type routeV1 struct {
	Destination string `json:"destination"`
	Gateway     string `json:"gateway"`
}
