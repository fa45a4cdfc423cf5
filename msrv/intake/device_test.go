// SPDX-License-Identifier: Apache-2.0

package intake_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/intake"
	"github.com/lf-edge/eve-metadata/msrv/store"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
	"github.com/lf-edge/eve-metadata/pkg/topics"
)

// what tells of an instance what its user data became and which drive it wants.
type what chan string

func (w what) Put(i *instance.Instance) {
	w <- fmt.Sprintf("put %s: %q %q, drive %s", i.Version, string(i.UserData), i.UserDataFault, i.Drive)
}
func (w what) Remove(uuid string)         { w <- "remove " + uuid }
func (w what) Complete(func(string) bool) { w <- "complete" }
func (w what) Synced()                    { w <- "synced" }

// device is a bus of EVE's agents, and what is told of it.
type device struct {
	what
	driver *memory.Driver
	topics topics.Set
	certs  *intake.Certs
}

// open opens a topic for writing.
func open[T any](t *testing.T, d *device, topic pubsub.Topic[T]) *pubsub.Publication[T] {
	t.Helper()
	p, err := pubsub.NewPublication(d.driver, topic)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// follow starts an intake of the device's topics.
func (d *device) follow(t *testing.T, userData func(*eve.AppInstanceConfig) (string, error)) {
	t.Helper()
	log, _ := logtest.NewNullLogger()
	in := intake.New(intake.Config{
		Driver: d.driver, Topics: d.topics, Certs: d.certs, UserData: userData, Sink: d.what, Log: log,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for {
			select {
			case <-d.what: // nobody listens any more
			case err := <-done:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
				return
			}
		}
	})
}

func newDevice() *device {
	return &device{make(what), &memory.Driver{}, topics.Device(), new(intake.Certs)}
}

func (d *device) tells(t *testing.T, want ...string) {
	t.Helper()
	tells(t, d.what, want...)
}

// encrypted is an app with encrypted user data.
func encrypted() eve.AppInstanceConfig {
	return app(func(a *eve.AppInstanceConfig) { a.IsCipher = true })
}

var certHash = []byte{1, 2, 3}

// Encrypted user data is opened with the certificates that there are, again when there are others, and again after a while
// when it failed; not when something else about the app has changed.
func TestEncrypted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDevice()
		apps, status := open(t, d, d.topics.Apps), open(t, d, d.topics.AppStatus)
		open(t, d, d.topics.NetworkStatus)
		settings := open(t, d, d.topics.Settings)
		set(t, apps, appID, encrypted())
		set(t, status, appID, eve.AppNetworkStatus{})
		var opened atomic.Int32
		var broken atomic.Bool
		d.follow(t, func(*eve.AppInstanceConfig) (string, error) {
			opened.Add(1)
			_, controller := d.certs.Controller(certHash)
			_, device := d.certs.Device(certHash)
			switch {
			case broken.Load():
				return "", errors.New("the chip does not answer")
			case controller && device:
				return "aGVsbG8=", nil
			}
			return "", errors.New("no certificate")
		})
		d.tells(t) // the certificates may come at any moment
		key := hex.EncodeToString(certHash)
		controller, certs := open(t, d, d.topics.ControllerCerts), open(t, d, d.topics.DeviceCerts)
		d.tells(t, `put 7: "" "no certificate", drive nocloud`, "synced")
		set(t, controller, key, eve.ControllerCert{})
		d.tells(t)
		set(t, certs, key, eve.EdgeNodeCert{})
		d.tells(t, `put 7: "hello" "", drive nocloud`)

		before := opened.Load()
		set(t, settings, eve.GlobalKey, eve.ConfigItemValueMap{GlobalSettings: map[eve.GlobalSettingKey]eve.ConfigItemValue{
			"process.cloud-init.multipart": {BoolValue: true},
		}})
		d.tells(t, `put 7: "hello" "", drive nocloud-multipart`)
		if opened.Load() != before {
			t.Error("opened again though neither the app nor the certificates have changed")
		}

		broken.Store(true)
		newer := encrypted()
		newer.CloudInitVersion = 8
		set(t, apps, appID, newer)
		d.tells(t, `put 8: "" "the chip does not answer", drive nocloud-multipart`)
		broken.Store(false)
		<-time.After(2 * time.Minute) // of the bubble's clock
		d.tells(t, `put 8: "hello" "", drive nocloud-multipart`)
		if err := controller.Delete(key); err != nil {
			t.Fatal(err)
		}
		d.tells(t, `put 8: "" "no certificate", drive nocloud-multipart`)
	})
}

