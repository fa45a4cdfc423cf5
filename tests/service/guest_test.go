// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"bufio"
	stdcmp "cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/tests/netns/guestns"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// server is where guests ask, unless they ask their router.
const server = "169.254.169.254:80"

// guest is an app's guest on one of its adapters.
type guest struct {
	*guestns.Guest
	app   string
	port  eve.AppNetAdapterStatus
	from  string        // address to ask from, maybe with a port; "" for the kernel's choice
	limit time.Duration // for an answer; 0: world.Patience
	to    string        // address and port to ask at; "" for server
}

// answer is what a guest was told.
type answer struct {
	Status     int
	Type, ETag string
	Body       string
}

// guest attaches a guest to an app's first adapter, as soon as that is there.
func (w *scene) guest(app string) *guest {
	w.T.Helper()
	return w.guestOn(app, "eth0")
}

// guestOn attaches a guest to an adapter of an app, as soon as that is there.
func (w *scene) guestOn(app, adapter string) *guest {
	w.T.Helper()
	g := w.unplugged(app)
	g.port = w.Port(app, adapter)
	if err := g.Attach("eth0", g.port, w.NamespaceOf(g.port)); err != nil {
		w.T.Fatal(err)
	}
	return g
}

// unplugged makes a guest of an app that is not attached to anything yet. It gets a namespace of its own also when it
// comes back: the old one may still be looked at.
func (w *scene) unplugged(app string) *guest {
	w.T.Helper()
	g, err := guestns.Empty(filepath.Join(w.T.TempDir(), "guest"))
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() {
		if err := g.Close(); err != nil {
			w.T.Error(err)
		}
	})
	return &guest{Guest: g, app: app}
}

// address is the address that the guest is known by.
func (g *guest) address() string { return world.Addresses(g.port)[0] }

// attached tells whether the guest's adapter is there.
func (g *guest) attached() bool {
	return g.Do(func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		_, err = h.LinkByName("eth0")
		return err
	}) == nil
}

// as returns the guest at another address, which it takes for itself.
func (g *guest) as(t testing.TB, address string) *guest {
	t.Helper()
	err := g.Do(func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		eth0, err := h.LinkByName("eth0")
		if err != nil {
			return err
		}
		ip := netip.MustParseAddr(address).AsSlice()
		if err := h.AddrAdd(eth0, &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(24, 32)}}); err != nil {
			return err
		}
		// Whoever had the address is remembered on the other side for a while. Asking for the gateway
		// anew tells that side who has it now.
		err = h.NeighDel(&netlink.Neigh{LinkIndex: eth0.Attrs().Index, IP: g.port.BridgeIPAddr})
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return &guest{Guest: g.Guest, app: g.app, port: g.port, from: address}
}

// at returns the guest as one that asks elsewhere.
func (g *guest) at(address string) *guest {
	other := *g
	other.to = address
	return &other
}

// router is the guest's router with a port.
func (g *guest) router(port int) string { return fmt.Sprintf("%s:%d", g.port.BridgeIPAddr, port) }

// dial connects to the server.
func (g *guest) dial(ctx context.Context) (conn net.Conn, err error) {
	to := g.to
	if to == "" {
		to = server
	}
	if g.from == "" {
		return g.DialContext(ctx, "tcp", to)
	}
	err = g.Do(func() error {
		from, err := netip.ParseAddrPort(g.from)
		if err != nil {
			from = netip.AddrPortFrom(netip.MustParseAddr(g.from), 0)
		}
		dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from)}
		conn, err = dialer.DialContext(ctx, "tcp", to)
		return err
	})
	return conn, err
}

// ask asks for a path, on a connection of its own.
func (g *guest) ask(path string) (answer, error) { return g.say(requestFor(escaped(path), "")) }

// brief returns the guest as one that does not wait long: it may well get no answer, not even a connection. Strangers are
// kept waiting for theirs.
func (g *guest) brief() *guest {
	other := *g
	other.limit = 4 * shut
	return &other
}

// say sends a request as it stands, on a connection of its own, and reads the answer.
func (g *guest) say(request string) (a answer, err error) {
	c, err := g.connect()
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, c.conn.Close()) }()
	return c.say(request)
}

// askAll asks for many paths, on as many connections at the same time.
func (g *guest) askAll(t testing.TB, paths []string, connections int) map[string]answer {
	t.Helper()
	next := make(chan string, len(paths))
	for _, path := range paths {
		next <- path
	}
	close(next)
	var mu sync.Mutex
	answers := make(map[string]answer, len(paths))
	var group errgroup.Group
	for range connections {
		group.Go(func() (err error) {
			c, err := g.connect()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.conn.Close()) }()
			for path := range next {
				a, err := c.say(requestFor(escaped(path), ""))
				if err != nil {
					return fmt.Errorf("%s asks %s: %w", g.app, path, err)
				}
				mu.Lock()
				answers[path] = a
				mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return answers
}

// connection is a connection to the server. What went wrong on it does so for good.
type connection struct {
	conn net.Conn
	from *bufio.Reader
}

// connect connects to the server, for as long as the guest has patience.
func (g *guest) connect() (*connection, error) {
	limit := stdcmp.Or(g.limit, world.Patience)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	conn, err := g.dial(ctx)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &connection{conn, bufio.NewReader(conn)}, nil
}

// say sends a request as it stands, and reads the answer.
func (c *connection) say(request string) (a answer, err error) {
	if _, err := io.WriteString(c.conn, request); err != nil {
		return a, err
	}
	res, err := http.ReadResponse(c.from, nil)
	if err != nil {
		return a, err
	}
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header.Get("Content-Type"), res.Header.Get("ETag"), string(body)}, errors.Join(err, res.Body.Close())
}

// requestFor is a request with more headers, each with its line's end.
func requestFor(target, headers string) string {
	return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: 169.254.169.254\r\n%s\r\n", target, headers)
}

func escaped(path string) string { return (&url.URL{Path: path}).EscapedPath() }

// expect says in which way an answer is not what it has to be: of a status, and, for 200, with a body.
func (g *guest) expect(path string, status int, body string) error {
	a, err := g.ask(path)
	if err != nil {
		return fmt.Errorf("%s asks %s: %w", g.app, path, err)
	}
	if a.Status != status {
		return fmt.Errorf("%s asks %s: status %d, want %d", g.app, path, a.Status, status)
	}
	if diff := cmp.Diff(body, a.Body); status == http.StatusOK && diff != "" {
		return fmt.Errorf("%s asks %s: body (-want +got):\n%s", g.app, path, elide(diff))
	}
	return nil
}

// userDataPaths are where all dialects have user data.
func userDataPaths() []string {
	return []string{"/openstack/latest/user_data", "/latest/user-data", "/nocloud/user-data"}
}

// elide shortens what nobody reads to the end.
func elide(text string) string {
	const limit = 2000
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
