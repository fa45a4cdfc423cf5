// SPDX-License-Identifier: Apache-2.0

package mirror_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"go.uber.org/goleak"

	"github.com/lf-edge/eve-metadata/pkg/atomicfile"
	"github.com/lf-edge/eve-metadata/pkg/mirror"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a change may take to be seen.
const patience = 20 * time.Second

// await waits until the copy has a content; "" stands for no copy.
func await(t *testing.T, path, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		got, err := os.ReadFile(path)
		if string(got) == want && (err == nil || want == "" && errors.Is(err, fs.ErrNotExist)) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the copy is %q, %v; want %q", got, err, want)
		}
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from, to := filepath.Join(dir, "diag.out"), filepath.Join(dir, "copy/diag.out")
	log, hook := logtest.NewNullLogger()
	f := &mirror.File{From: from, To: to, Log: log}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	<-f.Ready()
	await(t, to, "")
	for _, step := range []struct {
		what string
		do   func() error
		want string
	}{
		{"made", func() error { return os.WriteFile(from, []byte("one"), 0o644) }, "one"},
		{"replaced", func() error { return atomicfile.Replace(from, "tmp", []byte("two")) }, "two"},
		{"written over", func() error { return os.WriteFile(from, []byte("three"), 0o644) }, "three"},
		{"emptied", func() error { return os.Truncate(from, 0) }, ""},
		{"large", func() error { return os.WriteFile(from, []byte(strings.Repeat("x", mirror.MaxFile+1)), 0o644) }, strings.Repeat("x", mirror.MaxFile)},
		{"removed", func() error { return os.Remove(from) }, ""},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		await(t, to, step.want)
	}
	if n := len(hook.AllEntries()); n != 0 {
		t.Errorf("logged %d times, last %q", n, hook.LastEntry().Message)
	}
	if err := os.Mkdir(from, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(from); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(from, []byte("again"), 0o644); err != nil {
		t.Fatal(err)
	}
	await(t, to, "again")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	await(t, to, "again")
}

func TestNoFolder(t *testing.T) {
	t.Parallel()
	log, _ := logtest.NewNullLogger()
	f := &mirror.File{From: filepath.Join(t.TempDir(), "missing/diag.out"), To: filepath.Join(t.TempDir(), "copy"), Log: log}
	if err := f.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "missing/diag.out") {
		t.Errorf("error is %v", err)
	}
}
