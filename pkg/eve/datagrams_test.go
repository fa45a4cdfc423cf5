// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// datagramsFile holds what subscribers of EVE's agents received, one JSON object per line.
const datagramsFile = "testdata/eve-pubsub-datagrams.jsonl"

// maxDatagramLine is the size of the longest line that is read from datagramsFile, in bytes.
const maxDatagramLine = 1 << 20

// datagram is one line of datagramsFile. LargeFiles are the files that the datagram points to, by path.
type datagram struct {
	Agent      string            `json:"agent"`
	Topic      string            `json:"topic"`
	Datagram   string            `json:"datagram"`
	LargeFiles map[string]string `json:"large_files"`
}

// TestRecordedDatagrams checks that values as sent (keys sorted, numbers through float64, large fields in files) are
// understood whole, and are the same values when written again.
func TestRecordedDatagrams(t *testing.T) {
	t.Parallel()
	updates := 0
	for i, d := range readDatagrams(t) {
		words := strings.Split(d.Datagram, " ")
		if words[0] != "update" {
			continue
		}
		updates++
		t.Run(fmt.Sprintf("line %d %s %s", i+1, d.Agent, d.Topic), func(t *testing.T) {
			t.Parallel()
			typ, ok := topicTypes()[d.Topic]
			if !ok {
				t.Fatalf("no type for topic %q", d.Topic)
			}
			sent, err := base64.StdEncoding.DecodeString(words[3])
			if err != nil {
				t.Fatalf("decode value: %v", err)
			}
			want := d.resolve(t, decodeAny(t, sent))
			data, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(decodeStrict(t, typ, data))
			if err != nil {
				t.Fatalf("marshal %s: %v", typ, err)
			}
			if diff := cmp.Diff(want, decodeAny(t, again)); diff != "" {
				t.Errorf("written again (-want +got):\n%s", diff)
			}
		})
	}
	if updates == 0 {
		t.Errorf("no updates in %s", datagramsFile)
	}
}

func readDatagrams(t *testing.T) []datagram {
	t.Helper()
	file, err := os.Open(datagramsFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var datagrams []datagram
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxDatagramLine)
	for lines.Scan() {
		datagrams = append(datagrams, decodeStrict(t, reflect.TypeFor[datagram](), lines.Bytes()).(datagram))
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("read %s: %v", datagramsFile, err)
	}
	return datagrams
}

// resolve returns value with each "pubsub-file-X" replaced by a "pubsub-large-X" of what is in the file.
func (d datagram) resolve(t *testing.T, value any) any {
	t.Helper()
	switch value := value.(type) {
	case []any:
		for i := range value {
			value[i] = d.resolve(t, value[i])
		}
	case map[string]any:
		for key, member := range value {
			name, isFile := strings.CutPrefix(key, "pubsub-file-")
			if !isFile {
				value[key] = d.resolve(t, member)
				continue
			}
			delete(value, key)
			value["pubsub-large-"+name] = d.largeField(t, member)
		}
	}
	return value
}

// largeField returns the only member of the file that reference names, a JSON string in a JSON string.
func (d datagram) largeField(t *testing.T, reference any) any {
	t.Helper()
	quoted, _ := reference.(string)
	var path string
	if err := json.Unmarshal([]byte(quoted), &path); err != nil {
		t.Fatalf("decode reference %q: %v", quoted, err)
	}
	content, ok := d.LargeFiles[path]
	if !ok {
		t.Fatalf("no file %q", path)
	}
	members, _ := decodeAny(t, []byte(content)).(map[string]any)
	if len(members) != 1 {
		t.Fatalf("file %q has %d members, want 1", path, len(members))
	}
	for _, member := range members {
		return member
	}
	return nil
}

func decodeAny(t *testing.T, data []byte) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatalf("decode: %v", err)
	}
	return value
}
