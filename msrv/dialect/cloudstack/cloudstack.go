// SPDX-License-Identifier: Apache-2.0

// Package cloudstack words an instance as Apache CloudStack does: as its virtual router serves it over
// HTTP, with the password server beside, and as the directory cloudstack of a config drive.
//
// An instance.Instance comes in, document trees go out, and a guard hands the password out and notes that
// it was saved; the commands put the dialect into their list and the carriers deliver what it says.
// README.md says what a guest sees.
package cloudstack

import (
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// Dialect is CloudStack's dialect, over HTTP at the router's address and on a config drive.
func Dialect() dialect.Dialect {
	return dialect.Dialect{
		Name: "cloudstack",
		HTTP: []dialect.Service{
			{Site: dialect.Router, Render: router},
			{Site: dialect.RouterPassword, Guard: passwordServer},
		},
		Drive: &dialect.Drive{
			Label:  dialect.ConfigDriveLabel,
			Kinds:  []instance.DriveKind{instance.DriveConfig},
			Render: drive,
		},
		Firmware: firmware,
	}
}

// firmware is the name of a product that CloudStack's KVM hosts show. cloud-init asks for "CloudStack" at
// its beginning; other clients are told by the kernel's command line or ask without a hint.
func firmware(*instance.Instance) dialect.Firmware {
	return dialect.Firmware{Product: "CloudStack KVM Hypervisor"}
}

// router renders what is below "/". The files of meta-data are below latest too, their older place, where
// CloudStack's own scripts ask for public-keys. It never fails.
func router(in *instance.Instance) (*document.Node, error) {
	var files []document.Entry
	for _, v := range values(in) {
		if v.text != "" || v.needed {
			files = append(files, document.Entry{Name: v.name, Node: document.File(document.Text(v.text))})
		}
	}
	var latest []document.Entry
	if user := dialect.UserData(in); user != nil {
		latest = append(latest, document.Entry{Name: userDataName, Node: document.File(user)})
	}
	latest = append(latest, document.Entry{Name: metaDataName, Node: directory(files)})
	latest = append(latest, files...)
	return document.Directory(nil, document.Entry{Name: "latest", Node: directory(latest)}), nil
}

// directory is a directory with the listing that the virtual router gives it: a name per line, directories
// without a slash. There is no line break at its end, as nowhere in the service; no client needs one.
func directory(entries []document.Entry) *document.Node {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
	}
	return document.Directory(document.Text(strings.Join(names, "\n")), entries...)
}
