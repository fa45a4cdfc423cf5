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
	"github.com/lf-edge/eve-metadata/tests/world"
)

// enough is how many questions of guests have to be answered before and after something happens.
const enough = 60

// agentsKilled: the end of an agent of EVE's costs guests nothing, and what its successor tells counts.
//
// Network: bn1 with web-gw and collector, bn2 with os-guest; they ask all the time.
//
// Phases: kill -9 each agent in turn; have guests go on for a while; start it again with what it left, and have them go on;
// then have all of them tell something new.
func agentsKilled(args ...string) func(*testing.T, edgePrograms) {
	return func(t *testing.T, programs edgePrograms) {
		apps := []*edgeApp{
			newEdgeApp(t, webGW, 1, "10.1.0.2").leased(), newEdgeApp(t, collector, 1, "10.1.0.3").leased(),
			newEdgeApp(t, osGuest, 2, "10.2.0.2").leased(),
		}
		n := newEdgeNode(t, programs, apps...)
		n.tell(slices.Concat(ofNode(t), ofApps(t, apps...), complete())...)
		n.run(args...)
		guests := n.bootAll(apps...)
		n.awaitKnown(guests...)
		texts := map[string]string{appKey(webGW): encryptedText, appKey(collector): clearText, appKey(osGuest): encryptedText}
		for _, g := range guests {
			n.awaitText(g, texts[g.app])
		}
		asking := startQuestions(t, guests, func(g *guest) error {
			return errors.Join(g.knows(), g.brief().expect(myUserData, http.StatusOK, texts[g.app]))
		})
		for _, name := range evedevice.Agents() {
			n.agent(name).Kill()
			n.awaitAsked(asking, enough)
			n.restart(name)
			n.awaitAsked(asking, enough)
		}
		if lost := asking.stop(); len(lost) > 0 {
			t.Errorf("%d of %d questions were not answered rightly, the first: %v", len(lost), asking.asked, lost[0])
		}
		for i, app := range apps {
			n.tell(app.withText("I am the next " + app.name()).configs()...)
			n.awaitText(guests[i], "I am the next "+app.name())
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
func goneMeanwhile(t *testing.T, programs edgePrograms) {
	stays, goes := newEdgeApp(t, webGW, 1, "10.1.0.2").leased(), newEdgeApp(t, collector, 1, "10.1.0.3").leased()
	comes := newEdgeApp(t, heir, 1, "10.1.0.3").withText("I am the heir").leased()
	comes.at("nbu1x2")
	n := newEdgeNode(t, programs, stays, goes)
	n.tell(slices.Concat(ofNode(t), ofApps(t, stays, goes), complete())...)
	n.run()
	web, pump := n.boot(stays), n.boot(goes)
	n.awaitText(web, encryptedText)
	n.awaitText(pump, clearText)
	n.awaitDrive(pump.app, clearText)

	owners := []string{eve.AgentZedagent, eve.AgentZedmanager, eve.AgentZedrouter}
	for _, name := range owners {
		n.agent(name).Kill()
		n.eveForgets(name, pump.app)
	}
	n.device.unplug(1, goes.number)
	next := n.device.plug(comes.key(), 1, goes.number, comes.mac().String())
	next.configure(t, comes.address, "10.1.0.1")
	asking := startQuestions(t, []*guest{web, next}, neverWrong(map[string][]string{
		web.app: {encryptedText}, next.app: {"I am the heir"},
	}))
	n.awaitAsked(asking, enough)
	for _, name := range owners {
		n.restart(name)
	}
	n.tell(complete()...)
	n.awaitAsked(asking, enough)
	n.Await("end of the drive", func() error {
		if n.Drive(pump.app) != nil {
			return errors.New("it is still there")
		}
		return nil
	})
	n.tell(comes.facts()...)
	n.awaitKnown(web, next)
	n.awaitText(next, "I am the heir")
	n.awaitAsked(asking, enough)
	world.Must(t, asking.stop()...)
}

// eveForgets removes what a dead agent has left of a key.
func (n *edgeNode) eveForgets(agent, key string) {
	n.T.Helper()
	files, err := filepath.Glob(n.eve.Path(filepath.Join("run", agent, "*", key+".json")))
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
func serviceKilled(t *testing.T, programs edgePrograms) {
	apps := []*edgeApp{
		newEdgeApp(t, webGW, 1, "10.1.0.2").leased(), newEdgeApp(t, collector, 1, "10.1.0.3").leased(),
		newEdgeApp(t, osGuest, 2, "10.2.0.2").leased(),
	}
	n := newEdgeNode(t, programs, apps...)
	n.tell(slices.Concat(ofNode(t), ofApps(t, apps...), complete())...)
	n.run()
	guests := n.bootAll(apps...)
	n.awaitKnown(guests...)
	n.awaitDrive(appKey(webGW), encryptedText)
	for _, change := range []string{"first", "second"} {
		n.Crash()
		n.tell(apps[1].withText(change).configs()...)
		if change == "first" {
			n.tell(apps[0].gone()...)
		}
		asking := startQuestions(t, guests, neverWrong(map[string][]string{
			appKey(collector): {change}, appKey(osGuest): {encryptedText},
		}))
		n.run()
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
func partsKilled(t *testing.T, programs edgePrograms) {
	apps := []*edgeApp{newEdgeApp(t, webGW, 1, "10.1.0.2").leased(), newEdgeApp(t, osGuest, 2, "10.2.0.2").leased()}
	n := newEdgeNode(t, programs, apps...)
	n.tell(slices.Concat(ofNode(t), ofApps(t, apps...), complete())...)
	n.run("--split")
	guests := n.bootAll(apps...)
	for _, g := range guests {
		n.awaitKnown(g)
		n.awaitText(g, encryptedText)
	}
	// EVE's diagnosis is another file each time, in a folder that the server does not see.
	world.Must(t, atomicfile.Replace(n.eve.Path("run/diag.out"), "diag", []byte("diagnosed anew")))
	n.Await("the new diagnosis", func() error { return guests[0].expect("/eve/v1/diag", http.StatusOK, "diagnosed anew") })
	const times = 5
	for _, process := range []string{"nim", "msrv"} {
		asking := startQuestions(t, guests, (*guest).knows)
		for range times {
			n.killChild(process)
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
		n.awaitText(g, encryptedText)
	}
}

// reboot: after a reboot of the node, with apps that are others, guests are told what is so now, and what they posted is there.
//
// Network: bn1 with web-gw and collector.
//
// Phases: have collector post something; kill all at once, and lose what a reboot loses; start agents and service again, with
// collector's user data another and without web-gw.
func reboot(t *testing.T, programs edgePrograms) {
	goes, stays := newEdgeApp(t, webGW, 1, "10.1.0.2").leased(), newEdgeApp(t, collector, 1, "10.1.0.3").leased()
	n := newEdgeNode(t, programs, goes, stays)
	n.tell(slices.Concat(ofNode(t), ofApps(t, goes, stays), complete())...)
	n.run()
	guests := n.bootAll(goes, stays)
	n.awaitKnown(guests...)
	world.Must(t, guests[1].post("/eve/v1/kubeconfig", "application/json", `{"kept":true}`, http.StatusOK))

	n.Crash()
	for _, a := range n.agents {
		a.Kill()
	}
	clear(n.agents)
	n.emptyRun()
	asking := startQuestions(t, guests, neverWrong(map[string][]string{stays.key(): {"after the reboot"}}))
	n.runWhile(func() {
		facts := slices.Concat(ofNode(t), ofApps(t, stays.withText("after the reboot")), complete())
		slices.Reverse(facts[:len(facts)-len(complete())])
		n.tell(facts...)
	})
	n.awaitText(guests[1], "after the reboot")
	n.awaitAsked(asking, enough)
	world.Must(t, asking.stop()...)
	n.Await("what collector posted", func() error { return n.reported(stays, eve.AppInstMetaDataTypeKubeConfig, `{"kept":true}`) })
}

// emptyRun removes all in /run, which is in memory.
func (n *edgeNode) emptyRun() {
	n.T.Helper()
	entries, err := os.ReadDir(n.eve.Path("run"))
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(n.eve.Path(filepath.Join("run", entry.Name()))))
	}
	if err != nil {
		n.T.Fatal(err)
	}
}
