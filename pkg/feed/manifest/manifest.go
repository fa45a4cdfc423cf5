// SPDX-License-Identifier: Apache-2.0

// Package manifest is the feed that needs no controller: it reads a directory and publishes what it finds there.
//
// In come files: YAML manifests made for people, one app or network in each document (*.yaml, *.yml; see Schema and the
// folder examples), and EdgeDevConfig messages as a controller has them (*.json in protobuf's JSON, *.pb or *.bin in
// binary). Other files, and everything in folders below, are read only when a manifest refers to them. Out goes a
// feed.Set: through pubsub, as the agent "mdfeed", for as long as a Feed runs; or to the caller of Load.
// The caller is the command: "run" and "feed" start a Feed, "render" and "drive" use Load.
//
// # Bad files
//
// A file is accepted as a whole or refused as a whole, with every problem in it. What a refused file last said stays in
// force, while the other files go on. Where two files cannot both be right (one name, UUID, address or place of a network
// given twice), the one whose name sorts later is refused. A file that is removed takes its apps and networks with it; one
// that is emptied does not, since editors empty a file before they write it. While a file is bad and has never been good
// in this run, nothing that an earlier run published is withdrawn.
//
// # UUIDs
//
// An app or network without a UUID gets one of version 5 (RFC 9562), of the name "app/NAME" or "network/NAME" in a
// namespace which is itself the one of the URL https://github.com/lf-edge/eve-metadata. It is the same everywhere.
package manifest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/pkg/feed"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// Config says what a Feed reads and where it publishes.
type Config struct {
	// Dir is the directory to read and watch. It may be missing, or vanish, for a while.
	Dir string
	// FS is read once, and not watched, when Dir is "": the manifests that are built in.
	FS fs.FS
	// Driver carries the topics.
	Driver pubsub.Driver
	// Log takes what is wrong with files, once for as long as it stays wrong.
	Log logrus.FieldLogger
	// Withdraw removes all that was published when Run ends. Otherwise it stays, and the next run starts from it.
	Withdraw bool
}

// Feed publishes what a directory says. It is a task: Run, Ready, String.
type Feed struct {
	cfg       Config
	catalogue *catalogue
	ready     chan struct{}
	said      map[string]bool // problems that were logged and persist
	complete  bool            // every file was good at least once, all at the same time
	published bool
}

// New returns a Feed that has not started. The error says that the Config is of no use.
func New(cfg Config) (*Feed, error) {
	if cfg.Driver == nil || cfg.Log == nil {
		return nil, errors.New("configure manifest feed: it needs a driver and a log")
	}
	if cfg.Dir == "" && cfg.FS == nil {
		return nil, errors.New("configure manifest feed: it needs a directory")
	}
	return &Feed{cfg: cfg, catalogue: newCatalogue(), ready: make(chan struct{}), said: map[string]bool{}}, nil
}

// String names the task.
func (f *Feed) String() string {
	if f.cfg.Dir == "" {
		return "manifest feed, built-in manifests"
	}
	return "manifest feed, " + f.cfg.Dir
}

// Ready is closed once the directory was read and what is good in it is published.
func (f *Feed) Ready() <-chan struct{} { return f.ready }

// Run publishes until ctx ends; then it returns nil. It is called once. The error is about the topics, and wraps
// pubsub.ErrInUse when another feed has them: whatever is wrong with files is logged and waited out.
func (f *Feed) Run(ctx context.Context) (err error) {
	pub, err := feed.NewPublisher(f.cfg.Driver)
	if err != nil {
		return fmt.Errorf("start %s: %w", f, err)
	}
	defer func() {
		end := pub.Detach
		if f.cfg.Withdraw {
			end = pub.Close
		}
		if endErr := end(); endErr != nil {
			err = errors.Join(err, fmt.Errorf("end %s: %w", f, endErr))
		}
	}()
	for _, err := range pub.Skipped() {
		f.cfg.Log.WithError(err).Warn("what an earlier run published cannot be read")
	}
	if f.cfg.Dir == "" {
		f.pass(pub, f.cfg.FS)
		<-ctx.Done()
		return nil
	}
	return f.follow(ctx, pub)
}

// follow reads the directory whenever something in it changes.
func (f *Feed) follow(ctx context.Context, pub *feed.Publisher) error {
	w, err := newWatcher(f.cfg.Dir)
	if err != nil {
		return fmt.Errorf("start %s: %w", f, err)
	}
	defer w.close()
	dir := os.DirFS(f.cfg.Dir)
	again := 0
	for {
		// Watch first, so that no change is missed; what is read may name more folders to watch.
		watched := w.watch(nil)
		dirs, ok := f.pass(pub, dir)
		if ok {
			watched = w.watch(dirs)
		}
		if again++; watched == watchedMore && again < maxAgain {
			continue
		}
		again = 0
		wait := time.Duration(0) // for ever
		if watched != watchedSame || !ok {
			wait = retry
		}
		if !w.wait(ctx, wait) {
			return nil
		}
	}
}

// pass reads and publishes once. It returns the folders that manifests refer to, and whether all could be read
// and published; what is wrong with files is no matter here.
func (f *Feed) pass(pub *feed.Publisher, fsys fs.FS) ([]string, bool) {
	r, err := f.catalogue.read(fsys, f.cfg.Dir)
	if err != nil {
		f.say([]error{err})
		return nil, false
	}
	f.complete = f.complete || r.complete
	errs := r.errs
	err = pub.Publish(r.set, f.complete)
	if err != nil {
		errs = append(errs, fmt.Errorf("publish manifests: %w", err))
	}
	f.say(errs)
	if !f.published {
		f.published = true
		close(f.ready)
	}
	return r.dirs, err == nil || errors.Is(err, pubsub.ErrTooLarge)
}

// say logs the problems that were not there before.
func (f *Feed) say(errs []error) {
	now := map[string]bool{}
	for _, err := range errs {
		text := err.Error()
		if !f.said[text] && !now[text] {
			f.entry(err).Error("manifests: problem")
		}
		now[text] = true
	}
	if len(f.said) > 0 && len(now) == 0 {
		f.cfg.Log.WithField("feed", f.String()).Info("manifests: no problem any more")
	}
	f.said = now
}

func (f *Feed) entry(err error) *logrus.Entry {
	entry := f.cfg.Log.WithError(err)
	if e := (*Error)(nil); errors.As(err, &e) {
		entry = entry.WithFields(logrus.Fields{"file": e.File, "line": e.Line})
	}
	return entry
}
