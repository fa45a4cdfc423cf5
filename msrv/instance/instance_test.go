// SPDX-License-Identifier: Apache-2.0

package instance_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/instance"
)

func TestOpaqueIsNeverPrinted(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	in := instance.Instance{
		Name:        "app",
		UUID:        "0a",
		UserData:    instance.Opaque(secret),
		VendorData:  instance.Opaque(secret),
		VendorData2: instance.Opaque(secret),
		RandomSeed:  instance.Opaque(secret),
		Files:       []instance.File{{Path: "/f", Content: instance.Opaque(secret)}},
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for what, v := range map[string]any{
			"opaque": in.UserData, "file": in.Files[0], "files": in.Files, "pointer": &in, "value": in,
		} {
			text := fmt.Sprintf(verb, v)
			if strings.Contains(text, secret) || strings.Contains(text, "0x68, 0x75") || strings.Contains(text, "104 117") {
				t.Errorf("%s of %s shows the content: %s", verb, what, text)
			}
		}
	}
	if got, want := in.UserData.String(), "(7 bytes)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFQDN(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, hostname, domain, want string }{
		{"with a domain", "web", "example.com", "web.example.com"},
		{"without a domain", "web", "", "web"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := instance.Instance{Hostname: tt.hostname, Domain: tt.domain}
			if diff := cmp.Diff(tt.want, in.FQDN()); diff != "" {
				t.Errorf("FQDN (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIDChangesWithVersion(t *testing.T) {
	t.Parallel()
	a := instance.Instance{UUID: "2f6d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c01", Version: "1"}
	b := a
	b.Version = "2"
	if got, want := a.ID(), "2f6d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c01/1"; got != want {
		t.Errorf("id %q, want %q", got, want)
	}
	if a.ID() == b.ID() {
		t.Errorf("two versions have one id %q", a.ID())
	}
	if a.ID() == a.UUID {
		t.Error("the id is the UUID that the firmware shows")
	}
}

func TestInstanceString(t *testing.T) {
	t.Parallel()
	in := &instance.Instance{Name: "web", UUID: "0a"}
	if got, want := in.String(), "web (0a)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDriveKindString(t *testing.T) {
	t.Parallel()
	want := map[instance.DriveKind]string{
		instance.DriveNone:             "none",
		instance.DriveNoCloud:          "nocloud",
		instance.DriveNoCloudMultipart: "nocloud-multipart",
		instance.DriveConfig:           "configdrive",
		99:                             "drive kind 99",
	}
	got := make(map[instance.DriveKind]string)
	for k := range want {
		got[k] = k.String()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}
