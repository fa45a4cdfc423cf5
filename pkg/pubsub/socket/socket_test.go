// SPDX-License-Identifier: Apache-2.0

package socket_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/drivertest"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/socket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newDriver returns a driver that fails the test at anything it has to report.
func newDriver(t *testing.T, root string) *socket.Driver {
	return &socket.Driver{Root: root, Report: func(table pubsub.Table, err error) {
		t.Errorf("report on %s: %v", table.Name(), err)
	}}
}

func TestContract(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, under, agent string }{
		{"over sockets", "", ""},
		{"over sockets with long paths", strings.Repeat("/long-name-of-a-folder", 8), ""},
		{"over files", "", "zedclient"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			drivertest.Run(t, func(t *testing.T) drivertest.Harness {
				root := t.TempDir() + c.under
				return drivertest.Harness{
					Publisher: newDriver(t, root), Subscriber: newDriver(t, root),
					Agent: c.agent, FromFiles: c.agent != "",
				}
			})
		})
	}
}
