// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-metadata/pkg/envelope"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/feed"
	"github.com/lf-edge/eve-metadata/pkg/feed/devconfig"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

const (
	// firstRetry is how long to wait after a failure. Each further one doubles it, up to maxRetry.
	firstRetry = 10 * time.Second
	maxRetry   = 10 * time.Minute
	// minShare is the least part of a wait that is waited: devices shall not all ask at one time (EVE, zedagent).
	minShare = 0.3

	// intervalItem is the setting that says how often to ask, in seconds within the limits below (EVE, global settings).
	intervalItem = "timer.config.interval"
	minInterval  = 5 * time.Second
	maxInterval  = time.Hour
)

// session is one run of a Feed: what it has learnt of the controller, and what it has made of it. It is used from one
// goroutine.
type session struct {
	*Feed
	pub    *feed.Publisher
	status *pubsub.Publication[eve.ControllerStatus]
	link   *link // nil: to be made out of the files

	// Version 2 only.
	chain    *envelope.Chain // nil: not known
	chainAt  time.Time       // when that was fetched; zero: it is an earlier run's
	chainFor string          // controllercert_confighash of the configuration that it was fetched for
	fetched  bool            // it was fetched in this round
	device   uuid.UUID       // nil: not known
	askedAt  time.Time       // when the controller was asked for that
	attested bool
	token    []byte // which proves that

	now      *checkpoint            // nil: there is no configuration in force
	response *config.ConfigResponse // of now
	retired  []*certs.ZCert         // certificates that the controller had before, and user data is still encrypted with
	fromFile bool                   // now is an earlier run's, and has not been confirmed
	unsaved  bool                   // now is not kept yet
	dirty    bool                   // what is published is not what is known

	contact  time.Time // when the controller last answered as it should
	failures int       // in a row
	problem  problem
}

func (s *session) end(withdraw bool) error {
	s.disconnect()
	if withdraw {
		return errors.Join(s.pub.Close(), s.status.Close())
	}
	return errors.Join(s.pub.Detach(), s.status.Detach())
}

// round asks the controller once and publishes what is new. It returns how long to wait before the next one.
func (s *session) round(ctx context.Context) time.Duration {
	s.fetched = false
	err := s.exchange(ctx)
	if ctx.Err() != nil {
		return 0
	}
	if err != nil {
		s.disconnect() // whatever the files say by then is tried next
	}
	var kept error
	if s.now == nil {
		kept = s.restore() // the clock or a file may have been what was wrong with it
	}
	s.report(errors.Join(err, kept, s.settle()))
	return s.pause(err)
}

func (s *session) exchange(ctx context.Context) error {
	if err := s.connect(); err != nil {
		return err
	}
	if s.cfg.API == V1 {
		return s.exchangeV1(ctx)
	}
	return s.exchangeV2(ctx)
}

// take puts a configuration in force that the controller has answered with. The message is as it came, and the payload
// what was in it.
func (s *session) take(message, payload []byte) error {
	response, err := parseResponse(payload)
	if err != nil {
		return err
	}
	if id := response.GetConfig().GetId().GetUuid(); s.cfg.API == V2 && !sameDevice(id, s.device) {
		s.device = uuid.Nil // the controller is asked again who this is
		return fmt.Errorf("configuration: it is of device %q", id)
	}
	if s.response != nil && unchanged(s.response, response) {
		s.confirm()
		return nil
	}
	now := &checkpoint{API: s.cfg.API, Received: s.cfg.Now().UTC(), Message: message}
	if s.chain != nil {
		if now.Certs, err = proto.Marshal(&certs.ZControllerCert{Certs: s.chain.Certs()}); err != nil {
			return fmt.Errorf("encode the controller's certificates: %w", err)
		}
	}
	s.now, s.response, s.unsaved = now, response, true
	s.confirm()
	s.retire(nil)
	s.dirty = true
	s.cfg.Log.WithField("hash", response.GetConfigHash()).Info("controller: new configuration")
	_, problems := devconfig.Parse(response.GetConfig())
	for _, problem := range problems {
		s.cfg.Log.WithError(problem).Warn("controller: problem in the configuration")
	}
	return nil
}

// confirm notes that what is in force is what the controller wants.
func (s *session) confirm() {
	s.fromFile = false
	s.contact = s.cfg.Now().UTC()
}

// unchanged tells whether a configuration is the one that is in force, by its hash or, from a controller that gives none, by
// itself.
func unchanged(inForce, answered *config.ConfigResponse) bool {
	if answered.GetConfigHash() == "" {
		return proto.Equal(inForce, answered)
	}
	return inForce.GetConfigHash() == answered.GetConfigHash()
}

