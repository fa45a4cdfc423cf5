// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// tampering is what a service breaks in its answers (testdata/tamper).
type tampering struct{ Dialect, Path, Old, New string }

// list is the list of dialects in the command's source.
var list = regexp.MustCompile(`return (\[\]dialect\.Dialect\{openstack.*\})`)

// buildTampered builds the service with a list of dialects that breaks answers, and is otherwise the same.
func buildTampered(t testing.TB) string {
	t.Helper()
	const command = "../../cmd/eve-metadata"
	source, err := os.ReadFile(filepath.Join(command, "dialects.go"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(list.FindAll(source, -1)); n != 1 {
		t.Fatalf("the command's source has %d lists of dialects, want 1", n)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, "dialects.go")
	if err := os.WriteFile(changed, list.ReplaceAll(source, []byte("return tampered($1)")), 0o600); err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		absolute(t, filepath.Join(command, "dialects.go")): changed,
		absolute(t, filepath.Join(command, "tamper.go")):   absolute(t, "testdata/tamper/tamper.go"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "eve-metadata")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, command)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the tampered service: %v\n%s", err, out)
	}
	return binary
}

func absolute(t testing.TB, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// by returns a program that runs the tampered service with something to break.
func (what tampering) by(t testing.TB, binary string) string {
	t.Helper()
	said, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "tampered")
	script := "#!/bin/sh\nEVE_METADATA_TAMPER='" + string(said) + "' exec '" + binary + "' \"$@\"\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return program
}
