// SPDX-License-Identifier: Apache-2.0

package eden_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-api/go/certs"
	"github.com/lf-edge/eve-api/go/config"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
	"github.com/lf-edge/eve-metadata/tests/controller"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// serial is the node's serial number.
const serial = "S1"

// node is what eden's programs act on: a controller, what it says, the service that runs on that, and guests.
//
// Programs come one at a time (mu), as eden changes the configuration as a whole; those that only wait or look do not.
type node struct {
	t       testing.TB
	began   time.Time
	name    string // of the scenario
	world   *world.World
	machine *world.Machine
	ctrl    *controller.Controller
	folder  string // for sockets, and for what guests keep, by app
	key     string // path of the private key by which images of containers let one in

	mu     sync.Mutex
	config *config.EdgeDevConfig // that the controller gives
	ids    map[certs.ZCertType]controller.Identity
	plain  map[string]string // user data that is encrypted, in base64, by app's UUID

	guestsMu sync.Mutex
	guests   map[string]*guest // by app's UUID
}

// newNode makes one that has joined its controller and has nothing to do yet. key is the private key that is in images of containers.
func newNode(t testing.TB, binary, key string) *node {
	t.Helper()
	n := &node{
		t: t, began: time.Now(), key: key, name: t.Name()[strings.LastIndex(t.Name(), "/")+1:], world: world.New(t, binary, nil),
		machine: world.NewMachine(t), folder: shortFolder(t), guests: make(map[string]*guest), plain: make(map[string]string), config: &config.EdgeDevConfig{
			DeviceName: "hall7-node2", ProjectName: "plant-a", ProjectId: world.UUIDOf("plant-a"), EnterpriseName: "Example GmbH", EnterpriseId: "ent-42",
		},
	}
	t.Cleanup(n.keepFailed)
	t.Cleanup(n.stopGuests)
	// Networks leave by it, as eden's do; there is nobody beyond.
	n.machine.Sh("ip link add eth0 type veth peer name nobody; ip address add 192.0.2.5/24 dev eth0; ip link set eth0 up; ip link set nobody up")
	// On EVE these are one folder.
	world.Must(t, os.MkdirAll(filepath.Join(n.world.Root, "run"), 0o755), os.MkdirAll(filepath.Join(n.world.Root, "var"), 0o755),
		os.Symlink("../run", filepath.Join(n.world.Root, "var/run")))
	n.ctrl = controller.Start(t, controller.Config{Listen: n.listen})
	n.ids = map[certs.ZCertType]controller.Identity{
		certs.ZCertType_CERT_TYPE_CONTROLLER_SIGNING:       n.ctrl.PKI().Signing,
		certs.ZCertType_CERT_TYPE_CONTROLLER_ECDH_EXCHANGE: n.ctrl.PKI().Encrypt,
	}
	files := t.TempDir()
	if err := n.ctrl.Provision(files, serial); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(files, "config", name) }
	n.world.StartWhile(n.join, n.machine.Program(binary), "--source", "controller", "--server", n.ctrl.Addr(), "--interval", "500ms",
		"--device-cert", in("device.cert.pem"), "--device-key", in("device.key.pem"), "--root-ca", in("root-certificate.pem"),
		"--onboard-cert", in("onboard.cert.pem"), "--onboard-key", in("onboard.key.pem"), "--serial", serial)
	n.progress("the node has joined")
	return n
}

// listen is where the controller listens: on the node, which has no other network than its apps'.
func (n *node) listen() (l net.Listener, err error) {
	err = n.machine.Do(func() error {
		l, err = new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:443")
		return err
	})
	return l, err
}

// join waits for the device, and gives it a configuration without anything in it.
func (n *node) join() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), world.Patience)
	defer cancel()
	if _, _, err := n.ctrl.Wait(ctx, 0, controller.Attest, http.StatusCreated); err != nil {
		n.t.Fatal(err)
	}
	if err := n.apply(); err != nil {
		n.t.Fatal(err)
	}
}

// apply has the controller give the configuration as it is now.
func (n *node) apply() error {
	n.config.Id = nil // the controller's to say
	return n.ctrl.SetConfig(uuid.Nil, clone(n.config))
}

// shortFolder is a folder for sockets, whose paths may have some hundred bytes only.
func shortFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "eden-") //nolint:usetesting // the names of tests are in its folders' paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// published returns all that a topic has.
func published[T any](ctx context.Context, n *node, topic pubsub.Topic[T]) (values map[string]T, err error) {
	values = make(map[string]T)
	ctx, cancel := context.WithTimeout(ctx, world.Patience)
	defer cancel()
	synced := false
	err = pubsub.Subscribe(ctx, &socket.Driver{Root: n.world.Root}, topic, func(e pubsub.Event[T]) {
		switch e.Kind {
		case pubsub.Create, pubsub.Modify:
			values[e.Key] = e.Value
		case pubsub.Synced:
			synced = true
			cancel()
		}
	})
	if err != nil || !synced {
		return nil, fmt.Errorf("read %s: %w", topic.Name(), errors.Join(err, context.Cause(ctx)))
	}
	return values, nil
}

// await returns when ok does not object any more, or, with its last objection, when ctx is done.
func await(ctx context.Context, what string, ok func() error) error {
	tick := time.NewTicker(10 * world.Glance)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %w", what, context.Cause(ctx), err)
		}
	}
}

// deviceCert is the certificate that user data is encrypted for.
func (n *node) deviceCert() ([]byte, error) {
	for _, d := range n.ctrl.Devices() {
		for _, cert := range d.Certs {
			if cert.GetType() == certs.ZCertType_CERT_TYPE_DEVICE_ECDH_EXCHANGE {
				return bytes.Clone(cert.GetCert()), nil
			}
		}
	}
	return nil, errors.New("the device has not brought a certificate to encrypt for")
}

// blocks is the topic with the states of the apps' encrypted user data.
func blocks() pubsub.Topic[eve.CipherBlockStatus] {
	return pubsub.TopicOf[eve.CipherBlockStatus](eve.AgentServe)
}

// keepFailed keeps what people need who look for why a scenario failed: consoles and the service's log.
func (n *node) keepFailed() {
	to, err := filepath.Abs(filepath.Join(cache, "failed", n.name))
	if err == nil {
		err = os.RemoveAll(to)
	}
	if err != nil {
		n.t.Error(err)
	}
	if !n.t.Failed() {
		n.progress("all is well, or left out")
		return
	}
	err = filepath.WalkDir(n.folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() != "console.log" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return keep(filepath.Join(to, filepath.Base(filepath.Dir(path)), "console.log"), text)
	})
	if err := errors.Join(err, keep(filepath.Join(to, "service.log"), []byte(n.world.Journal.String()))); err != nil {
		n.t.Error(err)
	}
	n.progress("failed; consoles and the service's log are in %s", to)
}

func keep(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

var progressing sync.Mutex

// progress tells people who wait how far a scenario is.
func (n *node) progress(format string, args ...any) {
	progressing.Lock()
	defer progressing.Unlock()
	fmt.Fprintf(os.Stderr, "%s %5.0f s  %-16s %s\n", time.Now().Format(time.TimeOnly), time.Since(n.began).Seconds(), n.name, fmt.Sprintf(format, args...))
}
