// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/lf-edge/eve-metadata/nim/intake"
	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// maxListedPorts is how many ports a NetworkInstanceStatus lists. One that lists thousands does not go through pubsub
// (pubsub.ErrTooLarge), and everything in the list is in the AppNetworkStatus of the app instances as well.
const maxListedPorts = 128

// maxListedErrors is how many errors a network's status and the log spell out, for the same reason: a bridge without room
// left fails once per adapter. What went wrong with an adapter is in the AppNetworkStatus of its app instance.
const maxListedErrors = 16

// publishNetwork publishes a network's state, or withdraws it when the network is gone.
func (m *Manager) publishNetwork(n *network, in intake.Input, r intake.Result, failed failures) error {
	pub := m.state.networkStatus
	if in.Config == nil {
		return pub.Delete(n.id)
	}
	old, there := pub.Get(n.id)
	status := m.networkStatus(n, in, r, failed, old)
	if there && reflect.DeepEqual(old, status) {
		return nil
	}
	err := pub.Set(n.id, status)
	if errors.Is(err, pubsub.ErrTooLarge) {
		status.IPAssignments, status.Vifs = nil, nil
		err = pub.Set(n.id, status)
	}
	return err
}

// networkStatus is the state of one network. Old is what was published before, whose error times stay while the errors do.
func (m *Manager) networkStatus(n *network, in intake.Input, r intake.Result, failed failures, old eve.NetworkInstanceStatus) eve.NetworkInstanceStatus {
	s := eve.NetworkInstanceStatus{NetworkInstanceConfig: *in.Config}
	s.NetworkInstanceConfig.Activate = false // hidden by the status's own
	s.MTU = uint16(n.place.Bridge.MTU)
	s.Activated = n.serves()
	if !isNowhere(n.place) && n.place.Attach != plan.Existing {
		s.BridgeName = n.place.Bridge.Name
		s.BridgeMac = macOf(n.place.Bridge.MAC)
		s.BridgeIPAddr = ipOf(n.gateway)
		s.BridgeIfindex = n.bridgeIndex
	}
	if n.place.Uplink != nil {
		s.Ports = []string{in.Config.PortLabel}
		s.PortErr = m.networkError(n.id, failed[ofUplink], old.PortErr)
	}
	listPorts(&s, n, in)
	var invalid error
	if !errors.Is(r.Err, intake.ErrNotActive) {
		invalid = r.Err
	}
	s.ValidationErr = m.networkError(n.id, invalid, old.ValidationErr)
	s.ReconcileErr = m.networkError(n.id, failed.all(), old.ReconcileErr)
	s.AllocationErr = m.networkError(n.id, allocationError(in, r), old.AllocationErr)
	s.ErrorAndTime = m.networkError(n.id, errors.Join(invalid, allocationError(in, r), failed.all()), old.ErrorAndTime)
	return s
}

// allocationError is what the adapters did not get.
func allocationError(in intake.Input, r intake.Result) error {
	if in.Err != nil {
		return in.Err
	}
	var errs []error
	for i := range in.Adapters {
		if err := r.Leases[i].Err; err != nil {
			errs = append(errs, err)
		}
	}
	return joinFirst(errs)
}

// joinFirst joins the first of many errors, and says how many there are more. None of them is nil.
func joinFirst(errs []error) error {
	if more := len(errs) - maxListedErrors; more > 0 {
		errs = append(slices.Clone(errs[:maxListedErrors]), fmt.Errorf("and %d more", more))
	}
	return errors.Join(errs...)
}

// listPorts lists the ports that are there and the addresses of their guests.
func listPorts(s *eve.NetworkInstanceStatus, n *network, in intake.Input) {
	s.IPAssignments = map[string]eve.AssignedAddrs{}
	s.VlanMap = map[uint32]uint32{}
	for _, a := range in.Adapters {
		o := n.outcomes[a.AdapterID]
		if !o.there {
			continue
		}
		if len(s.Vifs) == maxListedPorts {
			s.IPAssignments, s.Vifs = nil, nil
			return
		}
		s.IPAssignments[o.lease.MAC.String()] = o.assigned()
		s.Vifs = append(s.Vifs, eve.VifNameMac{Name: o.lease.Port, MacAddr: o.lease.MAC.HardwareAddr(), AppID: appID(a.App)})
	}
}

// assigned returns an adapter's addresses, as EVE words where they come from.
func (o *outcome) assigned() eve.AssignedAddrs {
	return eve.AssignedAddrs{
		IPv4Addrs: assignedAddr(o.lease.IPv4, o.static4, false),
		IPv6Addrs: assignedAddr(o.lease.IPv6, o.static6, o.slaac),
	}
}

func assignedAddr(addr netip.Addr, fixed, slaac bool) []eve.AssignedAddr {
	by := eve.AddressSourceInternalDHCP
	switch {
	case !addr.IsValid():
		return nil
	case fixed:
		by = eve.AddressSourceStatic
	case slaac:
		by = eve.AddressSourceSLAAC
	}
	return []eve.AssignedAddr{{Address: ipOf(addr), AssignedBy: by}}
}

// macOf returns a MAC address in the topics' form; nil for none.
func macOf(m plan.MAC) net.HardwareAddr {
	if m == (plan.MAC{}) {
		return nil
	}
	return m.HardwareAddr()
}

// ipOf returns an address in the topics' form; nil for none.
func ipOf(a netip.Addr) net.IP {
	if !a.IsValid() {
		return nil
	}
	return net.IP(a.AsSlice())
}

// networkError is an error of a network in the topics' form.
func (m *Manager) networkError(id string, err error, old eve.ErrorAndTime) eve.ErrorAndTime {
	return m.errorAndTime(err, old, eve.ErrorEntity{EntityType: eve.ErrorEntityNetworkInstance, EntityID: id})
}

// errorAndTime puts an error into the topics' form. One that has been there before keeps its time: a status changes when
// the error does, and not with every attempt.
func (m *Manager) errorAndTime(err error, old eve.ErrorAndTime, about eve.ErrorEntity) eve.ErrorAndTime {
	if err == nil {
		return eve.ErrorAndTime{}
	}
	if old.Error == err.Error() {
		return old
	}
	return eve.ErrorAndTime{ErrorDescription: eve.ErrorDescription{
		Error:         err.Error(),
		ErrorTime:     m.now().UTC().Round(time.Millisecond),
		ErrorSeverity: eve.ErrorSeverityError,
		ErrorEntities: []*eve.ErrorEntity{&about},
	}}
}
