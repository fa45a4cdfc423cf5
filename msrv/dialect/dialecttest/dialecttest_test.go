// SPDX-License-Identifier: Apache-2.0

package dialecttest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect/dialecttest"
	"github.com/lf-edge/eve-metadata/msrv/document"
)

func entry(name string, n *document.Node) document.Entry { return document.Entry{Name: name, Node: n} }

func file(text string) *document.Node { return document.File(document.Text(text)) }

// TestCheckListing holds that the suite finds what it is there to find.
func TestCheckListing(t *testing.T) {
	t.Parallel()
	entries := []document.Entry{
		entry("file", file("")),
		entry("dir", document.Directory(document.Text(""), entry("x", file("")))),
		entry("silent", document.Directory(nil)),
		entry("0", document.Directory(document.Text(""))),
	}
	for _, tt := range []struct {
		name, listing string
		ok            bool
	}{
		{"empty", "", true},
		{"all forms", "file\ndir/\ndir\n0=name of a key", true},
		{"a name that is not there", "file\nother", false},
		{"a key that is not there", "1=name", false},
		{"a key with two signs", "0=a=b", false},
		{"a file as a directory", "file/", false},
		{"a directory that does not answer", "silent/", false},
		{"a line break at the end", "file\n", false},
		{"an empty line", "file\n\ndir", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := dialecttest.CheckListing(document.Directory(document.Text(tt.listing), entries...))
			if (err == nil) != tt.ok {
				t.Errorf("error %v, want one: %v", err, !tt.ok)
			}
		})
	}
}

func TestCheckDocument(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		doc  *document.Document
		ok   bool
	}{
		{"text", document.Text("null"), true},
		{"JSON", document.New(document.TypeJSON, []byte(`{"a":[{"b":[]}]}`)), true},
		{"a null list", document.New(document.TypeJSON, []byte(`{"a":[{"b":null}]}`)), false},
		{"null", document.New(document.TypeJSON, []byte(`null`)), false},
		{"broken JSON", document.New(document.TypeJSON, []byte(`{`)), false},
		{"empty JSON", document.New(document.TypeJSON, nil), false},
		{"no type", document.New("", nil), false},
		{"a fault", document.Faulty("x"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := dialecttest.CheckDocument(tt.doc); (err == nil) != tt.ok {
				t.Errorf("error %v, want one: %v", err, !tt.ok)
			}
		})
	}
}

func TestGoldenText(t *testing.T) {
	t.Parallel()
	shared := document.Directory(document.Text("x"), entry("x", file("one\ntwo\xff")))
	root := document.Directory(nil,
		entry("a", shared), entry("again", shared), entry("same", file("one\ntwo\xff")),
		entry("fault", document.File(document.Faulty("why"))), entry("empty", file("")), entry("empty2", file("")),
	)
	want := `/a text/plain; charset=utf-8
	"x"
/a/x text/plain; charset=utf-8
	"one\n"
	"two\xff"
/again = /a
/same = /a/x
/fault FAULT "why"
/empty text/plain; charset=utf-8
/empty2 text/plain; charset=utf-8
`
	if diff := cmp.Diff(want, dialecttest.GoldenText(root)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func TestParseExamples(t *testing.T) {
	t.Parallel()
	const readme = `# x

## Drive

` + "```" + `
GET /not/here
` + "```" + `

## Examples

Text, GET /nor/here.

` + "```" + `
GET /a
one
two

GET /empty

FILE /b
404
` + "```" + `
GET /after
`
	want := [][3]string{{"GET", "/a", "one\ntwo"}, {"GET", "/empty", ""}, {"FILE", "/b", "404"}}
	if diff := cmp.Diff(want, dialecttest.ParseExamples(readme)); diff != "" {
		t.Errorf("examples (-want +got):\n%s", diff)
	}
}

// TestInstances holds that every call makes an instance of its own, and that the mandatory fields are
// filled.
func TestInstances(t *testing.T) {
	t.Parallel()
	uuids := make(map[string]string)
	for _, c := range dialecttest.Cases() {
		a, b := c.Make(), c.Make()
		if a == b {
			t.Errorf("%s: two calls give one instance", c.Name)
		}
		if a.UUID == "" || a.Version == "" || a.Hostname == "" {
			t.Errorf("%s: a mandatory field is empty", c.Name)
		}
		if other, twice := uuids[a.UUID]; twice {
			t.Errorf("%s has the UUID of %s", c.Name, other)
		}
		uuids[a.UUID] = c.Name
	}
}
