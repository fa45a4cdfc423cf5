// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"slices"
	"strings"
)

// guard plans who sees the metadata addresses of a network OnBridge. A guest that is not known (yet) does not.
func (p *planner) guard(bridge Link) {
	name := p.network.Bridge.Name
	if !p.network.Guarded {
		if !p.keep {
			p.dropHostElements(GuardTable, name)
		}
		return
	}
	want := guardSets(p.network, bridge.MAC)
	have := p.host.tables[GuardTable].about(name)
	p.delElements(p.host, GuardTable, sets{SetGuests: outdated(have[SetGuests], bridge.MAC, p.network.Guests)}, want)
	p.hostElements(GuardTable, name, want)
}

// Guest is who is behind a port that others made.
type Guest struct {
	Port string
	MAC  MAC
}

// guardSets returns the elements of GuardTable that a network's guests are known by. Where there is no bridge, there is
// nobody behind its ports.
func guardSets(n Network, bridge MAC) sets {
	want := sets{SetBridges: {n.Bridge.Name: true}}
	if bridge == (MAC{}) {
		return want
	}
	for _, g := range n.Guests {
		want.add(SetGuests, strings.Join([]string{n.Bridge.Name, g.Port, g.MAC.String(), bridge.String()}, " . "))
	}
	return want
}

// outdated returns the elements of SetGuests that can not stay beside what is right: a bridge has one MAC address, and a port
// one guest.
func outdated(have map[string]bool, bridge MAC, guests []Guest) map[string]bool {
	outdated := maps.Clone(have)
	maps.DeleteFunc(outdated, func(e string, _ bool) bool {
		fields := strings.Split(e, " . ")
		isBehind := func(g Guest) bool { return g.Port == fields[1] }
		return fields[len(fields)-1] == bridge.String() && !slices.ContainsFunc(guests, isBehind)
	})
	return outdated
}
