// SPDX-License-Identifier: Apache-2.0

package nocloud

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

const (
	// junosName is where Juniper's guests look for a configuration, and junosMark tells one (EVE,
	// domainmgr).
	junosName = "juniper.conf"
	junosMark = "#junos-config"
)

// drive renders the files of the drive. An instance whose user data is at fault gets none: a guest that
// finds a drive without its user data takes that for its whole first boot.
func drive(in *instance.Instance) (*document.Node, error) {
	tree, err := driveTree(in)
	if err != nil {
		return nil, fmt.Errorf("render nocloud drive for instance %q: %w", in.UUID, err)
	}
	return tree, nil
}

func driveTree(in *instance.Instance) (*document.Node, error) {
	if tree, err := partsTree(in); tree != nil || err != nil {
		return tree, err
	}
	s, err := newSeed(in)
	if err != nil {
		return nil, err
	}
	return s.driveTree(), nil
}

// partsTree is the tree of an instance whose drive is to be made of the parts of its user data; nil where there are none.
// User data that is at fault is an error.
func partsTree(in *instance.Instance) (*document.Node, error) {
	if in.UserDataFault != "" {
		return nil, fmt.Errorf("user data: %s", in.UserDataFault)
	}
	if in.Drive != instance.DriveNoCloudMultipart {
		return nil, nil
	}
	tree, err := multipartTree(in.UserData)
	if errors.Is(err, errNotMultipart) {
		return nil, nil
	}
	return tree, err
}

// driveTree is the usual layout. There is always a file user-data, since cloud-init takes no drive
// without it; Juniper's configuration stands beside it.
func (s *seed) driveTree() *document.Node {
	user := s.userData
	var junos *document.Document
	if user != nil && bytes.Contains(user.Body(), []byte(junosMark)) {
		user, junos = nil, user
	}
	if user == nil {
		user = document.New(document.TypeBytes, []byte{})
	}
	return document.Directory(nil,
		document.Entry{Name: metaDataName, Node: document.File(s.metaData)},
		document.Entry{Name: userDataName, Node: document.File(user)},
		document.Entry{Name: junosName, Node: document.File(junos)},
		document.Entry{Name: vendorDataName, Node: document.File(s.vendorData)},
		document.Entry{Name: networkConfigName, Node: document.File(s.networkConfig)},
	)
}
