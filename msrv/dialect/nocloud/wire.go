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

// networkConfigFile is the file network-config, version 2 (netplan's).
type networkConfigFile struct {
	Version   int                 `json:"version"`
	Ethernets map[string]ethernet `json:"ethernets"`
}

// ethernet is one card, found by its address and left with the name that the guest's kernel gave it.
type ethernet struct {
	Match       match        `json:"match"`
	MTU         int          `json:"mtu,omitempty"`
	DHCP4       bool         `json:"dhcp4,omitempty"`
	DHCP6       bool         `json:"dhcp6,omitempty"`
	AcceptRA    bool         `json:"accept-ra,omitempty"`
	Addresses   []string     `json:"addresses,omitempty"`
	Gateway6    string       `json:"gateway6,omitempty"`
	Routes      []route      `json:"routes,omitempty"`
	Nameservers *nameservers `json:"nameservers,omitempty"`
}

type match struct {
	MACAddress string `json:"macaddress"`
}

type route struct {
	To  string `json:"to"`
	Via string `json:"via"`
}

type nameservers struct {
	Addresses []string `json:"addresses,omitempty"`
	Search    []string `json:"search,omitempty"`
}
