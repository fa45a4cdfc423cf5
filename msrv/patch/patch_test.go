// SPDX-License-Identifier: Apache-2.0

package patch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	dialect "github.com/lf-edge/eve-metadata/msrv/dialect/eve"
	"github.com/lf-edge/eve-metadata/msrv/node"
	"github.com/lf-edge/eve-metadata/msrv/patch"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

const (
	web      = "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001"
	db       = "c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b002"
	firmware = "93b1d8f2-2c5c-4ad8-8f4c-6b2b8f2d1f55"
	models   = "8986a760-5a6f-4b74-950a-0ca8c3e46838"
	volumeID = "0349dbb1-2e82-4eb6-a736-a4d1a0bd7db0"
	content  = "deb85d21-d7ff-4806-abb5-3c4a3c44696e"
)

var _ patch.Source = (*node.Node)(nil)

// source is a node that tests change while it is asked.
type source struct {
	mu       sync.Mutex
	list     *eve.PatchEnvelopeInfoList // nil: not told
	volumes  map[string]eve.VolumeStatus
	contents map[string]eve.ContentTreeStatus
	changed  chan struct{} // nil: nobody waits
}

func (s *source) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// tell says that something has changed. The lock is held.
func (s *source) tell() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

func (s *source) Patches() (eve.PatchEnvelopeInfoList, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		return eve.PatchEnvelopeInfoList{}, false
	}
	return *s.list, true
}

func (s *source) Volumes() iter.Seq2[string, eve.VolumeStatus] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.All(maps.Clone(s.volumes))
}

func (s *source) Content(id string) (eve.ContentTreeStatus, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.contents[id]
	return c, ok
}

// say has zedagent publish envelopes.
func (s *source) say(list ...eve.PatchEnvelopeInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = &eve.PatchEnvelopeInfoList{Envelopes: list}
	s.tell()
}

// volume has volumemgr publish a volume, and what it is made of.
func (s *source) volume(generation int64, change func(*eve.VolumeStatus)) {
	v := eve.VolumeStatus{
		VolumeID: uuid.MustParse(volumeID), ContentID: uuid.MustParse(content), GenerationCounter: generation - 1,
		LocalGenerationCounter: 1, State: eve.SwStateCreatedVolume, TotalSize: 672,
		FileLocation: fmt.Sprintf("/persist/vault/volumes/%s#%d.raw", volumeID, generation),
	}
	if change != nil {
		change(&v)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.volumes == nil {
		s.volumes = make(map[string]eve.VolumeStatus)
	}
	s.volumes[fmt.Sprintf("%s#%d", volumeID, generation)] = v
	s.tell()
}

func (s *source) content() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contents = map[string]eve.ContentTreeStatus{content: {ContentSha256: "d2371d63"}}
	s.tell()
}

// active is an envelope that the web app may fetch.
func active(id, version string, blobs ...eve.BinaryBlobCompleted) eve.PatchEnvelopeInfo {
	return eve.PatchEnvelopeInfo{
		Name: "fw", PatchID: id, Version: version, AllowedApps: []string{web}, State: eve.PatchEnvelopeStateActive, BinaryBlobs: blobs,
	}
}

func blob(name string) eve.BinaryBlobCompleted {
	return eve.BinaryBlobCompleted{FileName: name, FileSha: "9f86d081", FileMetadata: "bWV0YQ==", URL: "/persist/cache/" + name, Size: 4}
}

func withVolume(e eve.PatchEnvelopeInfo) eve.PatchEnvelopeInfo {
	e.VolumeRefs = []eve.BinaryBlobVolumeRef{{FileName: "model.bin", ImageName: "model", ImageID: volumeID}}
	return e
}

// bus is a driver that counts what is written, by key, and can refuse to.
type bus struct {
	memory.Driver
	mu     sync.Mutex
	tables map[string]pubsub.RawPublisher
	writes map[string]int
	refuse error
}

func newBus() *bus {
	return &bus{tables: make(map[string]pubsub.RawPublisher), writes: make(map[string]int)}
}

type table struct {
	pubsub.RawPublisher
	bus *bus
}

