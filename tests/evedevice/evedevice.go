// SPDX-License-Identifier: Apache-2.0

// Package evedevice makes a folder look like the root of an edge node with EVE, and publishes in it what EVE's agents
// publish there, each from a process of its own that can be killed.
//
// In come values of pkg/eve's types, best those that were recorded on a device, with changes; out go the sockets, files and
// habits of EVE's publishers (see command agent). Tests of what runs on a device call it.
package evedevice

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"embed"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

//go:embed testdata/keys
var keys embed.FS

// vectors is where the recorded topics are, for tests in folders below tests.
const vectors = "../../pkg/eve/testdata/eve-topics"

// Diagnosis is what EVE's diag has written for people.
const Diagnosis = "INFO: Using onboard cert\nINFO: summary: All fine\n"

// Device is the folders of an edge node.
type Device struct {
	// Root is where the device's / is.
	Root string

	t       testing.TB
	program string // that plays the agents
}

// Build builds the program that plays the agents, and returns its path.
func Build(t testing.TB) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "agent")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/lf-edge/eve-metadata/tests/evedevice/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build agent: %v\n%s", err, out)
	}
	return program
}

// New makes a device as it is after its boot, without agents.
func New(t testing.TB, program string) *Device {
	t.Helper()
	d := &Device{Root: t.TempDir(), t: t, program: program}
	for _, dir := range []string{"run", "var", "config", "persist/status", "persist/pubsub-large", "persist/certs"} {
		if err := os.MkdirAll(d.Path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../run", d.Path("var/run")); err != nil {
		t.Fatal(err)
	}
	d.write("run/diag.out", []byte(Diagnosis))
	d.write("persist/certs/ecdh.key.pem", Key(t, "ecdh.key.pem"))
	d.write("persist/certs/ecdh.cert.pem", Key(t, "ecdh.cert.pem"))
	d.write("config/root-certificate.pem", Key(t, "root.pem"))
	d.write("config/server", []byte("controller.example.com\n"))
	d.identify()
	return d
}

// identify gives the device a key of its own, as a device without a TPM has it.
func (d *Device) identify() {
	d.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "eve-device"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		d.t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		d.t.Fatal(err)
	}
	d.write("config/device.cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	d.write("config/device.key.pem", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}))
}

func (d *Device) write(name string, content []byte) {
	d.t.Helper()
	if err := os.WriteFile(d.Path(name), content, 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// Path is where something of the device's is.
func (d *Device) Path(name string) string { return filepath.Join(d.Root, name) }

// Sockets lists the tables that somebody has published, dead or alive, as "<agent>/<topic>".
func (d *Device) Sockets() []string {
	d.t.Helper()
	paths, err := filepath.Glob(d.Path("var/run/*/*.sock"))
	if err != nil {
		d.t.Fatal(err)
	}
	var tables []string
	for _, path := range paths {
		name, err := filepath.Rel(d.Path("var/run"), strings.TrimSuffix(path, ".sock"))
		if err != nil {
			d.t.Fatal(err)
		}
		tables = append(tables, name)
	}
	return tables
}

// LargeFiles lists the files of large fields that no subscriber has taken yet.
func (d *Device) LargeFiles() []string {
	d.t.Helper()
	var files []string
	err := filepath.WalkDir(d.Path("persist/pubsub-large"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return files
}

// Key returns a key or certificate of those with which the recorded topics were encrypted: root.pem, signing.pem,
// encrypt.pem and ecdh.cert.pem, and signing-key.pem, encrypt-key.pem and ecdh.key.pem to go with them.
func Key(t testing.TB, name string) []byte {
	t.Helper()
	content, err := keys.ReadFile("testdata/keys/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// AllRecorded returns all values of a topic that were recorded on a device, by key. The test is one of a folder below tests.
func AllRecorded[T any](t testing.TB, agent string) map[string]T {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(vectors, agent, topicOf[T](), "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]T)
	for _, path := range paths {
		key := strings.TrimSuffix(filepath.Base(path), ".json")
		values[key] = Recorded[T](t, agent, key)
	}
	return values
}

// Recorded returns a value that was recorded on a device.
func Recorded[T any](t testing.TB, agent, key string) (value T) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(vectors, agent, topicOf[T](), key+".json"))
	if err == nil {
		err = json.Unmarshal(content, &value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}
