// SPDX-License-Identifier: Apache-2.0

package nocloud

import (
	"fmt"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// link is an adapter as a network configuration speaks of it.
type link struct {
	instance.Adapter
	// name is a valid interface name that no other link has, at most 15 bytes (Linux, IFNAMSIZ): it does
	// not depend on what the controller calls the adapter.
	name string
	// over are the names of the links that it is made of.
	over []string
	// address is its MAC address; "" for a VLAN that has the one of what it is on.
	address string
}

// linksOf are the adapters that a configuration can tell of, under names that count: cards nic0, nic1
// and so on, bonds bond0 and so on, a VLAN after what it is on, as Linux does by itself: bond0.42.
func linksOf(in *instance.Instance) []link {
	nics := dialect.NICs(in)
	links := make([]link, 0, len(nics))
	cards, bonds := 0, 0
	for _, a := range nics {
		l := link{Adapter: a, address: a.MAC.String()}
		for _, name := range a.Over {
			l.over = append(l.over, links[dialect.Named(nics, name)].name)
		}
		switch a.Kind {
		case instance.Card:
			l.name = fmt.Sprintf("nic%d", cards)
			cards++
		case instance.Bond:
			l.name = fmt.Sprintf("bond%d", bonds)
			bonds++
		case instance.VLAN:
			below := links[dialect.Named(nics, a.Over[0])]
			l.name = fmt.Sprintf("%s.%d", below.name, a.VLAN)
			if l.address == below.address {
				l.address = ""
			}
		}
		links = append(links, l)
	}
	return links
}
