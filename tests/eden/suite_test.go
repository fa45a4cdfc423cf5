// SPDX-License-Identifier: Apache-2.0

package eden_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// TestSuite holds that the suite runs each scenario, and that none's name has another's in it: eden chooses by a regular
// expression.
func TestSuite(t *testing.T) {
	t.Parallel()
	want := slices.Sorted(maps.Keys(scenarios(t)))
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(suite(t)))); diff != "" {
		t.Errorf("scenarios in the suite (-testdata +suite):\n%s", diff)
	}
	for _, a := range want {
		for _, b := range want {
			if a != b && strings.Contains(b, a) {
				t.Errorf("eden runs %s when it is to run %s", b, a)
			}
		}
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range want {
		if !strings.Contains(string(readme), "testdata/"+name+".txt)") {
			t.Errorf("README.md does not say what %s is", name)
		}
	}
}

// TestKnown holds that the runner knows all that scenarios do, on a device or here: it renders them, words them, and finds
// each of eden's commands and flags. What is done on a device alone need not be known.
func TestKnown(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, text := range scenarios(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, model := range []string{here, "ZedVirtual-4G"} {
				rendered, err := p.render(text, model)
				if err != nil {
					t.Fatalf("%s: %v", model, err)
				}
				if strings.Contains(rendered, "<no value>") || strings.Contains(rendered, "{{") {
					t.Errorf("%s: there is a template left in\n%s", model, rendered)
				}
				translated, err := translate(rendered)
				if err != nil {
					t.Fatalf("%s: %v", model, err)
				}
				if model == here {
					checkKnown(t, translated)
				}
			}
		})
	}
	for _, path := range shells(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		checkShell(t, path, string(text))
	}
}

// shells are the scripts that scenarios share.
func shells(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("scripts/*.sh")
	if err != nil || len(paths) == 0 {
		t.Fatalf("there are no scripts: %v", err)
	}
	return paths
}

// checkKnown looks for commands that the runner does not know in a translated script and the files in it.
func checkKnown(t *testing.T, script string) {
	t.Helper()
	archive := txtar.Parse([]byte(script))
	found := 0
	for text := range strings.Lines(string(archive.Comment)) {
		words, ok := edens(text)
		if !ok {
			continue
		}
		found++
		if err := known(words[0], words[1:]); err != nil {
			t.Errorf("%s: %v", strings.TrimSpace(text), err)
		}
	}
	if skips := regexp.MustCompile(`(?m)^skip `); found == 0 && !skips.Match(archive.Comment) {
		t.Error("it has none of eden's commands")
	}
	for _, file := range archive.Files {
		if strings.HasSuffix(file.Name, ".sh") {
			checkShell(t, file.Name, string(file.Data))
		}
	}
}

// edens is the command line of one of eden's programs that a line of a translated script runs; false for another line.
func edens(text string) (words []string, ok bool) {
	found := line.FindStringSubmatch(strings.TrimSpace(text))
	if found == nil || found[3] != "exec" {
		return nil, false
	}
	words = split(found[4])
	if words[0] == "timeout" {
		words = words[2:]
	}
	words = slices.DeleteFunc(words, func(w string) bool { return w == "&" })
	return words, words[0] == "eden" || strings.HasPrefix(words[0], "eden.")
}

// split splits a line as scripts do, where quotes are around whole words.
func split(text string) []string {
	var words []string
	for _, found := range regexp.MustCompile(`'((?:[^']|'')*)'|(\S+)`).FindAllStringSubmatch(text, -1) {
		words = append(words, strings.ReplaceAll(found[1], "''", "'")+found[2])
	}
	return words
}

// called is eden's program in a shell's script, up to what may be behind a command.
var called = regexp.MustCompile(`"?\$EDEN"? ([^\n;|<)]*)`)

// checkShell looks for commands of eden's that the runner does not know in a shell's script, whose syntax it checks.
func checkShell(t *testing.T, name, text string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-n")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
	for _, found := range called.FindAllStringSubmatch(strings.ReplaceAll(text, "\\\n", " "), -1) {
		for _, kind := range []string{"signing", "encrypt"} {
			words := strings.Fields(strings.NewReplacer("$what", kind, `"`, "", "'", "").Replace(found[1]))
			if err := known("eden", words); err != nil {
				t.Errorf("%s: %s: %v", name, found[0], err)
			}
		}
	}
}

// TestUnknown holds that what the runner does not know is an error, whatever it is.
func TestUnknown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, line, want string }{
		{"command", "eden eve reset", "reset"},
		{"command without a group", "eden start", "start"},
		{"command of no command", "eden pod", "does not know"},
		{"flag", "eden pod deploy -n a --vnc-display=1 docker://a", "vnc-display"},
		{"missing argument", "eden pod deploy -n a", "accepts 1 arg"},
		{"missing flag", "eden controller edge-node set-config", "file"},
		{"program", "test eden.reboot.test -test.v -timewait 1m -reboot=1", "eden.reboot.test"},
		{"flag of a detector", "test eden.network.test -check-new ACTIVATED n1", "check-new"},
		{"state", "test eden.app.test -test.v PAUSED a", "PAUSED"},
		{"no state", "test eden.app.test -test.v a", "usage"},
		{"query", "test eden.lim.test -test.run TestInfo InfoContent.dinfo.x:y", "InfoContent.dinfo.x"},
		{"log", "test eden.lim.test -test.run TestLog content:y", "TestInfo"},
		{"no time", "test eden.app.test -timewait 0 RUNNING a", "wait for 0s"},
		{"command of escript", "frobnicate a", "frobnicate"},
		{"limit", "exec -t soon bash", "soon"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := knownLine(tt.line); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: error %v, want one with %q", tt.line, err, tt.want)
			}
		})
	}
	for _, line := range []string{
		"eden network create 10.11.12.0/24 -n n1 --uplink none", "eden -t 1m pod ps", "test eden.app.test -timewait 20m -check-new RUNNING a b",
	} {
		if err := knownLine(strings.Replace(line, "eden -t 1m", "eden -t 1m", 1)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// knownLine says in which way the runner does not know a line of a script.
func knownLine(text string) error {
	translated, err := translateLine(text)
	if err != nil {
		return err
	}
	words, ok := edens(translated)
	if !ok {
		return fmt.Errorf("%q is not one of eden's", translated)
	}
	return known(words[0], words[1:])
}

func TestTranslate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ escript, testscript string }{
		{"# a comment", "# a comment"},
		{"[!exec:jq] stop", "need jq"},
		{"stop 'for now'", "stop 'for now'"},
		{"eden pod ps", "exec eden pod ps"},
		{"! eden -t 1m30s pod ps", "! exec timeout 90 eden pod ps"},
		{"[exec:a] [!exec:b] ! test eden.app.test RUNNING a &", "[exec:a] [!exec:b] ! exec eden.app.test RUNNING a &"},
		{"exec -t 10m bash a.sh 'b  c'", "exec timeout 600 bash a.sh 'b  c'"},
		{"exec bash", "exec bash"},
		{"stdout '^a b$'", "stdout '^a b$'"},
	} {
		if got, err := translateLine(tt.escript); err != nil || got != tt.testscript {
			t.Errorf("%q is %q, %v, want %q", tt.escript, got, err, tt.testscript)
		}
	}
}
