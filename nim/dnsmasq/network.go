// SPDX-License-Identifier: Apache-2.0

// Package dnsmasq has guests get their addresses and names: it keeps a dnsmasq running for each app network that wants one.
//
// In comes, for each network, what its guests are to be told (Network) and the namespace to do it in; out come dnsmasq's
// files (Network.Files, a pure function) and a process that has read them (Keeper). Package nim calls it. The program is
// Debian's own, of version 2.90 or near.
//
// A process is no part of ours. It stays when ours ends, so that guests do not notice, and the next one takes it over: it is
// known by its only argument, the path of its configuration, and by its namespace. (Under systemd that takes
// KillMode=process.) To take over one that has become another user, and to signal it, needs CAP_SYS_PTRACE and CAP_KILL.
//
// What changes from day to day, guests and their options, reaches the process by SIGHUP, and leases stay. Only another
// configuration makes it start again. A guest that takes over another one's address gets it at once: dnsmasq, which
// otherwise keeps an address to itself until its lease has run out, is told in the old owner's name that he gives it up.
//
// What dnsmasq does not do: DHCPv6 leases are its clients' by their DUID, so that a guest with a new one (another system on
// the same adapter) gets its IPv6 address only when the old lease has run out; IPv6 routes are not told.
package dnsmasq

import (
	"net"
	"net/netip"
	"time"
)

// Network is all that one network's dnsmasq is told.
type Network struct {
	Interface string        // that it answers on; it has the routers' addresses
	Domain    string        // of guests, which is answered for here only; "": none
	Search    []string      // domains that guests look names up in besides Domain
	MTU       int           // bytes; 0: not told
	LeaseTime time.Duration // less than MinLeaseTime is that

	IPv4, IPv6 Subnet // zero: no such family
	SLAAC      bool   // guests make their IPv6 addresses themselves, rather than get them by DHCPv6
	DHCP       bool   // addresses are handed out, and IPv6's router is advertised
	DNS        bool   // names are answered, and guests are told to ask here

	Upstream    []netip.Addr // servers that are asked for names that are not known here; none: those names do not exist
	Nameservers []netip.Addr // that guests are told to ask where DNS is false
	NTP         []netip.Addr
	Routes      []Route    // that guests are told besides the default route and Metadata's
	Metadata    netip.Addr // IPv4 address that guests reach by the router, whatever else they have; not valid: none
	Records     []Record
	Guests      []Guest

	User string // that the process is once it has started; "": the one that started it
}

// Subnet is a network's addresses in one family.
type Subnet struct {
	Prefix netip.Prefix
	Router netip.Addr // an address of Network.Interface; not valid: guests have no default route
}

// Route is a route that guests are told of.
type Route struct {
	Dst netip.Prefix
	Via netip.Addr
}

// Record is a name that DNS knows besides those of guests.
type Record struct {
	Name  string
	Addrs []netip.Addr
}

// Guest is one adapter of an app instance.
type Guest struct {
	App, Adapter string // the app instance's UUID, and the adapter's name
	MAC          net.HardwareAddr
	IPv4, IPv6   netip.Addr // not valid: none, or one that the guest makes itself
	Names        []string   // see Names; the first is what the addresses are called in reverse
	MTU          int        // bytes; 0: the network's
}
