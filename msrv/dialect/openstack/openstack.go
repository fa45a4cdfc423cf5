// SPDX-License-Identifier: Apache-2.0

// Package openstack words an instance as OpenStack's Nova does: the tree below /openstack, in every
// version that the Nova metadata API knows, over HTTP and on a config drive.
//
// An instance.Instance comes in, a document tree goes out; the commands put the dialect into their list
// and the carriers deliver its trees. One file is also written to: a guest may post a password, once,
// which goes to its reports. README.md says what a guest sees.
package openstack

import (
	"fmt"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// The versions of the Nova metadata API that add something, under the names of Nova's releases.
const (
	folsom    = "2012-08-10" // meta_data.json, user_data
	grizzly   = "2013-04-04" // random_seed, password
	havana    = "2013-10-17" // vendor_data.json
	liberty   = "2015-10-15" // network_data.json, project_id
	newtonOne = "2016-06-30" // devices
	newtonTwo = "2016-10-06" // vendor_data2.json
	ocata     = "2017-02-22" // devices[].vlan
	rocky     = "2018-08-27" // devices[].vf_trusted
	victoria  = "2020-10-14" // dedicated_cpus
	epoxy     = "2025-04-04" // devices of type share, which nothing here fills

	// latest is an alias of the newest version.
	latest = "latest"
)

// root is the directory that everything is in.
const root = "openstack"

// versions are all versions, oldest first, as Nova lists them. They compare as text.
func versions() []string {
	return []string{folsom, grizzly, havana, liberty, newtonOne, newtonTwo, ocata, rocky, victoria, epoxy}
}

// Dialect is OpenStack's dialect, over HTTP and on a config drive.
func Dialect() dialect.Dialect {
	return dialect.Dialect{
		Name:     "openstack",
		HTTP:     []dialect.Service{{Site: dialect.Metadata, Render: overHTTP, Guard: guardPassword}},
		Drive:    &dialect.Drive{Label: dialect.ConfigDriveLabel, Kinds: []instance.DriveKind{instance.DriveConfig}, Render: onDrive},
		Firmware: firmware,
	}
}

// firmware says what Nova's own does, and EVE's for its OpenStack apps. The name of the product is enough
// for cloud-init, on every architecture. It would take the same words as the chassis' asset tag, too; that
// is left for others to fill.
func firmware(*instance.Instance) dialect.Firmware {
	return dialect.Firmware{Product: "OpenStack Compute"}
}

// overHTTP renders what is below "/". An error names the instance and what of it cannot be worded.
func overHTTP(in *instance.Instance) (*document.Node, error) {
	tree, err := render(in, extra{password: document.File(document.Text(""))})
	if err != nil {
		return nil, fmt.Errorf("render openstack for instance %q: %w", in.UUID, err)
	}
	return tree, nil
}

// onDrive renders the dialect's part of a config drive: the same tree without the file for a password,
// which a guest could not write there, but with the one that its administrator shall have. An instance
// whose user data is at fault gets none: a guest takes a drive without user data for its whole first boot.
func onDrive(in *instance.Instance) (*document.Node, error) {
	if in.UserDataFault != "" {
		return nil, fmt.Errorf("render openstack drive for instance %q: user data: %s", in.UUID, in.UserDataFault)
	}
	tree, err := render(in, extra{adminPass: adminPass(in.Password)})
	if err != nil {
		return nil, fmt.Errorf("render openstack drive for instance %q: %w", in.UUID, err)
	}
	return tree, nil
}

// extra is what one carrier has and the other has not.
type extra struct {
	password  *document.Node // over HTTP: for the listings; guardPassword answers for it
	adminPass string         // on a drive
}

// render makes the directory "openstack", below the root: the versions and the content of files.
func render(in *instance.Instance, x extra) (*document.Node, error) {
	r, err := newRenderer(in)
	if err != nil {
		return nil, err
	}
	r.extra = x
	var entries []document.Entry
	for _, v := range versions() {
		n, err := r.version(v)
		if err != nil {
			return nil, err
		}
		entries = append(entries, document.Entry{Name: v, Node: n})
	}
	newest := entries[len(entries)-1].Node
	entries = append(entries, document.Entry{Name: latest, Node: newest})
	listing := listing(entries)
	entries = append(entries, document.Entry{Name: "content", Node: r.content})
	return document.Directory(nil, document.Entry{Name: root, Node: document.Directory(listing, entries...)}), nil
}

// renderer holds the documents that all versions share; nil for those that the instance has not.
type renderer struct {
	extra

	in       *instance.Instance
	keys     []instance.Key
	files    []file
	nics     []instance.Adapter
	content  *document.Node
	userData *document.Node
	vendor   *document.Node
	vendor2  *document.Node
	network  *document.Node
	// meta is the meta_data.json that was rendered last: neighbouring versions often agree.
	meta *document.Node
}

func newRenderer(in *instance.Instance) (*renderer, error) {
	r := &renderer{in: in, keys: dialect.Keys(in), nics: dialect.NICs(in), userData: document.File(dialect.UserData(in))}
	var err error
	if r.files, r.content, err = files(in.Files); err != nil {
		return nil, err
	}
	if r.vendor, err = vendorData(in.VendorData); err != nil {
		return nil, fmt.Errorf("vendor_data.json: %w", err)
	}
	if r.vendor2, err = vendorData(in.VendorData2); err != nil {
		return nil, fmt.Errorf("vendor_data2.json: %w", err)
	}
	if r.network, err = networkData(r.nics); err != nil {
		return nil, fmt.Errorf("network_data.json: %w", err)
	}
	return r, nil
}

// version makes the directory of one version. Its listing has Nova's order and names only what is there.
func (r *renderer) version(v string) (*document.Node, error) {
	meta, err := r.metaData(v)
	if err != nil {
		return nil, fmt.Errorf("meta_data.json of %s: %w", v, err)
	}
	since := func(first string, n *document.Node) *document.Node {
		if v < first {
			return nil
		}
		return n
	}
	entries := []document.Entry{
		{Name: "meta_data.json", Node: meta},
		{Name: "user_data", Node: r.userData},
		{Name: passwordName, Node: since(grizzly, r.password)},
		{Name: "vendor_data.json", Node: since(havana, r.vendor)},
		{Name: "network_data.json", Node: since(liberty, r.network)},
		{Name: "vendor_data2.json", Node: since(newtonTwo, r.vendor2)},
	}
	return document.Directory(listing(entries), entries...), nil
}

// listing names the entries that are there, one per line, without slashes: cloud-init compares the lines
// of the list of versions as they are.
func listing(entries []document.Entry) *document.Document {
	var names []string
	for _, e := range entries {
		if e.Node != nil {
			names = append(names, e.Name)
		}
	}
	return document.Text(strings.Join(names, "\n"))
}
