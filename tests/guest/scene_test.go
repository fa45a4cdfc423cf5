// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lf-edge/eve-metadata/tests/guest/image"
	"github.com/lf-edge/eve-metadata/tests/guest/machine"
	"github.com/lf-edge/eve-metadata/tests/guest/report"
	"github.com/lf-edge/eve-metadata/tests/tool"
	"github.com/lf-edge/eve-metadata/tests/world"
)

const (
	// cache is where images are kept, and below failed what is left of scenarios that failed.
	cache = "../../.cache/guests"
	// bootLimit ends a test whose guest does not get anywhere. It is not waited for otherwise.
	bootLimit = 15 * time.Minute
)

// fields are those of a manifest.
type fields map[string]any

// merged are fields with others in their place, or without those that are nil there.
func (f fields) merged(more ...fields) fields {
	all := make(fields)
	for _, some := range append([]fields{f}, more...) {
		for key, value := range some {
			if value == nil {
				delete(all, key)
			} else {
				all[key] = value
			}
		}
	}
	return all
}

// scene is a service with manifests, and its guests.
type scene struct {
	*world.World
	t      testing.TB
	began  time.Time
	folder string // what the guests keep, by app
	key    string // path of the private key by which one logs in
	public string // the other half
}

// newScene makes a scene, in which no service runs yet.
func newScene(t testing.TB, binary string) *scene {
	t.Helper()
	tool.Need(t, "qemu-system-x86_64", "qemu-system-x86")
	tool.Need(t, "ssh", "openssh-client")
	s := &scene{World: world.New(t, binary, nil), t: t, began: time.Now()}
	s.folder = t.TempDir()
	s.key, s.public = newKey(t, s.folder)
	t.Cleanup(func() { keepFailed(t, s.began, s.folder, &s.Journal) })
	return s
}

// newKey makes a pair of keys for SSH in a folder: the path of the private one, and the public one.
func newKey(t testing.TB, folder string) (path, public string) {
	t.Helper()
	path = filepath.Join(folder, "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator@example.com", "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("make key: %v\n%s", err, out)
	}
	text, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return path, strings.TrimSpace(string(text))
}

// keepFailed keeps what people need who look for why a scenario failed: consoles and reports in a folder, the service's log.
func keepFailed(t testing.TB, began time.Time, folder string, journal *world.Journal) {
	name := strings.ReplaceAll(strings.TrimPrefix(t.Name(), "TestGuests/"), "/", "-")
	to, err := filepath.Abs(filepath.Join(cache, "failed", name))
	if err != nil {
		t.Error(err)
		return
	}
	if err := os.RemoveAll(to); err != nil {
		t.Error(err)
	}
	if !t.Failed() {
		progress(t, began, "all is well")
		return
	}
	err = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(folder, path)
		if err != nil || !e.Type().IsRegular() || rel == "key" || filepath.Ext(path) == ".qcow2" {
			return err
		}
		data, err := os.ReadFile(path)
		return errors.Join(err, os.MkdirAll(filepath.Dir(filepath.Join(to, rel)), 0o755), os.WriteFile(filepath.Join(to, rel), data, 0o600))
	})
	err = errors.Join(err, os.MkdirAll(to, 0o755), os.WriteFile(filepath.Join(to, "service.log"), []byte(journal.String()), 0o600))
	if err != nil {
		t.Error(err)
	}
	progress(t, began, "failed; its consoles, reports and log are in %s", to)
}

var progressing sync.Mutex

// progress tells people who wait how far a scenario is. A benchmark says nothing: it would be in the midst of its figures.
func progress(t testing.TB, began time.Time, format string, args ...any) {
	if _, figures := t.(*testing.B); figures {
		return
	}
	progressing.Lock()
	defer progressing.Unlock()
	name := strings.TrimPrefix(t.Name(), "TestGuests/")
	fmt.Fprintf(os.Stderr, "%s %5.0f s  %-28s %s\n", time.Now().Format(time.TimeOnly), time.Since(began).Seconds(), name, fmt.Sprintf(format, args...))
}

// network saves the manifest of a network.
func (s *scene) network(f fields) { s.put(f.merged(fields{"kind": "network"})) }

// app saves the manifest of an app.
func (s *scene) app(f fields) { s.put(f.merged(fields{"kind": "app"})) }

func (s *scene) put(f fields) {
	s.t.Helper()
	text, err := yaml.Marshal(map[string]any(f))
	if err != nil {
		s.t.Fatal(err)
	}
	s.Save(f["name"].(string)+".yaml", string(text))
}

// guest is an app's guest in QEMU. Its disk stays from boot to boot.
type guest struct {
	t      testing.TB
	began  time.Time // the scenario
	app    string
	image  *image.Image
	dir    string            // what it keeps
	files  map[string]string // of its root filesystem, other than the image's
	boots  int
	on     *machine.Machine
	report string // folder of the last one

	// launch is what QEMU is to be started with, and what is to be open in it. Here is where it is started, and where one
	// logs in to the guest.
	launch func() ([]string, []*os.File)
	here   func(ctx context.Context, name string, args ...string) *exec.Cmd
}

