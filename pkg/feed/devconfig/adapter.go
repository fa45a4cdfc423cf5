// SPDX-License-Identifier: Apache-2.0

package devconfig

import (
	"cmp"
	"fmt"
	"net"
	"slices"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// adapters reads an app's virtual network adapters, in the order in which the guest shall see them.
func (p *parser) adapters(c *config.AppInstanceConfig) []eve.AppNetAdapterConfig {
	var adapters []eve.AppNetAdapterConfig
	ordered := c.GetFixedresources().GetEnforceNetworkInterfaceOrder()
	for _, n := range c.GetInterfaces() {
		ordered = ordered || n.GetInterfaceOrder() != 0
	}
	for _, n := range c.GetInterfaces() {
		a, ok := p.adapter(n)
		if !ok {
			continue
		}
		if ordered {
			a.IntfOrder = n.GetInterfaceOrder()
		}
		adapters = append(adapters, a)
	}
	slices.SortStableFunc(adapters, func(a, b eve.AppNetAdapterConfig) int { return cmp.Compare(a.IntfOrder, b.IntfOrder) })
	seen := map[uuid.UUID]uint32{}
	for i := range adapters {
		adapters[i].IfIdx = seen[adapters[i].Network]
		seen[adapters[i].Network]++
	}
	return adapters
}

// adapter reads one adapter; false says that it has none of EVE's own networks (a mesh is an overlay).
func (p *parser) adapter(n *config.NetworkAdapter) (eve.AppNetAdapterConfig, bool) {
	a := eve.AppNetAdapterConfig{
		Name:            n.GetName(),
		AccessVlanID:    n.GetAccessVlanId(),
		AllowToDiscover: n.GetAllowToDiscover(),
	}
	id, err := uuid.Parse(n.GetNetworkId())
	kind, known := p.types[id]
	if err != nil || !known {
		a.Error = fmt.Sprintf("adapter %q: there is no network instance %q", n.GetName(), n.GetNetworkId())
		return a, true
	}
	if kind == config.ZNetworkInstType_ZnetInstMesh {
		return a, false
	}
	a.Network = id
	if mac := n.GetMacAddress(); mac != "" {
		if a.AppMacAddr, err = net.ParseMAC(mac); err != nil {
			a.Error = fmt.Sprintf("adapter %q: %q is not a MAC address", n.GetName(), mac)
			return a, true
		}
	}
	if addr := n.GetAddr(); addr != "" {
		if a.AppIPAddr = net.ParseIP(addr); a.AppIPAddr == nil {
			a.Error = fmt.Sprintf("adapter %q: %q is not an IP address", n.GetName(), addr)
			return a, true
		}
	}
	a.ACLs, a.IntfOrder = acls(n.GetAcls())
	return a, true
}

// acls reads access rules, and the place that older controllers, which have no order of adapters, give to an adapter
// with the number of its first rule.
func acls(list []*config.ACE) (rules []eve.ACE, order uint32) {
	rules = make([]eve.ACE, len(list))
	for i, c := range list {
		r := eve.ACE{
			Matches: make([]eve.ACEMatch, len(c.GetMatches())),
			Actions: make([]eve.ACEAction, len(c.GetActions())),
			Name:    c.GetName(),
			RuleID:  c.GetId(),
			Dir:     eve.ACEDirection(clamp(int64(c.GetDir()))),
		}
		for j, m := range c.GetMatches() {
			r.Matches[j] = eve.ACEMatch{Type: m.GetType(), Value: m.GetValue()}
		}
		for j, x := range c.GetActions() {
			r.Actions[j] = eve.ACEAction{
				Drop:       x.GetDrop(),
				Limit:      x.GetLimit(),
				LimitRate:  int(x.GetLimitrate()),
				LimitUnit:  x.GetLimitunit(),
				LimitBurst: int(x.GetLimitburst()),
				PortMap:    x.GetPortmap(),
				TargetPort: int(x.GetAppPort()),
			}
		}
		if order == 0 && c.GetId() > 0 {
			order = uint32(c.GetId())
		}
		rules[i] = r
	}
	return rules, order
}
