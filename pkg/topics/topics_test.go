// SPDX-License-Identifier: Apache-2.0

package topics_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/topics"
)

func TestAgents(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  topics.Set
		want []string
	}{
		"nothing": {topics.Set{}, nil},
		"own":     {topics.Own(), []string{"mdfeed", "mdnim"}},
		"device": {topics.Device(), []string{
			"domainmgr", "mdfeed", "nim", "tpmmgr", "volumemgr", "wwan", "zedagent", "zedmanager", "zedrouter",
		}},
	} {
		if diff := cmp.Diff(c.want, c.set.Agents()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
