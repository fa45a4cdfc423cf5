// SPDX-License-Identifier: Apache-2.0

// Package script_test runs the built command as people at a shell do: each file of testdata is a
// session, with the manifests that it needs and what it has to print. It needs no privileges and no
// network; tests/service has the sessions that do.
package script_test

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lf-edge/eve-metadata/tests/program"
)

var update = flag.Bool("update", false, "write what the sessions are compared with anew")

func TestScripts(t *testing.T) {
	t.Parallel()
	folder := filepath.Dir(program.Build(t))
	letOthersIn(t, folder)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Condition: func(condition string) (bool, error) {
			if condition != "root" {
				return false, errors.New("no such condition")
			}
			return os.Geteuid() == 0, nil
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", folder+string(filepath.ListSeparator)+env.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// letOthersIn makes what is in a temporary folder reachable for ordinary users: a session may step down
// to one.
func letOthersIn(t *testing.T, folder string) {
	t.Helper()
	for ; folder != filepath.Clean(os.TempDir()); folder = filepath.Dir(folder) {
		if err := os.Chmod(folder, 0o711); err != nil {
			t.Fatal(err)
		}
	}
}

// exits is `exits CODE PROGRAM ARGUMENT...`: the program has to end with the exit code. As after exec,
// stdout and stderr look at what it printed.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGUMENT...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
