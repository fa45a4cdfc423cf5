// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/nim/plan/plantest"
)

var update = flag.Bool("update", false, "write what plans are into the golden files")

// Each file has what is wanted, what is seen, and the plan.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var wanted plan.Wanted
			var seen plan.Seen
			part(t, ar, "wanted.json", &wanted)
			part(t, ar, "seen.json", &seen)
			got := lines(plan.Plan(wanted, seen))
			if *update {
				setPart(ar, "plan", got)
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(rawPart(t, ar, "plan")), got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			settles(t, wanted, plantest.New(seen))
		})
	}
}

// settles carries out the plan; another one must be empty then.
func settles(t *testing.T, wanted plan.Wanted, k *plantest.Kernel) {
	t.Helper()
	for _, step := range plan.Plan(wanted, k.Seen()) {
		if err := k.Apply(step); err != nil {
			t.Errorf("step can not be done: %v", err)
		}
	}
	if again := plan.Plan(wanted, k.Seen()); len(again) > 0 {
		t.Errorf("not settled by its own plan, left are:\n%s", lines(again))
	}
}

func lines(steps []plan.Step) string {
	var b strings.Builder
	for _, s := range steps {
		b.WriteString(s.String() + "\n")
	}
	return b.String()
}

func rawPart(t *testing.T, ar *txtar.Archive, name string) []byte {
	t.Helper()
	for _, f := range ar.Files {
		if f.Name == name {
			return f.Data
		}
	}
	t.Fatalf("no part %q", name)
	return nil
}

func part(t *testing.T, ar *txtar.Archive, name string, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(rawPart(t, ar, name)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("part %q: %v", name, err)
	}
}

func setPart(ar *txtar.Archive, name, text string) {
	for i := range ar.Files {
		if ar.Files[i].Name == name {
			ar.Files[i].Data = []byte(text)
		}
	}
}
