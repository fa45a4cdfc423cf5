// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/pkg/pubsub"
	"github.com/lf-edge/eve-metadata/pkg/pubsub/internal/wire"
)

func TestMessagesSurviveParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		datagram []byte
		text     string
		want     wire.Message
	}{
		{wire.Hello("T", true), "hello T true", wire.Message{Command: "hello", Topic: "T", Persistent: "true"}},
		{wire.Update("T", "k", []byte(`{}`)), "update T aw== e30=", wire.Message{Command: "update", Topic: "T", Key: "k", Value: []byte(`{}`)}},
		{wire.Delete("T", "k"), "delete T aw==", wire.Message{Command: "delete", Topic: "T", Key: "k"}},
		{wire.Complete("T"), "complete T", wire.Message{Command: "complete", Topic: "T"}},
		{wire.Restarted("T", 7), "restarted T 7", wire.Message{Command: "restarted", Topic: "T", Restarted: 7}},
	} {
		if diff := cmp.Diff(c.text, string(c.datagram)); diff != "" {
			t.Errorf("datagram (-want +got):\n%s", diff)
		}
		got, err := wire.Parse(c.datagram)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("parse %q: error %v (-want +got):\n%s", c.text, err, diff)
		}
	}
}

func TestParseMalformed(t *testing.T) {
	t.Parallel()
	for _, datagram := range []string{
		"hello", "update T k", "update T k e30=", "update T aw== e30", "update T aw== W10-", "update T  e30=",
		"delete T", "restarted T 1e3", "restarted T 99999999999999999999", "complete",
	} {
		if _, err := wire.Parse([]byte(datagram)); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("parse %q: error is %v, want ErrMalformed", datagram, err)
		}
	}
}

