// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// maxFuzzSeed keeps the largest recorded values out of the fuzzers' corpora, where they only cost time; in bytes.
const maxFuzzSeed = 64 << 10

func FuzzAppInstanceConfig(f *testing.F) {
	addSeeds(f, "zedagent/AppInstanceConfig/")
	f.Fuzz(func(t *testing.T, data []byte) { checkStable[eve.AppInstanceConfig](t, data) })
}

func FuzzNetworkInstanceStatus(f *testing.F) {
	addSeeds(f, "zedrouter/NetworkInstanceStatus/")
	f.Fuzz(func(t *testing.T, data []byte) { checkStable[eve.NetworkInstanceStatus](t, data) })
}

func FuzzPatchEnvelopeInfoList(f *testing.F) {
	addSeeds(f, "zedagent/PatchEnvelopeInfoList/")
	f.Fuzz(func(t *testing.T, data []byte) { checkStable[eve.PatchEnvelopeInfoList](t, data) })
}

func FuzzInstanceMetadata(f *testing.F) {
	seed, err := json.Marshal(fullInstanceMetadata())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) { checkStable[eve.InstanceMetadata](t, data) })
}

func FuzzNetworkMetadata(f *testing.F) {
	seed, err := json.Marshal(fullNetworkMetadata())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) { checkStable[eve.NetworkMetadata](t, data) })
}

// addSeeds adds the recorded values whose names begin with prefix, and values that are not quite JSON.
func addSeeds(f *testing.F, prefix string) {
	f.Helper()
	added := 0
	for _, file := range recordedTopics(f) {
		if !strings.HasPrefix(file, prefix) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(topicsDir, file))
		if err != nil {
			f.Fatal(err)
		}
		if len(data) > maxFuzzSeed {
			continue
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
		added++
	}
	if added == 0 {
		f.Fatalf("no recorded values in %s", prefix)
	}
	f.Add([]byte(`null`))
	f.Add([]byte(`{"Error":{}}`))
}

// checkStable checks that what can be read can be written, and that reading and writing it once more changes nothing:
// subscribers compare values to find changes.
func checkStable[T any](t *testing.T, data []byte) {
	var first T
	if json.Unmarshal(data, &first) != nil {
		return
	}
	once, err := json.Marshal(first)
	if err != nil {
		t.Fatalf("marshal what was read: %v", err)
	}
	var second T
	if err := json.Unmarshal(once, &second); err != nil {
		t.Fatalf("unmarshal %s: %v", once, err)
	}
	twice, err := json.Marshal(second)
	if err != nil {
		t.Fatalf("marshal again: %v", err)
	}
	if !bytes.Equal(once, twice) {
		t.Errorf("written twice:\n%s\n%s", once, twice)
	}
}
