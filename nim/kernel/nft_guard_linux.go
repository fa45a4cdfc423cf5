// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/plan"
)

// Sets of the guard table that plans do not know.
const (
	setPorts = "ports" // ports that guests are behind
	setWays  = "ways"  // the MAC address of such a port's bridge, by port
	setFaces = "faces" // port . MAC address of the guest there
)

// guardFilter is before the bridge looks for the way, and before br_netfilter hands packets to chains of iptables(8), to
// which a frame is then one for the bridge.
const guardFilter = -300

// guardTable has the metadata addresses on bridges of others be there for guests, who are known by their ports. A bridge may
// have other ports too: behind that of a network card there is a LAN, with other edge nodes on it that have the same
// addresses.
//
//   - From a guest's port, what goes to a metadata address and to HTTP's port ends here, whatever router of that LAN the
//     guest takes for the way there. Nothing else on the host can be reached at these addresses.
//   - It bears the MAC address of the guest there, in each packet: that of the first one is what the guest is known by, and
//     where the bridge has heard that address last another guest can choose.
//   - From another port nothing gets to them.
//   - To another port nothing goes that tells of them: neither the host's words nor those of a guest who asks for them.
//   - Nobody behind any port passes for their owner, neither to guests nor to the host, which would give an IPv6 address up
//     that somebody else says to have.
//
// Which bridge a frame is on the rules can not ask (some kernels lack meta ibrname): what they keep from ports that are no
// guest's they keep from those of all bridges. It is nothing that anybody else has a use for, because an IPv4 address that is
// on one interface of the host is the host's own on all of them.
//
// What is in a VLAN is none of our business: the bridge's own interface, where the addresses are, is in none. VLAN 0 is no
// VLAN (IEEE 802.1Q, 6.9) and counts as if it were not there. Of two such tags Linux takes off both, the second one behind
// the bridge, where it is too late to look at what was in them.
func guardTable() *table {
	t := &table{Table: nftables.Table{Family: nftables.TableFamilyBridge, Name: "eve-metadata-guard"}}
	t.sets = []set{
		{name: plan.SetBridges, key: elementType{partIfname}},
		{name: plan.SetGuests, key: elementType{partIfname, partIfname, partEther, partEther}, beside: []beside{{setPorts, 1}, {setWays, 1}, {setFaces, 1}}},
		{name: setPorts, key: elementType{partIfname}},
		{name: setWays, key: elementType{partIfname}, data: partEther},
		{name: setFaces, key: elementType{partIfname, partEther}},
	}
	fromOthers, toGuests := notIn(setPorts, iifname), in(setPorts, oifname)
	t.chains = []chain{
		guardChain("prerouting", nftables.ChainHookPrerouting, eachAddress(func(a metadataAddr) []rule {
			return []rule{
				r("iifname @ports meta protocol "+a.daddr+" iifname . ether saddr != @faces drop",
					in(setPorts, iifname), a.to(), notIn(setFaces, iifname, etherSaddr), drop()),
				r("iifname @ports meta protocol "+a.daddr+" tcp dport 80 ether daddr set iifname map @ways meta pkttype set host accept",
					in(setPorts, iifname), a.to(), tcp(is(dport, port(80))), toBridge(setWays), accept()),
			}
		})...),
		guardChain("input", nftables.ChainHookInput, slices.Concat(
			[]rule{
				// The tag comes first: nft(8) 1.0.6 aborts where it has to list it behind its protocol.
				r("@nh,4,12 0 meta protocol 8021q drop", untagged(expr.CmpOpEq, innerTag), is(protocol, ether(etherVLAN)), drop()),
				r("@nh,4,12 0 meta protocol 8021ad drop", untagged(expr.CmpOpEq, innerTag), is(protocol, ether(etherQinQ)), drop()),
				r("iifname != @ports meta protocol arp arp daddr ip "+metadata4().String()+" drop",
					fromOthers, is(protocol, ether(etherARP)), is(arpDaddrIP, metadata4().AsSlice()), drop()),
			},
			eachAddress(func(a metadataAddr) []rule {
				return []rule{
					r("iifname != @ports meta protocol "+a.daddr+" drop", fromOthers, a.to(), drop()),
					r("meta protocol "+a.daddr+" meta l4proto "+a.icmp+" accept", a.to(), is(l4proto, byte1(a.icmpProto)), accept()),
					r("meta protocol "+a.daddr+" tcp dport 80 accept", a.to(), tcp(is(dport, port(80))), accept()),
					r("meta protocol "+a.daddr+" drop", a.to(), drop()),
				}
			}),
			eachAddress6(func(a metadataAddr) []rule {
				return []rule{
					r("icmpv6 type nd-neighbor-advert @th,64,128 "+a.text+" drop", a.about(neighborAdvert), drop()),
					r("ip6 saddr :: icmpv6 type nd-neighbor-solicit @th,64,128 "+a.text+" drop",
						is(ip6Saddr, make([]byte, 16)), a.about(neighborSolicit), drop()),
					r("iifname != @ports icmpv6 type nd-neighbor-solicit @th,64,128 "+a.text+" drop",
						fromOthers, a.about(neighborSolicit), drop()),
				}
			}),
		)...),
		guardChain("forward", nftables.ChainHookForward,
			r("iifname @ports goto hidden", in(setPorts, iifname), branch("hidden")),
			r("oifname @ports goto hidden", toGuests, branch("hidden")),
		),
		guardChain("output", nftables.ChainHookOutput,
			r("oifname @ports accept", toGuests, accept()),
			r("goto hidden", branch("hidden")),
		),
		{name: "hidden", rules: hidden()},
	}
	return t
}

