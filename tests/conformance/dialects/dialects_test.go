// SPDX-License-Identifier: Apache-2.0

// Package conformance_test lets cloud-init itself read what the dialects render: its parsers, and its
// network renderers for netplan, ifupdown (eni), sysconfig and systemd-networkd. No network is needed;
// testdata/understand.py drives cloud-init's modules, as Debian installs them.
//
// What cloud-init understood of an instance is a golden file, and beside that the tests compare the
// facts that the reading guest must not get wrong with the instance itself.
package conformance_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/cloudstack"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/ec2"
	"github.com/lf-edge/eve-metadata/msrv/dialect/nocloud"
	"github.com/lf-edge/eve-metadata/msrv/dialect/openstack"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

// The golden files are written anew with it (dialecttest.CheckFile).
var _ = flag.Bool("update", false, "write the golden files instead of comparing with them")

// python is Debian's, which has the modules of the package cloud-init.
const python = "/usr/bin/python3"

// understood is what cloud-init made of an instance.
type understood struct {
	InstanceID  string                       `json:"instance-id"`
	Metadata    map[string]any               `json:"metadata"`
	PublicKeys  []string                     `json:"public-keys"`
	UserData    *string                      `json:"userdata"`
	VendorData  *string                      `json:"vendordata"`
	VendorData2 *string                      `json:"vendordata2"`
	Files       map[string]string            `json:"files"`
	Network     map[string]map[string]string `json:"network"` // renderer, file
}

// reader is one of cloud-init's readers with the dialect that feeds it.
type reader struct {
	name string
	tree func(*instance.Instance) (*document.Node, error)
}

func readers() []reader {
	return []reader{
		{"openstack", openstack.Dialect().At(dialect.Metadata).Render},
		{"ec2", ec2.Dialect().At(dialect.Metadata).Render},
		{"nocloud", nocloud.Dialect().Drive.Render},
		{"nocloud-v1", nocloudV1},
		{"cloudstack", cloudstack.Dialect().At(dialect.Router).Render},
		{"configdrive", configDrive},
	}
}

// dialects are all that there are.
func dialects() []dialect.Dialect {
	return []dialect.Dialect{openstack.Dialect(), ec2.Dialect(), nocloud.Dialect(), cloudstack.Dialect()}
}

// nocloudV1 is the seed with a network configuration in version 1.
func nocloudV1(in *instance.Instance) (*document.Node, error) {
	tree, err := nocloud.Dialect().At(dialect.Metadata).Render(in)
	if err != nil {
		return nil, err
	}
	return tree.Lookup("nocloud/v1"), nil
}

// configDrive is what all dialects together put on an instance's config drive.
func configDrive(in *instance.Instance) (*document.Node, error) {
	wanted := *in
	wanted.Drive = instance.DriveConfig
	_, tree, err := msrv.RenderDrive(dialects(), &wanted)
	return tree, err
}

func TestCloudInitUnderstands(t *testing.T) {
	t.Parallel()
	tool.Need(t, tool.Cloudinit, "cloud-init")
	for _, r := range readers() {
		for _, c := range dialecttest.Cases() {
			t.Run(r.name+"/"+c.Name, func(t *testing.T) {
				t.Parallel()
				in := c.Make()
				raw, got := understand(t, r, in)
				if c.Name != "hostile" { // nothing of it is worth reading; that it is read at all is the test
					dialecttest.CheckFile(t, filepath.Join("testdata", r.name+"-"+c.Name+".golden"), goldenText(raw, got))
				}
				checkFacts(t, r.name, in, got)
			})
		}
	}
}

// checkFacts compares what was understood with the instance.
func checkFacts(t *testing.T, reader string, in *instance.Instance, got understood) {
	t.Helper()
	switch reader {
	case "ec2":
		if !strings.HasPrefix(got.InstanceID, "i-") {
			t.Errorf("instance id %q does not start with i-", got.InstanceID)
		}
	case "cloudstack": // has a line for it
		if want := dialect.OneLine(in.ID()); got.InstanceID != want {
			t.Errorf("instance id %q, want %q", got.InstanceID, want)
		}
	default:
		if got.InstanceID != wantID(in) {
			t.Errorf("instance id %q, want %q", got.InstanceID, wantID(in))
		}
	}
	const hostnameKey = "local-hostname"
	if got.Metadata[hostnameKey] != in.FQDN() {
		t.Errorf("hostname %q, want %q", got.Metadata[hostnameKey], in.FQDN())
	}
	if len(in.UserData) > 0 && (got.UserData == nil || *got.UserData != latin1(in.UserData)) {
		t.Error("user data is not what it was, byte for byte")
	}
	for _, k := range in.Keys {
		if strings.Count(k.Data, "\n") == 0 && k.Data != "" && !slices.Contains(got.PublicKeys, k.Data) {
			t.Errorf("key %q is missing in %q", k.Data, got.PublicKeys)
		}
	}
}