func (b *bus) Publish(t pubsub.Table) (pubsub.RawPublisher, error) {
	raw, err := b.Driver.Publish(t)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tables[t.Name()] = raw
	return table{raw, b}, nil
}

func (t table) Set(key string, value []byte) error {
	t.bus.mu.Lock()
	defer t.bus.mu.Unlock()
	if t.bus.refuse != nil {
		return t.bus.refuse
	}
	t.bus.writes[key]++
	return t.RawPublisher.Set(key, value)
}

// published is a topic as it is, one value on a line.
func (b *bus) published(topic string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var text strings.Builder
	values := b.tables["mdsrv/"+topic].Values()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&text, "%s %s\n", key, values[key])
	}
	return text.String()
}

// world is what envelopes run in.
type world struct {
	*patch.Envelopes
	source *source
	bus    *bus
	log    *logtest.Hook
}

func newWorld(t testing.TB, change func(*patch.Config)) *world {
	t.Helper()
	log, hook := logtest.NewNullLogger()
	w := &world{source: &source{}, bus: newBus(), log: hook}
	c := patch.Config{Driver: w.bus, Source: w.source, Opener: newKeys(t).opener(), Root: t.TempDir(), Log: log}
	if change != nil {
		change(&c)
	}
	w.Envelopes = patch.New(c)
	return w
}

// run runs the task until stop is called.
func (w *world) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	<-w.Ready()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// again is the next run of the service, with the same topics.
func (w *world) again(t *testing.T) *world {
	t.Helper()
	next := newWorld(t, func(c *patch.Config) { c.Driver, c.Source = w.bus, w.source })
	next.source, next.bus = w.source, w.bus
	return next
}

// files are the names of what an app may fetch, by envelope; "!" for one that cannot be had.
func (w *world) files(app string) string {
	var text []string
	for _, p := range w.Of(app) {
		names := make([]string, len(p.Files))
		for i, f := range p.Files {
			names[i] = f.FileName
		}
		line := p.Version + ": " + strings.Join(names, " ")
		if p.Err != nil {
			line = p.Version + "!"
		}
		text = append(text, line)
	}
	return strings.Join(text, "; ")
}

