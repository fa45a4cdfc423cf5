// SPDX-License-Identifier: Apache-2.0

package eden_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"
)

// line is a command of a script: conditions and "!", the command, the rest.
var line = regexp.MustCompile(`^\s*((?:\[[^\]]+\]\s*)*)(!\s+)?(\S+)\s*(.*)$`)

// missing is the way in which eden's scripts end, and pass, where a program is missing.
var missing = regexp.MustCompile(`^\s*\[!exec:(\S+)\]\s+stop\s*$`)

// same are the commands that escript and testscript both have, alike as far as scenarios use them.
var same = []string{
	"cd", "chmod", "cmp", "cmpenv", "cp", "env", "exists", "grep", "mkdir", "rm", "skip", "stderr", "stdin", "stdout", "stop", "symlink",
	"unquote", "wait",
}

// own are those of escript that testscript knows by commands of ours.
var own = []string{"arg", "message", "source"}

// translate words a rendered script of eden's as one of testscript's. The files in it stay as they are.
func translate(script string) (string, error) {
	archive := txtar.Parse([]byte(script))
	lines := strings.Split(string(archive.Comment), "\n")
	for i, text := range lines {
		var err error
		if lines[i], err = translateLine(text); err != nil {
			return "", fmt.Errorf("line %d of what is rendered: %w", i+1, err)
		}
	}
	archive.Comment = []byte(strings.Join(lines, "\n"))
	return string(txtar.Format(archive)), nil
}

func translateLine(text string) (string, error) {
	if strings.TrimSpace(text) == "" || strings.HasPrefix(strings.TrimSpace(text), "#") {
		return text, nil
	}
	if found := missing.FindStringSubmatch(text); found != nil {
		return "need " + found[1], nil // not a test that passes because it does nothing
	}
	found := line.FindStringSubmatch(text)
	before, command, rest := found[1]+found[2], found[3], found[4]
	switch {
	case slices.Contains(same, command), slices.Contains(own, command):
		return text, nil
	case command != "eden" && command != "test" && command != "exec":
		return "", fmt.Errorf("the runner does not know escript's command %q", command)
	}
	limit, rest, err := takeLimit(rest)
	if err != nil {
		return "", err
	}
	if command == "eden" {
		rest = "eden " + rest
	}
	return before + "exec " + limit + rest, nil
}

// takeLimit takes the time that a command may take, "-t 10m", off its arguments.
func takeLimit(rest string) (limit, without string, err error) {
	after, ok := strings.CutPrefix(rest, "-t ")
	if !ok {
		return "", rest, nil
	}
	text, without, ok := strings.Cut(strings.TrimLeft(after, " "), " ")
	if !ok {
		return "", "", fmt.Errorf("there is no command after -t %s", text)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return "", "", err
	}
	return fmt.Sprintf("timeout %g ", d.Seconds()), without, nil
}

// commands are those that translated scripts have beside testscript's own. args are those that the suite passes to each script.
func commands(args map[string]map[string]string) map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"arg": func(ts *testscript.TestScript, neg bool, words []string) {
			if neg || len(words) != 2 {
				ts.Fatalf("usage: arg NAME VARIABLE")
			}
			if value, ok := args[ts.Name()][words[0]]; ok {
				ts.Setenv(words[1], value)
			}
		},
		"message": func(ts *testscript.TestScript, neg bool, words []string) {
			if neg || len(words) != 1 {
				ts.Fatalf("usage: message TEXT")
			}
			ts.Logf("message: %s", words[0])
		},
		"need": func(ts *testscript.TestScript, _ bool, words []string) {
			for dir := range strings.SplitSeq(ts.Getenv("PATH"), string(filepath.ListSeparator)) {
				if info, err := os.Stat(filepath.Join(dir, words[0])); err == nil && info.Mode()&0o111 != 0 {
					return
				}
			}
			ts.Fatalf("%s is not installed", words[0])
		},
		"source": func(ts *testscript.TestScript, neg bool, words []string) {
			if neg || len(words) == 0 {
				ts.Fatalf("usage: source FILE...")
			}
			for _, file := range words {
				for text := range strings.Lines(ts.ReadFile(file)) {
					name, value, ok := strings.Cut(strings.TrimSpace(text), "=")
					if !ok && name != "" {
						ts.Fatalf("%s: %q is no NAME=value", file, name)
					}
					if ok {
						ts.Setenv(name, value)
					}
				}
			}
		},
	}
}

// entry is a line of the suite that runs a scenario.
var entry = regexp.MustCompile(`^eden\.escript\.test -test\.run TestEdenScripts/(\S+) -test\.timeout (\S+)(?: -args=(\S+))?$`)

// suite returns, by scenario, the arguments that the suite passes to it.
func suite(t testing.TB) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile("eden.metadata.tests.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]map[string]string)
	for text := range strings.Lines(string(text)) {
		text = strings.TrimSpace(text)
		if !strings.HasPrefix(text, "eden.escript.test") {
			continue
		}
		found := entry.FindStringSubmatch(text)
		if found == nil {
			t.Fatalf("the suite has %q, which the runner does not understand", text)
		}
		args := make(map[string]string)
		for arg := range strings.SplitSeq(found[3], ",") {
			if name, value, ok := strings.Cut(arg, "="); ok {
				args[name] = value
			}
		}
		all[found[1]] = args
	}
	return all
}
