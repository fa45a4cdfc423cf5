// SPDX-License-Identifier: Apache-2.0

package cloudstack_test

import (
	"flag"
	"testing"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/cloudstack"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
)

// The golden trees are written anew with it (package dialecttest).
var _ = flag.Bool("update", false, "write the golden files instead of comparing with them")

func TestContract(t *testing.T) {
	t.Parallel()
	dialecttest.Run(t, cloudstack.Dialect(), "testdata")
}

func TestReadme(t *testing.T) {
	t.Parallel()
	dialecttest.Readme(t, cloudstack.Dialect(), "README.md")
}

// TestFirmware holds what cloud-init looks for: a product whose name begins with "CloudStack".
func TestFirmware(t *testing.T) {
	t.Parallel()
	want := dialect.Firmware{Product: "CloudStack KVM Hypervisor"}
	if got := cloudstack.Dialect().Firmware(dialecttest.Small()); got != want {
		t.Errorf("firmware %+v, want %+v", got, want)
	}
}
