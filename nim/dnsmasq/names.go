// SPDX-License-Identifier: Apache-2.0

package dnsmasq

import (
	"slices"
	"strings"
)

// The words of an order of names, as NetworkMetadata.NameOrder has them.
const (
	nameBase   = "base"
	namePrefix = "prefix"
	nameDomain = "domain"
)

// Names returns the names of a guest in DNS, in the order that was asked for: "base" is the host's own name, "prefix" the
// prefix and that, "domain" both of these, as far as there are such, and the domain. What needs a prefix or a domain is left
// out without one, as are words that are not known. No order is domain, base. The first name is the one for reverse lookups.
func Names(host, prefix, domain string, order []string) []string {
	if len(order) == 0 {
		order = []string{nameDomain, nameBase}
	}
	var names []string
	for _, word := range order {
		name := ""
		switch {
		case word == nameBase:
			name = host
		case word == namePrefix && prefix != "":
			name = prefix + host
		case word == nameDomain && domain != "":
			name = prefix + host + "." + domain
		}
		if isName(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Longest names and labels, in bytes (RFC 1035, 2.3.4).
const (
	maxName  = 253
	maxLabel = 63
)

// isName tells whether DNS can have a name. Underscores are let through: they are no part of host names but are used. Any
// other byte would have a meaning in dnsmasq's files.
func isName(name string) bool {
	if len(name) > maxName {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel || strings.ContainsFunc(label, notInLabel) {
			return false
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

func notInLabel(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}
