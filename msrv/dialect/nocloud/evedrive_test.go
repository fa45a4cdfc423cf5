// SPDX-License-Identifier: Apache-2.0

package nocloud_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/nocloud"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

func TestEVEDrive(t *testing.T) {
	t.Parallel()
	const (
		id        = "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001"
		who       = "instance-id: " + id + "/3\n"
		named     = who + "local-hostname: " + id + "\n"
		multipart = "Content-Type: multipart/mixed; boundary=b\nMIME-Version: 1.0\n\n" +
			"--b\nContent-Disposition: attachment; filename=\"a/hello\"\n\nhi\n--b--\n"
	)
	for _, c := range []struct {
		name     string
		kind     instance.DriveKind
		userData string
		want     map[string]string
	}{
		{"text", instance.DriveNoCloud, "ROLE=collector\n", map[string]string{"meta-data": named, "user-data": "ROLE=collector\n"}},
		{"names the host", instance.DriveNoCloud, "#cloud-config\nhostname: me\n", map[string]string{"meta-data": who, "user-data": "#cloud-config\nhostname: me\n"}},
		{"no cloud-config", instance.DriveNoCloud, "#!/bin/sh\nhostname: me\n", map[string]string{"meta-data": named, "user-data": "#!/bin/sh\nhostname: me\n"}},
		{"binary", instance.DriveNoCloud, "\x1f\x8b\x00\xff", map[string]string{"meta-data": named, "user-data": "\x1f\x8b\x00\xff"}},
		{"junos", instance.DriveNoCloud, "x\n#junos-config\n", map[string]string{"meta-data": named, "juniper.conf": "x\n#junos-config\n"}},
		{"multipart not asked for", instance.DriveNoCloud, multipart, map[string]string{"meta-data": named, "user-data": multipart}},
		{"multipart", instance.DriveNoCloudMultipart, multipart, map[string]string{"a/hello": "hi"}},
		{"not multipart", instance.DriveNoCloudMultipart, "plain", map[string]string{"meta-data": named, "user-data": "plain"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inst := dialecttest.Rich() // all that it has besides is not told
			inst.UUID, inst.Version, inst.Drive, inst.UserData = id, "3", c.kind, instance.Opaque(c.userData)
			tree, err := nocloud.EVEDrive().Render(inst)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, contents(t, tree)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

// A guest that found a drive without its user data would take that for its whole first boot.
func TestEVEDriveFault(t *testing.T) {
	t.Parallel()
	inst := dialecttest.Rich()
	inst.UserData, inst.UserDataFault = nil, "no key"
	if tree, err := nocloud.EVEDrive().Render(inst); tree != nil || err == nil || !strings.Contains(err.Error(), "no key") {
		t.Errorf("tree %v, error %v", tree, err)
	}
}
