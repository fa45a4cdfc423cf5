// SPDX-License-Identifier: Apache-2.0

package clients_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/tests/tool"
)

// testPrograms has the clients that Debian packages read the guest full, through a network without a
// policy for tokens and through one that requires them.
func (w *world) testPrograms(t *testing.T) {
	for _, name := range []string{"full eth0", "full eth1"} {
		g := w.guests[name]
		for program, test := range map[string]func(*testing.T, *guest){
			"ec2metadata": testEC2Metadata, "ec2-metadata": testAmazon, "facter": testFacter, "ohai": testOhai,
			"botocore": testBotocore,
		} {
			t.Run(program+" "+name, func(t *testing.T) {
				t.Parallel()
				test(t, g)
			})
		}
	}
	t.Run("boto", func(t *testing.T) { // which knows no tokens
		t.Parallel()
		testBoto(t, w.guests["full eth0"])
	})
}

// leaves are what every EC2 client finds of full.
func leaves() map[string]string {
	return map[string]string{
		"ami-launch-index": "2", "availability-zone": "hall-7b", "instance-type": "large", "local-hostname": "full.plant.example.com",
		"local-ipv4": "10.11.12.5", "security-groups": "default\nweb", "ami": "vda", "ephemeral0": "/dev/vdb", "role": "frontend",
		"user-data": "#cloud-config\nwrite_files:\n  - path: /etc/motd\n    content: |\n      I am full.\n",
	}
}

// testEC2Metadata runs Canonical's client (package cloud-guest-utils), which asks for each value by name.
func testEC2Metadata(t *testing.T, g *guest) {
	tool.Need(t, "ec2metadata", "cloud-guest-utils")
	for name, want := range map[string]string{
		"local-ipv4": "10.11.12.5", "public-keys": "['" + key + "', '" + keyBob + "']",
		"availability-zone": "hall-7b", "user-data": leaves()["user-data"],
	} {
		if got := string(g.run(t, "", "ec2metadata", "--"+name)); strings.TrimSuffix(got, "\n") != strings.TrimSuffix(want, "\n") {
			t.Errorf("--%s: %q, want %q", name, got, want)
		}
	}
	// Without a name it asks for everything, and fails over all that is neither there nor a 404.
	if got := string(g.run(t, "", "ec2metadata")); !strings.Contains(got, "instance-id: i-") {
		t.Errorf("everything:\n%s", got)
	}
}

