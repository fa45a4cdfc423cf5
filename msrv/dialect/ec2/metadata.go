// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// maxKeys bounds the keys of one instance: a guest asks for each of them in a request of its own, in
// every boot.
const maxKeys = 1000

// leaf is a child of meta-data and the first version that has it.
type leaf struct {
	since string
	document.Entry
}

// leaves are the children of meta-data in the order of their names, as Nova dates them. What an instance
// has not is nil.
func leaves(in *instance.Instance) ([]leaf, error) {
	keys := dialect.Keys(in)
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("%d SSH keys are more than the limit of %d", len(keys), maxKeys)
	}
	hostname := value(in.FQDN())
	at := func(since, name string, n *document.Node) leaf {
		return leaf{since: since, Entry: document.Entry{Name: name, Node: n}}
	}
	return []leaf{
		at("1.0", "ami-id", imageID(in)),
		at("1.0", "ami-launch-index", value(strconv.Itoa(in.LaunchIndex))),
		at("1.0", "ami-manifest-path", value("(unknown)")),
		at("2007-12-15", "block-device-mapping", blockDevices(in.BlockDevices)),
		at("1.0", "hostname", hostname),
		at("2008-09-01", "instance-action", value("none")),
		at("1.0", "instance-id", value(instanceID(in))),
		at("2007-08-29", "instance-type", optional(in.InstanceType)),
		at("2007-01-19", "local-hostname", hostname),
		at("1.0", "local-ipv4", localIPv4(in)),
		at("2008-02-01", "placement", placement(in)),
		at("2007-01-19", "public-hostname", hostname),
		at("2007-01-19", "public-ipv4", value("")),
		at("1.0", "public-keys", publicKeys(keys)),
		at("1.0", "reservation-id", value(reservationID(in))),
		at("1.0", "security-groups", securityGroups(in.SecurityGroups)),
	}, nil
}

// known are the leaves that a version has and that are there.
func known(leaves []leaf, v string) []document.Entry {
	var entries []document.Entry
	for _, l := range leaves {
		if l.since <= v && l.Node != nil {
			entries = append(entries, l.Entry)
		}
	}
	return entries
}

// value is a document of one line, without a line break at its end: clients take it as it is.
func value(text string) *document.Node {
	return document.File(document.Text(dialect.OneLine(text)))
}

// optional is a value, or nothing for an empty one.
func optional(text string) *document.Node {
	if dialect.OneLine(text) == "" {
		return nil
	}
	return value(text)
}

// localIPv4 is the first IPv4 address of the instance's adapters, in their order.
func localIPv4(in *instance.Instance) *document.Node {
	for _, a := range in.Adapters {
		if addr := a.IPv4.Address.Addr(); addr.Is4() {
			return value(addr.String())
		}
	}
	return nil
}

func placement(in *instance.Instance) *document.Node {
	zone := optional(in.AvailabilityZone)
	if zone == nil {
		return nil
	}
	return directory(document.Entry{Name: "availability-zone", Node: zone})
}

// publicKeys has a directory per key, named by its number; the listing gives the names beside.
func publicKeys(keys []instance.Key) *document.Node {
	if len(keys) == 0 {
		return nil
	}
	var lines []string
	var entries []document.Entry
	for i, k := range keys {
		number := strconv.Itoa(i)
		lines = append(lines, number+"="+k.Name)
		entries = append(entries, document.Entry{
			Name: number,
			Node: directory(document.Entry{Name: "openssh-key", Node: value(k.Data)}),
		})
	}
	return document.Directory(document.Text(strings.Join(lines, "\n")), entries...)
}

func securityGroups(groups []string) *document.Node {
	var lines []string
	for _, g := range groups {
		if g = dialect.OneLine(g); g != "" {
			lines = append(lines, g)
		}
	}
	if lines == nil {
		return nil
	}
	return document.File(document.Text(strings.Join(lines, "\n")))
}

// blockDevices maps EC2's names of disks to the guest's. Names that a listing cannot carry are left out,
// and so is a second disk of one name: one line that cannot be fetched costs a guest the whole tree.
func blockDevices(disks []instance.BlockDevice) *document.Node {
	var entries []document.Entry
	seen := make(map[string]bool)
	for _, b := range disks {
		if !isListable(b.Name) || b.Device == "" || seen[b.Name] {
			continue
		}
		seen[b.Name] = true
		device := b.Device
		if b.Name == "ami" {
			device = strings.TrimPrefix(device, "/dev/") // as EC2 and Nova spell this one
		}
		entries = append(entries, document.Entry{Name: b.Name, Node: value(device)})
	}
	if entries == nil {
		return nil
	}
	slices.SortFunc(entries, func(a, b document.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return directory(entries...)
}

// isListable tells whether a name can be a line of a listing and an element of a path.
func isListable(name string) bool {
	return document.ValidName(name) && dialect.OneLine(name) == name && !strings.Contains(name, "=")
}
