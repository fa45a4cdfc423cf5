// SPDX-License-Identifier: Apache-2.0

package eden_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"text/template"
)

// here is what the scenarios know this node by, in place of a model of EVE's devices.
const here = "QEMUGuests"

// place is where eden's files are, as its configuration has it.
type place struct {
	root     string
	wrappers string // the folder of eden's programs
}

// newPlace makes one: eden's programs, and this folder under the name that it has in eden.
func newPlace(t testing.TB) *place {
	t.Helper()
	p := &place{root: t.TempDir()}
	p.wrappers = filepath.Join(p.root, "dist/bin")
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{p.wrappers, filepath.Dir(p.key())} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(folder, filepath.Join(p.root, "tests/metadata")); err != nil {
		t.Fatal(err)
	}
	for _, name := range programs() {
		script := fmt.Sprintf("#!/bin/sh\n%s=\"$%s\" exec '%s' %s \"$@\"\n", socketVar, wrapperVar, self, name)
		if err := os.WriteFile(filepath.Join(p.wrappers, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// key is the private key by which eden's images of containers let one in, where eden has it.
func (p *place) key() string { return filepath.Join(p.root, "tests/eclient/image/cert/id_rsa") }

// makeKey makes one for this run.
func (p *place) makeKey(t testing.TB) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "eden@example.com", "-f", p.key()).CombinedOutput()
	if err != nil {
		t.Fatalf("make key: %v\n%s", err, out)
	}
}

// config is eden's configuration, as far as scenarios ask for it. model is the device's.
func (p *place) config(model string) map[string]string {
	return map[string]string{
		"eden.root": p.root, "eden.bin-dist": "dist/bin", "eden.eden-bin": "eden", "eden.tests": filepath.Join(p.root, "tests"),
		"eden.eclient.image": "lfedge/eden-eclient", "eden.eclient.tag": "latest",
		"eve.devmodel": model, "eve.name": "eve", "eve.serial": serial, "eve.cert": "certs/onboard.cert.pem",
		"adam.ip": "127.0.0.1", "adam.port": "443",
	}
}

// render does what eden does to each file before it looks at it.
func (p *place) render(text, model string) (string, error) {
	config := p.config(model)
	get := func(key string) (string, error) {
		value, ok := config[key]
		if !ok {
			return "", fmt.Errorf("the runner has no %q of eden's configuration", key)
		}
		return value, nil
	}
	parsed, err := template.New("").Funcs(template.FuncMap{
		"EdenConfig": get,
		"EdenConfigPath": func(key string) (string, error) {
			value, err := get(key)
			return filepath.Join(p.root, value), err
		},
		"EdenPath":      func(path string) string { return filepath.Join(p.root, path) },
		"EdenGetEnv":    os.Getenv,
		"EdenOSRuntime": func() string { return runtime.GOOS },
	}).Parse(text)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = parsed.Execute(&out, nil)
	return out.String(), err
}

// scripts is a folder with the scenarios as testscript runs them.
func (p *place) scripts(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(p.root, "scripts")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range scenarios(t) {
		rendered, err := p.render(text, here)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		translated, err := translate(rendered)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".txt"), []byte(translated), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// scenarios are the files, by their names without the extension.
func scenarios(t testing.TB) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("there are no scenarios: %v", err)
	}
	all := make(map[string]string)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(path), ".txt")] = string(text)
	}
	return all
}
