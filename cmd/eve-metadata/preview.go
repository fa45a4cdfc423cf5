// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/lf-edge/eve-metadata/msrv"
	"github.com/lf-edge/eve-metadata/msrv/instance"
	"github.com/lf-edge/eve-metadata/msrv/intake"
	"github.com/lf-edge/eve-metadata/nim"
	"github.com/lf-edge/eve-metadata/pkg/endpoint"
	"github.com/lf-edge/eve-metadata/pkg/feed"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
	"github.com/lf-edge/eve-metadata/pkg/task"
	"github.com/lf-edge/eve-metadata/pkg/topics"
)

// preview works out the instances that a source describes, as `run` would serve them, without
// privileges and without a trace: the same parts are wired together over a bus in memory, with a
// network manager that plans and makes nothing. Addresses that are not fixed may differ from those of
// a service that has been running for a while, which gives nobody's address away. A root whose secret
// can be read has its random seeds shown; otherwise there are none.
func preview(ctx context.Context, src source, root string) ([]*instance.Instance, error) {
	set, err := src.load()
	if err != nil {
		return nil, err
	}
	secret, err := readableSecret(root)
	if err != nil {
		return nil, err
	}
	log := logrus.New()
	log.SetOutput(io.Discard) // what is wrong with a config is part of what is shown
	driver := &memory.Driver{}
	publisher, err := feed.NewPublisher(driver)
	if err != nil {
		return nil, err
	}
	if err := publisher.Publish(set, true); err != nil {
		return nil, err
	}
	networks, err := nim.New(nim.Config{Driver: driver, Board: endpoint.NewBoard(), Log: log, DryRun: true})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	known := &collector{instances: make(map[string]*instance.Instance), done: cancel}
	instances := intake.New(intake.Config{
		Driver: driver, Topics: topics.Own(), Secret: secret, Architecture: runtime.GOARCH,
		Sink: known, Log: log,
	})
	if err := task.NewGroup("preview", networks, follower{instances, networks.Ready()}).Run(ctx); err != nil {
		return nil, err
	}
	if !known.synced {
		return nil, fmt.Errorf("preview: %w", context.Cause(ctx))
	}
	return slices.SortedFunc(maps.Values(known.instances), func(a, b *instance.Instance) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UUID, b.UUID))
	}), nil
}

// readableSecret is the device's secret where a service has made one and it may be read; nil otherwise.
func readableSecret(root string) ([]byte, error) {
	if _, err := os.ReadFile(filepath.Join(root, msrv.SecretFile)); err != nil {
		return nil, nil //nolint:nilerr // no service here, or not ours to look at: no seeds
	}
	return msrv.Secret(root)
}

// follower is an intake that starts when the networks have told all: its first state is then the whole.
type follower struct {
	*intake.Intake
	after <-chan struct{}
}

func (f follower) Run(ctx context.Context) error {
	select {
	case <-f.after:
		return f.Intake.Run(ctx)
	case <-ctx.Done():
		return nil
	}
}

// Ready is closed when the intake starts.
func (f follower) Ready() <-chan struct{} { return f.after }

// collector is a sink that keeps the instances and ends the preview when it has them all.
type collector struct {
	instances map[string]*instance.Instance // by UUID
	synced    bool
	done      context.CancelFunc
}

// Put keeps what is known of an instance; more may be known of it later.
func (c *collector) Put(i *instance.Instance) { c.instances[i.UUID] = i }

// Remove forgets an instance.
func (c *collector) Remove(uuid string) { delete(c.instances, uuid) }

// Complete has nothing to do: the preview keeps nothing about apps that are gone.
func (c *collector) Complete(func(uuid string) bool) {}

// Synced ends the preview.
func (c *collector) Synced() {
	c.synced = true
	c.done()
}

// find picks the instance that an argument names: its name, its hostname or its UUID.
func find(instances []*instance.Instance, name string) (*instance.Instance, error) {
	var found []*instance.Instance
	for _, i := range instances {
		if i.UUID == strings.ToLower(name) {
			return i, nil
		}
		if i.Name == name || i.Hostname == name {
			found = append(found, i)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		names := make([]string, len(instances))
		for k, i := range instances {
			names[k] = i.Name
		}
		return nil, fmt.Errorf("no instance %q; there are: %s", name, cmp.Or(strings.Join(names, ", "), "none"))
	}
	return nil, errors.New("several instances are called " + name + "; name one by its UUID")
}
