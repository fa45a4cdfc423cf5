// SPDX-License-Identifier: Apache-2.0

package eden_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/lf-edge/eve-api/go/config"

	"github.com/lf-edge/eve-metadata/msrv/launch"
	"github.com/lf-edge/eve-metadata/nim"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/topics"
	"github.com/lf-edge/eve-metadata/tests/guest/image"
	"github.com/lf-edge/eve-metadata/tests/guest/machine"
)

// guest is an app's. Its disk stays from boot to boot.
type guest struct {
	image *image.Image
	boots int
	on    *machine.Machine // nil while it is stopped
}

// running tells whether it does.
func (g *guest) running() bool {
	if g == nil || g.on == nil {
		return false
	}
	select {
	case <-g.on.Ended():
		return false
	default:
		return true
	}
}

// imageOf is the image that stands for one that eden was told to deploy. Those of containers have the key by which guests let
// one in; those of machines are as Debian makes them.
func (n *node) imageOf(link string) (*image.Image, error) {
	scheme, rest, ok := strings.Cut(link, "://")
	name := image.Debian12
	switch {
	case !ok:
		return nil, fmt.Errorf("%q has no scheme", link)
	case scheme == "docker":
	case scheme != "file" && scheme != "http" && scheme != "https":
		return nil, fmt.Errorf("the runner has no image for the scheme %q", scheme)
	case strings.Contains(rest, "debian-13"):
		name = image.Debian13
	case !strings.Contains(rest, "debian-12"):
		return nil, fmt.Errorf("the runner has images of debian-12 and debian-13, and none for %q", link)
	}
	i, err := image.Get(context.Background(), cache, name, os.Stderr)
	if err != nil || scheme != "docker" {
		return i, err
	}
	key, err := os.ReadFile(n.key + ".pub")
	if err != nil {
		return nil, err
	}
	with := *i
	// systemd makes /root/.ssh/authorized_keys of it (systemd.system-credentials(7)).
	with.Append += fmt.Sprintf(" \"systemd.set_credential=ssh.authorized_keys.root:%s\"", bytes.TrimSpace(key))
	return &with, nil
}

// start boots the guest of an app, as soon as the service has said all that it is to be started with.
func (n *node) start(ctx context.Context, app *config.AppInstanceConfig) error {
	n.guestsMu.Lock()
	g := n.guests[app.GetUuidandversion().GetUuid()]
	n.guestsMu.Unlock()
	var args []string
	err := await(ctx, "what the guest of "+app.GetDisplayname()+" is started with", func() (err error) {
		args, err = n.launch(ctx, app)
		return err
	})
	if err != nil {
		return err
	}
	args, files, err := machine.OpenTaps(args, func(tap string) (string, error) { return n.namespaceOfTap(ctx, tap) })
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range files {
			_ = f.Close() // QEMU has its own
		}
	}()
	g.boots++
	boot := g.boots
	on, err := machine.Start(ctx, machine.Config{
		Image: g.image, Dir: filepath.Join(n.folder, app.GetDisplayname()), Args: args, Files: files, Silent: true,
		Stage: func(stage string) { n.progress("%s, boot %d: %s", app.GetDisplayname(), boot, stage) },
	})
	if err != nil {
		return err
	}
	n.guestsMu.Lock()
	defer n.guestsMu.Unlock()
	g.on = on
	return nil
}

// launch returns the arguments of QEMU's that the service publishes for an app. The error is what is still missing: taps, or the
// drive, where there will be one.
func (n *node) launch(ctx context.Context, app *config.AppInstanceConfig) ([]string, error) {
	id := app.GetUuidandversion().GetUuid()
	all, err := published(ctx, n, launch.Topic())
	if err != nil {
		return nil, err
	}
	l, ok := all[id]
	if !ok {
		return nil, errors.New("nothing is said of it")
	}
	taps := 0
	for _, arg := range l.QEMU {
		if machine.TapOf(arg) != "" {
			taps++
		}
	}
	if taps != len(app.GetInterfaces()) {
		return nil, fmt.Errorf("it has %d taps, and %d adapters", taps, len(app.GetInterfaces()))
	}
	if l.Drive == "" && app.GetMetaDataType() == config.MetaDataType_MetaDataDrive {
		states, err := published(ctx, n, blocks())
		if err != nil {
			return nil, err
		}
		if states[id].Error == "" {
			return nil, errors.New("it has no drive, and no reason for that")
		}
	}
	return l.QEMU, nil
}

// namespaceOfTap is the network namespace that a tap is in.
func (n *node) namespaceOfTap(ctx context.Context, tap string) (path string, err error) {
	apps, err := published(ctx, n, topics.Own().AppStatus)
	if err != nil {
		return "", err
	}
	for _, app := range apps {
		for _, port := range app.AppNetAdapterList {
			if port.VifUsed == tap {
				return n.namespace(port), nil
			}
		}
	}
	return "", errors.New("it is in no network")
}

// namespace is that of an adapter's network.
func (n *node) namespace(port eve.AppNetAdapterStatus) string {
	return nim.NamespacePath(n.world.Root, port.Network.String())
}

// shutdown has an app's guest end by itself, as EVE does: what it has written last is on its disk then.
func (n *node) shutdown(ctx context.Context, id string) error {
	if on := n.takeOff(id); on != nil {
		return on.Shutdown(ctx)
	}
	return nil
}

// cut cuts the power of an app's guest, whose disk is of no use any more.
func (n *node) cut(id string) error {
	if on := n.takeOff(id); on != nil {
		return on.Stop()
	}
	return nil
}

// takeOff returns the machine that an app's guest runs on, for whoever ends it; nil for none.
func (n *node) takeOff(id string) *machine.Machine {
	n.guestsMu.Lock()
	defer n.guestsMu.Unlock()
	g := n.guests[id]
	if g == nil {
		return nil
	}
	on := g.on
	g.on = nil
	return on
}

// stopGuests stops all guests, at the end.
func (n *node) stopGuests() {
	for id := range n.guests {
		if err := n.cut(id); err != nil {
			n.t.Error(err)
		}
	}
}
