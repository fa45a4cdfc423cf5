// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
)

// MaxLargeFields is the number of large fields that one value may have. With
// pubsub.MaxLargeFile it bounds what one message can make a subscriber read.
const MaxLargeFields = 256

// maxSuffix is the longest random suffix of a large field's file, in bytes: the
// ten digits of 32 bits.
const maxSuffix = 10

// Large is a field that travels in a file. Base is the beginning of the file's
// name, Content its content: an object with the one field.
type Large struct {
	Base    string
	Content []byte
}

// Value is a value made ready to be sent. JSON is the value as it was set, as it
// stands in the table's checkpoint file. Large are its large fields.
type Value struct {
	JSON   []byte
	Large  []Large
	chunks [][]byte // the wire form around the paths of Large
}

// NewValue checks a key and a value, and prepares the value's wire form: fields
// in alphabetical order, large fields cut out (EVE pubsub). LargeDir is the folder
// of the table's large files; its length counts. The error wraps
// pubsub.ErrBadKey, ErrBadValue or ErrTooLarge. Unlike EVE's, this wire form has
// all digits of a number.
func NewValue(topic, largeDir, key string, value []byte) (*Value, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	tree, err := parseTree(value)
	if err != nil {
		return nil, fmt.Errorf("parse value of key %q: %w: %w", key, err, pubsub.ErrBadValue)
	}
	if _, ok := tree.(map[string]any); !ok {
		return nil, fmt.Errorf("value of key %q is no object: %w", key, pubsub.ErrBadValue)
	}
	v := &Value{JSON: bytes.Clone(value)}
	var buf bytes.Buffer
	if err := v.encode(&buf, tree); err != nil {
		return nil, fmt.Errorf("encode value of key %q: %w", key, err)
	}
	v.chunks = append(v.chunks, buf.Bytes())
	if size := updateLen(topic, key, v.maxForm(largeDir)); size >= pubsub.MaxDatagram {
		return nil, fmt.Errorf("value of key %q: message of %d bytes: %w", key, size, pubsub.ErrTooLarge)
	}
	return v, nil
}

// maxForm is the size of the wire form with the longest names of files.
func (v *Value) maxForm(largeDir string) int {
	size := 0
	for _, c := range v.chunks {
		size += len(c)
	}
	for _, l := range v.Large {
		size += len(quotePath(largeDir+"/"+l.Base)) + maxSuffix
	}
	return size
}

// Form returns the wire form with paths, one per element of Large, as the large
// fields' files.
func (v *Value) Form(paths []string) []byte {
	if len(v.Large) == 0 {
		return v.chunks[0]
	}
	var b []byte
	for i, c := range v.chunks {
		b = append(b, c...)
		if i < len(paths) {
			b = append(b, quotePath(paths[i])...)
		}
	}
	return b
}

// quotePath is how EVE's wire writes a path: the JSON of a string that is itself
// the JSON of the path.
func quotePath(path string) []byte {
	inner, _ := json.Marshal(path) // a string always marshals
	outer, _ := json.Marshal(string(inner))
	return outer
}

// encode writes JSON with sorted keys. At a large field it ends a chunk.
func (v *Value) encode(buf *bytes.Buffer, node any) error {
	switch n := node.(type) {
	case map[string]any:
		return v.encodeObject(buf, n)
	case []any:
		buf.WriteByte('[')
		for i, e := range n {
			if i > 0 {
				buf.WriteByte(',')
			}
			if err := v.encode(buf, e); err != nil {
				return err
			}
		}
		buf.WriteByte(']')
		return nil
	}
	leaf, err := json.Marshal(node)
	buf.Write(leaf)
	return err
}

