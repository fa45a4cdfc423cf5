// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/google/uuid"
)

// document is one YAML document with the places of its fields, and the means to follow the names of files in it.
type document struct {
	*decoder
	files *reader
}

// check notes err, when there is one, as the problem of a field.
func (doc *document) check(at string, err error) {
	if err != nil {
		doc.problem(at, "%v", err)
	}
}

// required says whether a field was given and is not empty; else it notes so.
func (doc *document) required(at, value string) bool { return doc.given(at, value != "") }

// given is required for what is no text: the caller knows whether there is anything.
func (doc *document) given(at string, anything bool) bool {
	switch {
	case anything:
		return true
	case !doc.has(at):
		doc.problem(at, "is missing")
	default:
		doc.problem(at, "is empty")
	}
	return false
}

// identity checks what every kind of manifest has, and returns its UUID.
func (doc *document) identity(kind, name, id string, version uint32) uuid.UUID {
	doc.required("name", name)
	if version == 0 {
		doc.problem("version", "0 is not a version: count from 1")
	}
	if !doc.has("uuid") {
		return derivedUUID(kind, name)
	}
	u, err := parseUUID(id)
	doc.check("uuid", err)
	return u
}

// choice is one value of a field that has few, and what it means.
type choice[T any] struct {
	name  string
	value T
}

func choose[T any](doc *document, at, name string, choices []choice[T]) T {
	names := make([]string, len(choices))
	for i, c := range choices {
		if c.name == name {
			return c.value
		}
		names[i] = c.name
	}
	doc.problem(at, "%q is not one of %s", shortened(name), strings.Join(names, ", "))
	var none T
	return none
}

// words are choices that mean themselves.
func words(names ...string) []choice[string] {
	choices := make([]choice[string], len(names))
	for i, name := range names {
		choices[i] = choice[string]{name, name}
	}
	return choices
}

// unique notes members of a list that have the same name; format makes the path out of a member's index.
func unique[T any](doc *document, format string, list []T, name func(T) string) {
	first := map[string]int{}
	for i, e := range list {
		n := name(e)
		if n == "" {
			continue // noted already
		}
		if j, twice := first[n]; twice {
			doc.problem(fmt.Sprintf(format, i), "%q is taken by %s", n, strings.Split(fmt.Sprintf(format, j), ".")[0])
			continue
		}
		first[n] = i
	}
}

// contentOf returns what one of the three fields for content gives: the text, the file's bytes or the decoded base64.
// It is nil when none was given, and not nil, though perhaps empty, when one was.
func (doc *document) contentOf(text, file, b64 string, t Content, f string, b Content) []byte {
	var given []string
	for _, at := range []string{text, file, b64} {
		if doc.has(at) {
			given = append(given, at)
		}
	}
	if len(given) == 0 {
		return nil
	}
	if len(given) > 1 {
		doc.problem(given[1], "is given beside %s: only one of the two can be", given[0])
	}
	var (
		data []byte
		err  error
	)
	switch at := given[0]; at {
	case file:
		data, err = doc.files.content(f)
	case b64:
		data, err = decodeBase64(string(b))
	default:
		data = []byte(t)
	}
	if err == nil && len(data) > MaxContent {
		err = fmt.Errorf("%d bytes are more than %d", len(data), MaxContent)
	}
	doc.check(given[0], err)
	return data
}

// decodeBase64 reads base64 as people paste it: with or without line breaks.
func decodeBase64(s string) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		return nil, errors.New("not base64")
	}
	return data, nil
}

// password returns the password that one of the two fields gives. A file may end it with a line break, as editors do.
func (doc *document) password(text Secret, file string) string {
	at, password := "password", string(text)
	switch {
	case doc.has("password") && doc.has("passwordFile"):
		doc.problem("passwordFile", "is given beside password: only one of the two can be")
	case doc.has("passwordFile"):
		at = "passwordFile"
		data, err := doc.files.content(file)
		if err != nil {
			doc.check(at, err)
			return ""
		}
		password = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	case !doc.has("password"):
		return ""
	}
	doc.check(at, checkSecret(password))
	return password
}

func (doc *document) mtu(at string, mtu uint16) {
	if doc.has(at) && mtu < minMTU {
		doc.problem(at, "%d is not from %d to %d", mtu, minMTU, maxMTU)
	}
}

// addresses reads a list of addresses; those that are none are noted and left out.
func (doc *document) addresses(at string, list []string) []net.IP {
	var ips []net.IP
	for i, s := range list {
		a, err := parseAddr(s)
		doc.check(fmt.Sprintf("%s[%d]", at, i), err)
		if err == nil {
			ips = append(ips, a.AsSlice())
		}
	}
	return ips
}

func (doc *document) domains(at string, list []string) {
	for i, s := range list {
		doc.check(fmt.Sprintf("%s[%d]", at, i), checkDomain(s))
	}
}

type route struct {
	to  netip.Prefix
	via netip.Addr
}

func (doc *document) routes(at string, list []Route) []route {
	var routes []route
	for i, r := range list {
		at := fmt.Sprintf("%s[%d]", at, i)
		given := doc.required(at+".to", r.To)
		if !doc.required(at+".via", r.Via) || !given {
			continue
		}
		to, err := parsePrefix(r.To)
		doc.check(at+".to", err)
		via, viaErr := parseAddr(r.Via)
		doc.check(at+".via", viaErr)
		if err != nil || viaErr != nil {
			continue
		}
		if to.Addr().Is4() != via.Is4() {
			doc.problem(at, "%v cannot be reached by %v: IPv4 and IPv6", to, via)
			continue
		}
		routes = append(routes, route{to, via})
	}
	return routes
}
