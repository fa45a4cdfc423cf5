// SPDX-License-Identifier: Apache-2.0

// Package nocloud words an instance as cloud-init's NoCloud data source reads it: four files, on a drive
// with the label cidata or below a seed URL.
//
// An instance.Instance comes in, a document tree goes out; the commands put the dialect into their list
// and the carriers deliver its trees. README.md says what a guest sees.
package nocloud

import (
	"fmt"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// Name is the dialect's.
const Name = "nocloud"

// Label is the volume label by which guests find the drive. Lower case: some look for no other.
const Label = "cidata"

// Root is the directory of the seed at the metadata address: guests ask below
// http://169.254.169.254/nocloud/. Below V1 there is the same seed with network-config in version 1.
const (
	Root = "nocloud"
	V1   = "v1"
)

// serial is the serial number by which a guest chooses NoCloud over HTTP. Without dsmode=net cloud-init 22.4
// takes the seed for one that needs no network, and never fetches it.
const serial = "ds=nocloud;dsmode=net;s=http://169.254.169.254/" + Root + "/"

// The names of the files; the first two make a drive a seed (cloud-init, DataSourceNoCloud).
const (
	metaDataName      = "meta-data"
	userDataName      = "user-data"
	vendorDataName    = "vendor-data"
	networkConfigName = "network-config"
)

// Dialect is NoCloud's dialect, over HTTP and on a drive.
func Dialect() dialect.Dialect {
	return dialect.Dialect{
		Name: Name,
		HTTP: []dialect.Service{{Site: dialect.Metadata, Render: http}},
		Drive: &dialect.Drive{
			Label:  Label,
			Kinds:  []instance.DriveKind{instance.DriveNoCloud, instance.DriveNoCloudMultipart},
			Render: drive,
		},
		Firmware: func(*instance.Instance) dialect.Firmware { return dialect.Firmware{Serial: serial} },
	}
}

// http renders the seed below "/", in both versions of its network configuration.
func http(in *instance.Instance) (*document.Node, error) {
	s, err := newSeed(in)
	if err != nil {
		return nil, fmt.Errorf("render nocloud for instance %q: %w", in.UUID, err)
	}
	v1 := s.files("", s.networkConfigV1)
	v2 := append(s.files("", s.networkConfig), document.Entry{Name: V1, Node: document.Directory(listing(v1), v1...)})
	root := document.Entry{Name: Root, Node: document.Directory(listing(v2), v2...)}
	return document.Directory(nil, append([]document.Entry{root}, s.files(Root, s.networkConfig)...)...), nil
}

// files are the four files of a seed. What the instance has not is an empty document: cloud-init takes a
// 404 there for a failure, asks again for ten seconds and then drops the data source. With a prefix their
// names are those that cloud-init 22.4 asks for where the seed URL has no final slash: nocloudmeta-data.
func (s *seed) files(prefix string, network *document.Document) []document.Entry {
	or := func(d *document.Document) *document.Node {
		if d == nil {
			d = document.New(document.TypeBytes, []byte{})
		}
		return document.File(d)
	}
	return []document.Entry{
		{Name: prefix + metaDataName, Node: document.File(s.metaData)},
		{Name: prefix + userDataName, Node: or(s.userData)},
		{Name: prefix + vendorDataName, Node: or(s.vendorData)},
		{Name: prefix + networkConfigName, Node: or(network)},
	}
}

// listing is for people who look what there is.
func listing(entries []document.Entry) *document.Document {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
		if e.Node.IsDirectory() {
			names[i] += "/"
		}
	}
	return document.Text(strings.Join(names, "\n"))
}

// seed holds the documents of an instance; nil for those that it has not.
type seed struct {
	metaData, userData, vendorData, networkConfig, networkConfigV1 *document.Document
}

func newSeed(in *instance.Instance) (*seed, error) {
	s := &seed{userData: dialect.UserData(in), vendorData: opaque(in.VendorData)}
	if s.vendorData == nil {
		s.vendorData = opaque(in.VendorData2) // NoCloud has one vendor data: the second, if it is alone
	}
	var err error
	if s.metaData, err = metaData(in); err != nil {
		return nil, fmt.Errorf("%s: %w", metaDataName, err)
	}
	links := linksOf(in)
	if s.networkConfig, err = networkConfig(links); err != nil {
		return nil, fmt.Errorf("%s: %w", networkConfigName, err)
	}
	if s.networkConfigV1, err = networkConfigV1(links); err != nil {
		return nil, fmt.Errorf("%s in version 1: %w", networkConfigName, err)
	}
	return s, nil
}

// opaque is content byte for byte, nil for none.
func opaque(content instance.Opaque) *document.Document {
	if content == nil {
		return nil
	}
	return document.New(document.TypeBytes, content)
}
