// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lf-edge/eve-metadata/pkg/atomicfile"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/tests/evedevice"
	"github.com/lf-edge/eve-metadata/tests/evedevice/edge"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// heir is an app that was not recorded. It is like collector.
const heir = edge.OSGuest + 1

// enough is how many questions of guests have to be answered before and after something happens.
const enough = 60

// agentsKilled: the end of an agent of EVE's costs guests nothing, and what its successor tells counts.
//
// Network: bn1 with web-gw and collector, bn2 with os-guest; they ask all the time.
//
// Phases: kill -9 each agent in turn; have guests go on for a while; start it again with what it left, and have them go on;
// then have all of them tell something new.
func agentsKilled(args ...string) func(*testing.T, edge.Programs) {
	return func(t *testing.T, programs edge.Programs) {
		apps := []*edge.App{
			edge.NewApp(t, edge.WebGW, 1, "10.1.0.2").Leased(), edge.NewApp(t, edge.Collector, 1, "10.1.0.3").Leased(),
			edge.NewApp(t, edge.OSGuest, 2, "10.2.0.2").Leased(),
		}
		n := newEdgeNode(t, programs, apps...)
		n.Tell(slices.Concat(edge.OfNode(t), edge.OfApps(t, apps...), edge.Complete())...)
		n.Run(args...)
		guests := n.bootAll(apps...)
		n.awaitKnown(guests...)
		texts := map[string]string{
			edge.AppKey(edge.WebGW): edge.EncryptedText, edge.AppKey(edge.Collector): edge.ClearText,
			edge.AppKey(edge.OSGuest): edge.EncryptedText,
		}
		for _, g := range guests {
			n.awaitText(g, texts[g.app])
		}
		asking := startQuestions(t, guests, func(g *guest) error {
			return errors.Join(g.knows(), g.brief().expect(myUserData, http.StatusOK, texts[g.app]))
		})
		for _, name := range evedevice.Agents() {
			n.Agent(name).Kill()
			n.awaitAsked(asking, enough)
			n.Restart(name)
			n.awaitAsked(asking, enough)
		}
		if lost := asking.stop(); len(lost) > 0 {
			t.Errorf("%d of %d questions were not answered rightly, the first: %v", len(lost), asking.asked, lost[0])
		}
		for i, app := range apps {
			n.Tell(app.WithText("I am the next " + app.Name()).Configs()...)
			n.awaitText(guests[i], "I am the next "+app.Name())
		}
	}
}

// goneMeanwhile: what an agent's successor does not tell any more is gone, and nobody is told what was another's.
//
// Network: bn1 with web-gw and collector, and then heir, which gets collector's address and port; web-gw and heir ask all the
// time.
//
// Phases: kill -9 zedagent, zedmanager and zedrouter; have them not know collector any more, and have heir in its place; start
// the agents again; have them tell of heir.
func goneMeanwhile(t *testing.T, programs edge.Programs) {
	stays, goes := edge.NewApp(t, edge.WebGW, 1, "10.1.0.2").Leased(), edge.NewApp(t, edge.Collector, 1, "10.1.0.3").Leased()
	comes := edge.NewApp(t, heir, 1, "10.1.0.3").WithText("I am the heir").Leased()
	comes.At("nbu1x2")
	n := newEdgeNode(t, programs, stays, goes)
	n.Tell(slices.Concat(edge.OfNode(t), edge.OfApps(t, stays, goes), edge.Complete())...)
	n.Run()
	web, pump := n.boot(stays), n.boot(goes)
	n.awaitText(web, edge.EncryptedText)
	n.awaitText(pump, edge.ClearText)
	n.awaitDrive(pump.app, edge.ClearText)

	owners := []string{eve.AgentZedagent, eve.AgentZedmanager, eve.AgentZedrouter}
	for _, name := range owners {
		n.Agent(name).Kill()
		n.eveForgets(name, pump.app)
	}
	n.Device.Unplug(1, goes.Number)
	next := eveDevice{n.Device}.plug(comes.Key(), 1, goes.Number, comes.MAC().String())
	next.configure(t, comes.Address, "10.1.0.1")
	asking := startQuestions(t, []*guest{web, next}, neverWrong(map[string][]string{
		web.app: {edge.EncryptedText}, next.app: {"I am the heir"},
	}))
	n.awaitAsked(asking, enough)
	for _, name := range owners {
		n.Restart(name)
	}
	n.Tell(edge.Complete()...)
	n.awaitAsked(asking, enough)
	n.Await("end of the drive", func() error {
		if n.Drive(pump.app) != nil {
			return errors.New("it is still there")
		}
		return nil
	})
	n.Tell(comes.Facts()...)
	n.awaitKnown(web, next)
	n.awaitText(next, "I am the heir")
	n.awaitAsked(asking, enough)
	world.Must(t, asking.stop()...)
}

// eveForgets removes what a dead agent has left of a key.
func (n *edgeNode) eveForgets(agent, key string) {
	n.T.Helper()
	files, err := filepath.Glob(n.EVE.Path(filepath.Join("run", agent, "*", key+".json")))
	if err == nil && len(files) == 0 {
		err = fs.ErrNotExist
	}
	for _, file := range files {
		err = errors.Join(err, os.Remove(file))
	}
	if err != nil {
		n.T.Fatal(err)
	}
}

