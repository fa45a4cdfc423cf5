// SPDX-License-Identifier: Apache-2.0

package eveapi_test

import (
	"fmt"
	"path"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestWireTableGoTypes checks that every message and enum of the table is a Go
// type of the package that is named after its file's folder.
func TestWireTableGoTypes(t *testing.T) {
	t.Parallel()
	want := map[string]int{"message": 116, "enum": 57}
	got := map[string]int{}
	seen := map[protoreflect.FullName]bool{}
	for _, r := range readTable(t) {
		if seen[r.fullName()] {
			continue
		}
		seen[r.fullName()] = true
		kind, err := checkGoType(r)
		if err != nil {
			t.Errorf("%v: %v", r, err)
		}
		got[kind]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("types checked (-want +got):\n%s", diff)
	}
}

// checkGoType looks up the Go type of a row's message or enum. It returns which
// of the two it is.
func checkGoType(r row) (kind string, err error) {
	wantPkg, wantName := importPath+"/"+path.Dir(r.file), goName(r.parent)
	var typ reflect.Type
	if r.typ == typeEnumValue {
		kind = "enum"
		e, err := protoregistry.GlobalTypes.FindEnumByName(r.fullName())
		if err != nil {
			return kind, fmt.Errorf("find enum %q: %w", r.fullName(), err)
		}
		typ = reflect.TypeOf(e.New(0))
	} else {
		kind = "message"
		if strings.HasSuffix(r.parent, "Entry") {
			// The entry of a map is a Go map, not a type of its own.
			return kind, nil
		}
		m, err := protoregistry.GlobalTypes.FindMessageByName(r.fullName())
		if err != nil {
			return kind, fmt.Errorf("find message %q: %w", r.fullName(), err)
		}
		typ = reflect.TypeOf(m.Zero().Interface()).Elem()
	}
	if r.pkg == "google.protobuf" {
		wantPkg = reflect.TypeFor[timestamppb.Timestamp]().PkgPath()
	}
	if typ.PkgPath() != wantPkg || typ.Name() != wantName {
		return kind, fmt.Errorf("Go type is %q of %q, want %q of %q", typ.Name(), typ.PkgPath(), wantName, wantPkg)
	}
	return kind, nil
}

// goName returns the Go name of a message or enum, as protoc-gen-go forms it:
// what is nested in a message follows its name, after an underscore unless it
// starts with a small letter.
func goName(name string) string {
	parts := strings.Split(name, ".")
	out := strings.ToUpper(parts[0][:1]) + parts[0][1:]
	for _, p := range parts[1:] {
		if up := strings.ToUpper(p[:1]); up != p[:1] {
			out += up + p[1:]
		} else {
			out += "_" + p
		}
	}
	return out
}
