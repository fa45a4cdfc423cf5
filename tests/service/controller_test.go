// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-api/go/evecommon"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/msrv/drive"
	"github.com/lf-edge/eve-metadata/pkg/cipher"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/tests/controller"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
	"github.com/lf-edge/eve-metadata/tests/program"
	"github.com/lf-edge/eve-metadata/tests/tool"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// TestController runs the service on what an EVE controller says.
//
// Purpose: what a controller gives an app is what its guest is told, and nobody else; what the controller encrypts for the
// node is opened for the guest and for nothing else on the node's disk; whatever becomes of the controller, of what it says
// or of the service, guests are told what was last said rightly, or that it cannot be read.
//
// Network: the service's machine, on which the controller is too; blue and green with the same subnet, and in each a guest
// with the same address.
//
// Phases: see the scenarios.
func TestController(t *testing.T) {
	t.Parallel()
	sandbox.Need(t)
	binary := program.Build(t)
	for _, tt := range []struct {
		name     string
		scenario func(*testing.T, string)
	}{
		{"told", toldByController},
		{"told, split", toldByControllerSplit},
		{"changes", controllerChanges},
		{"away", controllerAway},
		{"for another device", sealedForAnother},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.scenario(t, binary)
		})
	}
}

// toldByController: all that the controller says of an app reaches its guest; the key to encrypt for is the node's own.
//
// Phases: start as a node that the controller expects; encrypt web's user data for it; read, post; look for the user data on
// the disk; kill -9, and look again.
func toldByController(t *testing.T, binary string) {
	s := newSite(t, binary)
	s.run(s.join)
	s.checkTold()
	s.checkModes(map[string]fs.FileMode{"persist/certs": 0o700, "persist/certs/ecdh.key.pem": 0o600}, os.Getegid())
	s.checkSecret()
	s.Crash()
	s.checkSecret()
	s.run(again)
	s.checkSecret()
}

// toldByControllerSplit: the same, where who serves guests is an unprivileged process of its own.
//
// Phases: those of toldByController; look at what that process may do, and who may read the key; kill -9 each process.
func toldByControllerSplit(t *testing.T, binary string) {
	if !othersHere() {
		t.Skip("there is no other user here that the server could become")
	}
	s := newSite(t, binary)
	letOthersPass(t, s.Root)
	s.run(s.join, "--split", "--user", "nobody")
	guests := s.checkTold()
	s.checkPrivileges()
	const nobody = 65534
	s.checkModes(map[string]fs.FileMode{"persist/certs": 0o750, "persist/certs/ecdh.key.pem": 0o640}, nobody)
	s.checkSecret()
	for _, process := range []string{"nim", "feed controller", "msrv"} {
		s.killChild(process)
		s.Await("answers after kill -9 of "+process, func() error { return s.reads(guests["web"], s.secret) })
	}
	s.checkSecret()
}

// controllerChanges: what the controller changes reaches guests, and what it takes away is gone.
//
// Phases: have web post something; change its user data and name; take web away.
func controllerChanges(t *testing.T, binary string) {
	s := newSite(t, binary)
	s.run(s.join)
	guests := s.checkTold()

	s.secret = "#cloud-config\n# another " + marker + "\n"
	web := s.sealed("web", "blue", s.secret)
	web.apps[0].Displayname = "gateway"
	s.configure(web, open("db", "green"))
	s.Await("new user data", func() error { return s.reads(guests["web"], s.secret) })
	s.awaitDrive("web", s.secret)
	s.Await("new name", func() error {
		a, err := guests["web"].ask("/openstack/latest/meta_data.json")
		if err == nil && !strings.Contains(a.Body, `"gateway"`) {
			err = fmt.Errorf("meta_data.json is %s", a.Body)
		}
		return err
	})
	world.Must(t, s.reads(guests["db"], "I am db"))

	s.configure(open("db", "green"))
	s.Await("end of web", func() error {
		errs := []error{never(guests["web"], whoAmI)}
		if s.Drive(world.UUIDOf("web")) != nil {
			errs = append(errs, errors.New("there still is a drive"))
		}
		if posted := world.Published(s.World, appMetaData()); len(posted) > 0 {
			errs = append(errs, fmt.Errorf("it still is published that it posted %v", posted))
		}
		if _, ok := s.block("web"); ok {
			errs = append(errs, errors.New("the state of its block still is published"))
		}
		return errors.Join(errs...)
	})
	world.Must(t, s.reads(guests["db"], "I am db"))
}

