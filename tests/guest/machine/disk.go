// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// disk returns the path of the guest's disk. If there is none yet it is made, on top of the image's, which is not changed.
func (c *Config) disk(ctx context.Context) (string, error) {
	disk := filepath.Join(c.Dir, "disk.qcow2")
	if _, err := os.Stat(disk); err == nil {
		return disk, nil
	}
	base, err := filepath.Abs(c.Image.Disk)
	if err != nil {
		return "", err
	}
	if len(c.Changed) > 0 {
		return disk, c.changed(ctx, base, disk)
	}
	return disk, run(ctx, "", "qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", disk)
}

// changed makes a disk that has other files. It is changed as a file: this kernel need not know its filesystem.
func (c *Config) changed(ctx context.Context, base, disk string) (err error) {
	raw := filepath.Join(c.Dir, "disk.raw")
	if err := run(ctx, "", "qemu-img", "convert", "-O", "raw", base, raw); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(raw)) }()
	for _, name := range slices.Sorted(maps.Keys(c.Changed)) {
		text := filepath.Join(c.Dir, "changed")
		if err := os.WriteFile(text, []byte(c.Changed[name]), 0o600); err != nil {
			return err
		}
		if err := run(ctx, "write "+text+" "+name+"\n", "debugfs", "-w", "-f", "-", raw); err != nil {
			return err
		}
	}
	return run(ctx, "", "qemu-img", "convert", "-O", "qcow2", raw, disk)
}

// run runs a program that makes disks. debugfs says what is wrong, and ends well.
func run(ctx context.Context, stdin, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err == nil && bytes.Contains(out.Bytes(), []byte("debugfs:")) && bytes.Contains(out.Bytes(), []byte(": File not found")) {
		err = errors.New("it found no such folder")
	}
	if err != nil {
		return fmt.Errorf("make disk: %s: %w: %s", name, err, out.Bytes())
	}
	return nil
}
