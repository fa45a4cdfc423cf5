// SPDX-License-Identifier: Apache-2.0

// Package image_test builds the images for EVE devices and starts one as an EVE device would.
//
// Purpose: the images have what they need and nothing else, for each architecture of the package; and what build.yml says
// of how the container is run is enough for the service to do its job on a device.
//
// Network: see device_test.go. The sandbox has no other, and so no image or module can come from elsewhere.
//
// Phases: build an image for each architecture, look at it; start the one that this machine can run.
package image_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

// maxSize is how large the files of an image may be together, in bytes.
const maxSize = 30e6

// binary is the path of the program in the image.
const binary = "usr/bin/eve-metadata"

func TestMain(m *testing.M) { sandbox.Main(m) }

func TestImage(t *testing.T) {
	t.Parallel()
	sandbox.Need(t)
	tool.Need(t, "buildah", "buildah")
	pkg := readPackage(t)
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	if len(pkg.Arches) != len(machines) {
		t.Errorf("build.yml is for %q, want as many as %v", pkg.Arches, machines)
	}
	for _, arch := range pkg.Arches {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			img := build(t, arch)
			img.checkConfig(arch, pkg.Config)
			root := filepath.Join(t.TempDir(), "rootfs")
			checkFiles(t, img.unpack(root))
			checkBinary(t, filepath.Join(root, binary), machines[arch])
			if arch == runtime.GOARCH {
				serves(t, container{root, pkg.Config, img.config.Config})
			}
		})
	}
}

// build builds an image for an architecture.
func build(t *testing.T, arch string) *image {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image")
	if out, err := exec.CommandContext(t.Context(), "../../.ci/image", arch, dir).CombinedOutput(); err != nil {
		t.Fatalf("build image: %v\n%s", err, out)
	}
	return readImage(t, dir)
}

// checkConfig looks at what an image says of itself.
func (i *image) checkConfig(arch string, as runConfig) {
	i.t.Helper()
	got := i.config
	if got.OS != "linux" || got.Architecture != arch {
		i.t.Errorf("image is for %s/%s, want linux/%s", got.OS, got.Architecture, arch)
	}
	if !got.Created.Equal(epoch) {
		i.t.Errorf("image is of %v, want %v: it would be another one every time", got.Created, epoch)
	}
	if want := []string{"/usr/bin/eve-metadata"}; !cmp.Equal(got.Config.Entrypoint, want) {
		i.t.Errorf("entrypoint is %q, want %q", got.Config.Entrypoint, want)
	}
	if want := []string{"run", "--source", "eve", "--split"}; !cmp.Equal(got.Config.Cmd, want) {
		i.t.Errorf("command is %q, want %q", got.Config.Cmd, want)
	}
	var labelled runConfig
	if err := yaml.Unmarshal([]byte(got.Config.Labels["org.mobyproject.config"]), &labelled); err != nil {
		i.t.Errorf("the label of how it is run: %v", err)
	}
	if diff := cmp.Diff(as, labelled); diff != "" {
		i.t.Errorf("the label of how it is run (-build.yml +label):\n%s", diff)
	}
}

// checkFiles looks at the files of an image, with their modes and where links lead.
func checkFiles(t *testing.T, files map[string]file) {
	t.Helper()
	var size int64
	modes := make(map[string]string)
	for name, f := range files {
		modes[name] = f.mode
		size += f.size
	}
	want := map[string]string{
		"tmp": "dtrwxrwxrwx", "usr": "drwxr-xr-x", "usr/bin": "drwxr-xr-x", binary: "-rwxr-xr-x", "var": "drwxr-xr-x",
		"var/run": "Lrwxrwxrwx /run",
	}
	if diff := cmp.Diff(want, modes); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if size > maxSize {
		t.Errorf("files have %d bytes, want at most %d", size, int(maxSize))
	}
	t.Logf("%d bytes", size)
}

// checkBinary looks at a binary: for which machine it is, and that it needs no other files.
func checkBinary(t *testing.T, path string, machine elf.Machine) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Machine != machine {
		t.Errorf("binary is for %v, want %v", f.Machine, machine)
	}
	for _, prog := range f.Progs {
		if prog.Type == elf.PT_INTERP || prog.Type == elf.PT_DYNAMIC {
			t.Errorf("binary has %v, want none: it is linked dynamically", prog.Type)
		}
	}
}

// linuxkitPackage is what a build.yml says (linuxkit, packages.md), as far as ours says it.
type linuxkitPackage struct {
	Org, Image string
	Arches     []string
	Network    bool // while it is built
	Config     runConfig
}

// runConfig is how linuxkit, and EVE for an app that is a service, run a container (linuxkit, yaml.md).
type runConfig struct {
	Binds             []string
	Net, Pid          string
	Capabilities      []string
	Devices           []struct{ Path, Type string }
	RootfsPropagation string `yaml:"rootfsPropagation"`
	CgroupsPath       string `yaml:"cgroupsPath"`
}

// readPackage reads build.yml, in which linuxkit would pass over a key that it does not know.
func readPackage(t *testing.T) (pkg linuxkitPackage) {
	t.Helper()
	f, err := os.Open("../../build.yml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	decoder := yaml.NewDecoder(f)
	decoder.KnownFields(true)
	if err := decoder.Decode(&pkg); err != nil {
		t.Fatalf("build.yml: %v", err)
	}
	return pkg
}
