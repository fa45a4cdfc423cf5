// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"

	"github.com/lf-edge/eve-metadata/nim/dnsmasq"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// BridgeName is the name of every managed network's bridge: they do not share a namespace.
const BridgeName = "br0"

// loopback is the interface that has the metadata addresses in a namespace that others made: it is there in each, and
// nobody outside of the namespace can reach it.
const loopback = "lo"

// isMetadataAddress tells whether an address is one that guests ask at.
func isMetadataAddress(a netip.Addr) bool {
	return slices.ContainsFunc(plan.MetadataPrefixes(), func(p netip.Prefix) bool { return p.Addr() == a })
}

// Limits of an MTU, in bytes: what IPv4 asks of any link (RFC 791) and IPv6 of its links (RFC 8200), and what a tap can
// have at most (65535 with the Ethernet header). Without one it is Ethernet's.
const (
	minMTU     = 68
	minMTU6    = 1280
	maxMTU     = 65521
	defaultMTU = 1500
)

// Errors of configs.
var (
	ErrInvalid     = errors.New("invalid config")
	ErrUnknown     = errors.New("no such network instance")
	ErrNotActive   = errors.New("network instance is not active")
	errUnsupported = fmt.Errorf("%w: type of network instance is not supported", ErrInvalid)
)

// Result is what becomes of an Input.
type Result struct {
	// Network is what the kernel should have. It has no meaning when Err is set.
	Network plan.Network
	// Gateway and Gateway6 are the bridge's own addresses in the network's subnets; not valid where there is none.
	Gateway, Gateway6 netip.Addr
	// Server is what the network's DHCP and DNS server is told; nil when it has none.
	Server *dnsmasq.Network
	// Leases says what each adapter of the input gets, in its order, and why it does not get all.
	Leases []plan.Lease
	// MTU is that of each adapter, in bytes.
	MTU []int
	// Err says why there can be no such network; ErrUnknown and ErrNotActive, why there should be none.
	Err error

	subnets plan.Subnets
}

// Build returns the network that an input asks for. Held is what adapters had before. Those of them that the input does
// not have keep it from others when reserve is set: it is not known yet then whether they are gone.
//
// What is wrong with one adapter is its own lease's error and leaves the others alone. What is wrong with the network is
// the result's; the adapters then keep what they had.
func Build(in Input, held map[AdapterID]plan.Lease, reserve bool) Result {
	r := Result{Leases: make([]plan.Lease, len(in.Adapters)), MTU: make([]int, len(in.Adapters))}
	for i, a := range in.Adapters {
		r.Leases[i] = held[a.AdapterID]
	}
	if r.Err = r.buildNetwork(in); r.Err != nil {
		return r
	}
	claims := make([]plan.Claim, len(in.Adapters))
	errs := make([]error, len(in.Adapters))
	for i, a := range in.Adapters {
		r.MTU[i], errs[i] = orMTU(a.Metadata.MTU, r.Network.Bridge.MTU)
		if errs[i] = errors.Join(a.Err, errs[i], wish(&claims[i], a, r.subnets)); errs[i] != nil {
			// What it has stays its own; what it asks for in vain is for others.
			claims[i] = plan.Claim{Passive: true}
		}
		claims[i].App, claims[i].Adapter, claims[i].Held = a.App, a.Adapter, held[a.AdapterID]
		if r.Network.Attach != plan.Managed { // what its config does not say is others' to give
			claims[i].NoIPv4 = !claims[i].IPv4.IsValid()
			claims[i].NoIPv6 = !claims[i].IPv6.IsValid()
		}
	}
	if reserve {
		claims = append(claims, absent(in, held)...)
	}
	leases := plan.Allocate(r.subnets, r.Network.Bridge.MAC, claims)
	for i, a := range in.Adapters {
		r.Leases[i] = leases[i]
		r.Leases[i].Err = errors.Join(errs[i], leases[i].Err)
		if r.Network.Attach != plan.Managed {
			r.Leases[i].Port = a.Metadata.Port // it has one of others' making
		}
	}
	if r.Network.Attach == plan.Managed {
		r.addPorts(in)
		r.addServer(in)
	}
	return r
}

// attached tells whether the adapter at i has all that it needs to be in the network.
func (r *Result) attached(in Input, i int) bool {
	return in.Adapters[i].Active && r.Leases[i].Err == nil
}