func TestForm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value, form string }{
		{"sorted", `{"b":1,"a":{"z":[],"y":null},"B":true}`, `{"B":true,"a":{"y":null,"z":[]},"b":1}`},
		{"numbers keep their digits", `{"n":18446744073709551615,"f":1.50,"e":1e21}`, `{"e":1e21,"f":1.50,"n":18446744073709551615}`},
		{"escapes", `{"h":"<a&b>","u":"\u00e9\u2028"}`, `{"h":"\u003ca\u0026b\u003e","u":"é\u2028"}`},
		{"sorted by the name on the wire", `{"pubsub-g":1,"pubsub-large-X":2,"pubsub-e":3}`, `{"pubsub-e":3,"pubsub-file-X":"\"/l/0\"","pubsub-g":1}`},
		{"nested", `{"l":[{"pubsub-large-X":1},{"pubsub-large-X":2}],"a":{"pubsub-large-Y":{"pubsub-large-Z":1}}}`,
			`{"a":{"pubsub-file-Y":"\"/l/0\""},"l":[{"pubsub-file-X":"\"/l/1\""},{"pubsub-file-X":"\"/l/2\""}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v, err := wire.NewValue("T", "/l", "k", []byte(c.value))
			if err != nil {
				t.Fatal(err)
			}
			files := map[string]string{}
			var paths []string
			for i, l := range v.Large {
				paths = append(paths, "/l/"+string(rune('0'+i)))
				files[paths[i]] = string(l.Content)
			}
			form := v.Form(paths)
			if diff := cmp.Diff(c.form, string(form)); diff != "" {
				t.Errorf("form (-want +got):\n%s", diff)
			}
			back, err := wire.Resolve(form, func(path string) ([]byte, error) {
				content, ok := files[path]
				if delete(files, path); !ok {
					return nil, os.ErrNotExist
				}
				return []byte(content), nil
			})
			if err != nil || !wire.Equal(back, []byte(c.value)) || len(files) > 0 {
				t.Errorf("resolved value is %s, error %v, files left %v; want %s", back, err, files, c.value)
			}
		})
	}
}

func TestResolveErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, form, file string
		want             error
	}{
		{"no string", `{"pubsub-file-X":1}`, `{"x":1}`, wire.ErrMalformed},
		{"not quoted twice", `{"pubsub-file-X":"/l/x"}`, `{"x":1}`, wire.ErrMalformed},
		{"two fields", `{"pubsub-file-X":"\"/l/x\""}`, `{"x":1,"y":2}`, wire.ErrMalformed},
		{"no field", `{"pubsub-file-X":"\"/l/x\""}`, `{}`, wire.ErrMalformed},
		{"no object", `{"pubsub-file-X":"\"/l/x\""}`, `[1]`, wire.ErrMalformed},
		{"empty", `{"pubsub-file-X":"\"/l/x\""}`, ``, wire.ErrMalformed},
		{"two values", `{"pubsub-file-X":"\"/l/x\""}`, `{"x":1}{}`, wire.ErrMalformed},
		{"missing", `{"pubsub-file-X":"\"/l/y\""}`, `{"x":1}`, os.ErrNotExist},
		{"too many", `{"l":[` + strings.Repeat(`{"pubsub-file-X":"\"/l/x\""},`, wire.MaxLargeFields) + `{"pubsub-file-X":"\"/l/x\""}]}`, `{"x":1}`, wire.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := wire.Resolve([]byte(c.form), func(path string) ([]byte, error) {
				if path != "/l/x" {
					return nil, os.ErrNotExist
				}
				return []byte(c.file), nil
			})
			if !errors.Is(err, c.want) || got != nil {
				t.Errorf("value is %s, error %v; want none, %v", got, err, c.want)
			}
		})
	}
}

func TestEqual(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, a, b string
		want       bool
	}{
		{"same bytes", `{"a":1}`, `{"a":1}`, true},
		{"other order", `{"a":1,"b":[2,{"c":3,"d":4}]}`, `{ "b":[2,{"d":4,"c":3}], "a":1}`, true},
		{"other order in a list", `{"a":[1,2]}`, `{"a":[2,1]}`, false},
		{"beyond float64", `{"a":9007199254740993}`, `{"a":9007199254740992}`, false},
		{"null and absent", `{"a":null}`, `{}`, false},
		{"broken", `{`, `{}`, false},
		{"both broken, same bytes", `{`, `{`, true},
	} {
		if got := wire.Equal([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("%s: equal is %t, want %t", c.name, got, c.want)
		}
	}
}

// Each recorded message of EVE's, taken apart and put together again, is the
// same bytes.
func TestRecordedDatagrams(t *testing.T) {
	t.Parallel()
	for _, line := range recorded(t) {
		m, err := wire.Parse([]byte(line.Datagram))
		if err != nil {
			t.Fatal(err)
		}
		if m.Command != wire.CommandUpdate {
			continue
		}
		var paths []string
		value, err := wire.Resolve(m.Value, func(path string) ([]byte, error) {
			paths = append(paths, path)
			return []byte(line.LargeFiles[path]), nil
		})
		if err != nil {
			t.Fatalf("resolve %s %q: %v", m.Topic, m.Key, err)
		}
		v, err := wire.NewValue(m.Topic, "/persist/pubsub-large/"+line.Agent+"/"+line.Topic, m.Key, value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(line.Datagram, string(wire.Update(m.Topic, m.Key, v.Form(paths)))); diff != "" {
			t.Errorf("%s %q (-want +got):\n%s", m.Topic, m.Key, diff)
		}
		for i, l := range v.Large {
			if !wire.Equal(l.Content, []byte(line.LargeFiles[paths[i]])) || !strings.Contains(paths[i], l.Base) {
				t.Errorf("%s %q: large field %s is %s, want %s", m.Topic, m.Key, l.Base, l.Content, line.LargeFiles[paths[i]])
			}
		}
	}
}

type datagramLine struct {
	Agent, Topic, Datagram string
	LargeFiles             map[string]string `json:"large_files"`
}

// recorded reads what EVE's own publishers sent.
func recorded(t testing.TB) []datagramLine {
	t.Helper()
	content, err := os.ReadFile("../../socket/testdata/eve-datagrams.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var all []datagramLine
	for text := range strings.Lines(string(content)) {
		var line datagramLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		all = append(all, line)
	}
	if len(all) == 0 {
		t.Fatal("nothing is recorded")
	}
	return all
}

func FuzzParse(f *testing.F) {
	for _, line := range recorded(f) {
		f.Add([]byte(line.Datagram))
	}
	for _, s := range []string{"", " ", "hello", "update T aw== e30= more", "delete T Lw==", "restarted T -1", "x y z"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		m, err := wire.Parse(datagram)
		if err != nil || m.Command != wire.CommandUpdate {
			return
		}
		if wire.CheckKey(m.Key) != nil || !json.Valid(m.Value) {
			t.Fatalf("parse %q: message %+v is not usable", datagram, m)
		}
		again, err := wire.Parse(wire.Update(m.Topic, m.Key, m.Value))
		if diff := cmp.Diff(m, again); err != nil || diff != "" {
			t.Fatalf("parse %q again: error %v (-want +got):\n%s", datagram, err, diff)
		}
	})
}

func FuzzResolve(f *testing.F) {
	f.Add([]byte(`{"pubsub-file-X":"\"/l/x\""}`), []byte(`{"pubsub-large-X":null}`))
	f.Add([]byte(`{"l":[{"pubsub-file-X":"\"/l/x\"","pubsub-large-X":1}],"pubsub-file-":"\"\""}`), []byte(`{"":{"pubsub-file-X":1}}`))
	f.Add([]byte(`{"pubsub-file-X":"\"`), []byte(`{`))
	f.Fuzz(func(t *testing.T, form, file []byte) {
		value, err := wire.Resolve(form, func(string) ([]byte, error) { return file, nil })
		if err == nil && json.Valid(form) && !json.Valid(value) {
			t.Fatalf("resolve %q: value %q is no JSON", form, value)
		}
	})
}

func FuzzNewValue(f *testing.F) {
	for _, line := range recorded(f) {
		if words := strings.Split(line.Datagram, " "); words[0] == "update" {
			value, err := base64.StdEncoding.DecodeString(words[3])
			if err != nil {
				f.Fatal(err)
			}
			f.Add([]byte(strings.ReplaceAll(string(value), pubsub.FilePrefix, pubsub.LargePrefix)))
		}
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		v, err := wire.NewValue("T", "/l", "k", value)
		if err != nil {
			return
		}
		files := map[string][]byte{}
		var paths []string
		for i, l := range v.Large {
			paths = append(paths, "/l/"+l.Base+string(rune('a'+i)))
			files[paths[i]] = l.Content
		}
		form := v.Form(paths)
		if n := len(wire.Update("T", "k", form)); n >= pubsub.MaxDatagram {
			t.Fatalf("datagram has %d bytes", n)
		}
		back, err := wire.Resolve(form, func(path string) ([]byte, error) { return files[path], nil })
		if err != nil || !wire.Equal(back, value) {
			t.Fatalf("value %q comes back as %q, error %v", value, back, err)
		}
	})
}