func (v *Value) encodeObject(buf *bytes.Buffer, object map[string]any) error {
	names := make(map[string]string, len(object)) // name on the wire → name in the value
	for name := range object {
		if strings.HasPrefix(name, pubsub.FilePrefix) {
			return fmt.Errorf("field %q: %w", name, pubsub.ErrBadValue)
		}
		if rest, ok := strings.CutPrefix(name, pubsub.LargePrefix); ok {
			names[pubsub.FilePrefix+rest] = name
			continue
		}
		names[name] = name
	}
	buf.WriteByte('{')
	for i, wireName := range slices.Sorted(maps.Keys(names)) {
		if i > 0 {
			buf.WriteByte(',')
		}
		quoted, _ := json.Marshal(wireName) // a string always marshals
		buf.Write(quoted)
		buf.WriteByte(':')
		name := names[wireName]
		if name == wireName {
			if err := v.encode(buf, object[name]); err != nil {
				return err
			}
			continue
		}
		if err := v.cut(wireName, name, object[name]); err != nil {
			return err
		}
		v.chunks = append(v.chunks, bytes.Clone(buf.Bytes()))
		buf.Reset()
	}
	buf.WriteByte('}')
	return nil
}

// cut takes a large field out of the wire form.
func (v *Value) cut(wireName, name string, field any) error {
	if strings.ContainsAny(wireName, "/*\x00") || len(wireName)+maxSuffix > 255 {
		return fmt.Errorf("field %q is no name of a file: %w", name, pubsub.ErrBadValue)
	}
	content, err := json.Marshal(map[string]any{name: field})
	if err != nil {
		return err
	}
	if len(content) >= pubsub.MaxLargeFile {
		return fmt.Errorf("field %q of %d bytes: %w", name, len(content), pubsub.ErrTooLarge)
	}
	if len(v.Large) == MaxLargeFields {
		return fmt.Errorf("more than %d large fields: %w", MaxLargeFields, pubsub.ErrTooLarge)
	}
	v.Large = append(v.Large, Large{Base: wireName, Content: content})
	return nil
}

// Resolve puts the large fields back into a wire form. Take reads and removes the
// file of one field; Resolve calls it for every field even after an error, since
// nobody else will remove the files. On error, which joins all errors of the
// form, the value is nil: EVE's subscriber too drops the whole update.
func Resolve(form []byte, take func(path string) ([]byte, error)) ([]byte, error) {
	// No JSON encoder escapes these letters, so most forms need no second look.
	if !bytes.Contains(form, []byte(pubsub.FilePrefix)) {
		return form, nil
	}
	tree, err := parseTree(form)
	if err != nil {
		return nil, fmt.Errorf("parse wire form: %w: %w", err, ErrMalformed)
	}
	r := resolver{take: take}
	if r.walk(tree); len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	return json.Marshal(tree)
}

type resolver struct {
	take  func(path string) ([]byte, error)
	files int
	errs  []error
}

func (r *resolver) walk(node any) {
	switch n := node.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(n)) {
			rest, isFile := strings.CutPrefix(name, pubsub.FilePrefix)
			if !isFile {
				r.walk(n[name])
				continue
			}
			value, err := r.field(n[name])
			if err != nil {
				r.errs = append(r.errs, fmt.Errorf("resolve field %q: %w", name, err))
				continue
			}
			delete(n, name)
			n[pubsub.LargePrefix+rest] = value
		}
	case []any:
		for _, e := range n {
			r.walk(e)
		}
	}
}

// field returns the content of one large field.
func (r *resolver) field(node any) (any, error) {
	if r.files++; r.files > MaxLargeFields {
		return nil, fmt.Errorf("more than %d large fields: %w", MaxLargeFields, ErrMalformed)
	}
	quoted, ok := node.(string)
	if !ok {
		return nil, fmt.Errorf("no string: %w", ErrMalformed)
	}
	var path string
	if err := json.Unmarshal([]byte(quoted), &path); err != nil {
		return nil, fmt.Errorf("parse path %q: %w: %w", quoted, err, ErrMalformed)
	}
	content, err := r.take(path)
	if err != nil {
		return nil, err
	}
	tree, err := parseTree(content)
	if err != nil {
		return nil, fmt.Errorf("parse file %q: %w: %w", path, err, ErrMalformed)
	}
	object, _ := tree.(map[string]any)
	if len(object) != 1 {
		return nil, fmt.Errorf("parse file %q: %d fields, not one: %w", path, len(object), ErrMalformed)
	}
	for _, value := range object {
		return value, nil // the only one, whatever its name
	}
	return nil, nil
}

// parseTree parses one JSON value and keeps every digit of its numbers.
func parseTree(value []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("data after the value")
	}
	return tree, nil
}
