// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"
)

// monitor is the name of the socket at which QEMU takes commands, in the guest's folder.
const monitor = "monitor.sock"

// Shutdown presses the guest's power button and waits until it has ended by itself, as EVE does where it restarts an app. A
// guest that has not when ctx is done, or that cannot be told, is stopped, and that is an error.
func (m *Machine) Shutdown(ctx context.Context) error {
	err := pressPower(ctx, filepath.Join(m.dir, monitor))
	if err == nil {
		select {
		case <-m.ended:
			return m.Stop()
		case <-ctx.Done():
			err = fmt.Errorf("wait for its end: %w", context.Cause(ctx))
		}
	}
	return fmt.Errorf("shut down guest: %w\n%s", errors.Join(err, m.Stop()), m.Tail())
}

// pressPower presses the power button of the machine whose monitor is at path (QEMU's QMP: a greeting; then a message for
// each command, between others that tell of events).
func pressPower(ctx context.Context, path string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // all was said
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	say, hear := json.NewEncoder(conn), json.NewDecoder(conn)
	for _, command := range []string{"qmp_capabilities", "system_powerdown"} {
		if err := say.Encode(map[string]string{"execute": command}); err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
		for answered := false; !answered; {
			var m struct {
				Return json.RawMessage `json:"return"`
				Error  *struct {
					Desc string `json:"desc"`
				} `json:"error"`
			}
			if err := hear.Decode(&m); err != nil {
				return fmt.Errorf("%s: %w", command, err)
			}
			if m.Error != nil {
				return fmt.Errorf("%s: QEMU says %q", command, m.Error.Desc)
			}
			answered = m.Return != nil
		}
	}
	return nil
}
