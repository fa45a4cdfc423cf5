// SPDX-License-Identifier: Apache-2.0

package msrv

import (
	"errors"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/pkg/cipher"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// vault opens what is encrypted for this node, and publishes how that went: the state of each app's block, without what
// is in it, and the counters.
type vault struct {
	opener  *cipher.Opener
	blocks  *pubsub.Publication[eve.CipherBlockStatus]
	metrics *pubsub.Publication[eve.CipherMetrics]
	log     logrus.FieldLogger
}

// openVault opens the topics. The opener has counters.
func openVault(d pubsub.Driver, opener *cipher.Opener, log logrus.FieldLogger) (v *vault, err error) {
	v = &vault{opener: opener, log: log}
	if v.blocks, err = pubsub.NewPublication(d, pubsub.TopicOf[eve.CipherBlockStatus](eve.AgentServe)); err != nil {
		return nil, err
	}
	if v.metrics, err = pubsub.NewPublication(d, pubsub.TopicOf[eve.CipherMetrics](eve.AgentServe)); err != nil {
		return nil, errors.Join(err, v.blocks.Close())
	}
	return v, nil
}

// Close withdraws the topics: they are about a service that runs.
func (v *vault) Close() error { return errors.Join(v.blocks.Close(), v.metrics.Close()) }

// userData opens the user data of an app (see cipher.Opener.UserData).
func (v *vault) userData(app *eve.AppInstanceConfig) (string, error) {
	text, err := v.opener.UserData(&app.CipherBlockStatus, app.CloudInitUserData)
	if tellErr := v.tell(app, err); tellErr != nil {
		v.log.WithError(tellErr).Warn("state of encrypted user data not published")
	}
	return text, err
}

// tell publishes how it went with an app. An error that was there before keeps its time.
func (v *vault) tell(app *eve.AppInstanceConfig, err error) error {
	id := app.UUIDandVersion.UUID.String()
	status := app.CipherBlockStatus
	status.CipherData = nil
	status.ErrorAndTime = eve.ErrorAndTime{}
	if err != nil {
		if old, _ := v.blocks.Get(id); old.Error == err.Error() {
			status.ErrorAndTime = old.ErrorAndTime
		} else {
			status.ErrorAndTime = eve.ErrorAndTime{ErrorDescription: eve.ErrorDescription{
				Error: err.Error(), ErrorTime: time.Now().UTC(), ErrorSeverity: eve.ErrorSeverityError,
				ErrorEntities: []*eve.ErrorEntity{{EntityType: eve.ErrorEntityAppInstance, EntityID: id}},
			}}
		}
	}
	return errors.Join(v.blocks.Set(id, status), v.metrics.Set(eve.GlobalKey, v.opener.Counters.Metrics()))
}

// forget withdraws the state of an app's block.
func (v *vault) forget(uuid string) error { return v.blocks.Delete(uuid) }

// Prune withdraws those of apps that do not exist any more, which an earlier run may have left.
func (v *vault) Prune(exists func(uuid string) bool) error {
	var errs []error
	for key := range v.blocks.Table() {
		if !exists(key) {
			errs = append(errs, v.blocks.Delete(key))
		}
	}
	return errors.Join(errs...)
}
