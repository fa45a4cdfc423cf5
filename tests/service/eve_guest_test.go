// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/msrv/drive"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
	"github.com/lf-edge/eve-metadata/pkg/topics"
	"github.com/lf-edge/eve-metadata/tests/evedevice"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// inPod: an app that has a network namespace of its own asks in there.
//
// Network: bn1 with collector; and a bridge of Kubernetes' with web-gw's namespace, which is not there at first.
//
// Phases: tell of the namespace; make it; ask; make it anew; withdraw web-gw.
func inPod(t *testing.T, programs edgePrograms) {
	pod, vm := newEdgeApp(t, webGW, 1, "10.88.0.5").leased(), newEdgeApp(t, collector, 1, "10.1.0.3").leased()
	path := filepath.Join(t.TempDir(), "cni-pod")
	pod.status.AppPod = eve.AppPod{Name: "web-gw-abcde", NetNsPath: path}
	n := newEdgeNode(t, programs, pod, vm)
	n.device.Sh(`
		ip link add cni0 type bridge
		ip link set cni0 up
		ip addr add 10.88.0.1/24 dev cni0`)
	n.tell(slices.Concat(ofNode(t), ofApps(t, pod, vm), complete())...)
	n.run()
	n.awaitKnown(n.boot(vm))
	for range 2 {
		m := container(n.device.Machine, path, "10.88.0.5")
		g := &guest{Guest: m.Guest, app: pod.key()}
		n.awaitKnown(g)
		n.awaitText(g, encryptedText)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		n.device.Sh("ip link del cni5")
	}
	m := container(n.device.Machine, path, "10.88.0.5")
	g := &guest{Guest: m.Guest, app: pod.key()}
	n.awaitKnown(g)
	n.tell(pod.gone()...)
	n.awaitNobody(g)
}

// sameSubnet: two network instances may have the same addresses, for their guests as well.
//
// Network: bn3 and bn4 with the same gateway, and in each a guest with the same address; bn3 has web-gw, bn4 collector.
//
// Phases: ask as both, at the same time.
func sameSubnet(t *testing.T, programs edgePrograms) {
	const address, gateway = "10.3.0.5", "10.3.0.1"
	apps := []*edgeApp{newEdgeApp(t, webGW, 3, address).leased(), newEdgeApp(t, collector, 4, address).leased()}
	n := newEdgeNode(t, programs)
	n.tell(slices.Concat(ofNode(t), ofApps(t, apps...), complete())...)
	var guests []*guest
	for _, app := range apps {
		n.device.Sh(`
			ip link add bn%[1]d type bridge
			ip link set bn%[1]d up
			ip addr add %[2]s/24 dev bn%[1]d`, app.network, gateway)
		g := n.device.plug(app.key(), app.network, app.number, app.mac().String())
		g.configure(t, address, gateway)
		guests = append(guests, g)
	}
	n.run()
	n.awaitKnown(guests...)
	asking := startQuestions(t, guests, (*guest).knows)
	n.awaitText(guests[0], encryptedText)
	n.awaitText(guests[1], clearText)
	n.awaitAsked(asking, 2*enough)
	world.Must(t, asking.stop()...)
}

// noMetadata: an app that shall have no metadata still has EVE's own endpoints.
//
// Network: bn1 with collector.
//
// Phases: ask for both; have it have metadata, and ask again.
func noMetadata(t *testing.T, programs edgePrograms) {
	app := newEdgeApp(t, collector, 1, "10.1.0.3").leased()
	app.config.MetaDataType = eve.MetaDataNone
	n := newEdgeNode(t, programs, app)
	n.tell(slices.Concat(ofNode(t), ofApps(t, app), complete())...)
	n.run()
	g := n.boot(app)
	n.awaitKnown(g)
	for _, path := range append(userDataPaths(), "/openstack/latest/meta_data.json", "/latest/meta-data/instance-id") {
		world.Must(t, g.expect(path, http.StatusNotFound, ""))
	}
	if n.Drive(app.key()) != nil {
		t.Error("there is a drive")
	}
	about, err := g.ask("/eve/v1/network.json")
	var told struct {
		UUID       string `json:"app-instance-uuid"`
		Device     string `json:"device-name"`
		Enterprise string `json:"enterprise-name"`
	}
	if err := errors.Join(err, json.Unmarshal([]byte(about.Body), &told)); err != nil {
		t.Fatal(err)
	}
	if told.UUID != app.key() || told.Device != "hall7-node2" || told.Enterprise != "Example GmbH" {
		t.Errorf("network.json is %s", about.Body)
	}
	world.Must(t, g.expect("/eve/v1/diag", http.StatusOK, evedevice.Diagnosis))
	app.config.MetaDataType = eve.MetaDataOpenStack
	n.tell(app.configs()...)
	n.awaitText(g, clearText)
	n.tell(app.gone()...)
	n.awaitNobody(g)
}

