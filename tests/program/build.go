// SPDX-License-Identifier: Apache-2.0

package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Build builds the command and returns the path of the binary, which goes with the test.
func Build(tb testing.TB) string {
	tb.Helper()
	binary := filepath.Join(tb.TempDir(), "eve-metadata")
	cmd := exec.CommandContext(tb.Context(), "go", "build", "-o", binary, "github.com/lf-edge/eve-metadata/cmd/eve-metadata")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build eve-metadata: %v\n%s", err, out)
	}
	return binary
}
