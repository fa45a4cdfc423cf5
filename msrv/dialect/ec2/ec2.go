// SPDX-License-Identifier: Apache-2.0

// Package ec2 words an instance as EC2's instance metadata does, in all its versions: one value per
// document, listings for directories, session tokens for guests that want to prove who asks.
//
// An instance.Instance comes in, a document tree goes out, for HTTP and for a config drive; a guard gives
// out tokens and asks for them. The commands put the dialect into their list and the carriers deliver what
// it renders. README.md says what a guest sees.
package ec2

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

const (
	// prefix is the directory in which Nova serves all of EC2's paths once more.
	prefix = "ec2"
	// latest is an alias of the newest version.
	latest = "latest"
	// novaNewest is the newest version that Nova serves, and the one that it puts on drives.
	novaNewest = "2009-04-04"
)

// versions are the versions that EC2 lists, oldest first; they compare as text. Any other date is not
// there: cloud-init takes the newest that answers and expects all of that version.
func versions() []string {
	return []string{
		"1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01",
		"2008-09-01", novaNewest, "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05",
		"2015-10-20", "2016-04-19", "2016-06-30", "2016-09-02", "2018-03-28", "2018-08-17", "2018-09-24",
		"2019-10-01", "2020-10-27", "2021-01-03", "2021-03-23",
	}
}

// Dialect is EC2's dialect, over HTTP and on a config drive. Its guard knows the tokens that it gave out
// itself, and no other Dialect's.
func Dialect() dialect.Dialect {
	return dialect.Dialect{
		Name:     "ec2",
		HTTP:     []dialect.Service{{Site: dialect.Metadata, Render: overHTTP, Guard: newGuard(sinceNow())}},
		Drive:    &dialect.Drive{Label: dialect.ConfigDriveLabel, Kinds: []instance.DriveKind{instance.DriveConfig}, Render: onDrive},
		Firmware: firmware,
	}
}

// firmware is what cloud-init knows EC2 by: a system UUID that begins with "ec2", and for its release 22.4
// a serial number that is the same. The UUID in the firmware is then no longer the app's.
func firmware(in *instance.Instance) dialect.Firmware {
	const mark = "ec2"
	id := mark + in.UUID[len(mark):]
	return dialect.Firmware{UUID: id, Serial: id}
}

// overHTTP renders what is below "/": the versions, and the same again below "ec2". An error names the
// instance and what of it cannot be worded.
func overHTTP(in *instance.Instance) (*document.Node, error) {
	top, err := topLevel(in)
	if err != nil {
		return nil, fmt.Errorf("render ec2 for instance %q: %w", in.UUID, err)
	}
	var entries []document.Entry
	var newest *document.Node
	for _, v := range versions() {
		newest = top.at(v, newest)
		entries = append(entries, document.Entry{Name: v, Node: newest})
	}
	entries = append(entries, document.Entry{Name: latest, Node: newest})
	listing := document.Text(strings.Join(append(versions(), latest), "\n"))
	prefixed := document.Directory(listing, entries...)
	return document.Directory(listing, append(entries, document.Entry{Name: prefix, Node: prefixed})...), nil
}

// topLevel is what is below a version.
func topLevel(in *instance.Instance) (entry, error) {
	meta, err := metadata(in)
	if err != nil {
		return entry{}, err
	}
	dynamic, err := dynamic(in)
	if err != nil {
		return entry{}, err
	}
	return directory("", "", dynamic, meta, entry{name: "user-data", file: document.File(dialect.UserData(in))}), nil
}

// onDrive renders the dialect's part of a config drive: the metadata as one JSON object, in the two
// versions that Nova writes, and the user data. An instance whose user data is at fault gets none: a guest
// takes a drive without user data for its whole first boot.
func onDrive(in *instance.Instance) (*document.Node, error) {
	if in.UserDataFault != "" {
		return nil, fmt.Errorf("render ec2 drive for instance %q: user data: %s", in.UUID, in.UserDataFault)
	}
	meta, err := metadata(in)
	if err != nil {
		return nil, fmt.Errorf("render ec2 drive for instance %q: %w", in.UUID, err)
	}
	user := document.Entry{Name: "user-data", Node: document.File(dialect.UserData(in))}
	newest := slices.Max(versions())
	var entries []document.Entry
	for _, v := range []struct{ name, version string }{{novaNewest, novaNewest}, {latest, newest}} {
		doc, err := document.JSON(meta.json(v.version))
		if err != nil {
			return nil, fmt.Errorf("render ec2 drive for instance %q: %w", in.UUID, err)
		}
		file := document.Entry{Name: "meta-data.json", Node: document.File(doc)}
		entries = append(entries, document.Entry{Name: v.name, Node: document.Directory(nil, file, user)})
	}
	return document.Directory(nil, document.Entry{Name: prefix, Node: document.Directory(nil, entries...)}), nil
}