// controllerAway: what is not the controller's word changes nothing, and that it is away does not either.
//
// Phases: have somebody else sign what the controller says; kill -9 the service, with the controller away and as after a reboot,
// which leaves no topics; have the controller come back, with its own signature.
func controllerAway(t *testing.T, binary string) {
	s := newSite(t, binary)
	s.run(s.join)
	guests := s.checkTold()
	stranger, err := controller.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	old, next := s.secret, "#cloud-config\n# signed by a stranger at first\n"
	s.Vary(controller.Settings, controller.WrongSignature(stranger.Signing))
	s.configure(s.sealed("web", "blue", next), open("db", "green"))
	const wrong = "the signature is wrong"
	for range 2 {
		s.asked(controller.Settings, http.StatusOK)
		s.awaitState(func(c eve.ControllerStatus) bool { return strings.Contains(c.Error, wrong) && !c.FromFile })
		world.Must(t, s.reads(guests["web"], old), s.reads(guests["db"], "I am db"))
	}
	if lines := s.Journal.Count(map[string]any{"level": "error", "error": wrong}); lines != 1 {
		t.Errorf("%d lines of the log say that %s, want 1", lines, wrong)
	}

	world.Must(t, s.Stop())
	s.Crash()
	world.Must(t, os.RemoveAll(filepath.Join(s.Root, "var/run/mdfeed")))
	s.run(again)
	s.awaitState(func(c eve.ControllerStatus) bool {
		return c.FromFile && c.ConfigHash != "" && strings.Contains(c.Error, "not reached")
	})
	world.Must(t, s.reads(guests["web"], old), s.reads(guests["db"], "I am db"))
	s.awaitDrive("web", old)

	s.Vary(controller.Settings)
	world.Must(t, s.Start())
	s.Await("the controller's word", func() error { return s.reads(guests["web"], next) })
	s.awaitState(func(c eve.ControllerStatus) bool { return !c.FromFile && c.Error == "" })
	world.Must(t, s.reads(guests["db"], "I am db"))
}

// sealedForAnother: user data that cannot be opened is an error that everybody sees, and never no user data.
//
// Phases: encrypt web's user data for another device, by its certificate; then by its key, in the name of this one's; then for
// this one.
func sealedForAnother(t *testing.T, binary string) {
	s := newSite(t, binary)
	other := s.provision("another")
	s.run(func() {
		s.awaitDevice()
		s.configure(open("db", "green"))
	})
	var web *guest
	for _, tt := range []struct {
		name   string
		config deviceConfig
		kind   cipher.Kind
		reason string
	}{
		{"another's certificate", s.sealedFor(other, other), cipher.NotReady, "device certificate"},
		{"another's key", s.sealedFor(other, s.Root), cipher.DecryptFailed, "does not have the block's hash"},
	} {
		s.configure(tt.config, open("db", "green"))
		s.Await("state of the block of "+tt.name, func() error {
			block, _ := s.block("web")
			if !strings.Contains(block.Error, tt.reason) || block.ErrorTime.IsZero() || len(block.CipherData) > 0 {
				return fmt.Errorf("it is %+v, want an error with %q, and no data", block, tt.reason)
			}
			return nil
		})
		if web == nil {
			web = s.guest("web")
		}
		for _, path := range userDataPaths() {
			world.Must(t, web.expect(path, http.StatusInternalServerError, ""))
		}
		world.Must(t, web.expect(whoAmI, http.StatusOK, world.UUIDOf("web")+"\n"))
		if s.Drive(world.UUIDOf("web")) != nil {
			t.Errorf("%s: there is a drive", tt.name)
		}
		s.AwaitLog(map[string]any{"level": "error", "name": "web", "msg": "user data cannot be served", "reason": tt.reason})
		counts := world.Published(s.World, pubsub.TopicOf[eve.CipherMetrics](eve.AgentServe))
		if len(counts) != 1 || counts[0].TypeCounters[tt.kind] == 0 || counts[0].FailureCount == 0 || counts[0].SuccessCount != 0 {
			t.Errorf("%s: counters are %+v, want a failure of kind %v and no success", tt.name, counts, tt.kind)
		}
	}
	s.configure(s.sealed("web", "blue", s.secret), open("db", "green"))
	s.awaitDrive("web", s.secret)
	world.Must(t, s.reads(web, s.secret), s.reads(s.guest("db"), "I am db"))
	if block, ok := s.block("web"); !ok || block.Error != "" {
		t.Errorf("afterwards the state of the block is %+v", block)
	}
	counts := world.Published(s.World, pubsub.TopicOf[eve.CipherMetrics](eve.AgentServe))
	if len(counts) != 1 || counts[0].SuccessCount == 0 {
		t.Errorf("afterwards the counters are %+v, want a success", counts)
	}
}

