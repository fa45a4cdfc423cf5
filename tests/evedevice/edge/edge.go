// SPDX-License-Identifier: Apache-2.0

// Package edge makes a whole edge node with EVE: its folders and agents (evedevice), its local network instances, and the
// service on it.
//
// In come apps, and facts for the agents to tell; out goes a node in a network namespace of its own, with ports for guests of
// whatever kind, and the service that follows the agents there. Tests of the whole service call it, whatever their guests are
// made of.
package edge

import (
	"slices"
	"strings"
	"testing"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/tests/evedevice"
	"github.com/lf-edge/eve-metadata/tests/program"
	"github.com/lf-edge/eve-metadata/tests/tool"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// Programs are what runs on an edge node.
type Programs struct {
	Service string
	Agent   string // that plays EVE's agents
}

// Build builds them.
func Build(t testing.TB) Programs {
	t.Helper()
	return Programs{program.Build(t), evedevice.Build(t)}
}

// Node is a whole edge node: EVE's folders and agents, the bridges that EVE makes with guests on them, and the service.
type Node struct {
	*world.World                             // of the service, which has no manifests here
	Device       *Device                     // where its network is
	EVE          *evedevice.Device           // where its folders are
	Agents       map[string]*evedevice.Agent // that were started
}

// New makes a node with the network instances of some apps. No agent runs there yet, and no service.
func New(t testing.TB, programs Programs, apps ...*App) *Node {
	t.Helper()
	tool.Need(t, "bsdtar", "libarchive-tools")
	n := &Node{
		World: world.New(t, programs.Service, nil), Device: NewDevice(t, "iptables-nft"),
		EVE: evedevice.New(t, programs.Agent), Agents: make(map[string]*evedevice.Agent),
	}
	n.Root = n.EVE.Root
	hosts := make(map[int][]string)
	for _, app := range apps {
		hosts[app.Network] = append(hosts[app.Network], app.MAC().String()+",id:*,"+app.Address+","+app.Key())
	}
	for network, known := range hosts {
		n.Device.Network(network, known...)
	}
	t.Cleanup(n.checkTopics)
	return n
}

// Run starts the service, and returns when it is ready.
func (n *Node) Run(args ...string) {
	n.T.Helper()
	n.RunWhile(func() {}, args...)
}

// RunWhile starts the service, and returns when something else was done meanwhile and the service is ready, for which it
// may need that.
func (n *Node) RunWhile(do func(), args ...string) {
	n.T.Helper()
	n.StartWhile(do, n.Device.Program(n.Binary), append([]string{"--source", "eve"}, args...)...)
}

// checkTopics looks at who publishes: no table of an agent of EVE's is anybody else's.
func (n *Node) checkTopics() {
	ours := []string{eve.AgentFeed, eve.AgentNim, eve.AgentServe}
	for _, table := range n.EVE.Sockets() {
		agent, _, _ := strings.Cut(table, "/")
		if n.Agents[agent] == nil && !slices.Contains(ours, agent) {
			n.T.Errorf("the service publishes %s, which is not its own", table)
		}
	}
}

// Agent returns an agent, which it starts if it does not run yet.
func (n *Node) Agent(name string) *evedevice.Agent {
	n.T.Helper()
	if n.Agents[name] == nil {
		n.Agents[name] = n.EVE.Start(name)
	}
	return n.Agents[name]
}

// Restart kills an agent and starts the next one, which has what the first one left.
func (n *Node) Restart(name string) {
	n.T.Helper()
	n.Agents[name].Kill()
	n.Agents[name] = n.EVE.Start(name)
}

// Tell has the agents tell facts, one after the other.
func (n *Node) Tell(facts ...Fact) {
	n.T.Helper()
	for _, f := range facts {
		f.tell(n.Agent(f.Agent))
	}
}
