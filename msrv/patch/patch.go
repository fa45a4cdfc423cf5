// SPDX-License-Identifier: Apache-2.0

// Package patch is the patch envelopes of an edge node: files that the controller offers to some of its apps, which fetch
// them while they run (EVE, PATCH-ENVELOPES.md).
//
// In comes what EVE's agents publish: zedagent the envelopes, volumemgr the volumes that some of their files are. Out go, to
// EVE's dialect, the envelopes that an app may fetch, with the files that are on the node, decrypted where they came
// encrypted; and as topics, what EVE's msrv publishes for zedagent to report to the controller: how far each envelope has
// come ([InfoTopic]), and what each app did with it ([UsageTopic]).
//
// An app sees an envelope that names the app and that the controller has activated. A file that is a volume is among its
// files once the volume is made. An envelope with a fault is not to be had at all: nobody shall take a part of it for all.
// A fault is one that zedagent reports, a volume that failed, a name that is no name of a file, and what cannot be decrypted.
//
// What apps do is counted in memory and written once a [FlushInterval] if it has changed, and at the end: a guest may ask
// 500 times a second, and each write costs flash. What a crash loses is the counts of the last interval.
package patch

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	dialect "github.com/lf-edge/eve-metadata/msrv/dialect/eve"
	"github.com/lf-edge/eve-metadata/pkg/cipher"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/task"
)

const (
	// FlushInterval is how long counts are in memory only.
	FlushInterval = time.Minute
	// lookInterval is how long after a fault it is looked again whether it is one still: certificates may come.
	lookInterval = 10 * time.Second
)

// Source is what is known of the node. *node.Node is one.
type Source interface {
	// Patches are all envelopes; false as long as nobody has told.
	Patches() (eve.PatchEnvelopeInfoList, bool)
	// Volumes are all volumes, by volumemgr's keys, and Content is a piece of content, by its ID.
	Volumes() iter.Seq2[string, eve.VolumeStatus]
	Content(id string) (eve.ContentTreeStatus, bool)
	// Changed returns a channel that is closed once one of them may return something else than now.
	Changed() <-chan struct{}
}

// Config is what Envelopes are made of.
type Config struct {
	Driver pubsub.Driver
	Source Source
	Opener *cipher.Opener
	// Root prefixes the paths that topics name.
	Root string
	Log  logrus.FieldLogger
}

// InfoTopic is where the state of envelopes is published, by "<ID>v<version>".
func InfoTopic() pubsub.Topic[eve.PatchEnvelopeInfo] {
	return pubsub.TopicOf[eve.PatchEnvelopeInfo](eve.AgentServe)
}

// UsageTopic is where it is published what apps did with envelopes. It is kept over reboots.
func UsageTopic() pubsub.Topic[eve.PatchEnvelopeUsage] {
	return pubsub.TopicOf[eve.PatchEnvelopeUsage](eve.AgentServe, pubsub.Persistent())
}

// Envelopes are the patch envelopes of the node, and a task.Task that publishes them. Make them with New.
type Envelopes struct {
	cfg   Config
	vault vault
	usage usage
	ready task.Ready

	infos  *pubsub.Publication[eve.PatchEnvelopeInfo] // while Run runs
	faults map[string]string                          // what was logged of an envelope, by key of infos
}

// New makes Envelopes. It opens nothing, and guests may fetch what Source knows before Run runs.
func New(c Config) *Envelopes {
	return &Envelopes{
		cfg: c, vault: newVault(c.Opener), usage: usage{counts: make(map[string]*count)}, faults: make(map[string]string),
	}
}

// Of returns the envelopes that an app may fetch now. Implements EVE's dialect's Patches.
func (e *Envelopes) Of(app string) []dialect.Patch {
	list, _ := e.cfg.Source.Patches()
	var patches []dialect.Patch
	for i := range list.Envelopes {
		info := &list.Envelopes[i]
		if info.State == eve.PatchEnvelopeStateActive && isAllowed(info, app) {
			patches = append(patches, e.resolve(info).patch)
		}
	}
	return patches
}

// isAllowed tells whether an app may fetch an envelope. A controller's UUID may be in upper case.
func isAllowed(info *eve.PatchEnvelopeInfo, app string) bool {
	return slices.ContainsFunc(info.AllowedApps, func(allowed string) bool { return strings.EqualFold(allowed, app) })
}

