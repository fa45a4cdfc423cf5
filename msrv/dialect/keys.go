// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// Keys are the SSH keys of an instance under names that every client can read: one key per name, no
// name twice, and nothing in a name that a client splits at. EC2's clients split a line at '=', some at
// blanks too, and take a final '/' for a directory; cloud-init keeps keys in a map by name, so that of two keys with one name
// a guest would lose one. What comes in with several lines becomes as many keys; comments and blank
// lines go. The order is kept.
func Keys(in *instance.Instance) []instance.Key {
	var keys []instance.Key
	taken := make(map[string]bool)
	for _, k := range in.Keys {
		for line := range strings.Lines(k.Data) {
			data := OneLine(line)
			if data == "" || strings.HasPrefix(data, "#") {
				continue
			}
			name := free(keyName(k.Name), taken)
			taken[name] = true
			keys = append(keys, instance.Key{Name: name, Data: data})
		}
	}
	return keys
}

// free is the name itself, or the first of name-2, name-3, … that is not taken.
func free(name string, taken map[string]bool) string {
	candidate := name
	for n := 2; taken[candidate]; n++ {
		candidate = fmt.Sprintf("%s-%d", name, n)
	}
	return candidate
}

func keyName(name string) string {
	name = strings.NewReplacer("=", "-", "/", "-", " ", "-").Replace(OneLine(name))
	if name == "" {
		return "key"
	}
	return name
}

// OneLine is a text fit for one line of a listing or a value: control characters, line separators and
// bytes that are no UTF-8 become '-', and space at either end goes. Clients read a value with a line
// break as a list of values.
func OneLine(text string) string {
	text = strings.TrimSpace(text)
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError {
			return '-'
		}
		return r
	}, text)
}

// Word is a text that clients read as just that: a line break would make it a list to them, and braces
// around it a JSON object to cloud-init. What would do so is a '-' instead.
func Word(text string) string {
	text = OneLine(text)
	if strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}") {
		return "-" + text[1:]
	}
	return text
}
