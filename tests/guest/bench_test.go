// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lf-edge/eve-metadata/tests/guest/image"
	"github.com/lf-edge/eve-metadata/tests/guest/report"
	"github.com/lf-edge/eve-metadata/tests/program"
	"github.com/lf-edge/eve-metadata/tests/tool"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// BenchmarkDatasource is how long cloud-init searches for its datasource, and reads it, in the first boot of the same guest:
// on our drive, on a drive that genisoimage has made of the same files, over HTTP in OpenStack's words. The time is the
// guest's own, out of its log. One guest runs at a time.
func BenchmarkDatasource(b *testing.B) {
	needGuests(b)
	binary := program.Build(b)
	for _, bb := range []struct {
		name   string
		app    fields
		launch func(*scene, []string) []string
	}{
		{"drive", fields{"metadataType": "drive"}, nil},
		{"openstack", fields{"metadataType": "openstack"}, nil},
		{"peer=genisoimage", fields{"metadataType": "drive"}, (*scene).onPlainISO},
	} {
		b.Run(bb.name, func(b *testing.B) {
			var all time.Duration
			for range b.N {
				s := newScene(b, binary)
				s.network(blue)
				s.app(s.web().merged(bb.app))
				s.Start()
				g := s.guest("web", image.Debian12)
				if bb.launch != nil {
					g.launch = func() ([]string, []*os.File) { return s.openTaps("web", bb.launch(s, s.launch("web"))) }
				}
				if state := g.boot(); state.Status != "done" || state.InstanceID != webUUID+"/1" {
					b.Fatalf("the guest has become %+v", state)
				}
				took, err := report.Search(g.report)
				if err != nil {
					b.Fatal(err)
				}
				all += took
				g.stop()
			}
			b.ReportMetric(float64(all.Nanoseconds())/float64(b.N), "ns/op")
		})
	}
}

// onPlainISO has a guest find a drive that genisoimage has made of the files on web's own.
func (s *scene) onPlainISO(args []string) []string {
	s.t.Helper()
	tool.Need(s.t, "genisoimage", "genisoimage")
	tool.Need(s.t, "bsdtar", "libarchive-tools")
	files := s.t.TempDir()
	for _, name := range []string{"meta-data", "user-data", "vendor-data", "network-config"} {
		content, err := s.OnDrive(webUUID, name)
		world.Must(s.t, err, os.WriteFile(filepath.Join(files, name), content, 0o600))
	}
	iso := filepath.Join(s.t.TempDir(), "plain.iso")
	out, err := exec.CommandContext(s.t.Context(), "genisoimage", "-quiet", "-output", iso, "-volid", "cidata", "-joliet", "-rock", files).CombinedOutput()
	if err != nil {
		s.t.Fatalf("genisoimage: %v\n%s", err, out)
	}
	for i, arg := range args {
		if drive, _, ok := strings.Cut(arg, ",file="); ok && strings.Contains(drive, "id=md-drive") {
			args[i] = drive + ",file=" + iso
		}
	}
	return args
}