// Where nobody has certificates, guests are not kept waiting for ever.
func TestNoCertificates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDevice()
		set(t, open(t, d, d.topics.Apps), appID, encrypted())
		set(t, open(t, d, d.topics.AppStatus), appID, eve.AppNetworkStatus{})
		open(t, d, d.topics.NetworkStatus)
		d.follow(t, func(*eve.AppInstanceConfig) (string, error) { return "", errors.New("no certificate") })
		d.tells(t)
		<-time.After(11 * time.Second) // of the bubble's clock
		d.tells(t, `put 7: "" "no certificate", drive nocloud`, "synced")
	})
}

// What zedmanager has stands in for what zedagent does not have yet.
func TestStandIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDevice()
		apps, status := open(t, d, d.topics.Apps), open(t, d, d.topics.AppStatus)
		open(t, d, d.topics.NetworkStatus)
		set(t, status, appID, eve.AppNetworkStatus{})
		text := "Y2xlYXI="
		set(t, open(t, d, d.topics.AppNetworks), appID, eve.AppNetworkConfig{
			UUIDandVersion: eve.UUIDandVersion{UUID: uuid.MustParse(appID), Version: "2"}, Activate: true, CloudInitUserData: &text,
		})
		d.follow(t, nil)
		d.tells(t, `put 2: "clear" "", drive nocloud`, "synced")
		whole := app(func(a *eve.AppInstanceConfig) { a.CloudInitVersion, a.CloudInitUserData = 5, &text })
		set(t, apps, appID, whole)
		d.tells(t, `put 5: "clear" "", drive nocloud`)
		must(t, apps.Delete(appID))
		d.tells(t, `put 2: "clear" "", drive nocloud`)
	})
}

// EVE makes no drive where there is nothing to say, nor for what runs in its own kernel; a setting makes all of them of
// the parts of their user data.
func TestDriveOnDevice(t *testing.T) {
	t.Parallel()
	text := "aGk="
	for _, c := range []struct {
		name      string
		change    func(*eve.AppInstanceConfig)
		multipart bool
		want      instance.DriveKind
	}{
		{"nothing to say", func(*eve.AppInstanceConfig) {}, false, instance.DriveNone},
		{"user data", func(a *eve.AppInstanceConfig) { a.CloudInitUserData = &text }, false, instance.DriveNoCloud},
		{"the setting", func(a *eve.AppInstanceConfig) { a.CloudInitUserData = &text }, true, instance.DriveNoCloudMultipart},
		{"a fault", func(a *eve.AppInstanceConfig) { a.IsCipher = true }, false, instance.DriveNoCloud},
		{"a container", func(a *eve.AppInstanceConfig) {
			a.CloudInitUserData, a.FixedResources.VirtualizationMode = &text, eve.VmModeNoHyper
		}, false, instance.DriveNone},
		{"OpenStack and the setting", func(a *eve.AppInstanceConfig) {
			a.CloudInitUserData, a.MetaDataType = &text, eve.MetaDataOpenStack
		}, true, instance.DriveNone},
	} {
		got := intake.Join(intake.Facts{App: app(c.change), Device: true, Multipart: c.multipart})
		if got.Drive != c.want {
			t.Errorf("%s: drive %s, want %s", c.name, got.Drive, c.want)
		}
	}
}

// In a pod's namespace an instance is alone, whichever networks its adapters are in.
func TestPod(t *testing.T) {
	t.Parallel()
	inst := intake.Join(intake.Facts{
		App: app(nil), Device: true,
		Status: eve.AppNetworkStatus{
			AppPod:            eve.AppPod{NetNsPath: "/run/netns/cni-1"},
			AppNetAdapterList: []eve.AppNetAdapterStatus{vif("eth0", blueID, ""), vif("eth1", v6ID, "02:16:3e:00:00:01")},
		},
	})
	keys := intake.Keys(inst)
	want := []store.Key{{Network: appID}, {Network: appID}, {Network: appID, MAC: store.MAC{2, 0x16, 0x3e, 0, 0, 1}}}
	if diff := cmp.Diff(want, keys, cmp.Comparer(func(a, b store.Key) bool { return a == b })); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

// TestPorts holds behind which of the host's interfaces a guest may be: zedrouter says how that shall be called, and only
// others how it is.
func TestPorts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ wanted, used, port, other string }{
		{"nbu1x1", "", "nbu1x1", "nbu1x1-emu"},
		{"nbu1x1", "nbu1x1-emu", "nbu1x1-emu", ""},
		{"nbu1x1", "nbu1x1", "nbu1x1", ""},
		{"", "", "", ""},
	} {
		s := vif("eth0", blueID, "02:16:3e:00:00:01")
		s.Vif, s.VifUsed = tt.wanted, tt.used
		got := intake.Join(intake.Facts{App: app(nil), Device: true, Status: eve.AppNetworkStatus{AppNetAdapterList: []eve.AppNetAdapterStatus{s}}})
		if a := got.Adapters[0]; a.Port != tt.port || a.OtherPort != tt.other {
			t.Errorf("%q, used as %q, is %q or %q", tt.wanted, tt.used, a.Port, a.OtherPort)
		}
	}
}
