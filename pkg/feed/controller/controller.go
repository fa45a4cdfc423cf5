// SPDX-License-Identifier: Apache-2.0

// Package controller is the feed that is told by an EVE controller: it does what zedagent does on a device, as far as apps
// and their networks are concerned, and publishes the same topics.
//
// In comes the configuration of one device, an EdgeDevConfig, over HTTPS (EVE API, versions 2 and 1); out goes a feed.Set
// through pubsub, as the agent "mdfeed", and the topic ControllerStatus. The device is known to the controller by its
// certificate. Where it is not yet, it can register with an onboarding certificate, as EVE's client does. The caller is the
// command.
//
// # What is believed
//
// In version 2 every message is signed, both ways. The controller's certificates have to lead to the root certificate
// that the device was given, whoever the server is that TLS leads to. In version 1 TLS is all there is, and only that root
// counts.
//
// An answer that is not signed as it should be, does not decode, or is about another device is refused. So is one that is
// too large. What was in force before stays, and so it does while the controller is away, or says that it has no
// configuration. The reason is in the topic, and in the log once.
//
// # What is kept
//
// The last configuration is kept below the root, as the controller signed it, together with what its signature is
// checked with. A run begins with that, after the same checks. As on EVE, it is of no use any more when the certificates
// have expired: a controller signs anew before they do.
package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/pkg/devicekey"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/feed"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/task"
)

// DefaultInterval is how often a device asks for its configuration, unless the configuration says otherwise (EVE,
// timer.config.interval).
const DefaultInterval = time.Minute

// leastInterval is the shortest that may be asked for; devices of EVE's have none below five seconds.
const leastInterval = 100 * time.Millisecond

// Versions of the controller's API.
const (
	V1 = 1 // mutual TLS
	V2 = 2 // signed messages
)

// Config says which controller a Feed asks, who the device is, and where to publish.
type Config struct {
	// Driver carries the topics.
	Driver pubsub.Driver
	// Log takes what is wrong, once for as long as it stays wrong.
	Log logrus.FieldLogger
	// Root is before the paths of all files that have no path of their own here.
	Root string

	// Server is the controller: a host, a host and port, or an https URL without a path.
	Server string
	// API is the version of its API, V2 when 0.
	API int

	// DeviceCert and DeviceKey are the device's files, in PEM. Without them they are where EVE has them,
	// config/device.cert.pem and config/device.key.pem; where there is a certificate but no key, that is in the TPM.
	DeviceCert, DeviceKey string
	// RootCA is the file of the root certificates that the controller's lead to, config/root-certificate.pem without it.
	RootCA string
	// TLSRoot is a file of more roots for the server's certificate, such as a proxy's: beside RootCA and, in version 2,
	// the system's. "" for none.
	TLSRoot string

	// OnboardCert and OnboardKey are files with which the device registers when the controller does not know it. "" where
	// that is done by others. Only version 2.
	OnboardCert, OnboardKey string
	// Serial and SoftSerial are what the controller expects together with the onboarding certificate.
	Serial, SoftSerial string

	// Group is who may read the key that user data is decrypted with, where that is in a file; 0: its owner alone.
	Group int

	// Interval is how often to ask when the configuration does not say so, 100 ms at least; DefaultInterval when 0.
	Interval time.Duration
	// Withdraw removes all that was published when Run ends. Otherwise it stays, and the next run starts from it.
	Withdraw bool

	// Now tells the time by which certificates are judged, time.Now when nil.
	Now func() time.Time
	// Transport carries requests, in place of TLS made out of the files above when it is not nil.
	Transport http.RoundTripper
}

// Feed publishes what a controller says. It is a task: Run, Ready, String.
type Feed struct {
	cfg   Config
	base  string // URL of the server, without a slash at the end
	host  string
	keys  deviceKeys
	ready task.Ready
}

// New returns a Feed that has not started. The error says that the Config is of no use; files are not read yet.
func New(cfg Config) (*Feed, error) {
	f := &Feed{cfg: cfg}
	if err := f.configure(); err != nil {
		return nil, fmt.Errorf("configure controller feed: %w", err)
	}
	return f, nil
}

func (f *Feed) configure() (err error) {
	if f.cfg.Driver == nil || f.cfg.Log == nil {
		return errors.New("it needs a driver and a log")
	}
	if f.base, f.host, err = parseServer(f.cfg.Server); err != nil {
		return err
	}
	switch f.cfg.API {
	case 0:
		f.cfg.API = V2
	case V1, V2:
	default:
		return fmt.Errorf("there is no version %d of the API", f.cfg.API)
	}
	switch {
	case (f.cfg.DeviceCert == "") != (f.cfg.DeviceKey == ""):
		return errors.New("the device's certificate and key go together")
	case (f.cfg.OnboardCert == "") != (f.cfg.OnboardKey == ""):
		return errors.New("the onboarding certificate and key go together")
	case f.cfg.OnboardCert != "" && f.cfg.API == V1:
		return errors.New("onboarding needs version 2 of the API")
	case f.cfg.Interval != 0 && f.cfg.Interval < leastInterval:
		return fmt.Errorf("interval %v is shorter than %v", f.cfg.Interval, leastInterval)
	}
	if f.cfg.RootCA == "" {
		f.cfg.RootCA = filepath.Join(f.cfg.Root, "/config/root-certificate.pem")
	}
	if f.cfg.Interval == 0 {
		f.cfg.Interval = DefaultInterval
	}
	if f.cfg.Now == nil {
		f.cfg.Now = time.Now
	}
	f.keys = devicekey.Open(f.cfg.Root)
	if f.cfg.DeviceCert != "" {
		f.keys = devicekey.OpenDevice(f.cfg.Root, f.cfg.DeviceCert, f.cfg.DeviceKey)
	}
	return nil
}

// String names the task.
func (f *Feed) String() string { return "controller feed, " + f.host }

// Ready is closed once the first attempt is over, whatever came of it: the configuration is published, or the last good
// one. A controller that is away is no reason for a service not to start.
func (f *Feed) Ready() <-chan struct{} { return f.ready.Done() }

// Run publishes until ctx ends; then it returns nil. It is called once. The error is about the topics, and wraps
// pubsub.ErrInUse when another feed has them: whatever is wrong with files, the network or the controller is reported and
// waited out.
func (f *Feed) Run(ctx context.Context) (err error) {
	s, err := f.start()
	if err != nil {
		return fmt.Errorf("start %s: %w", f, err)
	}
	defer func() {
		if endErr := s.end(f.cfg.Withdraw); endErr != nil {
			err = errors.Join(err, fmt.Errorf("end %s: %w", f, endErr))
		}
	}()
	s.report(errors.Join(s.restore(), s.settle()))
	for ctx.Err() == nil {
		wait := s.round(ctx)
		f.ready.Set()
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

// start opens the topics.
func (f *Feed) start() (*session, error) {
	pub, err := feed.NewPublisher(f.cfg.Driver)
	if err != nil {
		return nil, err
	}
	status, err := pubsub.NewPublication(f.cfg.Driver, pubsub.TopicOf[eve.ControllerStatus](eve.AgentFeed))
	if err != nil {
		return nil, errors.Join(err, pub.Detach())
	}
	for _, err := range pub.Skipped() {
		f.cfg.Log.WithError(err).Warn("what an earlier run published cannot be read")
	}
	return &session{Feed: f, pub: pub, status: status}, nil
}