// Told counts that an app was told of an envelope.
func (e *Envelopes) Told(app string, p *dialect.Patch) {
	e.usage.add(eve.PatchEnvelopeUsage{AppUUID: app, PatchID: p.ID, Version: p.Version, PatchAPICallCount: 1})
}

// Fetched counts that an app fetches an envelope, or a file of it.
func (e *Envelopes) Fetched(app string, p *dialect.Patch) {
	e.usage.add(eve.PatchEnvelopeUsage{AppUUID: app, PatchID: p.ID, Version: p.Version, DownloadCount: 1})
}

// String names the task.
func (*Envelopes) String() string { return "msrv patch" }

// Ready is closed when the topics are open, and what an earlier run has counted is counted in.
func (e *Envelopes) Ready() <-chan struct{} { return e.ready.Done() }

// Run publishes until ctx ends, and then writes all that was counted. It is called once. The error wraps pubsub.ErrInUse when
// another service publishes the topics.
func (e *Envelopes) Run(ctx context.Context) error {
	if err := e.open(); err != nil {
		return err
	}
	e.ready.Set()
	flush := time.NewTicker(FlushInterval)
	defer flush.Stop()
	var changed <-chan struct{}
	var again <-chan time.Time
	look := func() {
		changed, again = e.cfg.Source.Changed(), nil
		if !e.look() {
			again = time.After(lookInterval)
		}
	}
	for look(); ; {
		select {
		case <-changed:
			look()
		case <-again:
			look()
		case <-flush.C:
			e.warn("counts of patch envelopes not kept", e.usage.flush())
		case <-ctx.Done():
			return e.close()
		}
	}
}

func (e *Envelopes) open() error {
	infos, err := pubsub.NewPublication(e.cfg.Driver, InfoTopic())
	if err != nil {
		return err
	}
	counts, err := pubsub.NewPublication(e.cfg.Driver, UsageTopic())
	if err != nil {
		return errors.Join(err, infos.Detach())
	}
	e.infos = infos
	e.warn("counts of patch envelopes not readable, and lost", e.usage.open(counts))
	return nil
}

// close leaves the counts behind, and takes the states back, which are about a service that runs.
func (e *Envelopes) close() error { return errors.Join(e.usage.close(), e.infos.Close()) }

// Prune forgets what apps did that do not exist any more.
func (e *Envelopes) Prune(exists func(app string) bool) error {
	return e.usage.prune(func(u *eve.PatchEnvelopeUsage) bool { return exists(u.AppUUID) })
}

// look publishes how the envelopes are, and forgets those that are gone. It returns whether none is at fault.
func (e *Envelopes) look() (good bool) {
	list, ok := e.cfg.Source.Patches()
	if !ok { // nobody has told: what was is no less true than before
		return true
	}
	good = true
	known := make(map[string]*eve.PatchEnvelopeInfo)
	for i := range list.Envelopes {
		info := &list.Envelopes[i]
		key := info.PatchID + "v" + info.Version
		known[key] = info
		now := e.resolve(info).info
		faults := now.Errors
		if err := e.infos.Set(key, now); err != nil {
			faults = append(faults, err.Error())
		}
		good = good && len(faults) == 0
		e.tell(key, faults)
	}
	for key := range e.infos.Table() {
		if known[key] == nil {
			delete(e.faults, key)
			e.warn("state of a patch envelope not withdrawn", e.infos.Delete(key))
		}
	}
	e.warn("counts of patch envelopes not forgotten", e.usage.prune(func(u *eve.PatchEnvelopeUsage) bool {
		info := known[u.PatchID+"v"+u.Version]
		return info != nil && isAllowed(info, u.AppUUID)
	}))
	e.vault.sweep()
	return good
}

// tell logs what is wrong with an envelope, when that has changed.
func (e *Envelopes) tell(key string, faults []string) {
	text := strings.Join(faults, "; ")
	if text != "" && text != e.faults[key] {
		e.cfg.Log.WithFields(logrus.Fields{"patch": key, "error": text}).Error("patch envelope at fault")
	}
	e.faults[key] = text
}

func (e *Envelopes) warn(what string, err error) {
	if err != nil {
		e.cfg.Log.WithError(err).Warn(what)
	}
}
