// SPDX-License-Identifier: Apache-2.0

package launch_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/launch"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// The golden files are written anew with it (dialecttest.CheckFile).
var _ = flag.Bool("update", false, "write the golden files instead of comparing with them")

// says is a dialect that a firmware points to with what f is.
func says(name string, f dialect.Firmware) dialect.Dialect {
	return dialect.Dialect{Name: name, Firmware: func(*instance.Instance) dialect.Firmware { return f }}
}

// dialects use each string of a firmware.
func dialects() []dialect.Dialect {
	return []dialect.Dialect{
		says("openstack", dialect.Firmware{Product: "OpenStack Compute"}),
		says("ec2", dialect.Firmware{UUID: "ec2d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c02", Serial: "ec2d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c02"}),
		says("nocloud", dialect.Firmware{Serial: "ds=nocloud;dsmode=net;s=http://169.254.169.254/nocloud/"}),
		says("tagged", dialect.Firmware{Product: `A "B", <C> & D`, AssetTag: "HUAWEICLOUD"}),
		{Name: "mute"},
	}
}

// drivePath has what would end a value where it is not escaped.
const drivePath = `/run/md, "&'/2f6d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c02.iso`

func TestOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, datasource, path string }{
		{"drive", "", drivePath},
		{"openstack", "openstack", ""},
		{"ec2", "ec2", drivePath},
		{"nocloud", "nocloud", ""},
		{"tagged", "tagged", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := dialecttest.Rich()
			in.Datasource = tt.datasource
			in.Adapters[1].Port = "nbrich,1"
			got := launch.Of(dialects(), in, tt.path)
			if got.Datasource != tt.name || got.Drive != tt.path || got.UUIDandVersion.UUID.String() != in.UUID || got.DisplayName != in.Name {
				t.Errorf("launch is of %s, with drive %q: %+v", got.Datasource, got.Drive, got.UUIDandVersion)
			}
			dialecttest.CheckFile(t, filepath.Join("testdata", tt.name+".golden"), strings.Join(got.QEMU, "\n")+"\n\n"+got.Libvirt+"\n")
		})
	}
}

func TestDatasource(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, wanted, path string
		http               bool
		dialects           []dialect.Dialect
		want               string
	}{
		{"nothing said, no drive", "", "", true, dialects(), "openstack"},
		{"nothing said, a drive", "", "/d.iso", true, dialects(), "drive"},
		{"one that is known", "ec2", "/d.iso", true, dialects(), "ec2"},
		{"one that nobody knows", "klingon", "", true, dialects(), "openstack"},
		{"one that nobody knows, a drive", "klingon", "/d.iso", true, dialects(), "drive"},
		{"one that no firmware points to", "mute", "", true, dialects(), "openstack"},
		{"the drive, and there is none", "drive", "", true, dialects(), "openstack"},
		{"not to ask", "ec2", "", false, dialects(), ""},
		{"not to ask, a drive", "ec2", "/d.iso", false, dialects(), "drive"},
		{"no OpenStack", "", "", true, dialects()[1:], ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := dialecttest.Small()
			in.HTTP, in.Datasource = tt.http, tt.wanted
			got := launch.Of(tt.dialects, in, tt.path)
			if got.Datasource != tt.want {
				t.Errorf("datasource %q, want %q", got.Datasource, tt.want)
			}
			if !tt.http && len(got.Firmware) > 0 {
				t.Errorf("firmware %v for a guest that may not ask", got.Firmware)
			}
		})
	}
}

