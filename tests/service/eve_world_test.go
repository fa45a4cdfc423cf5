// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/tests/evedevice"
	"github.com/lf-edge/eve-metadata/tests/tool"
)

// edgeNode is a whole edge node: EVE's folders and agents, the bridges that EVE makes with guests on them, and the service.
type edgeNode struct {
	*scene // of the service, which has no manifests here
	device *eveDevice
	eve    *evedevice.Device
	agents map[string]*evedevice.Agent // that were started
}

// newEdgeNode makes a node with the network instances of some apps. No agent runs there yet, and no service.
func newEdgeNode(t *testing.T, programs edgePrograms, apps ...*edgeApp) *edgeNode {
	t.Helper()
	tool.Need(t, "bsdtar", "libarchive-tools")
	n := &edgeNode{
		scene: newScene(t, programs.service, nil), device: newEVEDevice(t, "iptables-nft"),
		eve: evedevice.New(t, programs.agent), agents: make(map[string]*evedevice.Agent),
	}
	n.Root = n.eve.Root
	hosts := make(map[int][]string)
	for _, app := range apps {
		hosts[app.network] = append(hosts[app.network], app.mac().String()+",id:*,"+app.address+","+app.key())
	}
	for network, known := range hosts {
		n.device.network(network, known...)
	}
	t.Cleanup(n.checkTopics)
	return n
}

// run starts the service, and returns when it is ready.
func (n *edgeNode) run(args ...string) {
	n.T.Helper()
	n.runWhile(func() {}, args...)
}

// runWhile starts the service, and returns when something else was done meanwhile and the service is ready, for which it
// may need that.
func (n *edgeNode) runWhile(do func(), args ...string) {
	n.T.Helper()
	n.StartWhile(do, n.device.Program(n.Binary), append([]string{"--source", "eve"}, args...)...)
}

// checkTopics looks at who publishes: no table of an agent of EVE's is anybody else's.
func (n *edgeNode) checkTopics() {
	ours := []string{eve.AgentFeed, eve.AgentNim, eve.AgentServe}
	for _, table := range n.eve.Sockets() {
		agent, _, _ := strings.Cut(table, "/")
		if n.agents[agent] == nil && !slices.Contains(ours, agent) {
			n.T.Errorf("the service publishes %s, which is not its own", table)
		}
	}
}

// noLargeFiles returns when all files of large fields were taken. Who was killed leaves some.
func (n *edgeNode) noLargeFiles() {
	n.T.Helper()
	n.Await("large fields", func() error {
		if left := n.eve.LargeFiles(); len(left) > 0 {
			return fmt.Errorf("files are left: %q", left)
		}
		return nil
	})
}

// agent returns an agent, which it starts if it does not run yet.
func (n *edgeNode) agent(name string) *evedevice.Agent {
	n.T.Helper()
	if n.agents[name] == nil {
		n.agents[name] = n.eve.Start(name)
	}
	return n.agents[name]
}

// restart kills an agent and starts the next one, which has what the first one left.
func (n *edgeNode) restart(name string) {
	n.T.Helper()
	n.agents[name].Kill()
	n.agents[name] = n.eve.Start(name)
}

// fact is something that one of EVE's agents tells.
type fact struct {
	agent string
	tell  func(*evedevice.Agent)
}

// says is the fact that a topic of an agent's has a value.
func says[T any](agent, key string, value T) fact {
	return fact{agent, func(a *evedevice.Agent) { evedevice.Set(a, key, value) }}
}

// forgets is the fact that it has none.
func forgets[T any](agent, key string) fact {
	return fact{agent, func(a *evedevice.Agent) { evedevice.Delete[T](a, key) }}
}

// completes is the fact that an agent has told all that it knows of, for the n-th time.
func completes[T any](agent string, n int) fact {
	return fact{agent, func(a *evedevice.Agent) { evedevice.Restarted[T](a, n) }}
}

// tell has the agents tell facts, one after the other.
func (n *edgeNode) tell(facts ...fact) {
	n.T.Helper()
	for _, f := range facts {
		f.tell(n.agent(f.agent))
	}
}