// site is a machine on which the service does what a controller says, who is there as well.
type site struct {
	*scene                 // of the service, which has no manifests here
	*controller.Controller // Start and Stop are the controller's
	machine                *world.Machine
	flags                  []string // of the service
	n                      int      // of the controller's requests, those that were waited for
	secret                 string   // web's user data
}

// marker is what tells web's user data from all else.
const marker = "THE-WORD-THAT-IS-FOR-WEB-ALONE"

// newSite makes one where the controller expects the device. The service does not run yet.
func newSite(t *testing.T, binary string) *site {
	t.Helper()
	tool.Need(t, "bsdtar", "libarchive-tools")
	s := &site{scene: newScene(t, binary, nil), machine: world.NewMachine(t)}
	// It is larger than a message of EVE's pubsub.
	s.secret = "#cloud-config\n" + strings.Repeat("# "+marker+"\n", 80<<10/len(marker))
	s.Controller = controller.Start(t, controller.Config{Listen: s.listen})
	files := s.provision("this")
	in := func(name string) string { return filepath.Join(files, "config", name) }
	s.flags = []string{
		"--source", "controller", "--server", s.Addr(), "--interval", "200ms",
		"--device-cert", in("device.cert.pem"), "--device-key", in("device.key.pem"), "--root-ca", in("root-certificate.pem"),
		"--onboard-cert", in("onboard.cert.pem"), "--onboard-key", in("onboard.key.pem"), "--serial", "this",
	}
	return s
}

// listen is where the controller listens: on the machine, which has no other.
func (s *site) listen() (l net.Listener, err error) {
	err = s.machine.Do(func() error {
		l, err = new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:443")
		return err
	})
	return l, err
}

// provision makes the files of a device with that serial number, and returns where they are.
func (s *site) provision(serial string) string {
	s.T.Helper()
	root := s.T.TempDir()
	if err := s.Provision(root, serial); err != nil {
		s.T.Fatal(err)
	}
	return root
}

// run starts the service, with further arguments, and returns when it is ready. It is not before it has had a configuration,
// and has it from an earlier run or by what is done meanwhile.
func (s *site) run(do func(), args ...string) {
	s.T.Helper()
	s.StartWhile(do, s.machine.Program(s.Binary), append(args, s.flags...)...)
}

// again is for a service that has run before.
func again() {}

// asked returns when an action was answered with a status, after what was asked before.
func (s *site) asked(action string, status int) {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(s.T.Context(), world.Patience)
	defer cancel()
	_, n, err := s.Wait(ctx, s.n, action, status)
	if err != nil {
		s.T.Fatal(err)
	}
	s.n = n
}

// awaitDevice returns when the device has registered and attested, with a certificate to encrypt for that it has made.
func (s *site) awaitDevice() {
	s.T.Helper()
	s.asked(controller.Attest, http.StatusCreated)
	s.asked(controller.Settings, http.StatusNotFound) // there is none yet
	brought := s.Devices()[0].Certs
	if made := s.file(s.Root, ecdhCert); len(brought) != 1 || !bytes.Equal(brought[0].GetCert(), made) {
		s.T.Fatalf("the device brought %v, and has made %s", brought, made)
	}
}

// ecdhCert is the certificate that is encrypted for, below a device's root.
const ecdhCert = "persist/certs/ecdh.cert.pem"

func (s *site) file(root, name string) []byte {
	s.T.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		s.T.Fatal(err)
	}
	return text
}

// join waits for the device, and gives it web, with user data for it alone, and db.
func (s *site) join() {
	s.T.Helper()
	s.awaitDevice()
	s.configure(s.sealed("web", "blue", s.secret), open("db", "green"))
}

// deviceConfig is a part of a configuration.
type deviceConfig struct {
	apps     []*config.AppInstanceConfig
	contexts []*evecommon.CipherContext
}

// configure gives the device a configuration of all these parts.
func (s *site) configure(parts ...deviceConfig) {
	s.T.Helper()
	c := &config.EdgeDevConfig{
		DeviceName: "hall7-node2", ProjectName: "plant-a", ProjectId: world.UUIDOf("plant-a"), EnterpriseName: "Example GmbH", EnterpriseId: "ent-42",
		NetworkInstances: []*config.NetworkInstanceConfig{lan("blue"), lan("green")},
	}
	for _, part := range parts {
		c.Apps, c.CipherContexts = append(c.Apps, part.apps...), append(c.CipherContexts, part.contexts...)
	}
	if err := s.SetConfig(uuid.Nil, c); err != nil {
		s.T.Fatal(err)
	}
}