// guardChain is a chain of the guard table, in which all is accepted that no rule is against.
func guardChain(name string, hook *nftables.ChainHook, rules ...rule) chain {
	return chain{
		name: name, kind: nftables.ChainTypeFilter, hook: hook, priority: guardFilter, policy: nftables.ChainPolicyAccept,
		rules: append([]rule{
			r("ether type 8021q @ll,116,12 != 0 accept", is(etherType, ether(etherVLAN)), untagged(expr.CmpOpNeq, vlanTag), accept()),
			r("ether type 8021ad @ll,116,12 != 0 accept", is(etherType, ether(etherQinQ)), untagged(expr.CmpOpNeq, vlanTag), accept()),
		}, rules...),
	}
}

// untagged compares the VLAN of a tag with VLAN 0.
func untagged(op expr.CmpOp, tag field) match {
	return masked(op, tag, []byte{0x0f, 0xff}, []byte{0, 0})
}

// hidden drops what tells of the metadata addresses, and who asks for their owner.
func hidden() []rule {
	arp4 := func(f field) match {
		return append(is(protocol, ether(etherARP)), is(f, metadata4().AsSlice())...)
	}
	return slices.Concat(
		[]rule{
			r("meta protocol arp arp saddr ip "+metadata4().String()+" drop", arp4(arpSaddrIP), drop()),
			r("meta protocol arp arp daddr ip "+metadata4().String()+" drop", arp4(arpDaddrIP), drop()),
		},
		eachAddress(func(a metadataAddr) []rule {
			return []rule{r("meta protocol "+a.saddr+" drop", a.from(), drop())}
		}),
		eachAddress6(func(a metadataAddr) []rule {
			return []rule{
				r("icmpv6 type nd-neighbor-solicit @th,64,128 "+a.text+" drop", a.about(neighborSolicit), drop()),
				r("icmpv6 type nd-neighbor-advert @th,64,128 "+a.text+" drop", a.about(neighborAdvert), drop()),
			}
		}),
	)
}

// metadataAddr is a metadata address, and the words of rules that depend on its family.
type metadataAddr struct {
	netip.Addr
	text         string
	saddr, daddr string // behind "meta protocol"
	icmp         string
	icmpProto    uint8
}

// metadata4 is the metadata address of IPv4.
func metadata4() netip.Addr { return plan.MetadataPrefixes()[0].Addr() }

// eachAddress returns the rules for all metadata addresses.
func eachAddress(of func(metadataAddr) []rule) []rule {
	var rules []rule
	for _, p := range plan.MetadataPrefixes() {
		a, text := p.Addr(), p.Addr().String()
		if a.Is4() {
			rules = append(rules, of(metadataAddr{a, text, "ip ip saddr " + text, "ip ip daddr " + text, "icmp", unix.IPPROTO_ICMP})...)
			continue
		}
		rules = append(rules, of(metadataAddr{a, text, "ip6 ip6 saddr " + text, "ip6 ip6 daddr " + text, "ipv6-icmp", unix.IPPROTO_ICMPV6})...)
	}
	return rules
}

// eachAddress6 returns those for the ones of IPv6.
func eachAddress6(of func(metadataAddr) []rule) []rule {
	return eachAddress(func(a metadataAddr) []rule {
		if a.Is4() {
			return nil
		}
		return of(a)
	})
}

// to is true of packets to the address, and from of packets from it.
func (a metadataAddr) to() match   { return a.ip(ipDaddr, ip6Daddr) }
func (a metadataAddr) from() match { return a.ip(ipSaddr, ip6Saddr) }

func (a metadataAddr) ip(field4, field6 field) match {
	if a.Is4() {
		return append(is(protocol, ether(etherIP)), is(field4, a.AsSlice())...)
	}
	return append(is(protocol, ether(etherIP6)), is(field6, a.AsSlice())...)
}

// about is true of messages of neighbour discovery, of one type, about the address.
func (a metadataAddr) about(kind uint8) match {
	return append(icmp6(is(icmpType, byte1(kind))), is(ndTarget, a.AsSlice())...)
}
