// SPDX-License-Identifier: Apache-2.0

package memory_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/lf-edge/eve-metadata/pkg/pubsub/drivertest"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, func(*testing.T) drivertest.Harness {
		d := &memory.Driver{}
		return drivertest.Harness{Publisher: d, Subscriber: d}
	})
}
