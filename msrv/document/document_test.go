// SPDX-License-Identifier: Apache-2.0

package document_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/document"
)

func TestETag(t *testing.T) {
	t.Parallel()
	a, again, b := document.Text("a"), document.New(document.TypeBytes, []byte("a")), document.Text("b")
	if a.ETag() != again.ETag() {
		t.Errorf("one content has two tags: %s and %s", a.ETag(), again.ETag())
	}
	if a.ETag() == b.ETag() {
		t.Errorf("two contents have one tag %s", a.ETag())
	}
	// RFC 9110 section 8.8.3: a strong tag is quoted, and has neither quotes nor controls in it.
	inner, ok := strings.CutPrefix(a.ETag(), `"`)
	inner, ok2 := strings.CutSuffix(inner, `"`)
	if !ok || !ok2 || inner == "" || strings.ContainsAny(inner, "\" \t\n") {
		t.Errorf("%s is no entity tag", a.ETag())
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		in   any
		want string
	}{
		{"characters of HTML", map[string]string{"a": "<b> & c"}, `{"a":"<b> & c"}`},
		{"sorted keys", map[string]int{"b": 2, "a": 1}, `{"a":1,"b":2}`},
		{"line breaks inside", "a\n", `"a\n"`},
		{"no UTF-8", "\xff", `"\ufffd"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, err := document.JSON(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(d.Body())); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			if d.Type() != document.TypeJSON {
				t.Errorf("type %q", d.Type())
			}
		})
	}
}

func TestJSONError(t *testing.T) {
	t.Parallel()
	if _, err := document.JSON(math.NaN()); err == nil {
		t.Error("NaN has a JSON form")
	}
}

func TestFaulty(t *testing.T) {
	t.Parallel()
	d := document.Faulty("no key")
	if d.Fault() != "no key" || len(d.Body()) != 0 {
		t.Errorf("fault %q with %d bytes", d.Fault(), len(d.Body()))
	}
	if got := document.Text("").Fault(); got != "" {
		t.Errorf("an empty document has the fault %q", got)
	}
}