// recorded are the facts that a topic had when it was recorded.
func recorded[T any](t testing.TB, agent string) (facts []fact) {
	t.Helper()
	values := evedevice.AllRecorded[T](t, agent)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		facts = append(facts, says(agent, key, values[key]))
	}
	return facts
}

// ofNode are the facts of a node without apps and networks.
func ofNode(t testing.TB) []fact {
	t.Helper()
	return slices.Concat(
		recorded[eve.EdgeNodeInfo](t, eve.AgentZedagent), recorded[eve.ConfigItemValueMap](t, eve.AgentZedagent),
		recorded[eve.ControllerCert](t, eve.AgentZedagent), recorded[eve.CipherContext](t, eve.AgentZedagent),
		recorded[eve.PatchEnvelopeInfoList](t, eve.AgentZedagent), recorded[eve.EdgeNodeCert](t, eve.AgentTpmmgr),
		recorded[eve.DeviceNetworkStatus](t, eve.AgentEVENim), recorded[eve.WwanLocationInfo](t, eve.AgentWwan),
		recorded[eve.NetworkMetrics](t, eve.AgentZedrouter),
	)
}

// ofApps are the facts of apps and of the networks that they are in.
func ofApps(t testing.TB, apps ...*edgeApp) (facts []fact) {
	t.Helper()
	networks := make(map[int]bool)
	for _, app := range apps {
		facts = append(facts, app.facts()...)
		if networks[app.network] {
			continue
		}
		networks[app.network] = true
		facts = append(facts, ofNetwork(t, app.network)...)
	}
	return facts
}

// complete are the facts that EVE's agents have told all that they know of, once.
func complete() []fact {
	return []fact{
		completes[eve.AppInstanceConfig](eve.AgentZedagent, 1), completes[eve.AppNetworkConfig](eve.AgentZedmanager, 1),
		completes[eve.AppNetworkStatus](eve.AgentZedrouter, 1), completes[eve.DomainStatus](eve.AgentDomainmgr, 1),
	}
}

// networkKey is a network instance's UUID.
func networkKey(number int) string {
	return fmt.Sprintf("a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1%03d", number)
}

// ofNetwork are the facts of network instance bn<number>, as eveDevice makes it.
func ofNetwork(t testing.TB, number int) []fact {
	t.Helper()
	const local = "a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1001"
	gateway := net.IPv4(10, byte(number), 0, 1)
	config := evedevice.Recorded[eve.NetworkInstanceConfig](t, eve.AgentZedagent, local)
	config.UUID = uuid.MustParse(networkKey(number))
	config.Subnet = &net.IPNet{IP: net.IPv4(10, byte(number), 0, 0).To4(), Mask: net.CIDRMask(24, 32)}
	config.Gateway, config.DnsServers = gateway, []net.IP{gateway}
	config.DhcpRange = eve.IPRange{Start: net.IPv4(10, byte(number), 0, 2), End: net.IPv4(10, byte(number), 0, 254)}
	status := evedevice.Recorded[eve.NetworkInstanceStatus](t, eve.AgentZedrouter, local)
	status.NetworkInstanceConfig = config
	status.BridgeNum, status.BridgeName, status.BridgeIPAddr = number, fmt.Sprintf("bn%d", number), gateway
	status.IPAssignments, status.Vifs = nil, nil
	return []fact{says(eve.AgentZedagent, networkKey(number), config), says(eve.AgentZedrouter, networkKey(number), status)}
}

// edgeApp is an app as EVE's agents tell of it. The first three are like those that were recorded, with one adapter.
type edgeApp struct {
	number, network int
	address         string // that it is to get
	config          eve.AppInstanceConfig
	status          eve.AppNetworkStatus
}

// Apps that were recorded: web-gw has encrypted user data and a drive, collector readable user data and a drive, and os-guest
// the encrypted user data without a drive.
const (
	webGW = iota + 1
	collector
	osGuest
	heir // like collector
)

// encryptedText is the user data that was recorded encrypted.
const encryptedText = "#cloud-config\nhostname: web-gw\nusers:\n - name: ops\n" +
	"   ssh_authorized_keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample ops@edge\"]\n"

// clearText is the user data that was recorded readable.
const clearText = "ROLE=collector\nSITE=hall-7\n"

