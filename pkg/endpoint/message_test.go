// SPDX-License-Identifier: Apache-2.0

package endpoint_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/lf-edge/eve-metadata/pkg/endpoint"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const add = `{"add":{"id":1,"network":"blue","role":2,"address":"[fe80::a9fe:a9fe%br0]:80","alone":true,"ports":"bn1"}}`
	for name, tt := range map[string]struct {
		datagram string
		want     string // "": malformed
	}{
		"an endpoint":                      {add, add},
		"an endpoint that is gone":         {`{"remove":7}`, `{"remove":7}`},
		"the end of a set":                 {`{"complete":true}`, `{"complete":true}`},
		"nothing":                          {``, ""},
		"nothing said":                     {`{}`, ""},
		"two things said":                  {`{"remove":7,"complete":true}`, ""},
		"two values":                       {`{"remove":7}{"remove":8}`, ""},
		"something new":                    {`{"remove":7,"why":""}`, ""},
		"no id":                            {strings.Replace(add, `"id":1`, `"id":0`, 1), ""},
		"no network":                       {strings.Replace(add, `blue`, ``, 1), ""},
		"a network with a line's end":      {strings.Replace(add, `blue`, `b\nlue`, 1), ""},
		"a long network":                   {strings.Replace(add, `blue`, strings.Repeat("b", 65), 1), ""},
		"no such role":                     {strings.Replace(add, `"role":2`, `"role":3`, 1), ""},
		"a role below the first":           {strings.Replace(add, `"role":2`, `"role":-1`, 1), ""},
		"no address":                       {strings.Replace(add, `[fe80::a9fe:a9fe%br0]:80`, ``, 1), ""},
		"no port":                          {strings.Replace(add, `]:80`, `]:0`, 1), ""},
		"a zone that is no interface":      {strings.Replace(add, `%br0`, `%`+strings.Repeat("b", 16), 1), ""},
		"a bridge that is a path":          {strings.Replace(add, `bn1`, `../bn1`, 1), ""},
		"more than a message":              {`{"remove":7` + strings.Repeat(" ", endpoint.MaxMessage) + `}`, ""},
		"an endpoint that is a number":     {`{"add":1}`, ""},
		"an id that is no number of ours":  {`{"remove":-1}`, ""},
		"a network that is no text at all": {strings.Replace(add, `"blue"`, `[]`, 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := endpoint.Parse([]byte(tt.datagram))
			switch {
			case tt.want == "" && !errors.Is(err, endpoint.ErrMalformed):
				t.Errorf("%s: %s, %v; want an error", tt.datagram, got, err)
			case tt.want != "" && (err != nil || string(got) != tt.want):
				t.Errorf("%s: %s, %v", tt.datagram, got, err)
			}
		})
	}
}

// Whatever is taken is written back as something that is taken for the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"add":{"id":1,"network":"blue","role":0,"address":"169.254.169.254:80"}}`))
	f.Add([]byte(`{"remove":7}`))
	f.Add([]byte(`{"complete":true}`))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		once, err := endpoint.Parse(datagram)
		if err != nil {
			return
		}
		if len(once) > endpoint.MaxMessage {
			t.Errorf("%d bytes are written as %d", len(datagram), len(once))
		}
		if twice, err := endpoint.Parse(once); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%s: %s, %v", once, twice, err)
		}
	})
}
