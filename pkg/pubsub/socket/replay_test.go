// SPDX-License-Identifier: Apache-2.0

package socket_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/drivertest"
)

// recording is what one EVE agent sent to one subscriber of one table.
type recording struct {
	datagrams []string
	files     map[string]string // large fields by path
}

// recorded is the agent of all tables here.
const recorded = "recorded"

// recordings reads testdata/eve-datagrams.jsonl: what EVE's own publishers sent.
func recordings(t *testing.T) map[pubsub.Table]*recording {
	t.Helper()
	f, err := os.Open("testdata/eve-datagrams.jsonl")
	check(t, err)
	defer f.Close()
	all := map[pubsub.Table]*recording{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Agent, Topic, Datagram string
			LargeFiles             map[string]string `json:"large_files"`
		}
		check(t, json.Unmarshal(lines.Bytes(), &line))
		// The agent is a scope here, so that all tables are read from sockets.
		table := pubsub.Table{Agent: recorded, Scope: line.Agent, Topic: line.Topic}
		if all[table] == nil {
			all[table] = &recording{files: map[string]string{}}
		}
		all[table].datagrams = append(all[table].datagrams, line.Datagram)
		maps.Copy(all[table].files, line.LargeFiles)
	}
	check(t, lines.Err())
	return all
}

func TestReplayRecordedDatagrams(t *testing.T) {
	t.Parallel()
	all := recordings(t)
	if len(all) < 10 {
		t.Fatalf("%d tables are recorded, want more", len(all))
	}
	for table, rec := range all {
		table.Persistent = strings.HasSuffix(rec.datagrams[0], " true")
		t.Run(table.Scope+"/"+table.Topic, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			eve := listenPeer(t, root, table)
			r := drivertest.Record(t, newDriver(t, root), table)
			for path, content := range rec.files {
				check(t, os.MkdirAll(filepath.Dir(here(root, path)), 0o755))
				check(t, os.WriteFile(here(root, path), []byte(content), 0o600))
			}
			sub := eve.accept(table.Topic)
			var want []string
			for _, d := range rec.datagrams {
				sub.send(below(t, root, d))
				want = append(want, expected(t, rec, d)...)
			}
			wantLines(t, r.UntilAll(want...), want...)
			for path := range rec.files {
				if exists(t, here(root, path)) {
					t.Errorf("file %q is still there", path)
				}
			}
		})
	}
}

// largeFiles is the folder of large fields.
const largeFiles = "/persist/pubsub-large/"

// here is where a recorded file is put.
func here(root, path string) string {
	return strings.Replace(path, largeFiles, root+largeFiles+recorded+"/", 1)
}

// below has the paths in a datagram lead there.
func below(t *testing.T, root, datagram string) string {
	words, value := split(t, datagram)
	if value == "" {
		return datagram
	}
	return strings.Join(words[:3], " ") + " " + b64(strings.ReplaceAll(value, `"\"`+largeFiles, `"\"`+here(root, largeFiles)))
}

// expected are the events of a datagram.
func expected(t *testing.T, rec *recording, datagram string) []string {
	words, value := split(t, datagram)
	switch words[0] {
	case "complete":
		return []string{"synced"}
	case "restarted":
		return []string{"restarted " + words[2]}
	case "update":
	default:
		return nil
	}
	for _, path := range slices.Sorted(maps.Keys(rec.files)) {
		name := strings.TrimRight(filepath.Base(path), "0123456789")
		var content map[string]json.RawMessage
		check(t, json.Unmarshal([]byte(rec.files[path]), &content))
		for field, v := range content {
			value = strings.Replace(value, `"`+name+`":`+quote(t, path), `"`+field+`":`+string(v), 1)
		}
	}
	key, err := base64.StdEncoding.DecodeString(words[2])
	check(t, err)
	return []string{drivertest.Line(pubsub.RawEvent{Kind: pubsub.Create, Key: string(key), Value: []byte(value)})}
}

func split(t *testing.T, datagram string) (words []string, value string) {
	words = strings.Split(datagram, " ")
	if words[0] != "update" {
		return words, ""
	}
	b, err := base64.StdEncoding.DecodeString(words[3])
	check(t, err)
	return words, string(b)
}
