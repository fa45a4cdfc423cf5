// SPDX-License-Identifier: Apache-2.0

// Package eden_test runs the scenarios that are for eden, EVE's test harness, without eden and without EVE.
//
// Purpose: the files of testdata are what eden runs against a device. Here they run as they are, on a node that is made of
// a controller (tests/controller), the service as it runs on what that says, and guests in QEMU that are started with what the
// service publishes of each app. So what a device is to be tested with is tested itself, and the service with it.
//
// Network: the node, a network namespace with the controller in it and an uplink that leads nowhere; the app networks that the
// service makes, in which guests have taps, and from which one logs in to them.
//
// Phases: a file is rendered as eden renders it (template_test.go), its commands are worded as testscript has them
// (escript_test.go), and eden's programs are done as far as they are known (program_test.go and what it calls). What is
// not known is an error, and never passed over.
//
// Guests take time, so they are booted with the flag -guests alone (make guests); that the files are such as the runner
// understands is always tested.
package eden_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lf-edge/eve-metadata/tests/guest/image"
	"github.com/lf-edge/eve-metadata/tests/guest/machine"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
	"github.com/lf-edge/eve-metadata/tests/program"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

var guests = flag.Bool("guests", false, "boot guests: each takes about a minute where QEMU emulates the processor")

// cache is where images are kept, and below failed what is left of scenarios that failed.
const cache = "../../.cache/guests"

func TestMain(m *testing.M) {
	if socket := os.Getenv(socketVar); socket != "" {
		ask(socket, os.Args[1:]) // and is another program from here on
	}
	flag.Parse()
	if *guests && flag.Lookup("test.list").Value.String() == "" {
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	sandbox.Main(m)
}

// prepare makes what is not to be had in the sandbox, where there is no network, and says how much is done at once, unless
// somebody has said so: a scenario has one guest.
func prepare() error {
	if err := machine.LimitTests(); err != nil {
		return err
	}
	return image.Prepare(context.Background(), cache, os.Stderr, image.Debian12, image.Debian13)
}

// TestScenarios runs the scenarios. The names of tests are those of the files: -run TestScenarios/openstack.
func TestScenarios(t *testing.T) {
	t.Parallel()
	if !*guests {
		t.Skip("boots guests: make guests")
	}
	sandbox.NeedTap(t)
	for program, debian := range map[string]string{
		"qemu-system-x86_64": "qemu-system-x86", "ssh": "openssh-client", "jq": "jq", "timeout": "coreutils", "nsenter": "util-linux",
	} {
		tool.Need(t, program, debian)
	}
	binary := program.Build(t)
	place := newPlace(t)
	place.makeKey(t)
	testscript.Run(t, testscript.Params{
		Dir: place.scripts(t),
		Setup: func(env *testscript.Env) error {
			tb, ok := env.T().(testing.TB)
			if !ok {
				return fmt.Errorf("%T is no testing.TB", env.T())
			}
			n := newNode(tb, binary, place.key())
			env.Setenv("PATH", place.wrappers+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv(wrapperVar, n.serve())
			return nil
		},
		Cmds: commands(suite(t)),
	})
}
