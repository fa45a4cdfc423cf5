// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/lf-edge/eve-metadata/examples"
	"github.com/lf-edge/eve-metadata/pkg/feed/manifest"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(manifest.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// values returns the documents of a YAML file as JSON has them.
func values(data []byte) ([]any, error) {
	var docs []any
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, err
		}
		if v := value(n.Content[0]); v != nil {
			docs = append(docs, v)
		}
	}
}

func value(n *yaml.Node) any {
	switch n.Kind {
	case yaml.AliasNode:
		return value(n.Alias)
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = value(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		l := []any{}
		for _, e := range n.Content {
			l = append(l, value(e))
		}
		return l
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!int", "!!float":
		return json.Number(n.Value)
	case "!!bool":
		return n.Value == "true"
	}
	return n.Value
}

func TestSchemaAcceptsExamplesAndGood(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	check := func(fsys fs.FS, name string) {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := values(data)
		if err != nil || len(docs) == 0 {
			t.Fatalf("%s: %d documents, %v", name, len(docs), err)
		}
		for i, doc := range docs {
			if err := s.Validate(doc); err != nil {
				t.Errorf("%s, document %d: %v", name, i, err)
			}
		}
	}
	names, err := fs.Glob(examples.FS, "*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, name := range names {
		check(examples.FS, name)
	}
	for _, name := range yamlFiles(t, "testdata/good") {
		check(os.DirFS("."), name)
	}
}

// yamlFiles returns the manifests below a folder of test cases.
func yamlFiles(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*", "manifests", "[a-z]*.y*ml"))
	if err != nil || len(all) == 0 {
		t.Fatalf("no manifests below %s: %v", dir, err)
	}
	return all
}

// TestSchemaRefusesBad writes down which of the bad manifests an editor shows as such. What the schema refuses, Load must
// refuse as well.
func TestSchemaRefusesBad(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	var verdicts strings.Builder
	for _, name := range yamlFiles(t, "testdata/bad") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := values(data)
		if err != nil {
			fmt.Fprintf(&verdicts, "%s: not YAML\n", name)
			continue
		}
		refused := refusedByLoad(name)
		for i, doc := range docs {
			err := s.Validate(doc)
			fmt.Fprintf(&verdicts, "%s, document %d: refused %v\n", name, i, err != nil)
			if err != nil && !refused {
				t.Errorf("%s, document %d: Load accepts what the schema refuses: %v", name, i, err)
			}
		}
	}
	golden(t, "testdata/schema.txt", []byte(verdicts.String()))
}

func refusedByLoad(name string) bool {
	_, errs := manifest.LoadFS(os.DirFS(filepath.Dir(name)))
	return slices.ContainsFunc(errs, func(err error) bool {
		var e *manifest.Error
		return errors.As(err, &e) && e.File == filepath.Base(name)
	})
}

// TestSchemaHasEveryField holds the schema and the Go types together, in both directions.
func TestSchemaHasEveryField(t *testing.T) {
	t.Parallel()
	var doc map[string]any
	if err := json.Unmarshal(manifest.Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	defs := doc["$defs"].(map[string]any)
	for _, tt := range []struct {
		def string
		typ reflect.Type
	}{
		{"app", reflect.TypeFor[manifest.App]()},
		{"network", reflect.TypeFor[manifest.Network]()},
	} {
		got := fieldsOfSchema(defs, defs[tt.def].(map[string]any), "")
		want := fieldsOfType(tt.typ, "")
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-type +schema):\n%s", tt.def, diff)
		}
	}
}

// fieldsOfType lists paths of fields with what JSON has there.
func fieldsOfType(t reflect.Type, at string) []string {
	switch t.Kind() {
	case reflect.Slice:
		return append([]string{at + " array"}, fieldsOfType(t.Elem(), at+"[]")...)
	case reflect.Map:
		return append([]string{at + " object"}, fieldsOfType(t.Elem(), at+".*")...)
	case reflect.Struct:
		fields := []string{at + " object"}
		for i := range t.NumField() {
			fields = append(fields, fieldsOfType(t.Field(i).Type, at+"."+t.Field(i).Tag.Get("yaml"))...)
		}
		return fields
	case reflect.Bool:
		return []string{at + " boolean"}
	case reflect.String:
		return []string{at + " string"}
	}
	return []string{at + " integer"}
}

func fieldsOfSchema(defs, s map[string]any, at string) []string {
	if ref, ok := s["$ref"].(string); ok {
		s = defs[path.Base(ref)].(map[string]any)
	}
	kind, ok := s["type"].(string)
	if !ok {
		kind = "string" // const, enum, anyOf
	}
	fields := []string{at + " " + kind}
	if items, ok := s["items"].(map[string]any); ok {
		fields = append(fields, fieldsOfSchema(defs, items, at+"[]")...)
	}
	if more, ok := s["additionalProperties"].(map[string]any); ok {
		fields = append(fields, fieldsOfSchema(defs, more, at+".*")...)
	}
	properties, _ := s["properties"].(map[string]any)
	for name, p := range properties {
		fields = append(fields, fieldsOfSchema(defs, p.(map[string]any), at+"."+name)...)
	}
	return fields
}

// TestSchemaHelps: an editor has something to say about every field.
func TestSchemaHelps(t *testing.T) {
	t.Parallel()
	var doc map[string]any
	if err := json.Unmarshal(manifest.Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		for key, e := range m {
			properties, ok := e.(map[string]any)
			if key != "properties" || !ok {
				walk(at+"/"+key, e)
				continue
			}
			for name, p := range properties {
				if strings.HasSuffix(at, "/if") {
					continue // a condition, not a field
				}
				if p.(map[string]any)["description"] == nil {
					t.Errorf("%s/properties/%s has no description", at, name)
				}
				walk(at+"/properties/"+name, p)
			}
		}
	}
	walk("", doc)
}