func sameDevice(id string, device uuid.UUID) bool {
	parsed, err := uuid.Parse(id)
	return err == nil && parsed == device
}

func parseResponse(payload []byte) (*config.ConfigResponse, error) {
	response := &config.ConfigResponse{}
	if err := proto.Unmarshal(payload, response); err != nil {
		return nil, errors.New("configuration: not a message of EVE's API")
	}
	if response.GetConfig() == nil {
		return nil, errors.New("configuration: there is none in the answer")
	}
	if _, err := uuid.Parse(response.GetConfig().GetId().GetUuid()); err != nil {
		return nil, fmt.Errorf("configuration: it is of device %q, which is not a UUID", response.GetConfig().GetId().GetUuid())
	}
	return response, nil
}

// retire keeps of the certificates that the controller no longer has those that user data is still encrypted with (EVE,
// zedagent). The old ones are those that it had until now.
func (s *session) retire(old []*certs.ZCert) {
	if s.chain == nil {
		return
	}
	has := map[string]bool{}
	for _, z := range s.chain.Certs() {
		has[string(z.GetCertHash())] = true
	}
	used := map[string]bool{}
	for _, c := range s.response.GetConfig().GetCipherContexts() {
		used[string(c.GetControllerCertHash())] = true
	}
	var retired []*certs.ZCert
	for _, z := range slices.Concat(old, s.retired) {
		if hash := string(z.GetCertHash()); used[hash] && !has[hash] {
			retired, has[hash] = append(retired, z), true
		}
	}
	s.retired = retired
}

// settle keeps what is in force, and then publishes it: what was published is there again after a crash.
func (s *session) settle() error {
	if s.now == nil {
		return nil
	}
	var errs []error
	if s.unsaved {
		if err := s.save(); err != nil {
			errs = append(errs, err)
		} else {
			s.unsaved = false
		}
	}
	if s.dirty {
		if err := s.publish(); err != nil {
			errs = append(errs, err)
		} else {
			s.dirty = false
		}
	}
	return errors.Join(errs...)
}

// publish makes the topics be what is known. What fails is tried again in the next round.
func (s *session) publish() error {
	set, _ := devconfig.Parse(s.response.GetConfig())
	set.ControllerCerts = map[string]eve.ControllerCert{}
	var errs []error
	if s.chain != nil {
		for _, z := range slices.Concat(s.retired, s.chain.Certs()) {
			set.ControllerCerts[hex.EncodeToString(z.GetCertHash())] = eve.ControllerCert{
				HashAlgo: eve.HashAlgorithm(z.GetHashAlgo()), Type: eve.ZCertType(z.GetType()), Cert: z.GetCert(), CertHash: z.GetCertHash(),
			}
		}
		cert, err := s.keys.ECDHCert()
		if err == nil && s.cfg.Group != 0 {
			err = s.keys.ShareECDH(s.cfg.Group)
		}
		if err != nil {
			errs = append(errs, err)
		} else {
			set.DeviceCerts = map[string]eve.EdgeNodeCert{hex.EncodeToString(cert.CertID): cert}
		}
	}
	if err := s.pub.Publish(set, true); err != nil {
		errs = append(errs, fmt.Errorf("publish: %w", err))
	}
	return errors.Join(errs...)
}

// pause returns how long to wait. A controller that has answered, if only that it has no configuration, is asked at the
// usual times; otherwise the waits grow.
func (s *session) pause(err error) time.Duration {
	interval := s.interval()
	if e, ok := errors.AsType[*statusError](err); err == nil || ok && e.status == http.StatusNotFound {
		s.failures = 0
		return jitter(interval)
	}
	wait := firstRetry << min(s.failures, 10)
	s.failures++
	return jitter(min(wait, max(interval, maxRetry)))
}

// interval is how often to ask.
func (s *session) interval() time.Duration {
	for _, item := range s.response.GetConfig().GetConfigItems() {
		if item.GetKey() != intervalItem {
			continue
		}
		seconds, err := strconv.ParseUint(item.GetValue(), 10, 32)
		if d := time.Duration(seconds) * time.Second; err == nil && d >= minInterval && d <= maxInterval {
			return d
		}
	}
	return s.cfg.Interval
}

func jitter(d time.Duration) time.Duration {
	share := minShare + (1-minShare)*rand.Float64() //nolint:gosec // a time, and no secret
	return time.Duration(share * float64(d))
}
