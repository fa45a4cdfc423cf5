// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"cmp"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	msrvreport "github.com/lf-edge/eve-metadata/msrv/report"
	"github.com/lf-edge/eve-metadata/tests/guest/image"
	"github.com/lf-edge/eve-metadata/tests/guest/report"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// blue is the network that most guests are in.
var blue = fields{
	"name": "blue", "subnet": "10.11.12.0/24", "domain": "blue.example.com", "mtu": 1400,
	"routes": []fields{{"to": "192.0.2.0/24", "via": "10.11.12.7"}},
}

const (
	mac     = "02:16:3e:11:12:05" // of web
	address = "10.11.12.5"
)

// webUUID is web's, and ec2ID what EC2's words make of it.
var webUUID = world.UUIDOf("web")

const ec2ID = "i-dadb9fc0b715e0e74"

const password = "Tr0ub4dor & 3"

// web is the app that most guests are of.
func (s *scene) web() fields {
	return fields{
		"name": "web", "uuid": webUUID, "runtime": "vm", "cloudInitVersion": 1,
		"hostname": "web-1", "domain": "blue.example.com",
		"sshKeys":    []fields{{"name": "operator", "key": s.public}},
		"vendorData": "#!/bin/sh\nmkdir -p /etc/guest\necho sold by blue >> /etc/guest/vendor\n", "userData": userData("I am web"),
		"adapters": []fields{{"name": "eth0", "network": "blue", "mac": mac, "ipv4": address}},
	}
}

// userData makes the guest write what it is told, and run a script that says for which instance it does so. Host keys of
// other kinds take an emulated guest long.
func userData(text string) string {
	return `#cloud-config
ssh_genkeytypes: [ed25519]
write_files:
- path: /etc/guest/written
  content: "` + text + `\n"
runcmd:
- echo "script of $(cat /var/lib/cloud/data/instance-id)" >> /etc/guest/runs
`
}

// becomes is what web's guest becomes where it is told all that there is to tell: its fixed address as such.
func (s *scene) becomes(datasource, instance string) *report.State {
	return &report.State{
		Datasource: datasource, Status: "done",
		InstanceID: instance, Hostname: "web-1", FQDN: "web-1.blue.example.com",
		Keys:   authorized(s.public),
		Cards:  map[string]report.Card{mac: {MTU: 1400, Addresses: []string{address + "/24"}}},
		Routes: []string{"192.0.2.0/24 via 10.11.12.7", "default via 10.11.12.1"},
		DNS:    []string{"10.11.12.1"}, Search: []string{"blue.example.com"},
		Files: map[string]string{
			"vendor": "sold by blue\n", "written": "I am web\n", "runs": "script of " + instance + "\n",
		},
	}
}

// overDHCP is what differs where the guest has what it has from DHCP: the route to the server is told as well, and networkd
// asks for no domain.
func overDHCP(w *report.State) *report.State {
	w.Routes = append([]string{"169.254.169.254 via 10.11.12.1"}, w.Routes...)
	w.FQDN, w.Search = w.Hostname, nil
	return w
}

// applied is what differs where cloud-init 22.4 configures the network once it is up: netplan warns of the rights that
// cloud-init gives its file.
func applied(w *report.State) *report.State {
	w.Complaints = append(w.Complaints, netplanWarns)
	return w
}

const netplanWarns = "activators.py[WARNING]: Running ['netplan', 'apply'] resulted in stderr output: "

// withoutVendor is what differs where there is no vendor data.
func withoutVendor(w *report.State) *report.State {
	delete(w.Files, "vendor")
	return w
}

// authorized are the keys that let the operator log in: as Debian's own user, and as root to be told to log in as that.
func authorized(public string) map[string][]string {
	const refused = `no-port-forwarding,no-agent-forwarding,no-X11-forwarding,command="echo 'Please login as the user \"debian\" ` +
		`rather than the user \"root\".';echo;sleep 10;exit 142" `
	return map[string][]string{"debian": {public}, "root": {refused + public}}
}

// datasource is a way by which web's guest finds its metadata.
type datasource struct {
	name    string
	image   string
	address string // at which one logs in, "" for the usual one
	app     fields // beside those of web
	net     fields // beside those of blue
	launch  func([]string) []string
	files   map[string]string // of the guest's, other than the image's
	wants   func(*scene) *report.State
	then    func(*testing.T, *scene, *guest) // what more there is to see, while it runs
	broken  tampering                        // which it notices; the drives' are noticed by shellGuests
}

