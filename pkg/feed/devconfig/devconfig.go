// SPDX-License-Identifier: Apache-2.0

// Package devconfig reads an EdgeDevConfig, the message in which a controller tells a device all (EVE API), the way EVE's
// zedagent does, and says what it means as a feed.Set.
//
// In comes a decoded message; out go the apps and the app networks in it, what their user data is encrypted with and what the
// edge node is called, as EVE's topics have them. All else in the message is passed over. The callers are the feeds: from files, from a controller. The package is pure, and the same
// message always gives the same Set.
package devconfig

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/feed"
)

// Parse returns what a message says about apps, app networks and the edge node. There is no metadata: EVE's configuration
// has none. Nor are there certificates, which a controller tells of elsewhere.
//
// Each error names one thing that is wrong in the message. As in zedagent, that seldom keeps anything from being
// published: an app with a bad adapter is part of the Set and has the reason in its Errors, a network with a bad subnet
// in its Error. Left out is only what has no name of its own, under which it could be published. Where EVE stamps an
// error with the present time, this is the message's own time, or none.
func Parse(c *config.EdgeDevConfig) (feed.Set, []error) {
	p := parser{
		config:   c,
		contexts: map[string]*eve.CipherContext{},
		types:    map[uuid.UUID]config.ZNetworkInstType{},
	}
	if t := c.GetConfigTimestamp(); t.IsValid() {
		p.now = t.AsTime()
	}
	p.cipherContexts()
	s := feed.Set{
		Networks:       map[string]eve.NetworkInstanceConfig{},
		Apps:           map[string]eve.AppInstanceConfig{},
		AppNetworks:    map[string]eve.AppNetworkConfig{},
		CipherContexts: map[string]eve.CipherContext{},
		Node:           p.node(),
	}
	for id, context := range p.contexts {
		s.CipherContexts[id] = *context
	}
	for i, n := range c.GetNetworkInstances() {
		what := fmt.Sprintf("network instance %d %q", i, n.GetDisplayname())
		id, ok := p.identity(what, n.GetUuidandversion())
		if _, twice := s.Networks[id.String()]; twice {
			p.note("%s: UUID %v is given twice", what, id)
			continue
		}
		if ok {
			s.Networks[id.String()] = p.network(what, id, n)
			p.types[id] = n.GetInstType()
		}
	}
	for i, a := range c.GetApps() {
		what := fmt.Sprintf("app %d %q", i, a.GetDisplayname())
		id, ok := p.identity(what, a.GetUuidandversion())
		if _, twice := s.Apps[id.String()]; twice {
			p.note("%s: UUID %v is given twice", what, id)
			continue
		}
		if ok {
			app := p.app(what, id, a)
			s.Apps[id.String()] = app
			s.AppNetworks[id.String()] = appNetwork(app)
		}
	}
	return s, p.errs
}

// parser holds what the parts of a message need to know of each other.
type parser struct {
	config   *config.EdgeDevConfig
	contexts map[string]*eve.CipherContext
	types    map[uuid.UUID]config.ZNetworkInstType // of the network instances
	now      time.Time
	errs     []error
}

func (p *parser) note(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

// identity returns the UUID of an app or a network, or notes that it has none.
func (p *parser) identity(what string, u *config.UUIDandVersion) (uuid.UUID, bool) {
	id, err := uuid.Parse(u.GetUuid())
	if err != nil || id == uuid.Nil {
		p.note("%s: %q is not a UUID", what, u.GetUuid())
		return uuid.Nil, false
	}
	return id, true
}

// node reads what the edge node is called. Its UUID is that of the message; without one there is nothing to publish.
func (p *parser) node() map[string]eve.EdgeNodeInfo {
	id, err := uuid.Parse(p.config.GetId().GetUuid())
	if err != nil {
		return nil
	}
	project, err := uuid.Parse(p.config.GetProjectId())
	if err != nil && p.config.GetProjectId() != "" {
		p.note("project %q: %q is not a UUID", p.config.GetProjectName(), p.config.GetProjectId())
	}
	return map[string]eve.EdgeNodeInfo{eve.GlobalKey: {
		DeviceName:     p.config.GetDeviceName(),
		DeviceID:       id,
		ProjectName:    p.config.GetProjectName(),
		ProjectID:      project,
		EnterpriseName: p.config.GetEnterpriseName(),
		EnterpriseID:   p.config.GetEnterpriseId(),
	}}
}

// cipherContexts reads the contexts that encrypted user data refers to.
func (p *parser) cipherContexts() {
	for i, c := range p.config.GetCipherContexts() {
		id := c.GetContextId()
		if id == "" {
			p.note("cipher context %d: it has no ID", i)
			continue
		}
		if _, twice := p.contexts[id]; twice {
			p.note("cipher context %d: ID %q is given twice", i, id)
			continue
		}
		p.contexts[id] = &eve.CipherContext{
			ContextID:          id,
			HashScheme:         eve.HashAlgorithm(c.GetHashScheme()),
			KeyExchangeScheme:  eve.KeyExchangeScheme(c.GetKeyExchangeScheme()),
			EncryptionScheme:   eve.EncryptionScheme(c.GetEncryptionScheme()),
			ControllerCertHash: c.GetControllerCertHash(),
			DeviceCertHash:     c.GetDeviceCertHash(),
		}
	}
}
