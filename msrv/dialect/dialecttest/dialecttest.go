// SPDX-License-Identifier: Apache-2.0

// Package dialecttest is the contract of a dialect as a test suite.
//
// Each dialect's test calls Run with its Dialect and the directory of its golden trees, and Readme with
// its README. The instances that the suite renders are exported for tests of carriers and commands.
package dialecttest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// Case is an instance under a name, as golden files are named.
type Case struct {
	Name string
	Make func() *instance.Instance
}

// Cases are the instances of the suite.
func Cases() []Case {
	return []Case{{"small", Small}, {"rich", Rich}, {"six", Six}, {"empty", Empty}, {"hostile", Hostile}}
}

// Run holds a dialect to its contract:
//
//   - The trees of all instances are those in dir, one text file each. Where the test binary has a flag
//     -update that is set, the files are written instead.
//   - Every name in a listing is there, and nothing is below a file.
//   - JSON documents parse and hold no null.
//   - One instance has one rendering, whatever the order of its maps.
//   - User data that is at fault is a faulty document, and no drive at all.
//   - No error and no fault shows what is secret.
func Run(t *testing.T, d dialect.Dialect, dir string) {
	t.Helper()
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			trees := renderAll(t, d, c.Make())
			checkGolden(t, dir, c.Name, trees)
			checkSame(t, trees, renderAll(t, d, otherOrder(c.Make())))
			for _, tree := range trees {
				checkTree(t, tree)
			}
		})
	}
	t.Run("user data at fault", func(t *testing.T) {
		t.Parallel()
		checkFault(t, d)
	})
	t.Run("no secret in errors", func(t *testing.T) {
		t.Parallel()
		checkSecrets(t, d)
	})
}

// namedTree is a tree that a dialect rendered, with the carrier that it is for.
type namedTree struct {
	carrier string
	root    *document.Node
}

// renderAll renders all that a dialect has for an instance.
func renderAll(t *testing.T, d dialect.Dialect, in *instance.Instance) []namedTree {
	t.Helper()
	trees, err := render(d, in)
	if err != nil {
		t.Fatalf("render %s: %v", in.Hostname, err)
	}
	return trees
}

func render(d dialect.Dialect, in *instance.Instance) ([]namedTree, error) {
	var trees []namedTree
	for _, s := range d.HTTP {
		if s.Render == nil {
			continue
		}
		n, err := s.Render(in)
		if err != nil {
			return nil, err
		}
		trees = append(trees, namedTree{"http " + s.Site.String(), n})
	}
	if d.Drive != nil {
		n, err := d.Drive.Render(in)
		if err != nil {
			return nil, err
		}
		trees = append(trees, namedTree{"drive", n})
	}
	return trees, nil
}

// otherOrder is the same instance with its maps filled the other way round.
func otherOrder(in *instance.Instance) *instance.Instance {
	tags := make(map[string]string, 4*len(in.Tags))
	for _, k := range slices.Backward(slices.Sorted(maps.Keys(in.Tags))) {
		tags[k] = in.Tags[k]
	}
	if in.Tags != nil {
		in.Tags = tags
	}
	return in
}

// checkSame compares two renderings document by document.
func checkSame(t *testing.T, a, b []namedTree) {
	t.Helper()
	for i := range a {
		if goldenText(a[i].root) != goldenText(b[i].root) {
			t.Errorf("%s: two renderings of one instance differ", a[i].carrier)
		}
		err := a[i].root.Walk(func(path string, n *document.Node) error {
			other := b[i].root.Lookup(path)
			if other == nil || !bytes.Equal(other.Document().Body(), n.Document().Body()) {
				return fmt.Errorf("%s /%s: two renderings of one instance differ", a[i].carrier, path)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// checkFault renders an instance whose user data did not decrypt.
func checkFault(t *testing.T, d dialect.Dialect) {
	t.Helper()
	const reason = "decrypt user data: wrong key"
	in := Small()
	in.UserData, in.UserDataFault = nil, reason
	for _, s := range d.HTTP {
		if s.Render == nil {
			continue
		}
		n, err := s.Render(in)
		if err != nil {
			t.Fatalf("tree at %s of an instance with a fault: %v", s.Site, err)
		}
		faults := 0
		err = n.Walk(func(path string, n *document.Node) error {
			if got := n.Document().Fault(); got != "" {
				faults++
				if got != reason {
					return fmt.Errorf("/%s: fault %q, want %q", path, got, reason)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if faults == 0 {
			t.Errorf("no document of the tree at %s is faulty", s.Site)
		}
	}
	if d.Drive != nil {
		if _, err := d.Drive.Render(in); err == nil {
			t.Error("there is a drive without the user data that it should hold")
		}
	}
}

// checkSecrets breaks the rich instance in many ways and looks for its secret in what comes of it.
func checkSecrets(t *testing.T, d dialect.Dialect) {
	t.Helper()
	const header = "Content-Type: multipart/mixed; boundary=b\nMIME-Version: 1.0\n\n"
	broken := map[string]func(*instance.Instance){
		"as it is":         func(*instance.Instance) {},
		"fault":            func(in *instance.Instance) { in.UserDataFault = "no key" },
		"binary vendor":    func(in *instance.Instance) { in.VendorData = instance.Opaque("\xff" + Secret) },
		"multipart, cut":   func(in *instance.Instance) { in.UserData = instance.Opaque(header + "--b\n\n" + Secret) },
		"multipart, empty": func(in *instance.Instance) { in.UserData = instance.Opaque(header + Secret) },
		"multipart, header": func(in *instance.Instance) {
			in.UserData = instance.Opaque(header + "--b\n" + Secret + "\n\n--b--\n")
		},
		"multipart, base64": func(in *instance.Instance) {
			in.UserData = instance.Opaque(header + "--b\nContent-Transfer-Encoding: base64\n" +
				"Content-Disposition: attachment; filename=f\n\n?" + Secret + "\n--b--\n")
		},
	}
	for name, breakIt := range broken {
		for kind := instance.DriveNone; kind <= instance.DriveConfig; kind++ {
			in := Rich()
			breakIt(in)
			in.Drive = kind
			for _, text := range complaints(d, in) {
				if strings.Contains(text, Secret) {
					t.Errorf("%s, %s: the secret is in %q", name, kind, text)
				}
			}
		}
	}
}

// complaints are the errors and faults that an instance brings about.
func complaints(d dialect.Dialect, in *instance.Instance) []string {
	trees, err := render(d, in)
	if err != nil {
		return []string{err.Error()}
	}
	var texts []string
	for _, tree := range trees {
		err := tree.root.Walk(func(_ string, n *document.Node) error {
			texts = append(texts, n.Document().Fault())
			return nil
		})
		if err != nil {
			texts = append(texts, err.Error())
		}
	}
	return texts
}

// errNull is a JSON null where a document may have none.
var errNull = errors.New("a null is in it")