// newGuest makes a guest with the image of a name, in a folder.
func newGuest(t testing.TB, began time.Time, app, name, folder string) *guest {
	t.Helper()
	i, err := image.Get(t.Context(), cache, name, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{t: t, began: began, app: app, image: i, dir: filepath.Join(folder, app), here: exec.CommandContext}
	t.Cleanup(g.stop)
	return g
}

// guest makes a guest of an app, which is started as the service says.
func (s *scene) guest(app, name string) *guest {
	s.t.Helper()
	g := newGuest(s.t, s.began, app, name, s.folder)
	g.launch = func() ([]string, []*os.File) {
		s.t.Helper()
		return s.openTaps(app, s.launch(app))
	}
	namespace := s.NamespaceOf(s.Port(app, "eth0"))
	g.here = func(ctx context.Context, name string, args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + namespace, "--", name}, args...)...)
	}
	return g
}

// launch is what the service says that an app's guest is to be started with.
func (s *scene) launch(app string) []string {
	s.t.Helper()
	out, err := s.World.Run("render", app, "--launch", "qemu", "--root", s.Root)
	if err != nil {
		s.t.Fatal(err)
	}
	// The arguments are quoted as xargs has them, which README recommends.
	cmd := exec.CommandContext(s.t.Context(), "xargs", "printf", `%s\n`)
	cmd.Stdin = bytes.NewReader(out)
	if out, err = cmd.Output(); err != nil {
		s.t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// openTaps opens the taps of an app's guest that arguments of QEMU's name.
func (s *scene) openTaps(app string, args []string) (opened []string, files []*os.File) {
	s.t.Helper()
	opened, files, err := machine.OpenTaps(args, func(tap string) (string, error) { return s.namespaceOfTap(app, tap), nil })
	if err != nil {
		s.t.Fatal(err)
	}
	return opened, files
}

// namespaceOfTap is the namespace in which a tap of an app's is, as soon as it is there.
func (s *scene) namespaceOfTap(app, tap string) (path string) {
	s.t.Helper()
	s.Await("tap "+tap, func() error {
		for _, port := range s.Apps()[app].AppNetAdapterList {
			if port.VifUsed == tap {
				path = s.NamespaceOf(port)
				return nil
			}
		}
		return errors.New("it is not there")
	})
	return path
}

// start boots the guest. If it still runs its power is cut first.
func (g *guest) start() {
	g.t.Helper()
	g.stop()
	args, files := g.launch()
	g.boots++
	m, err := machine.Start(g.t.Context(), machine.Config{
		Image: g.image, Dir: g.dir, Args: args, Files: files, Changed: g.files, Command: g.here,
		Stage: func(stage string) { progress(g.t, g.began, "%s, boot %d: %s", g.app, g.boots, stage) },
	})
	for _, f := range files {
		err = errors.Join(err, f.Close()) // QEMU has its own
	}
	g.on = m
	if err != nil {
		g.t.Fatal(err)
	}
}

// boot boots the guest and returns what it has become.
func (g *guest) boot() *report.State {
	g.t.Helper()
	g.start()
	return g.state()
}

// state is what the guest has become in this boot, as soon as it has.
func (g *guest) state() *report.State {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), bootLimit)
	defer cancel()
	dir, err := g.on.Report(ctx)
	if err != nil {
		g.t.Fatal(err)
	}
	g.report = dir
	s, err := report.Read(dir)
	if err != nil {
		g.t.Fatal(err)
	}
	progress(g.t, g.began, "%s, boot %d: has reported", g.app, g.boots)
	return s
}

// stop cuts the guest's power.
func (g *guest) stop() {
	if g.on == nil {
		return
	}
	if err := g.on.Stop(); err != nil {
		g.t.Error(err)
	}
	g.on = nil
}

// check compares what a guest has become with what it was to become.
func check(t testing.TB, want, got *report.State) {
	t.Helper()
	if diff := differs(want, got); diff != "" {
		t.Errorf("the guest (-want +got):\n%s", diff)
	}
}

// differs says in which way a guest has become something else.
func differs(want, got *report.State) string { return cmp.Diff(want, got, cmpopts.EquateEmpty()) }

// asDisk has the guest find its drive as a disk.
func asDisk(args []string) []string {
	for i, arg := range args {
		switch {
		case strings.HasPrefix(arg, "if=none,id=md-drive,media=cdrom,"):
			args[i] = strings.Replace(arg, "media=cdrom,", "", 1)
		case strings.HasPrefix(arg, "scsi-cd,"):
			args[i] = "virtio-blk-pci,drive=md-drive"
		}
	}
	return args
}

// alsoOpenStack has the firmware say that it is a machine of OpenStack's as well.
func alsoOpenStack(args []string) []string {
	return append(args, "-smbios", "type=1,product=OpenStack Compute")
}

// plainMachine has the firmware say nothing.
func plainMachine(args []string) []string {
	for i := 0; i < len(args); i += 2 {
		if args[i] == "-smbios" || args[i] == "-uuid" {
			args = slices.Delete(args, i, i+2)
			i -= 2
		}
	}
	return args
}

// login runs a command in the guest, as somebody who logs in from the network's own namespace, with the key that metadata
// said.
func (g *guest) login(key, user, address, command string) string {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 2*world.Patience) // SSH is slow in an emulated guest
	defer cancel()
	cmd := g.here(ctx, "ssh", "-i", key, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", user+"@"+address, command)
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.t.Fatalf("log in as %s at %s: %v\n%s", user, address, err, out)
	}
	return string(out)
}

// userData is what the guest has kept of its user data.
func (g *guest) userData() []byte {
	g.t.Helper()
	data, err := report.UserData(g.report)
	if err != nil {
		g.t.Fatal(err)
	}
	return data
}

// hostKey is that of the guest's SSH server.
func (g *guest) hostKey() string {
	g.t.Helper()
	key, err := report.HostKey(g.report)
	if err != nil {
		g.t.Fatal(err)
	}
	return key
}