// posts: what a guest posts is published for zedagent to forward, for as long as there is the app.
//
// Network: bn1 with web-gw and collector.
//
// Phases: post as both; kill -9 the service; post again as collector; withdraw web-gw.
func posts(t *testing.T, programs edgePrograms) {
	first, second := newEdgeApp(t, webGW, 1, "10.1.0.2").leased(), newEdgeApp(t, collector, 1, "10.1.0.3").leased()
	n := newEdgeNode(t, programs, first, second)
	n.tell(slices.Concat(ofNode(t), ofApps(t, first, second), complete())...)
	n.run()
	web, pump := n.boot(first), n.boot(second)
	n.awaitKnown(web, pump)
	world.Must(t,
		web.post("/eve/v1/kubeconfig", "application/json", `{"hello":"world"}`, http.StatusOK),
		web.post("/eve/v1/app/appCustomStatus", "application/json", `{"state":"fine"}`, http.StatusOK),
		pump.post("/eve/v1/kubeconfig", "application/json", `{"I am":"pump"}`, http.StatusOK),
		pump.post("/eve/v1/kubeconfig", "text/plain", `not this`, http.StatusUnsupportedMediaType),
	)
	check := func(pumps string, of ...*edgeApp) {
		t.Helper()
		n.Await("posts", func() error {
			var errs []error
			if slices.Contains(of, first) {
				errs = append(errs, n.reported(first, eve.AppInstMetaDataTypeKubeConfig, `{"hello":"world"}`),
					n.reported(first, eve.AppInstMetaDataCustomStatus, `{"state":"fine"}`))
			}
			errs = append(errs, n.reported(second, eve.AppInstMetaDataTypeKubeConfig, pumps))
			if got, want := len(world.Published(n.World, appMetaData())), 2*len(of)-1; got != want {
				errs = append(errs, fmt.Errorf("%d posts are published, want %d", got, want))
			}
			return errors.Join(errs...)
		})
	}
	check(`{"I am":"pump"}`, first, second)
	n.Crash()
	n.run()
	n.awaitKnown(web, pump)
	world.Must(t, pump.post("/eve/v1/kubeconfig", "application/json; charset=utf-8", `{"I am":"another"}`, http.StatusOK))
	check(`{"I am":"another"}`, first, second)
	n.tell(first.gone()...)
	check(`{"I am":"another"}`, second)
}

// appMetaData is the topic of what guests post.
func appMetaData() pubsub.Topic[eve.AppInstMetaData] {
	return pubsub.TopicOf[eve.AppInstMetaData](eve.AgentServe, pubsub.Persistent())
}

// reported says in which way something that an app's guest has posted is not published.
func (n *edgeNode) reported(a *edgeApp, kind eve.AppInstMetaDataType, body string) error {
	want := eve.AppInstMetaData{AppInstUUID: a.config.UUIDandVersion.UUID, Data: []byte(body), Type: kind}
	for _, got := range world.Published(n.World, appMetaData()) {
		if got.AppInstUUID == want.AppInstUUID && got.Type == kind {
			if diff := cmp.Diff(want, got); diff != "" {
				return fmt.Errorf("what %s posted (-want +got):\n%s", a.key(), diff)
			}
			return nil
		}
	}
	return fmt.Errorf("nothing of type %v is published of %s", kind, a.key())
}

// post posts a body, and says in which way the answer is not the status.
func (g *guest) post(path, contentType, body string, status int) error {
	a, err := g.say(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: 169.254.169.254\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		path, contentType, len(body), body))
	if err == nil && a.Status != status {
		err = fmt.Errorf("%s posts to %s: status %d, want %d", g.app, path, a.Status, status)
	}
	return err
}

// toldAgain: what EVE's agents send over and over again, for they send all keys with every change, changes nothing and
// costs no work.
//
// Network: bn1 with web-gw and collector.
//
// Phases: have zedagent and zedrouter send all that they have a thousand times.
func toldAgain(t *testing.T, programs edgePrograms) {
	apps := []*edgeApp{newEdgeApp(t, webGW, 1, "10.1.0.2").leased(), newEdgeApp(t, collector, 1, "10.1.0.3").leased()}
	n := newEdgeNode(t, programs, apps...)
	n.tell(slices.Concat(ofNode(t), ofApps(t, apps...), complete())...)
	n.run()
	guests := n.bootAll(apps...)
	n.awaitKnown(guests...)
	n.awaitText(guests[0], encryptedText)
	n.awaitDrive(appKey(webGW), encryptedText)
	rendered := n.Journal.Count(map[string]any{"msg": "instance known"})
	made := n.driveMade(appKey(webGW))
	lines := len(n.Journal.String())
	const times = 1000
	sendAgain(n, topics.Device().Apps, times)
	sendAgain(n, topics.Device().AppStatus, times)
	n.noLargeFiles()
	// What the service was told before this, it has been told all.
	n.tell(apps[1].withText("something new").configs()...)
	n.awaitText(guests[1], "something new")
	again := 0
	n.Await("end of the change", func() error { // the log says so after the guest may know
		if again = n.Journal.Count(map[string]any{"msg": "instance known"}) - rendered; again == 0 {
			return errors.New("no instance was made")
		}
		return nil
	})
	if again != 1 {
		t.Errorf("%d instances were made again, want the one that has changed\n%s", again, n.Journal.String()[lines:])
	}
	if !n.driveMade(appKey(webGW)).Equal(made) {
		t.Error("the drive was written again")
	}
}

// driveMade is when an app's drive was written.
func (n *edgeNode) driveMade(key string) time.Time {
	n.T.Helper()
	info, err := os.Stat(drive.Path(msrv.Drives(n.Root), key))
	if err != nil {
		n.T.Fatal(err)
	}
	return info.ModTime()
}

// sendAgain has an agent send all of a topic a number of times, each of which another subscriber has seen before the next.
func sendAgain[T any](n *edgeNode, topic pubsub.Topic[T], times int) {
	n.T.Helper()
	ctx, cancel := context.WithCancel(n.T.Context())
	seen, ended := make(chan int), make(chan error, 1)
	go func() {
		ended <- pubsub.Subscribe(ctx, &socket.Driver{Root: n.Root}, topic, func(e pubsub.Event[T]) {
			if e.Kind == pubsub.Restarted {
				seen <- e.Restarted
			}
		})
	}()
	first := <-seen
	for again := first + 1; again <= first+times; again++ {
		n.tell(completes[T](topic.Agent, again))
		for <-seen != again {
			continue
		}
	}
	n.noLargeFiles()
	cancel()
	if err := <-ended; err != nil {
		n.T.Error(err)
	}
}
