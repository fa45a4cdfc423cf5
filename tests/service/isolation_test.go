// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/tests/world"
)

// isolation: whoever asks reads its own metadata or none, whatever it says about itself.
//
// Network: blue and green have the same subnet; frontend and database have the same address in them, and
// pumphouse is frontend's neighbour. So is gatehouse, a router, who may send from addresses of others.
//
// Phases: read everything as everybody, looking for what others own; lie in every way that proxies and
// clouds believe; ask from an address that is nobody's, and, as the router, from one that is another's.
func isolation(t *testing.T, binary string) {
	w := newScene(t, binary, map[string]string{
		"blue.yaml":   world.NetYAML("blue", "10.11.12.0/24") + "routes: [{to: 192.0.2.0/24, via: 10.11.12.7}]\n",
		"green.yaml":  world.NetYAML("green", "10.11.12.0/24"),
		"web.yaml":    world.AppYAML("frontend", "blue", "10.11.12.5"),
		"pump.yaml":   world.AppYAML("pumphouse", "blue", "10.11.12.6"),
		"router.yaml": world.AppYAML("gatehouse", "blue", "10.11.12.7"),
		"absent.yaml": world.AppYAML("warehouse", "blue", "10.11.12.8"),
		"db.yaml":     world.AppYAML("database", "green", "10.11.12.5"),
	})
	w.Start()
	guests := []*guest{w.guest("frontend"), w.guest("pumphouse"), w.guest("database")}
	for _, g := range guests {
		for path, a := range g.askAll(t, slices.Collect(maps.Keys(w.listed(g.app))), 8) {
			for _, other := range guests {
				if other.app != g.app && (strings.Contains(a.Body, other.app) || strings.Contains(a.Body, world.UUIDOf(other.app))) {
					t.Errorf("%s reads of %s in %s: %q", g.app, other.app, path, a.Body)
				}
			}
		}
		for _, path := range userDataPaths() {
			world.Must(t, g.expect(path, http.StatusOK, "I am "+g.app))
		}
	}
	for _, g := range guests {
		for name, request := range lies("10.11.12.6", world.UUIDOf("pumphouse")) {
			a, err := g.say(request)
			if err != nil {
				t.Errorf("%s says %s: %v", g.app, name, err)
				continue
			}
			if diff := cmp.Diff("I am "+g.app, a.Body); a.Status != http.StatusOK || diff != "" {
				t.Errorf("%s says %s: status %d, body (-want +got):\n%s", g.app, name, a.Status, diff)
			}
		}
		// What load balancers say before the request (HAProxy's PROXY protocol) is no request at all.
		a, err := g.say("PROXY TCP4 10.11.12.6 169.254.169.254 40000 80\r\n" + requestFor("/latest/user-data", ""))
		if err != nil || a.Status != http.StatusBadRequest {
			t.Errorf("%s says PROXY: status %d, %v; want %d", g.app, a.Status, err, http.StatusBadRequest)
		}
	}
	// From an address that is nobody's, nobody is heard.
	nobody := guests[0].as(t, "10.11.12.77")
	if a, err := nobody.brief().ask("/latest/user-data"); err == nil {
		t.Errorf("nobody asks: status %d, %q", a.Status, a.Body)
	}
	// Who is refused is told that there is nothing, and not even where: the root answers as everything else.
	refused := w.guest("gatehouse").as(t, "10.11.12.8")
	for path, a := range refused.askAll(t, someOf(w.listed("warehouse")), 64) {
		if a.Status != http.StatusNotFound || strings.Contains(a.Body, "house") {
			t.Errorf("from another's address, gatehouse asks %s: status %d, %q", path, a.Status, a.Body)
		}
	}
	world.Must(t, guests[0].expect("/latest/user-data", http.StatusOK, "I am frontend"))
}

// someOf leaves out what other versions have too: strangers are kept waiting for each answer.
func someOf(listed map[string]answer) []string {
	some := []string{"/no/such/path", "/../../etc/passwd"}
	for path := range listed {
		if strings.Count(path, "/") <= 2 || strings.HasPrefix(path, "/openstack/latest") || strings.HasPrefix(path, "/latest") {
			some = append(some, path)
		}
	}
	return some
}

