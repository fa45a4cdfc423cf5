// SPDX-License-Identifier: Apache-2.0

package cloudstack

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// The names that stand beside those of the metadata in the older place.
const (
	userDataName = "user-data"
	metaDataName = "meta-data"
)

// value is one file of the metadata: one line, or for keys one per key, without a line break at the end.
type value struct {
	name, text string
	// needed: the file is there over HTTP even when there is nothing to say. Clients fail without it.
	needed bool
	// variable: the name is not CloudStack's but the operator's.
	variable bool
}

// values are all files in CloudStack's order, the operator's variables behind. A text is "" where the
// instance has none. cloudbase-init looks for the service by service-offering, and cloud-init ends with a
// KeyError without availability-zone. What only CloudStack's management server could know is not among
// them: public addresses, the cloud's identifier, the host.
func values(in *instance.Instance) []value {
	return append([]value{
		{name: "service-offering", text: dialect.Word(in.InstanceType), needed: true},
		{name: "availability-zone", text: dialect.Word(in.AvailabilityZone), needed: true},
		{name: "local-ipv4", text: dialect.FirstIPv4(in)},
		{name: "local-hostname", text: dialect.Word(in.FQDN())},
		{name: "instance-id", text: dialect.Word(in.ID())},
		{name: "vm-id", text: in.UUID},
		{name: "public-keys", text: publicKeys(in)},
	}, variables(in.Tags)...)
}

// publicKeys is a file as authorized_keys is.
func publicKeys(in *instance.Instance) string {
	var lines []string
	for _, k := range dialect.Keys(in) {
		lines = append(lines, k.Data)
	}
	return strings.Join(lines, "\n")
}

// variables are the instance's tags, by name: what CloudStack calls the variables of the user data. Those
// whose names cannot stand for themselves everywhere are left out.
func variables(tags map[string]string) []value {
	var found []value
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		if variableName.MatchString(name) && !isReserved(name) {
			found = append(found, value{name: name, text: dialect.OneLine(tags[name]), variable: true})
		}
	}
	return found
}

// variableName is a name that is the same in a listing, in a URL and, with ".txt" behind it, on a drive,
// where names have 64 characters (Joliet).
var variableName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$`)

// isReserved tells whether a name is one of CloudStack's, also one that is not served here: a tag must not
// pass for it. Windows takes no notice of case, and a drive has names with '_' too.
func isReserved(name string) bool {
	return slices.Contains([]string{
		userDataName, metaDataName,
		"service-offering", "availability-zone", "local-ipv4", "local-hostname", "public-ipv4", "public-hostname",
		"instance-id", "vm-id", "public-keys", "cloud-identifier", "hypervisor-host-name",
		"cloud-domain", "cloud-domain-id", "cloud-name",
	}, strings.ReplaceAll(strings.ToLower(name), "_", "-"))
}
