// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"testing"

	"github.com/lf-edge/eve-metadata/tests/world"
)

// scene is a world whose guests are namespaces.
type scene struct{ *world.World }

// newScene saves manifests, by name of file. No service runs yet.
func newScene(t testing.TB, binary string, files map[string]string) *scene {
	t.Helper()
	return &scene{world.New(t, binary, files)}
}