// lies are requests for user data in which the caller says that it is somebody else.
func lies(address, uuid string) map[string]string {
	const path = "/latest/user-data"
	requests := map[string]string{
		"another host":       strings.Replace(requestFor(path, ""), "169.254.169.254", address, 1),
		"another host, UUID": strings.Replace(requestFor(path, ""), "169.254.169.254", uuid+".example.com", 1),
		"an absolute URI":    requestFor("http://"+address+path, ""),
		"a user's name":      requestFor("http://"+uuid+"@"+address+path, ""),
		"a query":            requestFor(path+"?instance-id="+uuid+"&ip="+address, ""),
		"no host at all":     "GET " + path + " HTTP/1.0\r\n\r\n",
		"leaving the tree":   requestFor("/"+uuid+"/.."+path, ""),
	}
	for _, header := range []string{
		"X-Forwarded-For: " + address, "X-Forwarded-For: " + address + ", 127.0.0.1", "X-Forwarded-Host: " + address,
		"Forwarded: for=" + address + ";host=" + address, "X-Real-IP: " + address, "X-Client-IP: " + address,
		"True-Client-IP: " + address, "CF-Connecting-IP: " + address, "Via: 1.1 " + address, "X-Remote-Addr: " + address,
		"X-Original-URL: /" + uuid, "X-Rewrite-URL: /" + uuid,
		// Nova's proxy tells the metadata service whose request it passes on.
		"X-Instance-ID: " + uuid, "X-Instance-ID: " + uuid + "\r\nX-Tenant-ID: blue\r\nX-Instance-ID-Signature: 00",
		"X-Metadata-Provider: " + uuid, "X-Neutron-Network-ID: blue", "X-OVN-Network-ID: blue",
		"Metadata-Flavor: Google", "Authorization: Basic cHVtcDpwdW1w", "Cookie: instance=" + uuid,
	} {
		requests[header] = requestFor(path, header+"\r\n")
	}
	return requests
}

// reusedAddress: an address answers for whom it belongs to now, and never for whom it belonged to.
//
// Network: one, in which pump's address becomes newcomer's, and then nobody's.
//
// Phases: read as pump, on a connection that stays open; replace pump by newcomer in one save, and read as newcomer
// from the first moment on, and as pump on its old connection; remove newcomer, and read from its address as somebody else.
func reusedAddress(t *testing.T, binary string) {
	const address = "10.11.12.6"
	w := newScene(t, binary, map[string]string{
		"blue.yaml": world.NetYAML("blue", "10.11.12.0/24"),
		"web.yaml":  world.AppYAML("web", "blue", "10.11.12.5"),
		"six.yaml":  world.AppYAML("pump", "blue", address, "metadataType: drive"),
	})
	w.Start()
	pump := w.guest("pump")
	old, err := pump.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer old.conn.Close()
	if a, err := old.say(requestFor("/latest/user-data", "")); err != nil || a.Body != "I am pump" {
		t.Fatalf("pump reads %q, %v", a.Body, err)
	}
	if w.Drive(world.UUIDOf("pump")) == nil {
		t.Error("pump has no drive")
	}

	w.Save("six.yaml", world.AppYAML("newcomer", "blue", address))
	newcomer := w.guest("newcomer")
	if got := newcomer.address(); got != address {
		t.Fatalf("newcomer has the address %s, want %s", got, address)
	}
	w.Await("newcomer's user data", func() error {
		a, err := newcomer.ask("/latest/user-data")
		if strings.Contains(a.Body, "pump") {
			t.Fatalf("newcomer reads %q", a.Body)
		}
		if err == nil && a.Body != "I am newcomer" {
			err = fmt.Errorf("it is %d %q", a.Status, a.Body)
		}
		return err
	})
	world.Must(t, old.conn.SetDeadline(time.Now().Add(shut)))
	if a, err := old.say(requestFor("/latest/user-data", "")); err == nil {
		t.Errorf("on its old connection, pump reads %d %q", a.Status, a.Body)
	}
	if pump.attached() {
		t.Error("pump is still attached")
	}
	if w.Drive(world.UUIDOf("pump")) != nil {
		t.Error("pump still has its drive")
	}

	w.Remove("six.yaml")
	w.Await("removal of newcomer", func() error {
		if _, there := w.Apps()["newcomer"]; there || newcomer.attached() {
			return fmt.Errorf("status: %t, attached: %t", there, newcomer.attached())
		}
		return nil
	})
	web := w.guest("web")
	heir := web.as(t, address)
	if a, err := heir.brief().ask("/latest/user-data"); err == nil {
		t.Errorf("a removed app's address asks: status %d, %q", a.Status, a.Body)
	}
	world.Must(t, web.expect("/latest/user-data", http.StatusOK, "I am web"))
}
