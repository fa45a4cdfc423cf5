// SPDX-License-Identifier: Apache-2.0

package nocloud_test

import (
	"flag"
	"testing"

	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/dialect/nocloud"
)

// The golden trees are written anew with it (package dialecttest).
var _ = flag.Bool("update", false, "write the golden files instead of comparing with them")

func TestContract(t *testing.T) {
	t.Parallel()
	dialecttest.Run(t, nocloud.Dialect(), "testdata")
}

func TestReadme(t *testing.T) {
	t.Parallel()
	dialecttest.Readme(t, nocloud.Dialect(), "README.md")
}
