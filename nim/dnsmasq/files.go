// SPDX-License-Identifier: Apache-2.0

package dnsmasq

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Names of a network's files, in its folder. What changes with guests and their options is in files of its own, which
// dnsmasq reads anew at SIGHUP: it is started again for a change of confFile only.
const (
	confFile    = "dnsmasq.conf"
	hostsFile   = "hosts"        // names and addresses, as hosts(5) has them
	guestsFile  = "dhcp-hosts"   // addresses by MAC
	optionsFile = "dhcp-options" // what guests are told by DHCP
	leasesFile  = "leases"       // dnsmasq's own
)

// minLease is the shortest lease that dnsmasq gives: it takes two minutes for anything less.
const minLease = 2 * time.Minute

// minPrefix6 is the shortest prefix that dnsmasq hands out addresses of IPv6 from.
const minPrefix6 = 64

// Times of router advertisements, in seconds. A router that is gone or new is known after the first; guests that start ask
// for one and need not wait.
const (
	advertInterval = 60
	routerLifetime = 1800
)

// Names by which guests find their router: EVE's, and that of CloudStack's clients for who has metadata and passwords.
var routerNames = []string{"router", "data-server"}

// Files returns the network's files, by name, for a folder at dir. It is a pure function: the same network has the same
// files, in whatever order its guests are. What can not be said in them is left out: a name that is none in DNS, a name
// that the network or a guest with a smaller App and Adapter has already, a guest without MAC or whose MAC another one
// has, routes that no longer fit in an option. Interface, User and dir must be plain words.
func (n *Network) Files(dir string) map[string][]byte {
	guests := n.distinctGuests()
	return map[string][]byte{
		confFile:    n.conf(dir, guests),
		hostsFile:   n.hosts(guests),
		guestsFile:  n.addresses(guests),
		optionsFile: n.options(guests),
	}
}

// lines is a file that is being written.
type lines struct{ bytes.Buffer }

func (l *lines) add(parts ...string) {
	l.WriteString(strings.Join(parts, ","))
	l.WriteByte('\n')
}

// distinctGuests returns the guests that have a MAC of their own, in the order of App and Adapter.
func (n *Network) distinctGuests() []Guest {
	sorted := slices.SortedFunc(slices.Values(n.Guests), func(a, b Guest) int {
		return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Adapter, b.Adapter))
	})
	seen := map[string]bool{}
	return slices.DeleteFunc(sorted, func(g Guest) bool {
		mac := g.MAC.String()
		unfit := len(g.MAC) != macLen || seen[mac]
		seen[mac] = true
		return unfit
	})
}

const macLen = 6 // of Ethernet

// conf is what dnsmasq reads once, when it starts.
func (n *Network) conf(dir string, guests []Guest) []byte {
	user := cmp.Or(n.User, "root")
	l := &lines{}
	l.add("keep-in-foreground")
	l.add("log-facility=-") // standard error
	l.add("log-async=100")  // whoever reads it is not waited for
	l.add("quiet-dhcp")
	l.add("quiet-dhcp6")
	l.add("quiet-ra")
	l.add("pid-file") // none
	l.add("user=" + user)
	if user == "root" {
		l.add("group=") // stays too: in a user namespace it may not be set
	}
	// The interface and its addresses may go and come again. Its own loopback interface is none of dnsmasq's business.
	l.add("interface=" + n.Interface)
	l.add("except-interface=lo")
	l.add("bind-dynamic")
	n.confDNS(l, dir)
	if n.DHCP {
		n.confDHCP(l, dir)
		if n.IPv4.Prefix.IsValid() {
			n.confMTUs(l, guests)
		}
	}
	return l.Bytes()
}

// confDNS has names answered that are known here, and others forwarded or denied. Nothing of the host's own files is read.
// There is no hostsdir, which would be watched by inotify: 128 instances of that are what a user may have by default, and
// there is a dnsmasq for every network. For the same reason no-resolv matters.
func (n *Network) confDNS(l *lines, dir string) {
	l.add("no-hosts")
	l.add("no-resolv")
	if !n.DNS {
		l.add("port=0")
		return
	}
	l.add("addn-hosts=" + filepath.Join(dir, hostsFile))
	l.add("domain-needed")
	l.add("bogus-priv")
	if isName(n.Domain) {
		l.add("local=/" + n.Domain + "/")
	}
	for _, s := range []Subnet{n.IPv4, n.IPv6} {
		if s.Prefix.IsValid() {
			l.add("rev-server=" + s.Prefix.Masked().String()) // to nobody
		}
	}
	for _, a := range n.Upstream {
		l.add("server=" + a.String())
	}
	if len(n.Upstream) == 0 {
		l.add("local=/#/") // every name is ours: what is not known does not exist
	}
}

