// SPDX-License-Identifier: Apache-2.0

package eveapi_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Words with a meaning of their own in the columns of the table.
const (
	typeEnumValue = "enum value"
	emptyMessage  = "(empty message)"
)

// row is one line of testdata/eve-api-wire.tsv: a field of a message, a value of
// an enum, or a message that has no fields.
type row struct {
	line       int
	pkg        string // Protobuf package.
	parent     string // Message or enum, with the messages around it.
	number     string
	name       string
	typ        string // As typeOf words it, typeEnumValue or emptyMessage.
	enumValues string // Fields of an enum type: "NAME=number,…".
	jsonName   string
	file       string
}

func (r row) String() string {
	return fmt.Sprintf("line %d: %s.%s.%s", r.line, r.pkg, r.parent, r.name)
}

// fullName returns the name of the message or enum that the row is about.
func (r row) fullName() protoreflect.FullName {
	return protoreflect.FullName(r.pkg + "." + r.parent)
}

// TestWireTable checks every row of the table against the descriptors that the
// linked module has registered. What the module has beyond the table is of no
// interest: EVE's own has more.
func TestWireTable(t *testing.T) {
	t.Parallel()
	// The table's own count, so that rows lost on the way here are missed.
	want := map[string]int{"field": 562, "enum value": 254, "empty message": 1}
	got := map[string]int{}
	for _, r := range readTable(t) {
		kind, err := checkRow(r)
		if err != nil {
			t.Errorf("%v: %v", r, err)
		}
		got[kind]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows checked (-want +got):\n%s", diff)
	}
}

// TestWireTableNoticesDifferences changes one column at a time of rows that are
// right, and expects checkRow to say so. It keeps TestWireTable honest.
func TestWireTableNoticesDifferences(t *testing.T) {
	t.Parallel()
	field := row{
		pkg: "org.lfedge.eve.config", parent: "AppInstanceConfig", number: "17", name: "metaDataType",
		typ:        "enum org.lfedge.eve.config.MetaDataType",
		enumValues: "MetaDataDrive=0,MetaDataNone=1,MetaDataOpenStack=2,MetaDataDriveMultipart=3",
		jsonName:   "metaDataType", file: "config/appconfig.proto",
	}
	value := row{
		pkg: "org.lfedge.eve.config", parent: "MetaDataType", number: "2", name: "MetaDataOpenStack",
		typ: typeEnumValue, file: "config/appconfig.proto",
	}
	empty := row{pkg: "org.lfedge.eve.uuid", parent: "UuidRequest", typ: emptyMessage, file: "eveuuid/eveuuid.proto"}

	for _, tc := range []struct {
		name   string
		row    row
		change func(*row)
	}{
		{"package", field, func(r *row) { r.pkg = "org.lfedge.eve.common" }},
		{"message", field, func(r *row) { r.parent = "Volume" }},
		{"not a message", field, func(r *row) { r.parent = "MetaDataType" }},
		{"field number", field, func(r *row) { r.number = "18" }},
		{"field name", field, func(r *row) { r.name = "metadatatype" }},
		{"field type", field, func(r *row) { r.typ = "uint32" }},
		{"field label", field, func(r *row) { r.typ = "optional " + r.typ }},
		{"deprecated", field, func(r *row) { r.typ += " [deprecated]" }},
		{"oneof", field, func(r *row) { r.typ += " [oneof kind]" }},
		{"number of an enum value", field, func(r *row) { r.enumValues = "MetaDataDrive=0,MetaDataNone=2" }},
		{"name of an enum value", field, func(r *row) { r.enumValues = "MetaDataDrive=0,MetaDataAll=1" }},
		{"order of enum values", field, func(r *row) { r.enumValues = "MetaDataNone=1,MetaDataDrive=0" }},
		{"JSON name", field, func(r *row) { r.jsonName = "meta_data_type" }},
		{"file", field, func(r *row) { r.file = "config/vm.proto" }},
		{"enum", value, func(r *row) { r.parent = "VmMode" }},
		{"not an enum", value, func(r *row) { r.parent = "Volume" }},
		{"value number", value, func(r *row) { r.number = "1" }},
		{"value name", value, func(r *row) { r.name = "MetaDataEC2" }},
		{"file of an enum", value, func(r *row) { r.file = "config/vm.proto" }},
		{"empty message", empty, func(r *row) { r.parent = "UuidResponse" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := checkRow(tc.row); err != nil {
				t.Fatalf("the row is wrong before the change: %v", err)
			}
			r := tc.row
			tc.change(&r)
			if _, err := checkRow(r); err == nil {
				t.Errorf("no error for %+v", r)
			}
		})
	}
}

