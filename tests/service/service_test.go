// SPDX-License-Identifier: Apache-2.0

// Package service_test watches the built service do its whole job, from a saved manifest to what a
// guest reads, through everything that may happen to it on the way.
//
// Purpose: each scenario proves one promise of the README on the running binary: what `render` shows
// is what guests read; a crash or a restart changes nothing; no guest reads another's metadata;
// changes of manifests take effect at once and mistakes in them none; user data arrives byte for byte
// or visibly not at all; a full disk costs drives and nothing else;
// guests get their addresses and names by DHCP and DNS, over IPv6 what they get over IPv4, the outside where there is
// an uplink, and in namespaces and on bridges of others what they get in ours; what guests report is kept; tokens are asked for where a network wants them; the server may run without
// privileges, in processes that can be killed one by one; the demonstration works.
//
// Network: every scenario makes its own, below a root of its own, in the sandbox's namespaces. Guests
// are namespaces with the guest end of a veth (guestns) and a plain HTTP client in them.
//
// Phases: see the scenarios; package world and guest_test.go have what they share.
package service_test

import (
	"testing"

	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
	"github.com/lf-edge/eve-metadata/tests/program"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

func TestService(t *testing.T) {
	t.Parallel()
	sandbox.Need(t)
	binary := program.Build(t)
	for _, tt := range []struct {
		name     string
		scenario func(*testing.T, string)
	}{
		{"restarts", restarts},
		{"isolation", isolation},
		{"identity", identity},
		{"reused address", reusedAddress},
		{"address passed on", passedOn},
		{"changes", changes},
		{"kinds", kinds},
		{"user data", userData},
		{"device configs", deviceConfigs},
		{"full disk", fullDisk},
		{"reports", reports},
		{"tokens", tokens},
		{"in a namespace", inNamespace},
		{"on a bridge", onBridge("iptables-nft")},
		{"on a bridge, legacy rules", onBridge("iptables-legacy")},
		{"leases", leases},
		{"uplinks", uplinks},
		{"IPv6", overIPv6},
		{"duplicate", duplicate},
		{"split", split},
		{"demonstration", demonstration},
		{"demonstration for all", demonstrationForAll},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.scenario(t, binary)
		})
	}
}
