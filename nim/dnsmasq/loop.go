// SPDX-License-Identifier: Apache-2.0

package dnsmasq

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/pkg/share"
)

// wish is what is wanted of one network's dnsmasq.
type wish struct {
	namespace Namespace
	network   *Network // nil: nothing yet
}

// loop makes one network's dnsmasq be as it is wanted. Its goroutine alone touches the process and the files.
type loop struct {
	keeper    *Keeper
	network   string
	dir       string
	log       logrus.FieldLogger
	wake      chan struct{}
	forgotten chan struct{} // closed by Forget
	done      chan struct{} // closed when run has returned

	left     []*process        // by an earlier Keeper, not looked at yet
	process  *process          // nil: none runs
	known    map[string][]byte // files that it has read; nil: it was taken over, and nothing is sure
	releases []lease           // that it is to give up
	asked    bool              // and was asked to
	backoff  backoff

	mu   sync.Mutex
	want wish
	err  error
}

// ErrStarting is the state of a network whose dnsmasq was not started yet.
var ErrStarting = errors.New("dnsmasq is starting")

func newLoop(k *Keeper, network string, left []*process) *loop {
	return &loop{
		keeper: k, network: network, dir: filepath.Join(k.config.Dir, network), left: left,
		log:  k.config.Log.WithField("network", network),
		wake: make(chan struct{}, 1), forgotten: make(chan struct{}), done: make(chan struct{}),
		err: ErrStarting,
	}
}

// set takes what is wanted from now on.
func (l *loop) set(w wish) {
	l.mu.Lock()
	l.want = w
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // it is going to look already
	}
}

func (l *loop) wanted() wish {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.want
}

func (l *loop) state() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// report sets the state, and tells when it is another one.
func (l *loop) report(err error) {
	l.mu.Lock()
	same := (err == nil) == (l.err == nil) && (err == nil || err.Error() == l.err.Error())
	l.err = err
	l.mu.Unlock()
	if !same && l.keeper.config.Changed != nil {
		l.keeper.config.Changed(l.network)
	}
}

// run looks again at each new wish, when the process has ended, and when it is time for another attempt.
func (l *loop) run() {
	defer close(l.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.wake:
		case <-timer.C:
		case <-l.process.ended():
			timer.Reset(l.ended())
			continue
		case <-l.keeper.closed:
			l.leave()
			return
		case <-l.forgotten:
			l.stop()
			return
		}
		again, err := l.converge()
		if again != 0 {
			timer.Reset(again)
		}
		l.report(err)
	}
}

// ended takes note that the process has ended, and returns when to start another one.
func (l *loop) ended() time.Duration {
	l.report(l.process.failure())
	if time.Since(l.process.since) > aWhile {
		l.backoff = backoff{}
	}
	l.drop()
	return l.backoff.next()
}

// leave lets go of processes, which stay.
func (l *loop) leave() {
	for _, p := range append(l.left, l.process) {
		p.release()
	}
}

// stop ends all processes.
func (l *loop) stop() {
	for _, p := range append(l.left, l.process) {
		p.stop()
	}
	l.left = nil
	l.drop()
}

// drop forgets a process that has ended.
func (l *loop) drop() {
	l.process.release()
	l.process, l.known, l.releases, l.asked = nil, nil, nil, false
}

// converge makes the process and its files be as they are wanted. It returns when to look again, 0 for when something
// happens, and what is wrong until then.
//
// The configuration is written only while no process runs. So a process that an earlier Keeper left was started with what
// is in its file.
func (l *loop) converge() (again time.Duration, err error) {
	w := l.wanted()
	if w.network == nil {
		return 0, ErrStarting
	}
	files := w.network.Files(l.dir)
	l.takeOver(w.namespace, files[confFile])
	if l.process != nil && !l.suits(l.process, w.namespace, files[confFile]) {
		l.stop()
	}
	if l.process == nil {
		if wait := l.backoff.wait(); wait > 0 {
			return wait, l.state()
		}
		if err := l.start(w.namespace, files); err != nil {
			return l.backoff.next(), err
		}
		return 0, nil
	}
	if err := l.reload(files); err != nil {
		return l.backoff.next(), err
	}
	return l.releaseLeases(w), nil
}

// takeOver looks at what an earlier Keeper left. One process is kept if it suits, with its children; others end.
func (l *loop) takeOver(ns Namespace, conf []byte) {
	for _, p := range l.left {
		if l.process == nil && p.leads() && l.suits(p, ns, conf) {
			l.process = p
		}
	}
	for _, p := range l.left {
		switch {
		case l.process == nil || p.session != l.process.session:
			p.stop()
		case p != l.process:
			p.release()
		}
	}
	l.left = nil
}

// suits tells whether a process is in a namespace and was started with a configuration.
func (l *loop) suits(p *process, ns Namespace, conf []byte) bool {
	have, err := os.ReadFile(confOf(l.dir))
	return err == nil && p.namespace == ns.ID && bytes.Equal(have, conf)
}

