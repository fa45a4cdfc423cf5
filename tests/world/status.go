// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/msrv/drive"
	"github.com/lf-edge/eve-metadata/nim"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
	"github.com/lf-edge/eve-metadata/pkg/topics"
)

// Apps returns the state of the apps' adapters by the apps' names.
func (w *World) Apps() map[string]eve.AppNetworkStatus {
	w.T.Helper()
	apps := make(map[string]eve.AppNetworkStatus)
	for _, app := range Published(w, topics.Own().AppStatus) {
		apps[app.DisplayName] = app
	}
	return apps
}

// Network returns the state of an app network.
func (w *World) Network(name string) eve.NetworkInstanceStatus {
	w.T.Helper()
	for _, network := range Published(w, topics.Own().NetworkStatus) {
		if network.NetworkInstanceConfig.DisplayName == name {
			return network
		}
	}
	w.T.Fatalf("nothing is published of network %s", name)
	panic("not reached")
}

// NetworkError says in which way a network's error is not one with such a text, or, for "", that it has one.
func (w *World) NetworkError(network, text string) error {
	w.T.Helper()
	if got := w.Network(network).ErrorAndTime.Error; (got == "") != (text == "") || !strings.Contains(got, text) {
		return fmt.Errorf("error of network %s is %q, want one with %q", network, got, text)
	}
	return nil
}

// Port returns the state of an app's adapter, as soon as that is there and has an address.
func (w *World) Port(app, adapter string) (port eve.AppNetAdapterStatus) {
	w.T.Helper()
	w.Await("port of "+app, func() error {
		for _, port = range w.Apps()[app].AppNetAdapterList {
			if port.Name == adapter && port.VifUsed != "" && len(Addresses(port)) > 0 {
				return nil
			}
		}
		return errors.New("there is none")
	})
	return port
}

// Addresses are those that an adapter was given, of IPv4 first.
func Addresses(port eve.AppNetAdapterStatus) (all []string) {
	for _, a := range slices.Concat(port.AssignedAddresses.IPv4Addrs, port.AssignedAddresses.IPv6Addrs) {
		all = append(all, a.Address.String())
	}
	return all
}

// NamespaceOf is the namespace of an adapter's network.
func (w *World) NamespaceOf(port eve.AppNetAdapterStatus) string {
	return nim.NamespacePath(w.Root, port.Network.String())
}

// Published returns all that a topic has.
func Published[T any](w *World, topic pubsub.Topic[T]) (values []T) {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(w.T.Context(), Patience)
	defer cancel()
	synced := false
	err := pubsub.Subscribe(ctx, &socket.Driver{Root: w.Root}, topic, func(e pubsub.Event[T]) {
		switch e.Kind {
		case pubsub.Create, pubsub.Modify:
			values = append(values, e.Value)
		case pubsub.Synced:
			synced = true
			cancel()
		}
	})
	if err != nil || !synced {
		w.T.Fatalf("read %s: %v", topic.Name(), errors.Join(err, context.Cause(ctx)))
	}
	return values
}

// Drive returns the image of an app's drive; nil when it has none.
func (w *World) Drive(uuid string) []byte {
	w.T.Helper()
	image, err := os.ReadFile(drive.Path(msrv.Drives(w.Root), uuid))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.T.Fatal(err)
	}
	return image
}

// OnDrive returns a file of an app's drive, as libarchive reads it.
func (w *World) OnDrive(uuid, file string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(w.T.Context(), Patience)
	defer cancel()
	return exec.CommandContext(ctx, "bsdtar", "-xOf", drive.Path(msrv.Drives(w.Root), uuid), file).Output()
}
