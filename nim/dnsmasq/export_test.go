// SPDX-License-Identifier: Apache-2.0

package dnsmasq

import "net/netip"

// OptionRoutes returns the classless routes that guests are told.
func OptionRoutes(n *Network) []string { return n.routes() }

// Strays returns what of a file of leases is in others' way, one line each, by what owners the two files of guests name.
func Strays(file, before, now []byte) []string {
	var strays []string
	for _, l := range parseLeases(file).all {
		if l.stray(ownersIn(before), ownersIn(now)) {
			strays = append(strays, l.addr.String())
		}
	}
	return strays
}

// ReleaseMessages returns the messages that give up the leases of a file.
func ReleaseMessages(file []byte, server netip.Addr) [][]byte {
	var messages [][]byte
	l := parseLeases(file)
	for _, one := range l.all {
		if one.addr.Is4() {
			messages = append(messages, release4Message(one, server))
		} else {
			messages = append(messages, release6Message(one, l.server))
		}
	}
	return messages
}
