// SPDX-License-Identifier: Apache-2.0

package eve

import (
	"bytes"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// guests is what the node knows of its guests.
type guests struct {
	node      Node
	elsewhere bool // see Config
}

// network is the network that a guest asks from, and what else it may want to know of where it is. EVE has the fields in this
// order.
type network struct {
	AppUUID        string    `json:"app-instance-uuid"`
	CallerIP       string    `json:"caller-ip"` // with the port
	DeviceName     string    `json:"device-name"`
	DeviceUUID     uuid.UUID `json:"device-uuid"`
	EnterpriseID   string    `json:"enterprise-id"`
	EnterpriseName string    `json:"enterprise-name"`
	ExternalIPv4   string    `json:"external-ipv4"` // between commas
	Hostname       string    `json:"hostname"`
	ProjectName    string    `json:"project-name"`
	ProjectUUID    uuid.UUID `json:"project-uuid"`
}

// network answers as externalIPv4 does, but with JSON, with a 404 too; 500 for as long as nothing is known of the node: it
// must not be told by a name that it does not have. Elsewhere than on an EVE device it is no reason to say nothing that there
// is no external address.
func (g guests) network(r *dialect.Request, _ string) *dialect.Answer {
	info, ok := g.node.Info()
	if !ok {
		return failed(errors.New("nothing is known of the edge node yet"))
	}
	addresses, status := g.external(r)
	switch {
	case status == http.StatusNoContent && g.elsewhere:
		status = http.StatusOK
	case status == http.StatusNoContent:
		return empty(status)
	}
	// The zone of a link-local address is the node's name of the interface, which says nothing to a guest.
	caller := netip.AddrPortFrom(r.Remote.Addr().WithZone(""), r.Remote.Port())
	return sayJSON(status, network{
		AppUUID: r.Instance.UUID, Hostname: r.Instance.UUID, CallerIP: caller.String(),
		ExternalIPv4: strings.Join(texts(addresses), ","),
		DeviceName:   info.DeviceName, DeviceUUID: info.DeviceID,
		EnterpriseName: info.EnterpriseName, EnterpriseID: info.EnterpriseID,
		ProjectName: info.ProjectName, ProjectUUID: info.ProjectID,
	})
}

// externalIPv4 answers with the addresses that external finds, each on a line.
func (g guests) externalIPv4(r *dialect.Request, _ string) *dialect.Answer {
	addresses, status := g.external(r)
	if status != http.StatusOK {
		return empty(status)
	}
	return &dialect.Answer{Document: document.Text(strings.Join(texts(addresses), "\n") + "\n")}
}

// external are the IPv4 addresses that the node has in the networks behind the one that a guest asks from: there the guest's
// peers reach it, where a port is mapped. The status is EVE's: 404 where the app network is not known, 204 where it has no
// port, or the ports no such address (yet).
func (g guests) external(r *dialect.Request) (addresses []netip.Addr, status int) {
	adapter := g.adapter(r)
	if adapter == nil {
		return nil, http.StatusNotFound
	}
	behind, ok := g.node.Network(adapter.Network.String())
	if !ok {
		return nil, http.StatusNotFound
	}
	status = http.StatusNoContent
	node, _ := g.node.Ports()
	for i := range node.Ports {
		if port := &node.Ports[i]; slices.Contains(behind.Ports, port.Logicallabel) {
			addresses = append(addresses, globalIPv4(port)...)
		}
	}
	if len(addresses) > 0 {
		status = http.StatusOK
	}
	return addresses, status
}

// globalIPv4 are the IPv4 addresses of a port that others can reach.
func globalIPv4(port *eve.NetworkPortStatus) []netip.Addr {
	var addresses []netip.Addr
	for i := range port.AddrInfoList {
		if a := eve.Addr(port.AddrInfoList[i].Addr); a.Is4() && a.IsGlobalUnicast() {
			addresses = append(addresses, a)
		}
	}
	return addresses
}

func texts(addresses []netip.Addr) []string {
	return each(addresses, netip.Addr.String)
}

// adapter is the one that a guest asks from, as zedrouter has it; nil for none. The carrier knows it by its name, which is
// unique in the app, and its MAC address. Its Network is no way to find it: in a pod that is not a network instance.
func (g guests) adapter(r *dialect.Request) *eve.AppNetAdapterStatus {
	status, _ := g.node.App(r.Instance.UUID)
	for i := range status.AppNetAdapterList {
		a := &status.AppNetAdapterList[i]
		if r.Adapter != nil && a.Name == r.Adapter.Name && bytes.Equal(a.VifInfo.Mac, r.Adapter.MAC) {
			return a
		}
	}
	return nil
}

// discovered is one address of another guest.
type discovered struct {
	Port    string `json:"port"` // the node's end of the guest's adapter
	Address string `json:"network-address"`
}

// discover answers with the addresses of all other apps, whichever networks they are in, by the app's UUID. The adapter that
// is asked from has to be allowed to.
func (g guests) discover(r *dialect.Request, _ string) *dialect.Answer {
	if a := g.adapter(r); a == nil || !a.AllowToDiscover {
		return sayJSON(http.StatusForbidden, refusal{"this adapter is not allowed to discover"})
	}
	others := make(map[string][]discovered)
	for id, app := range g.node.Apps() {
		if id != r.Instance.UUID {
			others[id] = addressesOf(&app)
		}
	}
	return sayJSON(http.StatusOK, others)
}

// addressesOf are the addresses of an app, adapter by adapter; never nil.
func addressesOf(app *eve.AppNetworkStatus) []discovered {
	list := []discovered{}
	for i := range app.AppNetAdapterList {
		a := &app.AppNetAdapterList[i]
		for _, assigned := range slices.Concat(a.AssignedAddresses.IPv4Addrs, a.AssignedAddresses.IPv6Addrs) {
			if address := eve.Addr(assigned.Address); address.IsValid() {
				list = append(list, discovered{Port: a.Vif, Address: address.String()})
			}
		}
	}
	return list
}