// newEdgeApp makes an app, on which EVE has not seen a lease yet.
func newEdgeApp(t testing.TB, number, network int, address string) *edgeApp {
	t.Helper()
	a := &edgeApp{number: number, network: network, address: address}
	like := number
	if number > osGuest {
		like = collector
	}
	a.config = evedevice.Recorded[eve.AppInstanceConfig](t, eve.AgentZedagent, appKey(like))
	a.config.UUIDandVersion.UUID, a.config.DisplayName = uuid.MustParse(a.key()), a.name()
	a.config.AppNetAdapterList = a.config.AppNetAdapterList[:1]
	a.config.AppNetAdapterList[0].Network = uuid.MustParse(networkKey(network))
	a.status = evedevice.Recorded[eve.AppNetworkStatus](t, eve.AgentZedrouter, appKey(like))
	a.status.UUIDandVersion, a.status.DisplayName, a.status.AppNum = a.config.UUIDandVersion, a.name(), number
	a.status.AppNetAdapterList = a.status.AppNetAdapterList[:1]
	adapter := &a.status.AppNetAdapterList[0]
	adapter.AppNetAdapterConfig = a.config.AppNetAdapterList[0]
	adapter.Bridge, adapter.VifInfo.Mac = fmt.Sprintf("bn%d", network), a.mac()
	adapter.BridgeIPAddr, adapter.HostName = net.IPv4(10, byte(network), 0, 1), a.key()
	adapter.AssignedAddresses, adapter.IPv4Assigned = eve.AssignedAddrs{}, false
	return a.at(fmt.Sprintf("nbu1x%d", number))
}

func appKey(number int) string { return fmt.Sprintf("c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b%03d", number) }

func (a *edgeApp) key() string { return appKey(a.number) }

func (a *edgeApp) name() string { return fmt.Sprintf("app-%d", a.number) }

func (a *edgeApp) mac() net.HardwareAddr {
	return net.HardwareAddr{0x02, 0x16, 0x3e, 0, 0, byte(a.number)}
}

// at has the app be at a port of its bridge.
func (a *edgeApp) at(port string) *edgeApp {
	adapter := &a.status.AppNetAdapterList[0]
	adapter.Vif, adapter.VifUsed = port, port
	return a
}

// leased has EVE have seen the app's lease.
func (a *edgeApp) leased() *edgeApp {
	adapter := &a.status.AppNetAdapterList[0]
	adapter.AssignedAddresses.IPv4Addrs = []eve.AssignedAddr{
		{Address: net.ParseIP(a.address), AssignedBy: eve.AddressSourceInternalDHCP},
	}
	adapter.IPv4Assigned = true
	return a
}

// withText gives the app readable user data.
func (a *edgeApp) withText(text string) *edgeApp {
	a.config.CloudInitUserData = new(base64.StdEncoding.EncodeToString([]byte(text)))
	a.config.CipherBlockStatus = eve.CipherBlockStatus{CipherBlockID: a.key()}
	return a
}

// sealed gives the app encrypted user data.
func (a *edgeApp) sealed(block *eve.CipherBlockStatus) *edgeApp {
	a.config.CloudInitUserData, a.config.CipherBlockStatus = nil, *block
	return a
}

// networkConfig is what zedmanager makes of the app's config.
func (a *edgeApp) networkConfig() eve.AppNetworkConfig {
	c := &a.config
	return eve.AppNetworkConfig{
		UUIDandVersion: c.UUIDandVersion, DisplayName: c.DisplayName, Activate: c.Activate,
		AppNetAdapterList: c.AppNetAdapterList, CloudInitUserData: c.CloudInitUserData,
		CipherBlockStatus: c.CipherBlockStatus, MetaDataType: c.MetaDataType, DeploymentType: c.DeploymentType,
	}
}

// facts are what agents tell of the app.
func (a *edgeApp) facts() []fact {
	return append(a.configs(), says(eve.AgentZedrouter, a.key(), a.status))
}

// configs are what they tell of its config.
func (a *edgeApp) configs() []fact {
	return []fact{says(eve.AgentZedagent, a.key(), a.config), says(eve.AgentZedmanager, a.key(), a.networkConfig())}
}

