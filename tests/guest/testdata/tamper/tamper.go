// SPDX-License-Identifier: Apache-2.0

// The service with one answer broken, as $EVE_METADATA_TAMPER says: tests/guest builds it to see that guests notice.

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// tampering is what to break: in each document of a dialect whose path ends so, one text by another.
type tampering struct{ Dialect, Path, Old, New string }

// tampered are the dialects, of which one has its answers broken.
func tampered(all []dialect.Dialect) []dialect.Dialect {
	var t tampering
	if err := json.Unmarshal([]byte(os.Getenv("EVE_METADATA_TAMPER")), &t); err != nil {
		panic(fmt.Sprintf("EVE_METADATA_TAMPER: %v", err))
	}
	for i := range all {
		if all[i].Name != t.Dialect {
			continue
		}
		for j := range all[i].HTTP {
			all[i].HTTP[j].Render = t.render(all[i].HTTP[j].Render)
		}
		if drive := all[i].Drive; drive != nil {
			drive.Render = t.render(drive.Render)
		}
	}
	return all
}

type render func(*instance.Instance) (*document.Node, error)

func (t tampering) render(right render) render {
	if right == nil {
		return nil
	}
	return func(in *instance.Instance) (*document.Node, error) {
		tree, err := right(in)
		if err != nil || tree == nil {
			return tree, err
		}
		return t.node("", tree), nil
	}
}

func (t tampering) node(path string, n *document.Node) *document.Node {
	if !n.IsDirectory() {
		d := n.Document()
		if !strings.HasSuffix(path, t.Path) || !strings.Contains(string(d.Body()), t.Old) {
			return n
		}
		return document.File(document.New(d.Type(), []byte(strings.ReplaceAll(string(d.Body()), t.Old, t.New))))
	}
	var entries []document.Entry
	for _, e := range n.Entries() {
		e.Node = t.node(path+"/"+e.Name, e.Node)
		entries = append(entries, e)
	}
	return document.Directory(n.Document(), entries...)
}
