// SPDX-License-Identifier: Apache-2.0

// Package guest_test boots real guests on the built service and looks at what they have become.
//
// Purpose: cloud-init, as Debian packages it, is the judge. Each scenario is a guest with nothing changed in it, booted in
// QEMU on a tap or with the drive of a service that was started from manifests (or from what EVE's agents or a controller
// say), as `render --launch qemu` says; it asserts all that the guest became: which datasource cloud-init chose, and that it
// complains of nothing; instance id, names, keys, what user data and vendor data did; addresses, MTU, routes and resolver
// as the kernel has them.
//
// Network: app networks that the service makes, each scenario's below a root of its own, in the sandbox's namespaces. The
// host of a scenario is the network's own namespace, from which one logs in to the guest by SSH.
//
// Phases: see the scenarios; scene_test.go has what they share.
//
// Guests take time, so they are booted with the flag -guests alone (make guests); what needs none is always tested.
package guest_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/lf-edge/eve-metadata/tests/guest/image"
	"github.com/lf-edge/eve-metadata/tests/guest/machine"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
	"github.com/lf-edge/eve-metadata/tests/program"
)

var guests = flag.Bool("guests", false, "boot guests: each takes about a minute where QEMU emulates the processor")

func TestMain(m *testing.M) {
	flag.Parse()
	if *guests {
		if err := machine.LimitTests(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		// In the sandbox there are no packages to be had.
		if err := image.Prepare(context.Background(), cache, os.Stderr,
			image.Debian12, image.Debian13, image.ShellAMD64, image.ShellARM64); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	sandbox.Main(m)
}

// needGuests skips a test that boots guests, where none are to be booted.
func needGuests(t testing.TB) {
	t.Helper()
	if !*guests {
		t.Skip("boots guests: make guests")
	}
	sandbox.NeedTap(t)
}

// TestGuests boots guests. `make guests ONE=openstack` runs those whose name has that in it.
func TestGuests(t *testing.T) {
	t.Parallel()
	needGuests(t)
	binary := program.Build(t)
	debian, err := image.Get(t.Context(), cache, image.Debian12, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(os.Stderr, "%d guests at a time, by %s\n", machine.AtOnce(), machine.Accelerator(t.Context(), debian))
	tampered := buildTampered(t)
	var scenarios []scenario
	add := func(name string, boots func(*testing.T, string), broken tampering, noticed func(*testing.T, string)) {
		scenarios = append(scenarios, scenario{name, boots})
		if broken != (tampering{}) {
			scenarios = append(scenarios, scenario{"broken-" + name, func(t *testing.T, _ string) { noticed(t, tampered) }})
		}
	}
	for _, d := range shellGuests() {
		add(d.name, d.boots, d.broken, d.noticed)
	}
	for _, d := range datasources() {
		add(d.name, d.boots, d.broken, d.noticed)
	}
	scenarios = append(scenarios,
		scenario{"two-networks", twoNetworks},
		scenario{"eve", onEVE},
		// What waits is run from the end, mostly: what takes long is not to be left for the last.
		scenario{overIPv6().name, overIPv6().boots},
		scenario{"twins", twins},
		scenario{"openstack", overOpenStack},
		scenario{"nocloud-cdrom", onDrive},
	)
	for _, tt := range scenarios {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(t, binary)
		})
	}
}

// scenario is something that guests live through.
type scenario struct {
	name string
	run  func(t *testing.T, binary string)
}