// wantID is the identity as JSON can carry it.
func wantID(in *instance.Instance) string { return string([]rune(in.ID())) }

// latin1 is a text with a character for each byte.
func latin1(b []byte) string {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}

// understand renders an instance and lets cloud-init read it.
func understand(t *testing.T, r reader, in *instance.Instance) (json.RawMessage, understood) {
	t.Helper()
	root, err := r.tree(in)
	if err != nil {
		t.Fatal(err)
	}
	request, err := json.Marshal(map[string]any{"reader": r.name, "tree": bodies(t, r, root), "nics": nics(in)})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-B", filepath.Join("testdata", "understand.py"))
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(request), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("cloud-init cannot read it: %v\n%s", err, stderr.String())
	}
	var got understood
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatalf("%v\n%s", err, stdout.String())
	}
	return stdout.Bytes(), got
}

// bodies are the documents by path; listings only for the clients that read them. Faulty documents are
// answered with an error, which for optional ones means to the client that there is none.
func bodies(t *testing.T, r reader, root *document.Node) map[string][]byte {
	t.Helper()
	out := make(map[string][]byte)
	err := root.Walk(func(path string, n *document.Node) error {
		if n.IsDirectory() && r.name != "ec2" && r.name != "cloudstack" || n.Document().Fault() != "" {
			return nil
		}
		out[path] = append([]byte{}, n.Document().Body()...) // never null in JSON
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// nics are the cards that the guest has: eth0 and so on, by MAC.
func nics(in *instance.Instance) map[string]string {
	names := make(map[string]string)
	for i, a := range in.Adapters {
		mac := a.MAC.String()
		if _, twice := names[mac]; a.Kind == instance.Card && mac != "" && !twice {
			names[mac] = fmt.Sprintf("eth%d", i)
		}
	}
	return names
}

// goldenText is what was understood, the rendered files as they would lie in the guest.
func goldenText(raw json.RawMessage, got understood) string {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return err.Error()
	}
	delete(all, "network")
	head, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", head)
	for _, renderer := range slices.Sorted(maps.Keys(got.Network)) {
		for _, file := range slices.Sorted(maps.Keys(got.Network[renderer])) {
			fmt.Fprintf(&b, "\n--- %s: %s ---\n%s", renderer, file, got.Network[renderer][file])
		}
	}
	return b.String()
}

// TestNetworkAgrees holds that OpenStack's and NoCloud's words for one network configuration mean the
// same to a guest, as far as addresses and routes go: for cards, and in NoCloud's version 1, which is the
// one that is rendered whole, for bonds and VLANs too.
func TestNetworkAgrees(t *testing.T) {
	t.Parallel()
	tool.Need(t, tool.Cloudinit, "cloud-init")
	in := dialecttest.Rich()
	const renderer = "networkd"
	want := facts(networks(t, "openstack")[renderer])
	if all := dialect.NICs(in); len(want) != len(all) {
		t.Fatalf("networkd has files for %d adapters of %d", len(want), len(all))
	}
	if diff := cmp.Diff(want, facts(networks(t, "nocloud-v1")[renderer])); diff != "" {
		t.Errorf("networkd (-openstack +nocloud-v1):\n%s", diff)
	}
	got := facts(networks(t, "nocloud")[renderer])
	for _, card := range nics(in) {
		file := "10-cloud-init-" + card + ".network"
		if diff := cmp.Diff(want[file], got[file]); diff != "" {
			t.Errorf("%s (-openstack +nocloud):\n%s", file, diff)
		}
	}
}

// networks is what cloud-init makes of Rich's network, read by one of the readers.
func networks(t *testing.T, reader string) map[string]map[string]string {
	t.Helper()
	for _, r := range readers() {
		if r.name == reader {
			_, got := understand(t, r, dialecttest.Rich())
			return got.Network
		}
	}
	t.Fatalf("no reader %s", reader)
	return nil
}

// TestDefaultRoutes holds that a guest with fixed addresses finds its routers in both families, whatever
// renders for it: cloud-init 22.4 turns some spellings into a route to ::/64, and fails on others.
func TestDefaultRoutes(t *testing.T) {
	t.Parallel()
	tool.Need(t, tool.Cloudinit, "cloud-init")
	sysconfig := []string{"\nGATEWAY=10.11.12.1\n", "\nIPV6_DEFAULTGW=fd00:12::1\n"}
	want := map[string]map[string][]string{
		"openstack": {
			"eni":       {"post-up route add default gw 10.11.12.1 ", "post-up route add -A inet6 default gw fd00:12::1 "},
			"netplan":   {"to: 0.0.0.0/0\n                via: 10.11.12.1\n", "to: ::/0\n                via: fd00:12::1\n"},
			"networkd":  {"Destination=0.0.0.0/0\n\nGateway=10.11.12.1\n", "Destination=::/0\n\nGateway=fd00:12::1\n"},
			"sysconfig": sysconfig,
		},
		"nocloud": {
			"eni":       {"post-up route add default gw 10.11.12.1 ", "\n    gateway fd00:12::1\n"},
			"netplan":   {"to: 0.0.0.0/0\n                via: 10.11.12.1\n", "gateway6: fd00:12::1\n"},
			"networkd":  {"Destination=0.0.0.0/0\n\nGateway=10.11.12.1\n", "[Route]\nGateway=fd00:12::1\n"},
			"sysconfig": sysconfig,
		},
	}
	for _, r := range readers() {
		for renderer, lines := range want[r.name] {
			t.Run(r.name+"/"+renderer, func(t *testing.T) {
				t.Parallel()
				_, got := understand(t, r, dialecttest.Rich())
				var all strings.Builder
				for _, file := range slices.Sorted(maps.Keys(got.Network[renderer])) {
					all.WriteString(got.Network[renderer][file])
				}
				for _, line := range append(lines, "10.11.12.6", "fd00:12::6") {
					if !strings.Contains(all.String(), line) {
						t.Errorf("%q is missing in\n%s", line, all.String())
					}
				}
			})
		}
	}
}

// facts are the addresses, gateways and destinations in networkd's files, sorted, by the names that the
// guest's kernel gave the cards. A route to everywhere is one with that destination or with none. A VLAN
// that has the address of what it is on need not be told so.
func facts(files map[string]string) map[string][]string {
	out := make(map[string][]string)
	for path, text := range files {
		name := strings.Replace(filepath.Base(path), "nic", "eth", 1)
		isVLAN := strings.Count(name, ".") > 1
		for line := range strings.SplitSeq(text, "\n") {
			key, _, _ := strings.Cut(line, "=")
			if line == "Destination=0.0.0.0/0" || line == "Destination=::/0" || isVLAN && key == "MACAddress" {
				continue
			}
			if slices.Contains([]string{"Address", "Gateway", "Destination", "DHCP", "MTUBytes", "MACAddress"}, key) {
				out[name] = append(out[name], line)
			}
		}
		slices.Sort(out[name])
		out[name] = slices.Compact(out[name])
	}
	return out
}

// TestDialectsOverlay holds that the trees of all dialects fit over one another, as the server lays
// them at each site and on the drive, and that each is whole in the result.
func TestDialectsOverlay(t *testing.T) {
	t.Parallel()
	for _, c := range dialecttest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			in := c.Make()
			in.HTTP = true
			sites, err := msrv.RenderHTTP(dialects(), in)
			if err != nil {
				t.Fatal(err)
			}
			drive, err := configDrive(in)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range dialects() {
				for _, s := range d.HTTP {
					checkWhole(t, sites[s.Site], s.Render, in)
				}
				if slices.Contains(d.Drive.Kinds, instance.DriveConfig) {
					checkWhole(t, drive, d.Drive.Render, in)
				}
			}
		})
	}
}

// checkWhole looks for all that a dialect renders in what it was laid together with.
func checkWhole(t *testing.T, all *document.Node, render func(*instance.Instance) (*document.Node, error), in *instance.Instance) {
	t.Helper()
	if render == nil {
		return
	}
	tree, err := render(in)
	if err != nil {
		t.Fatal(err)
	}
	err = tree.Walk(func(path string, n *document.Node) error {
		if got := all.Lookup(path); got == nil || !bytes.Equal(got.Document().Body(), n.Document().Body()) {
			return fmt.Errorf("/%s is not what its dialect rendered", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
