// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// decoder fills a struct from a YAML node. The yaml library could do so, but it stops at the first problem of a kind,
// forgets where a field stood, takes 1 for a text, and lets aliases multiply without end.
type decoder struct {
	*problems
	nodes int                 // visited so far, see maxNodes
	where map[string]position // of every value that was given, by path: "adapters[0].mac"
	bad   map[string]bool     // paths whose values did not fit, and so were not stored
}

// has says whether a field was given.
func (d *decoder) has(path string) bool { _, ok := d.where[path]; return ok }

// at returns where a field stands; where a field that is not there should: with the nearest thing around it.
func (d *decoder) at(path string) position {
	for {
		if pos, ok := d.where[path]; ok {
			return pos
		}
		if path == "" {
			return position{}
		}
		path = parent(path)
	}
}

// parent returns the path of what a path's value is part of: "" is the document.
func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// problem notes what is wrong with a field; nothing more is said of one whose value did not even fit.
func (d *decoder) problem(path, format string, args ...any) {
	for p := path; ; p = parent(p) {
		if d.bad[p] {
			return
		}
		if p == "" {
			break
		}
	}
	reason := fmt.Sprintf(format, args...)
	if path != "" {
		reason = path + ": " + reason
	}
	d.add(d.at(path), "%s", reason)
}

// decode stores a node in v and returns false when it did not fit; then a problem was noted.
func (d *decoder) decode(n *yaml.Node, path string, v reflect.Value) bool {
	ok := d.decodeNode(n, path, v)
	if !ok {
		d.bad[path] = true
	}
	return ok
}

func (d *decoder) decodeNode(n *yaml.Node, path string, v reflect.Value) bool {
	if n.Kind == yaml.AliasNode {
		n = n.Alias // an anchor's node is no alias, and so this cannot go on for ever
	}
	d.where[path] = position{n.Line, n.Column}
	d.nodes++
	if d.nodes > maxNodes {
		if d.nodes == maxNodes+1 {
			d.problem(path, "the file has more than %d values, aliases included", maxNodes)
		}
		return false
	}
	switch v.Kind() {
	case reflect.Struct:
		return d.decodeStruct(n, path, v)
	case reflect.Map:
		return d.decodeMap(n, path, v)
	case reflect.Slice:
		return d.decodeSlice(n, path, v)
	}
	return d.decodeScalar(n, path, v)
}

func (d *decoder) decodeStruct(n *yaml.Node, path string, v reflect.Value) bool {
	return d.eachField(n, path, func(key *yaml.Node, value *yaml.Node, at string) {
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("yaml") == key.Value {
				d.decode(value, at, v.Field(i))
				return
			}
		}
		d.where[at] = position{key.Line, key.Column}
		d.problem(at, "there is no such field%s", suggest(key.Value, v.Type()))
		delete(d.where, at)
	})
}

func (d *decoder) decodeMap(n *yaml.Node, path string, v reflect.Value) bool {
	v.Set(reflect.MakeMap(v.Type()))
	return d.eachField(n, path, func(key *yaml.Node, value *yaml.Node, at string) {
		k := reflect.New(v.Type().Key()).Elem()
		e := reflect.New(v.Type().Elem()).Elem()
		if d.decodeScalar(key, at, k) && d.decode(value, at, e) {
			v.SetMapIndex(k, e)
		}
	})
}

// eachField calls f for every member of a mapping, whose keys must be texts and differ.
func (d *decoder) eachField(n *yaml.Node, path string, f func(key, value *yaml.Node, at string)) bool {
	if n.Kind != yaml.MappingNode {
		d.problem(path, "%s where fields are wanted", describe(n))
		return false
	}
	if len(n.Content)/2 > maxList {
		d.problem(path, "more than %d members", maxList)
		return false
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			d.add(position{key.Line, key.Column}, "%s where the name of a field is wanted", describe(key))
			continue
		}
		at := key.Value
		if path != "" {
			at = path + "." + key.Value
		}
		if seen[key.Value] {
			d.add(position{key.Line, key.Column}, "%s: given twice", at)
			continue
		}
		seen[key.Value] = true
		f(key, n.Content[i+1], at)
	}
	return true
}

