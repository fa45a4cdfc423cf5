// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/msrv/drive"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/tests/evedevice"
	"github.com/lf-edge/eve-metadata/tests/evedevice/edge"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// anyOrder: agents may start after the service and tell what they know in any order; a guest's first request is answered by
// its MAC address, before EVE has seen its lease.
//
// Network: bn1 with web-gw and collector, bn2 with os-guest; they ask all the time.
//
// Phases: start the service; have the agents tell all, in an order made up by chance; read; see the leases, and read the
// addresses. All of it three times.
func anyOrder(t *testing.T, programs edge.Programs) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			apps := []*edge.App{
				edge.NewApp(t, edge.WebGW, 1, "10.1.0.2"), edge.NewApp(t, edge.Collector, 1, "10.1.0.3"),
				edge.NewApp(t, edge.OSGuest, 2, "10.2.0.2"),
			}
			texts := map[string][]string{
				edge.AppKey(edge.WebGW): {edge.EncryptedText}, edge.AppKey(edge.Collector): {edge.ClearText},
				edge.AppKey(edge.OSGuest): {edge.EncryptedText},
			}
			n := newEdgeNode(t, programs, apps...)
			guests := n.bootAll(apps...)
			facts := append(edge.OfNode(t), edge.OfApps(t, apps...)...)
			rand.New(rand.NewPCG(seed, 0)).Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
			asking := startQuestions(t, guests, neverWrong(texts))
			n.RunWhile(func() { n.Tell(append(facts, edge.Complete()...)...) })
			n.awaitKnown(guests...)
			for _, g := range guests {
				n.awaitText(g, texts[g.app][0])
			}
			n.awaitDrive(edge.AppKey(edge.WebGW), edge.EncryptedText)
			n.awaitDrive(edge.AppKey(edge.Collector), edge.ClearText)
			if n.Drive(edge.AppKey(edge.OSGuest)) != nil {
				t.Error("os-guest has a drive, want none")
			}
			for i, app := range apps {
				n.Tell(app.Leased().Facts()...)
				n.Await("address of "+app.Key(), func() error {
					return guests[i].brief().expect("/latest/meta-data/local-ipv4", http.StatusOK, app.Address)
				})
			}
			world.Must(t, asking.stop()...)
			n.noLargeFiles()
		})
	}
}

// firstRequest: the very first request of a guest that boots is answered, by its MAC address, although EVE has not seen its
// lease; it is known by that from when the agents have told of it.
//
// Network: bn1 with web-gw, which is there, and collector, which comes.
//
// Phases: start the service; have the agents tell of collector; boot it, and ask once.
func firstRequest(t *testing.T, programs edge.Programs) {
	there, comes := edge.NewApp(t, edge.WebGW, 1, "10.1.0.2").Leased(), edge.NewApp(t, edge.Collector, 1, "10.1.0.3")
	n := newEdgeNode(t, programs, there, comes)
	n.Tell(slices.Concat(edge.OfNode(t), edge.OfApps(t, there), edge.Complete())...)
	n.Run()
	n.awaitKnown(n.boot(there))
	n.Tell(comes.Facts()...)
	n.AwaitLog(map[string]any{"msg": "instance known", "instance": comes.Key()})
	g := n.boot(comes)
	world.Must(t, g.knows(), g.expect(myUserData, http.StatusOK, edge.ClearText))
}

