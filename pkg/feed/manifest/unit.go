// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/lf-edge/eve-api/go/config"
	"github.com/lf-edge/eve-metadata/pkg/feed"
	"github.com/lf-edge/eve-metadata/pkg/feed/devconfig"
)

// unit is what one file says, read and checked as far as that goes without the other files.
type unit struct {
	problems
	apps     []appDoc
	networks []networkDoc
	set      feed.Set // of an EdgeDevConfig
	warnings []error  // about parts of an EdgeDevConfig: the rest of it holds
	refs     []string // files that the unit refers to, there or not
}

// bad says whether the unit is refused.
func (u *unit) bad() bool { return len(u.errs) > 0 }

// readUnit reads one file, by the ending of its name.
func readUnit(r *reader, name string) *unit {
	u := &unit{problems: problems{file: r.display(name)}}
	limit := maxConfig
	if isYAML(name) {
		limit = maxManifest
	}
	data, err := r.read(name, limit)
	switch {
	case err != nil:
		u.add(position{}, "%v", err)
	case isYAML(name):
		u.readYAML(data, r)
	default:
		u.readConfig(data, strings.HasSuffix(name, ".json"))
	}
	u.refs = r.refs
	return u
}

func isYAML(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

// readYAML reads the manifests of one file.
func (u *unit) readYAML(data []byte, r *reader) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	found := 0
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			u.syntax(err)
			return
		}
		root := n.Content[0]
		if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
			continue // nothing between two lines of ---
		}
		found++
		u.readDocument(root, r)
	}
	if found == 0 {
		u.add(position{}, "has no manifest in it: to take away what it described, remove the file")
	}
	if u.bad() && bytes.HasPrefix(data, []byte("#cloud-config")) {
		u.errs = nil
		u.add(position{1, 1}, "is user data, not a manifest: keep it in a folder below, where no manifests are looked for")
	}
}

// syntax turns an error of the yaml library ("yaml: line 3: …") into ours.
func (u *unit) syntax(err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	at := position{}
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if num, reason, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(num); err == nil {
				at.line, text = line, reason
			}
		}
	}
	u.add(at, "not YAML: %s", text)
}

// readDocument reads one manifest, by its kind.
func (u *unit) readDocument(root *yaml.Node, r *reader) {
	doc := &document{decoder: &decoder{problems: &u.problems, where: map[string]position{}, bad: map[string]bool{}}, files: r}
	at := position{root.Line, root.Column}
	kind := &yaml.Node{}
	if root.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(root.Content); i += 2 {
			if root.Content[i].Value == "kind" {
				if kind = root.Content[i+1]; kind.Kind == yaml.AliasNode {
					kind = kind.Alias
				}
				at = position{kind.Line, kind.Column}
			}
		}
	}
	switch {
	case root.Kind != yaml.MappingNode:
		u.add(at, "%s where a manifest is wanted", describe(root))
	case kind.Value == kindApp:
		a := newApp()
		doc.decode(root, "", reflect.ValueOf(a).Elem())
		u.apps = append(u.apps, doc.readApp(a))
	case kind.Value == kindNetwork:
		n := newNetwork()
		doc.decode(root, "", reflect.ValueOf(n).Elem())
		u.networks = append(u.networks, doc.readNetwork(n))
	case kind.Kind == 0:
		u.add(at, "kind: is missing: %s or %s", kindApp, kindNetwork)
	default:
		u.add(at, "kind: %s is not one of %s, %s", describe(kind), kindApp, kindNetwork)
	}
}

// readConfig reads an EdgeDevConfig, the message in which a controller tells a device all (EVE API). Fields that are not
// known are passed over: a controller may be newer than this program.
func (u *unit) readConfig(data []byte, isJSON bool) {
	var c config.EdgeDevConfig
	var err error
	if isJSON {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, &c)
	} else {
		err = proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, &c)
	}
	if err != nil {
		at, text := protoError(err)
		u.add(at, "not an EdgeDevConfig: %s", text)
		return
	}
	if proto.Size(&c) == 0 {
		u.add(position{}, "not an EdgeDevConfig: nothing in it is known")
		return
	}
	set, errs := devconfig.Parse(&c)
	u.set = set
	for _, err := range errs {
		u.warnings = append(u.warnings, &Error{File: u.file, Reason: err.Error()})
	}
}

// protoError returns the place and the text of an error of the protobuf library, which puts the place, when there is one,
// into the text, and a space of changing kind behind its own name.
func protoError(err error) (position, string) {
	text := err.Error()
	for _, prefix := range []string{"proto:", " ", "\u00a0"} {
		text = strings.TrimPrefix(text, prefix)
	}
	m := regexp.MustCompile(`\s*\(line (\d+):(\d+)\)`).FindStringSubmatchIndex(text)
	if m == nil {
		return position{}, text
	}
	line, _ := strconv.Atoi(text[m[2]:m[3]])
	column, _ := strconv.Atoi(text[m[4]:m[5]])
	return position{line, column}, strings.TrimPrefix(text[:m[0]]+text[m[1]:], ": ")
}

// claims are the names and UUIDs that the unit gives to things, each of which only one file may give.
func (u *unit) claims() []claim {
	var cs []claim
	for _, n := range u.networks {
		cs = append(cs, n.document.claims("network", n.id, n.config.DisplayName)...)
	}
	for _, a := range u.apps {
		cs = append(cs, a.document.claims("app", a.id, a.config.DisplayName)...)
	}
	return append(cs, setClaims(u.set)...)
}

func (doc *document) claims(kind string, id uuid.UUID, name string) []claim {
	var cs []claim
	if name != "" {
		cs = append(cs, claim{what: fmt.Sprintf("%s name %q", kind, name), at: doc.at("name"), field: "name"})
	}
	if id != uuid.Nil && (doc.has("uuid") || name != "") {
		cs = append(cs, claim{what: kind + " UUID " + id.String(), at: doc.at("uuid"), field: "uuid", derived: !doc.has("uuid")})
	}
	return cs
}
