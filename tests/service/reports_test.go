// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/report"
	"github.com/lf-edge/eve-metadata/pkg/eve"
	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
	"github.com/lf-edge/eve-metadata/tests/world"
)

// reports: what a guest says is kept and published, once, for as long as the app is there and of that
// version, whatever happens to the service.
//
// Network: one. windows makes up a password and posts it, as cloudbase-init does, encrypted; legacy is a
// CloudStack guest that fetches the one that is configured.
//
// Phases: post and fetch; kill -9 and ask again; change the version and the password; remove both apps and
// bring them back.
func reports(t *testing.T, binary string) {
	const posted, offered = "windows openstack-password", "legacy cloudstack-password"
	app := func(name, address string, more ...string) string {
		return world.AppYAML(name, "blue", address, more...)
	}
	w := newScene(t, binary, map[string]string{
		"blue.yaml":    world.NetYAML("blue", "10.11.12.0/24"),
		"windows.yaml": app("windows", "10.11.12.5"),
		"legacy.yaml":  app("legacy", "10.11.12.6", "password: hunter2"),
	})
	w.Start()
	windows, legacy := w.guest("windows"), w.guest("legacy")
	world.Must(t,
		windows.password("GET", "", 200, ""), windows.password("POST", "", 200, ""), windows.password("GET", "", 200, ""),
		windows.password("POST", "c2VjcmV0", 200, ""), windows.password("POST", "YW5vdGhlcg", 409, ""),
		windows.password("GET", "", 200, "c2VjcmV0"), legacy.password("GET", "", 200, ""),
		legacy.domU("send_my_password", "hunter2"), legacy.domU("send_my_password", "hunter2"),
		legacy.domU("saved_password", "saved_password"), legacy.domU("send_my_password", "saved_password"),
		windows.domU("send_my_password", "saved_password"), legacy.domU("give_me_all", "bad_request"),
	)
	w.awaitReports(posted, offered)

	world.Must(t, w.Service.Kill())
	w.Start()
	world.Must(t,
		windows.password("GET", "", 200, "c2VjcmV0"), windows.password("POST", "YW5vdGhlcg", 409, ""),
		legacy.domU("send_my_password", "saved_password"),
	)
	w.awaitReports(posted, offered)

	// The first-boot work is done again: the guest makes up another password.
	w.Save("windows.yaml", app("windows", "10.11.12.5", "cloudInitVersion: 2"))
	w.Save("legacy.yaml", app("legacy", "10.11.12.6", "password: correct horse"))
	w.Await("new version", func() error { return windows.password("GET", "", 200, "") })
	w.Await("new password", func() error { return legacy.domU("send_my_password", "correct horse") })
	world.Must(t, windows.password("POST", "YW5vdGhlcg", 200, ""), windows.password("GET", "", 200, "YW5vdGhlcg"))

	// Switched off is not gone.
	w.Save("windows.yaml", app("windows", "10.11.12.5", "cloudInitVersion: 2", "activate: false"))
	w.Await("windows to be switched off", func() error { return gone(w, "windows") })
	w.awaitReports(posted, offered)
	w.Remove("legacy.yaml")
	w.awaitReports(posted)
	w.Remove("windows.yaml")
	w.awaitReports()
	w.Save("windows.yaml", app("windows", "10.11.12.5", "cloudInitVersion: 2"))
	again := w.guest("windows")
	world.Must(t, again.password("GET", "", 200, ""))
}

// gone objects while an app has an adapter.
func gone(w *scene, app string) error {
	for _, a := range w.Apps()[app].AppNetAdapterList {
		if a.VifUsed != "" {
			return fmt.Errorf("%s is there", a.VifUsed)
		}
	}
	return nil
}

// password asks OpenStack's password in a way, and says in which way the answer is not what it has to be.
func (g *guest) password(method, body string, status int, want string) error {
	a, err := g.say(fmt.Sprintf("%s /openstack/2013-04-04/password HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", method, len(body), body))
	if err == nil && (a.Status != status || status == http.StatusOK && a.Body != want) {
		err = fmt.Errorf("%s %s password %q: %d %q, want %d %q", g.app, method, body, a.Status, a.Body, status, want)
	}
	return err
}

// domU asks CloudStack's password server, which answers by the header alone.
func (g *guest) domU(request, want string) error {
	a, err := g.at(g.router(8080)).say(requestFor("/", "DomU_Request: "+request+"\r\n"))
	if err == nil && (a.Status != http.StatusOK || a.Body != want) {
		err = fmt.Errorf("%s says %s: %d %q, want %q", g.app, request, a.Status, a.Body, want)
	}
	return err
}

// awaitReports returns when what is published of guests is what is wanted: apps and subjects.
func (w *scene) awaitReports(want ...string) {
	w.T.Helper()
	slices.Sort(want)
	names := map[string]string{world.UUIDOf("windows"): "windows", world.UUIDOf("legacy"): "legacy"}
	w.Await("reports", func() error {
		ctx, cancel := context.WithTimeout(w.T.Context(), world.Patience)
		defer cancel()
		var got []string
		err := pubsub.Subscribe(ctx, &socket.Driver{Root: w.Root}, report.Topic(), func(e pubsub.Event[eve.InstanceReport]) {
			switch e.Kind {
			case pubsub.Create:
				got = append(got, names[e.Value.AppUUID.String()]+" "+e.Value.Subject)
			case pubsub.Synced:
				cancel()
			}
		})
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			err = errors.Join(err, fmt.Errorf("reports (-want +got):\n%s", diff))
		}
		return err
	})
}
