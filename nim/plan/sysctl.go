// SPDX-License-Identifier: Apache-2.0

package plan

import "strings"

const (
	sysctlForward  = "net.ipv4.ip_forward"
	sysctlForward6 = "net.ipv6.conf.all.forwarding"
	sysctlMigrate  = "net.ipv4.tcp_migrate_req"
)

// sysctl is a parameter of a namespace.
type sysctl struct{ name, value string }

// ofNamespace are the parameters of a managed network's namespace. It forwards, also where there is nowhere to forward to:
// guests are told then at once that their packet goes nowhere, as often as they try (RFC 1812, 4.3.2.8, would have that
// limited; here the one who is told and the one who pays are on the same machine). Forwarding also ends the belief in
// other routers' advertisements and redirects.
//
// A connection that waits on a listening socket goes over to the one that takes its place, so that nobody is refused when
// the sockets change hands.
//
// Of the interfaces only the bridge and the uplink are to take part in IP. On ports it would be idle work, and a further
// bridge of the same network would answer for the addresses of the first one.
func ofNamespace() []sysctl {
	return []sysctl{
		{sysctlForward, "1"},
		{sysctlForward6, "1"},
		{"net.ipv4.icmp_ratelimit", "0"},
		{"net.ipv6.icmp.ratelimit", "0"},
		{sysctlMigrate, "1"},
		{"net.ipv4.conf.default.arp_ignore", "8"},
		{"net.ipv6.conf.default.disable_ipv6", "1"},
	}
}

// ofLink are the parameters of an interface that takes part in IP.
func ofLink(link string) []sysctl {
	return []sysctl{
		{"net.ipv4.conf." + link + ".arp_ignore", "0"},
		{disableIPv6(link), "0"},
	}
}

// ofSockets are the parameters of the host's own namespace while there are listening sockets of ours: it matters to no
// socket but those that share their address with another (see ofNamespace).
func ofSockets() []sysctl { return []sysctl{{sysctlMigrate, "1"}} }

// ofHost are the parameters of the host's own namespace while an uplink is there.
func ofHost(u *Uplink) []sysctl {
	if u.Host6.IsValid() {
		return []sysctl{{sysctlForward, "1"}, {sysctlForward6, "1"}}
	}
	return []sysctl{{sysctlForward, "1"}}
}

// Sysctls returns the names of the parameters that plans are made of, given the name of a managed network's bridge.
func Sysctls(bridge string) []string {
	var names []string
	for _, of := range [][]sysctl{ofNamespace(), ofLink(bridge), ofLink(UplinkEnd)} {
		for _, s := range of {
			names = append(names, s.name)
		}
	}
	return names
}

// HostSysctls returns the names of those of them that plans look at in a namespace of others, given the interface there.
func HostSysctls(link string) []string {
	return []string{sysctlForward, sysctlForward6, sysctlMigrate, disableIPv6(link)}
}

// disableIPv6 is the parameter of an interface that says whether it goes without IPv6. A dot of the interface's name is
// written as sysctl(8) has it.
func disableIPv6(link string) string {
	return "net.ipv6.conf." + strings.ReplaceAll(link, ".", "/") + ".disable_ipv6"
}

// sysctls plans parameters. Fresh ones have not been seen and are set in any case; of the others, one that was not seen is
// one that the kernel does not have.
func (p *planner) sysctls(s *space, fresh bool, want []sysctl) {
	for _, w := range want {
		if have, there := s.sysctls[w.name]; fresh || there && have != w.value {
			p.add(SysctlSet{s.name, w.name, w.value})
		}
	}
}
