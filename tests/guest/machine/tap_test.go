// SPDX-License-Identifier: Apache-2.0

package machine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lf-edge/eve-metadata/tests/guest/machine"
)

func TestTapOf(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{
		"tap,id=md-net0,ifname=nbu1x1,script=no,downscript=no": "nbu1x1",
		"tap,id=md-net0,fd=3":  "",
		"user,ifname=nbu1x1":   "",
		"virtio-net-pci,mac=0": "",
	} {
		if got := machine.TapOf(arg); got != want {
			t.Errorf("tap of %q is %q, want %q", arg, got, want)
		}
	}
}

// TestOpenTapsRefused holds that a tap that is nowhere is named, and that arguments without one stay as they are.
func TestOpenTapsRefused(t *testing.T) {
	t.Parallel()
	nowhere := errors.New("it is in no network")
	_, files, err := machine.OpenTaps([]string{"-netdev", "tap,id=a,ifname=nbu1x1,script=no,downscript=no"}, func(string) (string, error) {
		return "", nowhere
	})
	if !errors.Is(err, nowhere) || !strings.Contains(err.Error(), "nbu1x1") || files != nil {
		t.Errorf("error %v with files %v, want one that names the tap, and none", err, files)
	}
	plain := []string{"-uuid", "2f6d1c1e-7f0b-4f56-9a3e-1f4a1b6f7c02", "-smbios", "type=1,product=OpenStack Compute"}
	opened, files, err := machine.OpenTaps(plain, func(string) (string, error) { return "", nowhere })
	if err != nil || len(files) > 0 || !slices.Equal(opened, plain) {
		t.Errorf("arguments without a tap became %q with files %v (%v)", opened, files, err)
	}
}
