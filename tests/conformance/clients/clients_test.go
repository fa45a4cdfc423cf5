// SPDX-License-Identifier: Apache-2.0

// Package clients_test has cloud-init itself read what the built service serves.
//
// Purpose: what counts is what the client understood, not what we think that we said. Debian's
// cloud-init, with its own OpenStack, EC2 and NoCloud datasources, runs in each guest's network
// namespace against the running service, and on the drives that it wrote.
//
// Network: the embedded example. Two app networks have the same subnet; web and db have the same
// address in them; edge has an adapter in both.
//
// Phases: start the service; attach the guests; read with every datasource and compare; kill -9 the
// service, start it again, and compare once more.
package clients_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/nim"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
	"github.com/lf-edge/eve-metadata/tests/netns/guestns"
	"github.com/lf-edge/eve-metadata/tests/netns/sandbox"
	"github.com/lf-edge/eve-metadata/tests/program"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

// understood is what cloud-init understood: what testdata/read.py prints.
type understood struct {
	InstanceID       string   `json:"instance_id"`
	Hostname         string   `json:"hostname"`
	Keys             []string `json:"keys"`
	UserData         []byte   `json:"user_data"`
	VendorData       []byte   `json:"vendor_data"`
	AvailabilityZone string   `json:"availability_zone"`
	Version          any      `json:"version"`
	EC2              bool     `json:"ec2"`
	Network          any      `json:"network"`
	RandomSeed       string   `json:"random_seed"`
}

// world is the running service and its guests.
type world struct {
	binary, root string
	service      *program.Service
	guests       map[string]*guestns.Guest // by "app eth"
	adapters     map[string]eve.AppNetAdapterStatus
}

const (
	webID, dbID, edgeID = "5f0c2d4e-8a36-4c55-9c0e-2f6d1b7a9e01", "5f0c2d4e-8a36-4c55-9c0e-2f6d1b7a9e02", "5f0c2d4e-8a36-4c55-9c0e-2f6d1b7a9e03"
	key                 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAQ4zZQWo5UGiiQ5Stw9unr2/UZLr5yBwFrE5fsnWats operator@example.com"
)

func TestCloudInit(t *testing.T) {
	sandbox.Need(t)
	needCloudInit(t)
	w := &world{binary: program.Build(t), root: t.TempDir()}
	t.Cleanup(func() {
		if err := nim.Remove(context.Background(), w.root); err != nil {
			t.Error(err)
		}
	})
	w.start(t)
	w.attach(t)
	t.Run("started", w.read)
	if err := w.service.Kill(); err != nil {
		t.Fatal(err)
	}
	w.start(t)
	t.Run("killed and started again", w.read)
	if err := w.service.Stop(); err != nil {
		t.Errorf("stop service: %v", err)
	}
}

// needCloudInit fails the test where the client is not there, unless that was asked for.
func needCloudInit(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/usr/lib/python3/dist-packages/cloudinit"); err == nil {
		return
	}
	if os.Getenv("EVE_METADATA_SKIP_MISSING_TOOLS") == "1" {
		t.Skip("cloud-init is not installed")
	}
	t.Fatal("cloud-init is not installed: apt-get install cloud-init, or make test as root")
}

func (w *world) start(t *testing.T) {
	t.Helper()
	var log bytes.Buffer
	service, err := program.Start(t.Context(), &log, w.binary, w.root)
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	w.service = service
	t.Cleanup(func() {
		_ = service.Kill() // unless it has ended already
		if t.Failed() {
			t.Logf("log of the service:\n%s", &log)
		}
	})
}

