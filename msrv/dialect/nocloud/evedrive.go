// SPDX-License-Identifier: Apache-2.0

package nocloud

import (
	"bytes"
	"fmt"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// EVEDrive is the drive as EVE itself makes it (EVE, domainmgr), for devices on which guests may move from one to the
// other: there is nothing on it but who the guest is and its user data. A guest configures its network as if there were no
// drive, its hostname is its UUID unless its user data names it, and Juniper's guests find their configuration under its
// own name alone.
func EVEDrive() *dialect.Drive {
	d := *Dialect().Drive
	d.Render = eveDrive
	return &d
}

func eveDrive(in *instance.Instance) (*document.Node, error) {
	tree, err := partsTree(in)
	if err != nil {
		return nil, fmt.Errorf("render EVE's nocloud drive for instance %q: %w", in.UUID, err)
	}
	if tree != nil {
		return tree, nil
	}
	meta := fmt.Sprintf("instance-id: %s\n", in.ID())
	if !namesHost(in.UserData) {
		meta += fmt.Sprintf("local-hostname: %s\n", in.UUID)
	}
	name := userDataName
	if bytes.Contains(in.UserData, []byte(junosMark)) {
		name = junosName
	}
	return document.Directory(nil,
		document.Entry{Name: metaDataName, Node: document.File(document.Text(meta))},
		document.Entry{Name: name, Node: document.File(document.New(document.TypeBytes, in.UserData))},
	), nil
}
