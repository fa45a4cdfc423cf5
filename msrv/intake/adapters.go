// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"cmp"
	"net"
	"net/netip"
	"slices"

	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// fromStatus fills in the adapters: what they are comes from AppNetworkStatus, the networks behind
// them from NetworkInstanceStatus, what a guest shall be told about them from InstanceMetadata.
func fromStatus(inst *instance.Instance, f *Facts) {
	told := make(map[string]eve.AdapterMetadata, len(f.Metadata.Adapters))
	for _, m := range f.Metadata.Adapters {
		told[m.Name] = m
	}
	for i := range f.Status.AppNetAdapterList {
		s := &f.Status.AppNetAdapterList[i]
		n := network{f.Networks[s.Network], f.NetworkMetadata[s.Network]}
		if !f.there(s, &n.said) {
			continue
		}
		a := adapter(s, &n, told[s.Name])
		if f.inPod() {
			a.Network = inst.UUID
		}
		a.Tokens, a.HopLimit = tokens(n.said)
		inst.Adapters = append(inst.Adapters, a)
	}
}

// network is an app network: its state, and what else is said about it.
type network struct {
	eve.NetworkInstanceStatus
	said eve.NetworkMetadata
}

// there tells whether a guest has an adapter: one that is told of a card it does not have gives up on its
// network. In a namespace of somebody else's there is one, of which nobody may know the MAC address.
func (f *Facts) there(s *eve.AppNetAdapterStatus, n *eve.NetworkMetadata) bool {
	return s.VifInfo.Mac != nil || n.Namespace != "" || f.inPod()
}

// inPod tells whether the app has a network namespace that EVE has made for it alone. Whichever network instances its
// adapters are in, it asks inside of that namespace, which counts as a network of its own, called after the app.
func (f *Facts) inPod() bool { return f.Device && f.Status.AppPod.NetNsPath != "" }

// maxHopLimit is the highest hop limit that EC2 knows.
const maxHopLimit = 64

// tokens is a network's policy. A word that is not known, from a feed that is newer, counts as the strictest
// one: a guest that is refused is seen and mended, a network that is open by mistake is not.
func tokens(m eve.NetworkMetadata) (instance.TokenPolicy, int) {
	policy := instance.TokensRequired
	switch m.Tokens {
	case "", eve.TokensOptional:
		policy = instance.TokensOptional
	case eve.TokensOff:
		policy = instance.TokensOff
	}
	return policy, min(int(m.HopLimit), maxHopLimit)
}

// adapter makes one adapter. A guest is told to ask DHCP unless a fixed configuration was asked for.
func adapter(s *eve.AppNetAdapterStatus, n *network, told eve.AdapterMetadata) instance.Adapter {
	a := instance.Adapter{
		Name:        s.Name,
		Network:     s.Network.String(),
		NetworkName: n.DisplayName,
		MAC:         s.VifInfo.Mac,
		MTU:         int(cmp.Or(told.MTU, s.VifInfo.MTU, n.MTU)),
		Nameservers: addrs(told.DNSServers),
		Search:      told.SearchDomains,
		Tags:        told.Tags,
	}
	a.Port, a.OtherPort = ports(s)
	subnet4, subnet6 := n.subnets()
	method6 := instance.DHCP
	if n.said.SLAAC {
		method6 = instance.SLAAC
	}
	a.IPv4 = addressing(s.AssignedAddresses.IPv4Addrs, subnet4, instance.DHCP, told.StaticIPv4)
	a.IPv6 = addressing(s.AssignedAddresses.IPv6Addrs, subnet6, method6, told.StaticIPv6)
	if !subnet4.IsValid() && !subnet6.IsValid() && a.IPv4.Method == instance.None && a.IPv6.Method == instance.None {
		a.IPv4.Method = instance.DHCP // a switch: the addresses are somebody else's to give
	}
	gateways := n.gateways()
	addGateways(&a, gateways)
	addRoutes(&a, n, told)
	if a.Nameservers == nil {
		a.Nameservers = n.nameservers(&a, gateways)
	}
	if a.Search == nil {
		a.Search = n.search()
	}
	return a
}

// ports are the host's interface behind which the adapter is, and one that it may be instead. Zedrouter knows how it shall be
// called, and only zedmanager how it is.
func ports(s *eve.AppNetAdapterStatus) (port, other string) {
	if s.VifUsed != "" || s.Vif == "" {
		return s.VifUsed, ""
	}
	return s.Vif, eve.EmulatedPort(s.Vif)
}

// subnets are the network's, of IPv4 and of IPv6; the zero Prefix where it has none.
func (n *network) subnets() (subnet4, subnet6 netip.Prefix) {
	subnet6 = eve.Prefix(n.said.Subnet6)
	switch subnet := eve.Prefix(n.Subnet); {
	case subnet.Addr().Is4():
		subnet4 = subnet
	case subnet.IsValid():
		subnet6 = subnet
	}
	return subnet4, subnet6
}

// gateways are the network's routers, one of a family at most.
func (n *network) gateways() []netip.Addr {
	gateways := addrs([]net.IP{n.Gateway})
	if subnet := eve.Prefix(n.said.Subnet6); subnet.IsValid() && (len(gateways) == 0 || gateways[0].Is4()) {
		gateways = append(gateways, cmp.Or(eve.Addr(n.said.Gateway6), subnet.Masked().Addr().Next()))
	}
	return gateways
}

