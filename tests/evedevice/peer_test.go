// SPDX-License-Identifier: Apache-2.0

package evedevice_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lf-edge/eve-metadata/tests/evedevice"
)

// patience ends a test that waits for something that does not come.
const patience = 30 * time.Second

// peer is a subscriber that reads datagrams as they are.
type peer struct {
	t    *testing.T
	conn *net.UnixConn
}

// subscribe connects to a table, "<agent>/<topic>", and sends a request.
func subscribe(t *testing.T, d *evedevice.Device, table, request string) *peer {
	t.Helper()
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: d.Path("var/run/" + table + ".sock"), Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	return &peer{t, conn}
}

// next returns the next datagram, and whether there is one.
func (p *peer) next() (string, bool) {
	p.t.Helper()
	buf := make([]byte, 1<<16)
	n, err := p.conn.Read(buf)
	if errors.Is(err, io.EOF) || err == nil && n == 0 {
		return "", false
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return string(buf[:n]), true
}

// until returns the datagrams up to one that begins so, which is the last of them.
func (p *peer) until(begin string) (datagrams []string) {
	p.t.Helper()
	for {
		datagram, ok := p.next()
		if !ok {
			p.t.Fatalf("the connection ended before %q; there were %q", begin, verbs(datagrams))
		}
		datagrams = append(datagrams, datagram)
		if strings.HasPrefix(datagram, begin) {
			return datagrams
		}
	}
}

// verbs are datagrams without their values; those of a run of updates, whose order is nobody's, sorted.
func verbs(datagrams []string) (short []string) {
	for _, d := range datagrams {
		words := strings.Split(d, " ")
		if len(words) > 2 && words[0] != "hello" && words[0] != "restarted" {
			key, _ := base64.StdEncoding.DecodeString(words[2])
			words = []string{words[0], words[1], string(key)}
		}
		short = append(short, strings.Join(words, " "))
	}
	isUpdate := func(s string) bool { return strings.HasPrefix(s, "update ") }
	for from := 0; from < len(short); from++ {
		to := from
		for to < len(short) && isUpdate(short[to]) {
			to++
		}
		slices.Sort(short[from:to])
		from = to
	}
	return short
}

// valueOf is the JSON of an update.
func valueOf(t *testing.T, datagram string) string {
	t.Helper()
	words := strings.Split(datagram, " ")
	if words[0] != "update" || len(words) != 4 {
		t.Fatalf("%.80q is no update", datagram)
	}
	value, err := base64.StdEncoding.DecodeString(words[3])
	if err != nil {
		t.Fatal(err)
	}
	return string(value)
}

// largeFiles are the paths in an update's value, by the fields that they stand for.
func largeFiles(t *testing.T, value string) map[string]string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(value), &fields); err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	var collect func(any)
	collect = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, element := range v {
				collect(element)
			}
		case map[string]any:
			for name, field := range v {
				if rest, is := strings.CutPrefix(name, "pubsub-file-"); is {
					var path string
					if err := json.Unmarshal([]byte(field.(string)), &path); err != nil {
						t.Errorf("field %s is %q, want the JSON of a path", name, field)
					}
					files[rest] = path
				}
				collect(field)
			}
		}
	}
	collect(fields)
	return files
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