// lan is a local network instance, with the subnet that all have.
func lan(name string) *config.NetworkInstanceConfig {
	return &config.NetworkInstanceConfig{
		Uuidandversion: &config.UUIDandVersion{Uuid: world.UUIDOf(name), Version: "1"}, Displayname: name, Activate: true,
		InstType: config.ZNetworkInstType_ZnetInstLocal, IpType: config.AddressType_IPV4,
		Ip: &evecommon.Ipspec{Subnet: "10.11.12.0/24", Gateway: "10.11.12.1"},
	}
}

// plain is an app with a drive and readable user data.
func plain(name, network, text string) *config.AppInstanceConfig {
	return &config.AppInstanceConfig{
		Uuidandversion: &config.UUIDandVersion{Uuid: world.UUIDOf(name), Version: "1"}, Displayname: name, Activate: true,
		Fixedresources: &config.VmConfig{VirtualizationMode: config.VmMode_NOHYPER},
		Interfaces:     []*config.NetworkAdapter{{Name: "eth0", NetworkId: world.UUIDOf(network), Addr: "10.11.12.5"}},
		UserData:       base64.StdEncoding.EncodeToString([]byte(text)),
	}
}

// open is an app whose user data says who it is.
func open(name, network string) deviceConfig {
	return deviceConfig{apps: []*config.AppInstanceConfig{plain(name, network, "I am "+name)}}
}

// sealed is an app whose user data is encrypted for the device.
func (s *site) sealed(name, network, text string) deviceConfig {
	s.T.Helper()
	c, err := s.Encrypt(s.Devices()[0].UUID, &config.EdgeDevConfig{Apps: []*config.AppInstanceConfig{plain(name, network, text)}})
	if err != nil {
		s.T.Fatal(err)
	}
	return deviceConfig{c.GetApps(), c.GetCipherContexts()}
}

// sealedFor is web with user data that is encrypted for the certificate in a folder, and said to be for that in another.
func (s *site) sealedFor(root, said string) deviceConfig {
	s.T.Helper()
	sealer := cipher.Sealer{
		ContextID: uuid.NewString(), Key: s.PKI().Encrypt.Key, ControllerCert: s.PKI().Encrypt.PEM, DeviceCert: s.file(root, ecdhCert),
	}
	app := plain("web", "blue", s.secret)
	block, err := sealer.Seal("", &evecommon.EncryptionBlock{ProtectedUserData: app.GetUserData()})
	if err != nil {
		s.T.Fatal(err)
	}
	app.UserData, app.CipherData = "", cipher.Message(block)
	sealer.DeviceCert = s.file(said, ecdhCert)
	about, err := sealer.Context()
	if err != nil {
		s.T.Fatal(err)
	}
	return deviceConfig{[]*config.AppInstanceConfig{app}, []*evecommon.CipherContext{cipher.ContextMessage(&about)}}
}

// reads says in which way a guest does not read its user data.
func (s *site) reads(g *guest, text string) error {
	var errs []error
	for _, path := range userDataPaths() {
		errs = append(errs, g.expect(path, http.StatusOK, text))
	}
	return errors.Join(errs...)
}

// awaitDrive returns when an app's drive has that user data.
func (s *site) awaitDrive(name, text string) {
	s.T.Helper()
	s.Await("drive of "+name, func() error {
		got, err := s.OnDrive(world.UUIDOf(name), "user-data")
		if err == nil && string(got) != text {
			err = fmt.Errorf("user data is %.200q, want %.200q", got, text)
		}
		return err
	})
}

// checkTold reads as both guests all that the controller has said, and has web post something. It returns the guests.
func (s *site) checkTold() map[string]*guest {
	s.T.Helper()
	guests := map[string]*guest{"web": s.guest("web"), "db": s.guest("db")}
	for name, text := range map[string]string{"web": s.secret, "db": "I am db"} {
		s.Await("user data of "+name, func() error { return s.reads(guests[name], text) })
		s.awaitDrive(name, text)
		world.Must(s.T, guests[name].expect(whoAmI, http.StatusOK, world.UUIDOf(name)+"\n"), s.knowsNode(guests[name]))
	}
	const kubeconfig = `{"hello":"world"}`
	world.Must(s.T, guests["web"].post("/eve/v1/kubeconfig", "application/json", kubeconfig, http.StatusOK))
	want := []eve.AppInstMetaData{{
		AppInstUUID: uuid.MustParse(world.UUIDOf("web")), Data: []byte(kubeconfig), Type: eve.AppInstMetaDataTypeKubeConfig,
	}}
	if diff := cmp.Diff(want, world.Published(s.World, appMetaData())); diff != "" {
		s.T.Errorf("what guests posted (-want +got):\n%s", diff)
	}
	s.awaitState(func(c eve.ControllerStatus) bool { return c.Error == "" && !c.FromFile && c.Server == s.Addr() })
	return guests
}

