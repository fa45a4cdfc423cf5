// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/tests/world"
)

// tokens: a network says whether its guests need EC2's session tokens, which are worth nothing to others, and
// how far away an answer with one may be received; the operator, and no guest, can read how often they were
// missing.
//
// Network: open, strict and none have one policy each. alice and bob are neighbours in strict.
//
// Phases: ask in each network with and without a token; tell strict's answers by their packets; read the
// counters; change a policy.
func tokens(t *testing.T, binary string) {
	net := func(name, policy string) string { return world.NetYAML(name, "10.11.12.0/24") + policy }
	w := newScene(t, binary, map[string]string{
		"open.yaml":   net("open", ""),
		"strict.yaml": net("strict", "tokens: required\nhopLimit: 3\n"),
		"none.yaml":   net("none", "tokens: off\n"),
		"o.yaml":      world.AppYAML("olga", "open", "10.11.12.5"),
		"a.yaml":      world.AppYAML("alice", "strict", "10.11.12.5"),
		"b.yaml":      world.AppYAML("bob", "strict", "10.11.12.6"),
		"n.yaml":      world.AppYAML("nora", "none", "10.11.12.5"),
	})
	metrics := filepath.Join(t.TempDir(), "m")
	w.Start("--metrics", metrics)
	olga, alice, bob, nora := w.guest("olga"), w.guest("alice"), w.guest("bob"), w.guest("nora")
	of := func(g *guest) string {
		t.Helper()
		a, err := g.say(tokenRequest(""))
		if err != nil || a.Status != http.StatusOK || a.Body == "" {
			t.Fatalf("%s asks for a token: %d %q, %v", g.app, a.Status, a.Body, err)
		}
		return a.Body
	}
	o, a, b := of(olga), of(alice), of(bob)
	world.Must(t,
		olga.withToken("", 200), olga.withToken(o, 200), olga.withToken(a, 401), olga.withToken("x", 401),
		alice.withToken("", 401), alice.withToken(a, 200), alice.withToken(b, 401), bob.withToken(b, 200),
		nora.withToken("", 200), nora.withToken("x", 200), nora.status(tokenRequest(""), 404),
		alice.status(tokenRequest("X-Forwarded-For: 10.11.12.6\r\n"), 403),
		// What is not EC2's needs no token.
		alice.expect("/openstack/latest/user_data", 200, "I am alice"), alice.expect("/nocloud/user-data", 200, "I am alice"),
	)
	for request, want := range map[string]int{tokenRequest(""): 3, requestFor("/openstack", ""): 64} {
		if got, err := alice.hops(request); err != nil || got != want {
			t.Errorf("an answer to %.20q goes %d hops, %v; want %d", request, got, err, want)
		}
	}
	counters, err := scrape(metrics)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf(`eve_metadata_events_total{event="ec2_no_token",network=%q} 1`, alice.port.Network),
		fmt.Sprintf(`eve_metadata_events_total{event="ec2_bad_token",network=%q} 1`, alice.port.Network),
		fmt.Sprintf(`eve_metadata_events_total{event="ec2_bad_token",network=%q} 2`, olga.port.Network),
	} {
		if !strings.Contains(counters, want) {
			t.Errorf("no %s in\n%s", want, counters)
		}
	}
	world.Must(t, olga.expect("/metrics", http.StatusNotFound, ""))

	w.Save("strict.yaml", net("strict", "tokens: optional\n"))
	w.Await("another policy", func() error { return alice.withToken("", 200) })
	world.Must(t, alice.withToken(a, 200)) // one that is out stays good
}

// tokenRequest is a request for a token with more headers.
func tokenRequest(headers string) string {
	return "PUT /latest/api/token HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n" + headers + "\r\n"
}

// status says when a request is not answered with a status.
func (g *guest) status(request string, want int) error {
	a, err := g.say(request)
	if err == nil && a.Status != want {
		err = fmt.Errorf("%s says %q: %d, want %d", g.app, request, a.Status, want)
	}
	return err
}

// withToken asks for the user data, with a token unless it is "".
func (g *guest) withToken(token string, want int) error {
	header := ""
	if token != "" {
		header = "X-aws-ec2-metadata-token: " + token + "\r\n"
	}
	return g.status(requestFor("/latest/user-data", header), want)
}

// hops sends a request and returns IP's time to live of the packet with its answer.
func (g *guest) hops(request string) (hops int, err error) {
	var packets int
	err = g.Do(func() (err error) {
		packets, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(bigEndian(unix.ETH_P_IP)))
		if err != nil {
			return err
		}
		return unix.SetsockoptTimeval(packets, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(world.Patience / time.Second)})
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, unix.Close(packets)) }()
	if _, err := g.say(request); err != nil {
		return 0, err
	}
	buf := make([]byte, 65536)
	for {
		n, err := unix.Read(packets, buf)
		if err != nil {
			return 0, err
		}
		if bytes.Contains(buf[:n], []byte("HTTP/1.1 200 OK")) {
			return int(buf[8]), nil
		}
	}
}

// bigEndian is a number as the network has it.
func bigEndian(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return binary.NativeEndian.Uint16(b[:])
}

// scrape reads the counters of a service.
func scrape(socket string) (string, error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	ctx, cancel := context.WithTimeout(context.Background(), world.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://metrics/metrics", nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	all, err := io.ReadAll(res.Body)
	return string(all), errors.Join(err, res.Body.Close())
}
