// SPDX-License-Identifier: Apache-2.0

package world

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"

	"github.com/google/go-cmp/cmp"
)

// Journal is the service's log, a JSON object on each line.
type Journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write notes what is logged.
func (j *Journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// String returns the whole log.
func (j *Journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// Count counts the lines that have all the fields.
func (j *Journal) Count(fields map[string]any) int {
	n := 0
	for line := range strings.Lines(j.String()) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) == nil && has(entry, fields) { // the last line may be half written
			n++
		}
	}
	return n
}

func has(entry, fields map[string]any) bool {
	for name, want := range fields {
		part, isText := want.(string)
		text, _ := entry[name].(string)
		if isText && !strings.Contains(text, part) || !isText && !cmp.Equal(entry[name], want) {
			return false
		}
	}
	return true
}
