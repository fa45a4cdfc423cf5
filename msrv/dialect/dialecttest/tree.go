// SPDX-License-Identifier: Apache-2.0

package dialecttest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/lf-edge/eve-metadata/msrv/document"
)

// checkTree holds a tree to what is true of all of them.
func checkTree(t *testing.T, tree namedTree) {
	t.Helper()
	documents := 0
	err := tree.root.Walk(func(path string, n *document.Node) error {
		documents++
		if n.IsDirectory() {
			return checkListing(path, n)
		}
		return checkFile(tree.root, path, n.Document())
	})
	if err != nil {
		t.Errorf("%s %v", tree.carrier, err)
	}
	if documents == 0 {
		t.Errorf("%s: the tree is empty", tree.carrier)
	}
}

// keyLine is how EC2 lists a public key.
var keyLine = regexp.MustCompile(`^([0-9]+)=[^=]+$`)

// checkListing looks up every name of a listing as clients do: a final slash marks a directory, and
// "0=name" stands for the directory 0.
func checkListing(path string, n *document.Node) error {
	body := string(n.Document().Body())
	if body == "" {
		return nil
	}
	for line := range strings.SplitSeq(body, "\n") {
		name := strings.TrimSuffix(line, "/")
		if m := keyLine.FindStringSubmatch(line); m != nil {
			name = m[1]
		}
		child := n.Lookup(name)
		if child == nil || name == "" || child.Document() == nil {
			return fmt.Errorf("/%s: lists %q, which is not there", path, line)
		}
		if strings.HasSuffix(line, "/") && !child.IsDirectory() {
			return fmt.Errorf("/%s: lists %q, which is no directory", path, line)
		}
	}
	return nil
}

func checkFile(root *document.Node, path string, d *document.Document) error {
	for _, below := range []string{"/x", "/0", "/meta-data"} {
		if root.Lookup(path+below) != nil {
			return fmt.Errorf("/%s: something is below a file", path)
		}
	}
	if d.Fault() != "" {
		return nil
	}
	if d.Type() == "" || d.ETag() == "" {
		return fmt.Errorf("/%s: has no media type or no entity tag", path)
	}
	if d.Type() != document.TypeJSON {
		return nil
	}
	var v any
	if err := json.Unmarshal(d.Body(), &v); err != nil {
		return fmt.Errorf("/%s: %w", path, err)
	}
	if err := noNull(v); err != nil {
		return fmt.Errorf("/%s: %w", path, err)
	}
	return nil
}

// noNull is an error for a value that is null or holds one: clients iterate over what is there, and
// leave out what is not.
func noNull(v any) error {
	switch v := v.(type) {
	case nil:
		return errNull
	case []any:
		for i, e := range v {
			if err := noNull(e); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
	case map[string]any:
		for k, e := range v {
			if err := noNull(e); err != nil {
				return fmt.Errorf("%q: %w", k, err)
			}
		}
	}
	return nil
}
