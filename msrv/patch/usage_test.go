// SPDX-License-Identifier: Apache-2.0

package patch_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/instance"

	evedialect "github.com/lf-edge/eve-metadata/msrv/dialect/eve"
	"github.com/lf-edge/eve-metadata/msrv/patch"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
)

// usageOf is a value of the topic, as it is published.
func usageOf(app, id, version string, calls, downloads int) string {
	return fmt.Sprintf(`patchEnvelopeUsage:%[2]s-v-%[3]s-app-%[1]s {"AppUUID":%[1]q,"PatchID":%[2]q,"Version":%[3]q,"PatchAPICallCount":%[4]d,"DownloadCount":%[5]d}`+"\n",
		app, id, version, calls, downloads)
}

const usageTopic = "PatchEnvelopeUsage"

// told counts that an app asks for its envelopes, so many times.
func (w *world) told(app string, n int) {
	for range n {
		for _, p := range w.Of(app) {
			w.Told(app, &p)
		}
	}
}

// TestUsage is EVE's TestRequestPatchEnvelopes: a guest asks 42 times for the description and 24 times for a file, and that is
// what is published, under EVE's key.
func TestUsage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		root := t.TempDir()
		w := newWorld(t, func(c *patch.Config) { c.Root = root })
		file := filepath.Join(root, "/persist/cache/abcd")
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("test"), 0o600)); err != nil {
			t.Fatal(err)
		}
		e := active(firmware, "asdf", blob("abcd"))
		inline := blob("abcd2")
		e.CipherBlobs = []eve.BinaryCipherBlob{
			{EncType: eve.BlobEncrytedTypeInline, Inline: &inline},
			{EncType: eve.BlobEncrytedTypeVolume, Volume: &eve.BinaryBlobVolumeRef{FileName: "abcd3a", ImageName: "abcd3b", ImageID: "abcd3e"}},
		}
		w.source.say(e)
		guest := dialecttest.Guest{
			Guard:    evedialect.Dialect(evedialect.Config{Patches: w, Root: root}).At(dialect.Metadata).Guard,
			Instance: &instance.Instance{UUID: web},
		}
		stop := w.run(t)
		for range 42 {
			a := guest.Ask("GET", "/eve/v1/patch/description.json", "")
			body := string(a.Body)
			if a.Status != 200 || strings.Count(body, "/patch/download/"+firmware+"/abcd") != 2 || !strings.Contains(body, `"imageId":"abcd3e"`) {
				t.Fatalf("description: %d %s", a.Status, body)
			}
		}
		for range 24 {
			rec := httptest.NewRecorder()
			guest.Ask("GET", "/eve/v1/patch/download/"+firmware+"/abcd", "").Handler.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
			if rec.Code != 200 || rec.Body.String() != "test" {
				t.Fatalf("download: %d %q", rec.Code, rec.Body)
			}
		}
		<-time.After(patch.FlushInterval)
		synctest.Wait()
		if got, want := w.bus.published(usageTopic), usageOf(web, firmware, "asdf", 42, 24); got != want {
			t.Errorf("published %q, want %q", got, want)
		}
		stop()
	})
}

// TestUsageSparesTheDisk holds that a guest which asks 80,000 times costs a write a minute, and one that does not, none.
func TestUsageSparesTheDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.source.say(active(firmware, "4"))
		stop := w.run(t)
		key, _, _ := strings.Cut(usageOf(web, firmware, "4", 0, 0), " ")
		for range 4 {
			w.told(web, 20_000)
			<-time.After(patch.FlushInterval)
		}
		<-time.After(10 * patch.FlushInterval)
		synctest.Wait()
		if n := w.bus.writes[key]; n != 4 {
			t.Errorf("%d writes", n)
		}
		stop()
		if got, want := w.bus.published(usageTopic), usageOf(web, firmware, "4", 80_000, 0); got != want {
			t.Errorf("published %q, want %q", got, want)
		}
	})
}