// testAmazon runs Amazon's own client (package amazon-ec2-utils): curl with a token.
func testAmazon(t *testing.T, g *guest) {
	tool.Need(t, "ec2-metadata", "amazon-ec2-utils")
	got := string(g.run(t, "", "ec2-metadata", "--all"))
	for _, want := range []string{
		"ami-launch-index: 2\n", "\t ami: vda\n", "\t ephemeral0: /dev/vdb\n", "instance-id: i-", "local-ipv4: 10.11.12.5\n",
		"placement: hall-7b\n", "keyname:operator\nindex:0\nformat:openssh-key\n", key, keyBob, "security-groups: default\nweb\n",
		"user-data: #cloud-config\n", "\t role: frontend\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

// testFacter runs Puppet's crawler. The fact that it belongs to looks for a hypervisor first.
func testFacter(t *testing.T, g *guest) {
	tool.Need(t, "facter", "facter")
	const program = `puts JSON.generate([:metadata, :userdata].to_h { |what| [what, Facter::Resolvers::Ec2.resolve(what)] })`
	var got struct {
		Metadata map[string]any `json:"metadata"`
		UserData string         `json:"userdata"`
	}
	decode(t, g.run(t, "", "ruby", "-rjson", "-rfacter", "-e", program), &got)
	got.Metadata["user-data"] = got.UserData + "\n" // which it takes away
	compareLeaves(t, got.Metadata)
	if diff := cmp.Diff([]string{key, keyBob}, keysOf(got.Metadata["public-keys"])); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

// testOhai runs Chef's crawler, which takes the newest version that it knows.
func testOhai(t *testing.T, g *guest) {
	tool.Need(t, "ohai", "ohai")
	hints, err := filepath.Abs("testdata/ohai")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	decode(t, g.run(t, fmt.Sprintf("ohai.hints_path = [%q]\n", hints), "ohai", "--config", "/dev/stdin", "ec2"), &got)
	for name, want := range map[string]any{
		"ami_launch_index": "2", "block_device_mapping_ami": "vda", "local_ipv4": "10.11.12.5", "region": "hall-7",
		"public_keys_0_openssh_key": key, "public_keys_1_openssh_key": keyBob, "security_groups": []any{"default", "web"},
		"userdata": leaves()["user-data"],
	} {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	macs, _ := got["network_interfaces_macs"].(map[string]any)
	card, _ := macs[g.status.VifInfo.Mac.String()].(map[string]any)
	if want := g.status.AssignedAddresses.IPv4Addrs[0].Address.String(); card["local_ipv4s"] != want {
		t.Errorf("of the card that asks: %v, want the address %s", card, want)
	}
}

// testBotocore runs the client of the AWS SDK for Python.
func testBotocore(t *testing.T, g *guest) {
	tool.Need(t, "/usr/lib/python3/dist-packages/botocore", "python3-botocore")
	const program = `from botocore.utils import InstanceMetadataRegionFetcher as F; print(F().retrieve_region())`
	// It takes the last letter off the zone.
	if got := string(g.run(t, "", "/usr/bin/python3", "-c", program)); got != "hall-7\n" {
		t.Errorf("region %q", got)
	}
}

// testBoto runs the crawler of the SDK's predecessor, which reads lazily: dumping it reads all.
func testBoto(t *testing.T, g *guest) {
	tool.Need(t, "/usr/lib/python3/dist-packages/boto", "python3-boto")
	const program = `
import json
from boto.utils import get_instance_identity, get_instance_metadata, get_instance_userdata
def plain(v):
    return {k: plain(v[k]) for k in v.keys()} if isinstance(v, dict) else v
json.dump({"metadata": plain(get_instance_metadata(num_retries=1)), "identity": plain(get_instance_identity(num_retries=1)),
    "userdata": get_instance_userdata()}, __import__("sys").stdout)`
	var got struct {
		Metadata map[string]any            `json:"metadata"`
		Identity map[string]map[string]any `json:"identity"`
		UserData string                    `json:"userdata"`
	}
	decode(t, g.run(t, "", "/usr/bin/python3", "-c", program), &got)
	got.Metadata["user-data"] = got.UserData
	compareLeaves(t, got.Metadata)
	if got.Identity["document"]["region"] != "hall-7" {
		t.Errorf("identity %v", got.Identity)
	}
}

func decode(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
}

// compareLeaves looks for all leaves in a tree, wherever they are.
func compareLeaves(t *testing.T, tree map[string]any) {
	t.Helper()
	found := make(map[string]string)
	collectLeaves(tree, found)
	for name, want := range leaves() {
		if found[name] != want {
			t.Errorf("%s is %q, want %q", name, found[name], want)
		}
	}
}

func collectLeaves(tree map[string]any, found map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		switch v := tree[name].(type) {
		case map[string]any:
			if name != "network" { // has some names twice
				collectLeaves(v, found)
			}
		case []any: // what boto makes of several lines
			found[name] = strings.TrimSuffix(strings.Repeat("%v\n", len(v)), "\n")
			found[name] = fmt.Sprintf(found[name], v...)
		case string:
			found[name] = v
		}
	}
}

// keysOf are the SSH keys in a tree: {"0": {"openssh-key": …}, …}.
func keysOf(tree any) []string {
	numbers, _ := tree.(map[string]any)
	var keys []string
	for _, n := range slices.Sorted(maps.Keys(numbers)) {
		formats, _ := numbers[n].(map[string]any)
		data, _ := formats["openssh-key"].(string)
		keys = append(keys, data)
	}
	return keys
}
