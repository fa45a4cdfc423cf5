// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/plan"
)

// table is one of our tables, whole but for the elements of its sets.
type table struct {
	nftables.Table
	sets   []set
	chains []chain
}

// set is a set of a table. Those that plans know are filled by them, the others by rules or by this package.
type set struct {
	name string
	key  elementType
	// data is what a map has for each element; no part: it is no map.
	data part
	// beside are sets that get parts of every element too.
	beside []beside
	// dynamic sets are filled by rules, up to a size, with elements that go after a time.
	dynamic bool
	size    uint32
	timeout time.Duration
}

// beside is a set beside another one: of every element there it has some parts for its own element, from the one at that
// place on, and, if it is a map, the last part for that one's data.
type beside struct {
	set  string
	part int
}

// isMap tells whether the set is a map.
func (s set) isMap() bool { return s.data.Bytes != 0 }

// planned tells whether plans know a set, which is filled by them then and neither by rules nor beside another one.
func (t *table) planned(s set) bool {
	return !s.dynamic && !slices.ContainsFunc(t.sets, func(other set) bool {
		return slices.ContainsFunc(other.beside, func(b beside) bool { return b.set == s.name })
	})
}

// set returns the set of that name; nil when there is none.
func (t *table) set(name string) *set {
	for i := range t.sets {
		if t.sets[i].name == name {
			return &t.sets[i]
		}
	}
	return nil
}

// chain is a chain of a table. Those without a hook are jumped to.
type chain struct {
	name     string
	kind     nftables.ChainType
	hook     *nftables.ChainHook
	priority nftables.ChainPriority
	policy   nftables.ChainPolicy
	rules    []rule
}

// rule is a rule: as nft(8) writes it, and as the kernel has it. nft(8) adds which protocol a header belongs to where a
// rule does not say so; that is left out where the chain is for one protocol only.
type rule struct {
	text  string
	exprs []expr.Any
}

func r(text string, parts ...match) rule {
	var exprs []expr.Any
	for _, p := range parts {
		exprs = append(exprs, p...)
	}
	return rule{text, exprs}
}

// tables returns our tables by the names that plans have for them.
func tables() map[string]*table {
	return map[string]*table{
		plan.FilterTable: filterTable(),
		plan.RouterTable: routerTable(),
		plan.UplinkTable: uplinkTable(),
		plan.HostTable:   hostTable(),
		plan.GuardTable:  guardTable(),
	}
}

// Sets of the filter table that plans do not know.
const (
	setGiven6    = "given6"    // IPv6 addresses that belong to somebody
	setClaims    = "claims"    // port . address that its guest has made, and claimed
	setClaimed   = "claimed"   // the addresses of claims
	setClaimants = "claimants" // ports, and how fast they claim
)

// What one port may claim. A guest has one or two link-local addresses, and changes them at most when it starts; for its
// privacy it makes another one of SLAAC every day, and keeps those of a week (RFC 8981).
const (
	maxClaims       = 1 << 16 // in a network
	maxClaimants    = 1 << 13 // more than a network has ports
	claimsPerMinute = 1
	claimsAtOnce    = 16
)

// markUp is the mark of packets that a bridge has handed up to the router.
var markUp = binaryutil.NativeEndian.PutUint32(1)

// bridgeFilter is when the bridge is to filter: before it learns an address and before it looks for the way.
const bridgeFilter = -200