// TestUsageOverRestart holds that counts go on where an earlier run ended, on a disk.
func TestUsageOverRestart(t *testing.T) {
	t.Parallel()
	d := &socket.Driver{Root: t.TempDir()}
	s := &source{}
	s.say(active(firmware, "4"), active(models, "1"))
	for i := range 3 {
		w := newWorld(t, func(c *patch.Config) { c.Driver, c.Source = d, s })
		w.told(web, 1) // before it runs
		stop := w.run(t)
		w.told(web, 9)
		p := w.Of(web)[0]
		w.Fetched(web, &p)
		stop()
		pub, err := pubsub.NewPublication(d, patch.UsageTopic())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(pub.Table()); n != 2 {
			t.Errorf("%d counts are kept", n)
		}
		for _, u := range pub.Table() {
			downloads := map[string]uint64{firmware: 1}[u.PatchID] * uint64(i+1)
			if u.PatchAPICallCount != uint64(10*(i+1)) || u.DownloadCount != downloads {
				t.Errorf("after run %d: %+v", i+1, u)
			}
		}
		if err := pub.Detach(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUsagePruned holds that counts go with what they are of: the app, the envelope, its version, and the permission.
func TestUsagePruned(t *testing.T) {
	t.Parallel()
	both := active(firmware, "4")
	both.AllowedApps = []string{web, db}
	for name, tt := range map[string]struct {
		change func(*testing.T, *world)
		want   string
	}{
		"nothing is gone": {func(*testing.T, *world) {}, usageOf(web, firmware, "4", 1, 0) + usageOf(db, firmware, "4", 1, 0)},
		"nothing is told": {func(_ *testing.T, w *world) {
			w.source.mu.Lock()
			defer w.source.mu.Unlock()
			w.source.list = nil
		}, usageOf(web, firmware, "4", 1, 0) + usageOf(db, firmware, "4", 1, 0)},
		"the app": {func(t *testing.T, w *world) {
			if err := w.Prune(func(app string) bool { return app == db }); err != nil {
				t.Error(err)
			}
		}, usageOf(db, firmware, "4", 1, 0)},
		"the permission": {func(_ *testing.T, w *world) { w.source.say(active(firmware, "4")) }, usageOf(web, firmware, "4", 1, 0)},
		"the version":    {func(_ *testing.T, w *world) { w.source.say(active(firmware, "5")) }, ""},
		"the envelope":   {func(_ *testing.T, w *world) { w.source.say() }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				w.source.say(both)
				stop := w.run(t)
				w.told(web, 1)
				w.told(db, 1)
				<-time.After(patch.FlushInterval)
				tt.change(t, w)
				<-time.After(patch.LookInterval)
				synctest.Wait()
				if got := w.bus.published(usageTopic); got != tt.want {
					t.Errorf("published %q, want %q", got, tt.want)
				}
				stop()
				if got := w.bus.published(usageTopic); got != tt.want {
					t.Errorf("left behind %q, want %q", got, tt.want)
				}
			})
		})
	}
	if err := newWorld(t, nil).Prune(func(string) bool { return false }); err != nil {
		t.Errorf("before it runs: %v", err)
	}
}

// TestUsageNotKept holds that a disk that fails loses nothing: what was counted is written when it can be.
func TestUsageNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.source.say(active(firmware, "4"))
		stop := w.run(t)
		synctest.Wait()
		w.bus.mu.Lock()
		w.bus.refuse = errors.New("no space left on device")
		w.bus.mu.Unlock()
		w.told(web, 7)
		<-time.After(patch.FlushInterval + time.Second)
		synctest.Wait()
		if got := w.bus.published(usageTopic); got != "" || w.log.LastEntry() == nil {
			t.Errorf("published %q, logged %v", got, w.log.LastEntry())
		}
		w.bus.mu.Lock()
		w.bus.refuse = nil
		w.bus.mu.Unlock()
		stop()
		if got, want := w.bus.published(usageTopic), usageOf(web, firmware, "4", 7, 0); got != want {
			t.Errorf("published %q, want %q", got, want)
		}
	})
}

// TestUsageNotReadable holds that counts which cannot be read are lost, and nothing else.
func TestUsageNotReadable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	raw, err := w.bus.Publish(patch.UsageTopic().Table)
	if err != nil {
		t.Fatal(err)
	}
	key, value, _ := strings.Cut(usageOf(web, firmware, "4", 5, 0), " ")
	err = errors.Join(raw.Set(key, []byte(value)), raw.Set("bad", []byte(`{"AppUUID":7}`)), raw.Detach())
	if err != nil {
		t.Fatal(err)
	}
	w.source.say(active(firmware, "4"))
	stop := w.run(t)
	w.told(web, 1)
	stop()
	if got, want := w.bus.published(usageTopic), usageOf(web, firmware, "4", 6, 0); got != want {
		t.Errorf("published %q, want %q", got, want)
	}
	if e := w.log.LastEntry(); e == nil || !strings.Contains(fmt.Sprint(e.Data["error"]), `"bad"`) {
		t.Errorf("logged %v", e)
	}
}
