// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"testing"

	"github.com/lf-edge/eve-metadata/tests/evedevice/edge"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
)

// TestEdgeNode rehearses the service on a whole edge node: EVE's agents, each in a process of its own, tell what there is,
// in the way that EVE's do; EVE's bridges, DHCP servers, redirections and access rules are there; guests ask.
//
// Purpose: whatever the agents tell in whatever order, whoever is killed when: a guest is told what is its own, or that
// there is nothing (yet), and never what is another's or no longer so; and the service takes nothing that is EVE's.
//
// Network: bn1 and bn2, each with a gateway and a DHCP server, behind which EVE's own metadata server answers.
//
// Phases: see the scenarios; eve_world_test.go has what they share, and package edge the node.
func TestEdgeNode(t *testing.T) {
	t.Parallel()
	sandbox.Need(t)
	programs := edge.Build(t)
	for _, tt := range []struct {
		name     string
		scenario func(*testing.T, edge.Programs)
	}{
		{"any order", anyOrder},
		{"first request", firstRequest},
		{"drives", drives},
		{"missing agents", missingAgents},
		{"secrets", secrets},
		{"large user data", largeUserData},
		{"agents killed", agentsKilled()},
		{"agents killed, split", agentsKilled("--split")},
		{"gone meanwhile", goneMeanwhile},
		{"service killed", serviceKilled},
		{"parts killed", partsKilled},
		{"reboot", reboot},
		{"stand-in", standIn},
		{"pod", inPod},
		{"same subnet", sameSubnet},
		{"no metadata", noMetadata},
		{"posts", posts},
		{"told again", toldAgain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.scenario(t, programs)
		})
	}
}