// nameservers are the network's own server at those of its gateways that the adapter can talk to, or those that the
// network is configured with.
func (n *network) nameservers(a *instance.Adapter, gateways []netip.Addr) []netip.Addr {
	if !eve.ServesDNS(&n.NetworkInstanceConfig, &n.said) {
		return addrs(n.DnsServers)
	}
	var own []netip.Addr
	for _, gateway := range gateways {
		if family(a, gateway).Method != instance.None {
			own = append(own, gateway)
		}
	}
	return own
}

// search are the domains in which guests look names up, the network's own first.
func (n *network) search() []string {
	var domains []string
	for _, text := range append([]string{n.DomainName}, n.said.SearchDomains...) {
		if d := eve.Domain(text); d != "" && !slices.Contains(domains, d) {
			domains = append(domains, d)
		}
	}
	return domains
}

// addBonds adds what a guest makes of its cards. A bond is in the network of its first card that is there, with
// its addressing. The cards keep theirs: it is what the guest goes by until it has made the bond.
func addBonds(inst *instance.Instance, bonds []eve.BondMetadata) {
	cards := inst.Adapters
	for _, m := range bonds {
		a := first(cards, m.Adapters)
		a.Kind, a.Name, a.Over, a.BondMode = instance.Bond, m.Name, m.Adapters, m.Mode
		a.MTU = cmp.Or(int(m.MTU), a.MTU)
		a.Port, a.OtherPort, a.Tags = "", "", nil // are the card's own
		inst.Adapters = append(inst.Adapters, a)
	}
}

// first is the adapter with the first of the names that one has; the zero Adapter when none has any.
func first(adapters []instance.Adapter, names []string) instance.Adapter {
	for _, name := range names {
		for _, a := range adapters {
			if a.Name == name {
				return a
			}
		}
	}
	return instance.Adapter{}
}

// addVLANs adds the guest's VLANs, which are in no app network: all that is known of them is what is told.
func addVLANs(inst *instance.Instance, vlans []eve.VLANMetadata) {
	below := inst.Adapters
	for _, m := range vlans {
		on := []string{m.On}
		a := instance.Adapter{
			Kind: instance.VLAN, Name: m.Name, Over: on, VLAN: int(m.ID), MAC: m.MAC,
			MTU:         cmp.Or(int(m.MTU), first(below, on).MTU),
			IPv4:        vlanAddressing(m.IPv4),
			IPv6:        vlanAddressing(m.IPv6),
			Nameservers: addrs(m.DNSServers),
			Search:      m.SearchDomains,
		}
		for _, r := range m.Routes {
			addRoute(&a, r.Dst, r.Gateway)
		}
		inst.Adapters = append(inst.Adapters, a)
	}
}

// vlanAddressing is how a VLAN is addressed in one family. An unknown method is none.
func vlanAddressing(m eve.VLANAddress) instance.Addressing {
	a := instance.Addressing{Gateway: eve.Addr(m.Gateway)}
	switch m.Method {
	case eve.MethodStatic:
		a.Method, a.Address = instance.Static, eve.Prefix(m.Address)
	case eve.MethodDHCP:
		a.Method = instance.DHCP
	case eve.MethodSLAAC:
		a.Method = instance.SLAAC
	default:
		return instance.Addressing{}
	}
	return a
}

// addressing takes over the first address of a family. Where there is none, but a subnet, the guest is to get
// one in the way of the network; its lease may not have been heard of yet. How is that way.
func addressing(assigned []eve.AssignedAddr, subnet netip.Prefix, how instance.Method, static bool) instance.Addressing {
	for _, s := range assigned {
		addr := eve.Addr(s.Address)
		if !addr.IsValid() {
			continue
		}
		bits := addr.BitLen()
		if subnet.Contains(addr) {
			bits = subnet.Bits()
		}
		switch {
		case static || s.AssignedBy == eve.AddressSourceStatic:
			how = instance.Static
		case s.AssignedBy == eve.AddressSourceSLAAC:
			how = instance.SLAAC
		}
		return instance.Addressing{Method: how, Address: netip.PrefixFrom(addr, bits)}
	}
	if static || !subnet.IsValid() {
		return instance.Addressing{}
	}
	return instance.Addressing{Method: how}
}

// addGateways gives each family in use its default router.
func addGateways(a *instance.Adapter, gateways []netip.Addr) {
	for _, gateway := range gateways {
		if p := family(a, gateway); p.Method != instance.None {
			p.Gateway = gateway
		}
	}
}

// addRoutes adds the routes that this adapter was given and, behind them, the network's that go
// through a router which the guest can reach itself.
func addRoutes(a *instance.Adapter, n *network, told eve.AdapterMetadata) {
	for _, r := range told.Routes {
		addRoute(a, r.Dst, r.Gateway)
	}
	for _, r := range n.StaticRoutes {
		addRoute(a, r.DstNetwork, r.Gateway)
	}
}

func addRoute(a *instance.Adapter, dst *net.IPNet, gateway net.IP) {
	to, via := eve.Prefix(dst), eve.Addr(gateway)
	if !to.IsValid() || !via.IsValid() || to.Addr().Is4() != via.Is4() {
		return
	}
	p := family(a, via)
	if p.Method == instance.None {
		return
	}
	for _, have := range p.Routes {
		if have.Dst == to {
			return // the adapter's own route came first
		}
	}
	p.Routes = append(p.Routes, instance.Route{Dst: to, Via: via})
}

// family is the adapter's addressing of the family of an address.
func family(a *instance.Adapter, addr netip.Addr) *instance.Addressing {
	if addr.Is4() {
		return &a.IPv4
	}
	return &a.IPv6
}

func addrs(ips []net.IP) []netip.Addr {
	var out []netip.Addr
	for _, ip := range ips {
		if a := eve.Addr(ip); a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}
