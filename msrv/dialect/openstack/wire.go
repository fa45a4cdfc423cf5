// SPDX-License-Identifier: Apache-2.0

package openstack

// What stands in the documents, in Nova's order of fields. No list and no object is ever null: clients
// iterate over what is there. A nil slice under omitzero is a field that is not there; an empty one is [].

// metaData is meta_data.json.
type metaData struct {
	UUID             string            `json:"uuid"`
	Meta             map[string]string `json:"meta,omitempty"`
	Files            []file            `json:"files,omitempty"`
	AdminPass        string            `json:"admin_pass,omitempty"`
	PublicKeys       map[string]string `json:"public_keys,omitempty"`
	Keys             []key             `json:"keys,omitempty"`
	Hostname         string            `json:"hostname"`
	Name             string            `json:"name"`
	LaunchIndex      int               `json:"launch_index"`
	AvailabilityZone string            `json:"availability_zone,omitempty"`
	RandomSeed       []byte            `json:"random_seed,omitempty"` // base64
	ProjectID        string            `json:"project_id,omitempty"`
	Devices          []device          `json:"devices,omitzero"`
	DedicatedCPUs    []int             `json:"dedicated_cpus,omitzero"`
}

// file says where the content of a file for the guest is, relative to /openstack.
type file struct {
	Path        string `json:"path"`
	ContentPath string `json:"content_path"`
}

// key is an SSH key. cloud-init reads public_keys, cloudbase-init also this form.
type key struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Data string `json:"data"`
}

// device is a network card or a disk with the tags that its owner gave it.
type device struct {
	Type      string   `json:"type"`
	MAC       string   `json:"mac,omitempty"`
	VLAN      int      `json:"vlan,omitempty"`
	VFTrusted *bool    `json:"vf_trusted,omitempty"`
	Serial    string   `json:"serial,omitempty"`
	Path      string   `json:"path,omitempty"`
	Bus       string   `json:"bus"`
	Address   string   `json:"address"`
	Tags      []string `json:"tags,omitempty"`
}

// networkDocument is network_data.json.
type networkDocument struct {
	Links    []link    `json:"links"`
	Networks []network `json:"networks"`
	Services []service `json:"services"`
}

// link is a network card, a bond of cards, or a VLAN on one of them.
type link struct {
	ID    string `json:"id"`
	VIFID string `json:"vif_id,omitempty"`
	Type  string `json:"type"`
	MTU   int    `json:"mtu,omitempty"`
	MAC   string `json:"ethernet_mac_address,omitempty"`

	// Of a bond. The interval is not in Nova's schema, which allows it, but in what cloud-init reads:
	// every field that begins with "bond".
	BondMode   string   `json:"bond_mode,omitempty"`
	BondMIIMon int      `json:"bond_miimon,omitempty"` // milliseconds
	BondLinks  []string `json:"bond_links,omitempty"`

	// Of a VLAN.
	VLANMAC  string `json:"vlan_mac_address,omitempty"`
	VLANID   int    `json:"vlan_id,omitempty"`
	VLANLink string `json:"vlan_link,omitempty"`
}

// network is how a link is addressed in one family.
type network struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	Link      string    `json:"link"`
	NetworkID string    `json:"network_id"`
	IPAddress string    `json:"ip_address,omitempty"`
	Netmask   string    `json:"netmask,omitempty"`
	Routes    []route   `json:"routes,omitzero"`
	Services  []service `json:"services,omitzero"`
	// The last two are not Nova's but cloud-init's. It reads search domains nowhere else; and up to
	// 23.1 it takes no notice of a network's services, and gives a card that has search domains none of
	// the global name servers either.
	DNSNameservers []string `json:"dns_nameservers,omitempty"`
	DNSSearch      []string `json:"dns_search,omitempty"`
}

// route is a route; the default one has network and netmask all zeroes.
type route struct {
	Network string `json:"network"`
	Netmask string `json:"netmask"`
	Gateway string `json:"gateway"`
}

// service is a name server.
type service struct {
	Type    string `json:"type"`
	Address string `json:"address"`
}