// serviceKilled: after kill -9 of the service nobody is told what has changed meanwhile.
//
// Network: bn1 with web-gw and collector, bn2 with os-guest.
//
// Phases: kill the service; change collector's user data, have web-gw go; start it, while all ask; kill it again, change
// collector's user data, and start it.
func serviceKilled(t *testing.T, programs edge.Programs) {
	apps := []*edge.App{
		edge.NewApp(t, edge.WebGW, 1, "10.1.0.2").Leased(), edge.NewApp(t, edge.Collector, 1, "10.1.0.3").Leased(),
		edge.NewApp(t, edge.OSGuest, 2, "10.2.0.2").Leased(),
	}
	n := newEdgeNode(t, programs, apps...)
	n.Tell(slices.Concat(edge.OfNode(t), edge.OfApps(t, apps...), edge.Complete())...)
	n.Run()
	guests := n.bootAll(apps...)
	n.awaitKnown(guests...)
	n.awaitDrive(edge.AppKey(edge.WebGW), edge.EncryptedText)
	for _, change := range []string{"first", "second"} {
		n.Crash()
		n.Tell(apps[1].WithText(change).Configs()...)
		if change == "first" {
			n.Tell(apps[0].Gone()...)
		}
		asking := startQuestions(t, guests, neverWrong(map[string][]string{
			edge.AppKey(edge.Collector): {change}, edge.AppKey(edge.OSGuest): {edge.EncryptedText},
		}))
		n.Run()
		n.awaitText(guests[1], change)
		n.awaitAsked(asking, enough)
		world.Must(t, asking.stop()...)
	}
}

// partsKilled: the service as processes of its own, of which the one that guests talk to has no privilege: guests lose no
// more than what was in flight when one of them is killed.
//
// Network: bn1 with web-gw, bn2 with os-guest; they ask all the time.
//
// Phases: look at what msrv may do; kill -9 nim and msrv a few times each.
func partsKilled(t *testing.T, programs edge.Programs) {
	apps := []*edge.App{edge.NewApp(t, edge.WebGW, 1, "10.1.0.2").Leased(), edge.NewApp(t, edge.OSGuest, 2, "10.2.0.2").Leased()}
	n := newEdgeNode(t, programs, apps...)
	n.Tell(slices.Concat(edge.OfNode(t), edge.OfApps(t, apps...), edge.Complete())...)
	n.Run("--split")
	guests := n.bootAll(apps...)
	for _, g := range guests {
		n.awaitKnown(g)
		n.awaitText(g, edge.EncryptedText)
	}
	// EVE's diagnosis is another file each time, in a folder that the server does not see.
	world.Must(t, atomicfile.Replace(n.EVE.Path("run/diag.out"), "diag", []byte("diagnosed anew")))
	n.Await("the new diagnosis", func() error { return guests[0].expect("/eve/v1/diag", http.StatusOK, "diagnosed anew") })
	const times = 5
	service := &scene{n.World}
	for _, process := range []string{"nim", "msrv"} {
		asking := startQuestions(t, guests, (*guest).knows)
		for range times {
			service.killChild(process)
		}
		n.awaitAsked(asking, enough)
		lost := asking.stop()
		allowed := 0
		if process == "msrv" {
			allowed = times * len(guests) // each guest has one request at a time
		}
		if len(lost) > allowed {
			t.Errorf("%d times kill -9 of %s: %d of %d questions lost, %v", times, process, len(lost), asking.asked, errors.Join(lost...))
		}
	}
	for _, g := range guests {
		n.awaitText(g, edge.EncryptedText)
	}
}

// reboot: after a reboot of the node, with apps that are others, guests are told what is so now, and what they posted is there.
//
// Network: bn1 with web-gw and collector.
//
// Phases: have collector post something; kill all at once, and lose what a reboot loses; start agents and service again, with
// collector's user data another and without web-gw.
func reboot(t *testing.T, programs edge.Programs) {
	goes, stays := edge.NewApp(t, edge.WebGW, 1, "10.1.0.2").Leased(), edge.NewApp(t, edge.Collector, 1, "10.1.0.3").Leased()
	n := newEdgeNode(t, programs, goes, stays)
	n.Tell(slices.Concat(edge.OfNode(t), edge.OfApps(t, goes, stays), edge.Complete())...)
	n.Run()
	guests := n.bootAll(goes, stays)
	n.awaitKnown(guests...)
	world.Must(t, guests[1].post("/eve/v1/kubeconfig", "application/json", `{"kept":true}`, http.StatusOK))

	n.Crash()
	for _, a := range n.Agents {
		a.Kill()
	}
	clear(n.Agents)
	n.emptyRun()
	asking := startQuestions(t, guests, neverWrong(map[string][]string{stays.Key(): {"after the reboot"}}))
	n.RunWhile(func() {
		facts := slices.Concat(edge.OfNode(t), edge.OfApps(t, stays.WithText("after the reboot")), edge.Complete())
		slices.Reverse(facts[:len(facts)-len(edge.Complete())])
		n.Tell(facts...)
	})
	n.awaitText(guests[1], "after the reboot")
	n.awaitAsked(asking, enough)
	world.Must(t, asking.stop()...)
	n.Await("what collector posted", func() error { return n.reported(stays, eve.AppInstMetaDataTypeKubeConfig, `{"kept":true}`) })
}

// emptyRun removes all in /run, which is in memory.
func (n *edgeNode) emptyRun() {
	n.T.Helper()
	entries, err := os.ReadDir(n.EVE.Path("run"))
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(n.EVE.Path(filepath.Join("run", entry.Name()))))
	}
	if err != nil {
		n.T.Fatal(err)
	}
}
