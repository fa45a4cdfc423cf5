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
	"github.com/lf-edge/eve-metadata/tests/evedevice/edge"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// inPod: an app that has a network namespace of its own asks in there.
//
// Network: bn1 with collector; and a bridge of Kubernetes' with web-gw's namespace, which is not there at first.
//
// Phases: tell of the namespace; make it; ask; make it anew; withdraw web-gw.
func inPod(t *testing.T, programs edge.Programs) {
	pod, vm := edge.NewApp(t, edge.WebGW, 1, "10.88.0.5").Leased(), edge.NewApp(t, edge.Collector, 1, "10.1.0.3").Leased()
	path := filepath.Join(t.TempDir(), "cni-pod")
	pod.Status.AppPod = eve.AppPod{Name: "web-gw-abcde", NetNsPath: path}
	n := newEdgeNode(t, programs, pod, vm)
	n.Device.Sh(`
		ip link add cni0 type bridge
		ip link set cni0 up
		ip addr add 10.88.0.1/24 dev cni0`)
	n.Tell(slices.Concat(edge.OfNode(t), edge.OfApps(t, pod, vm), edge.Complete())...)
	n.Run()
	n.awaitKnown(n.boot(vm))
	for range 2 {
		m := container(n.Device.Machine, path, "10.88.0.5")
		g := &guest{Guest: m.Guest, app: pod.Key()}
		n.awaitKnown(g)
		n.awaitText(g, edge.EncryptedText)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		n.Device.Sh("ip link del cni5")
	}
	m := container(n.Device.Machine, path, "10.88.0.5")
	g := &guest{Guest: m.Guest, app: pod.Key()}
	n.awaitKnown(g)
	n.Tell(pod.Gone()...)
	n.awaitNobody(g)
}

// sameSubnet: two network instances may have the same addresses, for their guests as well.
//
// Network: bn3 and bn4 with the same gateway, and in each a guest with the same address; bn3 has web-gw, bn4 collector.
//
// Phases: ask as both, at the same time.
func sameSubnet(t *testing.T, programs edge.Programs) {
	const address, gateway = "10.3.0.5", "10.3.0.1"
	apps := []*edge.App{edge.NewApp(t, edge.WebGW, 3, address).Leased(), edge.NewApp(t, edge.Collector, 4, address).Leased()}
	n := newEdgeNode(t, programs)
	n.Tell(slices.Concat(edge.OfNode(t), edge.OfApps(t, apps...), edge.Complete())...)
	var guests []*guest
	for _, app := range apps {
		n.Device.Sh(`
			ip link add bn%[1]d type bridge
			ip link set bn%[1]d up
			ip addr add %[2]s/24 dev bn%[1]d`, app.Network, gateway)
		g := eveDevice{n.Device}.plug(app.Key(), app.Network, app.Number, app.MAC().String())
		g.configure(t, address, gateway)
		guests = append(guests, g)
	}
	n.Run()
	n.awaitKnown(guests...)
	asking := startQuestions(t, guests, (*guest).knows)
	n.awaitText(guests[0], edge.EncryptedText)
	n.awaitText(guests[1], edge.ClearText)
	n.awaitAsked(asking, 2*enough)
	world.Must(t, asking.stop()...)
}

