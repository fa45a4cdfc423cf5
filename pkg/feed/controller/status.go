// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"strings"
	"time"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// problem is what is wrong, and since when.
type problem struct {
	said  []string // what of it was logged, and persists
	since time.Time
}

// report tells what is wrong now: in the log what was not there before, and all in the topic.
func (s *session) report(err error) {
	var now []string
	for _, err := range flat(err) {
		text := err.Error()
		if !slices.Contains(s.problem.said, text) && !slices.Contains(now, text) {
			s.cfg.Log.WithError(err).Error("controller: problem")
		}
		now = append(now, text)
	}
	if len(now) == 0 && len(s.problem.said) > 0 {
		s.cfg.Log.WithField("feed", s.String()).Info("controller: no problem any more")
	}
	if !slices.Equal(now, s.problem.said) {
		s.problem = problem{said: now, since: s.cfg.Now().UTC()}
	}
	if err := s.status.Set(eve.GlobalKey, s.state()); err != nil {
		s.cfg.Log.WithError(err).Error("controller: its state is not published")
	}
}

// flat returns the errors of which one is joined.
func flat(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var errs []error
	for _, err := range joined.Unwrap() {
		errs = append(errs, flat(err)...)
	}
	return errs
}

func (s *session) state() eve.ControllerStatus {
	status := eve.ControllerStatus{
		Server:      s.host,
		DeviceUUID:  s.device,
		APIVersion:  s.cfg.API,
		ConfigHash:  s.response.GetConfigHash(),
		FromFile:    s.fromFile,
		LastContact: s.contact,
	}
	if s.now != nil {
		status.ConfigTime = s.now.Received
	}
	if len(s.problem.said) > 0 {
		status.Error = strings.Join(s.problem.said, "; ")
		status.ErrorTime = s.problem.since
		status.ErrorSeverity = eve.ErrorSeverityError
	}
	return status
}
