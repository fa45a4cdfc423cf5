// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

var update = flag.Bool("update", false, "write the golden files")

// topicsDir holds values as EVE's agents checkpoint them: <agent>/<topic>/<key>.json, there on one line, here indented.
const topicsDir = "testdata/eve-topics"

// topicTypes returns the Go type of every topic of EVE that the package has.
func topicTypes() map[string]reflect.Type {
	return map[string]reflect.Type{
		"AppInstMetaData":       reflect.TypeFor[eve.AppInstMetaData](),
		"AppInstanceConfig":     reflect.TypeFor[eve.AppInstanceConfig](),
		"AppInstanceStatus":     reflect.TypeFor[eve.AppInstanceStatus](),
		"AppNetworkConfig":      reflect.TypeFor[eve.AppNetworkConfig](),
		"AppNetworkStatus":      reflect.TypeFor[eve.AppNetworkStatus](),
		"CipherBlockStatus":     reflect.TypeFor[eve.CipherBlockStatus](),
		"CipherContext":         reflect.TypeFor[eve.CipherContext](),
		"CipherMetrics":         reflect.TypeFor[eve.CipherMetrics](),
		"ConfigItemValueMap":    reflect.TypeFor[eve.ConfigItemValueMap](),
		"ContentTreeStatus":     reflect.TypeFor[eve.ContentTreeStatus](),
		"ControllerCert":        reflect.TypeFor[eve.ControllerCert](),
		"DeviceNetworkStatus":   reflect.TypeFor[eve.DeviceNetworkStatus](),
		"DomainConfig":          reflect.TypeFor[eve.DomainConfig](),
		"DomainStatus":          reflect.TypeFor[eve.DomainStatus](),
		"EdgeNodeCert":          reflect.TypeFor[eve.EdgeNodeCert](),
		"EdgeNodeInfo":          reflect.TypeFor[eve.EdgeNodeInfo](),
		"NetworkInstanceConfig": reflect.TypeFor[eve.NetworkInstanceConfig](),
		"NetworkInstanceStatus": reflect.TypeFor[eve.NetworkInstanceStatus](),
		"NetworkMetrics":        reflect.TypeFor[eve.NetworkMetrics](),
		"OnboardingStatus":      reflect.TypeFor[eve.OnboardingStatus](),
		"PatchEnvelopeInfo":     reflect.TypeFor[eve.PatchEnvelopeInfo](),
		"PatchEnvelopeInfoList": reflect.TypeFor[eve.PatchEnvelopeInfoList](),
		"PatchEnvelopeUsage":    reflect.TypeFor[eve.PatchEnvelopeUsage](),
		"VolumeStatus":          reflect.TypeFor[eve.VolumeStatus](),
		"WwanLocationInfo":      reflect.TypeFor[eve.WwanLocationInfo](),
		"WwanMetrics":           reflect.TypeFor[eve.WwanMetrics](),
		"WwanStatus":            reflect.TypeFor[eve.WwanStatus](),
	}
}

// TestTopicNames holds the table above to pubsub's rule that a topic's name is that of its Go type.
func TestTopicNames(t *testing.T) {
	t.Parallel()
	for name, typ := range topicTypes() {
		if typ.Name() != name {
			t.Errorf("topic %q has type %s", name, typ)
		}
	}
}

// TestRecordedTopics checks that every recorded value is understood whole, and that writing it again gives its bytes:
// the same keys in the same order, and the same values.
func TestRecordedTopics(t *testing.T) {
	t.Parallel()
	files := recordedTopics(t)
	if len(files) == 0 {
		t.Fatalf("no recorded values in %s", topicsDir)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(filepath.Join(topicsDir, file))
			if err != nil {
				t.Fatal(err)
			}
			value := decodeStrict(t, recordedType(t, file), want)
			got, err := json.MarshalIndent(value, "", " ")
			if err != nil {
				t.Fatalf("marshal: %v", err)
			}
			want = bytes.TrimRight(want, "\n")
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
				t.Errorf("written again (-want +got):\n%s", diff)
			}
		})
	}
}

// recordedTopics returns the names of the files in topicsDir, relative to it.
func recordedTopics(t testing.TB) []string {
	t.Helper()
	var files []string
	root := os.DirFS(topicsDir)
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatalf("list recorded values: %v", err)
	}
	return files
}

// recordedType returns the Go type for one of recordedTopics. A topic's folder may have a suffix that says what is
// special about the values in it: "AppInstanceConfig-large".
func recordedType(t testing.TB, file string) reflect.Type {
	t.Helper()
	topic, _, _ := strings.Cut(filepath.Base(filepath.Dir(file)), "-")
	typ, ok := topicTypes()[topic]
	if !ok {
		t.Fatalf("%s: no type for topic %q", file, topic)
	}
	return typ
}

// decodeStrict returns the value of type typ that data is the JSON of. The test fails if typ lacks any field.
func decodeStrict(t testing.TB, typ reflect.Type, data []byte) any {
	t.Helper()
	value := reflect.New(typ)
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(value.Interface()); err != nil {
		t.Fatalf("decode %s: %v", typ, err)
	}
	return value.Elem().Interface()
}