// gone are the facts that the app is no more.
func (a *edgeApp) gone() []fact {
	return []fact{
		forgets[eve.AppInstanceConfig](eve.AgentZedagent, a.key()), forgets[eve.AppNetworkConfig](eve.AgentZedmanager, a.key()),
		forgets[eve.AppNetworkStatus](eve.AgentZedrouter, a.key()),
	}
}

// boot connects an app's guest, which gets its address from EVE's DHCP server.
func (n *edgeNode) boot(a *edgeApp) *guest {
	n.T.Helper()
	g := n.device.guest(a.key(), a.network, a.number, a.mac().String())
	g.port = a.status.AppNetAdapterList[0]
	return g
}

// bootAll boots the guests of apps.
func (n *edgeNode) bootAll(apps ...*edgeApp) (guests []*guest) {
	n.T.Helper()
	for _, a := range apps {
		guests = append(guests, n.boot(a))
	}
	return guests
}

// Paths at which apps are told who they are and what their user data is.
const (
	whoAmI     = "/eve/v1/hostname"
	myUserData = "/openstack/latest/user_data"
)

// knows says in which way a guest is not told who it is.
func (g *guest) knows() error { return g.brief().expect(whoAmI, http.StatusOK, g.app+"\n") }

// awaitKnown returns when guests are told who they are.
func (n *edgeNode) awaitKnown(guests ...*guest) {
	n.T.Helper()
	for _, g := range guests {
		n.Await("identity of "+g.app, g.knows)
	}
}

// awaitNobody returns when a guest is nobody: it is told so, or has no connection.
func (n *edgeNode) awaitNobody(g *guest) {
	n.T.Helper()
	n.Await("end of "+g.app, func() error { return never(g, whoAmI) })
}

// awaitText returns when a guest reads its user data.
func (n *edgeNode) awaitText(g *guest, text string) {
	n.T.Helper()
	n.Await("user data of "+g.app, func() error { return g.brief().expect(myUserData, http.StatusOK, text) })
}

// awaitStatus returns when a guest gets a status.
func (n *edgeNode) awaitStatus(g *guest, path string, status int) {
	n.T.Helper()
	n.Await(g.app, func() error {
		a, err := g.brief().ask(path)
		if err == nil && a.Status != status {
			err = fmt.Errorf("status of %s is %d, want %d", path, a.Status, status)
		}
		return err
	})
}

// awaitDrive returns when an app has a drive with that user data.
func (n *edgeNode) awaitDrive(key, text string) {
	n.T.Helper()
	n.Await("drive of "+key, func() error {
		got, err := n.OnDrive(key, "user-data")
		if err == nil && string(got) != text {
			err = fmt.Errorf("user data is %.200q, want %.200q", got, text)
		}
		return err
	})
}

// never says that a guest was told something else than is right. That it is told nothing is right, and so is what EVE tells
// where the service is not (yet).
func never(g *guest, path string, right ...string) error {
	a, err := g.brief().ask(path)
	if err == nil && a.Status == http.StatusOK && a.Body != eveAnswer && !slices.Contains(right, a.Body) {
		return fmt.Errorf("%s asks %s and is told %.200q, which can only be %.200q", g.app, path, a.Body, right)
	}
	return nil
}

// neverWrong says that a guest was told something that is another's or no longer so: it is known and may have some user data,
// or is nobody if it has none here.
func neverWrong(texts map[string][]string) func(*guest) error {
	return func(g *guest) error {
		var names []string
		if texts[g.app] != nil {
			names = []string{g.app + "\n"}
		}
		return errors.Join(never(g, whoAmI, names...), never(g, myUserData, texts[g.app]...))
	}
}

// startQuestions has each guest ask something all the time until stop.
func startQuestions(t *testing.T, guests []*guest, question func(*guest) error) *asking {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	a := &asking{cancel: cancel}
	for _, g := range guests {
		a.wg.Go(func() {
			for ctx.Err() == nil {
				a.note(question(g))
				a.pause(ctx)
			}
		})
	}
	return a
}

// awaitAsked returns when guests have asked some more.
func (n *edgeNode) awaitAsked(a *asking, more int) {
	n.T.Helper()
	a.mu.Lock()
	before := a.asked
	a.mu.Unlock()
	n.Await("more questions", func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.asked < before+more {
			return fmt.Errorf("%d were asked", a.asked-before)
		}
		return nil
	})
}