// confDHCP has addresses handed out to those guests that have one by their MAC, and to nobody else. It is the only server
// that there is: a guest that comes with an address of another time or place is told at once, and nobody is pinged before
// he gets the address that is his. What guests call themselves does not get into DNS.
func (n *Network) confDHCP(l *lines, dir string) {
	l.add("dhcp-authoritative")
	l.add("no-ping")
	l.add("dhcp-rapid-commit")
	l.add("dhcp-ignore-names")
	l.add("dhcp-no-override") // options stay where every client looks for them
	l.add("dhcp-lease-max=65536")
	l.add("dhcp-leasefile=" + filepath.Join(dir, leasesFile))
	l.add("dhcp-hostsfile=" + filepath.Join(dir, guestsFile))
	l.add("dhcp-optsfile=" + filepath.Join(dir, optionsFile))
	if isName(n.Domain) {
		l.add("domain=" + n.Domain)
	}
	lease := seconds(max(n.LeaseTime, minLease))
	if p := n.IPv4.Prefix; p.IsValid() {
		l.add("dhcp-range="+p.Masked().Addr().String(), "static", mask(p), lease)
	}
	if p := n.IPv6.Prefix; p.IsValid() {
		mode := "static"
		if n.SLAAC {
			mode = "ra-stateless" // addresses are the guests' own business, all else is asked for
		}
		l.add("dhcp-range="+p.Masked().Addr().String(), mode, strconv.Itoa(max(p.Bits(), minPrefix6)), lease)
		l.add("enable-ra")
		n.confAdvert(l)
	}
}

// confMTUs tells guests apart that have an MTU of their own. That has to be here: dnsmasq (2.90) crashes when it reads
// guestsFile anew after it has answered a guest that has a tag there.
func (n *Network) confMTUs(l *lines, guests []Guest) {
	for _, g := range guests {
		if n.hasOwnMTU(g) {
			l.add("dhcp-mac=set:"+mtuTag(g.MTU), g.MAC.String())
		}
	}
}

// confAdvert says how IPv6's router is advertised; not as a router where there is none.
func (n *Network) confAdvert(l *lines) {
	parts := []string{"ra-param=" + n.Interface}
	if n.MTU != 0 {
		parts = append(parts, "mtu:"+strconv.Itoa(n.MTU))
	}
	lifetime := 0
	if n.IPv6.Router.IsValid() {
		lifetime = routerLifetime
	}
	l.add(append(parts, strconv.Itoa(advertInterval), strconv.Itoa(lifetime))...)
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// mask returns the netmask of an IPv4 prefix.
func mask(p netip.Prefix) string {
	bits := ^uint32(0) << (32 - p.Bits())
	return netip.AddrFrom4([4]byte{byte(bits >> 24), byte(bits >> 16), byte(bits >> 8), byte(bits)}).String()
}

// addresses is which guest gets which address. A guest is known by its MAC, whatever it calls itself ("id:*"): its firmware,
// its initrd and its system each have a client identifier of their own.
func (n *Network) addresses(guests []Guest) []byte {
	l := &lines{}
	for _, g := range guests {
		parts := []string{g.MAC.String(), "id:*"}
		addressed := false
		if n.IPv4.Prefix.IsValid() && g.IPv4.IsValid() {
			parts, addressed = append(parts, g.IPv4.String()), true
		}
		if n.IPv6.Prefix.IsValid() && g.IPv6.IsValid() && !n.SLAAC {
			parts, addressed = append(parts, "["+g.IPv6.String()+"]"), true
		}
		// Where it answers DNS, dnsmasq tells a guest the name that it has there for its address. A name that stood here
		// would become one in DNS besides.
		if name := hostname(g); name != "" && !n.DNS {
			parts = append(parts, name)
		}
		if addressed {
			l.add(parts...)
		}
	}
	return l.Bytes()
}

// hostname returns the first label of a guest's first name.
func hostname(g Guest) string {
	if len(g.Names) == 0 || !isName(g.Names[0]) {
		return ""
	}
	label, _, _ := strings.Cut(g.Names[0], ".")
	return label
}

// hasOwnMTU tells whether a guest is to be told another MTU than the network's.
func (n *Network) hasOwnMTU(g Guest) bool { return g.MTU != 0 && g.MTU != n.MTU }

func mtuTag(mtu int) string { return "mtu" + strconv.Itoa(mtu) }

// options is what guests are told. An option without a value is one that is not sent: dnsmasq would make one up.
func (n *Network) options(guests []Guest) []byte {
	l := &lines{}
	if n.IPv4.Prefix.IsValid() {
		n.options4(l)
		for _, mtu := range n.mtus(guests) {
			l.add("tag:"+mtuTag(mtu), "option:mtu", strconv.Itoa(mtu))
		}
	}
	if n.IPv6.Prefix.IsValid() {
		n.options6(l)
	}
	return l.Bytes()
}

// mtus returns the MTUs that guests have of their own, each once.
func (n *Network) mtus(guests []Guest) []int {
	var of []int
	for _, g := range guests {
		if n.hasOwnMTU(g) {
			of = append(of, g.MTU)
		}
	}
	slices.Sort(of)
	return slices.Compact(of)
}

func (n *Network) options4(l *lines) {
	addr := func(a netip.Addr) string { return a.String() }
	l.add(values("option:router", known(n.IPv4.Router), addr)...)
	l.add(values("option:dns-server", n.servers(n.IPv4.Router, netip.Addr.Is4), addr)...)
	if ntp := family(n.NTP, netip.Addr.Is4); len(ntp) != 0 {
		l.add(values("option:ntp-server", ntp, addr)...)
	}
	if search := n.search(); len(search) != 0 {
		l.add(append([]string{"option:domain-search"}, search...)...)
	}
	if n.MTU != 0 {
		l.add("option:mtu", strconv.Itoa(n.MTU))
	}
	if routes := n.routes(); len(routes) != 0 {
		// RFC 3442, and the number that Windows asks for.
		l.add(append([]string{"option:classless-static-route"}, routes...)...)
		l.add(append([]string{"249"}, routes...)...)
	}
}

// options6 is what DHCPv6 tells, and what router advertisements say of DNS (RFC 8106). Neither knows routes.
func (n *Network) options6(l *lines) {
	addr := func(a netip.Addr) string { return "[" + a.String() + "]" }
	l.add(values("option6:dns-server", n.servers(n.IPv6.Router, netip.Addr.Is6), addr)...)
	if ntp := family(n.NTP, netip.Addr.Is6); len(ntp) != 0 {
		l.add(values("option6:sntp-server", ntp, addr)...)
	}
	if search := n.search(); len(search) != 0 {
		l.add(append([]string{"option6:domain-search"}, search...)...)
	}
}

// values returns an option with addresses.
func values(option string, addrs []netip.Addr, format func(netip.Addr) string) []string {
	parts := []string{option}
	for _, a := range addrs {
		parts = append(parts, format(a))
	}
	return parts
}

func known(a netip.Addr) []netip.Addr {
	if !a.IsValid() {
		return nil
	}
	return []netip.Addr{a}
}

func family(addrs []netip.Addr, is func(netip.Addr) bool) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return !is(a) })
}