// knowsNode says in which way a guest is not told what the controller calls the node.
func (s *site) knowsNode(g *guest) error {
	a, err := g.ask("/eve/v1/network.json")
	if err != nil {
		return err
	}
	got := make(map[string]string)
	if err := json.Unmarshal([]byte(a.Body), &got); err != nil || a.Status != http.StatusOK {
		return fmt.Errorf("network.json of %s: status %d, %q, %w", g.app, a.Status, a.Body, err)
	}
	delete(got, "caller-ip") // a port of chance
	want := map[string]string{
		"app-instance-uuid": world.UUIDOf(g.app), "hostname": world.UUIDOf(g.app), "external-ipv4": "",
		"device-name": "hall7-node2", "device-uuid": s.Devices()[0].UUID.String(), "project-name": "plant-a", "project-uuid": world.UUIDOf("plant-a"),
		"enterprise-name": "Example GmbH", "enterprise-id": "ent-42",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("network.json of %s (-want +got):\n%s", g.app, diff)
	}
	return nil
}

// awaitState returns when the feed says so of its controller.
func (s *site) awaitState(ok func(eve.ControllerStatus) bool) {
	s.T.Helper()
	s.Await("state of the controller", func() error {
		if all := world.Published(s.World, pubsub.TopicOf[eve.ControllerStatus](eve.AgentFeed)); len(all) != 1 || !ok(all[0]) {
			return fmt.Errorf("it is %+v", all)
		}
		return nil
	})
}

// block returns what is published of an app's encrypted user data.
func (s *site) block(name string) (eve.CipherBlockStatus, bool) {
	s.T.Helper()
	for _, block := range world.Published(s.World, pubsub.TopicOf[eve.CipherBlockStatus](eve.AgentServe)) {
		if block.CipherBlockID == world.UUIDOf(name) {
			return block, true
		}
	}
	return eve.CipherBlockStatus{}, false
}

// checkModes compares modes of files below the root, and whose group they are.
func (s *site) checkModes(want map[string]fs.FileMode, group int) {
	s.T.Helper()
	for name, mode := range want {
		info, err := os.Stat(filepath.Join(s.Root, name))
		if err != nil {
			s.T.Fatal(err)
		}
		if gid := int(info.Sys().(*syscall.Stat_t).Gid); info.Mode().Perm() != mode || gid != group {
			s.T.Errorf("%s has mode %v and group %d, want %v and %d", name, info.Mode().Perm(), gid, mode, group)
		}
	}
}

// checkSecret looks for web's user data on the disk, in any form: it is on web's drive, and nowhere else.
func (s *site) checkSecret() {
	s.T.Helper()
	own, found, others := drive.Path(msrv.Drives(s.Root), world.UUIDOf("web")), false, false
	err := filepath.WalkDir(s.Root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // it went meanwhile
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "netns":
			return fs.SkipDir // namespaces, and no files
		case !entry.Type().IsRegular():
			return nil
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		others = others || filepath.Ext(path) == ".json" && holds(content, "I am db") // of a topic
		switch has := holds(content, marker); {
		case path == own:
			found = has
		case has:
			s.T.Errorf("user data that was encrypted is in %s", path)
		}
		return err
	})
	if err != nil || !found || !others {
		s.T.Errorf("look for user data: on web's drive: %v; db's, which was not encrypted, in a topic: %v; error %v", found, others, err)
	}
	if holds([]byte(s.Journal.String()), marker) {
		s.T.Error("user data that was encrypted is in the log")
	}
}

// holds tells whether a word is in something, as it stands or in base64, once or twice, wherever it begins.
func holds(content []byte, word string) bool {
	words := []string{word}
	for _, once := range inBase64(word) {
		words = append(append(words, once), inBase64(once)...)
	}
	for _, w := range words {
		if bytes.Contains(content, []byte(w)) {
			return true
		}
	}
	return false
}

// inBase64 are the texts one of which base64 has for a word that is somewhere in what it encodes: its ends depend on what is
// beside it.
func inBase64(word string) (texts []string) {
	for skip := range 3 {
		whole := word[skip:]
		texts = append(texts, base64.StdEncoding.EncodeToString([]byte(whole[:len(whole)/3*3])))
	}
	return texts
}
