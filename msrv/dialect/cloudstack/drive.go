// SPDX-License-Identifier: Apache-2.0

package cloudstack

import (
	"crypto/md5" //nolint:gosec // the checksum that CloudStack's protocol has, against damage alone
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// drive renders the directory cloudstack of a config drive. What is empty is no file. An instance whose
// user data is at fault gets no drive: a guest would take its absence for none.
func drive(in *instance.Instance) (*document.Node, error) {
	if in.UserDataFault != "" {
		return nil, fmt.Errorf("render cloudstack drive for instance %q: user data: %s", in.UUID, in.UserDataFault)
	}
	return document.Directory(nil, document.Entry{Name: "cloudstack", Node: document.Directory(nil,
		document.Entry{Name: "metadata", Node: metadataFolder(in)},
		document.Entry{Name: "userdata", Node: folder(file{"user_data", in.UserData})},
		document.Entry{Name: "password", Node: passwordFolder(in)},
	)}), nil
}

// file is a file of the drive, without the ".txt" that ends the names of all.
type file struct {
	name    string
	content []byte
}

// folder is a directory of those files that have content, byte for byte; nil without any.
func folder(files ...file) *document.Node {
	var entries []document.Entry
	for _, f := range files {
		if len(f.content) > 0 {
			entries = append(entries, document.Entry{Name: f.name + ".txt", Node: document.File(document.New(document.TypeBytes, f.content))})
		}
	}
	if entries == nil {
		return nil
	}
	return document.Directory(nil, entries...)
}

// metadataFolder has every file of CloudStack's under two names: with '-', as CloudStack writes it, and
// with '_', as afterburn looks for it.
func metadataFolder(in *instance.Instance) *document.Node {
	var files []file
	for _, v := range values(in) {
		content := []byte(v.text)
		files = append(files, file{v.name, content})
		if !v.variable {
			files = append(files, file{strings.ReplaceAll(v.name, "-", "_"), content})
		}
	}
	return folder(files...)
}

// passwordFolder has the password and its checksum, under the name that CloudStack writes and the one that
// its script for Windows reads.
func passwordFolder(in *instance.Instance) *document.Node {
	if len(in.Password) == 0 {
		return nil
	}
	sum := md5.Sum(in.Password) //nolint:gosec // as above
	checksum := []byte(hex.EncodeToString(sum[:]))
	return folder(
		file{"vm_password", in.Password},
		file{"vm-password-md5checksum", checksum},
		file{"vm_password_md5checksum", checksum},
	)
}