// drives: drives are as EVE itself makes them, and are where EVE has them if that is asked for.
//
// Network: bn1 with web-gw, whose user data names the host, and collector, whose does not.
//
// Phases: look at the drives; have the node's settings ask for files of parts, and collector have some; withdraw it.
func drives(t *testing.T, programs edge.Programs) {
	apps := []*edge.App{edge.NewApp(t, edge.WebGW, 1, "10.1.0.2").Leased(), edge.NewApp(t, edge.Collector, 1, "10.1.0.3").Leased()}
	n := newEdgeNode(t, programs, apps...)
	n.Tell(slices.Concat(edge.OfNode(t), edge.OfApps(t, apps...), edge.Complete())...)
	n.Run("--eve-drives")
	inEVE := func(key string) string { return n.EVE.Path("run/domainmgr/cloudinit/" + key + ".cidata") }
	has := func(app *edge.App, want map[string]string) {
		t.Helper()
		n.Await("drive of "+app.Key(), func() error {
			var errs []error
			for _, image := range []string{inEVE(app.Key()), drive.Path(msrv.Drives(n.Root), app.Key())} {
				got, err := filesOn(t, image)
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					errs = append(errs, fmt.Errorf("%s: %w (-want +got):\n%s", image, err, diff))
				}
			}
			return errors.Join(errs...)
		})
	}
	has(apps[0], map[string]string{"meta-data": "instance-id: " + edge.AppKey(edge.WebGW) + "/3\n", "user-data": edge.EncryptedText})
	has(apps[1], map[string]string{
		"meta-data": "instance-id: " + edge.AppKey(edge.Collector) + "/2\nlocal-hostname: " + edge.AppKey(edge.Collector) + "\n",
		"user-data": edge.ClearText,
	})

	const parts = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" +
		"--x\r\nContent-Disposition: attachment; filename=\"conf/one.cfg\"\r\n\r\nfirst\r\n--x--\r\n"
	settings := evedevice.Recorded[eve.ConfigItemValueMap](t, eve.AgentZedagent, eve.GlobalKey)
	item := settings.GlobalSettings["process.cloud-init.multipart"]
	item.BoolValue = true
	settings.GlobalSettings["process.cloud-init.multipart"] = item
	n.Tell(append(apps[1].WithText(parts).Configs(), edge.Says(eve.AgentZedagent, eve.GlobalKey, settings))...)
	has(apps[1], map[string]string{"conf/one.cfg": "first"})
	n.Tell(apps[1].Gone()...)
	n.Await("end of the drive", func() error {
		_, err := os.Stat(inEVE(edge.AppKey(edge.Collector)))
		if !errors.Is(err, fs.ErrNotExist) || n.Drive(edge.AppKey(edge.Collector)) != nil {
			return fmt.Errorf("it is still there: %w", err)
		}
		return nil
	})
}

// filesOn are the files on a drive, as libarchive reads them.
func filesOn(t *testing.T, image string) (map[string]string, error) {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "bsdtar", "-xf", image, "-C", dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path) // it is below
		files[name] = string(content)
		return err
	})
	return files, err
}

// missingAgents: who has not started yet, or never does, costs guests no more than what that agent alone knows.
//
// Network: bn1 with web-gw and collector.
//
// Phases: have zedagent and zedrouter tell all; start the service, and read as both; start tpmmgr; start the other agents.
func missingAgents(t *testing.T, programs edge.Programs) {
	sealed, open := edge.NewApp(t, edge.WebGW, 1, "10.1.0.2").Leased(), edge.NewApp(t, edge.Collector, 1, "10.1.0.3").Leased()
	n := newEdgeNode(t, programs, sealed, open)
	needed := func(f edge.Fact) bool { return f.Agent == eve.AgentZedagent || f.Agent == eve.AgentZedrouter }
	facts := slices.Concat(edge.OfNode(t), edge.OfApps(t, sealed, open), edge.Complete())
	for _, f := range facts {
		if needed(f) {
			n.Tell(f)
		}
	}
	n.Run()
	web, pump := n.boot(sealed), n.boot(open)
	n.awaitKnown(web, pump)
	n.awaitText(pump, edge.ClearText)
	n.awaitStatus(web, myUserData, http.StatusInternalServerError)
	n.AwaitLog(map[string]any{"instance": web.app, "msg": "user data cannot be served", "reason": "device certificate"})
	n.awaitStatus(web, "/eve/v1/location.json", http.StatusNoContent)

	for _, f := range facts {
		if f.Agent == eve.AgentTpmmgr {
			n.Tell(f)
		}
	}
	n.awaitText(web, edge.EncryptedText)
	for _, f := range facts {
		if !needed(f) && f.Agent != eve.AgentTpmmgr {
			n.Tell(f)
		}
	}
	n.awaitStatus(web, "/eve/v1/location.json", http.StatusOK)
	n.Await("external address", func() error {
		return web.expect("/eve/v1/external_ipv4", http.StatusOK, "192.168.1.10\n")
	})
	n.noLargeFiles()
}

