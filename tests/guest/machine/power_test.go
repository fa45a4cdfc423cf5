// SPDX-License-Identifier: Apache-2.0

package machine_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/tests/guest/machine"
)

// TestPressPower holds what is said to QEMU's monitor, and that whatever it answers ends. tests/eden presses the button of real
// guests.
func TestPressPower(t *testing.T) {
	t.Parallel()
	const greeting = `{"QMP": {"version": {}, "capabilities": []}}` + "\n"
	said := []string{`{"execute":"qmp_capabilities"}`, `{"execute":"system_powerdown"}`}
	for _, tt := range []struct {
		name    string
		answers []string // the first before anything is said, then one to each command; then it hangs up
		said    []string
		err     string // "" for none
	}{
		{"all is well", []string{greeting, `{"return": {}}`, `{"event": "POWERDOWN"}` + "\n" + `{"return": {}}`}, said, ""},
		{"refused", []string{greeting, `{"return": {}}`, `{"error": {"class": "GenericError", "desc": "no button"}}`}, said, `system_powerdown: QEMU says "no button"`},
		{"no monitor", []string{"login: "}, said[:1], "qmp_capabilities: invalid character"},
		{"hangs up", []string{greeting, `{"return": {}}`}, said, "system_powerdown: EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path, l := socket(t)
			heard := make(chan []string, 1)
			go func() { heard <- monitor(l, tt.answers) }()
			err := machine.PressPower(t.Context(), path)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error is %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.said, <-heard); diff != "" {
				t.Errorf("what is said (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("says nothing", func(t *testing.T) {
		t.Parallel()
		path, l := socket(t)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			if c, err := l.Accept(); err == nil {
				_, _ = c.Read(make([]byte, 1)) // who is asked now does not answer
				cancel()
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}
		}()
		if err := machine.PressPower(ctx, path); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("error is %v, want that time is over", err)
		}
	})
}

// socket opens a socket for a monitor, until the test ends.
func socket(t *testing.T) (path string, l net.Listener) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "monitor.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return path, l
}

// monitor answers whoever connects first, and returns the lines that it has heard.
func monitor(l net.Listener, answers []string) (heard []string) {
	c, err := l.Accept()
	if err != nil {
		return nil
	}
	defer c.Close()
	lines := bufio.NewScanner(c)
	for _, answer := range answers {
		if _, err := io.WriteString(c, answer); err != nil {
			break
		}
		if lines.Scan() {
			heard = append(heard, lines.Text())
		}
	}
	return heard
}