// addPorts gives the network a port for every adapter that can have one. An address that an adapter can not have, or not
// yet, leaves it its port: where two change places, a running guest would lose its card for good.
func (r *Result) addPorts(in Input) {
	routers := make(map[netip.Addr]bool, len(in.Config.StaticRoutes))
	for _, route := range in.Config.StaticRoutes {
		routers[eve.Addr(route.Gateway)] = true
	}
	for i, a := range in.Adapters {
		l := r.Leases[i]
		if !a.Active || l.Port == "" || l.MAC == (plan.MAC{}) {
			continue
		}
		p := plan.Port{Kind: a.Kind, Name: l.Port, MAC: l.HostMAC, GuestMAC: l.MAC, MTU: r.MTU[i]}
		// Where the network has no subnet, addresses are somebody else's business; and a router passes on what others send.
		p.AnyAddress = in.Config.Type == eve.NetworkInstanceTypeSwitch
		for _, addr := range []netip.Addr{l.IPv4, l.IPv6} {
			if addr.IsValid() {
				p.Addresses = append(p.Addresses, addr)
				p.AnyAddress = p.AnyAddress || routers[addr]
			}
		}
		r.Network.Ports = append(r.Network.Ports, p)
	}
}

// absent returns passive claims for those who hold something and are not in the input.
func absent(in Input, held map[AdapterID]plan.Lease) []plan.Claim {
	present := make(map[AdapterID]bool, len(in.Adapters))
	for _, a := range in.Adapters {
		present[a.AdapterID] = true
	}
	var claims []plan.Claim
	for id, lease := range held {
		if !present[id] {
			claims = append(claims, plan.Claim{App: id.App, Adapter: id.Adapter, Held: lease, Passive: true})
		}
	}
	return claims
}

// buildNetwork fills in the network without its ports.
func (r *Result) buildNetwork(in Input) error {
	if in.Config == nil {
		return fmt.Errorf("network instance %q: %w", in.Network, ErrUnknown)
	}
	if !in.Config.Activate {
		return fmt.Errorf("network instance %q: %w", in.Network, ErrNotActive)
	}
	mtu, err := orMTU(in.Config.MTU, defaultMTU)
	if err != nil {
		return err
	}
	if r.Network, err = Place(in.Network, in.Metadata.Namespace, in.Metadata.Bridge); err != nil {
		return err
	}
	if in.Others {
		r.join(in)
		return nil
	}
	switch in.Config.Type {
	case eve.NetworkInstanceTypeSwitch: // addresses are somebody else's business
	case eve.NetworkInstanceTypeLocal:
		err = r.buildSubnets(in)
	default:
		err = fmt.Errorf("network instance of type %s: %w", in.Config.Type, errUnsupported)
	}
	if err != nil {
		return err
	}
	r.Network.Bridge.Addresses = slices.Concat(r.Network.Bridge.Addresses, plan.MetadataPrefixes())
	if r.Network.Attach != plan.Managed {
		return nil
	}
	r.Network.Bridge.MAC, r.Network.Bridge.MTU = plan.BridgeMAC(in.Network), mtu
	if r.subnets.IPv6.Prefix.IsValid() && mtu < minMTU6 {
		return fmt.Errorf("%w: MTU %d is less than the %d that IPv6 needs", ErrInvalid, mtu, minMTU6)
	}
	if r.subnets.SLAAC {
		r.Network.SLAAC = r.subnets.IPv6.Prefix
	}
	if in.Config.PortLabel != "" && in.Config.Type == eve.NetworkInstanceTypeLocal {
		r.Network.Uplink = plan.NewUplink(in.Network, in.Transit, uplinkInterface(in.Config.PortLabel), r.Gateway6.IsValid())
	}
	return nil
}

