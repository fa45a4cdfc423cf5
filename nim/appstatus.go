// SPDX-License-Identifier: Apache-2.0

package nim

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/nim/intake"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// errDuplicate says that an app instance has two adapters of one name.
var errDuplicate = fmt.Errorf("%w: another adapter has the same name", intake.ErrInvalid)

// unpublished is the app instances whose state could not be published, as on a full disk.
type unpublished struct {
	reasons map[string]string // by app instance: what was logged
	retry   retry
}

// publishApps publishes the state of app instances, and plans another attempt where that does not work.
func (m *Manager) publishApps(keys map[string]bool) {
	u := &m.state.unpublished
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		err := m.publishApp(key)
		if err == nil {
			delete(u.reasons, key)
			continue
		}
		if err.Error() != u.reasons[key] {
			m.cfg.Log.WithField("app", key).WithError(err).Error("status of app instance is not published")
		}
		u.reasons[key] = err.Error()
	}
	switch {
	case len(u.reasons) == 0:
		u.retry = retry{}
	case !u.retry.at.After(m.now()): // another's change does not put it off
		u.retry.fail(m.now())
	}
}

// publishApp publishes the state of an app instance's adapters, or withdraws it when the app instance is gone for sure.
func (m *Manager) publishApp(key string) error {
	pub := m.state.appStatus
	app, ok := m.app(key)
	if !ok {
		if m.state.complete {
			return pub.Delete(key)
		}
		return nil
	}
	old, _ := pub.Get(key)
	status, ok := m.appNetworkStatus(app, old)
	if !ok {
		return nil
	}
	err := pub.Set(key, status)
	if errors.Is(err, pubsub.ErrTooLarge) {
		for i := range status.AppNetAdapterList {
			status.AppNetAdapterList[i].ACLs = nil
		}
		err = pub.Set(key, status)
	}
	if err == nil {
		logAdapters(m.cfg.Log.WithField("app", key), old, status)
	}
	return err
}

// logAdapters logs the errors that are new.
func logAdapters(log *logrus.Entry, old, status eve.AppNetworkStatus) {
	known := map[string]bool{}
	for _, a := range old.AppNetAdapterList {
		known[a.Name+"\x00"+a.Error] = true
	}
	for _, a := range status.AppNetAdapterList {
		if a.Error != "" && !known[a.Name+"\x00"+a.Error] {
			log.WithFields(logrus.Fields{"adapter": a.Name, "network": a.Network, "error": a.Error}).Error("adapter is not as it should be")
		}
	}
}

// appNetworkStatus is the state of an app instance's adapters. It reports false while it is not known yet.
func (m *Manager) appNetworkStatus(app eve.AppInstanceConfig, old eve.AppNetworkStatus) (eve.AppNetworkStatus, bool) {
	key := app.UUIDandVersion.UUID.String()
	s := eve.AppNetworkStatus{
		UUIDandVersion: app.UUIDandVersion,
		DisplayName:    app.DisplayName,
		DeploymentType: app.DeploymentType,
		GetStatsIPAddr: app.CollectStatsIPAddr,
		ConfigInSync:   true,
	}
	var errs []error
	for i, config := range app.AppNetAdapterList {
		o, known := m.outcome(app, i)
		if !known {
			return eve.AppNetworkStatus{}, false
		}
		if o.err != "" {
			errs = append(errs, fmt.Errorf("adapter %q: %s", config.Name, o.err))
		}
		s.Activated = s.Activated || o.there
		s.AppNetAdapterList = append(s.AppNetAdapterList, adapterStatus(key, i, config, o))
	}
	s.Activated = app.Activate && (s.Activated || len(app.AppNetAdapterList) == 0)
	s.ErrorAndTime = m.errorAndTime(errors.Join(errs...), old.ErrorAndTime,
		eve.ErrorEntity{EntityType: eve.ErrorEntityAppInstance, EntityID: key})
	return s, true
}

// outcome returns what became of the adapter at i. It reports false while that is not known yet.
func (m *Manager) outcome(app eve.AppInstanceConfig, i int) (o outcome, known bool) {
	config := app.AppNetAdapterList[i]
	if intake.Duplicate(app.AppNetAdapterList, i) {
		return outcome{err: errDuplicate.Error()}, true
	}
	if n := m.state.networks[config.Network.String()]; n != nil {
		o, known = n.outcomes[intake.AdapterID{App: app.UUIDandVersion.UUID.String(), Adapter: config.Name}]
	}
	return o, known
}

// adapterStatus is the state of one adapter. Only one that is there has a MAC address, a port and a bridge; the addresses
// are those that it has or would have, because they stay its own.
func adapterStatus(app string, order int, config eve.AppNetAdapterConfig, o outcome) eve.AppNetAdapterStatus {
	s := eve.AppNetAdapterStatus{AppNetAdapterConfig: config, HostName: app}
	s.Error = o.err
	s.VifOrder = uint32(order)
	s.AssignedAddresses = o.assigned()
	if !o.there {
		return s
	}
	s.Bridge, s.BridgeMac, s.BridgeIPAddr = o.bridge, macOf(o.mac), ipOf(o.gateway)
	s.Vif, s.VifUsed = o.lease.Port, o.lease.Port
	s.VifInfo.Mac = o.lease.MAC.HardwareAddr()
	s.VifInfo.MTU = uint16(o.mtu)
	s.IPv4Assigned = o.lease.IPv4.IsValid()
	return s
}

// appID returns an app instance's UUID out of its key.
func appID(key string) uuid.UUID {
	id, err := uuid.Parse(key)
	if err != nil {
		return uuid.Nil // no config comes this far whose key is not its UUID
	}
	return id
}
