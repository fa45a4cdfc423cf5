// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

const (
	largePrefix = "pubsub-large-"
	filePrefix  = "pubsub-file-"
	maxLarge    = 1 << 20 // bytes; the agent dies of a field that is as large
)

// cutOut makes of a value what goes over the wire: fields that may be large are in files of their own, names are sorted,
// and numbers have been float64.
func cutOut(value []byte, dir string) ([]byte, error) {
	var object map[string]any
	if err := json.Unmarshal(value, &object); err != nil {
		return nil, err
	}
	if err := cutOutOf(object, dir); err != nil {
		return nil, err
	}
	return json.Marshal(object)
}

// cutOutOf does so at any depth.
func cutOutOf(value any, dir string) error {
	switch value := value.(type) {
	case []any:
		for _, v := range value {
			if err := cutOutOf(v, dir); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, v := range value {
			if err := cutOutField(value, name, v, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// cutOutField puts a field into a file if it may be large, even if it is null. What stands for it is text, the text of
// which is the JSON of the file's path.
func cutOutField(object map[string]any, name string, value any, dir string) error {
	rest, large := strings.CutPrefix(name, largePrefix)
	if !large {
		return cutOutOf(value, dir)
	}
	content, err := json.Marshal(map[string]any{name: value})
	if err != nil {
		return err
	}
	if len(content) >= maxLarge {
		return fmt.Errorf("too large field %s of %d bytes", name, len(content))
	}
	path, err := writeLarge(dir, filePrefix+rest, content)
	if err != nil {
		return err
	}
	quoted, err := json.Marshal(path)
	if err != nil {
		return err
	}
	delete(object, name)
	object[filePrefix+rest] = string(quoted)
	return nil
}

// writeLarge writes a file that nobody but the one subscriber is told of, who removes it.
func writeLarge(dir, name string, content []byte) (path string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, name)
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	return f.Name(), errors.Join(err, f.Close())
}
