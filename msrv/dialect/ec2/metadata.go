// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// maxKeys bounds the keys of one instance: a guest asks for each of them in a request of its own, in
// every boot.
const maxKeys = 1000

// partition is the group of regions that a guest is in: none of AWS's, whose tools may take it for what
// endpoints are made of.
const partition = "eve"

// metadata is the directory meta-data, its entries in the order of their names and dated as Nova and EC2
// do. What is not known of an instance is not there. An error is about keys beyond maxKeys.
func metadata(in *instance.Instance) (entry, error) {
	keys := dialect.Keys(in)
	if len(keys) > maxKeys {
		return entry{}, fmt.Errorf("%d SSH keys are more than the limit of %d", len(keys), maxKeys)
	}
	cards := cards(in)
	return directory("", "meta-data",
		text("1.0", "ami-id", imageID(in)),
		number("1.0", "ami-launch-index", in.LaunchIndex),
		text("1.0", "ami-manifest-path", "(unknown)"),
		blockDevices(in.BlockDevices),
		text("1.0", "hostname", in.FQDN()),
		text("2008-09-01", "instance-action", "none"),
		text("1.0", "instance-id", instanceID(in)),
		text("2007-08-29", "instance-type", in.InstanceType),
		text("2021-01-03", "ipv6", dialect.FirstIPv6(in)),
		text("2007-01-19", "local-hostname", in.FQDN()),
		text("1.0", "local-ipv4", dialect.FirstIPv4(in)),
		mac(cards),
		network(in, cards),
		directory("2008-02-01", "placement",
			text("", "availability-zone", in.AvailabilityZone),
			text("2020-08-24", "region", in.Region),
		),
		text("2007-01-19", "public-hostname", in.FQDN()),
		line("2007-01-19", "public-ipv4", ""),
		publicKeys(keys),
		text("1.0", "reservation-id", reservationID(in)),
		list("1.0", "security-groups", in.SecurityGroups...),
		directory("2014-02-25", "services",
			text("", "domain", in.Domain),
			text("2015-10-20", "partition", partition),
		),
		directory("2021-03-23", "tags", tags(in.Tags)),
	), nil
}

// publicKeys has a directory per key, named by its number; the listing gives the names beside.
func publicKeys(keys []instance.Key) entry {
	var numbers []entry
	for i, k := range keys {
		e := directory("", strconv.Itoa(i), text("", "openssh-key", k.Data))
		e.line = e.name + "=" + k.Name
		numbers = append(numbers, e)
	}
	return directory("1.0", "public-keys", numbers...)
}

// blockDevices maps EC2's names of disks to the guest's. Names that a listing cannot carry are left out,
// and so is a second disk of one name: one line that cannot be fetched costs a guest the whole tree.
func blockDevices(disks []instance.BlockDevice) entry {
	var roles []entry
	seen := make(map[string]bool)
	for _, b := range disks {
		if !isListable(b.Name) || seen[b.Name] {
			continue
		}
		device := b.Device
		if b.Name == "ami" {
			device = strings.TrimPrefix(device, "/dev/") // as EC2 and Nova spell this one
		}
		if e := text("", b.Name, device); e.file != nil {
			seen[b.Name] = true
			roles = append(roles, e)
		}
	}
	return directory("2007-12-15", "block-device-mapping", sorted(roles)...)
}

// tagAlphabet is what EC2 has in the names of tags that it gives to guests, but for '='.
const tagAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-.,_:@"

// tags has a file per tag. Names that EC2 would not give to guests are left out. What a tag says is the
// owner's: where that is JSON, cloud-init may well read it so.
func tags(in map[string]string) entry {
	var names []entry
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if isListable(name) && name != "_index" && strings.Trim(name, tagAlphabet) == "" {
			names = append(names, line("", name, dialect.OneLine(in[name])))
		}
	}
	return directory("", "instance", names...)
}

// sorted are entries in the order of their names.
func sorted(entries []entry) []entry {
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	return entries
}
