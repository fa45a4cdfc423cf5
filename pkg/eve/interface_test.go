// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"testing"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

func TestIsInterfaceName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"bn1": true, "br-lan.7": true, "...": true, "é": true, "123456789012345": true,
		"": false, ".": false, "..": false, "1234567890123456": false, "a/b": false, "a:1": false, "a b": false, "a\tb": false,
		"a\u00a0b": false, "a\"b": false, "a\x00b": false,
	} {
		if got := eve.IsInterfaceName(name); got != want {
			t.Errorf("name %q: %t, want %t", name, got, want)
		}
	}
}