func (d *decoder) decodeSlice(n *yaml.Node, path string, v reflect.Value) bool {
	if n.Kind != yaml.SequenceNode {
		d.problem(path, "%s where a list is wanted", describe(n))
		return false
	}
	if len(n.Content) > maxList {
		d.problem(path, "more than %d members", maxList)
		return false
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, e := range n.Content {
		d.decode(e, path+"["+strconv.Itoa(i)+"]", v.Index(i))
	}
	return true
}

func (d *decoder) decodeScalar(n *yaml.Node, path string, v reflect.Value) bool {
	if n.Kind != yaml.ScalarNode {
		d.problem(path, "%s where %s is wanted", describe(n), wanted(v))
		return false
	}
	if n.ShortTag() == "!!null" {
		d.problem(path, "nothing is given: give a value or remove the field")
		return false
	}
	switch v.Kind() {
	case reflect.String:
		return d.decodeString(n, path, v)
	case reflect.Bool:
		if n.ShortTag() != "!!bool" || n.Value != "true" && n.Value != "false" {
			d.problem(path, "%s where true or false is wanted", describe(n))
			return false
		}
		v.SetBool(n.Value == "true")
		return true
	}
	limit := uint64(math.MaxUint64) >> (64 - v.Type().Bits())
	i, err := strconv.ParseUint(n.Value, 10, 64)
	if n.ShortTag() != "!!int" || err != nil || i > limit {
		d.problem(path, "%s where a number from 0 to %d is wanted", describe(n), limit)
		return false
	}
	v.SetUint(i)
	return true
}

func (d *decoder) decodeString(n *yaml.Node, path string, v reflect.Value) bool {
	secret := v.Type() == reflect.TypeFor[Secret]() // checked where it is read, without showing it
	switch {
	case n.ShortTag() == "!!str":
	case secret:
		d.problem(path, "not a text: put it in quotes")
		return false
	default:
		d.problem(path, "%s where a text is wanted: put it in quotes", describe(n))
		return false
	}
	if v.Type() != reflect.TypeFor[Content]() && !secret && !d.short(n.Value, path) {
		return false
	}
	v.SetString(n.Value)
	return true
}

// short checks a text that must fit on one line. Guests meet these texts in headers, file names and lists, where a
// control character would mean something else.
func (d *decoder) short(s, path string) bool {
	switch {
	case len(s) > maxText:
		d.problem(path, "%d bytes of text: more than %d", len(s), maxText)
		return false
	case strings.ContainsFunc(s, unicode.IsControl):
		d.problem(path, "%q has a line break or another control character in it", s)
		return false
	}
	return true
}

// describe says what a node is, for messages.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "fields"
	case yaml.SequenceNode:
		return "a list"
	}
	v := shortened(n.Value)
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!str":
		return strconv.Quote(v)
	case "!!int", "!!float":
		return "the number " + v
	case "!!bool":
		return "the truth value " + v
	case "!!timestamp":
		return "the date " + v
	}
	return fmt.Sprintf("%q of type %s", v, shortened(n.ShortTag()))
}

// shortened keeps messages readable.
func shortened(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func wanted(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	}
	return "a number"
}

// suggest names the field that was probably meant: the one that differs in case only, or in one place.
func suggest(name string, t reflect.Type) string {
	for i := range t.NumField() {
		field := t.Field(i).Tag.Get("yaml")
		if strings.EqualFold(field, name) || oneApart(field, name) {
			return fmt.Sprintf("; did you mean %q?", field)
		}
	}
	return ""
}

// oneApart says whether one letter was left out, added or mistaken.
func oneApart(a, b string) bool {
	if len(a) < len(b) {
		a, b = b, a
	}
	if a == b || len(a) > len(b)+1 || len(b) < 3 {
		return a == b
	}
	i := 0
	for i < len(b) && a[i] == b[i] {
		i++
	}
	return a[i+1:] == b[i:] || len(a) == len(b) && i < len(b) && a[i+1:] == b[i+1:]
}
