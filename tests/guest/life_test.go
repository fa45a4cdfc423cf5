// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/msrv/drive"
	"github.com/lf-edge/eve-metadata/pkg/netns"
	"github.com/lf-edge/eve-metadata/tests/guest/image"
	"github.com/lf-edge/eve-metadata/tests/guest/report"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// onDrive: a guest that reads its drive at each boot, through its whole life.
//
// Purpose: what a guest did at its first boot it does again when cloudInitVersion says so, and only then; with a new version
// also a fixed address is a new one; what is undeployed leaves no drive behind.
//
// Phases: boot; change the user data; boot; move it to another address, with a new version; boot; undeploy.
func onDrive(t *testing.T, binary string) {
	s := newScene(t, binary)
	s.network(blue)
	app := s.web().merged(fields{"metadataType": "drive"})
	s.app(app)
	s.Start()
	g := s.guest("web", image.Debian12)
	want := s.becomes("DataSourceNoCloud [seed=/dev/sr0][dsmode=net]", webUUID+"/1")
	check(t, want, g.boot())
	first := g.hostKey()
	s.mayLogIn(g, address)

	app = app.merged(fields{"userData": userData("I am new")})
	s.app(app)
	s.awaitDrive("I am new")
	check(t, want, g.boot())
	g.checkUserData(userData("I am new"))
	if g.hostKey() != first {
		t.Error("the host key is a new one, although the version is the same")
	}

	const moved = "10.11.12.6"
	s.app(app.merged(fields{
		"cloudInitVersion": 2,
		"adapters":         []fields{{"name": "eth0", "network": "blue", "mac": mac, "ipv4": moved}},
	}))
	s.awaitDrive(moved)
	want = s.becomes("DataSourceNoCloud [seed=/dev/sr0][dsmode=net]", webUUID+"/2")
	want.Cards[mac] = report.Card{MTU: 1400, Addresses: []string{moved + "/24"}}
	want.Files["written"] = "I am new\n"
	s.ranAgain(want)
	check(t, want, g.boot())
	if g.hostKey() == first {
		t.Error("the host key is the old one, although the version is new")
	}
	s.mayLogIn(g, moved)

	path := drive.Path(msrv.Drives(s.Root), webUUID)
	world.Must(t, missing(path, false))
	s.Remove("web.yaml")
	s.Await("end of the drive", func() error { return missing(path, true) })
}

// missing says whether a file is, or is not, missing.
func missing(path string, want bool) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) != want {
		return errors.New(path + " is as it should not be: there or missing")
	}
	return nil
}

// awaitDrive returns when web's drive has a text on it.
func (s *scene) awaitDrive(text string) {
	s.t.Helper()
	s.Await("drive with "+text, func() error {
		if !strings.Contains(string(s.Drive(webUUID)), text) {
			return errors.New("it has none")
		}
		return nil
	})
}

// mayLogIn logs in as the operator.
func (s *scene) mayLogIn(g *guest, at string) {
	s.t.Helper()
	if got, want := g.login(s.key, "debian", at, "id --user --name"), "debian\n"; got != want {
		s.t.Errorf("who logs in is %q, want %q", got, want)
	}
}

// ranAgain is what the scripts have done as version 1 and now as version 2.
func (s *scene) ranAgain(want *report.State) {
	want.Files["vendor"] = "sold by blue\nsold by blue\n"
	want.Files["runs"] = "script of " + webUUID + "/1\nscript of " + webUUID + "/2\n"
}

// checkUserData compares what the guest has kept of its user data.
func (g *guest) checkUserData(want string) {
	g.t.Helper()
	if got := string(g.userData()); got != want {
		g.t.Errorf("the guest has user data of %d bytes, want %d: %.200q", len(got), len(want), got)
	}
}

// overOpenStack: a guest that asks over HTTP, with fixed addresses of both families, while the service comes and goes.
//
// Purpose: the same as on a drive; what a guest is told does not depend on a service that never ends.
//
// Phases: boot; kill the service, change the user data, start it; boot; new version, and kill the service again; boot.
func overOpenStack(t *testing.T, binary string) {
	const address6 = "fd00:11:12::5"
	s := newScene(t, binary)
	s.network(blue.merged(fields{"subnet6": "fd00:11:12::/64"}))
	app := s.web().merged(fields{
		"metadataType": "openstack",
		"adapters":     []fields{{"name": "eth0", "network": "blue", "mac": mac, "ipv4": address, "ipv6": address6}},
	})
	s.app(app)
	s.Start()
	g := s.guest("web", image.Debian12)
	becomes := func(version string) *report.State {
		w := s.becomes("DataSourceOpenStackLocal [net,ver=2]", webUUID+"/"+version)
		w.Cards[mac] = report.Card{MTU: 1400, Addresses: []string{address + "/24", address6 + "/64"}}
		w.Routes = append(w.Routes, "default via fd00:11:12::1")
		w.DNS = []string{"10.11.12.1", "fd00:11:12::1"}
		return w
	}
	want := becomes("1")
	check(t, want, g.boot())
	first := g.hostKey()
	s.mayLogIn(g, address)
	s.mayLogIn(g, address6)

	s.Crash()
	app = app.merged(fields{"userData": userData("I am new")})
	s.app(app)
	s.Start()
	check(t, want, g.boot())
	g.checkUserData(userData("I am new"))
	if g.hostKey() != first {
		t.Error("the host key is a new one, although the version is the same")
	}

	s.app(app.merged(fields{"cloudInitVersion": 2}))
	s.Crash()
	s.Start()
	want = becomes("2")
	want.Files["written"] = "I am new\n"
	s.ranAgain(want)
	check(t, want, g.boot())
	if g.hostKey() == first {
		t.Error("the host key is the old one, although the version is new")
	}
}