// secrets: encrypted user data is opened with the certificates that are there now; where it cannot be, guests are told of an
// error, and people of the reason.
//
// Network: bn1 with web-gw and os-guest.
//
// Phases: read; have the data be encrypted by the controller's next certificate, before that is there; have it come; withdraw the
// first one; change one bit; have the publisher say that there is an error, with and without clear text.
func secrets(t *testing.T, programs edge.Programs) {
	apps := []*edge.App{edge.NewApp(t, edge.WebGW, 1, "10.1.0.2").Leased(), edge.NewApp(t, edge.OSGuest, 1, "10.1.0.4").Leased()}
	n := newEdgeNode(t, programs, apps...)
	n.Tell(slices.Concat(edge.OfNode(t), edge.OfApps(t, apps...), edge.Complete())...)
	n.Run()
	guests := n.bootAll(apps...)
	reads := func(text string) {
		t.Helper()
		for _, g := range guests {
			n.awaitText(g, text)
		}
		n.awaitDrive(edge.AppKey(edge.WebGW), text)
	}
	faults := func(reason string) {
		t.Helper()
		for _, g := range guests {
			n.awaitStatus(g, myUserData, http.StatusInternalServerError)
			n.AwaitLog(map[string]any{"instance": g.app, "msg": "user data cannot be served", "reason": reason})
			world.Must(t, g.knows())
		}
		n.Await("end of the drive", func() error {
			if n.Drive(edge.AppKey(edge.WebGW)) != nil {
				return errors.New("there still is one, with what can no longer be read")
			}
			return nil
		})
	}
	reads(edge.EncryptedText)

	const next = "#cloud-config\n# by the next certificate\n"
	signing := "78837ccaabad441b9bf08c3b99c7b7b9"
	cert := evedevice.Recorded[eve.ControllerCert](t, eve.AgentZedagent, signing)
	n.Tell(edge.Forgets[eve.ControllerCert](eve.AgentZedagent, signing))
	for _, app := range apps {
		n.Tell(app.Sealed(edge.Seal(t, app, "signing", next)).Configs()...)
	}
	faults("controller certificate")
	n.Tell(edge.Says(eve.AgentZedagent, signing, cert))
	reads(next)
	n.Tell(edge.Forgets[eve.ControllerCert](eve.AgentZedagent, "8d7cb50ead3141ded69fe196d90e1e26"))
	reads(next)

	for _, app := range apps {
		app.Config.CipherData[20] ^= 1
		n.Tell(app.Configs()...)
	}
	faults("hash")
	for _, app := range apps {
		app.Config.CipherBlockStatus.Error = "no cipher context"
		n.Tell(app.Configs()...)
	}
	faults("no cipher context")
	for _, app := range apps {
		app.Config.CloudInitUserData = new(base64.StdEncoding.EncodeToString([]byte(edge.ClearText)))
		n.Tell(app.Configs()...)
	}
	reads(edge.ClearText)
	if strings.Contains(n.Journal.String(), "by the next certificate") || strings.Contains(n.Journal.String(), "ssh_authorized_keys") {
		t.Error("user data is in the log")
	}
	n.noLargeFiles()
}

// largeUserData: user data that is larger than a message of EVE's pubsub is read as it was written.
//
// Network: bn1 with web-gw, whose user data is encrypted, and collector, whose is not.
//
// Phases: read over HTTP and from the drives; change it, three times.
func largeUserData(t *testing.T, programs edge.Programs) {
	sealed, open := edge.NewApp(t, edge.WebGW, 1, "10.1.0.2").Leased(), edge.NewApp(t, edge.Collector, 1, "10.1.0.3").Leased()
	n := newEdgeNode(t, programs, sealed, open)
	n.Tell(slices.Concat(edge.OfNode(t), edge.OfApps(t, sealed, open), edge.Complete())...)
	n.Run()
	guests := n.bootAll(sealed, open)
	for round := range 3 {
		var lines strings.Builder
		for i := range 4000 {
			fmt.Fprintf(&lines, "variable_%d=value %d\n", i, round)
		}
		text := lines.String()
		n.Tell(slices.Concat(sealed.Sealed(edge.Seal(t, sealed, "encrypt", text)).Configs(), open.WithText(text).Configs())...)
		for _, g := range guests {
			n.awaitText(g, text)
			n.awaitDrive(g.app, text)
		}
	}
	n.noLargeFiles()
}

// standIn: an app of which zedagent does not tell (yet) is told what zedmanager says of it.
//
// Network: bn1 with web-gw and collector.
//
// Phases: have zedmanager tell of both and zedagent of none; have zedagent tell of collector, otherwise; have it withdraw that.
func standIn(t *testing.T, programs edge.Programs) {
	sealed, open := edge.NewApp(t, edge.WebGW, 1, "10.1.0.2").Leased(), edge.NewApp(t, edge.Collector, 1, "10.1.0.3").Leased()
	n := newEdgeNode(t, programs, sealed, open)
	n.Tell(slices.Concat(edge.OfNode(t), edge.OfNetwork(t, 1), edge.Complete())...)
	for _, app := range []*edge.App{sealed, open} {
		n.Tell(app.Facts()[1:]...)
	}
	n.Run()
	web, pump := n.boot(sealed), n.boot(open)
	n.awaitText(web, edge.EncryptedText)
	n.awaitText(pump, edge.ClearText)
	n.awaitDrive(web.app, edge.EncryptedText)
	n.Tell(open.WithText("zedagent knows better").Configs()[0])
	n.awaitText(pump, "zedagent knows better")
	n.Tell(edge.Forgets[eve.AppInstanceConfig](eve.AgentZedagent, pump.app))
	n.awaitText(pump, edge.ClearText)
}
