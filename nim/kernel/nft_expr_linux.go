// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"time"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The words that the rules of our tables are written in (nft_tables_linux.go): each is what nft(8) makes of it.

// Numbers of protocols, as in the headers that they stand in.
const (
	etherARP   = unix.ETH_P_ARP
	etherIP    = unix.ETH_P_IP
	etherIP6   = unix.ETH_P_IPV6
	etherVLAN  = unix.ETH_P_8021Q
	etherQinQ  = unix.ETH_P_8021AD
	etherFirst = unix.ETH_P_802_3_MIN // smaller ones are lengths of IEEE 802.3 frames, not types

	routerSolicit   = 133 // RFC 4861
	neighborSolicit = 135
	neighborAdvert  = 136
	redirect        = 137
	listenerReport  = 131 // RFC 2710
	listenerDone    = 132
	listenerReport2 = 143 // RFC 3810
	echoRequest     = 8   // RFC 792
	echoRequest6    = 128 // RFC 4443

	sourceLink = 1 // RFC 4861, 4.6.1: options with a link-layer address
	targetLink = 2

	dhcpServer   = 67 // RFC 2131
	dhcpClient   = 68
	dhcp6Server  = 547 // RFC 8415
	relayForward = 12  // and above: messages of relays
)

// field is something of a packet, or of what is known of it: a function that loads it into a register.
type field func(register uint32) expr.Any

// firstRegister of four; each has 16 bytes, which holds the largest field.
const firstRegister = 1

func meta(key expr.MetaKey) field {
	return func(r uint32) expr.Any { return &expr.Meta{Key: key, Register: r} }
}

func payload(base expr.PayloadBase, offset, length uint32) field {
	return func(r uint32) expr.Any {
		return &expr.Payload{DestRegister: r, Base: base, Offset: offset, Len: length}
	}
}

func link(offset, length uint32) field { return payload(expr.PayloadBaseLLHeader, offset, length) }
func network(offset, length uint32) field {
	return payload(expr.PayloadBaseNetworkHeader, offset, length)
}
func transport(offset, length uint32) field {
	return payload(expr.PayloadBaseTransportHeader, offset, length)
}

func iifname(r uint32) expr.Any  { return meta(expr.MetaKeyIIFNAME)(r) }
func oifname(r uint32) expr.Any  { return meta(expr.MetaKeyOIFNAME)(r) }
func protocol(r uint32) expr.Any { return meta(expr.MetaKeyPROTOCOL)(r) }
func nfproto(r uint32) expr.Any  { return meta(expr.MetaKeyNFPROTO)(r) }
func mark(r uint32) expr.Any     { return meta(expr.MetaKeyMARK)(r) }
func l4proto(r uint32) expr.Any  { return meta(expr.MetaKeyL4PROTO)(r) }

func etherSaddr(r uint32) expr.Any { return link(6, 6)(r) }

// etherType is the frame's own: that of the VLAN tag when there is one, where protocol is that of the packet within.
func etherType(r uint32) expr.Any { return link(12, 2)(r) }
func vlanTag(r uint32) expr.Any   { return link(14, 2)(r) }

// innerTag is the VLAN tag behind the one that etherType is that of, where protocol says that there is one.
func innerTag(r uint32) expr.Any { return network(0, 2)(r) }
func llc(r uint32) expr.Any      { return link(14, 2)(r) }

func arpHead(r uint32) expr.Any       { return network(0, 6)(r) } // RFC 826: ar$hrd, pro, hln, pln
func arpSaddrEther(r uint32) expr.Any { return network(8, 6)(r) }
func arpSaddrIP(r uint32) expr.Any    { return network(14, 4)(r) }
func arpDaddrIP(r uint32) expr.Any    { return network(24, 4)(r) }