// boots is a scenario with one boot.
func (d datasource) boots(t *testing.T, binary string) {
	s, g := d.scene(t, binary)
	check(t, d.wants(s), g.boot())
	if t.Failed() {
		return
	}
	s.mayLogIn(g, cmp.Or(d.address, address))
	if d.then != nil {
		d.then(t, s, g)
	}
}

// scene is the service on one network with one app, and the app's guest.
func (d datasource) scene(t *testing.T, binary string) (*scene, *guest) {
	t.Helper()
	s := newScene(t, binary)
	s.network(blue.merged(d.net))
	s.app(s.web().merged(d.app))
	s.Start()
	g := s.guest("web", d.image)
	g.files = d.files
	if d.launch != nil {
		g.launch = func() ([]string, []*os.File) { return s.openTaps("web", d.launch(s.launch("web"))) }
	}
	return s, g
}

// noticed is a scenario in which the guest is told something wrong, which it has to become.
func (d datasource) noticed(t *testing.T, tampered string) {
	s, g := d.scene(t, d.broken.by(t, tampered))
	if diff := differs(d.wants(s), g.boot()); diff == "" {
		t.Errorf("the guest is as it should be, although %+v", d.broken)
	} else {
		t.Logf("as it should, the guest differs (-want +got):\n%s", diff)
	}
}

// datasources are all ways but overIPv6.
func datasources() []datasource {
	return []datasource{
		{
			name: "nocloud-disk", image: image.Debian12, app: fields{"metadataType": "drive", "userData": largeText()}, launch: asDisk,
			wants: func(s *scene) *report.State {
				return s.becomes("DataSourceNoCloud [seed=/dev/vdb][dsmode=net]", webUUID+"/1")
			},
			then: func(_ *testing.T, _ *scene, g *guest) { g.checkUserData(largeText()) },
		},
		{
			name: "configdrive", image: image.Debian12,
			app: fields{
				"metadataType": "configdrive", "userData": mimeText, "files": []fields{{"path": "/etc/guest/injected", "text": "by the drive\n"}},
				// Of two scripts cloud-init runs the second alone: it writes both into one file.
				"vendorData2": "#cloud-config\nbootcmd: ['mkdir -p /etc/guest && echo sold by green > /etc/guest/vendor2']\n",
			},
			wants: func(s *scene) *report.State {
				w := s.becomes("DataSourceConfigDrive [net,ver=2][source=/dev/sr0]", webUUID+"/1")
				w.Files["injected"] = "by the drive\n"
				w.Files["vendor2"] = "sold by green\n"
				return w
			},
		},
		{
			name: "openstack-dhcp", image: image.Debian12,
			app: fields{
				"metadataType": "openstack", "userData": nil, "userDataBase64": base64.StdEncoding.EncodeToString(gzipped()),
				"adapters": []fields{{"name": "eth0", "network": "blue", "mac": mac, "ipv4": "dhcp"}},
			},
			then: func(_ *testing.T, _ *scene, g *guest) { g.checkUserData(string(gzipped())) },
			net:  fields{"dhcpRange": fields{"start": address, "end": address}},
			wants: func(s *scene) *report.State {
				return overDHCP(s.becomes("DataSourceOpenStackLocal [net,ver=2]", webUUID+"/1"))
			},
			broken: tampering{"openstack", "/network_data.json", `"links":[{`, `"links":[],"no":[{`},
		},
		{
			name: "ec2-optional", image: image.Debian12,
			app: fields{"metadataType": "openstack", "datasource": "ec2", "userData": script},
			net: fields{"tokens": "optional"}, launch: plainMachine,
			files: map[string]string{"/etc/cloud/cloud.cfg.d/90_ec2.cfg": "datasource_list: [Ec2]\ndatasource: {Ec2: {strict_id: false}}\n"},
			wants: func(s *scene) *report.State {
				return applied(withoutVendor(overDHCP(s.becomes("DataSourceEc2", ec2ID))))
			},
			broken: tampering{"ec2", "/public-keys/0/openssh-key", "ssh-ed25519 ", "ssh-none "},
		},
		{
			name: "ec2-required", image: image.Debian13,
			app: fields{"metadataType": "openstack", "datasource": "ec2"}, net: fields{"tokens": "required"},
			wants: func(s *scene) *report.State {
				return withoutVendor(overDHCP(s.becomes("DataSourceEc2Local", ec2ID)))
			},
		},
		{
			name: "nocloud-http", image: image.Debian12, app: fields{"metadataType": "openstack", "datasource": "nocloud"},
			wants: func(s *scene) *report.State {
				return applied(overDHCP(s.becomes("DataSourceNoCloudNet [seed=dmi,http://169.254.169.254/nocloud/][dsmode=net]", webUUID+"/1")))
			},
			broken: tampering{"nocloud", "/vendor-data", "blue", "green"},
		},
		{
			name: "cloudstack", image: image.Debian12,
			app: fields{"metadataType": "openstack", "datasource": "cloudstack", "password": password},
			wants: func(s *scene) *report.State {
				return applied(withoutVendor(overDHCP(s.becomes("DataSourceCloudStack", webUUID+"/1"))))
			},
			then:   hasPassword,
			broken: tampering{"cloudstack", "/public-keys", "ssh-ed25519 ", "ssh-none "},
		},
		{
			name: "drive-and-openstack", image: image.Debian12, launch: alsoOpenStack,
			app: fields{"metadataType": "drive", "userData": nil, "userDataBase64": base64.StdEncoding.EncodeToString(noise())},
			wants: func(s *scene) *report.State {
				w := s.becomes("DataSourceNoCloud [seed=/dev/sr0][dsmode=net]", webUUID+"/1")
				w.Files = map[string]string{"vendor": "sold by blue\n"}
				w.Complaints = []string{noiseUnhandled}
				return w
			},
			then: func(_ *testing.T, _ *scene, g *guest) { g.checkUserData(string(noise())) },
		},
	}
}