// twins: two guests with the same address, in two networks, that ask before anybody answers.
//
// Purpose: guests are told apart by their networks alone; one that was refused gets all of its metadata in the same boot,
// as soon as somebody is there.
//
// Phases: make the networks, and end the service; boot both; wait until each has asked in vain, and stop it there; start the service.
func twins(t *testing.T, binary string) {
	s := newScene(t, binary)
	apps := map[string]string{"blue": "web", "green": "db"}
	for network, app := range apps {
		s.network(blue.merged(fields{"name": network, "domain": network + ".example.com"}))
		s.app(s.web().merged(fields{
			"name": app, "uuid": world.UUIDOf(app), "hostname": app + "-1", "domain": network + ".example.com",
			"metadataType": "openstack", "userData": userData("I am " + app), "vendorData": nil,
			"adapters": []fields{{"name": "eth0", "network": network, "mac": mac, "ipv4": address}},
		}))
	}
	s.Start()
	var both []*guest
	var asked []<-chan error
	for _, app := range apps {
		g := s.guest(app, image.Debian12)
		args, files := g.launch() // which nobody says later
		g.launch = func() ([]string, []*os.File) { return args, files }
		both = append(both, g)
		asked = append(asked, awaitRefusal(t, s.NamespaceOf(s.Port(app, "eth0"))))
	}
	s.Crash()
	for _, g := range both {
		g.start()
	}
	var waiting errgroup.Group
	for i, g := range both {
		waiting.Go(func() error { return g.pauseWhenRefused(asked[i]) })
	}
	world.Must(t, waiting.Wait())
	s.Start()
	for _, g := range both {
		world.Must(t, g.on.Resume())
	}
	for _, g := range both {
		network := map[string]string{"web": "blue", "db": "green"}[g.app]
		want := s.becomes("DataSourceOpenStack [net,ver=2]", world.UUIDOf(g.app)+"/1")
		want.Hostname, want.FQDN = g.app+"-1", g.app+"-1."+network+".example.com"
		want.Search = []string{network + ".example.com"}
		want.Files["written"] = "I am " + g.app + "\n"
		want.Complaints = []string{
			"url_helper.py[ERROR]: Timed out, no response from urls: ['http://169.254.169.254/openstack']",
			"util.py[WARNING]: No active metadata service found", netplanWarns,
		}
		check(t, withoutVendor(want), g.state())
		s.mayLogIn(g, address)
	}
}

// pauseWhenRefused stops the guest where it was refused a connection to the metadata server: it would ask just once more.
func (g *guest) pauseWhenRefused(refused <-chan error) error {
	select {
	case err := <-refused:
		if err != nil {
			return err
		}
		progress(g.t, g.began, "%s, boot %d: has asked in vain", g.app, g.boots)
		return g.on.Pause()
	case <-g.on.Ended():
		return fmt.Errorf("the guest has ended:\n%s", g.on.Tail())
	case <-time.After(bootLimit):
		return fmt.Errorf("the guest has not asked:\n%s", g.on.Tail())
	}
}

// awaitRefusal tells, once, when somebody on the bridge of a namespace was refused a connection to the metadata server.
func awaitRefusal(t *testing.T, namespace string) <-chan error {
	t.Helper()
	var packets *os.File
	err := netns.Do(namespace, func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(htons(unix.ETH_P_ALL)))
		if err == nil {
			packets = os.NewFile(uintptr(fd), "packets")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	refused, done := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, err := packets.Read(buf)
			if err != nil || isRefusal(buf[:n]) {
				refused <- err
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = packets.Close() // which ends the reading
		<-done
	})
	return refused
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }

// isRefusal tells whether an IPv4 packet resets a connection to port 80 of the metadata address.
func isRefusal(packet []byte) bool {
	if len(packet) < 40 || packet[0]>>4 != 4 || packet[9] != unix.IPPROTO_TCP || string(packet[12:16]) != "\xa9\xfe\xa9\xfe" {
		return false
	}
	tcp := packet[int(packet[0]&15)*4:]
	const reset = 4
	return len(tcp) >= 20 && tcp[0] == 0 && tcp[1] == 80 && tcp[13]&reset != 0
}

// twoNetworks: a guest with a card in each of two networks, each with its own subnet, MTU, router and resolver.
//
// Purpose: both cards are configured, each as its network says.
//
// Phases: boot.
func twoNetworks(t *testing.T, binary string) {
	const mac2 = "02:16:3e:21:13:07"
	s := newScene(t, binary)
	s.network(blue)
	s.network(fields{"name": "green", "subnet": "10.11.13.0/24", "domain": "green.example.com", "mtu": 1300})
	s.app(s.web().merged(fields{
		"metadataType": "openstack",
		"adapters": []fields{
			{"name": "eth0", "network": "blue", "mac": mac, "ipv4": address},
			{"name": "eth1", "network": "green", "mac": mac2, "ipv4": "10.11.13.7"},
		},
	}))
	s.Start()
	g := s.guest("web", image.Debian12)
	want := s.becomes("DataSourceOpenStackLocal [net,ver=2]", webUUID+"/1")
	want.Cards[mac2] = report.Card{MTU: 1300, Addresses: []string{"10.11.13.7/24"}}
	want.Routes = append(want.Routes, "default via 10.11.13.1")
	want.DNS, want.Search = append(want.DNS, "10.11.13.1"), append(want.Search, "green.example.com")
	got := g.boot()
	// The resolver lists cards in the order in which they came up, and names the guest by the first.
	slices.Sort(got.DNS)
	slices.Sort(got.Search)
	if got.FQDN == "web-1.green.example.com" {
		got.FQDN = want.FQDN
	}
	check(t, want, got)
	s.mayLogIn(g, address)
}