// start starts a process, with files as they should be and without leases that stand in anyone's way. It returns when the
// process answers.
func (l *loop) start(ns Namespace, files map[string][]byte) error {
	binary, err := l.keeper.binary()
	if err != nil {
		return err
	}
	if err := share.Passage(l.dir); err != nil {
		return fmt.Errorf("start dnsmasq: %w", err)
	}
	before := l.owners()
	for _, name := range slices.Sorted(maps.Keys(files)) { // what keeps failing is the same each time
		if err := replace(filepath.Join(l.dir, name), files[name]); err != nil {
			return fmt.Errorf("start dnsmasq: write %s: %w", name, err)
		}
	}
	if err := pruneLeases(filepath.Join(l.dir, leasesFile), before, ownersIn(files[guestsFile])); err != nil {
		return fmt.Errorf("start dnsmasq: prune leases: %w", err)
	}
	select {
	case l.keeper.starts <- struct{}{}:
		defer func() { <-l.keeper.starts }()
	case <-l.keeper.closed:
		return ErrStarting
	case <-l.forgotten:
		return ErrStarting
	}
	p, err := startProcess(binary, confOf(l.dir), ns, l.log)
	if err != nil {
		return fmt.Errorf("start dnsmasq: %w", err)
	}
	return l.await(p, files)
}

// startPatience is how long a process may take to say that it has started. One that says nothing is taken to have.
const startPatience = 10 * time.Second

// await waits for a process that was started.
func (l *loop) await(p *process, files map[string][]byte) error {
	late := time.NewTimer(startPatience)
	defer late.Stop()
	select {
	case <-p.ended():
		return p.failure()
	case <-p.ready:
	case <-late.C:
	case <-l.keeper.closed:
	case <-l.forgotten:
	}
	l.process, l.known = p, files
	return nil
}

// reload has the process know what has changed. The files are read anew at SIGHUP, in tens of milliseconds for thousands of
// guests, and leases stay.
func (l *loop) reload(files map[string][]byte) error {
	if maps.EqualFunc(files, l.known, bytes.Equal) {
		return nil
	}
	before := l.owners()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if bytes.Equal(files[name], l.known[name]) {
			continue
		}
		if err := replace(filepath.Join(l.dir, name), files[name]); err != nil {
			return fmt.Errorf("reload dnsmasq: write %s: %w", name, err)
		}
	}
	// It writes its leases anew, in place, when it is told: they are read before that.
	strays, err := straysIn(filepath.Join(l.dir, leasesFile), before, ownersIn(files[guestsFile]))
	if err := errors.Join(err, l.process.signal(unix.SIGHUP)); err != nil {
		return fmt.Errorf("reload dnsmasq: %w", err)
	}
	l.known = files
	if len(strays) > 0 {
		l.releases, l.asked = append(l.releases, strays...), false
	}
	return nil
}

// owners returns who has which address by the file that is there.
func (l *loop) owners() map[netip.Addr]string {
	content, err := os.ReadFile(filepath.Join(l.dir, guestsFile))
	if err != nil {
		return nil // none was written, or it is as good as that
	}
	return ownersIn(content)
}

// releasePatience is how long a process may take to give leases up before it is asked again. It does not answer.
const releasePatience = 100 * time.Millisecond

// releaseLeases has the process give up leases of addresses that are another guest's now, or nobody's: it would not hand
// them to their new owner before they have run out. It returns when to look whether they are gone; 0: they are. What is not
// in its file may be about to be written there, so that it is asked once in any case.
func (l *loop) releaseLeases(w wish) (again time.Duration) {
	if len(l.releases) == 0 {
		return 0
	}
	have, err := readLeases(filepath.Join(l.dir, leasesFile))
	if err == nil && l.asked {
		l.releases = slices.DeleteFunc(l.releases, func(r lease) bool { return !have.has(r) })
		if len(l.releases) == 0 {
			return 0
		}
	}
	if err == nil {
		l.asked = true
		err = release(w.namespace, w.network, have.server, l.releases)
	}
	if err != nil {
		l.log.WithError(err).Debug("release leases")
	}
	return releasePatience
}

// fileMode lets others read: dnsmasq reads its files as another user.
const fileMode = 0o644

// replace puts a file in place whole or not at all. It need not outlive a loss of power, as processes do not.
func replace(path string, content []byte) error {
	temporary := path + "~"
	err := os.WriteFile(temporary, content, fileMode)
	if err == nil {
		err = os.Chmod(temporary, fileMode) // whatever the umask is
	}
	if err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// backoff is how long to wait between attempts.
type backoff struct {
	delay time.Duration
	until time.Time
}

// Times between attempts; each is twice the one before. Who has run for a while starts again at the first.
const (
	firstDelay = 100 * time.Millisecond
	lastDelay  = 10 * time.Second
	aWhile     = 10 * time.Second
)

// next returns how long to wait from now on.
func (b *backoff) next() time.Duration {
	b.delay = min(max(2*b.delay, firstDelay), lastDelay)
	b.until = time.Now().Add(b.delay)
	return b.delay
}

// wait returns how long is left to wait.
func (b *backoff) wait() time.Duration { return time.Until(b.until) }