// TestUnreadable holds that an instance whose drive is missing since its user data cannot be read is not sent elsewhere,
// unless somebody said so; what was to be asked over HTTP is.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, wanted string
		drive        instance.DriveKind
		want         string
	}{
		{"a drive", "", instance.DriveNoCloud, ""},
		{"a config drive", "drive", instance.DriveConfig, ""},
		{"a drive, and said to ask", "ec2", instance.DriveNoCloud, "ec2"},
		{"no drive", "", instance.DriveNone, "openstack"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := dialecttest.Small()
			in.HTTP, in.Datasource, in.Drive, in.UserDataFault = true, tt.wanted, tt.drive, "it does not decrypt"
			if got := launch.Of(dialects(), in, "").Datasource; got != tt.want {
				t.Errorf("datasource %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFirmware(t *testing.T) {
	t.Parallel()
	got := launch.Of(dialects(), dialecttest.Small(), "").Firmware
	want := map[string]eve.LaunchFirmware{
		"openstack": {Product: "OpenStack Compute"},
		"ec2":       {UUID: "ec2d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c02", Serial: "ec2d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c02"},
		"nocloud":   {Serial: "ds=nocloud;dsmode=net;s=http://169.254.169.254/nocloud/"},
		"tagged":    {Product: `A "B", <C> & D`, AssetTag: "HUAWEICLOUD"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("firmware (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"drive", "openstack", "ec2", "nocloud", "tagged"}, launch.Datasources(dialects())); diff != "" {
		t.Errorf("datasources (-want +got):\n%s", diff)
	}
}

// FuzzOf holds that no text of a firmware, a path or a tap's name gets out of its place: there are as many
// arguments and as many elements as for plain texts, and each text is read back as it was.
func FuzzOf(f *testing.F) {
	for _, text := range []string{"plain", ",", ",,", "a,b=c", "x\n-device evil", `"'<&>]]>--`, "</entry><entry name='uuid'>", "a\x00b", "\xff", "é\u2028", " "} {
		f.Add(text, text, text)
	}
	f.Fuzz(func(t *testing.T, text, path, tap string) {
		in := &instance.Instance{UUID: "2f6d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c02", HTTP: true, Adapters: []instance.Adapter{
			{Port: "tap" + tap, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}},
		}}
		firmware := dialect.Firmware{Product: "P" + text, Serial: "S" + text, AssetTag: "A" + text}
		got := launch.Of([]dialect.Dialect{says("openstack", firmware)}, in, "")
		checkQEMU(t, got.QEMU, []string{"P" + text, "S" + text, "A" + text, "tap" + tap})
		checkXML(t, got.Libvirt, []string{"P" + text, "S" + text, "A" + text, "tap" + tap})
		got = launch.Of(nil, in, "/"+path)
		checkQEMU(t, got.QEMU, []string{"/" + path, "tap" + tap})
		checkXML(t, got.Libvirt, []string{"/" + path, "tap" + tap})
	})
}

// checkQEMU reads arguments as QEMU does, and compares the values of free text with those wanted.
func checkQEMU(t *testing.T, args, want []string) {
	t.Helper()
	var got []string
	for i, arg := range args {
		switch {
		case strings.Contains(arg, "\x00"):
			t.Errorf("argument %q cannot be passed", arg)
		case i%2 == 0 && !slices.Contains([]string{"-uuid", "-smbios", "-device", "-drive", "-netdev"}, arg):
			t.Errorf("argument %q is none of ours", arg)
		case i%2 == 1:
			options := parseOptions(arg)
			for _, key := range []string{"product", "serial", "asset", "file", "ifname"} {
				if text, ok := options[key]; ok {
					got = append(got, text)
					delete(options, key)
				}
			}
			for key := range options {
				if !slices.Contains(strings.Fields("type if id media readonly format bus drive netdev mac script downscript"), key) {
					t.Errorf("option %q in %q is none of ours", key, arg)
				}
			}
		}
	}
	for i := range want {
		want[i], _, _ = strings.Cut(want[i], "\x00")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("texts in QEMU's arguments (-want +got):\n%s", diff)
	}
}

// parseOptions takes "a=b,c=d" apart; two commas are one that belongs to the value.
func parseOptions(arg string) map[string]string {
	const comma = "\x00"
	options := make(map[string]string)
	for option := range strings.SplitSeq(strings.ReplaceAll(arg, ",,", comma), ",") {
		if key, text, ok := strings.Cut(option, "="); ok {
			options[key] = strings.ReplaceAll(text, comma, ",")
		}
	}
	return options
}

// checkXML reads elements as libvirt does, and compares free text with that wanted: what XML cannot hold
// is U+FFFD.
func checkXML(t *testing.T, text string, want []string) {
	t.Helper()
	var got []string
	dec := xml.NewDecoder(strings.NewReader(text))
	var entry bool
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if !slices.Contains(strings.Fields("uuid sysinfo system chassis entry os smbios devices controller disk driver source target readonly interface mac model"), token.Name.Local) {
				t.Errorf("element %q is none of ours", token.Name.Local)
			}
			entry = token.Name.Local == "entry"
			for _, a := range token.Attr {
				if a.Name.Local == "file" || a.Name.Local == "dev" && a.Value != "sda" {
					got = append(got, a.Value)
				}
			}
		case xml.CharData:
			if entry {
				got = append(got, string(token))
			}
		case xml.EndElement:
			entry = false
		}
	}
	for i := range want {
		want[i] = strings.Map(func(r rune) rune {
			if r < ' ' && !strings.ContainsRune("\t\n\r", r) || r == '\ufffe' || r == '\uffff' {
				return '\ufffd'
			}
			return r
		}, want[i]) // and what is no UTF-8 as well
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("texts in libvirt's elements (-want +got):\n%s\n%s", diff, text)
	}
}

// TestPlainest holds that nothing is said where there is nothing to say.
func TestPlainest(t *testing.T) {
	t.Parallel()
	got := launch.Of(nil, dialecttest.Empty(), "")
	want := []string{"-uuid", "2f6d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c00"}
	if diff := cmp.Diff(want, got.QEMU); diff != "" {
		t.Errorf("QEMU (-want +got):\n%s", diff)
	}
	if want := "<uuid>2f6d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c00</uuid>"; got.Libvirt != want {
		t.Errorf("libvirt %q, want %q", got.Libvirt, want)
	}
	if len(got.Firmware) > 0 {
		t.Errorf("firmware %v", got.Firmware)
	}
}

// A container has veths, which are no taps to start a machine with.
func TestContainer(t *testing.T) {
	t.Parallel()
	in := dialecttest.Small()
	if l := launch.Of(dialects(), in, ""); !slices.Contains(l.QEMU, "-netdev") {
		t.Fatalf("a virtual machine has no tap: %q", l.QEMU)
	}
	in.Container = true
	if l := launch.Of(dialects(), in, ""); slices.Contains(l.QEMU, "-netdev") || strings.Contains(l.Libvirt, "interface") {
		t.Errorf("a container has taps: %q\n%s", l.QEMU, l.Libvirt)
	}
}
