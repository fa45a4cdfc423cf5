// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"slices"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// networkSince is the version that brought the cards.
const networkSince = "2011-01-01"

// cards are the network cards that a guest is told of: cloud-init does DHCP on each of them, over IPv6 where
// the address is known, so that one without IPv4 and without such an address, be it part of a bond or not,
// would only hold up its boot. EC2 has no words for bonds and VLANs.
func cards(in *instance.Instance) []instance.Adapter {
	return slices.DeleteFunc(dialect.NICs(in), func(a instance.Adapter) bool {
		return a.Kind != instance.Card || a.IPv4.Method == instance.None && !a.IPv6.Address.IsValid()
	})
}

// mac is the address of the first card.
func mac(cards []instance.Adapter) entry {
	if len(cards) == 0 {
		return entry{name: "mac"}
	}
	return text(networkSince, "mac", cards[0].MAC.String())
}

// network is the directory of the cards, by their addresses. Without cards there is none of its
// directories: cloud-init fails over one without the next.
func network(in *instance.Instance, cards []instance.Adapter) entry {
	var macs []entry
	for i := range cards {
		macs = append(macs, card(in, i, &cards[i]))
	}
	return directory(networkSince, "network", directory("", "interfaces", directory("", "macs", sorted(macs)...)))
}

// card is the directory of one card, the n-th from 0. What EC2 tells of a network twice, as a subnet and as
// the VPC around it, is one thing here.
func card(in *instance.Instance, n int, a *instance.Adapter) entry {
	subnet4, subnet6 := subnet(a.IPv4), subnet(a.IPv6)
	return directory("", a.MAC.String(),
		number("", "device-number", n),
		text("", "interface-id", interfaceID(in, a)),
		list("2016-06-30", "ipv6s", address(a.IPv6)),
		text("", "local-hostname", in.FQDN()),
		list("", "local-ipv4s", address(a.IPv4)),
		text("", "mac", a.MAC.String()),
		number("2020-11-01", "network-card", 0), // of those that a host may have several of
		text("", "owner-id", in.ProjectID),
		list("", "security-groups", in.SecurityGroups...),
		text("", "subnet-id", subnetID(a)),
		text("", "subnet-ipv4-cidr-block", subnet4),
		list("2016-06-30", "subnet-ipv6-cidr-blocks", subnet6),
		text("", "vpc-id", vpcID(a)),
		text("", "vpc-ipv4-cidr-block", subnet4),
		list("2016-06-30", "vpc-ipv4-cidr-blocks", subnet4),
		list("2016-06-30", "vpc-ipv6-cidr-blocks", subnet6),
	)
}

// address is the known address of a card in one family; "" for none.
func address(a instance.Addressing) string {
	if !a.Address.IsValid() {
		return ""
	}
	return a.Address.Addr().String()
}

// subnet is the subnet that the known address is in; "" for none.
func subnet(a instance.Addressing) string {
	if !a.Address.IsValid() {
		return ""
	}
	return a.Address.Masked().String()
}