// servers returns the servers that guests are told to ask for names: the router, or others of its family.
func (n *Network) servers(router netip.Addr, is func(netip.Addr) bool) []netip.Addr {
	if n.DNS {
		return known(router)
	}
	return family(n.Nameservers, is)
}

// maxOption is the longest value of a DHCP option, in bytes. dnsmasq refuses to split one into several (RFC 3396).
const maxOption = 255

// search returns the domains that guests look names up in, the network's own first, as many as fit in an option: there
// each has a byte for every label's length and one at its end (RFC 3397).
func (n *Network) search() []string {
	var domains []string
	room := maxOption
	for _, d := range append([]string{n.Domain}, n.Search...) {
		size := len(d) + 2
		if isName(d) && !slices.Contains(domains, d) && size <= room {
			domains = append(domains, d)
			room -= size
		}
	}
	return domains
}

// routes returns the classless routes, destination and router in turn, as many as fit. Who gets them takes no notice of the
// router option (RFC 3442), so the default route is among them. Metadata's comes first: it is what must not be missing.
func (n *Network) routes() []string {
	var routes []Route
	if n.Metadata.Is4() {
		routes = append(routes, Route{Dst: netip.PrefixFrom(n.Metadata, 32), Via: n.IPv4.Router})
	}
	if n.IPv4.Router.IsValid() {
		routes = append(routes, Route{Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: n.IPv4.Router})
	}
	var parts []string
	room := maxOption
	for _, r := range append(routes, n.Routes...) {
		size := 1 + (r.Dst.Bits()+7)/8 + 4
		if !r.Dst.Addr().Is4() || r.Via.Is6() || size > room {
			continue
		}
		room -= size
		via := r.Via
		if !via.IsValid() {
			via = netip.IPv4Unspecified() // on the guest's own link
		}
		parts = append(parts, r.Dst.Masked().String(), via.String())
	}
	return parts
}

// hosts is the names that DNS knows. The first of a line is what its address is called.
func (n *Network) hosts(guests []Guest) []byte {
	names := namer{taken: map[string]bool{}}
	own := routerNames
	if isName(n.Domain) {
		own = nil
		for _, name := range routerNames {
			own = append(own, name+"."+n.Domain, name)
		}
	}
	names.add(own, n.IPv4.Router, n.IPv6.Router)
	for _, r := range n.recordNames() {
		names.add([]string{r.Name}, r.Addrs...)
	}
	for _, g := range guests {
		names.add(g.Names, g.IPv4, g.IPv6)
	}
	return names.Bytes()
}

// recordNames returns the static names in order.
func (n *Network) recordNames() []Record {
	return slices.SortedStableFunc(slices.Values(n.Records), func(a, b Record) int { return cmp.Compare(a.Name, b.Name) })
}

// namer writes names, each of them once: who comes first has it.
type namer struct {
	lines
	taken map[string]bool
}

func (l *namer) add(names []string, addrs ...netip.Addr) {
	var free []string
	for _, name := range names {
		if key := strings.ToLower(name); isName(name) && !l.taken[key] {
			l.taken[key] = true
			free = append(free, name)
		}
	}
	for _, a := range addrs {
		if a.IsValid() && len(free) != 0 {
			fmt.Fprintf(l, "%s %s\n", a.WithZone(""), strings.Join(free, " "))
		}
	}
}