// overIPv6 is OpenStack's metadata in a network without IPv4. No Debian finds it by itself: cloud-init 22.4 asks over IPv4
// alone, and of 25.1's address, fe80::a9fe:a9fe on a card, Debian 13's requests makes a name that nobody knows. An image that
// is for such networks says where to ask. It asks for DHCPv4 before, and for EC2's tree at the IPv4 address, whatever the
// network, and complains that nobody answered.
func overIPv6() datasource {
	return datasource{
		name: "openstack-ipv6", image: image.Debian12, address: "fd00:11:12::5",
		app:   fields{"metadataType": "openstack", "adapters": []fields{{"name": "eth0", "network": "blue", "mac": mac, "ipv6": "fd00:11:12::5"}}},
		net:   fields{"subnet": "fd00:11:12::/64", "routes": nil},
		files: map[string]string{"/etc/cloud/cloud.cfg.d/90_ipv6.cfg": "datasource: {OpenStack: {metadata_urls: ['http://[fd00:ec2::254]']}}\n"},
		wants: func(s *scene) *report.State {
			w := s.becomes("DataSourceOpenStack [net,ver=2]", webUUID+"/1")
			w.Cards[mac] = report.Card{MTU: 1400, Addresses: []string{"fd00:11:12::5/64"}}
			w.Routes, w.DNS = []string{"default via fd00:11:12::1"}, []string{"fd00:11:12::1"}
			w.Complaints = []string{
				"util.py[WARNING]: Getting data from <class 'cloudinit.sources.DataSourceOpenStack.DataSourceOpenStackLocal'> failed",
				"util.py[WARNING]: Failed fetching meta-data/ from url http://169.254.169.254/latest/meta-data/", netplanWarns,
			}
			return w
		},
	}
}

const script = `#!/bin/sh
mkdir -p /etc/guest
echo I am web > /etc/guest/written
echo "script of $(cat /var/lib/cloud/data/instance-id)" >> /etc/guest/runs
`

// hasPassword holds that the guest's user has the password, and that the guest has told the service that it has it.
func hasPassword(t *testing.T, s *scene, g *guest) {
	t.Helper()
	shadow, err := os.ReadFile(filepath.Join(g.report, "etc/shadow"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(shadow)) {
		fields := strings.Split(line, ":")
		if fields[0] != "debian" {
			continue
		}
		out, err := exec.CommandContext(t.Context(), "perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, fields[1]).Output()
		if err != nil {
			t.Fatal(err)
		}
		if string(out) != fields[1] {
			t.Errorf("the guest's user has another password: %q is %q", password, out)
		}
	}
	reports := world.Published(s.World, msrvreport.Topic())
	if len(reports) != 1 || reports[0].AppUUID.String() != webUUID || reports[0].Subject != "cloudstack-password" {
		t.Errorf("the guest has reported %+v, want that it has its password", reports)
	}
}
