// SPDX-License-Identifier: Apache-2.0

package eden_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-api/go/evecommon"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/topics"
)

// networkCommands are those of `eden network`.
func (n *node) networkCommands(c *call) []*cobra.Command {
	var name, kind, uplink string
	create := &cobra.Command{
		Use: "create SUBNET", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if kind != "local" {
				return fmt.Errorf("the runner makes no networks of type %q", kind)
			}
			return n.change(func() error { return n.createNetwork(name, args[0], uplink) })
		},
	}
	create.Flags().StringVarP(&name, "name", "n", "", "name")
	create.Flags().StringVar(&kind, "type", "local", "type")
	create.Flags().StringVar(&uplink, "uplink", "eth0", "port")
	return []*cobra.Command{
		create,
		{
			Use: "delete NAME", Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				return n.change(func() error { return n.deleteNetwork(args[0]) })
			},
		},
		{
			Use: "ls", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return n.listNetworks(cmd.Context(), &c.stdout) },
		},
	}
}

// createNetwork makes a network instance as eden does: IPv4, with all addresses for guests.
func (n *node) createNetwork(name, subnet, uplink string) error {
	prefix, err := netip.ParsePrefix(subnet)
	if err != nil || !prefix.Addr().Is4() || prefix.Bits() > 29 {
		return fmt.Errorf("%q is no subnet of IPv4 that networks are made of", subnet)
	}
	if name == "" {
		return errors.New("the runner does not make up names of networks")
	}
	if _, err := n.network(name); err == nil {
		return fmt.Errorf("there is a network %q already", name)
	}
	gateway := prefix.Masked().Addr().Next()
	last := gateway.As4()
	for bit := prefix.Bits(); bit < 31; bit++ { // but for the broadcast address
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	last[3] &^= 1
	ni := &config.NetworkInstanceConfig{
		Uuidandversion: &config.UUIDandVersion{Uuid: uuid.NewString(), Version: "1"}, Displayname: name, Activate: true,
		InstType: config.ZNetworkInstType_ZnetInstLocal, IpType: config.AddressType_IPV4,
		Ip: &evecommon.Ipspec{
			Subnet: subnet, Gateway: gateway.String(), Dns: []string{gateway.String()},
			DhcpRange: &evecommon.IpRange{Start: gateway.Next().String(), End: netip.AddrFrom4(last).String()},
		},
	}
	if uplink != "none" {
		ni.Port = &config.Adapter{Name: uplink, Type: evecommon.PhyIoType_PhyIoNetEth}
	}
	n.config.NetworkInstances = append(n.config.NetworkInstances, ni)
	return nil
}

func (n *node) deleteNetwork(name string) error {
	ni, err := n.network(name)
	if err != nil {
		return err
	}
	n.config.NetworkInstances = slices.DeleteFunc(n.config.NetworkInstances, func(other *config.NetworkInstanceConfig) bool { return other == ni })
	return nil
}

// network is the network instance of a name.
func (n *node) network(name string) (*config.NetworkInstanceConfig, error) {
	for _, ni := range n.config.GetNetworkInstances() {
		if ni.GetDisplayname() == name {
			return ni, nil
		}
	}
	return nil, fmt.Errorf("there is no network %q", name)
}

// listNetworks prints the table that eden prints.
func (n *node) listNetworks(ctx context.Context, w io.Writer) error {
	states, err := n.networkStates(ctx)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	table := tabwriter.NewWriter(w, 0, 8, 1, '\t', 0)
	fmt.Fprintln(table, "NAME\tUUID\tTYPE\tCIDR\tSTATS\tSTATE(ADAM)\tLAST_STATE(EVE)")
	for _, ni := range slices.SortedFunc(slices.Values(n.config.GetNetworkInstances()), func(a, b *config.NetworkInstanceConfig) int {
		return strings.Compare(a.GetDisplayname(), b.GetDisplayname())
	}) {
		fmt.Fprintf(table, "%s\t%s\t%v\t%s\t-\tIN_CONFIG\t%s\n", ni.GetDisplayname(), ni.GetUuidandversion().GetUuid(), ni.GetInstType(),
			ni.GetIp().GetSubnet(), or(states[ni.GetDisplayname()], "UNKNOWN"))
	}
	return table.Flush()
}

// networkStates are the states of those networks that the service has, by name, in eden's words.
func (n *node) networkStates(ctx context.Context) (map[string]string, error) {
	all, err := published(ctx, n, topics.Own().NetworkStatus)
	if err != nil {
		return nil, err
	}
	states := make(map[string]string)
	for _, s := range all {
		states[s.NetworkInstanceConfig.DisplayName] = networkState(s)
	}
	return states, nil
}

func networkState(s eve.NetworkInstanceStatus) string {
	switch {
	case s.ErrorAndTime.Error != "":
		return "ERRORS: " + s.ErrorAndTime.Error
	case s.Activated:
		return "ACTIVATED"
	}
	return "NOT_ACTIVATED"
}

// or is the first text, or the second where that is "".
func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
