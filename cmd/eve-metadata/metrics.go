// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lf-edge/eve-metadata/pkg/task"
)

// metrics serves the process's counters to the operator, at /metrics in Prometheus' format. Its socket is
// in the host's network namespace, where no guest of ours is. It is a task.Task.
type metrics struct {
	address  string // "host:port", or the path of a unix socket
	registry *prometheus.Registry
	listener net.Listener // nil until open was called
	ready    task.Ready
}

// newMetrics makes a registry with what is known of the process itself.
func newMetrics(address string) *metrics {
	m := &metrics{address: address, registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// String names the task.
func (m *metrics) String() string { return "metrics on " + m.address }

// Ready is closed when the socket is open.
func (m *metrics) Ready() <-chan struct{} { return m.ready.Done() }

// open opens the socket, which a process that is confined can not any more.
func (m *metrics) open(ctx context.Context) (err error) {
	if m.listener, err = m.listen(ctx); err != nil {
		return fmt.Errorf("--metrics: %w", err)
	}
	return nil
}

// Run serves until ctx ends. An error says that the socket cannot be opened.
func (m *metrics) Run(ctx context.Context) error {
	if m.listener == nil {
		if err := m.open(ctx); err != nil {
			return err
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // what a scrape in flight misses is no loss
	defer stop()
	m.ready.Set()
	if err := server.Serve(m.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

// listen opens the socket. A unix socket that nobody serves any more is replaced.
func (m *metrics) listen(ctx context.Context) (net.Listener, error) {
	network := "tcp"
	if strings.HasPrefix(m.address, "/") {
		network = "unix"
		if err := removeSocket(m.address); err != nil {
			return nil, err
		}
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, network, m.address)
}

// removeSocket removes the socket that a killed process left behind; anything else at its path stays.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and no socket", path)
	}
	return os.Remove(path)
}
