// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/lf-edge/eve-metadata/pkg/feed/controller"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// controllerOptions are the flags of the feed of a controller.
type controllerOptions struct {
	server                  string
	api                     int
	deviceCert, deviceKey   string
	rootCA, tlsRoot         string
	onboardCert, onboardKey string
	serial, softSerial      string
	interval                time.Duration
}

// texts are the flags that are a text, by name.
func (o *controllerOptions) texts() []struct {
	name  string
	value *string
	usage string
} {
	return []struct {
		name  string
		value *string
		usage string
	}{
		{"server", &o.server, "the controller: host, host:port or https URL (default: what config/server below --root says)"},
		{"device-cert", &o.deviceCert, "the device's certificate, PEM (default: config/device.cert.pem below --root)"},
		{"device-key", &o.deviceKey, "its key (default: config/device.key.pem below --root, or the TPM's where there is none)"},
		{"root-ca", &o.rootCA, "roots that the controller's certificates lead to, PEM (default: config/root-certificate.pem below --root)"},
		{"tls-root", &o.tlsRoot, "more roots, for the server's certificate alone, as a proxy's"},
		{"onboard-cert", &o.onboardCert, "onboarding certificate, PEM, with which the device registers if the controller does not know it"},
		{"onboard-key", &o.onboardKey, "its key"},
		{"serial", &o.serial, "the device's serial number, as the controller expects it at the registration"},
		{"soft-serial", &o.softSerial, "its serial number in software, likewise"},
	}
}

func (o *controllerOptions) flags(cmd *cobra.Command) {
	for _, f := range o.texts() {
		cmd.Flags().StringVar(f.value, f.name, "", f.usage)
	}
	cmd.Flags().IntVar(&o.api, "api", controller.V2, "version of the controller's API: 2, or 1")
	cmd.Flags().DurationVar(&o.interval, "interval", controller.DefaultInterval, "how often to ask the controller at most, unless the configuration says so")
}

// isSet tells whether one of the flags has a value of its own.
func (o *controllerOptions) isSet() bool {
	for _, f := range o.texts() {
		if *f.value != "" {
			return true
		}
	}
	return false
}

// args are the flags as another process of this program takes them.
func (o *controllerOptions) args() []string {
	args := []string{"--api", strconv.Itoa(o.api), "--interval", o.interval.String()}
	for _, f := range o.texts() {
		args = append(args, "--"+f.name, *f.value)
	}
	return args
}

// newFeed makes the feed; group may read the key that user data is decrypted with, 0 for nobody.
func (o *controllerOptions) newFeed(root string, group int, driver pubsub.Driver, log *logrus.Logger) (*controller.Feed, error) {
	server, err := o.serverOf(root)
	if err != nil {
		return nil, err
	}
	feed, err := controller.New(controller.Config{
		Driver: driver, Log: log, Root: root, Group: group, Server: server, API: o.api,
		DeviceCert: o.deviceCert, DeviceKey: o.deviceKey, RootCA: o.rootCA, TLSRoot: o.tlsRoot,
		OnboardCert: o.onboardCert, OnboardKey: o.onboardKey, Serial: o.serial, SoftSerial: o.softSerial,
		Interval: o.interval,
	})
	if err != nil {
		return nil, usageError{err}
	}
	return feed, nil
}

// serverOf is the controller that was named, or the one that a device's configuration names.
func (o *controllerOptions) serverOf(root string) (string, error) {
	if o.server != "" {
		return o.server, nil
	}
	path := filepath.Join("/", root, "config/server")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", usageError{fmt.Errorf("no controller: give --server, or put its name into %s", path)}
	}
	if err != nil {
		return "", fmt.Errorf("find the controller: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// controllerFeedOptions are the flags of `feed controller`.
type controllerFeedOptions struct {
	controllerOptions
	process
	readers
}

func newControllerFeedCommand() *cobra.Command {
	var o controllerFeedOptions
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Run the feed of an EVE controller alone: its configuration becomes topics",
		Long: `controller is a device to an EVE controller: it fetches the configuration, as EVE does, and publishes what it says of
apps and networks, with the certificates that user data is decrypted with, until it gets SIGINT or SIGTERM.

What does not bear the controller's signature, or cannot be understood, is refused, and what was in force stays. It is said
once in the log, and in the topic ControllerStatus. The last good configuration is kept below --root, in persist/mdfeed,
and verified again at the start, for when the controller is away.

A device without a certificate of its own for encryption gets one, in persist/certs below --root.`,
		Example: `  eve-metadata feed controller --server controller.example.com --device-cert device.pem --device-key device-key.pem --root-ca root.pem
  sudo eve-metadata feed controller --group eve-metadata`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.ErrOrStderr()) },
	}
	o.controllerOptions.flags(cmd)
	o.process.flags(cmd)
	o.readers.flags(cmd)
	return cmd
}

func (o *controllerFeedOptions) run(ctx context.Context, stderr io.Writer) error {
	log, err := o.start(stderr)
	if err != nil {
		return err
	}
	group, err := o.lookup()
	if err != nil {
		return err
	}
	feed, err := o.newFeed(o.root, group, newDriver(o.root, group, log), log)
	if err != nil {
		return err
	}
	return o.serve(ctx, feed, log)
}