// Place returns where an app network is, given its network instance's UUID and, when others made it, the path of its
// namespace or the name of its bridge: a network without addresses and ports.
func Place(network, namespace, bridge string) (plan.Network, error) {
	switch {
	case namespace != "" && bridge != "":
		return plan.Network{}, fmt.Errorf("%w: both a namespace (%q) and a bridge (%q) of others", ErrInvalid, namespace, bridge)
	case namespace != "":
		if !filepath.IsAbs(namespace) {
			return plan.Network{}, fmt.Errorf("%w: namespace %q is not an absolute path", ErrInvalid, namespace)
		}
		return plan.Network{Namespace: filepath.Clean(namespace), Attach: plan.Existing, Bridge: plan.Bridge{Name: loopback}}, nil
	case bridge != "":
		if !eve.IsInterfaceName(bridge) {
			return plan.Network{}, fmt.Errorf("%w: bridge %q is not an interface's name", ErrInvalid, bridge)
		}
		return plan.Network{Namespace: plan.Host, Attach: plan.OnBridge, Bridge: plan.Bridge{Name: bridge}}, nil
	}
	return plan.Network{Namespace: plan.NamespaceName(network), Bridge: plan.Bridge{Name: BridgeName}}, nil
}

// uplinkInterface returns the interface that a label of EVE's ports names; "" for any, which EVE's shared labels mean.
func uplinkInterface(label string) string {
	switch label {
	case "all", "uplink", "freeuplink":
		return ""
	}
	return label
}

// buildSubnets reads the subnets of a local network and gives a bridge of ours the gateways' addresses there. Networks that
// others made may do without: it only says what their guests may have.
func (r *Result) buildSubnets(in Input) error {
	c, m := in.Config, &in.Metadata
	if c.Subnet == nil && m.Subnet6 == nil && r.Network.Attach != plan.Managed {
		return nil
	}
	r.subnets.SLAAC = m.SLAAC
	if c.Subnet != nil || m.Subnet6 == nil {
		if err := r.buildSubnet(subnetConfig{c.Subnet, c.Gateway, c.DhcpRange}); err != nil {
			return err
		}
	}
	if m.Subnet6 == nil {
		return nil
	}
	if prefix, ok := prefixOf(m.Subnet6); !ok || prefix.Addr().Is4() || r.subnets.IPv6.Prefix.IsValid() {
		return fmt.Errorf("%w: second subnet %s is not one of IPv6 beside one of IPv4", ErrInvalid, m.Subnet6)
	}
	return r.buildSubnet(subnetConfig{m.Subnet6, m.Gateway6, m.DhcpRange6})
}

// subnetConfig is what a config says of one subnet.
type subnetConfig struct {
	subnet  *net.IPNet
	gateway net.IP
	given   eve.IPRange
}

// buildSubnet reads one subnet and gives a bridge of ours the gateway's address there.
func (r *Result) buildSubnet(c subnetConfig) error {
	prefix, ok := prefixOf(c.subnet)
	if !ok {
		return fmt.Errorf("%w: no subnet", ErrInvalid)
	}
	ends := [3]netip.Addr{}
	for i, ip := range []net.IP{c.gateway, c.given.Start, c.given.End} {
		if ends[i], ok = addrOf(ip); !ok {
			return fmt.Errorf("%w: address %q", ErrInvalid, ip)
		}
	}
	gateway, first, last := ends[0], ends[1], ends[2]
	var reserved []netip.Addr
	for _, p := range plan.MetadataPrefixes() {
		reserved = append(reserved, p.Addr())
	}
	all, err := plan.NewSubnet(prefix, netip.Addr{}, netip.Addr{}, reserved...)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !gateway.IsValid() {
		gateway = all.First
	}
	if !all.Usable(gateway) {
		return fmt.Errorf("%w: gateway %s in subnet %s: %w", ErrInvalid, gateway, prefix, plan.ErrOutside)
	}
	subnet, err := plan.NewSubnet(prefix, first, last, append(reserved, gateway)...)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if prefix.Addr().Is4() {
		r.subnets.IPv4 = subnet
	} else {
		r.subnets.IPv6 = subnet
	}
	if r.Network.Attach != plan.Managed {
		return nil // it has a router of others
	}
	if prefix.Addr().Is4() {
		r.Gateway = gateway
	} else {
		r.Gateway6 = gateway
	}
	r.Network.Bridge.Addresses = append(r.Network.Bridge.Addresses, netip.PrefixFrom(gateway, prefix.Bits()))
	return nil
}

// orMTU returns mtu, or, for 0, another one.
func orMTU(mtu uint16, other int) (int, error) {
	if mtu == 0 {
		return other, nil
	}
	if mtu < minMTU || mtu > maxMTU {
		return 0, fmt.Errorf("%w: MTU %d is not from %d to %d", ErrInvalid, mtu, minMTU, maxMTU)
	}
	return int(mtu), nil
}
