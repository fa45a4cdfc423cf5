// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/tests/evedevice"
)

// Fact is something that one of EVE's agents tells.
type Fact struct {
	Agent string
	tell  func(*evedevice.Agent)
}

// Says is the fact that a topic of an agent's has a value.
func Says[T any](agent, key string, value T) Fact {
	return Fact{agent, func(a *evedevice.Agent) { evedevice.Set(a, key, value) }}
}

// Forgets is the fact that it has none.
func Forgets[T any](agent, key string) Fact {
	return Fact{agent, func(a *evedevice.Agent) { evedevice.Delete[T](a, key) }}
}

// Completes is the fact that an agent has told all that it knows of, for the n-th time.
func Completes[T any](agent string, n int) Fact {
	return Fact{agent, func(a *evedevice.Agent) { evedevice.Restarted[T](a, n) }}
}

// Recorded are the facts that a topic had when it was recorded.
func Recorded[T any](t testing.TB, agent string) (facts []Fact) {
	t.Helper()
	values := evedevice.AllRecorded[T](t, agent)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		facts = append(facts, Says(agent, key, values[key]))
	}
	return facts
}

// OfNode are the facts of a node without apps and networks.
func OfNode(t testing.TB) []Fact {
	t.Helper()
	return slices.Concat(
		Recorded[eve.EdgeNodeInfo](t, eve.AgentZedagent), Recorded[eve.ConfigItemValueMap](t, eve.AgentZedagent),
		Recorded[eve.ControllerCert](t, eve.AgentZedagent), Recorded[eve.CipherContext](t, eve.AgentZedagent),
		Recorded[eve.PatchEnvelopeInfoList](t, eve.AgentZedagent), Recorded[eve.EdgeNodeCert](t, eve.AgentTpmmgr),
		Recorded[eve.DeviceNetworkStatus](t, eve.AgentEVENim), Recorded[eve.WwanLocationInfo](t, eve.AgentWwan),
		Recorded[eve.NetworkMetrics](t, eve.AgentZedrouter),
	)
}

// OfApps are the facts of apps and of the networks that they are in.
func OfApps(t testing.TB, apps ...*App) (facts []Fact) {
	t.Helper()
	networks := make(map[int]bool)
	for _, app := range apps {
		facts = append(facts, app.Facts()...)
		if networks[app.Network] {
			continue
		}
		networks[app.Network] = true
		facts = append(facts, OfNetwork(t, app.Network)...)
	}
	return facts
}

// Complete are the facts that EVE's agents have told all that they know of, once.
func Complete() []Fact {
	return []Fact{
		Completes[eve.AppInstanceConfig](eve.AgentZedagent, 1), Completes[eve.AppNetworkConfig](eve.AgentZedmanager, 1),
		Completes[eve.AppNetworkStatus](eve.AgentZedrouter, 1), Completes[eve.DomainStatus](eve.AgentDomainmgr, 1),
	}
}

// NetworkKey is a network instance's UUID.
func NetworkKey(number int) string {
	return fmt.Sprintf("a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1%03d", number)
}

// OfNetwork are the facts of network instance bn<number>, as Device.Network makes it.
func OfNetwork(t testing.TB, number int) []Fact {
	t.Helper()
	const local = "a77d0c1e-1c36-4b1d-8a54-3c1b6b0e1001"
	gateway := net.IPv4(10, byte(number), 0, 1)
	config := evedevice.Recorded[eve.NetworkInstanceConfig](t, eve.AgentZedagent, local)
	config.UUID = uuid.MustParse(NetworkKey(number))
	config.Subnet = &net.IPNet{IP: net.IPv4(10, byte(number), 0, 0).To4(), Mask: net.CIDRMask(24, 32)}
	config.Gateway, config.DnsServers = gateway, []net.IP{gateway}
	config.DhcpRange = eve.IPRange{Start: net.IPv4(10, byte(number), 0, 2), End: net.IPv4(10, byte(number), 0, 254)}
	status := evedevice.Recorded[eve.NetworkInstanceStatus](t, eve.AgentZedrouter, local)
	status.NetworkInstanceConfig = config
	status.BridgeNum, status.BridgeName, status.BridgeIPAddr = number, bridge(number), gateway
	status.IPAssignments, status.Vifs = nil, nil
	return []Fact{Says(eve.AgentZedagent, NetworkKey(number), config), Says(eve.AgentZedrouter, NetworkKey(number), status)}
}