// readTable returns the rows of the table.
func readTable(t *testing.T) []row {
	t.Helper()
	header := "package message number name type enum_values json_name file scope"
	lines := strings.Split(strings.TrimSuffix(string(read(t, "eve-api-wire.tsv")), "\n"), "\n")
	if got := strings.ReplaceAll(lines[0], "\t", " "); got != header {
		t.Fatalf("columns are %q, want %q", got, header)
	}
	var rows []row
	for i, line := range lines[1:] {
		c := strings.Split(line, "\t")
		if len(c) != 9 {
			t.Fatalf("line %d has %d columns, want 9", i+2, len(c))
		}
		rows = append(rows, row{i + 2, c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]})
	}
	return rows
}

// checkRow compares one row with the registered descriptors. It returns what
// kind of row it is, and everything that differs.
func checkRow(r row) (kind string, err error) {
	kind = "field"
	switch r.typ {
	case typeEnumValue:
		kind = "enum value"
	case emptyMessage:
		kind = "empty message"
	}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(r.fullName())
	if err != nil {
		return kind, fmt.Errorf("find %q: %w", r.fullName(), err)
	}
	got, err := rowOf(d, r)
	if err != nil {
		return kind, err
	}
	got.line = r.line
	// EVE adds values to its enums: the listed ones must be there, in order.
	if !isSubsequence(strings.Split(r.enumValues, ","), strings.Split(got.enumValues, ",")) {
		return kind, fmt.Errorf("enum has values %q, want among them %q", got.enumValues, r.enumValues)
	}
	got.enumValues = r.enumValues
	if diff := cmp.Diff(r, got, cmp.AllowUnexported(row{})); diff != "" {
		return kind, fmt.Errorf("descriptor differs (-want +got):\n%s", diff)
	}
	return kind, nil
}

// rowOf words what the descriptor says about the thing that the row names.
func rowOf(d protoreflect.Descriptor, r row) (row, error) {
	file := d.ParentFile()
	got := row{
		pkg:    string(file.Package()),
		parent: strings.TrimPrefix(string(d.FullName()), string(file.Package())+"."),
		file:   file.Path(),
	}
	switch d := d.(type) {
	case protoreflect.EnumDescriptor:
		v := d.Values().ByName(protoreflect.Name(r.name))
		if v == nil {
			return row{}, fmt.Errorf("enum has no value of that name")
		}
		got.number, got.name, got.typ = strconv.Itoa(int(v.Number())), string(v.Name()), typeEnumValue
	case protoreflect.MessageDescriptor:
		if r.typ == emptyMessage {
			if n := d.Fields().Len(); n != 0 {
				return row{}, fmt.Errorf("message has %d fields, want none", n)
			}
			got.typ = emptyMessage
			return got, nil
		}
		f := d.Fields().ByName(protoreflect.Name(r.name))
		if f == nil {
			return row{}, fmt.Errorf("message has no field of that name")
		}
		got.number, got.name, got.typ = strconv.Itoa(int(f.Number())), string(f.Name()), typeOf(f)
		got.jsonName = f.JSONName()
		if e := f.Enum(); e != nil {
			got.enumValues = valuesOf(e)
		}
	default:
		return row{}, fmt.Errorf("descriptor is a %T, want a message or an enum", d)
	}
	return got, nil
}

// typeOf words the type of a field as the table does:
//
//	[repeated|optional] type [[packed]|[deprecated]|[oneof name]]…
func typeOf(f protoreflect.FieldDescriptor) string {
	if f.IsMap() {
		return fmt.Sprintf("map<%s,%s>", typeOf(f.MapKey()), typeOf(f.MapValue()))
	}
	var b strings.Builder
	switch {
	case f.IsList():
		b.WriteString("repeated ")
	case f.HasOptionalKeyword():
		b.WriteString("optional ")
	}
	b.WriteString(f.Kind().String())
	switch {
	case f.Message() != nil:
		b.WriteString(" " + string(f.Message().FullName()))
	case f.Enum() != nil:
		b.WriteString(" " + string(f.Enum().FullName()))
	}
	if f.IsPacked() {
		b.WriteString(" [packed]")
	}
	if o, ok := f.Options().(*descriptorpb.FieldOptions); ok && o.GetDeprecated() {
		b.WriteString(" [deprecated]")
	}
	if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
		b.WriteString(" [oneof " + string(o.Name()) + "]")
	}
	return b.String()
}

// valuesOf words the values of an enum as the table does.
func valuesOf(e protoreflect.EnumDescriptor) string {
	var out []string
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		out = append(out, fmt.Sprintf("%s=%d", v.Name(), v.Number()))
	}
	return strings.Join(out, ",")
}

// isSubsequence tells whether all of want are in got, in the same order.
func isSubsequence(want, got []string) bool {
	for _, w := range want {
		i := slices.Index(got, w)
		if i < 0 {
			return false
		}
		got = got[i+1:]
	}
	return true
}
