// SPDX-License-Identifier: Apache-2.0

// Package packaging_test looks at what is installed: units that systemd understands, each with no more exposure than it
// needs.
package packaging_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lf-edge/eve-metadata/tests/tool"
)

const units = "../../packaging/systemd"

// thresholds are what systemd-analyze(1) may say of each service, in tenths. That of nim is mostly what makes namespaces
// that others can see: see the unit.
var thresholds = map[string]string{
	"eve-metadata-feed.service": "15",
	"eve-metadata-nim.service":  "61",
	"eve-metadata-msrv.service": "15",
}

// Installed, the units are understood and name a program, and a user, that are there.
func TestInstalled(t *testing.T) {
	t.Parallel()
	tool.Need(t, "systemd-analyze", "systemd")
	root := t.TempDir()
	for folder, where := range map[string]string{
		"systemd": "usr/lib/systemd/system", "sysusers.d": "usr/lib/sysusers.d", "tmpfiles.d": "usr/lib/tmpfiles.d",
	} {
		if err := os.CopyFS(filepath.Join(root, where), os.DirFS(filepath.Join("../../packaging", folder))); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(root, "usr/bin/eve-metadata")
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "--root="+root, "--man=no", "--recursive-errors=no",
		"verify", "eve-metadata.target", "eve-metadata-feed.service", "eve-metadata-nim.service", "eve-metadata-msrv.service").CombinedOutput()
	if err != nil || strings.Contains(string(out), "eve-metadata") { // it also warns
		t.Errorf("verify: %v\n%s", err, out)
	}
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err = exec.CommandContext(t.Context(), "systemd-sysusers", "--root="+root).CombinedOutput()
	if err != nil {
		t.Fatalf("make users: %v\n%s", err, out)
	}
	passwd, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(passwd), "\neve-metadata:") && !strings.HasPrefix(string(passwd), "eve-metadata:") {
		t.Errorf("no user eve-metadata is made:\n%s", passwd)
	}
}

func TestExposure(t *testing.T) {
	t.Parallel()
	tool.Need(t, "systemd-analyze", "systemd")
	for unit, threshold := range thresholds {
		t.Run(unit, func(t *testing.T) {
			t.Parallel()
			out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--no-pager",
				"--threshold="+threshold, filepath.Join(units, unit)).CombinedOutput()
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			if err != nil {
				t.Errorf("over %s tenths: %v\n%s", threshold, err, out)
			}
			t.Log(lines[len(lines)-1])
		})
	}
}

// A mount namespace of its own would hide nim's namespaces from everybody else.
func TestNimMountsForAll(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(units, "eve-metadata-nim.service"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		setting, _, _ := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(setting, "#"):
		case strings.HasPrefix(setting, "Protect"), strings.HasPrefix(setting, "Private"), strings.HasSuffix(setting, "Paths"),
			strings.HasPrefix(setting, "Root"), setting == "ProcSubset", setting == "DynamicUser", setting == "MountFlags":
			t.Errorf("%s makes a mount namespace", strings.TrimSpace(line))
		}
	}
}