// TestOf holds who may fetch what.
func TestOf(t *testing.T) {
	t.Parallel()
	with := func(change func(*eve.PatchEnvelopeInfo)) eve.PatchEnvelopeInfo {
		e := active(firmware, "4", blob("cfg.bin"))
		change(&e)
		return e
	}
	for name, tt := range map[string]struct {
		list []eve.PatchEnvelopeInfo
		want string
	}{
		"none":                           {nil, ""},
		"one":                            {[]eve.PatchEnvelopeInfo{active(firmware, "4", blob("a"), blob("dir/b"))}, "4: a dir/b"},
		"several in order":               {[]eve.PatchEnvelopeInfo{active(models, "9"), active(firmware, "4", blob("a"))}, "9: ; 4: a"},
		"another app's":                  {[]eve.PatchEnvelopeInfo{with(func(e *eve.PatchEnvelopeInfo) { e.AllowedApps = []string{db} })}, ""},
		"nobody's":                       {[]eve.PatchEnvelopeInfo{with(func(e *eve.PatchEnvelopeInfo) { e.AllowedApps = nil })}, ""},
		"also another's":                 {[]eve.PatchEnvelopeInfo{with(func(e *eve.PatchEnvelopeInfo) { e.AllowedApps = []string{db, strings.ToUpper(web)} })}, "4: cfg.bin"},
		"stored only":                    {[]eve.PatchEnvelopeInfo{with(func(e *eve.PatchEnvelopeInfo) { e.State = eve.PatchEnvelopeStateReady })}, ""},
		"an error":                       {[]eve.PatchEnvelopeInfo{with(func(e *eve.PatchEnvelopeInfo) { e.State = eve.PatchEnvelopeStateError })}, ""},
		"faults":                         {[]eve.PatchEnvelopeInfo{with(func(e *eve.PatchEnvelopeInfo) { e.Errors = []string{"no artifact"} })}, "4!"},
		"one name twice":                 {[]eve.PatchEnvelopeInfo{active(firmware, "4", blob("a"), blob("b"), blob("a"))}, "4: a b"},
		"no name":                        {[]eve.PatchEnvelopeInfo{active(firmware, "4", blob(""))}, "4!"},
		"a name that leaves the archive": {[]eve.PatchEnvelopeInfo{active(firmware, "4", blob("../a")), active(models, "9", blob("a"))}, "4!; 9: a"},
	} {
		w := newWorld(t, nil)
		w.source.say(tt.list...)
		if got := w.files(web); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	if got := newWorld(t, nil).files(web); got != "" {
		t.Errorf("before zedagent has told: %q", got)
	}
}

// TestVolumes holds when a volume becomes a file, and how far its envelope has come until then.
func TestVolumes(t *testing.T) {
	t.Parallel()
	created := func(w *world) { w.source.volume(1, nil); w.source.content() }
	for name, tt := range map[string]struct {
		change func(*world)
		files  string
		state  eve.PatchEnvelopeState
	}{
		"not known": {func(*world) {}, "4: cfg.bin", eve.PatchEnvelopeStateReceived},
		"being made": {func(w *world) {
			w.source.volume(1, func(v *eve.VolumeStatus) { v.State = eve.SwStateCreatingVolume })
			w.source.content()
		}, "4: cfg.bin", eve.PatchEnvelopeStateDownloading},
		"content not known": {func(w *world) { w.source.volume(1, nil) }, "4: cfg.bin", eve.PatchEnvelopeStateDownloading},
		"made":              {created, "4: cfg.bin model.bin", eve.PatchEnvelopeStateActive},
		"made anew":         {func(w *world) { created(w); w.source.volume(3, nil); w.source.volume(2, nil) }, "4: cfg.bin model.bin", eve.PatchEnvelopeStateActive},
		"failed": {func(w *world) {
			created(w)
			w.source.volume(2, func(v *eve.VolumeStatus) { v.Error = "no space" })
		}, "4!", eve.PatchEnvelopeStateError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.source.say(withVolume(active(firmware, "4", blob("cfg.bin"))))
			tt.change(w)
			if got := w.files(web); got != tt.files {
				t.Errorf("files %q, want %q", got, tt.files)
			}
			stop := w.run(t)
			got := w.info(t, firmware+"v4")
			if got.State != tt.state || (got.State == eve.PatchEnvelopeStateError) != (got.Errors != nil) {
				t.Errorf("published as %v %v, want %v", got.State, got.Errors, tt.state)
			}
			stop()
		})
	}
	w := newWorld(t, nil)
	created(w)
	one := withVolume(active(firmware, "4", blob("model.bin")))
	w.source.say(one)
	if p := w.Of(web)[0]; len(p.Files) != 1 || p.Files[0].FileSha != "d2371d63" {
		t.Errorf("a volume in the place of a file: %+v", p.Files)
	}
	if diff := cmp.Diff(blob("model.bin"), one.BinaryBlobs[0]); diff != "" {
		t.Errorf("what zedagent has told was changed (-told +is):\n%s", diff)
	}
	for generation := range int64(9) {
		w.source.volume(generation+1, nil)
	}
	nameless := withVolume(active(firmware, "4"))
	nameless.VolumeRefs[0].FileName, nameless.VolumeRefs[0].ImageID = "", strings.ToUpper(volumeID)
	w.source.say(nameless)
	want := eve.BinaryBlobCompleted{FileName: "model", FileSha: "d2371d63", Size: 672, URL: "/persist/vault/volumes/" + volumeID + "#9.raw"}
	p := w.Of(web)[0]
	if diff := cmp.Diff([]dialect.PatchFile{{BinaryBlobCompleted: want}}, p.Files); diff != "" {
		t.Errorf("file of a volume without a name (-want +got):\n%s", diff)
	}
	if p.Volumes[0].FileName != "model" {
		t.Errorf("the volume is called %q, and its file otherwise", p.Volumes[0].FileName)
	}
}