// filterTable holds the ports of a network's bridges to the addresses that are theirs, before the bridge learns anything
// from a frame.
//
// A port sends from its own MAC address, and what is in the frame must say the same: ARP's sender, IPv4's and IPv6's
// source, the target of IPv6's neighbour advertisements, the link-layer addresses in options of neighbour discovery, and
// the client of a DHCP message. So nobody's neighbour table is ever told anything about an address but by its owner, and
// the truth, and no server takes one guest for another. ARP's target is not looked at: it leads astray nothing but what is
// meant for the guest that says so.
//
// Servers that a guest has no business to be (DHCP, router advertisements, redirects: RFC 6105, RFC 7610) are silenced, but
// where addresses are somebody else's business, who may be a guest. Headers between IPv6 and ICMPv6 hide nothing (RFC 7113,
// RFC 6980): what can not be found out about a packet is not let through, and neighbour discovery only plain.
//
// A link-local address of IPv6 that was given to nobody, or one of a subnet in which guests make theirs, belongs to the port that uses it first, until it has not done so
// for an hour. Only two ports' first packets in the same instant could both be taken for the first; what a guest gets over
// its MAC address stays its own even so.
//
// Frames with a VLAN tag are the guests' own affair: the bridge's interface takes none. A tag with VLAN 0 is no VLAN but
// a priority (IEEE 802.1Q, 6.9), which Linux takes off before it goes on as if it had not been there. Nobody needs it here.
func filterTable() *table {
	t := &table{Table: nftables.Table{Family: nftables.TableFamilyBridge, Name: "eve-metadata"}}
	t.sets = []set{
		{name: plan.SetTrunks, key: elementType{partIfname}},
		{name: plan.SetMACs, key: elementType{partIfname, partEther}},
		{name: plan.SetAddresses, key: elementType{partIfname, partIP}},
		{name: plan.SetAddress6, key: elementType{partIfname, partIP6}, beside: []beside{{setGiven6, 1}}},
		{name: plan.SetAnyone, key: elementType{partIfname}},
		{name: plan.SetOwn, key: elementType{partIP}},
		{name: plan.SetOwn6, key: elementType{partIP6}},
		{name: plan.SetSLAAC, key: elementType{partIP6}},
		{name: setGiven6, key: elementType{partIP6}},
		{name: setClaims, key: elementType{partIfname, partIP6}, dynamic: true, size: maxClaims, timeout: claimTime},
		{name: setClaimed, key: elementType{partIP6}, dynamic: true, size: maxClaims, timeout: claimTime},
		{name: setClaimants, key: elementType{partIfname}, dynamic: true, size: maxClaimants, timeout: claimTime},
	}
	t.chains = []chain{
		{
			name: "prerouting", kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPrerouting, priority: bridgeFilter,
			rules: []rule{
				r("iifname @trunks accept", in(plan.SetTrunks, iifname), accept()),
				r("iifname . ether saddr != @macs drop", notIn(plan.SetMACs, iifname, etherSaddr), drop()),
				r("ether type 8021q goto vlan-frame", is(etherType, ether(etherVLAN)), branch("vlan-frame")),
				r("ether type 8021ad goto vlan-frame", is(etherType, ether(etherQinQ)), branch("vlan-frame")),
				r("meta protocol arp goto arp-packet", is(protocol, ether(etherARP)), branch("arp-packet")),
				r("meta protocol ip goto ip-packet", is(protocol, ether(etherIP)), branch("ip-packet")),
				r("meta protocol ip6 goto ip6-packet", is(protocol, ether(etherIP6)), branch("ip6-packet")),
				// SNAP (RFC 1042), in which some guests, though not Linux, take IP and ARP as well.
				r("ether type < 0x0600 @ll,112,16 0xaaaa drop", below(etherType, ether(etherFirst)), is(llc, []byte{0xaa, 0xaa}), drop()),
				r("accept", accept()),
			},
		},
		{
			// Frames to some of the addresses that IEEE 802.1D keeps for bridges get here past prerouting, and the bridge
			// learns from them all the same.
			name: "input", kind: nftables.ChainTypeFilter, hook: nftables.ChainHookInput, priority: bridgeFilter,
			rules: []rule{
				r("meta mark set 1", setMark(markUp)),
				r("iifname @trunks accept", in(plan.SetTrunks, iifname), accept()),
				r("iifname . ether saddr @macs accept", in(plan.SetMACs, iifname, etherSaddr), accept()),
			},
		},
		{name: "vlan-frame", rules: []rule{
			r("@ll,116,12 0 drop", masked(expr.CmpOpEq, vlanTag, []byte{0x0f, 0xff}, []byte{0, 0}), drop()),
			r("accept", accept()),
		}},
		{name: "arp-packet", rules: []rule{
			r("@nh,0,48 != 0x000108000604 drop", isNot(arpHead, []byte{0, 1, 8, 0, 6, 4}), drop()),
			r("iifname . arp saddr ether != @macs drop", notIn(plan.SetMACs, iifname, arpSaddrEther), drop()),
			r("arp saddr ip @own drop", in(plan.SetOwn, arpSaddrIP), drop()),
			r("iifname @anyone accept", in(plan.SetAnyone, iifname), accept()),
			r("iifname . arp saddr ip @addresses accept", in(plan.SetAddresses, iifname, arpSaddrIP), accept()),
			// A probe (RFC 5227): to ask so for another's address would make that guest give it up.
			r("arp saddr ip 0.0.0.0 iifname . arp daddr ip @addresses accept", is(arpSaddrIP, make([]byte, 4)),
				in(plan.SetAddresses, iifname, arpDaddrIP), accept()),
		}},
		{name: "ip-packet", rules: []rule{
			r("ip saddr @own drop", in(plan.SetOwn, ipSaddr), drop()),
			r("iifname @anyone accept", in(plan.SetAnyone, iifname), accept()),
			// Later fragments have no ports; some kernels take their first bytes for them.
			r("ip frag-off & 0x1fff == 0 udp dport 67 goto dhcp-request", masked(expr.CmpOpEq, ipFragOff, []byte{0x1f, 0xff}, []byte{0, 0}),
				udp(is(dport, port(dhcpServer))), branch("dhcp-request")),
			r("ip frag-off & 0x1fff == 0 udp sport 67 drop", masked(expr.CmpOpEq, ipFragOff, []byte{0x1f, 0xff}, []byte{0, 0}),
				udp(is(sport, port(dhcpServer))), drop()),
			r("iifname . ip saddr @addresses accept", in(plan.SetAddresses, iifname, ipSaddr), accept()),
		}},
		// The server believes what a message says of who has sent it. No relay stands between it and a guest. In a first fragment
		// what is looked at here may be the frame's padding.
		{name: "dhcp-request", rules: []rule{
			r("ip frag-off & 0x2000 != 0 drop", masked(expr.CmpOpNeq, ipFragOff, []byte{0x20, 0}, []byte{0, 0}), drop()),
			r("@th,256,32 0 iifname . @th,288,48 @macs ip saddr 0.0.0.0 udp sport 68 accept", is(dhcpRelay, make([]byte, 4)),
				in(plan.SetMACs, iifname, dhcpMAC), is(ipSaddr, make([]byte, 4)), udp(is(sport, port(dhcpClient))), accept()),
			r("@th,256,32 0 iifname . @th,288,48 @macs iifname . ip saddr @addresses accept", is(dhcpRelay, make([]byte, 4)),
				in(plan.SetMACs, iifname, dhcpMAC), in(plan.SetAddresses, iifname, ipSaddr), accept()),
		}},
		{name: "ip6-packet", rules: []rule{
			r("ip6 saddr @own6 drop", in(plan.SetOwn6, ip6Saddr), drop()),
			r("iifname @anyone goto ip6-content", in(plan.SetAnyone, iifname), branch("ip6-content")),
			r("udp sport 547 drop", udp(is(sport, port(dhcp6Server))), drop()),
			r("udp dport 547 jump dhcp6-request", udp(is(dport, port(dhcp6Server))), jump("dhcp6-request")),
			r("ip6 saddr :: goto ip6-unspecified", is(ip6Saddr, make([]byte, 16)), branch("ip6-unspecified")),
			r("iifname . ip6 saddr @addresses6 goto ip6-content", in(plan.SetAddress6, iifname, ip6Saddr), branch("ip6-content")),
			r("ip6 saddr & ffc0:: != fe80:: ip6 saddr & ffff:ffff:ffff:ffff:: != @slaac drop", notMadeUp(ip6Saddr), drop()),
			r("jump claim-source", jump("claim-source")),
			r("goto ip6-content", branch("ip6-content")),
		}},
		// A relay would say whose MAC address it is that the server knows a guest by.
		{name: "dhcp6-request", rules: []rule{
			r("ip6 nexthdr udp @th,64,8 < 12 return", is(ip6Nexthdr, byte1(unix.IPPROTO_UDP)), below(dhcp6Type, byte1(relayForward)), back()),
			r("drop", drop()),
		}},
		{name: "ip6-content", rules: []rule{
			// What a packet has where headers can not be followed to the end is nothing, and not even different from ICMPv6.
			r("meta l4proto != ipv6-icmp accept", isNot(l4proto, byte1(unix.IPPROTO_ICMPV6)), accept()),
			// The first fragment has what matters and is looked at below; without it nobody puts the others together. They have
			// no type: some kernels take a byte of IPv6's header for it, others none, and would drop them.
			r("meta l4proto ipv6-icmp frag frag-off != 0 accept", is(l4proto, byte1(unix.IPPROTO_ICMPV6)),
				masked(expr.CmpOpNeq, fragOff, []byte{0xff, 0xf8}, []byte{0, 0}), accept()),
			r("icmpv6 type < nd-router-solicit accept", icmp6(below(icmpType, byte1(routerSolicit))), accept()),
			r("icmpv6 type > nd-redirect accept", icmp6(above(icmpType, byte1(redirect))), accept()),
			r("ip6 nexthdr != ipv6-icmp drop", isNot(ip6Nexthdr, byte1(unix.IPPROTO_ICMPV6)), drop()),
			r("iifname @anyone goto nd-anyone", in(plan.SetAnyone, iifname), branch("nd-anyone")),
			r("icmpv6 type nd-router-solicit goto nd-router", icmp6(is(icmpType, byte1(routerSolicit))), branch("nd-router")),
			r("icmpv6 type nd-neighbor-solicit goto nd-solicit", icmp6(is(icmpType, byte1(neighborSolicit))), branch("nd-solicit")),
			r("icmpv6 type nd-neighbor-advert goto nd-advert", icmp6(is(icmpType, byte1(neighborAdvert))), branch("nd-advert")),
		}},
		// What a guest says of the link-layer address of its own is believed by the DHCPv6 server too, which knows it by that.
		// A message has that option (1 or 2, of one unit of 8 bytes) or none: behind another one it could be hidden.
		{name: "nd-router", rules: []rule{
			r("ip6 length 8 accept", is(ip6Length, length(8)), accept()),
			r("ip6 length 16 @th,64,16 0x0101 iifname . @th,80,48 @macs accept", is(ip6Length, length(16)),
				is(rsOption, []byte{sourceLink, 1}), in(plan.SetMACs, iifname, rsMAC), accept()),
		}},
		{name: "nd-solicit", rules: []rule{
			r("ip6 length 24 accept", is(ip6Length, length(24)), accept()),
			r("ip6 length 32 @th,192,16 0x0101 iifname . @th,208,48 @macs accept", is(ip6Length, length(32)),
				is(ndOption, []byte{sourceLink, 1}), in(plan.SetMACs, iifname, ndMAC), accept()),
		}},
		{name: "nd-advert", rules: []rule{
			r("ip6 length 24 goto nd-target", is(ip6Length, length(24)), branch("nd-target")),
			r("ip6 length 32 @th,192,16 0x0201 iifname . @th,208,48 @macs goto nd-target", is(ip6Length, length(32)),
				is(ndOption, []byte{targetLink, 1}), in(plan.SetMACs, iifname, ndMAC), branch("nd-target")),
		}},
		{name: "ip6-unspecified", rules: []rule{
			r("icmpv6 type mld-listener-report accept", icmp6(is(icmpType, byte1(listenerReport))), accept()),
			r("icmpv6 type mld-listener-done accept", icmp6(is(icmpType, byte1(listenerDone))), accept()),
			r("icmpv6 type mld2-listener-report accept", icmp6(is(icmpType, byte1(listenerReport2))), accept()),
			r("ip6 nexthdr != ipv6-icmp drop", isNot(ip6Nexthdr, byte1(unix.IPPROTO_ICMPV6)), drop()),
			r("icmpv6 type nd-router-solicit accept", icmp6(is(icmpType, byte1(routerSolicit))), accept()),
			// Duplicate address detection (RFC 4862): who asks so says that the address is about to be its own.
			r("icmpv6 type nd-neighbor-solicit goto nd-target", icmp6(is(icmpType, byte1(neighborSolicit))), branch("nd-target")),
		}},
		{name: "nd-anyone", rules: []rule{
			r("icmpv6 type nd-neighbor-advert @th,64,128 @own6 drop", icmp6(is(icmpType, byte1(neighborAdvert))),
				in(plan.SetOwn6, ndTarget), drop()),
			r("ip6 saddr :: icmpv6 type nd-neighbor-solicit @th,64,128 @own6 drop", is(ip6Saddr, make([]byte, 16)),
				icmp6(is(icmpType, byte1(neighborSolicit))), in(plan.SetOwn6, ndTarget), drop()),
			r("accept", accept()),
		}},
		{name: "nd-target", rules: []rule{
			r("@th,64,128 @own6 drop", in(plan.SetOwn6, ndTarget), drop()),
			r("iifname . @th,64,128 @addresses6 accept", in(plan.SetAddress6, iifname, ndTarget), accept()),
			r("@th,64,128 & ffc0:: != fe80:: @th,64,128 & ffff:ffff:ffff:ffff:: != @slaac drop", notMadeUp(ndTarget), drop()),
			r("jump claim-target", jump("claim-target")),
			r("accept", accept()),
		}},
		{name: "claim-source", rules: claim("ip6 saddr", ip6Saddr)},
		{name: "claim-target", rules: claim("@th,64,128", ndTarget)},
	}
	return t
}

