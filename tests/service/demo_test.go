// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// nobody is the user and the group without rights that every Linux has.
const nobody = 65534

// demonstration: what `make run` runs shows what it says, and leaves nothing behind, whether it ends by
// itself or is told to.
func demonstration(t *testing.T, binary string) {
	d := newDemo(t, binary)
	t.Run("once", func(t *testing.T) {
		cmd := d.command(t.Context(), "-once")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("demo: %v\n%s", err, out)
		}
		checkShown(t, string(out))
		d.checkGone(t)
	})
	t.Run("until interrupted", func(t *testing.T) {
		cmd := d.command(t.Context())
		out := &watched{until: "Ctrl-C ends it", seen: make(chan struct{})}
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		var err error
		select {
		case <-out.seen:
			err = errors.Join(cmd.Process.Signal(os.Interrupt), <-ended)
		case err = <-ended:
			t.Error("it ended by itself")
		}
		if err != nil {
			t.Errorf("demo: %v\n%s", err, &out.text)
		}
		checkShown(t, out.text.String())
		d.checkGone(t)
	})
}

// demonstrationForAll: the same for an ordinary user, who gets a user namespace.
func demonstrationForAll(t *testing.T, binary string) {
	d := newDemo(t, binary)
	if err := d.stepDown(t); err != nil {
		t.Skipf("the kernel lets ordinary users make no user namespace: %v", err)
	}
	out, err := d.command(t.Context(), "-once").CombinedOutput()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	checkShown(t, string(out))
	d.checkGone(t)
}

// checkShown looks for what the demonstration is about: one address twice, two hosts.
func checkShown(t *testing.T, out string) {
	t.Helper()
	for _, want := range []string{
		`(?m)^in network +green +blue +green +blue$`,
		`(?m)^as address +10\.11\.12\.5 +10\.11\.12\.\d+ +10\.11\.12\.\d+ +10\.11\.12\.5$`,
		`(?m)^ +hostname +db\.green\.example\.com +edge\S* +edge\S* +web\.blue\.example\.com$`,
		`(?m)^EVE hostname +\S+7a9e02 +\S+7a9e03 +\S+7a9e03 +\S+7a9e01$`,
		`(?m)^what nobody has +404 Not Found +404 Not Found +404 Not Found +404 Not Found$`,
		`(?m)^  \S+/5f0c2d4e-8a36-4c55-9c0e-2f6d1b7a9e01\.iso, \d+ bytes, with\n +/meta-data `,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("nothing in the output is like %s:\n%s", want, out)
		}
	}
}

// demo is the built demonstration, with the command that it shows, where everybody can run them.
type demo struct {
	folder, tmp string
	as          *syscall.SysProcAttr // who runs it; nil: who runs the test
}

func newDemo(t *testing.T, binary string) *demo {
	t.Helper()
	d := &demo{folder: t.TempDir(), tmp: t.TempDir()}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(d.folder, "demo"),
		"github.com/lf-edge/eve-metadata/examples/demo").CombinedOutput(); err != nil {
		t.Fatalf("build demo: %v\n%s", err, out)
	}
	command, err := os.ReadFile(binary)
	err = errors.Join(err,
		os.WriteFile(filepath.Join(d.folder, "eve-metadata"), command, 0o755),
		os.Chmod(filepath.Dir(d.folder), 0o711), os.Chmod(d.folder, 0o711),
		os.Chmod(d.tmp, 0o777|os.ModeSticky),
	)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// command is the demonstration about to be run.
func (d *demo) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(d.folder, "demo"), append(args, filepath.Join(d.folder, "eve-metadata"))...)
	cmd.Dir = d.folder
	cmd.Env = append(os.Environ(), "TMPDIR="+d.tmp)
	cmd.SysProcAttr = d.as
	return cmd
}

// stepDown has the demonstration run as an ordinary user: as another one if this is the real root, else as
// this one, who goes by another number in one more user namespace. The error says why it can make none.
func (d *demo) stepDown(t *testing.T) error {
	id := func(here int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: nobody, HostID: here, Size: 1}}
	}
	var errs []error
	for _, as := range []*syscall.SysProcAttr{
		{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}},
		{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: id(os.Geteuid()), GidMappings: id(os.Getegid())},
	} {
		cmd := exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", "--net", "--mount", "true")
		cmd.Dir, cmd.SysProcAttr = "/", as
		err := cmd.Run()
		if err == nil {
			d.as = as
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// checkGone fails the test if files or processes are left.
func (d *demo) checkGone(t *testing.T) {
	t.Helper()
	if entries, err := os.ReadDir(d.tmp); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	processes, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", p.Name(), "cmdline"))
		if err == nil && strings.HasPrefix(string(line), d.folder+"/") {
			t.Errorf("still running: %s", bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
}

// watched is output that says when it has come to something.
type watched struct {
	until string
	seen  chan struct{}
	text  bytes.Buffer
	told  bool
}

// Write takes output, of one process and thus one piece at a time.
func (w *watched) Write(p []byte) (int, error) {
	w.text.Write(p)
	if !w.told && strings.Contains(w.text.String(), w.until) {
		w.told = true
		close(w.seen)
	}
	return len(p), nil
}
