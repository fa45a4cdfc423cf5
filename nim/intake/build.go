// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// BridgeName is the name of every managed network's bridge: they do not share a namespace.
const BridgeName = "br0"

// MetadataAddress is where guests ask for metadata: a link-local address (RFC 3927, RFC 6890) by every cloud's custom.
func MetadataAddress() netip.Addr { return netip.AddrFrom4([4]byte{169, 254, 169, 254}) }

// Limits of an MTU, in bytes: what IPv4 asks of any link (RFC 791), and what a tap can have at most (65535 with the
// Ethernet header). Without one it is Ethernet's.
const (
	minMTU     = 68
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
	// Gateway is the bridge's own address in the network's subnet; not valid in a network without subnet.
	Gateway netip.Addr
	// Leases says what each adapter of the input gets, in its order, and why it does not get all.
	Leases []plan.Lease
	// MTU is that of each adapter, in bytes.
	MTU []int
	// Err says why there can be no such network; ErrUnknown and ErrNotActive, why there should be none.
	Err error
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
	subnet, err := r.buildNetwork(in)
	if err != nil {
		r.Err = err
		return r
	}
	claims := make([]plan.Claim, len(in.Adapters))
	errs := make([]error, len(in.Adapters))
	for i, a := range in.Adapters {
		r.MTU[i], errs[i] = orMTU(a.Metadata.MTU, r.Network.Bridge.MTU)
		if errs[i] = errors.Join(a.Err, errs[i], wish(&claims[i], a, subnet)); errs[i] != nil {
			// What it has stays its own; what it asks for in vain is for others.
			claims[i] = plan.Claim{Passive: true}
		}
		claims[i].App, claims[i].Adapter, claims[i].Held = a.App, a.Adapter, held[a.AdapterID]
	}
	if reserve {
		claims = append(claims, absent(in, held)...)
	}
	leases := plan.Allocate(subnet, r.Network.Bridge.MAC, claims)
	for i, a := range in.Adapters {
		r.Leases[i] = leases[i]
		r.Leases[i].Err = errors.Join(errs[i], leases[i].Err)
		if a.Active && r.Leases[i].Err == nil {
			r.Network.Ports = append(r.Network.Ports, port(a, leases[i], r.MTU[i]))
		}
	}
	return r
}

func port(a Adapter, l plan.Lease, mtu int) plan.Port {
	p := plan.Port{Kind: a.Kind, Name: l.Port, MAC: l.HostMAC, MTU: mtu}
	if a.Kind == plan.Veth {
		p.GuestMAC = l.MAC
	}
	return p
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

// buildNetwork fills in the network without its ports, and returns its subnet.
func (r *Result) buildNetwork(in Input) (plan.Subnet, error) {
	if in.Config == nil {
		return plan.Subnet{}, fmt.Errorf("network instance %q: %w", in.Network, ErrUnknown)
	}
	if !in.Config.Activate {
		return plan.Subnet{}, fmt.Errorf("network instance %q: %w", in.Network, ErrNotActive)
	}
	mtu, err := orMTU(in.Config.MTU, defaultMTU)
	if err != nil {
		return plan.Subnet{}, err
	}
	r.Network = plan.Network{
		Namespace: plan.NamespaceName(in.Network),
		Bridge:    plan.Bridge{Name: BridgeName, MAC: plan.BridgeMAC(in.Network), MTU: mtu},
	}
	var subnet plan.Subnet
	switch in.Config.Type {
	case eve.NetworkInstanceTypeSwitch: // addresses are somebody else's business
	case eve.NetworkInstanceTypeLocal:
		if subnet, err = r.buildSubnet(in.Config); err != nil {
			return plan.Subnet{}, err
		}
	default:
		return plan.Subnet{}, fmt.Errorf("network instance of type %s: %w", in.Config.Type, errUnsupported)
	}
	metadata := MetadataAddress()
	r.Network.Bridge.Addresses = append(r.Network.Bridge.Addresses, netip.PrefixFrom(metadata, metadata.BitLen()))
	return subnet, nil
}

// buildSubnet reads the subnet of a local network and gives the bridge its gateway's address there.
func (r *Result) buildSubnet(config *eve.NetworkInstanceConfig) (plan.Subnet, error) {
	prefix, ok := prefixOf(config.Subnet)
	if !ok {
		return plan.Subnet{}, fmt.Errorf("%w: no subnet", ErrInvalid)
	}
	ends := [3]netip.Addr{}
	for i, ip := range []net.IP{config.Gateway, config.DhcpRange.Start, config.DhcpRange.End} {
		if ends[i], ok = addrOf(ip); !ok {
			return plan.Subnet{}, fmt.Errorf("%w: address %q", ErrInvalid, ip)
		}
	}
	gateway, first, last := ends[0], ends[1], ends[2]
	all, err := plan.NewSubnet(prefix, netip.Addr{}, netip.Addr{}, MetadataAddress())
	if err != nil {
		return plan.Subnet{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !gateway.IsValid() {
		gateway = all.First
	}
	if !all.Usable(gateway) {
		return plan.Subnet{}, fmt.Errorf("%w: gateway %s in subnet %s: %w", ErrInvalid, gateway, prefix, plan.ErrOutside)
	}
	subnet, err := plan.NewSubnet(prefix, first, last, gateway, MetadataAddress())
	if err != nil {
		return plan.Subnet{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	r.Gateway = gateway
	r.Network.Bridge.Addresses = []netip.Prefix{netip.PrefixFrom(gateway, prefix.Bits())}
	return subnet, nil
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
