// SPDX-License-Identifier: Apache-2.0

package machine

import "io"

// Extract is what takes a guest's report apart.
func Extract(r io.Reader, dir string) error { return extract(r, dir) }

// Console is what takes what a guest writes to its console.
type Console struct{ c *console }

// NewConsole makes one that writes into a file and tells of stages.
func NewConsole(path string, stage func(string)) (*Console, error) {
	c, err := newConsole(path, stage)
	return &Console{c}, err
}

func (c *Console) Write(p []byte) (int, error) { return c.c.Write(p) }
func (c *Console) Tail() string                { return c.c.tail() }
func (c *Console) Close() error                { return c.c.close() }

// PressPower is what presses the power button of the machine whose monitor is at a path.
var PressPower = pressPower