func ipFragOff(r uint32) expr.Any  { return network(6, 2)(r) } // with the flags beside it
func ipSaddr(r uint32) expr.Any    { return network(12, 4)(r) }
func ipDaddr(r uint32) expr.Any    { return network(16, 4)(r) }
func ip6Length(r uint32) expr.Any  { return network(4, 2)(r) } // of what follows IPv6's header
func ip6Nexthdr(r uint32) expr.Any { return network(6, 1)(r) }
func ip6Saddr(r uint32) expr.Any   { return network(8, 16)(r) }
func ip6Daddr(r uint32) expr.Any   { return network(24, 16)(r) }

func sport(r uint32) expr.Any    { return transport(0, 2)(r) }
func dport(r uint32) expr.Any    { return transport(2, 2)(r) }
func icmpType(r uint32) expr.Any { return transport(0, 1)(r) }

// ndTarget is the address that a neighbour solicitation or advertisement is about.
func ndTarget(r uint32) expr.Any { return transport(8, 16)(r) }

// The first option of a neighbour solicitation or advertisement: its type and length, and the address in it.
func ndOption(r uint32) expr.Any { return transport(24, 2)(r) }
func ndMAC(r uint32) expr.Any    { return transport(26, 6)(r) }

// The first option of a router solicitation likewise.
func rsOption(r uint32) expr.Any { return transport(8, 2)(r) }
func rsMAC(r uint32) expr.Any    { return transport(10, 6)(r) }

// What DHCP messages say of who sends them, behind UDP's header: giaddr and chaddr of RFC 2131; the type of RFC 8415.
func dhcpRelay(r uint32) expr.Any { return transport(32, 4)(r) }
func dhcpMAC(r uint32) expr.Any   { return transport(36, 6)(r) }
func dhcp6Type(r uint32) expr.Any { return transport(8, 1)(r) }

// fragOff is an IPv6 fragment's offset, with the flags of its header beside it.
func fragOff(r uint32) expr.Any {
	return &expr.Exthdr{DestRegister: r, Type: unix.IPPROTO_FRAGMENT, Offset: 2, Len: 2, Op: expr.ExthdrOpIpv6}
}

// match is a part of a rule. What it is not true of, the rule does not concern; so it is with what a packet does not have.
type match []expr.Any

func compare(op expr.CmpOp, f field, value []byte) match {
	return match{f(firstRegister), &expr.Cmp{Op: op, Register: firstRegister, Data: value}}
}

func is(f field, value []byte) match    { return compare(expr.CmpOpEq, f, value) }
func isNot(f field, value []byte) match { return compare(expr.CmpOpNeq, f, value) }
func below(f field, value []byte) match { return compare(expr.CmpOpLt, f, value) }
func above(f field, value []byte) match { return compare(expr.CmpOpGt, f, value) }

// masked compares those bits of a field that are set in the mask.
func masked(op expr.CmpOp, f field, mask, value []byte) match {
	return append(loadMasked(f, mask), &expr.Cmp{Op: op, Register: firstRegister, Data: value})
}

// maskedNotIn is true when a set does not have those bits.
func maskedNotIn(set string, f field, mask []byte) match {
	return append(loadMasked(f, mask), &expr.Lookup{SourceRegister: firstRegister, SetName: set, Invert: true})
}

func loadMasked(f field, mask []byte) match {
	return match{
		f(firstRegister),
		&expr.Bitwise{
			SourceRegister: firstRegister, DestRegister: firstRegister,
			Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask)),
		},
	}
}

// load loads fields one behind the other, as the elements of sets have them.
func load(fields []field) match {
	var m match
	for i, f := range fields {
		m = append(m, f(firstRegister+uint32(i)))
	}
	return m
}

func in(set string, fields ...field) match {
	return append(load(fields), &expr.Lookup{SourceRegister: firstRegister, SetName: set})
}

func notIn(set string, fields ...field) match {
	return append(load(fields), &expr.Lookup{SourceRegister: firstRegister, SetName: set, Invert: true})
}

