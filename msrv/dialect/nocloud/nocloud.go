// SPDX-License-Identifier: Apache-2.0

// Package nocloud words an instance as cloud-init's NoCloud data source reads it: four files, on a drive
// with the label cidata or below a seed URL.
//
// An instance.Instance comes in, a document tree goes out; the commands put the dialect into their list
// and the carriers deliver its trees. README.md says what a guest sees.
package nocloud

import (
	"fmt"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// Label is the volume label by which guests find the drive. Lower case: some look for no other.
const Label = "cidata"

// Root is the directory of the seed at the metadata address: guests ask below
// http://169.254.169.254/nocloud/.
const Root = "nocloud"

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
		Name: "nocloud",
		HTTP: []dialect.Service{{Site: dialect.Metadata, Render: http}},
		Drive: &dialect.Drive{
			Label:  Label,
			Kinds:  []instance.DriveKind{instance.DriveNoCloud, instance.DriveNoCloudMultipart},
			Render: drive,
		},
	}
}

// http renders the seed below "/". What the instance has not is an empty document: cloud-init takes a
// 404 there for a failure, asks again for ten seconds and then drops the data source.
func http(in *instance.Instance) (*document.Node, error) {
	s, err := newSeed(in)
	if err != nil {
		return nil, fmt.Errorf("render nocloud for instance %q: %w", in.UUID, err)
	}
	empty := document.New(document.TypeBytes, []byte{})
	or := func(d *document.Document) *document.Node {
		if d == nil {
			d = empty
		}
		return document.File(d)
	}
	return document.Directory(nil, document.Entry{Name: Root, Node: document.Directory(nil,
		document.Entry{Name: metaDataName, Node: document.File(s.metaData)},
		document.Entry{Name: userDataName, Node: or(s.userData)},
		document.Entry{Name: vendorDataName, Node: or(s.vendorData)},
		document.Entry{Name: networkConfigName, Node: or(s.networkConfig)},
	)}), nil
}

// seed holds the documents of an instance; nil for those that it has not.
type seed struct {
	metaData, userData, vendorData, networkConfig *document.Document
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
	if s.networkConfig, err = networkConfig(dialect.NICs(in)); err != nil {
		return nil, fmt.Errorf("%s: %w", networkConfigName, err)
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