// noMetadata: an app that shall have no metadata still has EVE's own endpoints.
//
// Network: bn1 with collector.
//
// Phases: ask for both; have it have metadata, and ask again.
func noMetadata(t *testing.T, programs edge.Programs) {
	app := edge.NewApp(t, edge.Collector, 1, "10.1.0.3").Leased()
	app.Config.MetaDataType = eve.MetaDataNone
	n := newEdgeNode(t, programs, app)
	n.Tell(slices.Concat(edge.OfNode(t), edge.OfApps(t, app), edge.Complete())...)
	n.Run()
	g := n.boot(app)
	n.awaitKnown(g)
	for _, path := range append(userDataPaths(), "/openstack/latest/meta_data.json", "/latest/meta-data/instance-id") {
		world.Must(t, g.expect(path, http.StatusNotFound, ""))
	}
	if n.Drive(app.Key()) != nil {
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
	if told.UUID != app.Key() || told.Device != "hall7-node2" || told.Enterprise != "Example GmbH" {
		t.Errorf("network.json is %s", about.Body)
	}
	world.Must(t, g.expect("/eve/v1/diag", http.StatusOK, evedevice.Diagnosis))
	app.Config.MetaDataType = eve.MetaDataOpenStack
	n.Tell(app.Configs()...)
	n.awaitText(g, edge.ClearText)
	n.Tell(app.Gone()...)
	n.awaitNobody(g)
}

// posts: what a guest posts is published for zedagent to forward, for as long as there is the app.
//
// Network: bn1 with web-gw and collector.
//
// Phases: post as both; kill -9 the service; post again as collector; withdraw web-gw.
func posts(t *testing.T, programs edge.Programs) {
	first, second := edge.NewApp(t, edge.WebGW, 1, "10.1.0.2").Leased(), edge.NewApp(t, edge.Collector, 1, "10.1.0.3").Leased()
	n := newEdgeNode(t, programs, first, second)
	n.Tell(slices.Concat(edge.OfNode(t), edge.OfApps(t, first, second), edge.Complete())...)
	n.Run()
	web, pump := n.boot(first), n.boot(second)
	n.awaitKnown(web, pump)
	world.Must(t,
		web.post("/eve/v1/kubeconfig", "application/json", `{"hello":"world"}`, http.StatusOK),
		web.post("/eve/v1/app/appCustomStatus", "application/json", `{"state":"fine"}`, http.StatusOK),
		pump.post("/eve/v1/kubeconfig", "application/json", `{"I am":"pump"}`, http.StatusOK),
		pump.post("/eve/v1/kubeconfig", "text/plain", `not this`, http.StatusUnsupportedMediaType),
	)
	check := func(pumps string, of ...*edge.App) {
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
	n.Run()
	n.awaitKnown(web, pump)
	world.Must(t, pump.post("/eve/v1/kubeconfig", "application/json; charset=utf-8", `{"I am":"another"}`, http.StatusOK))
	check(`{"I am":"another"}`, first, second)
	n.Tell(first.Gone()...)
	check(`{"I am":"another"}`, second)
}

// appMetaData is the topic of what guests post.
func appMetaData() pubsub.Topic[eve.AppInstMetaData] {
	return pubsub.TopicOf[eve.AppInstMetaData](eve.AgentServe, pubsub.Persistent())
}

// reported says in which way something that an app's guest has posted is not published.
func (n *edgeNode) reported(a *edge.App, kind eve.AppInstMetaDataType, body string) error {
	want := eve.AppInstMetaData{AppInstUUID: a.Config.UUIDandVersion.UUID, Data: []byte(body), Type: kind}
	for _, got := range world.Published(n.World, appMetaData()) {
		if got.AppInstUUID == want.AppInstUUID && got.Type == kind {
			if diff := cmp.Diff(want, got); diff != "" {
				return fmt.Errorf("what %s posted (-want +got):\n%s", a.Key(), diff)
			}
			return nil
		}
	}
	return fmt.Errorf("nothing of type %v is published of %s", kind, a.Key())
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
func toldAgain(t *testing.T, programs edge.Programs) {
	apps := []*edge.App{edge.NewApp(t, edge.WebGW, 1, "10.1.0.2").Leased(), edge.NewApp(t, edge.Collector, 1, "10.1.0.3").Leased()}
	n := newEdgeNode(t, programs, apps...)
	n.Tell(slices.Concat(edge.OfNode(t), edge.OfApps(t, apps...), edge.Complete())...)
	n.Run()
	guests := n.bootAll(apps...)
	n.awaitKnown(guests...)
	n.awaitText(guests[0], edge.EncryptedText)
	n.awaitDrive(edge.AppKey(edge.WebGW), edge.EncryptedText)
	rendered := n.Journal.Count(map[string]any{"msg": "instance known"})
	made := n.driveMade(edge.AppKey(edge.WebGW))
	lines := len(n.Journal.String())
	const times = 1000
	sendAgain(n, topics.Device().Apps, times)
	sendAgain(n, topics.Device().AppStatus, times)
	n.noLargeFiles()
	// What the service was told before this, it has been told all.
	n.Tell(apps[1].WithText("something new").Configs()...)
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
	if !n.driveMade(edge.AppKey(edge.WebGW)).Equal(made) {
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
		n.Tell(edge.Completes[T](topic.Agent, again))
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