// notMadeUp is true of addresses that guests do not make themselves: outside of fe80::/10 (RFC 4291, 2.5.6) and of the
// subnet in which they do (RFC 4862).
func notMadeUp(f field) match {
	mask, subnet := netip.MustParseAddr("ffc0::").As16(), netip.MustParseAddr("ffff:ffff:ffff:ffff::").As16()
	linkLocal := netip.MustParseAddr("fe80::").As16()
	return append(masked(expr.CmpOpNeq, f, mask[:], linkLocal[:]), maskedNotIn(plan.SetSLAAC, f, subnet[:])...)
}

// claim returns from the chain with an address that the port has claimed, now or before, and drops others.
func claim(text string, address field) []rule {
	return []rule{
		r("iifname . "+text+" @claims update @claims { iifname . "+text+" } update @claimed { "+text+" } return",
			in(setClaims, iifname, address), update(setClaims, iifname, address), update(setClaimed, address), back()),
		r(text+" @given6 drop", in(setGiven6, address), drop()),
		r(text+" @claimed drop", in(setClaimed, address), drop()),
		r("add @claimants { iifname limit rate 1/minute burst 16 packets } add @claims { iifname . "+text+" } add @claimed { "+text+" } return",
			limit(setClaimants, iifname, claimsPerMinute, claimsAtOnce), add(setClaims, iifname, address), add(setClaimed, address), back()),
		r("drop", drop()),
	}
}

