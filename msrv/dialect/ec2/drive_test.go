// SPDX-License-Identifier: Apache-2.0

package ec2_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/ec2"
	"github.com/lf-edge/eve-metadata/msrv/document"
)

// TestDriveSaysTheSame holds that the JSON on the drive says what a guest reads over HTTP, no more and no
// less.
func TestDriveSaysTheSame(t *testing.T) {
	t.Parallel()
	for _, c := range dialecttest.Cases() {
		in := c.Make()
		drive, err := ec2.Dialect().Drive.Render(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, version := range []string{"2009-04-04", "latest"} {
			var got any
			if err := json.Unmarshal(drive.Lookup("ec2/"+version+"/meta-data.json").Document().Body(), &got); err != nil {
				t.Fatal(err)
			}
			want := crawl(render(t, in).Lookup(version + "/meta-data"))
			if diff := cmp.Diff(want, asTexts(got)); diff != "" {
				t.Errorf("%s, %s (-http +drive):\n%s", c.Name, version, diff)
			}
		}
	}
}

// crawl is a directory as a map and a file as its text.
func crawl(n *document.Node) any {
	if !n.IsDirectory() {
		return string(n.Document().Body())
	}
	object := make(map[string]any)
	for _, e := range n.Entries() {
		object[e.Name] = crawl(e.Node)
	}
	return object
}

// asTexts is a JSON value as crawl has it.
func asTexts(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = asTexts(v[name])
		}
	case []any:
		lines := make([]string, len(v))
		for i := range v {
			lines[i], _ = v[i].(string)
		}
		return strings.Join(lines, "\n")
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return v
}

// TestDriveTypes holds the types that Nova's JSON has.
func TestDriveTypes(t *testing.T) {
	t.Parallel()
	drive, err := ec2.Dialect().Drive.Render(dialecttest.Rich())
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Index  int                          `json:"ami-launch-index"`
		Groups []string                     `json:"security-groups"`
		Keys   map[string]map[string]string `json:"public-keys"`
		Disks  map[string]string            `json:"block-device-mapping"`
		Public *string                      `json:"public-ipv4"`
	}
	if err := json.Unmarshal(drive.Lookup("ec2/2009-04-04/meta-data.json").Document().Body(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Index != 2 || len(got.Groups) != 2 || len(got.Keys) != 2 || got.Disks["ami"] != "vda" || got.Public == nil {
		t.Errorf("metadata %+v", got)
	}
	if len(got.Keys["1"]) != 1 || got.Keys["1"]["openssh-key"] == "" {
		t.Errorf("a key has more than itself: %v", got.Keys["1"])
	}
}

func TestDriveError(t *testing.T) {
	t.Parallel()
	in := dialecttest.Small()
	in.UserDataFault = "no key"
	_, err := ec2.Dialect().Drive.Render(in)
	if err == nil || !strings.Contains(err.Error(), in.UUID) || !strings.Contains(err.Error(), "no key") {
		t.Errorf("error %v does not name the instance and the fault", err)
	}
}

// TestFirmware holds what cloud-init looks for: "ec2" at the start of the UUID, and the serial number the
// same, both in lower case.
func TestFirmware(t *testing.T) {
	t.Parallel()
	const id = "ec2d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c01"
	if diff := cmp.Diff(dialect.Firmware{UUID: id, Serial: id}, ec2.Dialect().Firmware(dialecttest.Small())); diff != "" {
		t.Errorf("firmware (-want +got):\n%s", diff)
	}
}
