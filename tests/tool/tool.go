// SPDX-License-Identifier: Apache-2.0

// Package tool ends the tests that cannot run because something is not installed: as failures, since a
// check that is silently left out proves nothing, unless the environment asks for less.
package tool

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// SkipVar is the environment variable that, set to 1, has such tests skipped.
const SkipVar = "EVE_METADATA_SKIP_MISSING_TOOLS"

// Cloudinit is where Debian's package cloud-init has its modules, for Debian's own Python.
const Cloudinit = "/usr/lib/python3/dist-packages/cloudinit"

// Need ends a test without a tool: a command, or a path with a slash in it. Debian is the package that has
// it.
func Need(t testing.TB, tool, debian string) {
	t.Helper()
	_, err := os.Stat(tool)
	if !strings.Contains(tool, "/") {
		_, err = exec.LookPath(tool)
	}
	if err != nil {
		Missing(t, "apt-get install "+debian+", or make test as root: "+err.Error())
	}
}

// Missing ends a test that cannot run, and says why.
func Missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv(SkipVar) == "1" {
		t.Skip(why)
	}
	t.Fatalf("%s (%s=1 skips this test)", why, SkipVar)
}