// routerTable has a network's router send packets out by the uplink and bring back what comes from there, and nothing else:
// guests reach each other without it. One that sent it packets for all addresses of the subnet would otherwise have it look
// for as many neighbours, and the kernel knows about a thousand at a time for all networks and the host together.
//
// What bridges pass on between guests gets here too where br_netfilter is loaded. The mark tells it from what was sent to
// the router.
func routerTable() *table {
	return &table{
		Table: nftables.Table{Family: nftables.TableFamilyINet, Name: "eve-metadata-router"},
		chains: []chain{
			{
				name: "forward", kind: nftables.ChainTypeFilter, hook: nftables.ChainHookForward, policy: nftables.ChainPolicyAccept,
				rules: []rule{
					r(`meta mark 1 iifname != "up0" oifname != "up0" drop`, is(mark, markUp), isNot(iifname, ifname(plan.UplinkEnd)),
						isNot(oifname, ifname(plan.UplinkEnd)), drop()),
				},
			},
		},
	}
}

// uplinkTable gives what leaves a network by its uplink the uplink's address, and lets nothing in but answers: neither to
// guests nor to the metadata service.
func uplinkTable() *table {
	notUp := isNot(iifname, ifname(plan.UplinkEnd))
	return &table{
		Table: nftables.Table{Family: nftables.TableFamilyINet, Name: "eve-metadata-uplink"},
		chains: []chain{
			{
				name: "postrouting", kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPostrouting,
				priority: *nftables.ChainPriorityNATSource, policy: nftables.ChainPolicyAccept,
				rules: []rule{
					r(`oifname "up0" masquerade`, is(oifname, ifname(plan.UplinkEnd)), masquerade()),
				},
			},
			{
				name: "forward", kind: nftables.ChainTypeFilter, hook: nftables.ChainHookForward,
				rules: []rule{
					r(`iifname != "up0" accept`, notUp, accept()),
					r("ct state established,related accept", answers(), accept()),
				},
			},
			{
				name: "input", kind: nftables.ChainTypeFilter, hook: nftables.ChainHookInput,
				rules: append([]rule{
					r(`iifname != "up0" accept`, notUp, accept()),
					r("ct state established,related accept", answers(), accept()),
				}, neighbours()...),
			},
		},
	}
}

