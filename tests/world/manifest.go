// SPDX-License-Identifier: Apache-2.0

package world

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// NetYAML is an app network.
func NetYAML(name, subnet string) string {
	return fmt.Sprintf("kind: network\nname: %s\nsubnet: %s\n", name, subnet)
}

// AppYAML is a container with one adapter and user data that says whose it is. A line of more replaces
// what is there of that name.
func AppYAML(name, network, address string, more ...string) string {
	fields := map[string]string{
		"name": name, "uuid": UUIDOf(name), "runtime": "container", "metadataType": "openstack",
		"adapters": fmt.Sprintf("[{name: eth0, network: %s, ipv4: %q}]", network, address),
		"userData": "I am " + name,
	}
	for _, line := range more {
		key, value, _ := strings.Cut(line, ": ")
		fields[key] = value
	}
	if _, other := fields["userDataFile"]; other {
		delete(fields, "userData")
	}
	var text strings.Builder
	text.WriteString("kind: app\n")
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		fmt.Fprintf(&text, "%s: %s\n", key, fields[key])
	}
	return text.String()
}

// UUIDOf is the UUID of an app of that name.
func UUIDOf(name string) string { return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)).String() }
