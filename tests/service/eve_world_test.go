// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/lf-edge/eve-metadata/tests/evedevice/edge"
)

// edgeNode is an edge node whose guests are namespaces.
type edgeNode struct{ *edge.Node }

// newEdgeNode makes a node with the network instances of some apps. No agent runs there yet, and no service.
func newEdgeNode(t *testing.T, programs edge.Programs, apps ...*edge.App) *edgeNode {
	t.Helper()
	return &edgeNode{edge.New(t, programs, apps...)}
}

// noLargeFiles returns when all files of large fields were taken. Who was killed leaves some.
func (n *edgeNode) noLargeFiles() {
	n.T.Helper()
	n.Await("large fields", func() error {
		if left := n.EVE.LargeFiles(); len(left) > 0 {
			return fmt.Errorf("files are left: %q", left)
		}
		return nil
	})
}

// boot connects an app's guest, which gets its address from EVE's DHCP server.
func (n *edgeNode) boot(a *edge.App) *guest {
	n.T.Helper()
	g := eveDevice{n.Device}.guest(a.Key(), a.Network, a.Number, a.MAC().String())
	g.port = a.Status.AppNetAdapterList[0]
	return g
}

// bootAll boots the guests of apps.
func (n *edgeNode) bootAll(apps ...*edge.App) (guests []*guest) {
	n.T.Helper()
	for _, a := range apps {
		guests = append(guests, n.boot(a))
	}
	return guests
}

// Paths at which apps are told who they are and what their user data is.
const (
	whoAmI     = "/eve/v1/hostname"
	myUserData = "/openstack/latest/user_data"
)

// knows says in which way a guest is not told who it is.
func (g *guest) knows() error { return g.brief().expect(whoAmI, http.StatusOK, g.app+"\n") }

// awaitKnown returns when guests are told who they are.
func (n *edgeNode) awaitKnown(guests ...*guest) {
	n.T.Helper()
	for _, g := range guests {
		n.Await("identity of "+g.app, g.knows)
	}
}

// awaitNobody returns when a guest is nobody: it is told so, or has no connection.
func (n *edgeNode) awaitNobody(g *guest) {
	n.T.Helper()
	n.Await("end of "+g.app, func() error { return never(g, whoAmI) })
}

// awaitText returns when a guest reads its user data.
func (n *edgeNode) awaitText(g *guest, text string) {
	n.T.Helper()
	n.Await("user data of "+g.app, func() error { return g.brief().expect(myUserData, http.StatusOK, text) })
}

// awaitStatus returns when a guest gets a status.
func (n *edgeNode) awaitStatus(g *guest, path string, status int) {
	n.T.Helper()
	n.Await(g.app, func() error {
		a, err := g.brief().ask(path)
		if err == nil && a.Status != status {
			err = fmt.Errorf("status of %s is %d, want %d", path, a.Status, status)
		}
		return err
	})
}

// awaitDrive returns when an app has a drive with that user data.
func (n *edgeNode) awaitDrive(key, text string) {
	n.T.Helper()
	n.Await("drive of "+key, func() error {
		got, err := n.OnDrive(key, "user-data")
		if err == nil && string(got) != text {
			err = fmt.Errorf("user data is %.200q, want %.200q", got, text)
		}
		return err
	})
}

// never says that a guest was told something else than is right. That it is told nothing is right, and so is what EVE tells
// where the service is not (yet).
func never(g *guest, path string, right ...string) error {
	a, err := g.brief().ask(path)
	if err == nil && a.Status == http.StatusOK && a.Body != edge.Answer && !slices.Contains(right, a.Body) {
		return fmt.Errorf("%s asks %s and is told %.200q, which can only be %.200q", g.app, path, a.Body, right)
	}
	return nil
}

// neverWrong says that a guest was told something that is another's or no longer so: it is known and may have some user data,
// or is nobody if it has none here.
func neverWrong(texts map[string][]string) func(*guest) error {
	return func(g *guest) error {
		var names []string
		if texts[g.app] != nil {
			names = []string{g.app + "\n"}
		}
		return errors.Join(never(g, whoAmI, names...), never(g, myUserData, texts[g.app]...))
	}
}

// startQuestions has each guest ask something all the time until stop.
func startQuestions(t *testing.T, guests []*guest, question func(*guest) error) *asking {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	a := &asking{cancel: cancel}
	for _, g := range guests {
		a.wg.Go(func() {
			for ctx.Err() == nil {
				a.note(question(g))
				a.pause(ctx)
			}
		})
	}
	return a
}

// awaitAsked returns when guests have asked some more.
func (n *edgeNode) awaitAsked(a *asking, more int) {
	n.T.Helper()
	a.mu.Lock()
	before := a.asked
	a.mu.Unlock()
	n.Await("more questions", func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.asked < before+more {
			return fmt.Errorf("%d were asked", a.asked-before)
		}
		return nil
	})
}