// neighbours accepts what the two ends of an uplink have to ask each other.
func neighbours() []rule {
	return []rule{
		r("meta nfproto ipv6 icmpv6 type nd-neighbor-solicit accept", ip6Only(), icmp6(is(icmpType, byte1(neighborSolicit))), accept()),
		r("meta nfproto ipv6 icmpv6 type nd-neighbor-advert accept", ip6Only(), icmp6(is(icmpType, byte1(neighborAdvert))), accept()),
	}
}

// beforeDNAT is ahead of the chain that iptables(8) has for it.
const beforeDNAT = -101

// hostTable is the host's side of uplinks, and keeps EVE's redirection away from what is asked of us on EVE's bridges.
//
// What comes from an uplink leaves with an address of the host's, by the interface that it may leave by, to no other
// network's uplink, and reaches nothing on the host itself. Everything else is accepted, which to netfilter means that
// others may still drop it; even without its rules the table cuts nobody off who has nothing to do with us.
//
// On bridges, what guests ask for at the metadata address is sent to the metadata address. A mere accept would leave it to the
// next chain at the same hook, which is zedrouter's; once a connection has a destination no later chain is asked for one.
func hostTable() *table {
	notUplink, toUplink := isNot(iifname, []byte(plan.UplinkPrefix)), is(oifname, []byte(plan.UplinkPrefix))
	metadata := netip.AddrFrom4([4]byte{169, 254, 169, 254}).AsSlice()
	return &table{
		Table: nftables.Table{Family: nftables.TableFamilyINet, Name: "eve-metadata"},
		sets: []set{
			{name: plan.SetUplinks, key: elementType{partIfname}},
			{name: plan.SetUplinkBy, key: elementType{partIfname, partIfname}},
			{name: plan.SetBridges, key: elementType{partIfname}},
		},
		chains: []chain{
			{
				name: "prerouting", kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPrerouting,
				priority: beforeDNAT, policy: nftables.ChainPolicyAccept,
				rules: []rule{
					r("iifname @bridges meta nfproto ipv4 ip daddr 169.254.169.254 tcp dport 80 dnat ip to 169.254.169.254",
						in(plan.SetBridges, iifname), ip4Only(), is(ipDaddr, metadata), tcp(is(dport, port(80))), dnat(metadata)),
				},
			},
			{
				name: "postrouting", kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPostrouting,
				priority: *nftables.ChainPriorityNATSource, policy: nftables.ChainPolicyAccept,
				rules: []rule{
					r("iifname @uplinks masquerade", in(plan.SetUplinks, iifname), masquerade()),
					r("iifname . oifname @uplinkby masquerade", in(plan.SetUplinkBy, iifname, oifname), masquerade()),
				},
			},
			{
				name: "forward", kind: nftables.ChainTypeFilter, hook: nftables.ChainHookForward, policy: nftables.ChainPolicyAccept,
				rules: []rule{
					r(`iifname != "mdu*" oifname "mdu*" ct state established,related accept`, notUplink, toUplink, answers(), accept()),
					r(`oifname "mdu*" drop`, toUplink, drop()),
					r(`iifname != "mdu*" accept`, notUplink, accept()),
					r("iifname @uplinks accept", in(plan.SetUplinks, iifname), accept()),
					r("iifname . oifname @uplinkby accept", in(plan.SetUplinkBy, iifname, oifname), accept()),
					r("drop", drop()),
				},
			},
			{
				name: "input", kind: nftables.ChainTypeFilter, hook: nftables.ChainHookInput, policy: nftables.ChainPolicyAccept,
				rules: append(append([]rule{
					r(`iifname != "mdu*" accept`, notUplink, accept()),
					r("meta nfproto ipv4 icmp type echo-request accept", ip4Only(), icmp(is(icmpType, byte1(echoRequest))), accept()),
					r("meta nfproto ipv6 icmpv6 type echo-request accept", ip6Only(), icmp6(is(icmpType, byte1(echoRequest6))), accept()),
				}, neighbours()...),
					r("drop", drop())),
			},
		},
	}
}