// info is what is published of an envelope, once it is.
func (w *world) info(t *testing.T, key string) (info eve.PatchEnvelopeInfo) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := pubsub.Subscribe(ctx, w.bus, patch.InfoTopic(), func(e pubsub.Event[eve.PatchEnvelopeInfo]) {
		if e.Key == key {
			info = e.Value
			cancel()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// TestInfo holds what is published of envelopes, and that it is kept up with.
func TestInfo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		var got strings.Builder
		tell := func(what string) {
			<-time.After(patch.LookInterval)
			synctest.Wait()
			fmt.Fprintf(&got, "# %s\n%s\n", what, w.bus.published("PatchEnvelopeInfo"))
		}
		stop := w.run(t)
		tell("not told")
		w.source.say(withVolume(active(firmware, "4", blob("cfg.bin"))), active(models, "1", blob("a"), blob("../b")))
		tell("two, one with a volume that is not there and one with a name that is none")
		w.source.volume(1, nil)
		w.source.content()
		stored := active(models, "2", blob("a"))
		stored.State = eve.PatchEnvelopeStateReady
		w.source.say(withVolume(active(firmware, "4", blob("cfg.bin"))), stored)
		tell("the volume is made, and the other is another version, which is stored only")
		w.source.mu.Lock()
		w.source.list = nil
		w.source.mu.Unlock()
		tell("zedagent's topic is away")
		w.source.say()
		tell("none")
		stop()
		golden(t, "testdata/infos.golden", got.String())
		if n := len(w.log.AllEntries()); n != 1 || w.log.LastEntry().Level != logrus.ErrorLevel {
			t.Errorf("logged %d times, and not once that a name is none", n)
		}
	})
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// TestInfoOfEarlierRun holds that what an earlier run left behind is withdrawn, once it is known what there is.
func TestInfoOfEarlierRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		raw, err := w.bus.Publish(patch.InfoTopic().Table)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(raw.Set("oldv1", []byte(`{"PatchID":"old"}`)), raw.Detach()); err != nil {
			t.Fatal(err)
		}
		stop := w.run(t)
		synctest.Wait()
		if got := w.bus.published("PatchEnvelopeInfo"); !strings.HasPrefix(got, "oldv1 ") {
			t.Errorf("withdrawn before anything is known: %q", got)
		}
		w.source.say()
		<-time.After(patch.LookInterval)
		synctest.Wait()
		if got := w.bus.published("PatchEnvelopeInfo"); got != "" {
			t.Errorf("still there: %q", got)
		}
		stop()
	})
}

// TestInUse holds that nothing is left open when somebody else publishes the topics.
func TestInUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	raw, err := w.bus.Publish(patch.UsageTopic().Table)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(t.Context()); !errors.Is(err, pubsub.ErrInUse) {
		t.Errorf("a second publisher: %v", err)
	}
	if err := raw.Detach(); err != nil {
		t.Fatal(err)
	}
	w.again(t).run(t)()
}

// TestInfoTooLarge holds that an envelope which the bus cannot carry is there for guests, and said once.
func TestInfoTooLarge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		var blobs []eve.BinaryBlobCompleted
		for i := range 1000 {
			blobs = append(blobs, blob(fmt.Sprint("file", i)))
		}
		w.source.say(active(firmware, "4", blobs...))
		stop := w.run(t)
		<-time.After(3 * patch.LookInterval)
		synctest.Wait()
		stop()
		if p := w.Of(web); len(p) != 1 || len(p[0].Files) != 1000 {
			t.Error("guests cannot fetch it")
		}
		if n := len(w.log.AllEntries()); n != 1 || !strings.Contains(fmt.Sprint(w.log.LastEntry().Data["error"]), "too large") {
			t.Errorf("logged %d times", n)
		}
	})
}

// FuzzIsFileName holds that a name which is accepted leads nowhere but into the folder where an archive is unpacked, and to
// one place there.
func FuzzIsFileName(f *testing.F) {
	for _, name := range []string{"a", "a/b", "..", "../a", "a/../../b", "/etc/passwd", `..\a`, `C:\a`, "", ".", "./a", "a//b", "a/", "a\x00", "a\nb", "\xff", "…"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !patch.IsFileName(name) {
			return
		}
		if !filepath.IsLocal(name) || filepath.Clean(name) != name || name == "." || strings.ContainsAny(name, "\\\x00\r\n") {
			t.Errorf("%q is accepted", name)
		}
		if text, err := json.Marshal(name); err != nil || bytes.Contains(text, []byte(`\ufffd`)) {
			t.Errorf("%q cannot be told", name)
		}
	})
}