// add puts fields into a set, unless it is full. What is there keeps the time that it has left.
func add(set string, fields ...field) match {
	return append(load(fields), &expr.Dynset{SrcRegKey: firstRegister, SetName: set, Operation: unix.NFT_DYNSET_OP_ADD})
}

// update puts fields into a set, unless it is full. What is there has its full time again.
func update(set string, fields ...field) match {
	return append(load(fields), &expr.Dynset{SrcRegKey: firstRegister, SetName: set, Operation: unix.NFT_DYNSET_OP_UPDATE})
}

// limit is true at that rate at most for each element of a set that is put in.
func limit(set string, f field, perMinute uint64, burst uint32) match {
	return match{f(firstRegister), &expr.Dynset{
		SrcRegKey: firstRegister, SetName: set, Operation: unix.NFT_DYNSET_OP_ADD,
		Exprs: []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: perMinute, Unit: expr.LimitTimeMinute, Burst: burst}},
	}}
}

// answers is true of packets that belong to a connection which somebody else began.
func answers() match {
	mask := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return match{
		&expr.Ct{Key: expr.CtKeySTATE, Register: firstRegister},
		&expr.Bitwise{SourceRegister: firstRegister, DestRegister: firstRegister, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: firstRegister, Data: make([]byte, 4)},
	}
}

func udp(m match) match   { return append(is(l4proto, byte1(unix.IPPROTO_UDP)), m...) }
func tcp(m match) match   { return append(is(l4proto, byte1(unix.IPPROTO_TCP)), m...) }
func icmp(m match) match  { return append(is(l4proto, byte1(unix.IPPROTO_ICMP)), m...) }
func icmp6(m match) match { return append(is(l4proto, byte1(unix.IPPROTO_ICMPV6)), m...) }

func ip4Only() match { return is(nfproto, byte1(unix.NFPROTO_IPV4)) }
func ip6Only() match { return is(nfproto, byte1(unix.NFPROTO_IPV6)) }

func verdict(kind expr.VerdictKind, chain string) match {
	return match{&expr.Verdict{Kind: kind, Chain: chain}}
}

func accept() match             { return verdict(expr.VerdictAccept, "") }
func drop() match               { return verdict(expr.VerdictDrop, "") }
func back() match               { return verdict(expr.VerdictReturn, "") }
func jump(chain string) match   { return verdict(expr.VerdictJump, chain) }
func branch(chain string) match { return verdict(expr.VerdictGoto, chain) }

// setMark gives the packet a mark, which it keeps in this namespace.
func setMark(value []byte) match {
	return match{
		&expr.Immediate{Register: firstRegister, Data: value},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: firstRegister},
	}
}

// toBridge has a frame end at the MAC address that a map has for the port that it came in at, as if it had been sent there.
func toBridge(ways string) match {
	return match{
		iifname(firstRegister),
		&expr.Lookup{SourceRegister: firstRegister, DestRegister: firstRegister, IsDestRegSet: true, SetName: ways},
		&expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: firstRegister, Base: expr.PayloadBaseLLHeader, Len: 6},
		&expr.Immediate{Register: firstRegister, Data: byte1(unix.PACKET_HOST)},
		&expr.Meta{Key: expr.MetaKeyPKTTYPE, SourceRegister: true, Register: firstRegister},
	}
}

func masquerade() match { return match{&expr.Masq{}} }

// dnat sends a connection to an IPv4 address.
func dnat(address []byte) match {
	return match{
		&expr.Immediate{Register: firstRegister, Data: address},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: firstRegister, RegAddrMax: firstRegister},
	}
}

func byte1(v byte) []byte    { return []byte{v} }
func port(v uint16) []byte   { return binary.BigEndian.AppendUint16(nil, v) }
func length(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
func ether(v uint16) []byte  { return binary.BigEndian.AppendUint16(nil, v) }

// claimTime is how long nobody else gets a link-local address that its owner does not use any more.
const claimTime = time.Hour
