// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// lease is what a guest was told by DHCP, by the names that udhcpc has for it: "ip", "router", "dns", "lease".
type lease map[string]string

// leaseScript is run by udhcpc with what it was told in its environment.
const leaseScript = "#!/bin/sh\n[ \"$1\" != bound ] || env\n"

// askLease has a real DHCP client ask in a guest's namespace. What it is told configures nothing: the guest has its
// addresses already, and they have to be the same.
func (g guest) askLease(ctx context.Context, dir string) (lease, error) {
	script := filepath.Join(dir, "lease.sh")
	if err := os.WriteFile(script, []byte(leaseScript), 0o700); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	// In the foreground, quit when there is a lease, fail when there is none; all options that are shown.
	cmd := exec.CommandContext(ctx, "udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "10", "-T", "1", "-s", script,
		"-O", "search", "-O", "mtu", "-O", "staticroutes")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := errors.Join(g.Do(cmd.Start), cmd.Wait()); err != nil {
		return nil, fmt.Errorf("ask for a lease as %s: %w\n%s", g.name, err, &errs)
	}
	told := lease{}
	for line := range lines(out.String()) {
		if name, value, ok := strings.Cut(line, "="); ok {
			told[name] = value
		}
	}
	return told, nil
}

// resolver asks the DNS server that a guest was told of, from inside its namespace.
func (g guest) resolver(told lease) *net.Resolver {
	server, _, _ := strings.Cut(told["dns"], " ")
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return g.DialContext(ctx, network, net.JoinHostPort(server, "53"))
	}}
}

// names asks DNS what an address is called, and what has that name.
func (g guest) names(ctx context.Context, told lease) (name, address string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r := g.resolver(told)
	names, err := r.LookupAddr(ctx, told["ip"])
	if err != nil {
		return "", "", fmt.Errorf("ask DNS for %s as %s: %w", told["ip"], g.name, err)
	}
	addresses, err := r.LookupHost(ctx, names[0])
	if err != nil {
		return "", "", fmt.Errorf("ask DNS for %s as %s: %w", names[0], g.name, err)
	}
	slices.Sort(addresses) // they come in any order
	return strings.TrimSuffix(names[0], "."), strings.Join(addresses, " "), nil
}