// attach makes a guest of every adapter that there is.
func (w *world) attach(t *testing.T) {
	t.Helper()
	w.guests, w.adapters = make(map[string]*guestns.Guest), make(map[string]eve.AppNetAdapterStatus)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := pubsub.Subscribe(ctx, &socket.Driver{Root: w.root}, nim.AppStatusTopic(), func(e pubsub.Event[eve.AppNetworkStatus]) {
		if e.Kind == pubsub.Synced {
			cancel()
		}
		for _, a := range e.Value.AppNetAdapterList {
			name := e.Value.DisplayName + " " + a.Name
			g, err := guestns.New(filepath.Join(w.root, strings.ReplaceAll(name, " ", "-")), a, nim.NamespacePath(w.root, a.Network.String()))
			if err != nil {
				t.Errorf("attach %s: %v", name, err)
				continue
			}
			t.Cleanup(func() {
				if err := g.Close(); err != nil {
					t.Error(err)
				}
			})
			w.guests[name], w.adapters[name] = g, a
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(w.guests) != 4 {
		t.Fatalf("%d adapters in the example, want 4", len(w.guests))
	}
}

// read has cloud-init read everything that everybody has.
func (w *world) read(t *testing.T) {
	want := map[string]understood{
		"web": {
			InstanceID: webID + "/1", Hostname: "web.blue.example.com", Keys: []string{key},
			UserData: motd("I am web, in blue."), AvailabilityZone: "hall-7",
		},
		"db": {
			InstanceID: dbID + "/1", Hostname: "db.green.example.com", Keys: []string{key},
			UserData: motd("I am db, in green."), AvailabilityZone: "hall-7",
		},
		"edge": {
			InstanceID: edgeID + "/1", Hostname: "edge.blue.example.com", Keys: []string{key},
			UserData: motd("I am edge, in both."), AvailabilityZone: "hall-7",
		},
	}
	for guest := range w.guests {
		app, _, _ := strings.Cut(guest, " ")
		t.Run("openstack "+guest, func(t *testing.T) {
			t.Parallel()
			got := w.run(t, guest, "openstack", "-")
			compare(t, want[app], got)
			if fmt.Sprint(got.Version) != "2" || !got.EC2 {
				t.Errorf("version %v, EC2 tree read: %t; want version 2 with the EC2 tree", got.Version, got.EC2)
			}
			if seed, err := base64.StdEncoding.DecodeString(got.RandomSeed); err != nil || len(seed) < 64 {
				t.Errorf("random seed of %d bytes, %v", len(seed), err)
			}
			w.checkNetwork(t, app, got.Network)
		})
		t.Run("ec2 "+guest, func(t *testing.T) {
			t.Parallel()
			got := w.run(t, guest, "ec2", "-")
			if !strings.HasPrefix(got.InstanceID, "i-") {
				t.Errorf("instance-id %q does not begin as EC2's", got.InstanceID)
			}
			got.InstanceID = want[app].InstanceID
			compare(t, want[app], got)
		})
		t.Run("nocloud over HTTP "+guest, func(t *testing.T) {
			t.Parallel()
			compare(t, want[app], w.run(t, guest, "nocloud-net", "-"))
		})
	}
	t.Run("nocloud drive", func(t *testing.T) {
		t.Parallel()
		drives, err := filepath.Glob(filepath.Join(msrv.Drives(w.root), "*"))
		if err != nil || len(drives) != 1 || filepath.Base(drives[0]) != webID+".iso" {
			t.Fatalf("drives: %v, %v; want web's alone", drives, err)
		}
		got := w.run(t, "web eth0", "nocloud-drive", drives[0])
		compare(t, want["web"], got)
		w.checkNetwork(t, "web", got.Network)
	})
}

// run runs one of cloud-init's datasources in a guest's namespace.
func (w *world) run(t *testing.T, guest, datasource, image string) understood {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// The guest's own resolver configuration, in place of this machine's: cloud-init looks names up, to
	// see whether a name server lies. There is none in these networks, and after some quick refusals the
	// kernel limits the rate of the ICMP messages that say so.
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 10.11.12.1\noptions timeout:1 attempts:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{
		"-m", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, resolv,
		"/usr/bin/python3", "testdata/read.py", datasource, image,
	}
	app, _, _ := strings.Cut(guest, " ")
	for name, a := range w.adapters {
		if of, nic, _ := strings.Cut(name, " "); of == app {
			args = append(args, a.VifInfo.Mac.String()+"="+nic)
		}
	}
	cmd := w.guests[guest].Command(ctx, "unshare", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, &stderr)
	}
	var got understood
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return got
}

// compare compares what every datasource can tell.
func compare(t *testing.T, want, got understood) {
	t.Helper()
	got.Version, got.EC2, got.Network, got.RandomSeed = nil, false, nil, ""
	if len(got.VendorData) == 0 {
		got.VendorData = nil // an empty file is none
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what cloud-init understood (-want +got):\n%s", diff)
	}
}

// checkNetwork looks into cloud-init's network configuration for all adapters of the app.
func (w *world) checkNetwork(t *testing.T, app string, network any) {
	t.Helper()
	text, err := json.Marshal(network)
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range w.adapters {
		if of, _, _ := strings.Cut(name, " "); of != app {
			continue
		}
		if mac := a.VifInfo.Mac.String(); !bytes.Contains(text, []byte(mac)) {
			t.Errorf("no adapter %s in %s", mac, text)
		}
	}
	fixed := bytes.Contains(text, []byte("10.11.12.5"))
	if dhcp := bytes.Contains(text, []byte("dhcp")); app == "edge" && (!dhcp || fixed) || app != "edge" && !fixed {
		t.Errorf("network of %s: %s", app, text)
	}
}

// motd is the user data of the example.
func motd(text string) []byte {
	return []byte("#cloud-config\nwrite_files:\n  - path: /etc/motd\n    content: |\n      " + text + "\n")
}
